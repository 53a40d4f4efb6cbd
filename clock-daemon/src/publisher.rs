//! The clock page, and the lines of earlier runs and sources that new ones go on from.

use std::path::Path;

use wireloom_clock_page::{CreateError, Line, LineState, Reader, Source, Writer};

use crate::continuity::Continuity;

/// Beyond this bound, or after this time, a line that is held over counts as lost (`ptp` section 7).
const LOST_BOUND_NS: u64 = 250_000;
const LOST_AFTER_NS: i64 = 120_000_000_000;

/// Publishes lines, each continuous within its generation.
#[derive(Debug)]
pub struct Publisher {
    page: Writer,
    lines: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    source: Source,
    continuity: Continuity,
    /// Since when, and from which bound, the line is held because its source has none.
    held: Option<(i64, u64)>,
}

impl Publisher {
    /// Makes the page; the lines of a page of this boot at the same path are gone on from.
    pub fn create(path: &Path) -> Result<Self, CreateError> {
        let earlier = Reader::open(path).ok().filter(Reader::is_of_this_boot);
        let lines = earlier.map(|reader| reader.lines()).into_iter().flatten().flatten();
        let lines = lines.filter(|line| line.rung().is_some()).map(|line| Entry {
            source: line.source,
            continuity: Continuity::resume(Some(line)),
            held: None,
        });
        let lines = lines.collect();
        Ok(Self { page: Writer::create(path)?, lines })
    }

    /// The line of `source` as it was published last, in this run or the one before.
    pub fn line(&self, source: Source) -> Option<&Line> {
        self.lines.iter().find(|entry| entry.source == source)?.continuity.published()
    }

    /// Publishes the line of a source, at `now`; small differences from what was published are slewed away.
    pub fn publish(&mut self, now: i64, line: &Line) -> Line {
        let entry = self.entry(line.source);
        entry.held = None;
        let published = entry.continuity.follow(now, line);
        self.write(&published);
        published
    }

    /// Publishes `line` as it is.
    pub fn publish_exact(&mut self, line: &Line) {
        self.entry(line.source).continuity = Continuity::resume(Some(*line));
        self.write(line);
    }

    /// Goes on with the last line of `source`, which has none at `now`, as holdover and then as lost.
    pub fn hold(&mut self, now: i64, source: Source) {
        let entry = self.entry(source);
        let Some(bound) = entry.continuity.published().map(|line| line.error_bound_ns) else { return };
        let (since, bound) = *entry.held.get_or_insert((now, bound));
        let elapsed = now.saturating_sub(since).max(0);
        let bound = bound.saturating_add(drift_bound(elapsed));
        let lost = bound > LOST_BOUND_NS || elapsed > LOST_AFTER_NS;
        let state = if lost { LineState::Lost } else { LineState::Holdover };
        if let Some(line) = entry.continuity.hold(state, bound) {
            self.write(&line);
        }
    }

    /// Says that `source` is now another engine or process, whose generations begin anew.
    pub fn source_replaced(&mut self, source: Source) {
        self.entry(source).continuity.source_replaced();
    }

    /// Takes the line of `source` off the page.
    pub fn withdraw(&mut self, source: Source) {
        self.lines.retain(|entry| entry.source != source);
        self.page.withdraw(source);
    }

    /// Keeps only lines of sources that `keep` wants.
    pub fn retain(&mut self, keep: impl Fn(Source) -> bool) {
        let unwanted: Vec<Source> =
            self.lines.iter().map(|entry| entry.source).filter(|source| !keep(*source)).collect();
        for source in unwanted {
            self.withdraw(source);
        }
    }

    /// What is published now.
    pub fn lines(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter_map(|entry| entry.continuity.published())
    }

    /// Says that this process lives.
    pub fn beat(&mut self, now: i64) {
        self.page.beat(now);
    }

    /// Marks all lines as held over and the page as left; the file stays, so that readers hold over on it.
    pub fn stop(mut self) {
        let held: Vec<Line> = self
            .lines
            .iter_mut()
            .filter(|entry| entry.source != Source::FreeRunning)
            .filter_map(|entry| {
                let line = *entry.continuity.published()?;
                let state = if line.state == LineState::Lost { LineState::Lost } else { LineState::Holdover };
                entry.continuity.hold(state, line.error_bound_ns)
            })
            .collect();
        for line in held {
            self.write(&line);
        }
        self.page.stop();
    }

    fn entry(&mut self, source: Source) -> &mut Entry {
        let index = match self.lines.iter().position(|entry| entry.source == source) {
            Some(index) => index,
            None => {
                self.lines.push(Entry { source, continuity: Continuity::default(), held: None });
                self.lines.len() - 1
            }
        };
        &mut self.lines[index] // found or pushed just above
    }

    fn write(&mut self, line: &Line) {
        if let Err(error) = self.page.publish(line) {
            tracing::warn!(%error, "not published");
        }
    }
}

/// How far a computer's crystal may wander in `elapsed` ns beyond what was known of it (`ptp` section 7): 10 ppb
/// of frequency not known, and 1.7 ns/s² of change.
fn drift_bound(elapsed: i64) -> u64 {
    let seconds = elapsed as f64 / 1e9;
    (10.0 * seconds + 1.7 * seconds * seconds / 2.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use wireloom_units::{ClockIdentity, TaiTime};

    const SECOND: i64 = 1_000_000_000;

    fn line() -> Line {
        Line {
            source: Source::PtpV2(0),
            state: LineState::Locked,
            generation: 1,
            base: 0,
            time: TaiTime::from_nanos(5 * SECOND),
            rate: 88_000_000,
            error_bound_ns: 300,
            leader: ClockIdentity([1; 8]),
        }
    }

    #[test]
    fn a_restart_goes_on_from_the_page_without_a_step() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("clock");
        let mut first = Publisher::create(&path).expect("page");
        first.publish(0, &line());
        let moved = Line { generation: 2, time: TaiTime::from_nanos(9 * SECOND), ..line() };
        assert_eq!(first.publish(0, &moved).generation, 2);
        drop(first); // killed

        let mut second = Publisher::create(&path).expect("page");
        second.hold(SECOND, Source::PtpV2(0));
        let reader = Reader::open(&path).expect("page");
        let held = reader.best().expect("held over");
        assert_eq!((held.state, held.generation, held.at(77)), (LineState::Holdover, 2, moved.at(77)));
        let back = Line { generation: 1, time: TaiTime::from_nanos(9 * SECOND + 20_000), ..line() };
        let published = second.publish(3 * SECOND, &back);
        assert_eq!((published.generation, published.state), (2, LineState::Locked));
        let jump = published.at(3 * SECOND).since(moved.at(3 * SECOND));
        assert!((0..=1).contains(&jump), "{jump}");
        second.stop();
        assert_eq!(reader.best().expect("stays").state, LineState::Holdover);
        assert_eq!(reader.heartbeat(), None);
    }

    #[test]
    fn a_held_line_is_lost_in_the_end_and_its_bound_grows() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let mut publisher = Publisher::create(&directory.path().join("clock")).expect("page");
        publisher.hold(0, Source::PtpV2(0));
        assert_eq!(publisher.lines().count(), 0, "nothing to hold");
        publisher.publish(0, &line());
        let mut bound = 300;
        for second in 1..=122 {
            publisher.hold(second * SECOND, Source::PtpV2(0));
            let line = publisher.line(Source::PtpV2(0)).expect("held");
            assert!(line.error_bound_ns > bound || second == 1);
            assert_eq!(line.state, if second <= 121 { LineState::Holdover } else { LineState::Lost });
            bound = line.error_bound_ns;
        }
    }
}
