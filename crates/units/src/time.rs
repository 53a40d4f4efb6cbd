use core::fmt;

/// A span or a monotonic instant, in nanoseconds.
///
/// ```compile_fail
/// use wireloom_units::{Nanos, TaiTime};
/// let _: Nanos = TaiTime::EPOCH; // an instant of the PTP timescale is not a local one
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Nanos(pub u64);

impl Nanos {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// `ms` milliseconds.
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms.saturating_mul(1_000_000))
    }

    /// `s` seconds.
    pub const fn from_secs(s: u64) -> Self {
        Self(s.saturating_mul(1_000_000_000))
    }

    /// The sum, held at the largest value instead of wrapping.
    #[must_use]
    pub const fn plus(self, span: Self) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// The span from `earlier` to `self`; zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }
}

/// An instant of the PTP timescale: nanoseconds since 1970-01-01 00:00:00 TAI (IEEE 1588-2008 §7.2).
///
/// 64 signed bits reach to the year 2262. A PTPv1 network may put its own epoch here (device uptime);
/// nothing may assume that a value is near the wall clock.
///
/// ```compile_fail
/// use wireloom_units::TaiTime;
/// let _ = TaiTime::EPOCH + TaiTime::EPOCH; // two instants have no sum
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TaiTime(i64);

impl TaiTime {
    /// 1970-01-01 00:00:00 TAI.
    pub const EPOCH: Self = Self(0);

    /// The instant `nanos` nanoseconds after the epoch.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the epoch.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// The instant of a PTP timestamp; `None` when `nanos` is not below 10^9 or the seconds do not fit.
    pub const fn from_parts(seconds: u64, nanos: u32) -> Option<Self> {
        if nanos >= 1_000_000_000 || seconds > 9_223_372_035 {
            return None;
        }
        Some(Self((seconds * 1_000_000_000 + nanos as u64).cast_signed()))
    }

    /// Seconds and nanoseconds of a PTP timestamp; an instant before the epoch becomes the epoch.
    pub const fn to_parts(self) -> (u64, u32) {
        let nanos = if self.0 < 0 { 0 } else { self.0.cast_unsigned() };
        (nanos / 1_000_000_000, (nanos % 1_000_000_000) as u32)
    }

    /// Nanoseconds from `earlier` to `self`, negative when `self` is the earlier one.
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The instant `nanos` nanoseconds later (earlier when negative).
    #[must_use]
    pub const fn offset_by(self, nanos: i64) -> Self {
        Self(self.0.saturating_add(nanos))
    }
}

impl fmt::Display for TaiTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanos) = self.to_parts();
        write!(f, "{seconds}.{nanos:09} s TAI")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_checked_and_round_trip() {
        let time = TaiTime::from_parts(1_767_225_637, 123_456_789).expect("valid");
        assert_eq!(time.to_parts(), (1_767_225_637, 123_456_789));
        assert_eq!(TaiTime::from_parts(0, 1_000_000_000), None);
        assert_eq!(TaiTime::from_parts(u64::MAX, 0), None);
    }
}
