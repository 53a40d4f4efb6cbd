//! What goes into an estimator and what can be asked of it.

use core::fmt;

use wireloom_units::TaiTime;

use super::Estimator;
use super::output::Output;
use super::sample::Sample;
use crate::line::ClockState;

/// What the estimator needs to know of its clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Process noise of the oscillator's frequency, in ns²/s³.
    pub process_noise: f64,
    /// σ below which the clock may be LOCKED, in nanoseconds.
    pub lock_threshold: f64,
}

/// Why an exchange was not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Received not later than the previous one.
    ReceiptNotRising,
    /// Sent not later than the previous one.
    OriginNotRising,
    /// Further than 10 ms from the prediction.
    Outlier,
    /// Nothing to compare with yet.
    TooEarly,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReceiptNotRising => "received not later than the previous Sync",
            Self::OriginNotRising => "sent not later than the previous Sync",
            Self::Outlier => "more than 10 ms from the prediction",
            Self::TooEarly => "no Sync came before",
        })
    }
}

impl core::error::Error for Refusal {}

/// Counts of windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WindowCounts {
    /// Used.
    pub used: u64,
    /// Skipped by the gate.
    pub gated: u64,
    /// With too few Syncs.
    pub empty: u64,
}

/// The published mapping: what [`crate::Line`] says, without its leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// Changes exactly when the time jumps.
    pub generation: u32,
    /// b0, in nanoseconds of base B.
    pub base: i64,
    /// The network's time at `base`.
    pub time: TaiTime,
    /// Distance of the rate from 1, in units of 2^-40.
    pub rate: i64,
    /// The error that is not exceeded with high probability, in nanoseconds; `u64::MAX` when it cannot be told.
    pub error_bound_ns: u64,
}

impl Estimator {
    /// What the published mapping is worth.
    pub const fn state(&self) -> ClockState {
        self.state
    }

    /// The published mapping; `None` before the first.
    pub fn published(&self) -> Option<Published> {
        let Output { generation, base, time, rate } = self.output?;
        Some(Published { generation, base, time, rate, error_bound_ns: self.error_bound_ns })
    }

    /// Last measured error of the prediction, in nanoseconds.
    pub const fn last_error(&self) -> f64 {
        self.last_error
    }

    /// Standard deviation of the phase, in nanoseconds.
    pub fn sigma(&self) -> f64 {
        self.model.map_or(0.0, |model| model.belief.sigma_phase())
    }

    /// Estimated rate of the leader against base B, in parts per billion.
    pub const fn frequency_ppb(&self) -> f64 {
        self.frequency
    }

    /// Last measured path delay in nanoseconds; `None` before the first exchange with this leader.
    pub const fn path_delay(&self) -> Option<f64> {
        self.measured_delay
    }

    /// How far the estimate is ahead of the published line at `now`, in nanoseconds.
    pub fn output_offset(&self, now: i64) -> f64 {
        match (&self.output, &self.model) {
            (Some(output), Some(model)) => {
                let (whole, phase) = model.offset_at(now);
                output.behind(now, whole, phase)
            }
            _ => 0.0,
        }
    }

    /// How far the estimate is ahead of `time` at base time `now`, in nanoseconds; what simulations judge.
    pub fn estimate_ahead_of(&self, now: i64, time: TaiTime) -> Option<f64> {
        self.model.map(|model| model.ahead_of(&Sample::new(time, 0.0, now)))
    }

    /// Since when the clock is LOCKED, in nanoseconds of base B.
    pub const fn locked_since(&self) -> Option<i64> {
        self.locked_since
    }

    /// Counts of windows.
    pub const fn window_counts(&self) -> WindowCounts {
        self.counts
    }
}
