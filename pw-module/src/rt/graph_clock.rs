//! The graph's clock: samples of the network's media clock against CLOCK_MONOTONIC.

use wireloom_clock_page::{ClockPair, Line, LineState, Reader, Source};
use wireloom_units::{ClockIdentity, MediaIndex, Rate, TaiTime};

/// A new line that is no further from the old one than this is slewed to; more is a jump (`ptp` section 8).
const SLEW_LIMIT_NS: i64 = 1_000_000;
/// How fast a difference is slewed away, in nanoseconds a second: 20 ppm.
const SLEW_NS_PER_SECOND: i64 = 20_000;
/// TAI minus UTC since 2017; only where nothing better is known, to begin a free-running clock near the true time.
const TAI_MINUS_UTC_NS: i64 = 37_000_000_000;
/// Pairs of clocks whose reading took longer than this say little, and are followed more slowly.
const GOOD_PAIR_NS: u64 = 2_000;

/// What the clock is, for the main loop to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClockStatus {
    /// Where its time comes from.
    pub source: Source,
    /// What it is worth.
    pub state: LineState,
    /// The grandmaster, all zero when there is none.
    pub leader: ClockIdentity,
    /// Times that the count of samples jumped.
    pub jumps: u32,
    /// Cycles that were started before the last had ended.
    pub overruns: u32,
}

/// Follows one line of the clock page, or the computer's own oscillator while there is none.
pub(crate) struct GraphClock {
    page: Option<Reader>,
    pinned: Option<Source>,
    line: Line,
    /// What is still to be slewed away: the clock reads `line + residual`.
    residual_ns: i64,
    /// The clock service has not given a sign of life for so long that its line is only held.
    held: bool,
    refreshed: i64,
    offset: PairFilter,
    rate: Rate,
    jumps: u32,
}

impl GraphClock {
    /// A clock that runs free from now on, at the system's idea of TAI; `pinned` names the only line it may follow.
    pub(crate) fn new(monotonic: ClockPair, realtime: ClockPair, pinned: Option<Source>) -> Self {
        let line = Line {
            source: Source::FreeRunning,
            state: LineState::FreeRunning,
            generation: 0,
            base: realtime.raw,
            time: TaiTime::from_nanos(realtime.clock.saturating_add(TAI_MINUS_UTC_NS)),
            rate: 0,
            error_bound_ns: u64::MAX,
            leader: ClockIdentity::default(),
        };
        Self {
            page: None,
            pinned,
            line,
            residual_ns: 0,
            held: false,
            refreshed: monotonic.raw,
            offset: PairFilter::new(monotonic),
            rate: Rate::HZ_48000,
            jumps: 0,
        }
    }

    /// Exchanges the page; the old one is returned, to be unmapped on the main loop.
    pub(crate) fn set_page(&mut self, page: Option<Reader>) -> Option<Reader> {
        std::mem::replace(&mut self.page, page)
    }

    /// The samples a second that are counted.
    pub(crate) fn rate(&self) -> Rate {
        self.rate
    }

    /// Counts at another rate from now on. Returns whether that is a change: then the count jumps.
    pub(crate) fn set_rate(&mut self, rate: Rate) -> bool {
        std::mem::replace(&mut self.rate, rate) != rate
    }

    /// What to tell about it.
    pub(crate) fn status(&self, overruns: u32) -> ClockStatus {
        let Line { source, state, leader, .. } = self.line;
        let state = if self.held && state == LineState::Locked { LineState::Holdover } else { state };
        ClockStatus { source, state, leader, jumps: self.jumps, overruns }
    }

    /// Looks at the page and at the two clocks of this computer. Returns whether the count of samples jumped.
    pub(crate) fn refresh(&mut self, now: ClockPair) -> bool {
        self.offset.update(now);
        let elapsed = now.raw.saturating_sub(self.refreshed).max(0);
        self.refreshed = now.raw;
        let step = (i128::from(elapsed) * i128::from(SLEW_NS_PER_SECOND) / 1_000_000_000) as i64;
        self.residual_ns -= self.residual_ns.clamp(-step, step);

        // Without a living service the page is what it was, and may even be of another boot: the line is held.
        self.held = self.page.as_ref().is_some_and(|page| !page.is_alive(now.raw));
        if self.held {
            return false;
        }
        let Some(new) = self.choose() else { return false };
        let continues = new.source == self.line.source && new.generation == self.line.generation;
        let before = self.time_at(now.raw);
        self.line = new;
        if continues {
            return false;
        }
        let difference = before.since(new.at(now.raw));
        if difference.abs() <= SLEW_LIMIT_NS {
            self.residual_ns = difference;
            return false;
        }
        self.residual_ns = 0;
        self.jumps += 1;
        true
    }

