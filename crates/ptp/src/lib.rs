//! PTP ports, the best master clock algorithm, and the estimator that turns exchanges into a line.
//!
//! Not responsible for: sockets, timestamps of the kernel or of a network card, other time bases than the one it is
//! given, steering any clock (it never does), PTPv1 (its wire format will stand beside [`v2`], on the same
//! [`estimator`]).
//!
//! Every instant that enters or leaves is an `i64` in nanoseconds of *base B*, CLOCK_MONOTONIC_RAW on Linux: `now`,
//! receive and transmit timestamps, timeouts. Instants of the network's time are [`wireloom_units::TaiTime`].
//!
//! An [`Engine`] is one PTPv2 clock with one or more ports. Feed it with `handle_*`, then drain `poll_transmit` and
//! `poll_event`, publish [`Engine::line`], sleep until `poll_timeout`. Nothing here allocates, reads a clock or panics
//! on what the network sends.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod bmca;
pub mod config;
pub mod engine;
pub mod estimator;
mod exchange;
mod foreign;
pub mod line;
mod random;
pub mod status;
pub mod v2;

pub use config::{Config, Lead, Oscillator, OwnTime, PortConfig};
pub use engine::{Engine, Packet, Token, Transmit};
pub use line::{ClockState, Line};
pub use status::{Counters, Event, Leader, PortState, Status};
pub use v2::PortIdentity;
