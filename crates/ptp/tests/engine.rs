//! One engine, message by message: what it refuses and counts, what it sends, what it takes off.

use std::net::{IpAddr, Ipv4Addr};

use wireloom_ptp::estimator::Estimator;
use wireloom_ptp::v2::{
    Announce, Body, ClockQuality, Correction, Flags, Header, Management, Message, MessageType, Timestamp,
    Tlvs,
};
use wireloom_ptp::{
    ClockState, Config, Counters, Engine, Event, Lead, OwnTime, PortConfig, PortIdentity, PortState,
};
use wireloom_units::{ClockIdentity, TaiTime};

const MS: i64 = 1_000_000;
const SECOND: i64 = 1_000_000_000;
const EPOCH: i64 = 1_795_000_000_000_000_000;
const FROM: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
const OURS: ClockIdentity = ClockIdentity([9; 8]);
const LEADER: PortIdentity = PortIdentity { clock: ClockIdentity([1; 8]), port: 3 };

fn announce() -> Message<'static> {
    let announce = Announce {
        origin: Timestamp::default(),
        utc_offset: 37,
        reserved: 0,
        priority1: 128,
        quality: ClockQuality { class: 6, accuracy: 0x21, variance: 0x4e5d },
        priority2: 128,
        grandmaster: LEADER.clock,
        steps_removed: 0,
        time_source: 0x20,
    };
    message(Body::Announce(announce), 0, 0)
}

fn message(body: Body, sequence: u16, log_interval: i8) -> Message<'static> {
    let control = body.kind().control();
    let header = Header { source: LEADER, sequence, control, log_interval, ..Header::default() };
    Message { header, body, tlvs: Tlvs::default() }
}

