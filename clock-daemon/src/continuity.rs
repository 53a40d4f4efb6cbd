//! Keeps a published line continuous, whatever its source does.

use wireloom_clock_page::{Line, LineState};
use wireloom_units::TaiTime;

/// Beyond this a difference is a step, a new generation; within it the line is slewed (`ptp` section 8).
const STEP_NS: i64 = 1_000_000;
/// A difference is slewed away with this time constant (`ptp` section 5).
const TIME_CONSTANT_NS: i128 = 4_000_000_000;
/// Slew limit for a line that streams play on: 10 ppm, in 2^-40.
const SLEW: i128 = (10 << 40) / 1_000_000;

/// One line as the page's readers see it: the source's line behind a limiter of steps.
///
/// Sources come and go (another engine after a change of settings, another process after a restart) and begin
/// to count their generations anew; for the readers it is one line that goes on.
#[derive(Debug, Default)]
pub struct Continuity {
    published: Option<Line>,
    /// The generation of the source that `published` belongs to; `None` when the source is a new one.
    source_generation: Option<u32>,
}

impl Continuity {
    /// Goes on with a line that another process published, if any.
    pub fn resume(line: Option<Line>) -> Self {
        Self { published: line, source_generation: None }
    }

    /// What was published last.
    pub fn published(&self) -> Option<&Line> {
        self.published.as_ref()
    }

    /// Says that the source was replaced, so that its generation numbers start anew.
    pub fn source_replaced(&mut self) {
        self.source_generation = None;
    }

    /// The line to publish at `now` when the source's line is `line`. Same clock, same moment: same result.
    pub fn follow(&mut self, now: i64, line: &Line) -> Line {
        let next = match self.published {
            None => *line,
            Some(previous) => {
                let parted = line.at(now).since(previous.at(now));
                let same_source = self.source_generation == Some(line.generation);
                let stepped = self.source_generation.is_some() && !same_source;
                if stepped || parted.saturating_abs() > STEP_NS {
                    Line { generation: previous.generation.wrapping_add(1), ..*line }
                } else {
                    continued(&previous, line, now, parted)
                }
            }
        };
        self.source_generation = Some(line.generation);
        self.published = Some(next);
        next
    }

    /// The line to publish while the source has none: the last one, marked as held over.
    pub fn hold(&mut self, state: LineState, error_bound_ns: u64) -> Option<Line> {
        let published = self.published.as_mut()?;
        published.state = state;
        published.error_bound_ns = error_bound_ns;
        Some(*published)
    }
}

fn continued(previous: &Line, line: &Line, now: i64, parted: i64) -> Line {
    let slew = if parted.abs() <= 1 {
        0 // rounding of two integer lines, nothing to correct
    } else {
        ((i128::from(parted) << 40) / TIME_CONSTANT_NS).clamp(-SLEW, SLEW)
    };
    Line {
        generation: previous.generation,
        base: now,
        time: nearest(previous, now),
        rate: line.rate.saturating_add(slew as i64),
        error_bound_ns: line.error_bound_ns.saturating_add(parted.unsigned_abs()),
        ..*line
    }
}

/// The line's time at `raw`, rounded to nearest where [`Line::at`] rounds down: a line that is continued often
/// would else fall behind by up to a nanosecond each time. Never before `line.at(raw)`.
fn nearest(line: &Line, raw: i64) -> TaiTime {
    let product = (i128::from(raw) - i128::from(line.base)) * i128::from(line.rate);
    let rounds_up = (product >> 39) & 1 == 1;
    line.at(raw).offset_by(i64::from(rounds_up))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wireloom_clock_page::Source;
    use wireloom_units::ClockIdentity;

    const SECOND: i64 = 1_000_000_000;

    fn line(generation: u32, offset: i64, rate: i64) -> Line {
        Line {
            source: Source::PtpV2(0),
            state: LineState::Locked,
            generation,
            base: 0,
            time: TaiTime::from_nanos(1_000 * SECOND + offset),
            rate,
            error_bound_ns: 100,
            leader: ClockIdentity::default(),
        }
    }

    #[test]
    fn a_restarted_source_within_a_millisecond_is_slewed_without_a_step() {
        let old = Line { generation: 7, ..line(1, 0, 80_000) };
        let mut continuity = Continuity::resume(Some(old));
        let new = line(1, 900_000, 90_000);
        let mut last = old;
        for tick in 1..=4 * 200 {
            let now = tick * SECOND / 4;
            let published = continuity.follow(now, &new);
            assert_eq!(published.generation, 7);
            let jump = published.at(now).since(last.at(now));
            assert!((0..=1).contains(&jump), "a jump of {jump} ns at {now}");
            let excess = (published.rate - new.rate).abs();
            assert!(i128::from(excess) <= SLEW, "slewed by {excess}");
            last = published;
        }
        assert!(last.at(200 * SECOND).since(new.at(200 * SECOND)).abs() <= 1);
    }

    #[test]
    fn a_source_elsewhere_is_a_new_generation_and_exact_at_once() {
        let mut continuity = Continuity::resume(Some(Line { generation: 7, ..line(1, 0, 0) }));
        let new = line(1, 1_000_001, 5);
        assert_eq!(continuity.follow(SECOND, &new), Line { generation: 8, ..new });
        // a generation of the source's own is passed on, however small
        let stepped = line(2, 1_000_101, 5);
        assert_eq!(continuity.follow(SECOND, &stepped), Line { generation: 9, ..stepped });
        // and a new source that agrees is not
        continuity.source_replaced();
        let third = continuity.follow(SECOND, &line(1, 1_000_101, 5));
        assert_eq!((third.generation, third.rate), (9, 5));
    }

    #[test]
    fn a_first_line_passes_unchanged() {
        let mut continuity = Continuity::default();
        assert_eq!(continuity.hold(LineState::Holdover, 1), None);
        assert_eq!(continuity.follow(5, &line(3, 0, 1)), line(3, 0, 1));
        let held = continuity.hold(LineState::Holdover, 500).expect("published above");
        assert_eq!((held.state, held.error_bound_ns, held.rate), (LineState::Holdover, 500, 1));
    }
}
