//! From the kernel's time stamps, which are in CLOCK_REALTIME, to CLOCK_MONOTONIC_RAW.

use wireloom_clock_page::ClockPair;

/// A stamp older than this when it is read is not used: slewing would show in it (`ptp` section 4).
const MAX_AGE_NS: i64 = 50_000_000;
/// A stamp may seem to come from the future by no more than the noise of reading two clocks.
const MAX_FUTURE_NS: i64 = 100_000;
/// How far the two clocks may part between two looks, besides slewing, without being called a step.
const STEP_NS: i64 = 100_000;
/// CLOCK_REALTIME is slewed by at most 500 ppm.
const SLEW_PER_SECOND_NS: i64 = 500_000;
/// After a step, stamps from before it may still wait in a queue.
const DISTRUST_NS: i64 = 100_000_000;

/// Converts stamps, and notices when somebody steps CLOCK_REALTIME.
#[derive(Debug, Default)]
pub struct StampConverter {
    last: Option<ClockPair>,
    distrusted_until: Option<i64>,
    /// Steps of CLOCK_REALTIME seen.
    pub steps: u64,
    /// Stamps not used.
    pub rejected: u64,
}

impl StampConverter {
    /// Takes a look at both clocks: for every stamp, and now and then between them.
    pub fn observe(&mut self, pair: ClockPair) {
        if let Some(last) = self.last {
            let elapsed = pair.raw.saturating_sub(last.raw).max(0);
            let slewed = elapsed / 1_000_000_000 * SLEW_PER_SECOND_NS
                + elapsed % 1_000_000_000 * SLEW_PER_SECOND_NS / 1_000_000_000;
            let parted = pair.offset().saturating_sub(last.offset()).saturating_abs();
            let reading = (pair.span_ns / 2).saturating_add(last.span_ns / 2).cast_signed();
            if parted > STEP_NS.saturating_add(slewed).saturating_add(reading) {
                self.steps += 1;
                self.distrusted_until = Some(pair.raw.saturating_add(DISTRUST_NS));
            }
        }
        self.last = Some(pair);
    }

    /// Forgets what was seen: both clocks were elsewhere meanwhile (the computer slept).
    pub fn forget(&mut self) {
        self.last = None;
    }

    /// The moment of a stamp in CLOCK_MONOTONIC_RAW; `pair` was read right after the stamp was fetched.
    ///
    /// `None` when the stamp is too old, from the future, or from before a step of CLOCK_REALTIME.
    pub fn convert(&mut self, stamp: i64, pair: ClockPair) -> Option<i64> {
        self.observe(pair);
        let raw = stamp.saturating_sub(pair.offset());
        let age = pair.raw.saturating_sub(raw);
        let distrusted = self.distrusted_until.is_some_and(|until| pair.raw < until);
        let slack = MAX_FUTURE_NS.saturating_add((pair.span_ns / 2).cast_signed());
        if distrusted || age > MAX_AGE_NS || age < -slack {
            self.rejected += 1;
            return None;
        }
        Some(raw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn pair(raw: i64, offset: i64) -> ClockPair {
        ClockPair { clock: raw + offset, raw, span_ns: 80 }
    }

    #[test]
    fn stamps_move_by_the_offset_of_the_moment() {
        let mut converter = StampConverter::default();
        let offset = 1_700_000_000 * SECOND;
        assert_eq!(converter.convert(offset + 990_000, pair(SECOND / 1000, offset)), Some(990_000));
        assert_eq!((converter.steps, converter.rejected), (0, 0));
    }

    #[test]
    fn slewing_is_followed_and_never_taken_for_a_step() {
        let mut converter = StampConverter::default();
        for second in 1..1000 {
            let offset = second * 499_000;
            let raw = second * SECOND;
            assert_eq!(converter.convert(raw - 2_000 + offset, pair(raw, offset)), Some(raw - 2_000));
        }
        assert_eq!(converter.steps, 0);
    }

    #[test]
    fn a_step_rejects_what_was_stamped_before_it() {
        for step in [200_000, -200_000, 3600 * SECOND, -3600 * SECOND] {
            let mut converter = StampConverter::default();
            converter.observe(pair(SECOND, 0));
            // stamped before the step, read after it
            let read = pair(SECOND + 1_000_000, step);
            assert_eq!(converter.convert(SECOND + 900_000, read), None, "step {step}");
            assert_eq!(converter.steps, 1);
            let later = SECOND + 200_000_000;
            assert_eq!(converter.convert(later + step - 5_000, pair(later, step)), Some(later - 5_000));
            assert_eq!(converter.steps, 1);
        }
    }

    #[test]
    fn stale_and_future_stamps_are_rejected() {
        let mut converter = StampConverter::default();
        assert_eq!(converter.convert(SECOND - MAX_AGE_NS - 1, pair(SECOND, 0)), None);
        assert_eq!(converter.convert(SECOND + 200_000, pair(SECOND, 0)), None);
        assert_eq!(converter.convert(i64::MIN, pair(SECOND, 0)), None);
        assert_eq!(converter.convert(i64::MAX, pair(SECOND, 0)), None);
        assert_eq!(converter.rejected, 4);
    }
}
