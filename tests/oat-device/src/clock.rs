use std::path::{Path, PathBuf};
use std::time::Instant;

use wireloom_clock_page::{Line, LineState, Reader, Source, raw_now};
use wireloom_units::{ClockIdentity, MediaIndex, Nanos, Rate};

/// The time of a device: its uptime, and the network's media time as far as its clock page tells it.
pub struct Clock {
    started: Instant,
    path: PathBuf,
    page: Option<Reader>,
    line: Option<Line>,
}

impl Clock {
    pub fn new(path: &Path) -> Self {
        Self { started: Instant::now(), path: path.to_owned(), page: None, line: None }
    }

    /// Since it was switched on.
    pub fn uptime(&self) -> Nanos {
        Nanos(u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// Reads the page again, and looks for it where there was none.
    pub fn look(&mut self) {
        if self.page.as_ref().is_none_or(Reader::is_replaced) {
            self.page = Reader::open(&self.path).ok();
        }
        let line = self.page.as_ref().and_then(|page| page.line(Source::PtpV2(0)));
        let usable = line
            .filter(|line| matches!(line.state, LineState::Locked | LineState::Leader | LineState::Holdover));
        self.line = usable.or(self.line);
    }

    /// The frame of the media clock that passes now; `None` before the first lock.
    pub fn now(&self) -> Option<MediaIndex> {
        self.line.map(|line| Rate::HZ_48000.index_at(line.at(raw_now())))
    }

    /// The grandmaster that it follows.
    pub fn grandmaster(&self) -> Option<ClockIdentity> {
        self.line.map(|line| line.leader)
    }
}
