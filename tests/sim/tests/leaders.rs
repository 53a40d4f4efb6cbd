//! Leaders come, go, change, restart: what the published time does meanwhile.

mod common;

use common::{EPOCH, Pair, add_follower, identity, run_until};
use wireloom_ptp::{ClockState, Event, OwnTime, PortState};
use wireloom_sim::{Link, ScriptedLeader, World, ms, secs};
use wireloom_units::{ClockIdentity, TaiTime};

#[test]
fn a_follower_locks_within_12_s_of_the_first_announce() {
    for seed in 0..50 {
        let mut pair = Pair::new(seed);
        let seconds = pair.run_until(ClockState::Locked, secs(20));
        // The first Announce comes at any time in the first 0.1 s.
        assert!(seconds <= 12.0, "seed {seed}: {seconds} s");
        assert!(pair.error().abs() < 2_000, "seed {seed}: {} ns", pair.error());
        assert_eq!(pair.generation(), 1);
        let status = pair.status();
        let leader = status.leader.expect("it follows one");
        assert_eq!((leader.port, leader.utc_offset, leader.ptp_timescale), (0, Some(37), true));
        assert!((status.frequency_ppb + 35_000.0).abs() < 500.0, "seed {seed}: {}", status.frequency_ppb);
        let delay = status.path_delay_ns.expect("it was answered");
        assert!((500.0..3_500.0).contains(&delay), "seed {seed}: {delay}");
    }
}

#[test]
fn states_come_in_order() {
    let pair = Pair::locked(1);
    let events = pair.world.events(pair.follower);
    let states: Vec<_> = events
        .iter()
        .filter_map(|(_, event)| match event {
            Event::StateChanged { to, .. } => Some(*to),
            _ => None,
        })
        .collect();
    use ClockState::{Acquiring, Listening, Locked, Tracking};
    assert_eq!(states, [Listening, Acquiring, Tracking, Locked]);
    let ports: Vec<_> = events
        .iter()
        .filter_map(|(_, event)| match event {
            Event::PortStateChanged { to, .. } => Some(*to),
            _ => None,
        })
        .collect();
    assert_eq!(ports, [PortState::Listening, PortState::Uncalibrated, PortState::Slave]);
}

#[test]
fn silence_is_held_over_and_the_same_leader_is_taken_up_again_without_a_step() {
    for seed in 0..10 {
        let mut pair = Pair::new(seed);
        pair.world.run_for(secs(120));
        assert_eq!(pair.state(), ClockState::Locked);
        pair.world.leader(pair.leader).alive = false;
        let seconds = pair.run_until(ClockState::Holdover, secs(10));
        assert!((2.0..6.0).contains(&seconds), "seed {seed}: held over after {seconds} s");
        pair.world.run_for(secs(60));
        assert_eq!(pair.state(), ClockState::Holdover);
        let bound = pair.world.engine(pair.follower).line().expect("held over").error_bound_ns;
        assert!(pair.error().unsigned_abs() <= bound, "seed {seed}: {} ns, bound {bound}", pair.error());
        assert!(pair.status().leader.is_none(), "seed {seed}: the announce receipt timeout passed");
        pair.world.leader(pair.leader).alive = true;
        pair.run_until(ClockState::Locked, secs(15));
        assert_eq!(pair.generation(), 1, "seed {seed}");
        pair.world.watch(pair.follower).assert_held("holdover");
    }
}

#[test]
fn two_minutes_of_silence_lose_the_clock_and_it_locks_again_without_a_step() {
    let mut pair = Pair::locked(3);
    pair.world.leader(pair.leader).alive = false;
    pair.run_until(ClockState::Lost, secs(130));
    pair.world.run_for(secs(600));
    assert_eq!(pair.state(), ClockState::Lost);
    assert!(pair.error().abs() < 1_000_000, "the simulated crystal does not wander that far");
    pair.world.leader(pair.leader).alive = true;
    pair.run_until(ClockState::Locked, secs(20));
    assert_eq!(pair.generation(), 1);
    pair.world.watch(pair.follower).assert_held("lost");
}

/// The leader falls silent and another one, whose time differs by `difference`, takes over.
fn swap(seed: u64, difference: i64, silent: bool) -> (Pair, wireloom_sim::NodeId) {
    let mut world = World::new(seed);
    let leader = world.add_leader(ScriptedLeader::new(1, EPOCH));
    let second = world.add_leader(ScriptedLeader::new(2, EPOCH + difference));
    world.leader(second).alive = false;
    let follower = add_follower(&mut world, 9);
    let segment = world.wire(&[leader, second, follower], Link::QUIET);
    let mut pair = Pair { world, leader, follower, segment };
    pair.run_until(ClockState::Locked, secs(20));
    pair.world.run_for(secs(30));
    if silent {
        pair.world.leader(leader).alive = false;
        pair.world.run_for(secs(2));
    } else {
        pair.world.leader(second).priority1 = 1; // better: taken at once
    }
    pair.world.leader(second).alive = true;
    (pair, second)
}

