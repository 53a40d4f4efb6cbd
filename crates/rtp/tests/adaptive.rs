//! Streams of another clock: the position follows for hours, without a step that could be heard.

mod world;

use wireloom_rtp::{Placement, RtpPacket, Steering, SteeringConfig, Step};
use wireloom_units::{MediaIndex, MediaTime, Rate, Samples};
use world::{Random, Source};

/// A sender with a clock of its own, seen on the graph's clock.
struct Sender {
    /// When the next packet leaves, in samples of the graph.
    leaves: f64,
    /// Its first frame.
    first: u64,
    frames: u32,
    /// Graph samples to one of the sender's, when its clock is right.
    nominal: f64,
}

impl Sender {
    /// Sends a packet with a clock that is `ppm` fast.
    fn send(&mut self, ppm: f64) -> (f64, u64) {
        let sent = (self.leaves, self.first);
        self.leaves += f64::from(self.frames) * self.nominal / (1.0 + ppm * 1e-6);
        self.first += u64::from(self.frames);
        sent
    }

    /// How many frames have been captured when the graph is at `now`; a packet leaves with its last frame.
    fn captured(&self, now: f64, ppm: f64) -> f64 {
        (self.first + u64::from(self.frames)) as f64 - (self.leaves - now) * (1.0 + ppm * 1e-6) / self.nominal
    }
}

/// What a run has shown, from the settling time on.
#[derive(Debug, Default)]
struct Outcome {
    /// Smallest and largest distance of the position behind what was captured, less the latency: what the fastest
    /// packets need, 20 samples, if all is well.
    least: f64,
    most: f64,
    /// Largest distance of the ratio from the sender's true rate, and largest change in a cycle, in ppm.
    error_ppm: f64,
    step_ppm: f64,
    jumps: u32,
    jumps_after: u32,
}

struct Run {
    stream_rate: Rate,
    hours: f64,
    jitter: f64,
    /// Every so many seconds the network holds all packets back for so many samples.
    stall: (f64, f64),
    loss: f64,
    /// Arrivals are known no finer than this.
    grain: u64,
    settle_seconds: f64,
    drift: fn(f64) -> f64,
}

const QUANTUM: u32 = 256;
const LATENCY: f64 = 480.0;

fn run(seed: u64, run: &Run) -> Outcome {
    let mut random = Random(seed);
    let graph = 48_000.0;
    let nominal = graph / f64::from(run.stream_rate.hz());
    let mut steering = Steering::new(SteeringConfig {
        stream_rate: run.stream_rate,
        graph_rate: Rate::HZ_48000,
        latency: Samples(LATENCY as u32),
    });
    let start = 1_u64 << 30;
    let mut sender = Sender { leaves: start as f64 + 3.3, first: 5_000_000_000, frames: 192, nominal };
    let mut waiting = std::collections::VecDeque::new();
    let mut outcome = Outcome { least: f64::MAX, most: f64::MIN, ..Outcome::default() };
    let mut fraction = 0.0;
    let mut last: Option<f64> = None;
    let mut position: Option<f64> = None;
    let mut held_until = 0.0;
    let mut next_stall = run.stall.0;
    for cycle in 0..(run.hours * 3600.0 * graph / f64::from(QUANTUM)) as u64 {
        let now = start + cycle * u64::from(QUANTUM);
        let seconds = cycle as f64 * f64::from(QUANTUM) / graph;
        let ppm = (run.drift)(seconds);
        if run.stall.0 > 0.0 && seconds > next_stall {
            next_stall = seconds + run.stall.0 * (0.5 + random.unit());
            held_until = now as f64 + run.stall.1 * random.unit();
        }
        while sender.leaves <= now as f64 {
            let (left, first) = sender.send(ppm);
            // Most packets come fast, a few slowly.
            let delay = 20.0 + run.jitter * random.unit().powi(4);
            if !random.chance(run.loss) {
                waiting.push_back(((left + delay).max(held_until), first));
            }
        }
        while let Some((arrived, first)) = waiting.front().copied().filter(|(at, _)| *at <= now as f64) {
            waiting.pop_front();
            steering.handle_packet(
                MediaIndex((arrived as u64).next_multiple_of(run.grain)),
                MediaTime::from_wire(first as u32),
                Samples(192),
            );
        }
        let Some(Step { at, ratio, jumped }) = steering.poll_step(MediaIndex(now), Samples(QUANTUM)) else {
            continue;
        };
        let settled = seconds > run.settle_seconds;
        outcome.jumps += u32::from(jumped);
        outcome.jumps_after += u32::from(jumped && settled);
        // Frames since the anchor, as the steering counts them, mapped to the sender's own.
        let offset = steering.offset().expect("anchored");
        let at = MediaIndex(sender.first).0 as i64
            + i64::from(at.media_time(offset).since(MediaTime::from_wire(sender.first as u32)));
        if !jumped && let Some(position) = position {
            assert_eq!(at as f64, position, "the position moves by what was consumed");
        }
        let lag = sender.captured(now as f64, ppm) - at as f64 - LATENCY;
        let relative = ratio * nominal;
        if settled {
            outcome.least = outcome.least.min(lag);
            outcome.most = outcome.most.max(lag);
            outcome.error_ppm = outcome.error_ppm.max((relative - 1.0 - ppm * 1e-6).abs() * 1e6);
        }
        if !jumped && let Some(last) = last {
            outcome.step_ppm = outcome.step_ppm.max((relative - last).abs() * 1e6);
        }
        last = Some(relative);
        fraction += ratio * f64::from(QUANTUM);
        let consumed = fraction as u32;
        fraction -= f64::from(consumed);
        steering.consumed(Samples(consumed));
        position = Some(at as f64 + f64::from(consumed));
    }
    outcome
}

