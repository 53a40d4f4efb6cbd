//! A new leader: where is its time, how fast does it run, and does ours step to it?

use wireloom_units::TaiTime;

use super::model::{Model, seconds_between};
use super::output::Output;
use super::sample::Sample;
use super::window::{Measurement, Window};
use super::{Estimator, Progress, SECOND, STEP};
use crate::line::ClockState;

/// Short windows that acquire a leader: the more, the better the frequency that the filter starts with.
const WINDOWS: u8 = 3;
/// Windows in a row that are off by more than [`STEP`] before the leader is believed to have jumped; delay exchanges in a
/// row that are far off before they are believed.
pub(super) const JUMP_WINDOWS: u8 = 4;
/// No crystal is further off than this, in parts per billion.
const MOST_PPB: f64 = 500_000.0;
/// Errors beyond what drift and queueing explain are jumps (ns).
const SURPRISE: f64 = 50_000.0;
/// The most that a window's own spread may excuse, for a jump spreads it, too (ns).
const MOST_QUEUEING: f64 = 200_000.0;
/// Jumps of a leader that is being acquired after which its windows are taken as they are.
const MOST_JUMPS: u8 = 4;

impl Estimator {
    /// Begins to measure a leader against a candidate of its own.
    pub(super) fn acquire(&mut self, now: i64) {
        self.start_over();
        self.acquiring_since = now;
        self.state = ClockState::Acquiring;
        self.locked_since = None;
        (self.skips, self.calm, self.wild, self.jumps, self.same_side) = (0, 0, 0, 0, 0);
        // Without a mapping to hold over there is nothing to do until the first Sync.
        self.window_end = self.output.map(|_| now.saturating_add(self.window_length));
    }

    /// Begins to measure with the next Sync: what was measured so far is of another time.
    pub(super) fn start_over(&mut self) {
        self.progress = Progress::Acquiring { measured: 0, delayed: false };
        (self.candidate, self.first_sync) = (None, None);
        self.window = Window::new();
    }

    /// The first Sync of a leader gives a first guess of its phase; where Syncs are rare the second one corrects the
    /// frequency, lest it move the phase by more in a window than any queue.
    pub(super) fn guess(&mut self, sample: &Sample) {
        let (mut frequency, process_noise) = (self.frequency, self.settings.process_noise);
        if !matches!(self.progress, Progress::Acquiring { .. }) {
            return;
        }
        match (&self.candidate, self.first_sync.take()) {
            (Some(_), Some(first)) if self.shortest_window > 2 * SECOND => {
                let seconds = seconds_between(first.at, sample.at);
                let drift = sample.phase_from(first.whole()) - first.phase_from(first.whole());
                if seconds > 0.5 {
                    frequency = (drift / seconds).clamp(-MOST_PPB, MOST_PPB);
                }
            }
            (Some(_), _) => return,
            (None, _) => self.first_sync = Some(*sample),
        }
        self.candidate = Some(Model::new(sample, frequency, process_noise));
        self.window = Window::new();
        self.window_end = Some(sample.at.saturating_add(self.shortest_window));
    }

    /// A few short windows give phase and frequency.
    pub(super) fn acquire_by(&mut self, now: i64, measurement: &Measurement, measured: u8, delayed: bool) {
        let Some(model) = &mut self.candidate else { return };
        let has_delay = measurement.delay.is_some();
        // What came before the path delay was known is off by as much as it is.
        let measured = if has_delay == delayed { measured + 1 } else { 1 };
        let mut innovation = -measurement.error;
        let expected = match measured {
            1 => f64::INFINITY,
            2 => MOST_PPB * self.shortest_window as f64 * 1e-9,
            _ => 0.0, // the frequency is known by now
        };
        let queueing = (8.0 * measurement.spread).min(MOST_QUEUEING);
        let jumped = innovation.abs() > expected + SURPRISE + queueing;
        if jumped && self.jumps < MOST_JUMPS {
            // It found its reference, or a new one.
            self.jumps += 1;
            return self.start_over();
        }
        if measured == 1 {
            // The guess may be far off, by a phase and not by a frequency: take it as measured.
            model.belief.forget();
            model.belief.phase += core::mem::take(&mut innovation);
        }
        let noise = self.noise.variance(None, measurement.spread);
        model.belief.update(innovation, seconds_between(measurement.at, now), noise);
        model.belief.frequency = model.belief.frequency.clamp(-MOST_PPB, MOST_PPB);
        self.last_error = measurement.error;
        self.progress = Progress::Acquiring { measured, delayed: has_delay };
        if measured >= WINDOWS {
            self.acquired(now);
        }
    }

    /// The candidate becomes the model; decides whether the time steps.
    fn acquired(&mut self, now: i64) {
        let Some(model) = self.candidate.take() else { return };
        self.frequency = model.belief.frequency;
        self.model = Some(model);
        self.progress = Progress::Following;
        self.jumps = 0;
        self.state = ClockState::Tracking;
        self.last_good = now;
        self.counts.used += 1;
        let far = self.output.is_none_or(|_| self.output_offset(now).abs() > STEP);
        if far || self.must_step {
            let (whole, phase) = model.offset_at(now);
            let time = TaiTime::from_nanos(now.saturating_add(whole).saturating_add(phase as i64));
            self.output = Some(Output::step(self.output, now, time, self.frequency));
            self.must_step = false;
        }
    }

    /// One more window far off: after four in a row the leader is acquired anew.
    pub(super) fn jump(&mut self, now: i64) {
        self.jumps = self.jumps.saturating_add(1);
        if self.jumps >= JUMP_WINDOWS {
            self.acquire(now);
        }
    }
}
