use wireloom_units::TaiTime;

use crate::line::saturate;

/// One comparison of the network's time with base B: where both stood when a message was stamped.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sample {
    /// Base time of our stamp.
    pub(super) at: i64,
    /// Network time less base time, whole nanoseconds.
    whole: i64,
    /// What corrections add to it.
    fraction: f64,
}

impl Sample {
    /// The leader's stamp `remote`, moved by `correction` nanoseconds, against our stamp `local`.
    pub(super) fn new(remote: TaiTime, correction: f64, local: i64) -> Self {
        let whole = saturate(i128::from(remote.as_nanos()) - i128::from(local));
        Self { at: local, whole, fraction: correction }
    }

    /// Network time less base time, as a distance from `origin`: small enough for floating point.
    pub(super) fn phase_from(&self, origin: i64) -> f64 {
        saturate(i128::from(self.whole) - i128::from(origin)) as f64 + self.fraction
    }

    /// Network time less base time, in whole nanoseconds.
    pub(super) const fn whole(&self) -> i64 {
        self.whole
    }
}