const CALM: Run = Run {
    stream_rate: Rate::HZ_48000,
    hours: 2.0,
    jitter: 100.0,
    stall: (0.0, 0.0),
    loss: 0.0,
    grain: 1,
    settle_seconds: 60.0,
    drift: |_| 100.0,
};

#[test]
fn a_hundred_ppm_either_way_are_held_for_hours() {
    for (seed, drift) in [(1, (|_| 100.0) as fn(f64) -> f64), (2, |_| -100.0), (3, |_| 0.0)] {
        let outcome = run(seed, &Run { drift, ..CALM });
        println!("{outcome:?}");
        assert_eq!((outcome.jumps, outcome.jumps_after), (1, 0), "{outcome:?}");
        assert!(outcome.least > 17.0 && outcome.most < 23.0, "{outcome:?}");
        assert!(outcome.error_ppm < 3.0 && outcome.step_ppm < 5.0, "{outcome:?}");
    }
}

#[test]
fn jitter_bursts_loss_and_a_wandering_clock_are_followed() {
    for seed in 0..4 {
        let outcome = run(
            seed,
            &Run {
                jitter: 300.0,
                stall: (7.0, 7_000.0), // up to 146 ms without a packet, then all at once
                loss: 0.02,
                drift: |seconds| 60.0 + 40.0 * (seconds / 600.0).sin(),
                ..CALM
            },
        );
        println!("{outcome:?}");
        assert_eq!((outcome.jumps, outcome.jumps_after), (1, 0), "seed {seed}: {outcome:?}");
        assert!(outcome.least > 10.0 && outcome.most < 40.0, "seed {seed}: {outcome:?}");
        assert!(outcome.error_ppm < 10.0 && outcome.step_ppm < 20.0, "seed {seed}: {outcome:?}");
    }
}

#[test]
fn another_nominal_rate_is_resampled_too() {
    let outcome = run(9, &Run { stream_rate: Rate::HZ_44100, hours: 0.5, drift: |_| -37.0, ..CALM });
    println!("{outcome:?}");
    assert_eq!(outcome.jumps, 1);
    assert!(outcome.least > 15.0 && outcome.most < 23.0 && outcome.error_ppm < 3.0, "{outcome:?}");
}

#[test]
fn arrivals_known_only_to_the_cycle_suffice() {
    let outcome = run(
        4,
        &Run {
            grain: u64::from(QUANTUM),
            jitter: 200.0,
            hours: 1.0,
            drift: |_| 23.0,
            settle_seconds: 120.0,
            ..CALM
        },
    );
    println!("{outcome:?}");
    assert_eq!((outcome.jumps, outcome.jumps_after), (1, 0), "{outcome:?}");
    // Packets and cycles beat: up to 64 samples of apparent delay come and go.
    assert!(outcome.least > 10.0 && outcome.most < 100.0, "{outcome:?}");
    assert!(outcome.error_ppm < 300.0 && outcome.step_ppm < 20.0, "{outcome:?}");
}

