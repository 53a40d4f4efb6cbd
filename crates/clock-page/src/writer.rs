use std::fmt;
use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process;

use crate::boot::this_boot;
use crate::map::Map;
use crate::page::{PAGE_BYTES, Page, is_clock_rate};
use crate::{CAPACITY, Line, Source};

/// The one writer of a clock page.
///
/// The file stays when the writer is dropped: its last lines are what readers hold over on.
#[derive(Debug)]
pub struct Writer {
    map: Map,
    sources: [Option<Source>; CAPACITY],
}

impl Writer {
    /// Makes a complete, empty page under a temporary name, mode 0644, and renames it to `path`.
    ///
    /// Readers of an older page at `path` keep it until they see that it was replaced.
    pub fn create(path: &Path) -> Result<Self, CreateError> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.new", process::id()));
        let temporary = path.with_file_name(name);
        let fail = |error| CreateError { path: path.to_owned(), error };
        let map = Self::create_complete(&temporary).and_then(|map| {
            fs::rename(&temporary, path)?;
            Ok(map)
        });
        let map = map.map_err(|error| {
            let _ = fs::remove_file(&temporary);
            fail(error)
        })?;
        Ok(Self { map, sources: [None; CAPACITY] })
    }

    fn create_complete(temporary: &Path) -> io::Result<Map> {
        match fs::remove_file(temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o644).open(temporary)?;
        file.set_permissions(Permissions::from_mode(0o644))?; // whatever the umask says
        file.set_len(PAGE_BYTES as u64)?;
        let map = Map::writable(&file)?;
        Page(map.words()).write_header(this_boot());
        Ok(map)
    }

    /// Publishes `line` in the place of the line of the same source, or in a free record.
    pub fn publish(&mut self, line: &Line) -> Result<(), PublishError> {
        if !is_clock_rate(line.rate) {
            return Err(PublishError::Rate(line.rate));
        }
        let index = self
            .position(Some(line.source))
            .or_else(|| self.position(None))
            .ok_or(PublishError::Full(line.source))?;
        if let (Some(slot), Some(record)) =
            (self.sources.get_mut(index), Page(self.map.words()).record(index))
        {
            *slot = Some(line.source);
            record.write(Some(line));
        }
        Ok(())
    }

    /// Takes the line of `source` off the page; does nothing when there is none.
    pub fn withdraw(&mut self, source: Source) {
        let Some(index) = self.position(Some(source)) else { return };
        if let (Some(slot), Some(record)) =
            (self.sources.get_mut(index), Page(self.map.words()).record(index))
        {
            *slot = None;
            record.write(None);
        }
    }

    /// Says that the writer lives at `raw` nanoseconds of CLOCK_MONOTONIC_RAW; due each 250 ms.
    pub fn beat(&mut self, raw: i64) {
        Page(self.map.words()).set_heartbeat(raw);
    }

    /// Tells readers at once that nobody updates the page any more; the lines stay for holding over.
    pub fn stop(self) {
        Page(self.map.words()).set_heartbeat(0);
    }

    fn position(&self, source: Option<Source>) -> Option<usize> {
        self.sources.iter().position(|slot| *slot == source)
    }
}

/// Why no page could be made.
#[derive(Debug)]
pub struct CreateError {
    path: PathBuf,
    error: io::Error,
}

impl fmt::Display for CreateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot make the clock page {}: {}", self.path.display(), self.error)
    }
}

impl std::error::Error for CreateError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// Why a line is not on the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublishError {
    /// All eight records hold lines of other sources.
    Full(Source),
    /// The rate, in 2^-40, is further than 1 % from nominal: no oscillator is.
    Rate(i64),
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(source) => write!(f, "no room for {source:?}: the clock page holds {CAPACITY} lines"),
            Self::Rate(rate) => {
                let ppm = (i128::from(*rate) * 1_000_000) >> crate::line::RATE_BITS;
                write!(f, "a line {ppm} ppm off is not a clock's (at most 10000 ppm)")
            }
        }
    }
}

impl std::error::Error for PublishError {}
