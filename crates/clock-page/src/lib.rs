//! The shared page of clock lines: "PTP time = a + b × (CLOCK_MONOTONIC_RAW − m)".
//!
//! Not responsible for: estimating a line, or choosing one.

mod line;

pub use line::{Line, LineState, Source};
