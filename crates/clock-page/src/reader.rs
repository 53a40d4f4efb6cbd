use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::boot::this_boot;
use crate::map::Map;
use crate::page::{HEARTBEAT_TIMEOUT_NS, HeaderError, PAGE_BYTES, Page};
use crate::{CAPACITY, Line, Source};

/// A clock page of another process, mapped read-only.
///
/// [`Reader::open`], [`Reader::is_replaced`] and dropping make system calls: they belong on a main loop. All
/// else is loads from memory with a fixed bound, for the real-time thread.
#[derive(Debug)]
pub struct Reader {
    map: Map,
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Reader {
    /// Maps the page at `path`, after checking that it is one.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, OpenError> {
        let path = path.into();
        // Non-blocking, so that a FIFO in the page's place cannot hold the caller.
        let flags = libc::O_NONBLOCK | libc::O_CLOEXEC;
        let opened = OpenOptions::new().read(true).custom_flags(flags).open(&path);
        let file: File = opened.map_err(|error| OpenError::Open { path: path.clone(), error })?;
        let metadata = file.metadata().map_err(|error| OpenError::Open { path: path.clone(), error })?;
        if !metadata.is_file() || metadata.len() != PAGE_BYTES as u64 {
            return Err(OpenError::NotAPage { bytes: metadata.len(), path });
        }
        let map = Map::read_only(&file).map_err(|error| OpenError::Map { path: path.clone(), error })?;
        match Page(map.words()).check_header() {
            Ok(()) => Ok(Self { map, path, device: metadata.dev(), inode: metadata.ino() }),
            Err(HeaderError::Magic(found)) => Err(OpenError::Magic { path, found }),
            Err(HeaderError::Version(found)) => Err(OpenError::Version { path, found }),
            Err(HeaderError::Size(bytes)) => Err(OpenError::NotAPage { path, bytes: u64::from(bytes) }),
            Err(HeaderError::Records { count, bytes }) => Err(OpenError::Records { path, count, bytes }),
        }
    }

    /// All lines, in the order of their records; a free or broken record is `None`.
    pub fn lines(&self) -> [Option<Line>; CAPACITY] {
        let mut lines = [None; CAPACITY];
        for (line, record) in lines.iter_mut().zip(self.page().records()) {
            *line = record.read();
        }
        lines
    }

    /// The line of `source`, if the page has one.
    ///
    /// `None` also when the writer finished an update during each of the bounded tries; a caller that had a
    /// line goes on with it.
    pub fn line(&self, source: Source) -> Option<Line> {
        self.page().records().filter_map(|record| record.read()).find(|line| line.source == source)
    }

    /// The best line by the clock ladder ([`Line::rung`]); the first of equals. `None` when no line tells time.
    pub fn best(&self) -> Option<Line> {
        let mut best: Option<(u8, Line)> = None;
        for line in self.lines().into_iter().flatten() {
            let Some(rung) = line.rung() else { continue };
            if best.is_none_or(|(other, _)| rung < other) {
                best = Some((rung, line));
            }
        }
        best.map(|(_, line)| line)
    }

    /// When the writer last said that it lives, in nanoseconds of CLOCK_MONOTONIC_RAW; `None` when it stopped.
    pub fn heartbeat(&self) -> Option<i64> {
        Some(self.page().heartbeat()).filter(|raw| *raw != 0)
    }

    /// Whether the clock service lived within the last 3 s before `raw_now`, in ns of CLOCK_MONOTONIC_RAW.
    ///
    /// When it did not, lines are what they were: a consumer holds the one it has.
    pub fn is_alive(&self, raw_now: i64) -> bool {
        // A beat from the future is a page left over from before a reboot.
        self.heartbeat().is_some_and(|beat| {
            beat <= raw_now.saturating_add(HEARTBEAT_TIMEOUT_NS.cast_signed())
                && raw_now.saturating_sub(beat) <= HEARTBEAT_TIMEOUT_NS.cast_signed()
        })
    }

    /// Whether another file is at the path now, so that the page should be opened anew. Not for real-time use.
    ///
    /// False while there is no file at all: then there is nothing better to map.
    pub fn is_replaced(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|now| (now.dev(), now.ino()) != (self.device, self.inode))
    }

    /// Whether the page was made since the computer started, so that its lines speak of the present
    /// CLOCK_MONOTONIC_RAW. False when either boot is unknown. Not for real-time use.
    pub fn is_of_this_boot(&self) -> bool {
        let boot = this_boot();
        boot != 0 && self.page().boot() == boot
    }

    /// Where the page was found.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn page(&self) -> Page<'_> {
        Page(self.map.words())
    }
}

/// Why a file is not a clock page that can be read.
#[derive(Debug)]
#[non_exhaustive]
#[allow(missing_docs)] // the fields are what the sentence says
pub enum OpenError {
    /// The file cannot be opened: mostly the clock service does not run.
    Open { path: PathBuf, error: io::Error },
    /// Not a regular file of exactly 4096 bytes.
    NotAPage { path: PathBuf, bytes: u64 },
    /// The kernel does not map it.
    Map { path: PathBuf, error: io::Error },
    /// The first word is not a clock page's.
    Magic { path: PathBuf, found: u64 },
    /// Another version of the layout.
    Version { path: PathBuf, found: u32 },
    /// The table of records has another shape.
    Records { path: PathBuf, count: u32, bytes: u32 },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open { path, error } if error.kind() == io::ErrorKind::NotFound => {
                write!(f, "no clock page at {}: wireloom-clock does not run", path.display())
            }
            Self::Open { path, error } => write!(f, "cannot open the clock page {}: {error}", path.display()),
            Self::NotAPage { path, bytes } => write!(
                f,
                "{} is not a clock page: a regular file of {PAGE_BYTES} bytes is expected, this has {bytes}",
                path.display()
            ),
            Self::Map { path, error } => write!(f, "cannot map the clock page {}: {error}", path.display()),
            Self::Magic { path, found } => {
                write!(f, "{} is not a clock page: it begins with {found:#018x}", path.display())
            }
            Self::Version { path, found } => {
                write!(f, "clock page {} has version {found}, version 1 is expected", path.display())
            }
            Self::Records { path, count, bytes } => write!(
                f,
                "clock page {} has {count} records of {bytes} bytes, {CAPACITY} of 128 are expected",
                path.display()
            ),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Open { error, .. } | Self::Map { error, .. } => Some(error),
            _ => None,
        }
    }
}
