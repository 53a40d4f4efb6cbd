use super::kalman::Kalman;
use super::sample::Sample;

/// Where the network's time is believed to be: P(b) = b + origin + phase(b).
#[derive(Debug, Clone, Copy)]
pub(super) struct Model {
    /// Whole nanoseconds that keep the phase small.
    origin: i64,
    /// Base time of the belief.
    at: i64,
    pub(super) belief: Kalman,
}

impl Model {
    /// A first guess from one sample.
    pub(super) const fn new(first: &Sample, frequency: f64, process_noise: f64) -> Self {
        Self { origin: first.whole(), at: first.at, belief: Kalman::new(0.0, frequency, process_noise) }
    }

    /// How far the believed phase at the sample's time is ahead of the sample.
    pub(super) fn ahead_of(&self, sample: &Sample) -> f64 {
        self.phase_at(sample.at) - sample.phase_from(self.origin)
    }

    /// Moves the belief to `now`, if that is later.
    pub(super) fn advance(&mut self, now: i64) {
        let seconds = seconds_between(self.at, now);
        if seconds > 0.0 {
            self.belief.predict(seconds);
            self.at = now;
        }
        // A phase below a second has a resolution far below a nanosecond.
        if self.belief.phase.abs() > 1e9 {
            let whole = self.belief.phase as i64;
            self.origin = self.origin.saturating_add(whole);
            self.belief.phase -= whole as f64;
        }
    }

    /// Network time less base time at `now`: whole nanoseconds and the rest.
    pub(super) fn offset_at(&self, now: i64) -> (i64, f64) {
        (self.origin, self.phase_at(now))
    }

    fn phase_at(&self, instant: i64) -> f64 {
        self.belief.phase + self.belief.frequency * seconds_between(self.at, instant)
    }
}

/// Seconds from `from` to `to`; negative backwards.
pub(super) fn seconds_between(from: i64, to: i64) -> f64 {
    to.saturating_sub(from) as f64 * 1e-9
}
