//! The agent in its world: announcements in, nodes and objects out, and back after every kind of restart.

mod world;

use std::collections::{BTreeSet, HashMap};
use std::net::Ipv4Addr;

use wireloom_clock_page::LineState;
use wireloom_dbus::Error;
use world::{Announcer, LEADER, World, nodes, until};
use zbus::Variant;

#[test]
fn an_announcement_becomes_a_node_and_a_deletion_removes_it() {
    world::run("an_announcement_becomes_a_node_and_a_deletion_removes_it", async || {
        let mut world = World::new().await;
        world.start_pipewire(true).await;
        world.publish_clock(LEADER, LineState::Locked);
        world.start_agent().await;
        world.until_snapshot("PipeWire", |seen| seen.manager.state == "running").await;
        let device = Announcer::new(21);
        let sdp = device.sdp(4711, 1, "Stage L : mics", "239.69.1.1");
        device.announce(&sdp);
        let keys = world.until_metadata("the node", |keys| !nodes(keys).is_empty()).await;
        let (key, node) = nodes(&keys).remove(0);
        assert!(key.starts_with("node.s-") && key.ends_with(".tx"), "{key}");
        assert_eq!(node.check(), Ok(()));
        assert_eq!(node.text.description, "Stage L — mics");
        assert_eq!(node.channels, ["Left", "Right"]);
        assert_eq!(node.clock, wireloom_wanted::ClockRelation::Same);
        assert_eq!(node.media.offset, Some(7));
        assert_eq!(node.legs[0].interface.as_deref(), Some("veth0"));
        let seen = world.until_snapshot("the object", |seen| seen.streams.len() == 1).await;
        assert_eq!(format!("node.{}", seen.streams[0].node_name.trim_start_matches("wireloom.")), key);
        assert_eq!(seen.devices[0].name, "Stage L");

        // What the module says is what people see.
        let id = key.trim_start_matches("node.");
        world.write(&format!("state.{id}"), r#"{"state": "error", "error": "Port 5004 is taken."}"#);
        let seen = world.until_snapshot("the state", |seen| seen.streams[0].state == "error").await;
        assert_eq!(seen.streams[0].state_text, "Port 5004 is taken.");
        assert_eq!(seen.streams[0].state_reason, "module");

        // Another grandmaster: the same stream is no longer known to be on our clock.
        world.publish_clock([9; 8], LineState::Locked);
        let other = |keys: &_| nodes(keys)[0].1.clock == wireloom_wanted::ClockRelation::Unknown;
        world.until_metadata("the other relation", other).await;

        device.delete(&sdp);
        world.until_metadata("no node", |keys| nodes(keys).is_empty()).await;
        world.until_snapshot("no object", |seen| seen.streams.is_empty() && seen.devices.is_empty()).await;
    });
}

#[test]
fn every_group_is_heard() {
    world::run("every_group_is_heard", async || {
        let mut world = World::new().await;
        world.start_agent().await;
        let device = Announcer::new(22);
        let groups = [[239, 255, 255, 255], [224, 2, 127, 254], [239, 195, 255, 255], [224, 0, 0, 56]];
        let announce_all = || {
            for (number, group) in (1..).zip(groups) {
                let sdp =
                    device.sdp(5000 + number, 1, &format!("Group {number}"), &format!("239.69.2.{number}"));
                device.send(Ipv4Addr::from(group), &sdp, false);
            }
        };
        // As senders do it: again, for the agent may have its name before it hears everything.
        let seen = world
            .until_snapshot("four streams", |seen| {
                announce_all();
                seen.streams.len() == 4
            })
            .await;
        assert!(seen.streams.iter().all(|stream| stream.heard_on == ["veth0"]), "{seen:#?}");
    });
}

#[test]
fn a_killed_agent_leaves_its_nodes_and_its_successor_keeps_them() {
    world::run("a_killed_agent_leaves_its_nodes_and_its_successor_keeps_them", async || {
        let mut world = World::new().await;
        world.start_pipewire(true).await;
        world.start_agent().await;
        let device = Announcer::new(21);
        device.announce(&device.sdp(4711, 1, "Stage L : mics", "239.69.1.1"));
        let manager = world.manager().await;
        manager.create_stream("Drums", 8, HashMap::new()).await.expect("creates");
        let before = world.until_metadata("both nodes", |keys| nodes(keys).len() == 2).await;
        world.kill_agent();
        assert_eq!(world.metadata(), before);
        world.start_agent().await;
        let seen = world.until_snapshot("both streams", |seen| seen.streams.len() == 2).await;
        let kept = seen.streams.iter().find(|stream| stream.direction == "receive").expect("kept");
        assert_eq!(kept.origin, "kept");
        assert!(kept.shown);
        let own = seen.streams.iter().find(|stream| stream.direction == "transmit").expect("own");
        assert_eq!(own.origin, "own");
        // Nothing was written: the object is as it was, with another grandmaster unknown as before.
        assert_eq!(world.metadata(), before);
        // An announcement makes it heard again, under the same id.
        device.announce(&device.sdp(4711, 1, "Stage L : mics", "239.69.1.1"));
        let seen = world
            .until_snapshot("it is heard", |seen| seen.streams.iter().any(|s| s.origin == "announced"))
            .await;
        assert_eq!(seen.streams.len(), 2);
        assert_eq!(world.metadata(), before);
    });
}

#[test]
fn a_restarted_pipewire_gets_everything_again() {
    world::run("a_restarted_pipewire_gets_everything_again", async || {
        let mut world = World::new().await;
        world.start_agent().await;
        let seen = world.until_snapshot("it says that PipeWire is away", |seen| {
            seen.manager.state == "waiting" && seen.manager.state_reason == "no-pipewire"
        });
        seen.await;
        world.start_pipewire(true).await;
        let device = Announcer::new(21);
        device.announce(&device.sdp(4711, 1, "Stage L : mics", "239.69.1.1"));
        let before = world.until_metadata("the node", |keys| nodes(keys).len() == 1).await;
        world.stop_pipewire();
        world.until_snapshot("it notices", |seen| seen.manager.state == "waiting").await;
        world.start_pipewire(false).await;
        let seen = world
            .until_snapshot("it waits for the module", |seen| seen.manager.state_reason == "no-module")
            .await;
        assert_eq!(seen.streams[0].state, "pending");
        assert_eq!(seen.streams[0].state_reason, "no-module");
        world.stop_pipewire();
        world.start_pipewire(true).await;
        let after = world.until_metadata("the node again", |keys| nodes(keys).len() == 1).await;
        assert_eq!(nodes(&after), nodes(&before));
    });
}

#[test]
fn counters_are_asked_of_the_module_only_while_somebody_reads_them() {
    world::run("counters_are_asked_of_the_module_only_while_somebody_reads_them", async || {
        let mut world = World::new().await;
        world.start_pipewire(true).await;
        world.start_agent().await;
        let device = Announcer::new(21);
        device.announce(&device.sdp(4711, 1, "Stage L : mics", "239.69.1.1"));
        let keys = world.until_metadata("the node", |keys| nodes(keys).len() == 1).await;
        let id = nodes(&keys)[0].0.trim_start_matches("node.").to_owned();
        let seen = world.until_snapshot("the stream", |seen| seen.streams.len() == 1).await;
        assert!(!world.metadata().contains_key("watch"), "nobody asked");

        let stats = wireloom_wanted::Stats { packets: 4711, ..Default::default() };
        let stats = serde_json::to_string(&stats).expect("can be written");
        let path = wireloom_dbus::path("stream", &seen.streams[0].id);
        let ask = async || {
            let proxy = wireloom_dbus::StatisticsProxy::builder(&world.connection)
                .cache_properties(zbus::proxy::CacheProperties::No);
            let proxy = proxy.path(path.clone()).build().await.expect("a proxy");
            proxy.counters().await.expect("counters")
        };
        assert!(ask().await.is_empty(), "the module has told nothing yet");
        world.until_metadata("the wish", |keys| keys.get("watch").is_some_and(|value| value == "true")).await;
        world.write(&format!("stats.{id}"), &stats);
        world::until_async("the module's count", async || ask().await.get("packets") == Some(&4711)).await;
        assert!(world.metadata().contains_key("watch"), "it is still read");

        // The client left.
        world.until_metadata("no wish", |keys| !keys.contains_key("watch")).await;
    });
}

#[test]
fn an_announcement_becomes_a_node_soon() {
    world::run("an_announcement_becomes_a_node_soon", async || {
        let mut world = World::new().await;
        world.start_pipewire(true).await;
        world.start_agent().await;
        world.until_snapshot("PipeWire", |seen| seen.manager.state == "running").await;
        world.until_snapshot("it listens", |seen| seen.interfaces.iter().any(|facts| facts.used)).await;
        let mut monitor = world.monitor_metadata();
        let output = std::io::BufReader::new(monitor.stdout.take().expect("piped"));
        let (written, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in std::io::BufRead::lines(output).map_while(Result::ok) {
                let _ = written.send((std::time::Instant::now(), line));
            }
        });
        let device = Announcer::new(21);
        let patience = std::time::Duration::from_secs(40);
        let mut times = Vec::new();
        // The first one shows that the monitor is there; it is not counted.
        for number in 0..12_u32 {
            let group = format!("239.69.1.{}", number + 1);
            let sent = std::time::Instant::now();
            device.announce(&device.sdp(5000 + number, 1, &format!("Stream {number}"), &group));
            let (at, _) = std::iter::from_fn(|| lines.recv_timeout(patience).ok())
                .find(|(_, line)| line.contains("key:'node.s-") && line.contains(&format!("\"{group}\"")))
                .expect("the node's key is written");
            times.push(at - sent);
        }
        monitor.kill().expect("is ours");
        monitor.wait().expect("is ours");
        times.remove(0);
        times.sort();
        let (median, longest) = (times[times.len() / 2], times[times.len() - 1]);
        println!("first announcement to node key: median {median:?}, longest {longest:?} of {}", times.len());
        assert!(median < std::time::Duration::from_secs(1), "{times:?}");
    });
}

