//! Offsets learned and clocks checked from arrivals.

mod world;

use wireloom_rtp::{LockCheck, OffsetLearner, Verdict};
use wireloom_units::{MediaIndex, MediaTime, Rate, Samples};
use world::Random;

#[test]
fn the_offset_is_that_of_the_earliest_of_200_packets() {
    for (frames, offset) in [(48_u32, 0_u32), (6, 0xffff_ff00), (192, 3_158_064_976)] {
        let mut random = Random(u64::from(frames));
        let mut learner = OffsetLearner::default();
        let start = (1_u64 << 33) - 3000; // the timestamp wraps while learning
        let mut least = u64::MAX;
        for packet in 0..200 {
            assert_eq!(learner.offset(), None);
            let index = start + packet * u64::from(frames);
            let delay = 3 + random.below(500);
            least = least.min(delay);
            let now = MediaIndex(index + u64::from(frames) + delay);
            let learned = learner.handle_packet(now, MediaIndex(index).media_time(offset), Samples(frames));
            assert_eq!(learned.is_some(), packet == 199);
        }
        // The earliest packet is taken to have come at once: its delay cannot be told from the offset.
        assert_eq!(learner.offset(), Some(offset.wrapping_sub(least as u32)));
    }
}

/// Feeds `count` packets of 48 frames from a sender `ppm` fast, `delay` late.
fn check(check: &mut LockCheck, from: u64, count: u64, ppm: i64, delay: i64, jitter: u64) -> Verdict {
    let mut random = Random(from);
    let mut verdict = check.verdict();
    for packet in from..from + count {
        let index = MediaIndex((1 << 40) + packet * 48);
        let drifted = packet as i64 * 48 * ppm / 1_000_000;
        let now = index.plus(Samples(48)).offset_by(delay - drifted + random.below(jitter + 1) as i64);
        verdict = check.handle_packet(now, index, Samples(48));
    }
    verdict
}

#[test]
fn delays_inside_a_second_that_stay_are_the_same_clock() {
    let mut same = LockCheck::new(Rate::HZ_48000);
    assert_eq!(check(&mut same, 0, 199, 0, 20, 300), Verdict::Undecided);
    assert_eq!(check(&mut same, 199, 1, 0, 20, 300), Verdict::Same);
    assert_eq!(check(&mut same, 200, 100_000, 0, 20, 300), Verdict::Same);
    // A stall of half a second is no other clock.
    assert_eq!(check(&mut same, 100_200, 600, 0, 9_000, 300), Verdict::Same);
    assert_eq!(check(&mut same, 100_800, 10_000, 0, 20, 300), Verdict::Same);
}

#[test]
fn a_stall_at_the_beginning_is_forgiven() {
    let mut same = LockCheck::new(Rate::HZ_48000);
    assert_eq!(check(&mut same, 0, 200, 0, 12_000, 300), Verdict::Same);
    assert_eq!(check(&mut same, 200, 20_000, 0, 20, 300), Verdict::Same);
}

#[test]
fn delays_outside_are_another_clock() {
    for delay in [-48_000 * 3600, -200, 48_200, 1 << 30] {
        let mut other = LockCheck::new(Rate::HZ_48000);
        assert_eq!(check(&mut other, 0, 200, 0, delay, 10), Verdict::Other, "{delay}");
    }
}

#[test]
fn a_rate_of_its_own_is_found_before_it_is_heard_long() {
    for ppm in [-100, -20, 20, 100] {
        let mut drifting = LockCheck::new(Rate::HZ_48000);
        assert_eq!(check(&mut drifting, 0, 200, ppm, 500, 50), Verdict::Same);
        let mut packets = 200;
        while check(&mut drifting, packets, 200, ppm, 500, 50) == Verdict::Same {
            packets += 200;
        }
        // 2 ms of drift and three rounds.
        let moved = packets * 48 * ppm.unsigned_abs() / 1_000_000;
        assert!((75..110).contains(&moved), "{ppm} ppm: after {packets} packets, {moved} samples");
    }
}

#[test]
fn an_unknown_offset_is_never_out_of_range() {
    let mut learner = OffsetLearner::default();
    let mut check = LockCheck::new(Rate::HZ_96000);
    for packet in 0..1_000_u64 {
        let time = MediaTime::from_wire((packet as u32).wrapping_mul(0x9e37_79b9));
        let now = MediaIndex(packet.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        learner.handle_packet(now, time, Samples(u32::MAX));
        check.handle_packet(now, MediaIndex(u64::from(time.to_wire())), Samples(u32::MAX));
    }
    assert!(learner.offset().is_some());
}
