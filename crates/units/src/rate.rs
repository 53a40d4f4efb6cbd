use core::fmt;

use crate::{MediaIndex, TaiTime};

const NANOS_PER_SECOND: i128 = 1_000_000_000;

/// A sample rate in hertz, 1 Hz to 768 kHz.
///
/// ```compile_fail
/// use wireloom_units::{Rate, Samples};
/// let _: Samples = Rate::HZ_48000; // samples a second are not samples
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(u32);

impl Rate {
    /// 44.1 kHz.
    pub const HZ_44100: Self = Self(44_100);
    /// 48 kHz.
    pub const HZ_48000: Self = Self(48_000);
    /// 96 kHz.
    pub const HZ_96000: Self = Self(96_000);

    /// The highest rate that any format here knows; media indexes stay inside 64 bits with it.
    pub const MAX_HZ: u32 = 768_000;

    /// The rate of `hz` samples a second; `None` outside 1..=768 000.
    pub const fn from_hz(hz: u32) -> Option<Self> {
        if hz == 0 || hz > Self::MAX_HZ { None } else { Some(Self(hz)) }
    }

    /// Samples a second.
    pub const fn hz(self) -> u32 {
        self.0
    }

    /// The sample that is current at `time`: floor(time × rate). Before the epoch it is 0.
    ///
    /// Exact (128-bit). Source: RFC 7273 §5, `aes67` media clock.
    pub const fn index_at(self, time: TaiTime) -> MediaIndex {
        let nanos = time.as_nanos();
        if nanos <= 0 {
            return MediaIndex(0);
        }
        MediaIndex((nanos as i128 * self.0 as i128 / NANOS_PER_SECOND) as u64)
    }

    /// The first nanosecond at which `index` is current: the inverse of [`Rate::index_at`].
    ///
    /// An index too far for 64-bit nanoseconds gives the last instant.
    pub const fn time_of(self, index: MediaIndex) -> TaiTime {
        let rate = self.0 as i128;
        let nanos = (index.0 as i128 * NANOS_PER_SECOND + rate - 1) / rate;
        if nanos > i64::MAX as i128 {
            TaiTime::from_nanos(i64::MAX)
        } else {
            TaiTime::from_nanos(nanos as i64)
        }
    }

    /// Nanoseconds that `samples` samples last, rounded down.
    pub const fn nanos_of(self, samples: u64) -> u64 {
        (samples as u128 * NANOS_PER_SECOND as u128 / self.0 as u128) as u64
    }

    /// Whole samples that begin in `nanos` nanoseconds, rounded down.
    pub const fn samples_in(self, nanos: u64) -> u64 {
        (nanos as u128 * self.0 as u128 / NANOS_PER_SECOND as u128) as u64
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} Hz", self.0)
    }
}

/// A frequency ratio's distance from 1, in units of 2^-16 ppm (the scale of `struct timex.freq`).
///
/// ```compile_fail
/// use wireloom_units::{Rate, ScaledPpm};
/// let _ = Rate::HZ_48000 + ScaledPpm::ZERO;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ScaledPpm(pub i64);

impl ScaledPpm {
    /// Exactly the nominal frequency.
    pub const ZERO: Self = Self(0);

    /// `ppm` whole parts per million.
    pub const fn from_ppm(ppm: i32) -> Self {
        Self((ppm as i64) << 16)
    }

    /// Parts per billion, rounded towards zero.
    pub const fn ppb(self) -> i64 {
        (self.0 as i128 * 1000 / 65_536) as i64
    }
}

impl fmt::Display for ScaledPpm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ppb = self.ppb();
        let sign = if ppb < 0 { "-" } else { "+" };
        write!(f, "{sign}{}.{:03} ppm", ppb.unsigned_abs() / 1000, ppb.unsigned_abs() % 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tai(seconds: u64, nanos: u32) -> TaiTime {
        TaiTime::from_parts(seconds, nanos).expect("valid in this table")
    }

    #[test]
    fn media_clock_arithmetic_is_exact() {
        for (seconds, nanos, hz, offset, index, wire) in [
            (0, 0, 48_000, 0, 0, 0),
            (0, 20_833, 48_000, 0, 0, 0),
            (0, 20_834, 48_000, 0, 1, 1),
            (89_478, 485_333_333, 48_000, 0, 4_294_967_295, 0xffff_ffff),
            (89_478, 485_333_334, 48_000, 0, 4_294_967_296, 0),
            (1_767_225_637, 0, 48_000, 0, 84_826_830_576_000, 0x491a_9980),
            (1_767_225_637, 123_456_789, 48_000, 0, 84_826_830_581_925, 0x491a_b0a5),
            (1_767_225_637, 123_456_789, 48_000, 3_158_064_976, 84_826_830_581_925, 0x0556_eff5),
            (1_767_225_637, 123_456_789, 96_000, 0, 169_653_661_163_851, 0x9235_614b),
            (1_767_225_637, 123_456_789, 44_100, 0, 77_934_650_597_144, 0x932a_1f18),
            (1_767_225_637, 999_999_999, 192_000, 0, 339_307_322_495_999, 0x246d_53ff),
        ] {
            let rate = Rate::from_hz(hz).expect("valid in this table");
            let found = rate.index_at(tai(seconds, nanos));
            assert_eq!(found, MediaIndex(index));
            assert_eq!(found.media_time(offset).to_wire(), wire);
        }
    }

    #[test]
    fn time_of_is_the_first_nanosecond_of_its_sample() {
        for hz in [44_100, 48_000, 96_000, 192_000] {
            let rate = Rate::from_hz(hz).expect("valid in this table");
            for index in [1, 2, 47, 48, 4_294_967_296, 84_826_830_581_925].map(MediaIndex) {
                let time = rate.time_of(index);
                assert_eq!(rate.index_at(time), index);
                assert_eq!(rate.index_at(time.offset_by(-1)), index.offset_by(-1));
            }
        }
    }

    #[test]
    fn rates_outside_the_range_are_refused() {
        assert_eq!(Rate::from_hz(0), None);
        assert_eq!(Rate::from_hz(768_001), None);
    }
}
