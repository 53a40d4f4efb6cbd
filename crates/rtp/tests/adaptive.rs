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
