//! Follows a clock of the computer that somebody else steers: the system clock, or a PHC.

use std::collections::VecDeque;

use wireloom_clock_page::{ClockPair, Line, LineState, Source};
use wireloom_units::{ClockIdentity, TaiTime};

/// Readings in the regression, one a second: long enough to average out the reading, short enough to follow NTP.
const WINDOW: usize = 8;
/// Further from the prediction than this, the clock was stepped.
const STEP_NS: i64 = 1_000_000;
/// A reading that took this much longer than the best was interrupted.
const INTERRUPTED: u64 = 4;
/// Shorter than this no reading counts as interrupted.
const INTERRUPTED_FLOOR_NS: u64 = 2_000;
/// This many interrupted readings in a row are the machine's normal state.
const MAX_SKIPPED: u32 = 5;

/// A line through the last readings of one clock.
#[derive(Debug)]
pub struct Tracker {
    source: Source,
    readings: VecDeque<ClockPair>,
    generation: u32,
    skipped: u32,
    line: Option<Line>,
}

impl Tracker {
    /// A tracker that has seen nothing yet, for the line `source`.
    pub fn new(source: Source) -> Self {
        Self { source, readings: VecDeque::with_capacity(WINDOW + 1), generation: 1, skipped: 0, line: None }
    }

    /// Takes one reading of the clock against CLOCK_MONOTONIC_RAW, about one a second.
    pub fn handle_reading(&mut self, reading: ClockPair) {
        let best = self.readings.iter().map(|earlier| earlier.span_ns).min().unwrap_or(u64::MAX);
        if self.skipped < MAX_SKIPPED
            && reading.span_ns > best.saturating_mul(INTERRUPTED).max(INTERRUPTED_FLOOR_NS)
        {
            self.skipped += 1;
            return;
        }
        self.skipped = 0;
        if self.readings.back().is_some_and(|last| reading.raw <= last.raw) {
            return;
        }
        if let (Some(line), Some(last)) = (self.line, self.readings.back()) {
            // From reading to reading, so that a change of frequency does not add up to a step.
            let expected = line.at(reading.raw).since(line.at(last.raw));
            let gained = reading.clock.saturating_sub(last.clock).saturating_sub(expected);
            if gained.saturating_abs() > STEP_NS {
                self.readings.clear();
                self.generation = self.generation.wrapping_add(1);
            }
        }
        self.readings.push_back(reading);
        if self.readings.len() > WINDOW {
            self.readings.pop_front();
        }
        self.line = Some(self.fit(reading));
    }

    /// The line through the readings; `None` before the first one.
    pub fn line(&self) -> Option<&Line> {
        self.line.as_ref()
    }

    /// The clock cannot be read any more, or was replaced.
    pub fn handle_loss(&mut self) {
        self.readings.clear();
        if let Some(line) = &mut self.line {
            line.state = LineState::Lost;
        }
    }

    fn fit(&self, newest: ClockPair) -> Line {
        let points: Vec<(f64, f64)> = self
            .readings
            .iter()
            .map(|reading| {
                let x = reading.raw.saturating_sub(newest.raw);
                (x as f64, reading.offset().saturating_sub(newest.offset()) as f64)
            })
            .collect();
        let count = points.len() as f64;
        let mean_x = points.iter().map(|point| point.0).sum::<f64>() / count;
        let mean_y = points.iter().map(|point| point.1).sum::<f64>() / count;
        let variance = points.iter().map(|point| (point.0 - mean_x).powi(2)).sum::<f64>();
        let covariance = points.iter().map(|point| (point.0 - mean_x) * (point.1 - mean_y)).sum::<f64>();
        let slope = if points.len() < 2 || variance <= 0.0 { 0.0 } else { covariance / variance };
        let intercept = mean_y - slope * mean_x;
        let worst = points
            .iter()
            .map(|point| (point.1 - (intercept + slope * point.0)).abs())
            .fold(0.0_f64, f64::max);
        Line {
            source: self.source,
            state: if points.len() < WINDOW { LineState::Tracking } else { LineState::Locked },
            generation: self.generation,
            base: newest.raw,
            time: TaiTime::from_nanos(newest.clock.saturating_add(intercept.round() as i64)),
            rate: (slope * (1_u64 << 40) as f64).round() as i64,
            error_bound_ns: newest.span_ns.saturating_add((2.0 * worst).round() as u64),
            leader: ClockIdentity::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn reading(raw: i64, clock: i64) -> ClockPair {
        ClockPair { clock, raw, span_ns: 100 }
    }

    #[test]
    fn frequency_and_phase_of_a_steady_clock_are_found() {
        let mut tracker = Tracker::new(Source::System);
        assert!(tracker.line().is_none());
        for second in 0..20 {
            let jitter = if second % 2 == 0 { 30 } else { -30 };
            let raw = second * SECOND;
            tracker.handle_reading(reading(raw, 37 * SECOND + raw + second * 25_000 + jitter));
        }
        let line = tracker.line().expect("fed above");
        assert_eq!((line.state, line.generation), (LineState::Locked, 1));
        assert!((line.frequency().ppb() - 25_000).abs() < 20, "{}", line.frequency());
        let error = line.at(25 * SECOND).as_nanos() - (62 * SECOND + 25 * 25_000);
        assert!(error.abs() < 200, "{error}");
    }

    #[test]
    fn a_step_is_a_new_generation_and_a_fast_slew_is_not() {
        let mut tracker = Tracker::new(Source::System);
        let mut clock = 0;
        for second in 0..60 {
            clock += SECOND + if second > 20 { 500_000 } else { 0 };
            tracker.handle_reading(reading((second + 1) * SECOND, clock));
        }
        assert_eq!(tracker.line().expect("fed").generation, 1);
        clock += SECOND + 2_000_000;
        tracker.handle_reading(reading(61 * SECOND, clock));
        let line = tracker.line().expect("fed");
        assert_eq!((line.generation, line.state), (2, LineState::Tracking));
        assert_eq!(line.at(61 * SECOND).as_nanos(), clock);
    }

    #[test]
    fn interrupted_readings_are_skipped_until_they_are_the_rule() {
        let mut tracker = Tracker::new(Source::Phc(0));
        tracker.handle_reading(reading(SECOND, SECOND));
        let slow = |second: i64| ClockPair {
            clock: second * SECOND + 40_000,
            raw: second * SECOND,
            span_ns: 90_000,
        };
        for second in 2..=6 {
            tracker.handle_reading(slow(second));
            assert_eq!(tracker.line().expect("fed").base, SECOND);
        }
        tracker.handle_reading(slow(7));
        assert_eq!(tracker.line().expect("fed").base, 7 * SECOND);
        tracker.handle_loss();
        assert_eq!(tracker.line().expect("still there").state, LineState::Lost);
    }
}
