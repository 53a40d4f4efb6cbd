use crate::map::read_clock;

/// What two clocks of the kernel read at the same moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockPair {
    /// Nanoseconds of the clock asked for.
    pub clock: i64,
    /// Nanoseconds of CLOCK_MONOTONIC_RAW.
    pub raw: i64,
    /// How long the reading took, in nanoseconds: the two moments are not further apart than half of it.
    pub span_ns: u64,
}

impl ClockPair {
    /// What to add to CLOCK_MONOTONIC_RAW to get the other clock, in nanoseconds.
    pub const fn offset(&self) -> i64 {
        self.clock.wrapping_sub(self.raw)
    }
}

/// Reads CLOCK_MONOTONIC and CLOCK_MONOTONIC_RAW together: the tightest of three tries.
///
/// Nine `clock_gettime` through the vdso; for use on the real-time thread.
pub fn monotonic_raw_pair() -> ClockPair {
    tightest(libc::CLOCK_MONOTONIC)
}

/// Reads CLOCK_REALTIME and CLOCK_MONOTONIC_RAW together: the tightest of three tries.
///
/// For kernel time stamps of packets, which are in CLOCK_REALTIME (`ptp` section 4).
pub fn realtime_raw_pair() -> ClockPair {
    tightest(libc::CLOCK_REALTIME)
}

/// CLOCK_MONOTONIC_RAW in nanoseconds, the base of every line.
pub fn raw_now() -> i64 {
    read_clock(libc::CLOCK_MONOTONIC_RAW)
}

/// CLOCK_MONOTONIC in nanoseconds, by which timers fire.
pub fn monotonic_now() -> i64 {
    read_clock(libc::CLOCK_MONOTONIC)
}

fn tightest(clock: libc::clockid_t) -> ClockPair {
    let (first, second, third) = (pair(clock), pair(clock), pair(clock));
    let better = if second.span_ns < first.span_ns { second } else { first };
    if third.span_ns < better.span_ns { third } else { better }
}

fn pair(clock: libc::clockid_t) -> ClockPair {
    let before = raw_now();
    let clock = read_clock(clock);
    let span = raw_now().wrapping_sub(before).max(0);
    ClockPair { clock, raw: before.wrapping_add(span / 2), span_ns: span.cast_unsigned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_never_run_backwards_and_agree_with_the_clocks_around_them() {
        let mut last = monotonic_raw_pair();
        for _ in 0..1000 {
            let (mono, raw) = (read_clock(libc::CLOCK_MONOTONIC), raw_now());
            let pair = monotonic_raw_pair();
            let (mono_after, raw_after) = (read_clock(libc::CLOCK_MONOTONIC), raw_now());
            assert!((mono..=mono_after).contains(&pair.clock));
            assert!((raw..=raw_after).contains(&pair.raw));
            assert!(pair.raw > last.raw && pair.clock > last.clock);
            last = pair;
        }
    }

    #[test]
    fn the_realtime_pair_reads_the_wall_clock() {
        let pair = realtime_raw_pair();
        assert!(pair.clock > 1_600_000_000_000_000_000, "{pair:?}");
        assert_eq!(pair.offset() + pair.raw, pair.clock);
    }
}