fn with(message: Message<'static>, change: impl FnOnce(&mut Header)) -> Message<'static> {
    let mut message = message;
    change(&mut message.header);
    message
}

fn octets(message: &Message<'_>) -> Vec<u8> {
    let mut octets = vec![0; message.length()];
    message.emit(&mut octets).expect("as long as it says");
    octets
}

fn stamp(time: i64) -> Timestamp {
    Timestamp::from_tai(TaiTime::from_nanos(time))
}

/// An engine with one port and a perfect leader `delay` ns away in both directions.
struct Bench {
    engine: Engine<2>,
    now: i64,
    sequence: u16,
    delay: i64,
    /// What a transparent clock adds and declares, in both directions.
    residence: i64,
    constants: PortConfig,
    /// What the leader says of itself.
    announce: Message<'static>,
    /// What the engine sent as a leader.
    led: Vec<Vec<u8>>,
}

impl Bench {
    fn new(config: Config) -> Self {
        let mut engine = Engine::new(config, 1);
        engine.enable_port(0, 0, PortConfig::default());
        Self {
            engine,
            now: SECOND,
            sequence: 0,
            delay: 5_000,
            residence: 0,
            constants: PortConfig::default(),
            announce: announce(),
            led: Vec::new(),
        }
    }

    fn general(&mut self, message: &Message<'_>) {
        self.engine.handle_general(self.now, 0, &octets(message), FROM);
    }

    fn event(&mut self, message: &Message<'_>, received: i64) {
        self.engine.handle_event(self.now, 0, &octets(message), received, FROM);
    }

    /// An eighth of a second with one Sync, and an Announce in every eighth of these.
    fn beat(&mut self) {
        self.sequence += 1;
        if self.sequence % 8 == 1 {
            self.general(&self.announce.clone());
        }
        // The residence time changes from message to message; its correction tells.
        let residence = self.residence * i64::from(self.sequence % 5);
        let correction = Correction::from_wire(residence << 16);
        let arrival = self.now + self.delay + residence + i64::from(self.constants.ingress_latency_ns);
        let sync = message(Body::Sync { origin: Timestamp::default() }, self.sequence, -3);
        let sync = with(sync, |header| (header.flags, header.correction) = (Flags::TWO_STEP, correction));
        self.event(&sync, arrival);
        let origin = stamp(EPOCH + self.now);
        self.general(&message(Body::FollowUp { origin }, self.sequence, -3));
        while let Some(due) = self.engine.poll_timeout().filter(|&due| due <= self.now) {
            self.engine.handle_timeout(due.max(self.now));
            self.answer();
        }
        self.answer();
        self.now += SECOND / 8;
        self.engine.handle_timeout(self.now);
        self.answer();
        while self.engine.poll_event().is_some() {}
    }

    /// Answers every delay request; the answer overtakes the transmit timestamp every other time.
    fn answer(&mut self) {
        while let Some(transmit) = self.engine.poll_transmit() {
            let request = Message::parse(&transmit.bytes).expect("we send what we can read");
            if !matches!(request.body, Body::DelayReq { .. }) {
                self.led.push(transmit.bytes.to_vec());
                continue;
            }
            assert!(transmit.event, "{transmit:?}");
            let residence = self.residence * i64::from(request.header.sequence % 3);
            let receipt = stamp(EPOCH + self.now + self.delay + residence);
            let requester = request.header.source;
            let answer = message(Body::DelayResp { receipt, requester }, request.header.sequence, -3);
            let answer = with(answer, |header| header.correction = Correction::from_wire(residence << 16));
            let sent = self.now - i64::from(self.constants.egress_latency_ns);
            if request.header.sequence.is_multiple_of(2) {
                self.general(&answer);
                self.engine.handle_sent(self.now, 0, transmit.token, sent);
            } else {
                self.engine.handle_sent(self.now, 0, transmit.token, sent);
                self.general(&answer);
            }
        }
    }

    fn locked(mut self) -> Self {
        for _ in 0..8 * 14 {
            self.beat();
        }
        assert_eq!(
            self.engine.status(self.now).state,
            ClockState::Locked,
            "{:#?}",
            self.engine.status(self.now)
        );
        self
    }

    fn error(&self) -> i64 {
        self.engine.line().expect("a line").at(self.now).since(TaiTime::from_nanos(EPOCH + self.now))
    }
}

fn follower() -> Config {
    Config::follower(OURS)
}

#[test]
fn a_perfect_leader_is_followed_to_the_nanosecond() {
    let bench = Bench::new(follower()).locked();
    assert!(bench.error().abs() <= 2, "{} ns", bench.error());
    let status = bench.engine.status(bench.now);
    assert_eq!(status.path_delay_ns.map(|delay| delay.round() as i64), Some(5_000));
    let leader = status.leader.expect("followed");
    assert_eq!((leader.parent, leader.time_source, leader.quality.class), (LEADER, 0x20, 6));
    assert_eq!(bench.engine.line().expect("a line").leader, LEADER.clock);
    assert!(bench.led.is_empty(), "a follower only asks");
    let zero = Counters {
        announces: status.counters.announces,
        syncs: status.counters.syncs,
        delay_responses: status.counters.delay_responses,
        delay_requests_sent: status.counters.delay_requests_sent,
        windows_used: status.counters.windows_used,
        // Two Syncs came before the second Announce made their sender a leader.
        not_parent: status.counters.not_parent,
        steps: 1,
        ..Counters::default()
    };
    assert_eq!(status.counters, zero, "nothing else was counted");
}

#[test]
fn corrections_of_transparent_clocks_are_taken_off() {
    let bench = Bench { residence: 777_000, ..Bench::new(follower()) }.locked();
    assert!(bench.error().abs() <= 2, "{} ns", bench.error());
    assert_eq!(bench.engine.status(0).path_delay_ns.map(|delay| delay.round() as i64), Some(5_000));
}

#[test]
fn constants_of_the_interface_are_taken_off() {
    let constants = PortConfig { ingress_latency_ns: 3_000, egress_latency_ns: 1_000, delay_asymmetry_ns: 0 };
    let mut bench = Bench { constants, ..Bench::new(follower()) };
    bench.engine.enable_port(0, 0, constants);
    let bench = bench.locked();
    assert!(bench.error().abs() <= 2, "{} ns", bench.error());
    // Told that the way from the leader is 400 ns longer than the mean, the clock reads 400 ns more.
    let mut bench = Bench::new(follower());
    bench.engine.enable_port(0, 0, PortConfig { delay_asymmetry_ns: 400, ..PortConfig::default() });
    let bench = bench.locked();
    assert!((bench.error() - 400).abs() <= 2, "{} ns", bench.error());
}

#[test]
fn each_ignored_message_is_counted_in_exactly_one_place() {
    let sync = message(Body::Sync { origin: stamp(EPOCH) }, 7, -3);
    let requester = PortIdentity { clock: OURS, port: 1 };
    let answer = message(Body::DelayResp { receipt: stamp(EPOCH), requester }, 999, 0);
    let stranger = PortIdentity { clock: ClockIdentity([5; 8]), port: 1 };
    let target = stranger;
    let management = Management { target, starting_hops: 0, hops: 0, action: 0, reserved: 0 };
    let far = Correction::from_wire((2 * SECOND) << 16);
    let mut version1 = octets(&announce());
    version1[1] = 1;
    let mut version3 = octets(&announce());
    version3[1] = 3;
    let mut reserved_type = octets(&announce());
    reserved_type[0] = 0x0f;
    type Counter = fn(&mut Counters) -> &mut u64;
    let general: Vec<(&str, Vec<u8>, Counter)> = vec![
        ("empty", vec![], |counters| &mut counters.malformed),
        ("noise", vec![0x0b, 2, 0, 64, 1], |counters| &mut counters.malformed),
        ("version 1", version1, |counters| &mut counters.version1),
        ("version 3", version3, |counters| &mut counters.other_version),
        ("reserved type", reserved_type, |counters| &mut counters.unhandled_type),
        ("gPTP", octets(&with(announce(), |header| header.major_sdo = 1)), |counters| {
            &mut counters.other_sdo
        }),
        ("domain", octets(&with(announce(), |header| header.domain = 127)), |counters| {
            &mut counters.other_domain
        }),
        ("own", octets(&with(announce(), |header| header.source.clock = OURS)), |counters| &mut counters.own),
        (
            "alternate",
            octets(&with(announce(), |header| header.flags = Flags::ALTERNATE_MASTER)),
            |counters| &mut counters.alternate_master,
        ),
        ("unicast", octets(&with(announce(), |header| header.flags = Flags::UNICAST)), |counters| {
            &mut counters.unicast
        }),
        ("event on general", octets(&sync), |counters| &mut counters.wrong_socket),
        ("signaling", octets(&message(Body::Signaling { target }, 0, 0)), |counters| {
            &mut counters.unhandled_type
        }),
        ("management", octets(&message(Body::Management(management), 0, 0)), |counters| {
            &mut counters.unhandled_type
        }),
        (
            "far away",
            octets(&Message {
                body: match announce().body {
                    Body::Announce(announce) => Body::Announce(Announce { steps_removed: 255, ..announce }),
                    other => other,
                },
                ..announce()
            }),
            |counters| &mut counters.steps_removed,
        ),
        (
            "other parent",
            octets(&with(message(Body::FollowUp { origin: stamp(EPOCH) }, 7, -3), |header| {
                header.source = stranger
            })),
            |counters| &mut counters.not_parent,
        ),
        (
            "other requester",
            octets(&message(Body::DelayResp { receipt: stamp(EPOCH), requester: stranger }, 7, 0)),
            |counters| &mut counters.other_requester,
        ),
        ("nobody asked", octets(&answer), |counters| &mut counters.unrequested),
        (
            "nobody asked by itself",
            octets(&with(answer, |header| header.flags = Flags::UNICAST)),
            |counters| &mut counters.unrequested,
        ),
        (
            "absurd correction",
            octets(&with(message(Body::FollowUp { origin: stamp(EPOCH) }, 7, -3), |header| {
                header.correction = far
            })),
            |counters| &mut counters.correction_range,
        ),
        (
            "beyond 2262",
            octets(&message(
                Body::FollowUp { origin: Timestamp::new((1 << 48) - 1, 0).expect("on the wire") },
                7,
                -3,
            )),
            |counters| &mut counters.malformed,
        ),
    ];
    let event: Vec<(&str, Vec<u8>, Counter)> = vec![
        ("general on event", octets(&announce()), |counters| &mut counters.wrong_socket),
        ("request", octets(&message(Body::DelayReq { origin: stamp(0) }, 1, 0)), |counters| {
            &mut counters.not_leading
        }),
        (
            "peer delay",
            octets(&message(Body::PdelayReq { origin: stamp(0), reserved: [0; 10] }, 1, 0)),
            |counters| &mut counters.unhandled_type,
        ),
        ("other parent", octets(&with(sync, |header| header.source = stranger)), |counters| {
            &mut counters.not_parent
        }),
        ("absurd correction", octets(&with(sync, |header| header.correction = far)), |counters| {
            &mut counters.correction_range
        }),
        ("old origin", octets(&sync), |counters| &mut counters.origin_not_rising),
        (
            "an hour off",
            octets(&message(Body::Sync { origin: stamp(EPOCH + 3_600 * SECOND) }, 8, -3)),
            |counters| &mut counters.outliers,
        ),
    ];
    let bench = Bench::new(follower()).locked();
    let check = |name: &str, bytes: &[u8], on_event: bool, counter: Counter| {
        let mut engine = bench.engine.clone();
        let mut expected = engine.status(0).counters;
        *counter(&mut expected) += 1;
        let line = engine.line();
        if on_event {
            engine.handle_event(bench.now, 0, bytes, bench.now, FROM);
        } else {
            engine.handle_general(bench.now, 0, bytes, FROM);
        }
        assert_eq!(engine.status(0).counters, expected, "{name}");
        assert_eq!(engine.line(), line, "{name}");
    };
    general.iter().for_each(|(name, bytes, counter)| check(name, bytes, false, *counter));
    event.iter().for_each(|(name, bytes, counter)| check(name, bytes, true, *counter));
    let mut engine = bench.engine.clone();
    engine.handle_general(bench.now, 1, &octets(&announce()), FROM);
    engine.handle_general(bench.now, 77, &octets(&announce()), FROM);
    assert_eq!(engine.status(0).counters.port_disabled, 2);
    let late = octets(&message(Body::Sync { origin: stamp(EPOCH + bench.now) }, 9, -3));
    engine.handle_event(bench.now, 0, &late, bench.now - SECOND, FROM);
    assert_eq!(engine.status(0).counters.receipt_not_rising, 1);
}

#[test]
fn the_domain_of_a_clock_that_is_not_followed_is_known() {
    let mut bench = Bench::new(follower());
    bench.general(&with(announce(), |header| (header.domain, header.major_sdo) = (3, 1)));
    bench.event(&with(message(Body::Sync { origin: stamp(0) }, 1, 0), |header| header.domain = 4), 0);
    assert_eq!(bench.engine.status(bench.now).other_domain, None, "neither gPTP nor a Sync alone");
    bench.general(&with(announce(), |header| header.domain = 127));
    bench.general(&announce());
    assert_eq!(bench.engine.status(bench.now).other_domain, Some(127));
}

fn leading() -> Bench {
    let own_time = OwnTime {
        base: 10,
        time: TaiTime::from_nanos(EPOCH + 10),
        ptp_timescale: true,
        utc_offset: Some(37),
    };
    let config = Config { lead: Lead::Always, own_time, log_announce: 0, ..follower() };
    let mut bench = Bench::new(config);
    while bench.engine.port_state(0) != PortState::Master {
        bench.now = bench.engine.poll_timeout().expect("it waits for the announce receipt timeout");
        bench.engine.handle_timeout(bench.now);
    }
    assert!((3 * SECOND..=4 * SECOND).contains(&bench.now), "{}", bench.now);
    bench
}

#[test]
fn a_leader_says_when_its_syncs_left() {
    let mut bench = leading();
    bench.engine.enable_port(bench.now, 0, PortConfig { egress_latency_ns: 250, ..PortConfig::default() });
    let announce = bench.engine.poll_transmit().expect("an Announce comes first");
    let sync = bench.engine.poll_transmit().expect("then a Sync");
    assert_eq!((announce.event, sync.event, bench.engine.poll_transmit()), (false, true, None));
    let Ok(Message { header, body: Body::Announce(body), .. }) = Message::parse(&announce.bytes) else {
        panic!()
    };
    assert_eq!(
        (header.flags, header.log_interval),
        (Flags(0x000c), 0),
        "UTC offset valid, PTP timescale, no more"
    );
    assert_eq!((body.grandmaster, body.utc_offset, body.time_source), (OURS, 37, 0xa0));
    assert_eq!((body.priority1, body.quality.class, body.steps_removed), (128, 248, 0));
    let Ok(Message { header, body: Body::Sync { .. }, .. }) = Message::parse(&sync.bytes) else { panic!() };
    assert_eq!((header.flags, header.sequence, header.log_interval), (Flags::TWO_STEP, 0, -3));
    let left = bench.now + 12_345;
    bench.engine.handle_sent(bench.now + MS, 0, sync.token, left);
    let follow_up = bench.engine.poll_transmit().expect("a Follow_Up");
    let Ok(Message { header, body: Body::FollowUp { origin }, .. }) = Message::parse(&follow_up.bytes) else {
        panic!()
    };
    assert_eq!((header.sequence, origin), (0, stamp(EPOCH + left + 250)));
    bench.engine.handle_sent(bench.now + MS, 0, sync.token, left);
    assert_eq!(bench.engine.poll_transmit(), None, "once");
    assert_eq!(bench.engine.line().expect("leads").state, ClockState::Leader);
}

#[test]
fn a_leader_answers_each_request_to_whom_it_came_from() {
    let mut bench = leading();
    while bench.engine.poll_transmit().is_some() {}
    let correction = Correction::from_wire(0x1234_5678);
    let request = with(message(Body::DelayReq { origin: stamp(0) }, 513, 0x7f), |header| {
        header.correction = correction
    });
    for (flags, to, log) in [(Flags::default(), None, 0), (Flags::UNICAST, Some(FROM), 0x7f)] {
        bench.event(&with(request, |header| header.flags = flags), bench.now - 40);
        let answer = bench.engine.poll_transmit().expect("an answer");
        assert_eq!((answer.to, answer.event), (to, false));
        let Ok(Message { header, body: Body::DelayResp { receipt, requester }, .. }) =
            Message::parse(&answer.bytes)
        else {
            panic!()
        };
        assert_eq!((header.sequence, header.correction, header.log_interval), (513, correction, log));
        assert_eq!((requester, receipt), (LEADER, stamp(EPOCH + bench.now - 40)));
        assert_eq!(header.flags, flags);
    }
    // A thousand requests between two drains: eight answers, the rest counted.
    (0..1_000).for_each(|_| bench.event(&request, bench.now));
    assert_eq!(std::iter::from_fn(|| bench.engine.poll_transmit()).count(), 8);
    assert_eq!(bench.engine.status(0).counters.queue_full, 1_000 - 8);
}

#[test]
fn eight_ports_that_begin_to_lead_at_once_are_all_heard() {
    let config = Config { lead: Lead::Always, log_announce: 0, ..follower() };
    let mut engine: Engine<8> = Engine::new(config, 1);
    (0..8).for_each(|port| engine.enable_port(0, port, PortConfig::default()));
    // Eight interfaces of one network: when its leader falls silent, all begin to lead together.
    for now in [1, SECOND] {
        (0..8).for_each(|port| engine.handle_general(now, port, &octets(&announce()), FROM));
    }
    let mut heard = [[0_u32; 2]; 8];
    let (mut now, mut held_up) = (SECOND, false);
    while now < 30 * SECOND {
        now = engine.poll_timeout().expect("there is something to do");
        if now > 15 * SECOND && !core::mem::replace(&mut held_up, true) {
            now += 2 * SECOND;
        }
        engine.handle_timeout(now);
        while let Some(transmit) = engine.poll_transmit() {
            let kind = Message::parse(&transmit.bytes).expect("we send what we can read").body.kind();
            if now > 20 * SECOND {
                heard[usize::from(transmit.port)][usize::from(transmit.event)] += 1;
            }
            assert!(transmit.event || kind == MessageType::Announce);
        }
    }
    for (port, [announces, syncs]) in heard.into_iter().enumerate() {
        assert!((9..=11).contains(&announces), "port {port}: {announces} Announces in 10 s");
        assert!((78..=82).contains(&syncs), "port {port}: {syncs} Syncs in 10 s");
    }
}

#[test]
fn a_leader_that_slept_begins_a_new_generation_with_the_time_it_is_given() {
    let mut bench = leading();
    let generation = bench.engine.line().expect("leads").generation;
    let time = TaiTime::from_nanos(EPOCH + 7_200 * SECOND);
    let own_time = OwnTime { base: bench.now, time, ptp_timescale: true, utc_offset: Some(37) };
    bench.engine.handle_resume(bench.now, own_time);
    let line = bench.engine.line().expect("leads");
    assert_eq!((line.generation, line.at(bench.now)), (generation + 1, time));
}

#[test]
fn a_leader_that_gives_way_follows_without_a_step_when_the_times_agree() {
    let mut bench = leading();
    while bench.engine.poll_transmit().is_some() {}
    let generation = bench.engine.line().expect("leads").generation;
    bench.engine.handle_general(bench.now, 0, &octets(&announce()), FROM);
    assert_eq!(bench.engine.port_state(0), PortState::Master, "one Announce is not enough");
    bench.now += SECOND;
    bench.engine.handle_general(bench.now, 0, &octets(&announce()), FROM);
    assert_eq!(bench.engine.port_state(0), PortState::Uncalibrated);
    while bench.engine.poll_transmit().is_some() {}
    let bench = bench.locked();
    assert_eq!(bench.engine.line().expect("follows").generation, generation);
    assert!(bench.error().abs() < 10, "{} ns", bench.error());
}

#[test]
fn a_boundary_clock_that_follows_another_grandmaster_is_followed_on_and_the_new_one_named() {
    let mut bench = Bench::new(follower()).locked();
    while bench.engine.poll_event().is_some() {}
    let elsewhere = ClockIdentity([4; 8]);
    let announce = Message {
        body: match announce().body {
            Body::Announce(announce) => {
                Body::Announce(Announce { grandmaster: elsewhere, steps_removed: 1, ..announce })
            }
            other => other,
        },
        ..announce()
    };
    bench.general(&announce);
    let events: Vec<_> = std::iter::from_fn(|| bench.engine.poll_event()).collect();
    assert!(events.contains(&Event::LeaderChanged(Some(LEADER))), "{events:?}");
    let line = bench.engine.line().expect("locked");
    assert_eq!((line.state, line.generation, line.leader), (ClockState::Locked, 1, elsewhere));
    bench.general(&announce);
    let again = std::iter::from_fn(|| bench.engine.poll_event())
        .any(|event| event == Event::LeaderChanged(Some(LEADER)));
    assert!(!again, "it is told once");
}

/// The last Announce among `sent`.
fn last_announce(sent: &[Vec<u8>]) -> (Flags, Announce) {
    let announces = sent.iter().rev().filter_map(|octets| match Message::parse(octets) {
        Ok(Message { header, body: Body::Announce(announce), .. }) => Some((header.flags, announce)),
        _ => None,
    });
    announces.into_iter().next().expect("an Announce")
}

#[test]
fn who_leads_after_another_goes_on_with_its_time_and_says_of_which_timescale_it_is() {
    let tai = Flags::PTP_TIMESCALE.with(Flags::UTC_OFFSET_VALID, true);
    for (theirs, own_is_tai) in [(Flags::default(), true), (tai, false)] {
        let time = TaiTime::from_nanos(if own_is_tai { EPOCH + SECOND } else { 5 * SECOND });
        let utc_offset = own_is_tai.then_some(36);
        let own_time = OwnTime { base: 0, time, ptp_timescale: own_is_tai, utc_offset };
        let config = Config { lead: Lead::Always, own_time, log_announce: 0, ..follower() };
        let announce = with(announce(), |header| header.flags = theirs);
        let mut bench = Bench { announce, ..Bench::new(config) }.locked();
        let line = bench.engine.line().expect("locked");
        while bench.engine.port_state(0) != PortState::Master {
            bench.now = bench.engine.poll_timeout().expect("the leader is given up");
            bench.engine.handle_timeout(bench.now);
            bench.answer();
        }
        let (flags, said) = last_announce(&bench.led);
        let leading = bench.engine.line().expect("leads");
        assert_eq!((leading.state, leading.generation), (ClockState::Leader, line.generation), "no step");
        assert_eq!(flags, theirs);
        assert_eq!(said.utc_offset, if theirs == tai { 37 } else { 0 });
        // Where it has to begin anew, it does so with its own time.
        bench.engine.handle_resume(bench.now, OwnTime { base: bench.now, ..own_time });
        bench.now += SECOND;
        bench.engine.handle_timeout(bench.now);
        bench.answer();
        let own = if own_is_tai { tai } else { Flags::default() };
        assert_eq!(last_announce(&bench.led).0, own);
    }
}

#[test]
fn a_boundary_clock_passes_on_what_its_leader_says_of_utc() {
    for flags in [Flags(0x3d), Flags(0x3e), Flags(0x08)] {
        let config = Config { lead: Lead::Always, log_announce: 0, ..follower() };
        let announce = with(announce(), |header| header.flags = flags);
        let mut bench = Bench { announce, ..Bench::new(config) };
        bench.engine.enable_port(0, 1, PortConfig::default());
        let bench = bench.locked();
        assert_eq!(bench.engine.port_state(1), PortState::Master);
        let (passed_on, said) = last_announce(&bench.led);
        assert_eq!((passed_on, said.utc_offset, said.steps_removed), (flags, 37, 1));
    }
}

#[test]
fn a_lost_interface_is_held_over_and_events_say_so() {
    let mut bench = Bench::new(follower()).locked();
    while bench.engine.poll_event().is_some() {}
    bench.engine.disable_port(bench.now, 0);
    let events: Vec<_> = std::iter::from_fn(|| bench.engine.poll_event()).collect();
    assert!(events.contains(&Event::PortStateChanged { port: 0, to: PortState::Disabled }), "{events:?}");
    assert!(events.contains(&Event::LeaderChanged(None)), "{events:?}");
    for _ in 0..5 {
        bench.now = bench.engine.poll_timeout().expect("the error bound grows");
        bench.engine.handle_timeout(bench.now);
    }
    assert_eq!(bench.engine.status(bench.now).state, ClockState::Holdover);
    assert!(bench.error().abs() <= 5, "{} ns", bench.error());
    for _ in 0..130 {
        bench.now = bench.engine.poll_timeout().expect("the error bound grows");
        bench.engine.handle_timeout(bench.now);
    }
    assert_eq!(bench.engine.status(bench.now).state, ClockState::Lost);
}

#[test]
fn time_that_has_not_passed_changes_nothing() {
    let mut bench = Bench::new(follower()).locked();
    while bench.engine.poll_event().is_some() {}
    let due = bench.engine.poll_timeout().expect("windows end");
    let before = (bench.engine.line(), bench.engine.status(due));
    (0..100).for_each(|_| bench.engine.handle_timeout(due - 1));
    assert_eq!((bench.engine.line(), bench.engine.status(due)), before);
    assert_eq!((bench.engine.poll_event(), bench.engine.poll_timeout()), (None, Some(due)));
}

#[test]
fn an_engine_fits_into_a_microcontroller() {
    assert!(size_of::<Engine<1>>() <= 4_096, "{}", size_of::<Engine<1>>());
    assert!(size_of::<Estimator>() <= 1_536, "{}", size_of::<Estimator>());
}
