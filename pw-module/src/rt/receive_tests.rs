//! Senders whose packets come late, in virtual time: who is given more latency, and who is not.

use super::*;
use wireloom_rtp::{Encoding, TimelineConfig};
use wireloom_units::Channels;

use crate::rt::test_sender::packet;

const RATE: Rate = Rate::HZ_48000;
const SECOND: u64 = 48_000;
const PACKET: u32 = 48;
const CLASS: u32 = 144;
const START: u64 = 1 << 32;
const LEARNED: Scene = Scene { mode: Mode::Learned, quantum: 256, burst: 1024, stall: 0, hz: 48_000 };

/// Who sends, and who hears it.
#[derive(Debug, Clone, Copy)]
struct Scene {
    mode: Mode,
    /// Frames of our cycle.
    quantum: u32,
    /// Frames that the sender captures before it sends them, all at once.
    burst: u32,
    /// Every three seconds nothing leaves for so many frames, and then all that waits.
    stall: u64,
    /// Frames that the sender plays while we play 48000.
    hz: u32,
}

/// What was heard.
#[derive(Debug)]
struct Heard {
    /// The latency after each change.
    latencies: Vec<u32>,
    /// Frames that were missing until two seconds after the first was heard, and later.
    gaps: (u64, u64),
    /// Cycles later that were not exact, but for those in which the latency changed.
    wrong: usize,
}

/// The sample that is sent as frame `index`: exact in 24 bits, never 0, and not like its neighbours.
fn sound(index: u64) -> f32 {
    (index.wrapping_mul(7919) % 65_521 + 1) as f32 / 131_072.0
}

fn receive(scene: &Scene) -> Receive {
    let one = Channels::new(1).expect("one");
    let offset = (scene.mode == Mode::Locked).then_some(0);
    let timeline = Timeline::new(TimelineConfig {
        encoding: Encoding::L24,
        channels: one,
        rate: RATE,
        payload_type: 98,
        offset,
        capacity: Samples(15_744),
        history: Samples(2048),
    });
    let mut receive = Receive::new(ReceiveConfig {
        timeline: timeline.expect("small"),
        rate: RATE,
        offset,
        relation: if scene.mode == Mode::Adaptive { ClockRelation::Other } else { ClockRelation::Unknown },
        latency: CLASS,
        packet_frames: PACKET,
        max_datagrams: 512,
        report: Arc::default(),
    });
    let adaptive = Adaptive::new(one, RATE, RATE, Samples(CLASS), 8192).expect("made");
    receive.set_adaptive(Some(Box::new(adaptive)));
    receive
}

fn hear(scene: Scene, seconds: u64) -> Heard {
    let mut receive = receive(&scene);
    let mut heard = Heard { latencies: vec![receive.latency], gaps: (0, 0), wrong: 0 };
    let mut out = [vec![0.0; scene.quantum as usize]];
    // Sent up to this frame, captured up to `captured`.
    let (mut sent, mut captured, burst) = (START, START, u64::from(scene.burst));
    let mut begun: Option<u64> = None;
    for cycle in 0..seconds * SECOND / u64::from(scene.quantum) {
        let now = START + 333 + cycle * u64::from(scene.quantum);
        let mode = receive.choose(true, 48_000);
        receive.change_mode(mode, MediaIndex(now));
        loop {
            let ready = captured + burst;
            let leaves = START + (ready - START) * SECOND / u64::from(scene.hz);
            let stalled = (leaves - START) % (3 * SECOND);
            let leaves = if stalled < scene.stall { leaves + scene.stall - stalled } else { leaves } + 5;
            if leaves > now {
                break;
            }
            captured = ready;
            while sent + u64::from(PACKET) <= captured {
                receive.place(MediaIndex(leaves), 0, &packet(sent, PACKET, sound));
                sent += u64::from(PACKET);
            }
        }
        let position = crate::ffi::Position {
            clock_id: 1,
            index: now,
            frames: scene.quantum,
            rate: 48_000,
            nsec: 0,
            rate_diff: 1.0,
        };
        if !receive.play(MediaIndex(now), &position, &mut out) {
            continue;
        }
        if heard.latencies.last() != Some(&receive.latency) {
            heard.latencies.push(receive.latency);
        } else if mode != Mode::Adaptive && begun.is_some_and(|begun| now - begun > 2 * SECOND) {
            let offset = receive.config.timeline.offset().unwrap_or(0);
            let first = u64::from(MediaIndex(now - u64::from(receive.latency)).media_time(offset).to_wire());
            let exact = out[0].iter().zip(START + first..).all(|(sample, index)| *sample == sound(index));
            heard.wrong += usize::from(!exact);
        }
        let gaps = receive.config.timeline.counters().gap_frames;
        begun = begun.or(out[0].iter().any(|sample| *sample != 0.0).then_some(now));
        match begun {
            Some(begun) if now - begun > 2 * SECOND => heard.gaps.1 = gaps - heard.gaps.0,
            _ => heard.gaps.0 = gaps,
        }
    }
    println!("{scene:?}: {heard:?}");
    heard
}

