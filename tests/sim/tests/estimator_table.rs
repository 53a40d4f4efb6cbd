//! The table of `ptp` section 5: errors of the estimate against delay models.
//!
//! The median of five seeds is held to what the specification's model reached, +50 %. The figures themselves are a
//! snapshot, `expect/estimator_table.txt`: a changed number is reviewed. `UPDATE_EXPECT=1` rewrites it.

use std::fmt::Write;

use wireloom_ptp::{ClockState, Config, Oscillator as Crystal};
use wireloom_sim::{Link, NodeId, Oscillator, Pdv, ScriptedLeader, Stamper, World, secs, snapshot};
use wireloom_units::ClockIdentity;

const EPOCH: i64 = 1_795_000_000_000_000_000;
const SEEDS: std::ops::RangeInclusive<u64> = 1..=5;
/// Seconds from the beginning of the world to the first Sync that counts: two Announces.
const ELECTION: f64 = 2.0;

struct Row {
    name: &'static str,
    link: Link,
    clock: Oscillator,
    crystal: Crystal,
    /// Median, 95th percentile and maximum after 60 s in nanoseconds, and seconds until below 1 us.
    specified: [f64; 4],
}

fn crystal() -> Oscillator {
    Oscillator::new(35.0, 77_000_000_000, 1).wandering(1.0)
}

fn both(sync: Pdv, request: Pdv) -> Link {
    Link { sync, request, ..Link::QUIET }
}

const BACK: Pdv = Pdv::Exponential(5.0, 0.0, 0.0, 0.0);
const OUTLIERS: Pdv = Pdv::Exponential(5.0, 0.01, 50.0, 500.0);
const BURSTS: (Pdv, Pdv) = (Pdv::Bursts(120.0, 3.0), Pdv::Exponential(3.0, 0.0, 0.0, 0.0));

fn rows() -> Vec<Row> {
    let row =
        |name, link, specified| Row { name, link, clock: crystal(), crystal: Crystal::Crystal, specified };
    let uniform = Pdv::Uniform(100.0, 0.0);
    let warming = || crystal().warming(0.1);
    vec![
        row("none", both(Pdv::None, Pdv::None), [42.0, 141.0, 207.0, 4.0]),
        row("host scheduling", both(Pdv::Host, Pdv::Host), [48.0, 142.0, 223.0, 4.0]),
        row("exponential, outliers", both(OUTLIERS, BACK), [65.0, 194.0, 339.0, 5.0]),
        row("bursts", both(BURSTS.0, BURSTS.1), [134.0, 446.0, 621.0, 4.0]),
        row("uniform one way", both(Pdv::Uniform(120.0, 0.3), Pdv::None), [73.0, 205.0, 283.0, 6.0]),
        row("uniform both ways", both(uniform, uniform), [410.0, 1300.0, 2000.0, 82.0]),
        Row { clock: warming(), ..row("warming", both(Pdv::None, Pdv::None), [405.0, 514.0, 594.0, 3.0]) },
        Row {
            clock: warming(),
            crystal: Crystal::Microcontroller,
            ..row("warming, noisier model", both(Pdv::None, Pdv::None), [104.0, 205.0, 291.0, 3.0])
        },
    ]
}

fn world(link: Link, clock: &Oscillator, oscillator: Crystal, seed: u64) -> (World, NodeId, NodeId) {
    let mut world = World::new(seed);
    let leader = world.add_leader(ScriptedLeader::new(1, EPOCH));
    world.leader(leader).stamper = Stamper::EXACT; // 300 ns on each exchange, as the specification's model had
    let identity = ClockIdentity([2, 0, 0, 0xff, 0xfe, 0, 0, 9]);
    let config = Config { oscillator, ..Config::follower(identity) };
    let engine = world.add_engine(config, clock.clone(), Stamper::SOFTWARE);
    world.wire(&[leader, engine], link);
    (world, leader, engine)
}

fn quantile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * part).round() as usize]
}

