//! Engines among themselves: who leads, who follows, and how fast they agree.

mod common;

use common::{add_follower, identity, run_until};
use wireloom_ptp::{ClockState, Config, Event, Lead, OwnTime, PortState};
use wireloom_sim::{Link, NodeId, Oscillator, ScriptedLeader, Stamper, World, ms, secs};
use wireloom_units::TaiTime;

fn candidate(number: u8, lead: Lead, priority1: u8) -> Config {
    let time = TaiTime::from_nanos(common::EPOCH + i64::from(number) * 1_000_000_000);
    let own_time = OwnTime { base: 0, time, ptp_timescale: true, utc_offset: Some(37) };
    Config { lead, priority1, log_announce: 0, own_time, ..Config::follower(identity(number)) }
}

fn add(world: &mut World, number: u8, lead: Lead, priority1: u8) -> NodeId {
    let clock =
        Oscillator::new(f64::from(number) * 7.0 - 30.0, i64::from(number) * 1_000_000_007, number.into());
    world.add_engine(candidate(number, lead, priority1), clock, Stamper::SOFTWARE)
}

fn leaders(world: &World, nodes: &[NodeId]) -> Vec<NodeId> {
    let leads = |node: &NodeId| world.engine(*node).port_state(0) == PortState::Master;
    nodes.iter().copied().filter(leads).collect()
}

#[test]
fn two_to_ten_nodes_agree_on_the_best() {
    for count in 2..=10_u8 {
        for seed in 0..5 {
            let mut world = World::new(seed * 100 + u64::from(count));
            // The best is neither the first nor the one with the lowest identity.
            let nodes: Vec<_> =
                (0..count).map(|number| add(&mut world, number, Lead::Always, 140 - number % 7)).collect();
            let best = nodes[usize::from(if count >= 7 { 6 } else { count - 1 })];
            world.wire(&nodes, Link::QUIET);
            // Three intervals of listening, up to one more at random; then three to converge.
            world.run_for(secs(4));
            world.run_for(secs(3));
            assert_eq!(leaders(&world, &nodes), [best], "{count} nodes, seed {seed}");
            for second in 0..30 {
                world.run_for(secs(1));
                assert_eq!(leaders(&world, &nodes), [best], "{count} nodes, seed {seed}, {second} s later");
            }
            for &node in nodes.iter().filter(|&&node| node != best) {
                assert_eq!(world.engine(node).status(0).state, ClockState::Locked, "{node:?} of {count}");
                let ours = world.reading(node);
                let theirs = world.reading(best);
                let here = world.engine(node).line().expect("locked").at(ours);
                let there = world.engine(best).line().expect("leads").at(theirs);
                assert!(here.since(there).abs() < 3_000, "{node:?} of {count}: {} ns", here.since(there));
            }
        }
    }
}

#[test]
fn the_next_best_takes_over_and_gives_way_again_without_a_step() {
    for seed in 0..10 {
        let mut world = World::new(seed);
        let first = add(&mut world, 1, Lead::Always, 100);
        let second = add(&mut world, 2, Lead::Always, 110);
        let third = add_follower(&mut world, 3);
        let cable = world.wire(&[first, second, third], Link::QUIET);
        world.run_for(secs(40));
        assert_eq!(leaders(&world, &[first, second]), [first]);
        let generation = world.engine(third).line().expect("locked").generation;
        // The cable of the first is pulled.
        world.with_engine(first, |engine, now| engine.disable_port(now, 0));
        run_until(&mut world, secs(6), |world| leaders(world, &[second]) == [second]);
        world.run_for(secs(40));
        assert_eq!(world.engine(third).status(0).state, ClockState::Locked, "seed {seed}");
        assert_eq!(world.engine(third).line().expect("locked").generation, generation, "seed {seed}");
        world.watch(third).assert_held("second leader");
        // It comes back: the second stops at once when it has heard two Announces.
        world.with_engine(first, |engine, now| engine.enable_port(now, 0, Default::default()));
        world.run_for(secs(8));
        assert_eq!(leaders(&world, &[first, second]), [first], "seed {seed}");
        world.run_for(secs(40));
        world.watch(second).assert_held("gave way");
        world.watch(third).assert_held("first leader again");
        assert_eq!(world.link(cable).loss, 0.0);
    }
}

#[test]
fn a_last_resort_leads_alone_and_stops_for_anybody_better() {
    let mut world = World::new(1);
    let laptop = add(&mut world, 1, Lead::LastResort, 1);
    let follower = add_follower(&mut world, 9);
    let late = world.add_leader(ScriptedLeader::new(7, common::EPOCH));
    world.leader(late).alive = false;
    world.leader(late).priority1 = 249;
    world.wire(&[laptop, follower, late], Link::QUIET);
    world.run_for(secs(30));
    assert_eq!(world.engine(laptop).port_state(0), PortState::Master);
    let leader = world.engine(follower).status(0).leader.expect("follows the laptop");
    assert_eq!((leader.priority1, leader.quality.class), (250, 248));
    assert!(!leader.time_traceable && !leader.frequency_traceable, "never announced as traceable");
    world.leader(late).alive = true;
    let seconds =
        run_until(&mut world, secs(5), |world| world.engine(laptop).port_state(0) == PortState::Uncalibrated);
    assert!(seconds <= 2.1, "two Announces are enough: {seconds} s");
    world.run_for(secs(20));
    assert_eq!(world.engine(laptop).status(0).state, ClockState::Locked);
}

