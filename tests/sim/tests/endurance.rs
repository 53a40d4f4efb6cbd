//! A hundred hours, and the same run twice.

mod common;

use common::Pair;
use wireloom_ptp::ClockState;
use wireloom_sim::{Link, Pdv, secs, snapshot};

#[test]
fn a_hundred_hours_leave_no_trace_in_the_arithmetic() {
    let mut pair = Pair::new(1);
    let leader = pair.world.leader(pair.leader);
    // Sequence numbers wrap every 18 h.
    (leader.log_sync, leader.log_announce, leader.log_delay_req) = (0, 1, 0);
    let (mut worst, mut early) = (0, 0);
    for hour in 0..100 {
        for _ in 0..60 {
            pair.world.run_for(secs(60));
            if hour > 0 {
                worst = worst.max(pair.error().abs());
            }
        }
        if hour == 10 {
            early = worst;
        }
    }
    assert_eq!(pair.state(), ClockState::Locked);
    assert_eq!(pair.generation(), 1);
    assert!(worst < 3_000 && worst < 3 * early, "{worst} ns; {early} ns in the first ten hours");
    pair.world.watch(pair.follower).assert_held("a hundred hours");
    let locked = pair.status().locked_for_ns;
    assert!(locked.is_some());
}

/// A checksum over every line published in ten minutes on a lively network with a change of leader.
fn checksum(seed: u64) -> u64 {
    let link = Link {
        sync: Pdv::Queue(0.4),
        request: Pdv::Host,
        loss: 0.05,
        duplication: 0.02,
        reorder: 0.05,
        ..Link::QUIET
    };
    let mut pair = Pair::with(seed, link);
    let mut sum = 0xcbf2_9ce4_8422_2325_u64;
    for second in 0..600 {
        pair.world.run_for(secs(1));
        if second == 300 {
            pair.world.clock(pair.leader).jump(70_000_000);
        }
        let Some(line) = pair.world.engine(pair.follower).line() else { continue };
        let numbers = [line.base, line.time.as_nanos(), line.rate, i64::from(line.generation)];
        for number in numbers.into_iter().map(i64::cast_unsigned).chain([line.error_bound_ns]) {
            sum = (sum ^ number).wrapping_mul(0x0100_0000_01b3);
        }
    }
    assert_eq!(pair.generation(), 2);
    sum
}

#[test]
fn the_same_seed_gives_the_same_lines_on_every_machine() {
    let sums = [1, 2, 3].map(checksum);
    assert_eq!(sums, [1, 2, 3].map(checksum));
    assert!(sums[0] != sums[1] && sums[1] != sums[2]);
    let found = format!("{:016x}\n{:016x}\n{:016x}\n", sums[0], sums[1], sums[2]);
    snapshot("checksums.txt", &found);
}