#[test]
fn another_leader_is_slewed_to_below_a_millisecond_and_stepped_to_above() {
    for silent in [true, false] {
        for (difference, generation) in
            [(0, 1), (300_000, 1), (-300_000, 1), (5_000_000, 2), (-5_000_000, 2), (100_000_000_000_000, 2)]
        {
            for seed in 0..4 {
                let what = format!("silent {silent}, {difference} ns, seed {seed}");
                let (mut pair, second) = swap(seed, difference, silent);
                let identity = pair.world.leader(second).identity.clock;
                run_until(&mut pair.world, secs(10), |world| {
                    world.engine(pair.follower).line().is_some_and(|line| line.leader == identity)
                });
                pair.run_until(ClockState::Tracking, secs(6));
                pair.run_until(ClockState::Locked, secs(15));
                pair.world.run_for(secs(40));
                let error = pair.world.seen(pair.follower, second).line.expect("a line");
                assert!(error.abs() < 1_500, "{what}: {error} ns");
                assert_eq!(pair.generation(), generation, "{what}");
                assert_eq!(pair.state(), ClockState::Locked, "{what}");
                pair.world.watch(pair.follower).assert_held(&what);
            }
        }
    }
}

#[test]
fn a_leader_that_reboots_into_another_epoch_is_followed_there() {
    for seed in 0..10 {
        for epoch in [-EPOCH, 5_000_000_000, -2_000_000] {
            let mut pair = Pair::locked(seed);
            pair.world.clock(pair.leader).jump(epoch);
            pair.world.run_for(secs(20));
            let what = format!("seed {seed}, jump of {epoch} ns");
            assert_eq!(pair.generation(), 2, "{what}");
            assert!(pair.error().abs() < 2_000, "{what}: {} ns", pair.error());
            assert_eq!(pair.state(), ClockState::Locked, "{what}");
            pair.world.watch(pair.follower).assert_held(&what);
        }
    }
}

#[test]
fn a_small_jump_is_slewed_at_10_ppm_while_locked() {
    for seed in 0..10 {
        let mut pair = Pair::new(seed);
        pair.world.run_for(secs(60));
        pair.world.clock(pair.leader).jump(90_000);
        pair.world.run_for(secs(6));
        // Three windows to believe it, three seconds at 10 us each.
        let error = pair.error();
        assert!((-90_500..-45_000).contains(&error), "seed {seed}: {error} ns after 6 s");
        pair.world.run_for(secs(34));
        assert!(pair.error().abs() < 2_000, "seed {seed}: {} ns after 40 s", pair.error());
        assert_eq!(pair.state(), ClockState::Locked, "seed {seed}");
        assert_eq!(pair.generation(), 1, "seed {seed}");
        pair.world.watch(pair.follower).assert_held("small jump");
    }
}

#[test]
fn a_suspended_computer_begins_a_new_generation() {
    for slept in [3_600_000_000_000, 100_000] {
        let mut pair = Pair::locked(5);
        // Base B stood still: for the follower, its leader's time moved on at once.
        pair.world.clock(pair.leader).jump(slept);
        let own_time = OwnTime { base: 0, time: TaiTime::EPOCH, ptp_timescale: false, utc_offset: None };
        pair.world.with_engine(pair.follower, |engine, now| engine.handle_resume(now, own_time));
        assert_eq!(pair.state(), ClockState::Acquiring);
        let line = pair.world.engine(pair.follower).line().expect("the old one, of unknown worth");
        assert_eq!(line.error_bound_ns, u64::MAX);
        pair.world.run_for(secs(20));
        assert_eq!(pair.generation(), 2, "slept {slept} ns");
        assert_eq!(pair.state(), ClockState::Locked, "slept {slept} ns");
        assert!(pair.error().abs() < 2_000, "slept {slept} ns: {} ns", pair.error());
    }
}

#[test]
fn a_known_path_delay_is_used_until_the_leader_answers() {
    let mut world = World::new(1);
    let leader = world.add_leader(ScriptedLeader::new(1, EPOCH));
    let follower = add_follower(&mut world, 9);
    let mut link = Link::QUIET;
    link.delay = ms(1) / 2;
    link.answers = wireloom_sim::Answers::Never;
    let grandmaster = world.leader(leader).identity.clock;
    world.with_engine(follower, |engine, _| {
        engine.handle_known_delay(grandmaster, 500_000);
        // Another one, whose delay changed again and again.
        (1..=4).for_each(|delay| engine.handle_known_delay(ClockIdentity([7; 8]), delay));
    });
    let segment = world.wire(&[leader, follower], link);
    let mut pair = Pair { world, leader, follower, segment };
    pair.run_until(ClockState::Locked, secs(20));
    assert!(pair.error().abs() < 2_000, "{} ns", pair.error());
    assert_ne!(identity(9), grandmaster);
}

#[test]
fn a_leader_that_jumps_while_it_is_acquired_teaches_no_frequency() {
    // A grandmaster finds its reference just after it was switched on: GPS, NTP, or another grandmaster.
    for jump in [-EPOCH + 5_000_000_000, 60_000_000_000, -60_000_000_000, 3_000_000, -3_000_000, -700_000] {
        for tenth in 0..40 {
            let what = format!("jump of {jump} ns after {} ms", 100 * tenth);
            let mut pair = Pair::new(3);
            pair.world.run_for(ms(100 * tenth));
            pair.world.clock(pair.leader).jump(jump);
            for _ in 0..200 {
                pair.world.run_for(ms(100));
                let rate = pair.world.engine(pair.follower).line().map_or(0, |line| line.rate / 1_100);
                assert!(rate.abs() < 200_000, "{what}: the line runs {rate} ppb off");
            }
            assert_eq!(pair.state(), ClockState::Locked, "{what}");
            // What is below a millisecond is still being slewed away.
            assert!(pair.error().abs() < 2_000 || jump.abs() < 1_000_000, "{what}: {} ns", pair.error());
            assert!(pair.generation() <= 2, "{what}: generation {}", pair.generation());
        }
    }
}