#[test]
fn a_sender_in_bursts_gets_the_latency_that_it_needs_within_two_seconds() {
    for mode in [Mode::Learned, Mode::Adaptive] {
        for (quantum, burst) in [(256, 1024), (1024, 1024), (256, 960), (1024, 960), (64, 2048), (256, 8192)]
        {
            for hz in
                [47_995, 48_000, 48_005].into_iter().filter(|hz| mode == Mode::Adaptive || *hz == 48_000)
            {
                let heard = hear(Scene { mode, quantum, burst, hz, ..LEARNED }, 33);
                let latency = *heard.latencies.last().expect("the class at least");
                // The burst, a cycle and two packets, and what does not fill a packet.
                let most = burst + quantum + 3 * PACKET;
                assert_eq!(heard.gaps.1, 0, "{heard:?}");
                assert!(latency > burst && latency <= most, "{latency} frames, {most} needed");
                assert!(heard.latencies.len() <= 4, "{heard:?}");
                assert_eq!(heard.wrong, 0, "{heard:?}");
            }
        }
    }
}

#[test]
fn a_stall_now_and_then_is_no_reason_for_more_latency() {
    for mode in [Mode::Locked, Mode::Learned, Mode::Adaptive] {
        for stall in [4800, 9600, 14_400] {
            let heard = hear(Scene { mode, burst: PACKET, stall, ..LEARNED }, 33);
            assert!(heard.gaps.1 > 0, "it is heard: {heard:?}");
            assert_eq!(heard.latencies, [CLASS, 256 + 2 * PACKET]);
        }
    }
}

#[test]
fn a_stall_beside_bursts_adds_nothing_to_what_the_bursts_need() {
    for mode in [Mode::Learned, Mode::Adaptive] {
        let heard = hear(Scene { mode, stall: 9600, ..LEARNED }, 33);
        let latency = *heard.latencies.last().expect("the class at least");
        assert!((1024..=1024 + 256 + 3 * PACKET).contains(&latency), "{heard:?}");
    }
}

#[test]
fn on_our_clock_the_latency_is_a_promise() {
    let heard = hear(Scene { mode: Mode::Locked, ..LEARNED }, 33);
    assert!(heard.gaps.1 > 0, "{heard:?}");
    assert_eq!(heard.latencies, [CLASS, 256 + 2 * PACKET]);
}

#[test]
fn who_is_punctual_stays_exactly_where_he_is() {
    for mode in [Mode::Locked, Mode::Learned, Mode::Adaptive] {
        let heard = hear(Scene { mode, burst: PACKET, ..LEARNED }, 33);
        assert_eq!((heard.gaps.1, heard.wrong), (0, 0), "{heard:?}");
        assert_eq!(heard.latencies, [CLASS, 256 + 2 * PACKET]);
    }
}