const CONFIG: SteeringConfig =
    SteeringConfig { stream_rate: Rate::HZ_48000, graph_rate: Rate::HZ_48000, latency: Samples(480) };

/// Plays packets of 48 frames with `offset(packet)` added to their timestamps and `delay(packet)` to their arrival;
/// returns for each cycle of 48 the distance of the position behind the newest frame, and whether it jumped.
fn play(packets: u64, offset: fn(u64) -> u64, delay: fn(u64) -> u64) -> Vec<(i64, bool, f64)> {
    let mut steering = Steering::new(CONFIG);
    let start = 1_u64 << 31;
    let mut out = Vec::new();
    for packet in 0..packets {
        let now = MediaIndex(start + 48 * packet);
        if packet >= delay(packet) / 48 {
            let late = packet - delay(packet) / 48;
            let time = MediaTime::from_wire((late * 48 + offset(late)) as u32);
            steering.handle_packet(now, time, Samples(48));
            let newest = u64::from(time.to_wire()) + 48;
            if let Some(step) = steering.poll_step(now, Samples(48)) {
                let at = step.at.media_time(steering.offset().expect("anchored"));
                let behind = MediaTime::from_wire(newest as u32).since(at);
                out.push((i64::from(behind), step.jumped, step.ratio));
            }
            steering.consumed(Samples(48));
        }
    }
    out
}

#[test]
fn a_jump_of_the_timestamps_is_followed_at_once() {
    for jump in [
        |packet| 50_000 * u64::from(packet > 3_000),
        |packet| 90_000_000 - 80_000_000 * u64::from(packet > 3_000),
    ] {
        let steps = play(6_000, jump, |_| 0);
        assert_eq!(steps.iter().filter(|(_, jumped, _)| *jumped).count(), 2);
        let again = steps.iter().rposition(|(_, jumped, _)| *jumped).expect("it jumped");
        assert!((3_001..3_600).contains(&again), "{again} packets in");
        assert!(steps[again..].iter().all(|(behind, _, _)| *behind == 480));
    }
}

#[test]
fn a_longer_path_is_drawn_in_without_a_jump() {
    // 10 ms more from the 3000th packet on, and less again from the 9000th.
    let steps = play(60_000, |_| 0, |packet| if (3_000..30_000).contains(&packet) { 480 } else { 0 });
    assert_eq!(steps.iter().filter(|(_, jumped, _)| *jumped).count(), 1);
    let most = 1.0 + Steering::MAX_PULL * 1.01 + 20e-6;
    assert!(steps.iter().all(|(_, _, ratio)| (2.0 - most..=most).contains(ratio)));
}

#[test]
fn latency_changes_are_drawn_in() {
    let mut steering = Steering::new(CONFIG);
    steering.handle_packet(MediaIndex(96_000), MediaTime::from_wire(7), Samples(48));
    let step = steering.poll_step(MediaIndex(96_000), Samples(48)).expect("anchored");
    assert_eq!((step.at, step.jumped), (MediaIndex(96_000 - 480), true));
    steering.set_latency(Samples(400));
    let step = steering.poll_step(MediaIndex(96_000), Samples(48)).expect("anchored");
    assert!(!step.jumped && step.ratio > 1.0 && step.ratio < 1.0 + Steering::MAX_PULL);
    steering.set_latency(Samples(48_000));
    assert!(steering.poll_step(MediaIndex(96_000), Samples(48)).expect("anchored").jumped);
    steering.restart();
    assert_eq!((steering.poll_step(MediaIndex(96_048), Samples(48)), steering.offset()), (None, None));
}

