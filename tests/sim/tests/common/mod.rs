//! What the scenarios share: one follower at +35 ppm, a leader or two, and how to wait for a state.
#![allow(dead_code)] // not every scenario uses all of it

use wireloom_ptp::{ClockState, Config, Status};
use wireloom_sim::{Link, NodeId, Oscillator, ScriptedLeader, Stamper, True, World, ms};
use wireloom_units::ClockIdentity;

pub const EPOCH: i64 = 1_795_000_000_000_000_000;

pub fn identity(number: u8) -> ClockIdentity {
    ClockIdentity([2, 0, 0, 0xff, 0xfe, 0, 0, number])
}

/// A world with a scripted leader and a follower on one quiet segment.
pub struct Pair {
    pub world: World,
    pub leader: NodeId,
    pub follower: NodeId,
    pub segment: usize,
}

impl Pair {
    pub fn new(seed: u64) -> Self {
        Self::with(seed, Link::QUIET)
    }

    pub fn with(seed: u64, link: Link) -> Self {
        let mut world = World::new(seed);
        let leader = world.add_leader(ScriptedLeader::new(1, EPOCH));
        let follower = add_follower(&mut world, 9);
        let segment = world.wire(&[leader, follower], link);
        Self { world, leader, follower, segment }
    }

    pub fn status(&self) -> Status {
        self.world.engine(self.follower).status(0)
    }

    pub fn state(&self) -> ClockState {
        self.status().state
    }

    /// How far the published line is from the leader's time, in nanoseconds.
    pub fn error(&mut self) -> i64 {
        self.world.seen(self.follower, self.leader).line.expect("there is a line")
    }

    pub fn generation(&self) -> u32 {
        self.world.engine(self.follower).line().expect("there is a line").generation
    }

    /// Lets time pass until the follower is in `state`; gives the seconds that took.
    pub fn run_until(&mut self, state: ClockState, most: True) -> f64 {
        run_until(&mut self.world, most, |world| world.engine(self.follower).status(0).state == state)
    }

    pub fn locked(seed: u64) -> Self {
        let mut pair = Self::new(seed);
        pair.run_until(ClockState::Locked, wireloom_sim::secs(20));
        pair
    }
}

pub fn add_follower(world: &mut World, number: u8) -> NodeId {
    let clock = Oscillator::new(35.0, 77_000_000_000, number.into()).wandering(1.0);
    world.add_engine(Config::follower(identity(number)), clock, Stamper::SOFTWARE)
}

/// Lets time pass until `reached`; gives the seconds that took. Panics after `most`.
pub fn run_until(world: &mut World, most: True, reached: impl Fn(&World) -> bool) -> f64 {
    let start = world.now();
    while !reached(world) {
        assert!(world.now() - start < most, "not reached in {} s", most as f64 * 1e-12);
        world.run_for(ms(10));
    }
    (world.now() - start) as f64 * 1e-12
}