    /// The line to follow now; `None` to go on with the present one.
    fn choose(&self) -> Option<Line> {
        let page = self.page.as_ref()?;
        let present = page.line(self.line.source).filter(|line| line.rung().is_some());
        if let Some(pinned) = self.pinned {
            return page.line(pinned).filter(|line| line.rung().is_some());
        }
        let best = page.best()?;
        // A line that is still being estimated is no reason to leave the one that is in use.
        let settled = !matches!(best.state, LineState::Acquiring | LineState::Tracking | LineState::Lost);
        let better = present.is_none_or(|line| best.rung() < line.rung());
        if settled && better { Some(best) } else { present }
    }

    fn time_at(&self, raw: i64) -> TaiTime {
        self.line.at(raw).offset_by(self.residual_ns)
    }

    /// The sample that is current when CLOCK_MONOTONIC reads `monotonic`.
    pub(crate) fn index_at(&self, monotonic: i64) -> MediaIndex {
        self.index_at_rate(monotonic, self.rate)
    }

    /// The sample of a stream at `rate` that is current when CLOCK_MONOTONIC reads `monotonic`.
    pub(crate) fn index_at_rate(&self, monotonic: i64, rate: Rate) -> MediaIndex {
        rate.index_at(self.time_at(self.offset.to_raw(monotonic)))
    }

    /// When the sample `index` of a stream at `rate` begins, in CLOCK_MONOTONIC nanoseconds.
    pub(crate) fn monotonic_of_rate(&self, index: MediaIndex, rate: Rate) -> i64 {
        let time = rate.time_of(index).offset_by(-self.residual_ns);
        self.offset.to_monotonic(self.line.raw_of(time))
    }

    /// Times that the count of samples jumped.
    pub(crate) fn jumps(&self) -> u32 {
        self.jumps
    }

    /// When sample `index` begins, in CLOCK_MONOTONIC nanoseconds.
    pub(crate) fn monotonic_of(&self, index: MediaIndex) -> i64 {
        self.monotonic_of_rate(index, self.rate)
    }

    /// Seconds of this clock in a second of CLOCK_MONOTONIC.
    pub(crate) fn rate_diff(&self) -> f64 {
        let line = 1.0 + self.line.rate as f64 / (1_u64 << 40) as f64;
        line / (1.0 + self.offset.slope)
    }
}

/// The distance of CLOCK_MONOTONIC from CLOCK_MONOTONIC_RAW as a line: readings are noisy, the truth is smooth
/// (NTP slews CLOCK_MONOTONIC by at most 500 ppm).
struct PairFilter {
    base: i64,
    offset: f64,
    whole: i64,
    slope: f64,
}

impl PairFilter {
    fn new(pair: ClockPair) -> Self {
        Self { base: pair.raw, whole: pair.offset(), offset: 0.0, slope: 0.0 }
    }

    fn update(&mut self, pair: ClockPair) {
        let elapsed = (pair.raw - self.base) as f64;
        if elapsed <= 0.0 {
            return;
        }
        let predicted = self.offset + self.slope * elapsed;
        let error = (pair.offset() - self.whole) as f64 - predicted;
        if error.abs() > 1e6 {
            *self = Self::new(pair); // stopped for long, or the first good reading
            return;
        }
        // A second-order loop whose time constant is 40 readings, but never less than about 40 ms; slow readings
        // pull less. Cycles of a millisecond and of 40 ms settle alike in time.
        let trust =
            if pair.span_ns <= GOOD_PAIR_NS { 1.0 } else { GOOD_PAIR_NS as f64 / pair.span_ns as f64 };
        let gain = (elapsed / 40e6).clamp(0.02, 0.25) * trust;
        self.offset = predicted + gain * error;
        self.slope = (self.slope + gain * gain * 0.5 * error / elapsed).clamp(-600e-6, 600e-6);
        self.base = pair.raw;
    }

    fn to_monotonic(&self, raw: i64) -> i64 {
        let ahead = (raw - self.base) as f64;
        raw + self.whole + (self.offset + self.slope * ahead) as i64
    }

