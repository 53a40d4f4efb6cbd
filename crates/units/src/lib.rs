//! Units and time, as types: what cannot be added here must not be added anywhere.
//!
//! Not responsible for: reading a clock, estimating a rate, formatting for people.
//! Everything is integer arithmetic; floating point belongs into filters.

#![no_std]
#![forbid(unsafe_code)]

mod identifiers;
mod media;
mod rate;
mod time;

pub use identifiers::{Channels, ClockIdentity, Ssrc};
pub use media::{MediaIndex, MediaTime, Samples};
pub use rate::{Rate, ScaledPpm};
pub use time::{Nanos, TaiTime};
