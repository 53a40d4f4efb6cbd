//! Simulation: virtual time, drifting clocks, lossy links; the main test of behaviour.
//!
//! One thread, no wall clock, every random number from one seed: the same seed gives the same run, bit for bit. True
//! time is an `i64` in picoseconds since the beginning of the world ([`True`]); no node ever sees it, each has its
//! own [`Oscillator`].
//!
//! Not responsible for: what a node does. That is the code under test.

#![forbid(unsafe_code)]

mod leader;
mod link;
mod oscillator;
mod random;
mod snapshot;
mod stamper;
mod watch;
mod world;

pub use leader::ScriptedLeader;
pub use link::{Answers, Link, Pdv};
pub use oscillator::Oscillator;
pub use random::Random;
pub use snapshot::snapshot;
pub use stamper::Stamper;
pub use watch::Watch;
pub use world::{NodeId, Seen, Tamper, World};

/// True time, or a span of it, in picoseconds.
pub type True = i64;

/// Picoseconds in `seconds` seconds.
pub const fn secs(seconds: i64) -> True {
    seconds * 1_000_000_000_000
}

/// Picoseconds in `millis` milliseconds.
pub const fn ms(millis: i64) -> True {
    millis * 1_000_000_000
}

/// Picoseconds in `micros` microseconds.
pub const fn us(micros: i64) -> True {
    micros * 1_000_000
}