/// A timeline and a steering together, for ten minutes: every frame that the resampler asks for is there.
#[test]
fn a_timeline_fed_by_another_clock_has_no_gap() {
    for (seed, ppm) in [(1, 100.0), (2, -100.0)] {
        let mut random = Random(seed);
        let source = Source { offset: 0, ..Source::stereo(192) };
        let mut timeline = source.timeline(4096);
        timeline.forget_offset();
        // A cycle, a packet, and the jitter.
        let mut steering = Steering::new(SteeringConfig { latency: Samples(256 + 192 + 210), ..CONFIG });
        let start = 1_u64 << 32;
        let mut sender = Sender { leaves: start as f64, first: 77_000, frames: 192, nominal: 1.0 };
        let mut waiting = std::collections::VecDeque::new();
        let (mut sequence, mut fraction, mut out) = (0_u16, 0.0, [[0.0; 512]; 2]);
        let mut frames = 0_u64;
        for cycle in 0..600 * 48_000 / 256 {
            let now = start + cycle * 256;
            while sender.leaves <= now as f64 {
                let (left, first) = sender.send(ppm);
                waiting.push_back((
                    (left + 10.0 + 200.0 * random.unit()) as u64,
                    source.packet(first, sequence),
                ));
                sequence = sequence.wrapping_add(1);
            }
            while let Some((at, bytes)) = waiting.pop_front_if(|(at, _)| *at <= now) {
                let packet = RtpPacket::parse(&bytes).expect("ours");
                let index = steering.index_at(MediaIndex(at));
                let placement = timeline.handle_packet(index, 0, &packet);
                assert!(matches!(placement, Placement::Placed | Placement::Waiting), "{placement:?}");
                steering.handle_packet(MediaIndex(at), packet.time, Samples(192));
                if let Some(offset) = steering.offset() {
                    timeline.set_offset(offset);
                }
            }
            if let Some(step) = steering.poll_step(MediaIndex(now), Samples(256)) {
                fraction += step.ratio * 256.0;
                let wanted = fraction as u32;
                fraction -= f64::from(wanted);
                let read = timeline.read(step.at, Samples(wanted), &mut out);
                steering.consumed(Samples(wanted));
                frames += u64::from(read.fresh);
            }
        }
        let counters = timeline.counters();
        assert_eq!((counters.gaps, counters.late, counters.lost), (0, 0, 0), "{ppm} ppm: {counters:?}");
        assert!(frames > 599 * 48_000, "{frames}");
        let rate = (steering.rate().expect("anchored") - 1.0) * 1e6;
        assert!((rate - ppm).abs() < 3.0, "{rate} ppm");
    }
}

/// A sender like PipeWire's rtp-sink: it is called once a cycle of its own graph, and sends then what packets are full.
#[derive(Debug)]
struct Bursts {
    /// Frames of its cycle.
    cycle: u32,
    /// How fast its clock is.
    ppm: f64,
    /// Frames that it leaves out once a second.
    slip: u32,
    /// Whether its timestamps count them.
    counted: bool,
    /// When it sends nothing for a tenth of a second, and then all at once.
    late_at: f64,
    seconds: u32,
}

/// What was heard of a [`Bursts`].
#[derive(Debug)]
struct Heard {
    jumps: u32,
    /// Frames asked for that were not there, of the whole run.
    missing: u32,
    /// The least and the greatest ratio, in ppm: after two seconds, and in the last half.
    early: (f64, f64),
    late: (f64, f64),
}

