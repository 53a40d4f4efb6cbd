//! How noisy the measurements of late were.

/// Windows over which the typical error is taken.
const ERRORS: usize = 32;
/// Windows over which the floor of the path delay is taken.
const DELAYS: usize = 64;
/// Windows that make a history.
const ENOUGH: usize = 16;
/// Timestamping noise that no window beats, in nanoseconds.
const LEAST: f64 = 150.0;
/// Makes a median of absolute values a standard deviation (normal distribution).
const MEDIAN_TO_SIGMA: f64 = 1.48;

/// The last errors and path delays, as single precision: nanoseconds of milliseconds fit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Noise {
    errors: Ring<ERRORS>,
    delays: Ring<DELAYS>,
}

impl Noise {
    pub(super) const fn new() -> Self {
        Self { errors: Ring::new(), delays: Ring::new() }
    }

    pub(super) fn add_delay(&mut self, delay: f64) {
        self.delays.push(delay as f32);
    }

    pub(super) fn add_error(&mut self, error: f64) {
        self.errors.push(error as f32);
    }

    /// Variance of a measurement in ns²; `delay` tells how unlucky its window was.
    ///
    /// Before there is a history to judge by, the `spread` of the window's own messages stands in for it.
    pub(super) fn variance(&self, delay: Option<f64>, spread: f64) -> f64 {
        let usual = MEDIAN_TO_SIGMA * self.errors.deviation().unwrap_or(0.0);
        let usual = if self.errors.count < ENOUGH { usual.max(spread) } else { usual };
        let typical = LEAST.max(usual);
        let deviation = typical + self.excess(delay);
        deviation * deviation
    }

    /// The variance that a measurement would have if nothing but its own queueing disturbed it.
    pub(super) fn least_variance(&self, delay: Option<f64>) -> f64 {
        let deviation = LEAST + self.excess(delay);
        deviation * deviation
    }

    fn excess(&self, delay: Option<f64>) -> f64 {
        match (delay, self.floor()) {
            (Some(delay), Some(floor)) => (delay - floor).max(0.0),
            _ => 0.0,
        }
    }

    /// The path delay when nothing queues: the 12th percentile of the last 64.
    pub(super) fn floor(&self) -> Option<f64> {
        self.delays.quantile(12, 100)
    }
}

/// The last `N` values.
#[derive(Debug, Clone, Copy)]
struct Ring<const N: usize> {
    values: [f32; N],
    next: usize,
    count: usize,
}

impl<const N: usize> Ring<N> {
    const fn new() -> Self {
        Self { values: [0.0; N], next: 0, count: 0 }
    }

    fn push(&mut self, value: f32) {
        if let Some(place) = self.values.get_mut(self.next) {
            *place = value;
        }
        self.next = (self.next + 1) % N;
        self.count = (self.count + 1).min(N);
    }

    /// The value below which `part` of `whole` of the values are.
    fn quantile(&self, part: usize, whole: usize) -> Option<f64> {
        let mut sorted = self.values;
        select(sorted.get_mut(..self.count)?, part, whole)
    }

    /// The median distance from the median: an error that all windows share is no noise, it is to be corrected.
    fn deviation(&self) -> Option<f64> {
        let mut sorted = self.values;
        let sorted = sorted.get_mut(..self.count)?;
        let median = select(sorted, 1, 2)?;
        for value in &mut *sorted {
            *value = (*value - median as f32).abs();
        }
        select(sorted, 1, 2)
    }
}

fn select(values: &mut [f32], part: usize, whole: usize) -> Option<f64> {
    let rank = values.len().checked_sub(1)? * part / whole;
    let (_, value, _) = values.select_nth_unstable_by(rank, f32::total_cmp);
    Some(f64::from(*value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_forget_what_is_older_than_the_ring() {
        let mut ring = Ring::<8>::new();
        assert_eq!(ring.quantile(1, 2), None);
        (0..20_u8).for_each(|value| ring.push(value.into()));
        assert_eq!(ring.quantile(0, 1), Some(12.0));
        assert_eq!(ring.quantile(1, 2), Some(15.0));
        assert_eq!(ring.quantile(1, 1), Some(19.0));
    }

    #[test]
    fn an_unlucky_window_weighs_less() {
        let mut noise = Noise::new();
        (0..64).for_each(|_| noise.add_delay(2_000.0));
        assert_eq!(noise.variance(Some(2_000.0), 0.0), 150.0 * 150.0);
        assert_eq!(noise.variance(Some(1_000.0), 0.0), 150.0 * 150.0);
        assert_eq!(noise.variance(Some(2_850.0), 0.0), 1_000.0 * 1_000.0);
        (0..32).for_each(|window| noise.add_error([5_000.0, 6_000.0, 7_000.0][window % 3]));
        assert!((noise.variance(None, 9e9) - 1_480.0 * 1_480.0).abs() < 1.0, "noise, not the common error");
        let mut young = Noise::new();
        (0..4).for_each(|_| young.add_error(10.0));
        assert_eq!(young.variance(None, 9_000.0), 9_000.0 * 9_000.0, "too little history");
    }
}
