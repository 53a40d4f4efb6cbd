//! What counts for a stream beside itself, one thing after the other. Each settling compares what was kept with what would
//! be made anew.

use std::net::IpAddr;

use wireloom_sdp::Via;
use wireloom_units::Nanos;

use super::{Bench, sdp};
use crate::model::{GraphEvent, InterfaceFacts};
use crate::request::{Ask, Setting, StreamSetting};
use crate::store::Saved;

type Change<'a> = &'a dyn Fn(&mut Bench);

const OURS: [u8; 8] = [0, 0, 0x5e, 0xff, 0xfe, 0, 0x53, 1];

fn interfaces(first: &str) -> Vec<InterfaceFacts> {
    let facts = |name: &str, index: u8| InterfaceFacts {
        name: name.into(),
        index: index.into(),
        up: true,
        multicast: true,
        addresses: vec![(IpAddr::from([192, 0, index, 10]), 24)],
        ..InterfaceFacts::default()
    };
    vec![facts(first, 2), facts("eth1", 3)]
}

/// At rest with one stream that names its grandmaster; nothing is forgotten at the next two settlings.
fn bench() -> Bench {
    let mut bench = Bench::new(Saved::default());
    bench.model.handle_interfaces(bench.now, interfaces("eth0"));
    bench.connect();
    bench.hear(&(sdp(4711, 21, "Stage", 1) + "a=ts-refclk:ptp=IEEE1588-2008:00-00-5E-FF-FE-00-53-01:0\r\n"));
    bench.settle();
    bench.settled = 0;
    bench
}

#[test]
fn each_thing_that_counts_beside_a_stream_is_seen_when_it_changes() {
    let heard_on_another = |bench: &mut Bench| {
        let text = sdp(4711, 21, "Stage", 1) + "a=ts-refclk:ptp=IEEE1588-2008:00-00-5E-FF-FE-00-53-01:0\r\n";
        let packet = wireloom_sdp::SapPacket {
            delete: false,
            is_version_0: false,
            hash: wireloom_sdp::message_hash(text.as_bytes()),
            origin: IpAddr::from([192, 0, 2, 21]),
            payload: text.as_bytes().into(),
        };
        let via = Via { interface: 3, group: None };
        let result = bench.model.handle_datagram(bench.now, packet.origin, via, &packet.emit());
        result.expect("well-formed");
    };
    let ask = |bench: &mut Bench, ask: Ask| {
        bench.model.handle_ask(bench.now, ask).expect("in range");
    };
    let id = |bench: &Bench| bench.model.streams.keys().next().expect("a stream").clone();
    let changes: [(&str, Change<'_>); 10] = [
        ("clock", &|bench| bench.follow(OURS)),
        ("announced on", &heard_on_another),
        ("interface", &|bench| bench.model.handle_interfaces(bench.now, interfaces("lan0"))),
        ("address", &|bench| bench.hear_from(22, &sdp(4712, 22, "Other", 1))),
        ("latency", &|bench| ask(bench, Ask::Set(Setting::LatencyFrames(960)))),
        ("name", &|bench| {
            let setting = StreamSetting::Alias("Mine".into());
            ask(bench, Ask::SetStream { id: id(bench), setting });
        }),
        ("limit", &|bench| ask(bench, Ask::Set(Setting::NodeLimit(1)))),
        ("devices", &|bench| bench.event(GraphEvent::Devices { sources: 1, sinks: 1 })),
        ("session", &|bench| bench.model.handle_active(false)),
        ("PipeWire", &|bench| bench.event(GraphEvent::Disconnected)),
    ];
    for (what, change) in changes {
        println!("{what}");
        let mut bench = bench();
        if what == "limit" {
            bench.hear_from(22, &sdp(4712, 22, "Other", 2));
            bench.settle();
            bench.settle();
            bench.settled = 0;
        }
        let (object, world) = (bench.object.clone(), bench.model.refresh_world(bench.now));
        change(&mut bench);
        bench.settle();
        let seen = bench.model.refresh_world(bench.now);
        let is_same = (&seen.streams, &seen.devices) == (&world.streams, &world.devices);
        assert!(!is_same || bench.object != object, "{what} makes no difference here");
        // All of it is forgotten: whatever was overlooked is made up for, and found.
        for _ in 0..3 {
            let before = bench.object.clone();
            bench.settle();
            assert_eq!(bench.object, before, "{what}");
        }
    }
}

#[test]
fn a_write_that_is_not_confirmed_is_repeated() {
    let mut bench = bench();
    bench.hear_from(22, &sdp(4712, 22, "Other", 2));
    bench.model.settle(bench.now); // PipeWire is too busy to answer
    let written: Vec<_> = std::iter::from_fn(|| bench.model.poll_graph()).collect();
    assert!(written.iter().any(|op| op.key.starts_with("node.")), "{written:?}");
    bench.model.settle(bench.now);
    bench.now.mono =
        bench.model.poll_timeout().expect("it waits").max(bench.now.mono.plus(Nanos::from_secs(3)));
    bench.model.settle(bench.now);
    let again: Vec<_> = std::iter::from_fn(|| bench.model.poll_graph()).collect();
    assert_eq!(again, written);
}