fn hear(seed: u64, sender: &Bursts) -> Heard {
    const PACKET: u32 = 48;
    let mut random = Random(seed);
    let source = Source { offset: 0, ..Source::stereo(PACKET) };
    let mut timeline = source.timeline(16_384);
    timeline.forget_offset();
    // A cycle here, a cycle there, two packets, a late tenth of a second and a few milliseconds of jitter.
    let late = if sender.late_at > 0.0 { 4_800 } else { 0 };
    let latency = Samples(QUANTUM + sender.cycle + 2 * PACKET + late + 240);
    let mut steering = Steering::new(SteeringConfig { latency, ..CONFIG });
    let start = 1_u64 << 32;
    let (mut called, mut calls, mut ready, mut first, mut sequence) =
        (start as f64 + 7.7, 0_u64, 0, 77_000_u64, 0_u16);
    let mut held_until = 0.0;
    let mut waiting = std::collections::VecDeque::new();
    let (mut fraction, mut out) = (0.0, [[0.0; 2 * QUANTUM as usize]; 2]);
    let nothing = (f64::MAX, f64::MIN);
    let mut heard = Heard { jumps: 0, missing: 0, early: nothing, late: nothing };
    let mut begun = false;
    let total = u64::from(sender.seconds) * 48_000 / u64::from(QUANTUM);
    for cycle in 0..total {
        let now = start + cycle * u64::from(QUANTUM);
        let seconds = cycle as f64 * f64::from(QUANTUM) / 48_000.0;
        while called <= now as f64 {
            // Once a second it loses frames: its graph missed a cycle.
            let before = calls * u64::from(sender.cycle) / 48_000;
            calls += 1;
            let lost = calls * u64::from(sender.cycle) / 48_000 > before;
            ready += sender.cycle - if lost { sender.slip } else { 0 };
            first += u64::from(if lost && sender.counted { sender.slip } else { 0 });
            let at = called + 10.0 + 40.0 * random.unit();
            if sender.late_at > 0.0 && seconds > sender.late_at && held_until == 0.0 {
                held_until = at + 4_800.0;
            }
            while ready >= PACKET {
                waiting.push_back((at.max(held_until) as u64, source.packet(first, sequence)));
                ready -= PACKET;
                first += u64::from(PACKET);
                sequence = sequence.wrapping_add(1);
            }
            called += f64::from(sender.cycle) / (1.0 + sender.ppm * 1e-6);
        }
        while waiting.front().is_some_and(|(at, _)| *at <= now) {
            let (at, bytes) = waiting.pop_front().expect("there is one");
            let (at, packet) = (MediaIndex(at), RtpPacket::parse(&bytes).expect("ours"));
            let placement = timeline.handle_packet(steering.index_at(at), 0, &packet);
            if !placement.is_heard() {
                continue;
            }
            if placement == Placement::Restart {
                steering.handle_restart(at, packet.time, Samples(PACKET));
            }
            steering.handle_packet(at, packet.time, Samples(PACKET));
            if let Some(offset) = steering.offset() {
                timeline.set_offset(offset);
            }
        }
        let Some(step) = steering.poll_step(MediaIndex(now), Samples(QUANTUM)) else { continue };
        fraction += step.ratio * f64::from(QUANTUM);
        let wanted = fraction as u32;
        fraction -= f64::from(wanted);
        let read = timeline.read(step.at, Samples(wanted), &mut out);
        begun |= read.gap == 0;
        if begun && read.gap > 0 {
            heard.missing += read.gap;
            steering.starved();
        }
        steering.consumed(Samples(wanted));
        heard.jumps += u32::from(step.jumped);
        let ppm = (step.ratio - 1.0) * 1e6;
        if seconds > 2.0 {
            heard.early = (heard.early.0.min(ppm), heard.early.1.max(ppm));
        }
        if cycle > total / 2 {
            heard.late = (heard.late.0.min(ppm), heard.late.1.max(ppm));
        }
    }
    heard
}

const BURSTS: Bursts = Bursts { cycle: 256, ppm: 0.0, slip: 0, counted: false, late_at: 0.0, seconds: 60 };

/// Every sender that cycles of 1.3, 5 and 20 ms and clocks either way make of `like`.
fn each(like: &Bursts, mut judge: impl FnMut(&Bursts, &Heard)) {
    for cycle in [64, 240, 960] {
        for ppm in [100.0, 0.0, -100.0] {
            let sender = Bursts { cycle, ppm, ..*like };
            let heard = hear(u64::from(cycle), &sender);
            println!("{sender:?}: {heard:?}");
            judge(&sender, &heard);
        }
    }
}

#[test]
fn a_sender_in_bursts_is_heard_at_its_pitch_from_the_beginning() {
    for late_at in [0.0, 0.5, 20.0] {
        each(&Bursts { late_at, ..BURSTS }, |sender, heard| {
            assert_eq!((heard.jumps, heard.missing), (1, 0), "{sender:?}: {heard:?}");
            let (least, most) = (sender.ppm.min(0.0), sender.ppm.max(0.0));
            assert!(heard.early.0 > least - 50.0 && heard.early.1 < most + 150.0, "{sender:?}: {heard:?}");
            assert!(heard.late.0 > sender.ppm - 10.0 && heard.late.1 < sender.ppm + 10.0, "{heard:?}");
        });
    }
}

#[test]
fn a_sender_whose_timestamps_slip_is_missed_only_where_it_left_frames_out() {
    each(&Bursts { slip: 32, counted: true, ..BURSTS }, |sender, heard| {
        assert_eq!(heard.jumps, 1, "{sender:?}: {heard:?}");
        // With the frames goes the packet after them, which might be anyone's.
        assert!(heard.missing <= sender.seconds * (sender.slip + 48), "{sender:?}: {heard:?}");
        let (least, most) = (sender.ppm.min(0.0), sender.ppm.max(0.0));
        assert!(heard.early.0 > least - 300.0 && heard.early.1 < most + 300.0, "{sender:?}: {heard:?}");
    });
}

