//! What the agent writes to the journal, which a socket with the journal's path stands for.

mod world;

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Duration;

use world::{Announcer, World};

/// Fields of one entry in the journal's native protocol.
fn entry(datagram: &[u8]) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    let mut rest = datagram;
    while let Some(end) = rest.iter().position(|octet| *octet == b'\n') {
        let line = String::from_utf8_lossy(&rest[..end]).into_owned();
        rest = &rest[end + 1..];
        if let Some((key, value)) = line.split_once('=') {
            fields.insert(key.to_owned(), value.to_owned());
            continue;
        }
        let length = u64::from_le_bytes(rest[..8].try_into().expect("a length"));
        let end = 8 + usize::try_from(length).expect("small");
        fields.insert(line, String::from_utf8_lossy(&rest[8..end]).into_owned());
        rest = &rest[end + 1..];
    }
    fields
}

/// Starts the agent with its errors in a file that systemd, or nobody, says is the journal's.
async fn start(world: &mut World, is_journal: bool) -> std::path::PathBuf {
    let path = world.path("errors");
    let file = std::fs::File::create(&path).expect("can be made");
    let metadata = file.metadata().expect("is there");
    let inode = metadata.ino() + u64::from(!is_journal);
    let mut command = world.agent_command();
    command
        .env("JOURNAL_STREAM", format!("{}:{inode}", metadata.dev()))
        .env("WIRELOOM_LOG", "info,zbus=warn");
    command.stderr(Stdio::from(file));
    world.start_agent_by(command).await;
    path
}

#[test]
fn a_state_that_changes_is_one_line_in_the_journal() {
    world::run("a_state_that_changes_is_one_line_in_the_journal", async || {
        let mounted = Command::new("mount").args(["-t", "tmpfs", "tmpfs", "/run"]).status();
        assert!(mounted.expect("mount can be run").success(), "a /run of its own");
        std::fs::create_dir_all("/run/systemd/journal").expect("can be made");
        let journal = UnixDatagram::bind("/run/systemd/journal/socket").expect("free");
        journal.set_read_timeout(Some(Duration::from_secs(20))).expect("can be set");
        let read = || {
            let mut octets = vec![0; 65_536];
            let length = journal.recv(&mut octets).expect("an entry");
            entry(&octets[..length])
        };

        let mut world = World::new().await;
        let errors = start(&mut world, true).await;
        world.until_snapshot("the interface", |seen| seen.interfaces.iter().any(|i| i.used)).await;
        let device = Announcer::new(21);
        let text = device.sdp(4711, 1, "Stage L", "239.69.1.1");
        device.announce(&text);
        let seen = world.until_snapshot("the stream", |seen| seen.streams.len() == 1).await;
        let stream = &seen.streams[0];
        device.announce(&text); // nothing changes
        device.delete(&text);
        world.until_snapshot("no stream", |seen| seen.streams.is_empty()).await;

        let mut of_stream = Vec::new();
        while of_stream.last().is_none_or(|line: &String| !line.ends_with("is gone")) {
            let fields = read();
            if let Some(id) = fields.get("WIRELOOM_STREAM") {
                assert_eq!(id, &stream.id, "{fields:?}");
                assert_eq!(fields.get("WIRELOOM_DEVICE"), Some(&seen.devices[0].id), "{fields:?}");
                assert_eq!(fields.get("PRIORITY").map(String::as_str), Some("5"), "{fields:?}");
                of_stream.push(fields["MESSAGE"].clone());
            }
        }
        assert_eq!(of_stream.len(), 2, "{of_stream:?}");
        assert!(of_stream[0].starts_with(&format!("Stage L is {}", stream.state)), "{of_stream:?}");
        assert_eq!(std::fs::read_to_string(&errors).expect("there"), "", "nothing twice");
        world.stop_agent().await;

        // Standard error is not what systemd connected: a person reads it.
        while journal.set_nonblocking(true).is_ok() && journal.recv(&mut [0; 9]).is_ok() {}
        let errors = start(&mut world, false).await;
        world::until("lines on standard error", || {
            std::fs::read_to_string(&errors).expect("there").contains("Wireloom is ")
        })
        .await;
        assert!(journal.recv(&mut [0; 9]).is_err(), "nothing for the journal");
    });
}
