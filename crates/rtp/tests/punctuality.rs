//! Which lateness is a habit of the sender, and which a stall.

use wireloom_rtp::Punctuality;
use wireloom_units::{MediaIndex, Rate, Samples};

const SPAN: u64 = 9_600;

/// What is found when the packets of millisecond `n` come `delay(n)` frames late with a latency of 480, and when.
fn find(follows: bool, milliseconds: u64, delay: impl Fn(u64) -> i64) -> Vec<(u64, Samples)> {
    let mut punctuality = Punctuality::new(Rate::HZ_48000, follows);
    (0..milliseconds)
        .filter_map(|n| {
            let late = delay(n);
            punctuality
                .handle_packet(MediaIndex(10 * SPAN + n * 48), late, 480 - late)
                .map(|found| (n, found))
        })
        .collect()
}

#[test]
fn bursts_are_found_after_a_second_and_again_each_second() {
    let burst = |n: u64| 960 - 48 * (n % 20).cast_signed();
    let found = find(true, 2500, burst);
    assert_eq!(found, [(1000, Samples(960)), (2000, Samples(960))]);
    assert_eq!(find(true, 60_000, |n| burst(n) - 480), [], "the latency covers it");
}

#[test]
fn one_span_that_is_punctual_makes_it_begin_anew() {
    let late = |n: u64| if n / 200 % 5 == 4 { 0 } else { 960 - 48 * (n % 20).cast_signed() };
    assert_eq!(find(true, 60_000, late), []);
}

#[test]
fn what_stood_still_for_longer_is_no_habit() {
    for stall in [100, 200, 300, 900] {
        let late = |n: u64| 48 * (stall - (n % 3000).cast_signed()).max(0);
        assert_eq!((find(true, 60_000, late), find(false, 60_000, late)), (vec![], vec![]), "{stall} ms");
    }
    // Ten seconds behind for ever: that is another count, not a habit.
    assert_eq!(find(false, 60_000, |_| 480_000), []);
}

#[test]
fn a_stall_beside_bursts_is_not_counted_among_them() {
    let late = |n: u64| 960 - 48 * (n % 20).cast_signed() + if (300..500).contains(&n) { 7000 } else { 0 };
    assert_eq!(find(false, 1500, late), [(1000, Samples(960))]);
}

#[test]
fn a_path_that_became_longer_is_followed_by_who_follows() {
    let late = |_| 700;
    assert_eq!(find(true, 60_000, late), []);
    assert_eq!(find(false, 1500, late), [(1000, Samples(700))]);
}

#[test]
fn packets_that_overtake_each_other_between_spans_change_nothing() {
    let mut punctuality = Punctuality::new(Rate::HZ_48000, true);
    let mut found = Vec::new();
    for n in 0..1100_u64 {
        let at = 10 * SPAN + (n ^ 1) * 48 - 48; // every second one comes before the first
        let late = 960 - 48 * (n % 20).cast_signed();
        found.extend(punctuality.handle_packet(MediaIndex(at), late, 480 - late));
    }
    assert_eq!(found, [Samples(960)]);
}
