//! OAT-CTL/1: what a device tells of itself, and how it is told what to play (a proposal of this project).
//!
//! Not responsible for: HTTP. A program hands method, path and body in and gets status and body back; a controller gets
//! path and body and hands status and body in.

mod answer;
mod fault;
mod model;
mod request;

pub use answer::{AnswerError, read_device, read_done, read_input, read_streams};
pub use fault::{Code, Fault};
pub use model::{Device, InputState, InputStatus, Ptp, Side, Source, Stream, Transport};
pub use request::{Call, Reply, Request};

/// Path under which everything is.
pub const BASE: &str = "/oat/v1";
/// The largest body that a device takes.
pub const MAX_BODY: usize = 4096;
/// The largest answer that a controller reads: 128 streams of 400 octets.
pub const MAX_ANSWER: usize = 64 * 1024;
