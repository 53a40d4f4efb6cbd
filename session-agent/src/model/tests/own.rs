//! When streams of this computer are announced.

use wireloom_clock_page::{Line, LineState, Source};
use wireloom_sdp::SapPacket;
use wireloom_units::{ClockIdentity, TaiTime};

use super::Bench;
use crate::model::ClockFacts;
use crate::request::{Ask, Flavour, NewStream};
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

    fn follow(&mut self, grandmaster: [u8; 8]) {
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

#[test]
fn another_grandmaster_is_announced_at_once_and_not_at_the_next_turn() {
    let mut bench = Bench::new(Saved::default());
    bench.connect();
    let new = NewStream {
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
        dry_run: false,
    };
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
