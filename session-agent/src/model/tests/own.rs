//! When streams of this computer are announced.

use std::net::IpAddr;

use wireloom_clock_page::{Line, LineState, Source};
use wireloom_sdp::SapPacket;
use wireloom_units::{ClockIdentity, TaiTime};

use super::Bench;
use crate::model::{ClockFacts, InterfaceFacts};
use crate::request::{Ask, Flavour, NewStream, Refused, Setting};
use crate::store::Saved;

impl Bench {
    /// The descriptions that are announced now.
    fn announced(&mut self) -> Vec<String> {
        self.settle();
        std::iter::from_fn(|| self.model.poll_transmit())
            .map(|outgoing| {
                let packet = SapPacket::parse(&outgoing.bytes).expect("ours parse");
                String::from_utf8_lossy(&packet.payload).into_owned()
            })
            .collect()
    }

    pub(in crate::model) fn follow(&mut self, grandmaster: [u8; 8]) {
        let line = Line {
            source: Source::PtpV2(0),
            state: LineState::Locked,
            generation: 1,
            base: 0,
            time: TaiTime::from_nanos(0),
            rate: 0,
            error_bound_ns: 1000,
            leader: ClockIdentity(grandmaster),
        };
        let facts = ClockFacts { present: true, alive: true, lines: vec![line], ..ClockFacts::default() };
        self.model.handle_clock(facts);
    }
}

fn version(description: &str) -> u64 {
    let origin = description.lines().find_map(|line| line.strip_prefix("o=")).expect("an origin");
    origin.split(' ').nth(2).expect("a version").parse().expect("a number")
}

fn drums() -> NewStream {
    NewStream {
        name: "Drums".into(),
        channels: 2,
        address: None,
        port: 5004,
        labels: None,
        encoding: "L24".into(),
        rate: 48_000,
        packet_frames: None,
        ttl: 32,
        dscp: 34,
        flavour: Flavour::Aes67,
        interface: None,
        dry_run: false,
    }
}

#[test]
fn another_grandmaster_is_announced_at_once_and_not_at_the_next_turn() {
    let mut bench = Bench::new(Saved::default());
    bench.connect();
    let new = drums();
    bench.model.handle_ask(bench.now, Ask::Create(new)).expect("can be made");
    let mut last = version(&bench.announced()[0]);
    for grandmaster in [1, 2] {
        // Whatever is announced in its turn has been, and the next turn is some time off.
        bench.pass(100);
        bench.announced();
        bench.pass(1);
        assert_eq!(bench.announced(), [""; 0], "a turn falls on this very second");
        bench.follow([0, 0, 0x5e, 0xff, 0xfe, 0, 0x53, grandmaster]);
        let [text] = &bench.announced()[..] else { panic!("not announced when the grandmaster changed") };
        assert!(text.contains(&format!("ptp=IEEE1588-2008:00-00-5E-FF-FE-00-53-0{grandmaster}")), "{text}");
        assert!(version(text) > last, "{text}");
        last = version(text);
    }
    // The same again is no news.
    bench.pass(1);
    bench.announced();
    bench.follow([0, 0, 0x5e, 0xff, 0xfe, 0, 0x53, 2]);
    assert_eq!(bench.announced(), [""; 0]);
}

