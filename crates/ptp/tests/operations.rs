//! Whatever happens in whatever order, an engine keeps its promises.

use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;
use wireloom_ptp::v2::{Announce, Body, ClockQuality, Correction, Flags, Header, Message, Timestamp, Tlvs};
use wireloom_ptp::{
    ClockState, Config, Engine, Lead, Line, OwnTime, PortConfig, PortIdentity, PortState, Token,
};
use wireloom_units::{ClockIdentity, TaiTime};

const PORTS: u16 = 3;
const FROM: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Everything that can happen to an engine.
#[derive(Debug, Clone)]
enum Op {
    Wait {
        ms: u32,
    },
    /// A master behaves for a while.
    Behave {
        port: u16,
        master: u8,
        seconds: u8,
    },
    Announce {
        port: u16,
        master: u8,
        priority1: u8,
        steps: u16,
    },
    Sync {
        port: u16,
        master: u8,
        sequence: u16,
        late_ns: i64,
        jump_ms: i64,
        two_step: bool,
    },
    FollowUp {
        port: u16,
        master: u8,
        sequence: u16,
        correction: i64,
    },
    DelayReq {
        port: u16,
        from: u8,
    },
    Answer {
        wrong_by: u16,
        delay_ns: i64,
    },
    Sent {
        token: u32,
        port: u16,
    },
    Enable {
        port: u16,
    },
    Disable {
        port: u16,
    },
    Resume,
    Octets {
        port: u16,
        event: bool,
        octets: Vec<u8>,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let port = || 0..PORTS + 1;
    let master = || 1..4_u8;
    let jump = prop_oneof![20 => Just(0_i64), 1 => -5_000..5_000_i64, 1 => any::<i64>()];
    prop_oneof![
        6 => (0..1_500_u32).prop_map(|ms| Op::Wait { ms }),
        2 => (port(), master(), 1..30_u8).prop_map(|(port, master, seconds)| Op::Behave { port, master, seconds }),
        4 => (port(), master(), 120..135_u8, 0..4_u16)
            .prop_map(|(port, master, priority1, steps)| Op::Announce { port, master, priority1, steps }),
        8 => (port(), master(), 0..4_u16, -50_000..500_000_i64, jump, any::<bool>()).prop_map(
            |(port, master, sequence, late_ns, jump_ms, two_step)| Op::Sync {
                port, master, sequence, late_ns, jump_ms, two_step
            }
        ),
        4 => (port(), master(), 0..4_u16, prop_oneof![Just(0), any::<i64>()])
            .prop_map(|(port, master, sequence, correction)| Op::FollowUp { port, master, sequence, correction }),
        1 => (port(), master()).prop_map(|(port, from)| Op::DelayReq { port, from }),
        4 => (prop_oneof![4 => Just(0), 1 => any::<u16>()], -1_000_000..1_000_000_i64)
            .prop_map(|(wrong_by, delay_ns)| Op::Answer { wrong_by, delay_ns }),
        1 => (any::<u32>(), port()).prop_map(|(token, port)| Op::Sent { token, port }),
        1 => port().prop_map(|port| Op::Enable { port }),
        1 => port().prop_map(|port| Op::Disable { port }),
        1 => Just(Op::Resume),
        1 => (port(), any::<bool>(), prop::collection::vec(any::<u8>(), 0..80))
            .prop_map(|(port, event, octets)| Op::Octets { port, event, octets }),
    ]
}

struct World {
    engine: Engine<3>,
    now: i64,
    line: Option<Line>,
    /// The last delay request: port, token, and who asked with what number.
    asked: Option<(u16, Token, PortIdentity, u16)>,
}

impl World {
    fn master(number: u8) -> PortIdentity {
        PortIdentity { clock: ClockIdentity([number; 8]), port: 1 }
    }

    fn network_time(&self) -> i64 {
        1_795_000_000_000_000_000 + self.now + self.now / 20_000
    }

