//! The time base that the PTP engine counts in.
//!
//! Normally CLOCK_MONOTONIC_RAW. With a trim (`free.frequency-offset-ppm`) it is as if the computer had another
//! crystal: a leader gives out that frequency and a follower has to find it. When the computer's own reference is
//! the system clock or a PHC, the base is that clock's time, so that leading means giving it out.

use wireloom_clock_page::{Line, LineState, Source};
use wireloom_units::{ClockIdentity, TaiTime};

/// A mapping from CLOCK_MONOTONIC_RAW to the engine's base, both in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Base(Line);

impl Base {
    /// A base that runs `trim_ppm` faster than CLOCK_MONOTONIC_RAW and equals it at `raw`.
    pub fn trimmed(raw: i64, trim_ppm: f64) -> Self {
        Self(Line {
            source: Source::FreeRunning,
            state: LineState::FreeRunning,
            generation: 0,
            base: raw,
            time: TaiTime::from_nanos(raw),
            rate: rate_of_ppm(trim_ppm),
            error_bound_ns: 0,
            leader: ClockIdentity::default(),
        })
    }

    /// A base that is the time of `line`.
    pub const fn line(line: Line) -> Self {
        Self(line)
    }

    /// The base's reading at `raw`.
    pub const fn at(&self, raw: i64) -> i64 {
        self.0.at(raw).as_nanos()
    }

    /// When the base reads `at`.
    pub const fn raw_of(&self, at: i64) -> i64 {
        self.0.raw_of(TaiTime::from_nanos(at))
    }

    /// The distance of the base's rate from that of CLOCK_MONOTONIC_RAW, in 2^-40.
    pub const fn rate(&self) -> i64 {
        self.0.rate
    }

    /// A line over the base as a line over CLOCK_MONOTONIC_RAW.
    pub fn compose(&self, line: &Line) -> Line {
        let raw = self.raw_of(line.base);
        let product = (i128::from(line.rate) * i128::from(self.0.rate)) >> 40;
        Line {
            base: raw,
            time: line.at(self.at(raw)),
            rate: line.rate.saturating_add(self.0.rate).saturating_add(product as i64),
            ..*line
        }
    }
}

/// A frequency offset in units of 2^-40.
pub fn rate_of_ppm(ppm: f64) -> i64 {
    (ppm * 1e-6 * (1_u64 << 40) as f64).round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn a_trimmed_base_gains_what_it_should() {
        let base = Base::trimmed(5 * SECOND, 80.0);
        assert_eq!(base.at(5 * SECOND), 5 * SECOND);
        let gained = base.at(15 * SECOND) - 15 * SECOND;
        assert!((799_999..=800_000).contains(&gained), "{gained}");
        assert!((base.raw_of(base.at(77 * SECOND)) - 77 * SECOND).abs() <= 1);
    }

    #[test]
    fn a_line_over_the_base_says_the_same_over_raw() {
        let base = Base::trimmed(5 * SECOND, -80.0);
        let line = Line {
            source: Source::PtpV2(0),
            state: LineState::Locked,
            generation: 3,
            base: 1_000 * SECOND,
            time: TaiTime::from_nanos(77 * SECOND),
            rate: rate_of_ppm(123.0),
            error_bound_ns: 5,
            leader: ClockIdentity::default(),
        };
        let composed = base.compose(&line);
        for raw in [0, 999 * SECOND, 1_000 * SECOND, 4_600 * SECOND] {
            let difference = composed.at(raw).since(line.at(base.at(raw)));
            assert!(difference.abs() <= 10, "{difference} ns at {raw}");
        }
        let ppb = composed.frequency().ppb();
        assert!((42_989..=42_991).contains(&ppb), "{ppb}");
    }
}
