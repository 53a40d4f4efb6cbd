use crate::{Random, True};

/// How often the frequency wanders.
const STEP: True = crate::ms(100);

/// A crystal: what its clock reads as true time passes. Can only be asked forward.
#[derive(Debug, Clone)]
pub struct Oscillator {
    ppb: f64,
    wander: f64,
    ramp: f64,
    start: i64,
    random: Random,
    /// End of the segment that has been passed, and the clock's deviation from true time there, in nanoseconds.
    at: True,
    deviation: f64,
}

impl Oscillator {
    /// A crystal that is `ppm` fast and whose clock reads `start` ns at the beginning.
    pub const fn new(ppm: f64, start: i64, seed: u64) -> Self {
        let random = Random::new(seed);
        Self { ppb: ppm * 1e3, wander: 0.0, ramp: 0.0, start, random, at: 0, deviation: 0.0 }
    }

    /// Lets the frequency walk at random by `ppb` per square root of a second.
    #[must_use]
    pub const fn wandering(mut self, ppb: f64) -> Self {
        self.wander = ppb;
        self
    }

    /// Lets the frequency rise by `ppm_per_minute`, as when the room warms up.
    #[must_use]
    pub const fn warming(mut self, ppm_per_minute: f64) -> Self {
        self.ramp = ppm_per_minute * 1e3 / 60.0;
        self
    }

    /// What the clock reads at `now`, in nanoseconds and a fraction of one.
    pub fn read(&mut self, now: True) -> (i64, f64) {
        while self.at + STEP <= now {
            let seconds = STEP as f64 * 1e-12;
            self.deviation += self.ppb * seconds;
            self.at += STEP;
            self.ppb += self.ramp * seconds + self.random.normal(self.wander * seconds.sqrt());
        }
        let deviation = self.deviation + self.ppb * (now - self.at) as f64 * 1e-12;
        let fraction = deviation - deviation.floor() + (now.rem_euclid(1000)) as f64 * 1e-3;
        (self.start + now.div_euclid(1000) + deviation.floor() as i64, fraction)
    }

    /// Moves the clock so that it is `ns` further on.
    pub const fn jump(&mut self, ns: i64) {
        self.start += ns;
    }

    /// Roughly how much true time the clock takes for `span` ns.
    pub fn true_span(&self, span: i64) -> True {
        (span as f64 * (1e3 - self.ppb * 1e-6)) as True
    }
}