    fn to_raw(&self, monotonic: i64) -> i64 {
        let guess = monotonic - self.whole;
        let ahead = (guess - self.base) as f64;
        guess - (self.offset + self.slope * ahead) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(raw: i64, offset: i64) -> ClockPair {
        ClockPair { clock: raw + offset, raw, span_ns: 100 }
    }

    fn clock() -> GraphClock {
        GraphClock::new(
            pair(1_000_000_000, 5_000),
            ClockPair { clock: 1_800_000_000_000_000_000, raw: 1_000_000_000, span_ns: 90 },
            None,
        )
    }

    /// Noise of a few tens of nanoseconds, the same in every run.
    fn noise(n: i64) -> i64 {
        (n.wrapping_mul(7_919).wrapping_add(13) % 121) - 60
    }

    #[test]
    fn cycle_starts_do_not_jitter_when_readings_do() {
        let mut clock = clock();
        let mut worst = 0;
        let mut last: Option<(MediaIndex, i64)> = None;
        for n in 1..20_000_i64 {
            let raw = 1_000_000_000 + n * 1_000_000;
            clock.refresh(pair(raw, 5_000 + n * 20 + noise(n))); // CLOCK_MONOTONIC slewed by 20 ppm
            let index = clock.index_at(raw + 5_000 + n * 20).next_multiple_of(wireloom_units::Samples(48));
            let start = clock.monotonic_of(index);
            if let Some((before, at)) = last.filter(|_| n > 2_000) {
                let expected = (index.since(before) * 1_000_000_000 / 48_000) as f64 * 1.00002;
                worst = worst.max(((start - at) as f64 - expected).abs() as i64);
            }
            last = Some((index, start));
        }
        assert!(worst < 1_000, "{worst} ns");
    }

    #[test]
    fn index_and_monotonic_time_are_inverses() {
        let clock = clock();
        for n in [0, 1, 47, 48_000, 4_800_000] {
            let index = clock.index_at(1_000_005_000).offset_by(n);
            assert_eq!(clock.index_at(clock.monotonic_of(index)), index);
        }
    }

    #[test]
    fn a_small_difference_between_lines_is_slewed_and_a_large_one_jumps() {
        use wireloom_clock_page::Writer;
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("clock");
        let mut writer = Writer::create(&path).expect("page");
        let mut clock = clock();
        let mut line = clock.line;
        line.source = Source::PtpV2(0);
        line.state = LineState::Locked;
        line.generation = 1;
        line.time = line.time.offset_by(400_000);
        writer.publish(&line).expect("room");
        writer.beat(1_000_000_000);
        clock.set_page(Some(Reader::open(&path).expect("page")));

        let at = |ms: i64| pair(1_000_000_000 + ms * 1_000_000, 5_000);
        assert!(!clock.refresh(at(1)), "0.4 ms is slewed");
        assert_eq!(clock.residual_ns, -400_000);
        for ms in 2..30_000 {
            writer.beat(1_000_000_000 + ms * 1_000_000);
            assert!(!clock.refresh(at(ms)));
        }
        assert_eq!(clock.residual_ns, 0, "20 ppm for 30 s is more than 0.4 ms");

        line.generation = 2;
        line.time = line.time.offset_by(5_000_000);
        writer.publish(&line).expect("room");
        assert!(clock.refresh(at(30_001)), "5 ms is a jump");
        assert_eq!(clock.status(0).jumps, 1);

        assert_eq!(clock.status(0).state, LineState::Locked);
        line.generation = 3;
        line.time = line.time.offset_by(5_000_000);
        writer.publish(&line).expect("room");
        assert!(!clock.refresh(at(40_000)), "the service was last heard of 10 s ago");
        assert_eq!(clock.status(0).state, LineState::Holdover);
    }

    #[test]
    fn a_leader_that_is_only_being_acquired_takes_nothing_from_the_line_in_use() {
        use wireloom_clock_page::Writer;
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("clock");
        let mut writer = Writer::create(&path).expect("page");
        let mut clock = clock();
        let system = Line { source: Source::System, state: LineState::Locked, ..clock.line };
        writer.publish(&system).expect("room");
        clock.set_page(Some(Reader::open(&path).expect("page")));
        let mut refresh = |writer: &mut Writer, ms: i64| {
            writer.beat(1_000_000_000 + ms * 1_000_000);
            clock.refresh(pair(1_000_000_000 + ms * 1_000_000, 5_000));
            (clock.status(0).source, clock.status(0).jumps)
        };
        assert_eq!(refresh(&mut writer, 1), (Source::System, 0));
        // The network's clock was lost long ago; another leader comes, whose time is elsewhere.
        let mut network =
            Line { source: Source::PtpV2(0), time: system.time.offset_by(-90_000_000), ..system };
        for (ms, state) in [(2, LineState::Lost), (3, LineState::Acquiring), (4, LineState::Tracking)] {
            network.state = state;
            writer.publish(&network).expect("room");
            assert_eq!(refresh(&mut writer, ms), (Source::System, 0), "{state:?}");
        }
        network.state = LineState::Locked;
        writer.publish(&network).expect("room");
        assert_eq!(refresh(&mut writer, 5), (Source::PtpV2(0), 1));
    }
}