#[test]
fn a_slave_only_clock_never_sends_but_delay_requests() {
    let mut world = World::new(1);
    let follower = add_follower(&mut world, 9);
    world.wire(&[follower], Link::QUIET);
    world.run_for(secs(60));
    let engine = world.engine(follower);
    assert_eq!(engine.port_state(0), PortState::Listening);
    assert_eq!(engine.status(0).state, ClockState::Listening);
    assert_eq!(engine.line(), None);
    assert_eq!(engine.poll_timeout(), None, "nothing to wake up for");
    assert_eq!(engine.status(0).counters.delay_requests_sent, 0);
}

#[test]
fn a_clock_between_two_segments_carries_the_time_over() {
    let mut world = World::new(4);
    let grandmaster = world.add_leader(ScriptedLeader::new(1, common::EPOCH));
    let boundary = add(&mut world, 5, Lead::Always, 128);
    let far = add_follower(&mut world, 9);
    world.wire(&[grandmaster, boundary], Link::QUIET);
    world.wire(&[boundary, far], Link::QUIET);
    world.run_for(secs(60));
    assert_eq!(world.engine(boundary).port_state(0), PortState::Slave);
    assert_eq!(world.engine(boundary).port_state(1), PortState::Master);
    let since = |wanted| {
        let is = |event: &Event| *event == Event::PortStateChanged { port: 1, to: wanted };
        world.events(boundary).iter().find(|(_, event)| is(event)).expect("it was").0
    };
    let waited = since(PortState::Master) - since(PortState::PreMaster);
    assert!((ms(1_999)..ms(2_100)).contains(&waited), "two announce intervals: {waited} ps");
    let leader = world.engine(far).status(0).leader.expect("follows the boundary");
    assert_eq!(leader.grandmaster, world.leader(grandmaster).identity.clock);
    assert_eq!((leader.parent.clock, leader.parent.port, leader.steps_removed), (identity(5), 2, 1));
    assert!((leader.quality.class, leader.utc_offset) == (6, Some(37)));
    let error = world.seen(far, grandmaster).line.expect("a line");
    assert!(error.abs() < 5_000, "{error} ns");
}

#[test]
fn a_last_resort_between_two_networks_takes_neither_from_its_leader() {
    let mut world = World::new(4);
    let studio = world.add_leader(ScriptedLeader::new(1, common::EPOCH));
    let venue = world.add_leader(ScriptedLeader::new(2, common::EPOCH));
    world.leader(studio).priority1 = 100; // better than the venue's
    let laptop = add(&mut world, 5, Lead::LastResort, 128);
    world.wire(&[studio, laptop], Link::QUIET);
    world.wire(&[venue, laptop], Link::QUIET);
    world.run_for(secs(60));
    assert_eq!(world.engine(laptop).port_state(0), PortState::Slave);
    assert_eq!(world.engine(laptop).port_state(1), PortState::Passive);
    let began_to = |wanted| {
        let is = |event: &Event| *event == Event::PortStateChanged { port: 1, to: wanted };
        world.events(laptop).iter().any(|(_, event)| is(event))
    };
    assert!(!began_to(PortState::PreMaster) && !began_to(PortState::Master));
    // Where nobody leads, it does.
    world.leader(venue).alive = false;
    run_until(&mut world, secs(10), |world| world.engine(laptop).port_state(1) == PortState::Master);
}

#[test]
fn two_ports_on_one_segment_follow_on_one_and_stay_silent_on_the_other() {
    let mut world = World::new(4);
    let grandmaster = world.add_leader(ScriptedLeader::new(1, common::EPOCH));
    let doubled = add(&mut world, 5, Lead::Always, 128);
    world.wire(&[grandmaster, doubled], Link::QUIET);
    // The same grandmaster hears and is heard on a second interface too.
    world.wire(&[grandmaster, doubled], Link::QUIET);
    world.bridge(grandmaster);
    world.run_for(secs(30));
    assert_eq!(world.engine(doubled).port_state(0), PortState::Slave);
    assert_eq!(world.engine(doubled).port_state(1), PortState::Passive);
    assert_eq!(world.engine(doubled).status(0).state, ClockState::Locked);
}

#[test]
fn a_primary_reference_is_passive_beside_a_better_one() {
    let mut world = World::new(4);
    let better = world.add_leader(ScriptedLeader::new(1, common::EPOCH));
    world.leader(better).priority1 = 100;
    let mut config = candidate(5, Lead::Always, 128);
    config.quality.class = 6;
    let reference = world.add_engine(config, Oscillator::new(0.0, 0, 1), Stamper::EXACT);
    world.wire(&[better, reference], Link::QUIET);
    world.run_for(secs(20));
    assert_eq!(world.engine(reference).port_state(0), PortState::Passive);
    world.leader(better).alive = false;
    run_until(&mut world, secs(6), |world| world.engine(reference).port_state(0) == PortState::Master);
    world.run_for(ms(500));
    assert_eq!(world.engine(reference).status(0).state, ClockState::Leader);
}
