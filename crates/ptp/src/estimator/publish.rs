//! What follows from the model and from silence: the line, its error bound, HOLDOVER and LOST.

use super::{Estimator, SECOND, SLEW};
use crate::line::ClockState;

/// The limit of the output's slewing while LOCKED, in parts per billion.
const SLEW_LOCKED: f64 = 10_000.0;
/// HOLDOVER ends when the error bound passes this (ns) …
const LOST_BOUND: u64 = 250_000;
/// … or after this time.
const LOST_AFTER: i64 = 120 * SECOND;
/// The error bound before the path delay is known (ns).
const UNKNOWN_DELAY_BOUND: u64 = 1_000_000;
/// How much faster than the random walk a held-over frequency may drift, in ns/s².
const DRIFT: f64 = 1.7;

impl Estimator {
    /// Moves the output after the model, and the state after the time that passed.
    pub(super) fn publish(&mut self, now: i64) {
        if self.state == ClockState::Leader || self.output.is_none() {
            return;
        }
        let silence = now.saturating_sub(self.last_good);
        let patience = self.window_length.max(SECOND).saturating_mul(3);
        let waited = match self.state {
            ClockState::Tracking | ClockState::Locked => silence,
            ClockState::Acquiring => now.saturating_sub(self.acquiring_since),
            _ => 0,
        };
        if waited > patience {
            self.state = ClockState::Holdover;
            self.locked_since = None;
        }
        let behind = self.output_offset(now);
        self.error_bound_ns = self.bound(behind, silence);
        if self.state == ClockState::Holdover && (self.error_bound_ns > LOST_BOUND || silence > LOST_AFTER) {
            self.state = ClockState::Lost;
        }
        if let Some(output) = &mut self.output {
            let slew = if self.state == ClockState::Locked { SLEW_LOCKED } else { SLEW };
            if self.model.is_some() {
                let patience = self.window_length as f64 * 2e-9;
                output.steer(now, behind, self.frequency, slew, patience);
            }
        }
    }

    fn bound(&self, behind: f64, silence: i64) -> u64 {
        let seconds = silence.max(0) as f64 * 1e-9;
        let drift = DRIFT * seconds * seconds / 2.0;
        let Some(model) = &self.model else {
            // Our own time, given up a while ago; nothing is known of how it stands to a leader that is being acquired.
            let unknown = self.must_step || self.state == ClockState::Acquiring;
            return if unknown { u64::MAX } else { drift as u64 };
        };
        let drift = if self.state == ClockState::Locked { 0.0 } else { drift };
        let bound = (3.0 * model.belief.sigma_phase() + drift + behind.abs()) as u64;
        if self.held_delay.is_some() { bound } else { bound.max(UNKNOWN_DELAY_BOUND) }
    }
}