    fn send(&mut self, port: u16, source: PortIdentity, body: Body, change: impl FnOnce(&mut Header)) {
        let mut header = Header { source, log_interval: -3, ..Header::default() };
        change(&mut header);
        let mut octets = [0; 64];
        let length = Message { header, body, tlvs: Tlvs::default() }.emit(&mut octets).expect("it fits");
        if body.kind().is_event() {
            self.engine.handle_event(self.now, port, &octets[..length], self.now, FROM);
        } else {
            self.engine.handle_general(self.now, port, &octets[..length], FROM);
        }
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Wait { ms } => {
                let until = self.now + i64::from(ms) * 1_000_000;
                while let Some(due) = self.engine.poll_timeout().filter(|&due| due <= until) {
                    self.now = due.max(self.now);
                    self.engine.handle_timeout(self.now);
                    let next = self.engine.poll_timeout();
                    assert!(next.is_none_or(|next| next > self.now), "it would spin");
                    self.verify();
                }
                self.now = until;
            }
            Op::Behave { port, master, seconds } => {
                for beat in 0..8 * u32::from(seconds) {
                    if beat % 8 == 0 {
                        self.apply(Op::Announce { port, master, priority1: 100, steps: 0 });
                    }
                    let late_ns = i64::from(beat * 7919 % 400);
                    self.apply(Op::Sync { port, master, sequence: 0, late_ns, jump_ms: 0, two_step: false });
                    self.apply(Op::Wait { ms: 125 });
                    self.apply(Op::Answer { wrong_by: 0, delay_ns: i64::from(beat % 300) });
                }
            }
            Op::Announce { port, master, priority1, steps } => {
                let announce = Announce {
                    origin: Timestamp::default(),
                    utc_offset: 37,
                    reserved: 0,
                    priority1,
                    quality: ClockQuality { class: 248, accuracy: 0xfe, variance: 0xffff },
                    priority2: 128,
                    grandmaster: Self::master(master % 2).clock,
                    steps_removed: steps,
                    time_source: 0xa0,
                };
                self.send(port, Self::master(master), Body::Announce(announce), |header| {
                    header.log_interval = 0
                });
            }
            Op::Sync { port, master, sequence, late_ns, jump_ms, two_step } => {
                let time = self
                    .network_time()
                    .saturating_add(jump_ms.saturating_mul(1_000_000))
                    .saturating_sub(late_ns);
                let origin = Timestamp::from_tai(TaiTime::from_nanos(time));
                self.send(port, Self::master(master), Body::Sync { origin }, |header| {
                    header.sequence = sequence;
                    header.flags = header.flags.with(Flags::TWO_STEP, two_step);
                });
            }
            Op::FollowUp { port, master, sequence, correction } => {
                let origin = Timestamp::from_tai(TaiTime::from_nanos(self.network_time()));
                self.send(port, Self::master(master), Body::FollowUp { origin }, |header| {
                    header.sequence = sequence;
                    header.correction = Correction::from_wire(correction);
                });
            }
            Op::DelayReq { port, from } => {
                let origin = Timestamp::default();
                self.send(port, Self::master(from), Body::DelayReq { origin }, |_| {});
            }
            Op::Answer { wrong_by, delay_ns } => {
                let Some((port, token, requester, sequence)) = self.asked.take() else { return };
                self.engine.handle_sent(self.now, port, token, self.now);
                let receipt = Timestamp::from_tai(TaiTime::from_nanos(self.network_time() + delay_ns));
                let parent =
                    self.engine.status(self.now).leader.map_or(Self::master(1), |leader| leader.parent);
                self.send(port, parent, Body::DelayResp { receipt, requester }, |header| {
                    header.sequence = sequence.wrapping_add(wrong_by);
                });
            }
            Op::Sent { token, port } => self.engine.handle_sent(self.now, port, Token(token), self.now),
            Op::Enable { port } => self.engine.enable_port(self.now, port, PortConfig::default()),
            Op::Disable { port } => self.engine.disable_port(self.now, port),
            Op::Resume => {
                let time = TaiTime::from_nanos(self.network_time());
                let own_time = OwnTime { base: self.now, time, ptp_timescale: true, utc_offset: None };
                self.engine.handle_resume(self.now, own_time);
            }
            Op::Octets { port, event: true, octets } => {
                self.engine.handle_event(self.now, port, &octets, self.now, FROM);
            }
            Op::Octets { port, octets, .. } => self.engine.handle_general(self.now, port, &octets, FROM),
        }
        self.verify();
    }

    fn verify(&mut self) {
        let states: Vec<_> = (0..PORTS).map(|port| self.engine.port_state(port)).collect();
        let status = self.engine.status(self.now);
        let following =
            states.iter().filter(|state| matches!(state, PortState::Slave | PortState::Uncalibrated));
        assert_eq!(following.count(), usize::from(status.leader.is_some()), "{states:?}");
        if let Some(leader) = status.leader {
            assert!(matches!(states[usize::from(leader.port)], PortState::Slave | PortState::Uncalibrated));
        }
        let leads = status.state == ClockState::Leader;
        assert_eq!(leads, status.leader.is_none() && states.contains(&PortState::Master), "{states:?}");
        assert!(
            status.sigma_ns.is_finite() && status.frequency_ppb.abs() < 1e9 && status.offset_ns.is_finite()
        );
        if status.state == ClockState::Locked {
            assert!(status.locked_for_ns.is_some() && status.sigma_ns < 20_000.0);
        }
        let line = self.engine.line();
        if let (Some(last), Some(line)) = (self.line, line) {
            assert!(line.rate.abs() <= 1_100_000_000, "{line:?}");
            if last.generation == line.generation {
                assert_eq!(line.time.since(last.at(line.base)), 0, "jumped: {last:?} {line:?}");
                let change = (line.rate - last.rate).abs() as f64 / 1_099.511_627_776;
                assert!(change <= 50_001.0, "rate changed by {change} ppb");
            } else {
                assert_eq!(line.generation, last.generation + 1);
            }
        }
        assert!(self.line.is_none() || line.is_some(), "a mapping never vanishes");
        self.line = line;
        while self.engine.poll_event().is_some() {}
        while let Some(transmit) = self.engine.poll_transmit() {
            let message = Message::parse(&transmit.bytes).expect("what we send can be read");
            assert_eq!(message.body.kind().is_event(), transmit.event);
            assert!(
                states[usize::from(transmit.port)] != PortState::Disabled || message.body.kind().is_event()
            );
            if let Body::DelayReq { .. } = message.body {
                let header = message.header;
                self.asked = Some((transmit.port, transmit.token, header.source, header.sequence));
            }
        }
    }
}

fn run(lead: Lead, seed: u64, ops: Vec<Op>) {
    let config = Config { lead, log_announce: 0, ..Config::follower(ClockIdentity([9; 8])) };
    let mut world = World { engine: Engine::new(config, seed), now: 1_000_000_000, line: None, asked: None };
    world.engine.enable_port(world.now, 0, PortConfig::default());
    ops.into_iter().for_each(|op| world.apply(op));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn promises_hold_after_any_sequence(
        lead in prop_oneof![Just(Lead::Never), Just(Lead::LastResort), Just(Lead::Always)],
        seed in any::<u64>(),
        ops in prop::collection::vec(op(), 0..150),
    ) {
        run(lead, seed, ops);
    }
}
