//! What the engine publishes: one mapping from base time to network time, and what it is worth.

use wireloom_units::{ClockIdentity, TaiTime};

/// Bits behind the binary point of [`Line::rate`].
pub const RATE_BITS: u32 = 40;

/// What a line is worth (`ptp` section 7). Named as in the clock page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ClockState {
    /// No port is enabled.
    Disabled,
    /// No leader has been heard and there is no mapping.
    #[default]
    Listening,
    /// A leader was chosen; two windows decide whether the mapping steps.
    Acquiring,
    /// Follows a leader, not yet trusted.
    Tracking,
    /// Follows a leader within the lock threshold: streams may start.
    Locked,
    /// The leader fell silent; the mapping continues with the last known rate.
    Holdover,
    /// Held over for so long that the error bound passed its limit; the mapping still continues.
    Lost,
    /// This clock is the grandmaster.
    Leader,
}

impl ClockState {
    /// The state's name in lower case, as status output prints it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Listening => "listening",
            Self::Acquiring => "acquiring",
            Self::Tracking => "tracking",
            Self::Locked => "locked",
            Self::Holdover => "holdover",
            Self::Lost => "lost",
            Self::Leader => "leader",
        }
    }
}

/// One mapping from base time to network time: `P(b) = p0 + (b − b0) + ((b − b0) · rate >> 40)`.
///
/// The same fields with the same meaning as a line of the clock page, which adds only its source. Inside a generation
/// P is continuous and strictly rising; a new generation is the only discontinuity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// What the line is worth.
    pub state: ClockState,
    /// Changes exactly when P jumps; starts at 1.
    pub generation: u32,
    /// b0, in nanoseconds of base B.
    pub base: i64,
    /// p0: the network's time at `base`.
    pub time: TaiTime,
    /// Distance of the line's rate from 1, in units of 2^-40.
    pub rate: i64,
    /// The error that is not exceeded with high probability, in nanoseconds.
    pub error_bound_ns: u64,
    /// The grandmaster that the time comes from; our own identity when we lead.
    pub leader: ClockIdentity,
}

impl Line {
    /// The time at `raw` nanoseconds of base B. Saturates at the ends of the timescale.
    pub const fn at(&self, raw: i64) -> TaiTime {
        read(self.base, self.time, self.rate, raw)
    }
}

/// P(`raw`) of the line through (`base`, `time`) with `rate`.
pub(crate) const fn read(base: i64, time: TaiTime, rate: i64, raw: i64) -> TaiTime {
    let elapsed = raw as i128 - base as i128;
    TaiTime::from_nanos(saturate(time.as_nanos() as i128 + elapsed + ((elapsed * rate as i128) >> RATE_BITS)))
}

pub(crate) const fn saturate(value: i128) -> i64 {
    if value > i64::MAX as i128 {
        i64::MAX
    } else if value < i64::MIN as i128 {
        i64::MIN
    } else {
        value as i64
    }
}
