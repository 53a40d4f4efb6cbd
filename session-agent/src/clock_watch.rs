//! Looks at the clock page: reading it costs a few loads, so it is read often.

use std::path::{Path, PathBuf};

use tracing::{debug, info};
use wireloom_clock_page::{Reader, raw_now};

use crate::model::ClockFacts;

/// The page of wireloom-clock, opened when it is there and again when it is replaced.
pub struct ClockWatch {
    path: PathBuf,
    reader: Option<Reader>,
}

impl ClockWatch {
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), reader: None }
    }

    /// What the page says now.
    pub fn look(&mut self) -> ClockFacts {
        if self.reader.as_ref().is_none_or(Reader::is_replaced) {
            match Reader::open(&self.path) {
                Ok(reader) => {
                    info!("clock page {} found", self.path.display());
                    self.reader = Some(reader);
                }
                Err(error) if self.reader.is_none() => debug!("{error}"),
                Err(_) => {}
            }
        }
        let Some(reader) = &self.reader else { return ClockFacts::default() };
        ClockFacts {
            present: true,
            alive: reader.is_alive(raw_now()),
            lines: reader.lines().into_iter().flatten().collect(),
            ..ClockFacts::default()
        }
    }
}
