use wireloom_units::{ClockIdentity, ScaledPpm, TaiTime};

/// Bits behind the binary point of [`Line::rate`].
pub const RATE_BITS: u32 = 40;

/// Where a line's time comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// PTPv2 domain (IEEE 1588-2008).
    PtpV2(u8),
    /// PTPv1 subdomain, 0 `_DFLT` to 3 `_ALT3` (IEEE 1588-2002).
    PtpV1(u8),
    /// The computer's own oscillator.
    FreeRunning,
    /// A PTP hardware clock that another program steers.
    Phc(u8),
    /// The system's clock, as TAI.
    System,
}

/// What a line is worth (`ptp` section 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // documented by the clock states of the ptp crate
pub enum LineState {
    Disabled,
    Listening,
    Acquiring,
    Tracking,
    Locked,
    Holdover,
    Lost,
    Leader,
    FreeRunning,
}

/// One mapping from CLOCK_MONOTONIC_RAW to a time: `P(b) = p0 + (b − b0) + ((b − b0) · rate >> 40)`.
///
/// Inside a generation P is continuous and strictly rising; a new generation is the only discontinuity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// Where the time comes from.
    pub source: Source,
    /// What it is worth.
    pub state: LineState,
    /// Changes exactly when P jumps.
    pub generation: u32,
    /// b0: nanoseconds of CLOCK_MONOTONIC_RAW.
    pub base: i64,
    /// p0: the time at `base`.
    pub time: TaiTime,
    /// Distance of the line's rate from 1, in units of 2^-40.
    pub rate: i64,
    /// The error that is not exceeded with high probability, in nanoseconds.
    pub error_bound_ns: u64,
    /// The grandmaster; all zero when there is none.
    pub leader: ClockIdentity,
}

impl Line {
    /// The time at `raw` nanoseconds of CLOCK_MONOTONIC_RAW. Saturates at the ends of the timescale.
    pub const fn at(&self, raw: i64) -> TaiTime {
        let elapsed = raw as i128 - self.base as i128;
        let time = self.time.as_nanos() as i128 + elapsed + ((elapsed * self.rate as i128) >> RATE_BITS);
        TaiTime::from_nanos(saturate(time))
    }

    /// The CLOCK_MONOTONIC_RAW nanosecond at which the line reads `time`: the inverse of [`Line::at`].
    pub const fn raw_of(&self, time: TaiTime) -> i64 {
        let wanted = time.as_nanos() as i128 - self.time.as_nanos() as i128;
        let one = 1_i128 << RATE_BITS;
        let rate = one + self.rate as i128;
        if rate <= 0 {
            return self.base; // a line that does not rise has no inverse; the reader refuses such pages
        }
        saturate(self.base as i128 + (wanted * one).div_euclid(rate))
    }

    /// The line's place on the clock ladder, 0 the best; `None` when the state has no time to tell.
    ///
    /// Network time comes first, then what another program steers (PHC, system), then network time that was
    /// lost for too long, then the computer's own oscillator. Holdover and a change of leaders stay above what
    /// is no network time: a lost leader must not make media jump to another timescale.
    pub const fn rung(&self) -> Option<u8> {
        use {LineState as State, Source as From};
        Some(match (self.source, self.state) {
            (_, State::Disabled | State::Listening) => return None,
            (From::PtpV2(_), State::Locked) => 0,
            (From::PtpV1(_), State::Locked) => 1,
            (From::PtpV2(_) | From::PtpV1(_), State::Leader) => 2,
            (From::PtpV2(_) | From::PtpV1(_), State::Holdover | State::Tracking | State::Acquiring) => 3,
            (From::Phc(_) | From::System, State::Lost) => 7,
            (From::Phc(_), _) => 4,
            (From::System, _) => 5,
            (From::PtpV2(_) | From::PtpV1(_), State::Lost | State::FreeRunning) => 6,
            (From::FreeRunning, _) => 8,
        })
    }

    /// The line's rate as a distance from nominal.
    pub const fn frequency(&self) -> ScaledPpm {
        // 2^-40 -> 2^-16 ppm: × 10^6 / 2^24
        ScaledPpm(saturate((self.rate as i128 * 1_000_000) >> (RATE_BITS - 16)))
    }
}

const fn saturate(value: i128) -> i64 {
    if value > i64::MAX as i128 {
        i64::MAX
    } else if value < i64::MIN as i128 {
        i64::MIN
    } else {
        value as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(ppm: i64) -> Line {
        Line {
            source: Source::PtpV2(0),
            state: LineState::Locked,
            generation: 1,
            base: 5_000_000_000,
            time: TaiTime::from_nanos(1_767_225_637_000_000_000),
            rate: (ppm << RATE_BITS) / 1_000_000,
            error_bound_ns: 100,
            leader: ClockIdentity::default(),
        }
    }

    #[test]
    fn raw_of_inverts_at_within_a_nanosecond() {
        for ppm in [-100, -80, 0, 80, 100] {
            let line = line(ppm);
            for raw in [5_000_000_000, 5_000_000_001, 6_234_567_890, 3_605_000_000_000, 1_000_000_000] {
                assert!((line.raw_of(line.at(raw)) - raw).abs() <= 1, "{ppm} ppm at {raw}");
            }
        }
    }

    #[test]
    fn eighty_ppm_gain_eighty_microseconds_a_second() {
        let line = line(80);
        let gained = line.at(line.base + 1_000_000_000).since(line.time) - 1_000_000_000;
        assert!((79_999..=80_000).contains(&gained), "{gained}");
        assert_eq!(line.frequency().ppb() / 10, 7_999);
    }
}