#[test]
fn five_hundred_streams_and_a_flood_leave_it_responsive() {
    world::run("five_hundred_streams_and_a_flood_leave_it_responsive", async || {
        let mut world = World::new().await;
        world.start_pipewire(true).await;
        world.start_agent().await;
        world.until_snapshot("PipeWire", |seen| seen.manager.state == "running").await;
        let devices = [Announcer::new(21), Announcer::new(22)];
        let mut missing: Vec<u32> = (0..500).collect();
        // As devices do, those that were not heard are announced again: a machine that stalls loses some.
        for _ in 0..4 {
            for (position, number) in missing.iter().enumerate() {
                let device = &devices[(number % 2) as usize];
                let group = format!("239.70.{}.{}", number / 250, number % 250 + 1);
                device.announce(&device.sdp(10_000 + number, 1, &format!("Stream {number}"), &group));
                if position % 50 == 49 {
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await; // let the kernel's queue drain
                }
            }
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            let names: BTreeSet<String> =
                world.snapshot().await.streams.into_iter().map(|stream| stream.name).collect();
            missing.retain(|number| !names.contains(&format!("Stream {number}")));
            if missing.is_empty() {
                break;
            }
        }
        let seen = world.until_snapshot("all of them", |seen| seen.streams.len() == 500).await;
        assert_eq!(seen.streams.iter().filter(|stream| stream.shown).count(), 128);
        let hidden = seen.streams.iter().find(|stream| !stream.shown).expect("most of them");
        assert_eq!((hidden.state.as_str(), hidden.hidden_reason.as_str()), ("hidden", "node-limit"));
        world.until_metadata("128 nodes", |keys| nodes(keys).len() == 128).await;
        let resident = || {
            let kb = world::field(format!("/proc/{}/status", world.agent_pid()).as_ref(), "VmRSS:");
            kb.trim_end_matches(" kB").parse::<u64>().expect("a number")
        };
        let before = resident();
        let flooder = Announcer::new(23);
        for number in 0..20_000_u32 {
            let sdp = flooder.sdp(100_000 + number, 1, &format!("Flood {number}"), "239.71.1.1");
            match number % 3 {
                0 => flooder.announce(&sdp),
                1 => {
                    flooder.raw(Ipv4Addr::new(239, 255, 255, 255), &sdp.as_bytes()[..(number % 90) as usize])
                }
                _ => flooder.delete(&sdp),
            }
            if number % 4000 == 0 {
                world.manager().await.state().await.expect("it answers during the flood");
            }
        }
        let seen = world.snapshot().await;
        let after = resident();
        println!("memory with 500 streams: {before} kB; after a flood of 20000 datagrams: {after} kB");
        assert!(after < before + 32 * 1024, "{before} kB became {after} kB");
        let kept = seen.streams.iter().filter(|stream| stream.name.starts_with("Stream ")).count();
        assert_eq!(kept, 500, "the flood cost others their entries");
        assert_eq!(nodes(&world.metadata()).len(), 128);
        let counters = world.manager().await.announcement_counters().await.expect("counters");
        assert!(counters["rate-limited"] > 0 && counters["received"] > 500, "{counters:?}");
    });
}

