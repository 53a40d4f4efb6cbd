use wireloom_units::TaiTime;

use super::WireError;
use super::octets::{Putter, Taker};

/// A timestamp on the wire: 48 bits of seconds, nanoseconds below 10^9 (IEEE 1588-2008 §5.3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp {
    seconds: u64,
    nanos: u32,
}

impl Timestamp {
    /// The timestamp of `seconds` and `nanos`; `None` outside the ranges of the wire.
    pub const fn new(seconds: u64, nanos: u32) -> Option<Self> {
        if seconds >= 1 << 48 || nanos >= 1_000_000_000 { None } else { Some(Self { seconds, nanos }) }
    }

    /// Seconds, below 2^48.
    pub const fn seconds(self) -> u64 {
        self.seconds
    }

    /// Nanoseconds, below 10^9.
    pub const fn nanos(self) -> u32 {
        self.nanos
    }

    /// The instant; `None` beyond the year 2262.
    pub const fn to_tai(self) -> Option<TaiTime> {
        TaiTime::from_parts(self.seconds, self.nanos)
    }

    /// The timestamp of an instant; one before the epoch becomes the epoch.
    pub const fn from_tai(time: TaiTime) -> Self {
        let (seconds, nanos) = time.to_parts();
        Self { seconds, nanos }
    }

    pub(super) fn parse(octets: &mut Taker<'_>) -> Result<Self, WireError> {
        let (high, low, nanos) = (octets.u16()?, octets.u32()?, octets.u32()?);
        if nanos >= 1_000_000_000 {
            return Err(WireError::Nanoseconds(nanos));
        }
        Ok(Self { seconds: u64::from(high) << 32 | u64::from(low), nanos })
    }

    pub(super) fn emit(self, octets: &mut Putter<'_>) {
        let [_, _, seconds @ ..] = self.seconds.to_be_bytes();
        octets.put(&seconds);
        octets.put(&self.nanos.to_be_bytes());
    }
}

/// A correctionField: nanoseconds × 2^16, signed (IEEE 1588-2008 §13.3.2.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Correction(i64);

impl Correction {
    /// No correction.
    pub const ZERO: Self = Self(0);

    /// The correction with `scaled` units of 2^-16 ns.
    pub const fn from_wire(scaled: i64) -> Self {
        Self(scaled)
    }

    /// Units of 2^-16 ns.
    pub const fn to_wire(self) -> i64 {
        self.0
    }

    /// Nanoseconds.
    pub fn nanos(self) -> f64 {
        self.0 as f64 / 65_536.0
    }

    /// Whether it is more than a second either way: no path takes that long.
    pub const fn is_absurd(self) -> bool {
        self.0.unsigned_abs() > 1_000_000_000 << 16
    }
}
