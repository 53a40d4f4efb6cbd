//! Behaviour as a table: how much of the time a follower is LOCKED, and how far its published line is off, against loss
//! and queueing. A snapshot, `expect/behaviour.txt`; `UPDATE_EXPECT=1` rewrites it, a changed number is reviewed.

mod common;

use std::fmt::Write;

use common::Pair;
use wireloom_ptp::ClockState;
use wireloom_sim::{Link, Pdv, secs, snapshot};

const LOSSES: [f64; 5] = [0.0, 0.05, 0.1, 0.2, 0.3];
const SEEDS: u64 = 3;

/// Percent of the time LOCKED after the first 30 s, and the 95th percentile of the line's error in nanoseconds.
fn measure(sync: Pdv, request: Pdv, loss: f64) -> (usize, u64) {
    let (mut locked, mut errors) = (0, Vec::new());
    for seed in 0..SEEDS {
        let mut pair = Pair::with(seed, Link { sync, request, loss, ..Link::QUIET });
        pair.world.run_for(secs(30));
        for _ in 0..300 {
            pair.world.run_for(secs(1));
            locked += usize::from(pair.state() == ClockState::Locked);
            errors.push(pair.error().unsigned_abs());
        }
        pair.world.watch(pair.follower).assert_held("behaviour");
        assert_eq!(pair.generation(), 1);
    }
    errors.sort_unstable();
    (100 * locked / errors.len(), errors[errors.len() * 95 / 100])
}

#[test]
fn table() {
    let mut table =
        String::from("LOCKED %, p95 of the line's error in ns, 5 minutes, Sync 8/s, Announce 1/s\n");
    write!(table, "{:<24}", "queueing \\ loss").expect("a string");
    for loss in LOSSES {
        write!(table, "{:>12}", format!("{:.0} %", loss * 100.0)).expect("a string");
    }
    for (name, sync, request) in [
        ("none", Pdv::None, Pdv::None),
        ("host", Pdv::Host, Pdv::Host),
        ("100 Mbit/s, 30 % load", Pdv::Queue(0.3), Pdv::Queue(0.3)),
        ("100 Mbit/s, 60 % load", Pdv::Queue(0.6), Pdv::Queue(0.6)),
        ("60 % load one way", Pdv::Queue(0.6), Pdv::None),
        ("uniform 100 us", Pdv::Uniform(100.0, 0.0), Pdv::Uniform(100.0, 0.0)),
    ] {
        write!(table, "\n{name:<24}").expect("a string");
        for loss in LOSSES {
            let (locked, error) = measure(sync, request, loss);
            write!(table, "{:>12}", format!("{locked} {error}")).expect("a string");
            assert!(loss > 0.1 || locked >= 90, "{name}, loss {loss}: LOCKED {locked} %");
            assert!(error < 20_000, "{name}, loss {loss}: {error} ns");
        }
    }
    table.push('\n');
    snapshot("behaviour.txt", &table);
}
