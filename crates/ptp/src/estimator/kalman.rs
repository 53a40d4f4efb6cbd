//! A two-state Kalman filter: phase in nanoseconds, frequency in nanoseconds per second (parts per billion).

/// Variance of phase (ns²) and of frequency (ns²/s²) when nothing is known yet.
const UNKNOWN: f64 = 1e10;

/// What is believed of phase and frequency at one instant, and how firmly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Kalman {
    pub(super) phase: f64,
    pub(super) frequency: f64,
    p00: f64,
    p01: f64,
    p11: f64,
    process_noise: f64,
}

impl Kalman {
    /// Starts at `phase` and `frequency`, trusting neither; `process_noise` is q_f in ns²/s³.
    pub(super) const fn new(phase: f64, frequency: f64, process_noise: f64) -> Self {
        Self { phase, frequency, p00: UNKNOWN, p01: 0.0, p11: UNKNOWN, process_noise }
    }

    /// Moves the belief `seconds` ahead.
    pub(super) fn predict(&mut self, seconds: f64) {
        let (d, q) = (seconds, self.process_noise);
        self.phase += self.frequency * d;
        self.p00 += d * (2.0 * self.p01 + d * self.p11) + q * d * d * d / 3.0;
        self.p01 += d * self.p11 + q * d * d / 2.0;
        self.p11 += q * d;
    }

    /// The variance that an innovation measured `age` seconds ago with `noise` ns² has if the belief is right.
    pub(super) fn innovation_variance(&self, age: f64, noise: f64) -> f64 {
        self.p00 - 2.0 * age * self.p01 + age * age * self.p11 + noise
    }

    /// Takes in that the phase `age` seconds ago was `innovation` ns more than believed, known to `noise` ns².
    pub(super) fn update(&mut self, innovation: f64, age: f64, noise: f64) {
        // H = [1, −age]: the phase then is the phase now less what the frequency added since.
        let s = self.innovation_variance(age, noise);
        let (h0, h1) = (self.p00 - age * self.p01, self.p01 - age * self.p11);
        let (k0, k1) = (h0 / s, h1 / s);
        self.phase += k0 * innovation;
        self.frequency += k1 * innovation;
        self.p00 = (self.p00 - k0 * h0).max(0.0);
        self.p01 -= k0 * h1;
        self.p11 = (self.p11 - k1 * h1).max(0.0);
    }

    /// Doubts everything as far as `phase_variance` and `frequency_variance`.
    pub(super) fn inflate(&mut self, phase_variance: f64, frequency_variance: f64) {
        self.p00 = self.p00.max(phase_variance);
        self.p11 = self.p11.max(frequency_variance);
    }

    /// Trusts neither phase nor frequency any more.
    pub(super) const fn forget(&mut self) {
        (self.p00, self.p01, self.p11) = (UNKNOWN, 0.0, UNKNOWN);
    }

    /// Standard deviation of the phase, in nanoseconds.
    pub(super) fn sigma_phase(&self) -> f64 {
        libm::sqrt(self.p00)
    }

    /// Standard deviation of the frequency, in nanoseconds per second.
    pub(super) fn sigma_frequency(&self) -> f64 {
        libm::sqrt(self.p11)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_measurements_find_phase_and_frequency() {
        // True phase 5000 + 35 000 t; each second's measurement is half a second old.
        let mut belief = Kalman::new(0.0, 0.0, 10.0);
        for second in 1..20 {
            belief.predict(1.0);
            let then = f64::from(second) - 0.5;
            let innovation = 5_000.0 + 35_000.0 * then - (belief.phase - 0.5 * belief.frequency);
            belief.update(innovation, 0.5, 150.0 * 150.0);
        }
        assert!((belief.phase - 5_000.0 - 35_000.0 * 19.0).abs() < 1.0, "{belief:?}");
        assert!((belief.frequency - 35_000.0).abs() < 1.0, "{belief:?}");
        assert!(belief.sigma_phase() < 150.0 && belief.sigma_frequency() < 100.0, "{belief:?}");
    }

    #[test]
    fn doubt_grows_without_measurements_and_never_shrinks_below_what_was_inflated() {
        let mut belief = Kalman::new(0.0, 0.0, 10.0);
        for _ in 0..50 {
            belief.predict(1.0);
            belief.update(0.0, 0.0, 100.0);
        }
        let settled = belief.sigma_phase();
        belief.predict(60.0);
        assert!(belief.sigma_phase() > 800.0 + settled, "60 s of 10 ns²/s³ alone are 849 ns");
        belief.inflate(1e12, 1e4);
        assert_eq!(belief.sigma_phase(), 1e6);
    }
}