#[test]
fn a_sender_that_slips_behind_its_timestamps_is_followed_without_a_gap() {
    for slip in [32, 64] {
        each(&Bursts { slip, ..BURSTS }, |sender, heard| {
            assert_eq!((heard.jumps, heard.missing), (1, 0), "{sender:?}: {heard:?}");
            // What the sender plays in a second of its reader.
            let rate = sender.ppm - f64::from(slip) / 48_000.0 * 1e6;
            let pull = Steering::MAX_PULL * 1e6;
            assert!(heard.early.0 > rate - pull && heard.early.1 < sender.ppm.max(0.0) + 150.0, "{heard:?}");
            assert!(heard.late.0 > rate - 350.0 && heard.late.1 < rate + 350.0, "{sender:?}: {heard:?}");
        });
    }
}

#[test]
fn a_step_of_the_path_does_not_bend_the_rate() {
    // 2 ms later from the tenth second on. Nothing moves the position here, so that it goes on to be drawn back by this.
    let steps = play(60_000, |_| 0, |packet| if packet > 10_000 { 96 } else { 0 });
    let pull = 96.0 / (5.0 * 48_000.0);
    let least = steps.iter().map(|(_, _, ratio)| *ratio).fold(f64::MAX, f64::min);
    assert!((least - 1.0 + pull).abs() < 2e-6, "{least}");
}

#[test]
fn who_asks_for_frames_before_they_come_goes_back_at_once() {
    let mut steering = Steering::new(CONFIG);
    let (mut jumps, mut starved) = (0, 0);
    for packet in 0..12_000_u64 {
        let now = MediaIndex((1 << 31) + 48 * packet);
        // The path grows by 15 ms, more than the latency.
        let late = if packet > 6_000 { 15 } else { 0 };
        let time = MediaTime::from_wire(((packet - late.min(packet)) * 48) as u32);
        steering.handle_packet(now, time, Samples(48));
        let step = steering.poll_step(now, Samples(48)).expect("anchored");
        jumps += u32::from(step.jumped);
        let offset = steering.offset().expect("anchored");
        if step.at.plus(Samples(48)).media_time(offset).since(time) > 48 {
            starved += 1;
            steering.starved();
        }
        steering.consumed(Samples(48));
    }
    // A second shows that the path has moved.
    assert!(jumps == 2 && starved < 1_300, "{jumps} jumps, {starved} cycles without sound");
}

#[test]
fn a_reader_that_was_locked_goes_on_where_it_was() {
    let start = 1_u64 << 31;
    let packet = |steering: &mut Steering, number: u64, offset: u32| {
        let time = MediaIndex(start + 48 * number).media_time(offset);
        steering.handle_packet(MediaIndex(start + 48 * (number + 1)), time, Samples(48));
    };
    let mut steering = Steering::new(CONFIG);
    steering.take_over(MediaIndex(start), 77, MediaIndex(start - 480));
    let mut at = start - 480;
    for number in 0..2_000 {
        packet(&mut steering, number, 77);
        let now = MediaIndex(start + 48 * number);
        let step = steering.poll_step(now, Samples(48)).expect("it goes on");
        assert_eq!((step.at, step.jumped, steering.offset()), (MediaIndex(at), false, Some(77)));
        steering.consumed(Samples(48));
        at += 48;
    }
    // Of an offset that was wrong the first packet tells.
    steering.take_over(MediaIndex(start), 77, MediaIndex(start - 480));
    packet(&mut steering, 0, 123_456);
    assert!(steering.poll_step(MediaIndex(start + 48), Samples(48)).expect("anchored").jumped);
    assert_eq!(steering.offset(), Some(123_456));
}

#[test]
fn a_sender_that_slips_is_kept_and_another_forgotten() {
    let mut steering = Steering::new(CONFIG);
    let (now, next) = (MediaIndex(96_000), MediaIndex(96_048));
    steering.handle_packet(now, MediaTime::from_wire(7), Samples(48));
    let offset = steering.offset();
    steering.handle_restart(next, MediaTime::from_wire(7 + 48 + 64), Samples(48));
    assert_eq!(steering.offset(), offset);
    steering.handle_restart(next, MediaTime::from_wire(7 + 48 + 48_000), Samples(48));
    assert_eq!(steering.offset(), None);
}