/// Median, 95th percentile and maximum of |error| after 60 s; seconds until five errors in a row are below 1 us.
fn measure(row: &Row, seed: u64) -> [f64; 4] {
    let (mut world, leader, engine) = world(row.link, &row.clock, row.crystal, seed);
    let (mut errors, mut below, mut settled) = (Vec::new(), 0, None);
    for second in 1..900 {
        world.run_for(secs(1));
        let Some(error) = world.seen(engine, leader).estimate else { continue };
        below = if error.abs() < 1_000.0 { below + 1 } else { 0 };
        if below == 5 && settled.is_none() {
            settled = Some(second - 4);
        }
        if second > 60 {
            errors.push(error.abs());
        }
    }
    world.watch(engine).assert_held(row.name);
    assert_eq!(world.watch(engine).generations, 1, "{}: stepped", row.name);
    let settled = settled.map_or(f64::INFINITY, f64::from) - ELECTION;
    [quantile(&mut errors, 0.5), quantile(&mut errors, 0.95), quantile(&mut errors, 1.0), settled]
}

#[test]
fn errors_stay_within_half_more_than_specified() {
    let mut table =
        String::from("median of five seeds, 900 s      p50 ns  p95 ns  max ns  below 1 us after s\n");
    let mut over = String::new();
    for row in rows() {
        let runs: Vec<_> = SEEDS.map(|seed| measure(&row, seed)).collect();
        let figures: [f64; 4] = std::array::from_fn(|column| {
            quantile(&mut runs.iter().map(|run| run[column]).collect::<Vec<_>>(), 0.5)
        });
        let [p50, p95, max, settled] = figures;
        writeln!(table, "{:<30}{p50:>9.0}{p95:>8.0}{max:>8.0}{settled:>20.0}", row.name).expect("a string");
        for (figure, specified) in figures.iter().zip(row.specified) {
            if *figure > 1.5 * specified {
                writeln!(over, "{}: {figure:.0} instead of {specified:.0}", row.name).expect("a string");
            }
        }
    }
    for (name, wander) in [("holdover 60 s", 1.0), ("holdover 60 s, wandering 10x", 10.0)] {
        let mut errors: Vec<_> = SEEDS.map(|seed| held_over(wander, seed)).collect();
        let (median, max) = (quantile(&mut errors, 0.5), quantile(&mut errors, 1.0));
        writeln!(table, "{name:<30}{median:>9.0}{:>8}{max:>8.0}", "").expect("a string");
    }
    assert!(over.is_empty(), "{over}\n{table}");
    snapshot("estimator_table.txt", &table);
}

/// The error of the published line after 60 s without a leader.
fn held_over(wander: f64, seed: u64) -> f64 {
    let clock = Oscillator::new(35.0, 0, seed).wandering(wander);
    let (mut world, leader, engine) = world(both(OUTLIERS, BACK), &clock, Crystal::Crystal, seed);
    world.run_for(secs(300));
    assert_eq!(world.engine(engine).status(0).state, ClockState::Locked);
    world.leader(leader).alive = false;
    world.run_for(secs(60));
    let line = world.engine(engine).line().expect("it was locked");
    assert_eq!(line.state, ClockState::Holdover);
    let error = world.seen(engine, leader).line.expect("it was locked").unsigned_abs();
    assert!(error <= line.error_bound_ns, "seed {seed}: {error} ns, bound {}", line.error_bound_ns);
    assert!(error < if wander > 1.0 { 19_500 } else { 3_000 }, "seed {seed}: {error} ns after 60 s");
    error as f64
}

#[test]
fn a_start_in_the_middle_of_a_burst_is_overcome() {
    for seed in 0..20 {
        let mut world = World::new(seed);
        let leader = world.add_leader(ScriptedLeader::new(1, EPOCH));
        let config = Config::follower(ClockIdentity([2, 0, 0, 0xff, 0xfe, 0, 0, 9]));
        let engine = world.add_engine(config, crystal(), Stamper::SOFTWARE);
        world.leader(leader).alive = false;
        world.wire(&[leader, engine], both(BURSTS.0, BURSTS.1));
        world.run_for(secs(20));
        world.leader(leader).alive = true;
        world.run_for(secs(60));
        let error = world.seen(engine, leader).estimate.expect("60 s are enough").abs();
        assert!(error < 5_000.0, "seed {seed}: {error} ns");
    }
}
