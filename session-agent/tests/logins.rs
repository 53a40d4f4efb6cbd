//! One agent of a computer acts; a second one says why it does not.

mod world;

use std::collections::HashMap;
use std::process::Command;

use world::{Announcer, World, nodes};

#[test]
fn another_login_waits_until_the_first_one_leaves() {
    world::run("another_login_waits_until_the_first_one_leaves", async || {
        let mut first = World::new().await;
        // A lock that neither can make or write, as an ordinary account finds the one made at boot.
        let run = first.path("run");
        std::fs::create_dir(&run).expect("can be made");
        first.lock = run.join("agent.lock");
        std::fs::write(&first.lock, "").expect("can be made");
        mount(&["--bind".as_ref(), run.as_ref(), run.as_ref()]);
        mount(&["-o".as_ref(), "remount,bind,ro".as_ref(), run.as_ref()]);
        first.start_pipewire(true).await;
        first.start_agent().await;
        first.until_snapshot("it runs", |seen| seen.manager.state == "running").await;
        first.until_snapshot("it listens", |seen| seen.interfaces.iter().any(|facts| facts.used)).await;
        let alone = memberships();
        assert!(alone.contains("FFFFFFEF"), "the first one is in the group: {alone}");

        let mut second = World::login().await;
        second.lock.clone_from(&first.lock);
        // Of the same account: they share what is saved.
        std::os::unix::fs::symlink(first.path("state"), second.path("state")).expect("can be made");
        second.start_pipewire(true).await;
        second.start_agent().await;
        let seen = second.until_snapshot("its interfaces", |seen| !seen.interfaces.is_empty()).await;
        assert_eq!(
            (seen.manager.state.as_str(), seen.manager.state_reason.as_str()),
            ("in-use", "other-session")
        );
        // Lazily, as both have the file open; what is locked is the file, not the way to it.
        let unmounted = Command::new("umount").arg("--lazy").arg(&run).status();
        assert!(unmounted.is_ok_and(|status| status.success()));
        assert!(seen.manager.state_text.contains("Another session"), "{}", seen.manager.state_text);
        assert!(seen.interfaces.iter().all(|facts| !facts.used), "{:?}", seen.interfaces);
        let refused = second.manager().await.create_stream("Drums", 2, HashMap::new()).await;
        let refused = format!("{:?}", refused.expect_err("it does not act"));
        assert!(refused.contains("another session"), "{refused}");
        let device = Announcer::new(21);
        device.announce(&device.sdp(4711, 1, "Stage L : mics", "239.69.1.1"));
        first.until_metadata("the first one's node", |keys| nodes(keys).len() == 1).await;
        assert_eq!(nodes(&second.metadata()), []);
        assert_eq!(second.snapshot().await.streams, []);
        assert_eq!(memberships(), alone, "the second one joined nothing");

        // What the first one makes now, the second one has not read at its start.
        first.manager().await.create_stream("Drums", 2, HashMap::new()).await.expect("it acts");
        let state = first.path("state/wireloom/state.json");
        let is_saved = || std::fs::read_to_string(&state).is_ok_and(|text| text.contains("Drums"));
        world::until("the stream to be saved", is_saved).await;

        // The first one leaves, however: the second one takes over.
        first.kill_agent();
        second.until_snapshot("it takes over", |seen| seen.manager.state == "running").await;
        second.until_snapshot("it listens", |seen| seen.interfaces.iter().any(|facts| facts.used)).await;
        device.announce(&device.sdp(4711, 1, "Stage L : mics", "239.69.1.1"));
        second.until_metadata("its nodes", |keys| nodes(keys).len() == 2).await;
        second.until_snapshot("Drums", |seen| seen.streams.iter().any(|stream| stream.name == "Drums")).await;
    });
}

#[test]
fn a_second_agent_says_why_it_cannot_run() {
    world::run("a_second_agent_says_why_it_cannot_run", async || {
        let mut world = World::new().await;
        world.start_agent().await;
        let output = world.agent_command().env("WIRELOOM_LOG", "info").output().expect("can be run");
        assert_eq!(output.status.code(), Some(1));
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains("org.wireloom.Wireloom1 is taken"), "{text}");
        let output = world.agent_command().arg("--check-config").output().expect("can be run");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("network-interfaces = [\"veth0\"]"), "{text}");
    });
}

fn mount(arguments: &[&std::ffi::OsStr]) {
    let status = Command::new("mount").args(arguments).status();
    assert!(status.is_ok_and(|status| status.success()), "mount {arguments:?}");
}

/// The IPv4 groups that this computer is in, each with its number of sockets, as the kernel counts them.
fn memberships() -> String {
    let text = std::fs::read_to_string("/proc/net/igmp").expect("can be read");
    let groups = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (group, users) = (words.next()?, words.next()?);
        (group.len() == 8).then(|| format!("{group} {users}\n"))
    });
    groups.collect()
}
