//! Transmit streams of this computer: announced as they are, and not taken for anybody else's.

mod world;

use std::collections::HashMap;
use std::net::Ipv4Addr;

use wireloom_clock_page::LineState;
use world::{LEADER, World, nodes};
use zbus::Variant;

#[test]
fn a_created_stream_is_announced_and_again_when_the_grandmaster_changes() {
    world::run("a_created_stream_is_announced_and_again_when_the_grandmaster_changes", async || {
        let mut world = World::new().await;
        world.start_pipewire(true).await;
        let wire = listen();
        world.start_agent().await;
        let options = HashMap::from([("labels", Variant::from(vec!["Kick", "Snare"]))]);
        let path = world.manager().await.create_stream("Drums", 2, options).await.expect("creates");
        let (packet, stream) = hear(&wire).await;
        assert!(!packet.delete);
        assert_eq!(
            (stream.name.as_str(), stream.labels.as_slice()),
            ("Drums", &["Kick".into(), "Snare".into()][..])
        );
        assert_eq!(stream.samples_per_packet.0, 48);
        assert!(matches!(stream.refclk[..], [wireloom_sdp::RefClk::LocalMac(_)]), "{:?}", stream.refclk);
        let keys = world.until_metadata("the node", |keys| nodes(keys).len() == 1).await;
        let (key, node) = nodes(&keys).remove(0);
        assert!(key.ends_with(".rx") && node.announced && !node.remote, "{key} {node:?}");
        assert_eq!(node.legs[0].address, stream.legs[0].address);
        assert!(node.media.ssrc.is_some());
        // No grandmaster is announced, and nobody is told that there is one.
        assert_eq!(node.clock, wireloom_wanted::ClockRelation::Other);
        assert_eq!(world.snapshot().await.streams[0].clock_relation, "other");

        world.publish_clock(LEADER, LineState::Locked);
        let ours = wireloom_sdp::OurClock {
            grandmaster: wireloom_units::ClockIdentity(LEADER),
            domain: 0,
            time_traceable: false,
        };
        // That this is not merely its regular turn is what the model's own test holds.
        let (first, locked) = loop {
            let (packet, heard) = hear(&wire).await;
            if heard.clock_relation(&ours) == wireloom_sdp::Relation::Same {
                break (packet, heard);
            }
            assert_eq!(heard.origin.version, stream.origin.version);
        };
        assert_ne!(first.hash, packet.hash);
        let same = |keys: &_| nodes(keys)[0].1.clock == wireloom_wanted::ClockRelation::Same;
        world.until_metadata("the relation to the grandmaster", same).await;
        world.until_snapshot("it is told", |seen| seen.streams[0].clock_relation == "same").await;
        assert_eq!(locked.origin.session_id, stream.origin.session_id);
        assert_eq!(locked.origin.is_newer_than(&stream.origin), Some(true));

        // The same session and address after a restart, with the same version: nothing changed for the network.
        world.kill_agent();
        while wire.try_recv(&mut [0; 2048]).is_ok() {}
        world.start_agent().await;
        world.publish_clock(LEADER, LineState::Locked);
        let again = loop {
            let (_, heard) = hear(&wire).await;
            if heard.clock_relation(&ours) == wireloom_sdp::Relation::Same {
                break heard;
            }
        };
        assert_eq!(again.legs, locked.legs);
        assert_eq!(again.origin.session_id, locked.origin.session_id);

        let proxy = wireloom_dbus::StreamProxy::builder(&world.connection).path(path).build().await;
        proxy.expect("a proxy").remove(HashMap::new()).await.expect("removes");
        let mut buffer = [0; 2048];
        loop {
            let length = receive(&wire, &mut buffer).await;
            let packet = wireloom_sdp::SapPacket::parse(&buffer[..length]).expect("ours parse");
            if packet.delete {
                assert!(packet.payload.starts_with(b"o=- "));
                break;
            }
        }
        world.until_metadata("no node", |keys| nodes(keys).is_empty()).await;
        let seen = world.until_snapshot("no object", |seen| seen.streams.is_empty()).await;
        assert!(seen.devices.is_empty());
    });
}

#[test]
fn what_this_computer_announces_is_no_stream_of_the_network() {
    world::run("what_this_computer_announces_is_no_stream_of_the_network", async || {
        let mut world = World::new().await;
        world.start_pipewire(true).await;
        let wire = listen();
        world.start_agent().await;
        world.manager().await.create_stream("Drums", 2, HashMap::new()).await.expect("creates");
        // At once, after 1 s and after 3 s: the agent hears each as this test does.
        for _ in 0..3 {
            hear(&wire).await;
        }
        let heard_itself = async |world: &World| {
            let begun = std::time::Instant::now();
            while world.manager().await.announcement_counters().await.expect("counters")["received"] < 3 {
                assert!(begun.elapsed() < std::time::Duration::from_secs(40), "it does not hear itself");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        heard_itself(&world).await;
        let only_own = |seen: &wireloom_dbus::Snapshot| {
            seen.streams.iter().map(|stream| stream.origin.as_str()).eq(["own"]) && seen.devices.len() == 1
        };
        let seen = world.snapshot().await;
        assert!(only_own(&seen), "{seen:#?}");
        assert_eq!(nodes(&world.metadata()).len(), 1);

        // Nor are they to its successor, which hears what it did not send itself.
        world.kill_agent();
        world.start_agent().await;
        for _ in 0..3 {
            hear(&wire).await;
        }
        heard_itself(&world).await;
        let seen = world.snapshot().await;
        assert!(only_own(&seen), "{seen:#?}");
        assert_eq!(nodes(&world.metadata()).len(), 1);
    });
}

/// A socket that hears announcements as another computer would.
fn listen() -> tokio::net::UdpSocket {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).expect("a socket");
    socket.set_reuse_address(true).expect("can be set");
    socket.set_nonblocking(true).expect("can be set");
    let group = Ipv4Addr::new(239, 255, 255, 255);
    socket.bind(&std::net::SocketAddr::from((group, 9875)).into()).expect("binds");
    socket.join_multicast_v4(&group, &Ipv4Addr::new(192, 0, 2, 10)).expect("joins");
    tokio::net::UdpSocket::from_std(socket.into()).expect("a runtime")
}

async fn receive(wire: &tokio::net::UdpSocket, buffer: &mut [u8]) -> usize {
    let received = tokio::time::timeout(std::time::Duration::from_secs(60), wire.recv(buffer)).await;
    received.expect("an announcement within a minute").expect("can be received")
}

async fn hear(wire: &tokio::net::UdpSocket) -> (wireloom_sdp::SapPacket<'static>, wireloom_sdp::Stream) {
    let mut buffer = [0; 2048];
    let length = receive(wire, &mut buffer).await;
    let packet = wireloom_sdp::SapPacket::parse(&buffer[..length]).expect("ours parse");
    let parsed = wireloom_sdp::read(&packet.payload).expect("ours can be read");
    assert_eq!(parsed.warnings, [], "{}", String::from_utf8_lossy(&packet.payload));
    let stream = parsed.streams.into_iter().next().expect("one stream");
    let payload = packet.payload.into_owned().into();
    (wireloom_sdp::SapPacket { payload, ..packet }, stream)
}
