//! A leader that is followed: what each window's measurement does to the model and to its standing.

use super::kalman::Kalman;
use super::model::seconds_between;
use super::window::Measurement;
use super::{Estimator, STEP};
use crate::line::ClockState;

/// Innovations beyond this many standard deviations, squared, are skipped.
const GATE: f64 = 25.0;
/// Skips in a row after which the filter rather than the measurement is doubted.
const ESCAPE: u8 = 8;
/// Unexplained errors in a row on one side after which the filter is doubted, too.
const UNEXPLAINED: u8 = 3;
/// Calm windows in a row before LOCKED.
const CALM_WINDOWS: u8 = 8;
/// The most that the frequency may move a second for a window to be calm, in parts per billion; while it is being
/// learned, what three standard deviations allow.
const CALM_PPB: f64 = 500.0;
/// Wild windows in a row before LOCKED is lost.
const WILD_WINDOWS: u8 = 3;

impl Estimator {
    /// Lets one window's measurement into the model, unless the gate or a jump forbids it.
    pub(super) fn refine(&mut self, now: i64, measurement: &Measurement) {
        let Some(mut model) = self.model else { return };
        let error = measurement.error;
        self.last_error = error;
        if error.abs() > STEP {
            self.calm = 0;
            return self.jump(now);
        }
        self.jumps = 0;
        if let Some(delay) = measurement.delay {
            self.measured_delay = Some(delay);
            // A frequency that is still wrong moves the two directions apart.
            if model.belief.sigma_frequency() < 1_000.0 {
                self.noise.add_delay(delay);
            }
            self.held_delay = self.noise.floor().or(self.held_delay).or(Some(delay));
        }
        let before = model.belief;
        self.learn(&mut model.belief, measurement, seconds_between(measurement.at, now));
        self.model = Some(model);
        self.frequency = model.belief.frequency;
        self.last_good = now;
        self.stand(now, error, &before, &model.belief);
    }

    /// Moves the belief by a measurement `age` seconds old, or doubts one of the two.
    fn learn(&mut self, belief: &mut Kalman, measurement: &Measurement, age: f64) {
        let error = measurement.error;
        let mut noise = self.noise.variance(measurement.delay, measurement.spread);
        self.noise.add_error(error);
        let window = self.window_length as f64 * 1e-9;
        let least = self.noise.least_variance(measurement.delay);
        if self.is_one_sided(error, least.max(belief.innovation_variance(age, least))) {
            let drift = error / (f64::from(UNEXPLAINED) * window);
            belief.inflate(error * error, drift * drift);
            noise = least;
        }
        let gated = error * error > GATE * belief.innovation_variance(age, noise);
        if gated && self.skips < ESCAPE {
            self.skips += 1;
            self.counts.gated += 1;
            return;
        }
        if gated {
            // The frequency may be what is wrong: it had this long to move the phase so far.
            let drift = error / (f64::from(ESCAPE) * window);
            belief.inflate(error * error, (drift * drift).max(1e4));
        }
        self.skips = 0;
        self.counts.used += 1;
        belief.update(-error, age, noise);
    }

    /// Whether this is one more of a row of errors on one side that neither queueing nor the filter's own doubts, both
    /// in `variance`, explain: then the doubts are too small.
    fn is_one_sided(&mut self, error: f64, variance: f64) -> bool {
        let side = if error > 0.0 { 1 } else { -1 };
        self.same_side = match self.same_side {
            _ if error * error <= 16.0 * variance => 0,
            count if count.signum() == side => count.saturating_add(side),
            _ => side,
        };
        let enough = self.same_side.unsigned_abs() >= UNEXPLAINED;
        if enough {
            self.same_side = 0;
        }
        enough
    }

    /// Lets the clock rise to LOCKED or fall from it.
    fn stand(&mut self, now: i64, error: f64, before: &Kalman, after: &Kalman) {
        let (threshold, sigma) = (self.settings.lock_threshold, after.sigma_phase());
        let most = (CALM_PPB * self.window_length as f64 * 1e-9).max(3.0 * before.sigma_frequency());
        let calm = sigma < threshold
            && error.abs() < threshold.max(5.0 * sigma)
            && (after.frequency - before.frequency).abs() < most;
        self.calm = if calm { self.calm.saturating_add(1) } else { 0 };
        self.wild = if error.abs() > 5.0 * threshold { self.wild.saturating_add(1) } else { 0 };
        match self.state {
            ClockState::Holdover | ClockState::Lost => {
                self.state = ClockState::Tracking;
                self.calm = u8::from(calm);
            }
            ClockState::Tracking if self.calm >= CALM_WINDOWS => {
                self.state = ClockState::Locked;
                self.locked_since = Some(now);
            }
            ClockState::Locked if self.wild >= WILD_WINDOWS => {
                self.state = ClockState::Tracking;
                self.locked_since = None;
                self.calm = 0;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimator::Settings;

    /// Lets windows of the given errors pass, a second each; which of them were used.
    fn used<const N: usize>(errors: [f64; N]) -> [bool; N] {
        let mut estimator = Estimator::new(Settings { process_noise: 10.0, lock_threshold: 20_000.0 });
        let mut belief = Kalman::new(0.0, 0.0, 10.0);
        let mut learn = |error| {
            let before = estimator.counts.used;
            belief.predict(1.0);
            let measurement = Measurement { error, delay: Some(2_000.0), at: 0, spread: 0.0 };
            estimator.noise.add_delay(2_000.0);
            estimator.learn(&mut belief, &measurement, 0.5);
            estimator.counts.used > before
        };
        for _ in 0..40 {
            assert!(learn(0.0), "a quiet window");
        }
        errors.map(learn)
    }

    #[test]
    fn eight_skips_in_a_row_are_enough() {
        // On alternating sides: the filter is not biased, the path has become noisy.
        let errors = core::array::from_fn::<_, 10, _>(|window| [50_000.0, -50_000.0][window % 2]);
        let mut expected = [false; 10];
        expected[8] = true;
        assert_eq!(used(errors)[..9], expected[..9]);
    }

    #[test]
    fn a_single_outlier_is_skipped_and_three_on_one_side_are_believed() {
        assert_eq!(used([50_000.0, 0.0, -50_000.0, 0.0]), [false, true, false, true]);
        assert_eq!(used([50_000.0, 50_000.0, 50_000.0]), [false, false, true]);
    }
}
