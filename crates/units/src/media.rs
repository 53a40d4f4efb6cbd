use core::fmt;

/// A count of samples of one channel. Never bytes, never channels × samples.
///
/// ```compile_fail
/// use wireloom_units::{Nanos, Samples};
/// let _ = Samples(48) + Nanos(1_000_000); // a count is not a span
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Samples(pub u32);

impl core::ops::Add for Samples {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl fmt::Display for Samples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} samples", self.0)
    }
}

/// A point on a stream's RTP timeline, in samples, modulo 2^32 (RFC 3550 §5.1).
///
/// Has no `Ord`: on a circle, "later" only means something relative to another point.
///
/// ```compile_fail
/// use wireloom_units::MediaTime;
/// let _ = MediaTime::from_wire(1) < MediaTime::from_wire(2);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct MediaTime(u32);

impl MediaTime {
    /// The point that a 32-bit timestamp on the wire stands for.
    pub const fn from_wire(timestamp: u32) -> Self {
        Self(timestamp)
    }

    /// The 32-bit timestamp as it goes on the wire.
    pub const fn to_wire(self) -> u32 {
        self.0
    }

    /// Samples from `earlier` to `self`; right across the wrap, which at 48 kHz comes every 24.8 h.
    pub const fn since(self, earlier: Self) -> i32 {
        self.0.wrapping_sub(earlier.0).cast_signed()
    }

    /// The point `samples` later.
    #[must_use]
    pub const fn plus(self, samples: Samples) -> Self {
        Self(self.0.wrapping_add(samples.0))
    }
}

/// A sample's number on the media clock: 0 at the PTP epoch, one more every sample, 64 bits, never wraps.
///
/// AES67 §8 (media clock), RFC 7273 §5. `MediaTime` is its low 32 bits plus the stream's `mediaclk` offset.
///
/// ```compile_fail
/// use wireloom_units::{MediaIndex, TaiTime};
/// let _ = MediaIndex(5) - TaiTime::EPOCH; // needs a rate
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MediaIndex(pub u64);

impl MediaIndex {
    /// The timestamp of this sample in a stream announced with `mediaclk:direct=<offset>` (RFC 7273 §5.2).
    pub const fn media_time(self, offset: u32) -> MediaTime {
        MediaTime((self.0 as u32).wrapping_add(offset))
    }

    /// The index nearest to `self` whose timestamp is `time` in a stream with media clock offset `offset`.
    ///
    /// Right as long as the true index is within 2^31 samples of `self` (12.4 h at 48 kHz).
    /// An index before the epoch saturates at 0.
    #[must_use]
    pub const fn nearest(self, time: MediaTime, offset: u32) -> Self {
        let distance = time.since(self.media_time(offset)) as i64;
        Self(self.0.saturating_add_signed(distance))
    }

    /// Samples from `earlier` to `self`, negative when `self` is the earlier one.
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.wrapping_sub(earlier.0).cast_signed()
    }

    /// The index `samples` later (earlier when negative); stays inside 0..2^64.
    #[must_use]
    pub const fn offset_by(self, samples: i64) -> Self {
        Self(self.0.saturating_add_signed(samples))
    }

    /// The index `samples` later.
    #[must_use]
    pub const fn plus(self, samples: Samples) -> Self {
        Self(self.0.saturating_add(samples.0 as u64))
    }

    /// The smallest multiple of `step` that is not before `self`; `self` when `step` is 0.
    #[must_use]
    pub const fn next_multiple_of(self, step: Samples) -> Self {
        if step.0 == 0 {
            return self;
        }
        match self.0.checked_next_multiple_of(step.0 as u64) {
            Some(index) => Self(index),
            None => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_right_across_the_wrap() {
        let before = MediaTime::from_wire(0xffff_fffa);
        assert_eq!(before.plus(Samples(6)), MediaTime::from_wire(0));
        assert_eq!(MediaTime::from_wire(6).since(before), 12);
        assert_eq!(before.since(MediaTime::from_wire(6)), -12);
    }

    #[test]
    fn timestamps_unwrap_to_the_nearest_index() {
        for (wire, offset, now, index) in [
            (0x0000_0010, 0, 4_294_967_276, 4_294_967_312),
            (0xffff_fff0, 0, 21_474_836_496, 21_474_836_464),
            (0x0556_efbc, 0xbc3c_3f50, 84_826_830_581_925, 84_826_830_581_868),
        ] {
            assert_eq!(MediaIndex(now).nearest(MediaTime::from_wire(wire), offset), MediaIndex(index));
        }
    }

    #[test]
    fn aligning_rounds_up_and_never_overflows() {
        assert_eq!(MediaIndex(49).next_multiple_of(Samples(48)), MediaIndex(96));
        assert_eq!(MediaIndex(96).next_multiple_of(Samples(48)), MediaIndex(96));
        assert_eq!(MediaIndex(u64::MAX).next_multiple_of(Samples(48)), MediaIndex(u64::MAX));
        assert_eq!(MediaIndex(7).next_multiple_of(Samples(0)), MediaIndex(7));
    }
}