#[test]
fn a_stream_leaves_by_the_interface_it_was_made_for_or_says_why_not() {
    let mut bench = Bench::new(Saved::default());
    let first = bench.model.interfaces[0].clone();
    let second = InterfaceFacts {
        name: "eth1".into(),
        index: 3,
        addresses: vec![(IpAddr::from([198, 51, 100, 10]), 24)],
        ..first.clone()
    };
    let both = vec![first.clone(), second];
    bench.model.handle_interfaces(bench.now, both.clone());
    bench.connect();
    let refused = bench
        .model
        .handle_ask(bench.now, Ask::Create(NewStream { interface: Some("eth7".into()), ..drums() }));
    assert!(matches!(refused, Err(Refused::NotFound(_))), "{refused:?}");
    let new = NewStream { interface: Some("eth1".into()), ..drums() };
    let id = bench.model.handle_ask(bench.now, Ask::Create(new)).expect("can be made").remove(0);
    let [text] = &bench.announced()[..] else { panic!("not announced once") };
    assert!(text.contains("IN IP4 198.51.100.10\r\n"), "{text}");
    let leaves_by = |bench: &Bench| bench.nodes()[0].1.legs[0].interface.clone();
    assert_eq!(leaves_by(&bench).as_deref(), Some("eth1"));
    let plan = bench.model.ravenna_plan();
    assert_eq!((plan.publish.map(|(facts, _)| facts.name).as_deref(), plan.own.len()), (Some("eth1"), 1));

    // Away, it stays what it is: it does not go where nobody wanted it.
    bench.model.handle_interfaces(bench.now, vec![first]);
    bench.settle();
    assert_eq!(leaves_by(&bench).as_deref(), Some("eth1"));
    let condition = |bench: &mut Bench| bench.model.refresh_world(bench.now).streams[&id].condition.clone();
    let away = condition(&mut bench);
    assert_eq!((away.state, away.reason), ("pending", "announced"), "{}", away.text);
    assert!(away.text.contains("eth1"), "{}", away.text);
    bench.model.handle_interfaces(bench.now, both);
    bench.settle();
    assert_ne!(condition(&mut bench).reason, "announced");
}

#[test]
fn what_devices_of_dante_do_not_take_is_not_described_for_them() {
    let mut bench = Bench::new(Saved::default());
    bench.connect();
    let dante = || NewStream { flavour: Flavour::Dante, dry_run: true, ..drums() };
    let mut make = |new| bench.model.handle_ask(bench.now, Ask::Create(new));
    make(NewStream { channels: 8, ..dante() }).expect("can be made");
    for new in [
        NewStream { channels: 9, ..dante() },
        NewStream { rate: 96_000, ..dante() },
        NewStream { encoding: "L16".into(), ..dante() },
        NewStream { packet_frames: Some(24), ..dante() },
    ] {
        assert!(matches!(make(new.clone()), Err(Refused::Invalid(_))), "{new:?}");
    }
}

#[test]
fn an_automatic_address_is_one_that_nobody_has() {
    let mut bench = Bench::new(Saved::default());
    bench.connect();
    let pool = Setting::AddressPool("239.70.0.0/28".into());
    bench.model.handle_ask(bench.now, Ask::Set(pool)).expect("a pool");
    bench.settle();
    let announced = |group: u8, format: &str| {
        format!(
            "v=0\r\no=- {} 1 IN IP4 192.0.2.{}\r\ns=Box {group}\r\nc=IN IP4 239.70.0.{group}/32\r\n\
             t=0 0\r\nm=audio 5004 RTP/AVP 97\r\na=rtpmap:97 {format}\r\na=ptime:1\r\na=mediaclk:direct=0\r\n",
            4700 + u32::from(group),
            20 + group
        )
    };
    // One of them at a rate that this computer does not play.
    for group in (1..16).filter(|group| *group != 3) {
        bench
            .hear_from(20 + group, &announced(group, if group == 4 { "L24/32000/2" } else { "L24/48000/2" }));
    }
    bench.settle();
    assert_eq!(bench.model.streams.len(), 14);
    let create = |bench: &mut Bench| bench.model.handle_ask(bench.now, Ask::Create(drums()));
    let made = create(&mut bench).expect("one is free").remove(0);
    bench.settle();
    let leg = &bench.model.streams[&made].node.as_ref().expect("a node").legs[0];
    assert_eq!(leg.address, IpAddr::from([239, 70, 0, 3]));
    let none = bench.model.handle_ask(bench.now, Ask::Create(NewStream { name: "Keys".into(), ..drums() }));
    assert!(matches!(none, Err(Refused::Limit(_))), "{none:?}");
}