#[test]
fn senseless_calls_are_refused_in_words_and_change_nothing() {
    world::run("senseless_calls_are_refused_in_words_and_change_nothing", async || {
        let mut world = World::new().await;
        world.start_agent().await;
        let manager = world.manager().await;
        let invalid = |error: Error, part: &str| {
            let text = format!("{error:?}");
            assert!(text.contains("InvalidArgs(") && text.contains(part), "{text}");
        };
        for (name, channels, key, value, part) in [
            ("", 2, "port", Variant::from(5004_u16), "name"),
            ("Drums", 0, "port", Variant::from(5004_u16), "1 to 64 channels"),
            ("Drums", 65, "port", Variant::from(5004_u16), "1 to 64 channels"),
            ("Drums", 2, "port", Variant::from(5005_u16), "5005"),
            ("Drums", 2, "port", Variant::from("5004"), "port"),
            ("Drums", 2, "colour", Variant::from("red"), "colour"),
            ("Drums", 2, "encoding", Variant::from("L99"), "L99"),
            ("Drums", 2, "rate", Variant::from(1_u32), "not 1"),
            ("Drums", 2, "address", Variant::from("192.0.2.1"), "192.0.2.1"),
            ("Drums", 2, "address", Variant::from("224.0.0.5"), "224.0.0.5"),
            ("Drums", 2, "address", Variant::from("nowhere"), "nowhere"),
            ("Drums", 64, "packet-frames", Variant::from(384_u32), "octets"),
            ("Drums", 2, "labels", Variant::from(vec!["one"]), "1 labels"),
        ] {
            let error = manager.create_stream(name, channels, HashMap::from([(key, value)])).await;
            invalid(error.expect_err(part), part);
        }
        invalid(manager.set_node_limit(5000).await.expect_err("too many"), "1024");
        invalid(manager.set_show("everywhere").await.expect_err("unknown"), "patchbay");
        invalid(manager.set_address_pool("10.0.0.0/8").await.expect_err("not a pool"), "239");
        invalid(manager.add_sdp(&"x".repeat(9000), HashMap::new()).await.expect_err("too long"), "9000");
        let error = manager.add_sdp("v=0\r\n", HashMap::new()).await.expect_err("nothing in it");
        assert!(matches!(error, Error::FormatMismatch(_)), "{error:?}");
        assert_eq!(world.snapshot().await.streams, []);

        // What is right is done, seen at once, and kept.
        manager.set_node_limit(7).await.expect("in range");
        let used = |seen: &wireloom_dbus::Snapshot| {
            let of = seen.interfaces.iter().find(|interface| interface.name == "veth0");
            of.map(|interface| (interface.used, interface.state_reason.clone()))
        };
        world.until_snapshot("veth0", |seen| used(seen) == Some((true, "none".to_owned()))).await;
        manager.set_network_interfaces(&["veth1"]).await.expect("is taken");
        assert_eq!(used(&world.snapshot().await), Some((false, "not-chosen".to_owned())));
        manager.set_network_interfaces(&["veth0"]).await.expect("is taken");
        assert_eq!(used(&world.snapshot().await), Some((true, "none".to_owned())));
        let options = HashMap::from([("address", Variant::from("239.69.9.9"))]);
        let path = manager.create_stream("Drums", 2, options.clone()).await.expect("creates");
        let stream = wireloom_dbus::StreamProxy::builder(&world.connection).path(path).build().await;
        let stream = stream.expect("a proxy");
        assert_eq!(stream.name().await.expect("is there when the call returns"), "Drums");
        let error = manager.create_stream("Bass", 2, options).await.expect_err("the address is taken");
        assert!(matches!(&error, Error::AddressConflict(text) if text.contains("239.69.9.9")), "{error:?}");
        stream.set_alias("My\u{7} drums").await.expect("control characters are dropped");
        assert_eq!(stream.alias().await.expect("is there"), "My drums");
        let error = stream.set_alias(&"x".repeat(129)).await.expect_err("too long");
        invalid(error, "128");
        let other = Announcer::new(21);
        let sdp = other.sdp(777, 1, "From a file", "239.69.3.3");
        let added = manager.add_sdp(&sdp, HashMap::new()).await.expect("adds");
        assert_eq!(manager.add_sdp(&sdp, HashMap::new()).await.expect("adds"), added);
        world.kill_agent();
        world.start_agent().await;
        let seen = world.until_snapshot("both streams", |seen| seen.streams.len() == 2).await;
        assert_eq!(seen.manager.node_limit, 7);
        assert!(seen.streams.iter().any(|stream| stream.alias == "My drums" && stream.name == "Drums"));
        assert!(seen.streams.iter().any(|stream| stream.origin == "file"));
    });
}

#[test]
fn a_corrupt_state_is_moved_aside_and_the_agent_runs() {
    world::run("a_corrupt_state_is_moved_aside_and_the_agent_runs", async || {
        let mut world = World::new().await;
        std::fs::create_dir_all(world.path("state/wireloom")).expect("can be made");
        std::fs::write(world.path("state/wireloom/state.json"), "{\"own\": [3").expect("can be written");
        world.start_agent().await;
        let list = || std::fs::read_dir(world.path("state/wireloom")).expect("is there").flatten();
        until("the bad file", || {
            list().any(|entry| entry.file_name().to_string_lossy().starts_with("state.json.bad-"))
        })
        .await;
        world.manager().await.create_stream("Drums", 1, HashMap::new()).await.expect("creates");
        until("a good file", || world.path("state/wireloom/state.json").exists()).await;
    });
}
