//! The layout of the page and the sequence lock, over any array of atomics.

use std::hint;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use wireloom_units::{ClockIdentity, TaiTime};

use crate::line::RATE_BITS;
use crate::{Line, LineState, Source};

/// Bytes of the page and of its file.
pub const PAGE_BYTES: usize = 4096;
/// How many lines a page holds.
pub const CAPACITY: usize = 8;
/// A heartbeat older than this many nanoseconds means that the clock service is gone: hold the last line.
pub const HEARTBEAT_TIMEOUT_NS: u64 = 3_000_000_000;

pub(crate) const WORDS: usize = PAGE_BYTES / 8;
pub(crate) const MAGIC: u64 = 0x574c_434c_4f43_4b31;
pub(crate) const VERSION: u32 = 1;

const RECORD_WORDS: usize = 16;
const COPY_WORDS: usize = 7;
const COPY_A: usize = 2;
const COPY_B: usize = COPY_A + COPY_WORDS;

/// Each try fails only when an update was finished meanwhile, which is rare; more than this is not a clock page.
const READ_TRIES: usize = 16;

/// No oscillator is 1 % off; such a rate, or one that does not rise, is a broken page.
const MAX_RATE: u64 = (1 << RATE_BITS) / 100;

/// The words of a page, wherever they lie.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Page<'a>(pub(crate) &'a [AtomicU64; WORDS]);

/// Why a page's header is not ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderError {
    Magic(u64),
    Version(u32),
    Size(u32),
    Records { count: u32, bytes: u32 },
}

impl<'a> Page<'a> {
    /// Writes the header of an empty page; the caller has zeroed the rest.
    pub(crate) fn write_header(self, boot: u64) {
        self.0[4].store(boot, Ordering::Relaxed);
        self.0[1].store(join(VERSION, PAGE_BYTES as u32), Ordering::Relaxed);
        self.0[3].store(join(CAPACITY as u32, (RECORD_WORDS * 8) as u32), Ordering::Relaxed);
        self.0[0].store(MAGIC, Ordering::Release);
    }

    /// Checks magic, version, size and the table of records.
    pub(crate) fn check_header(self) -> Result<(), HeaderError> {
        let magic = self.0[0].load(Ordering::Acquire);
        if magic != MAGIC {
            return Err(HeaderError::Magic(magic));
        }
        let (version, size) = split(self.0[1].load(Ordering::Relaxed));
        if version != VERSION {
            return Err(HeaderError::Version(version));
        }
        if size as usize != PAGE_BYTES {
            return Err(HeaderError::Size(size));
        }
        let (count, bytes) = split(self.0[3].load(Ordering::Relaxed));
        if count as usize != CAPACITY || bytes as usize != RECORD_WORDS * 8 {
            return Err(HeaderError::Records { count, bytes });
        }
        Ok(())
    }

    pub(crate) fn boot(self) -> u64 {
        self.0[4].load(Ordering::Relaxed)
    }

    pub(crate) fn heartbeat(self) -> i64 {
        self.0[2].load(Ordering::Acquire).cast_signed()
    }

    pub(crate) fn set_heartbeat(self, raw: i64) {
        self.0[2].store(raw.cast_unsigned(), Ordering::Release);
    }

    /// Record `index` of 0..CAPACITY.
    pub(crate) fn record(self, index: usize) -> Option<Record<'a>> {
        let start = RECORD_WORDS + index.checked_mul(RECORD_WORDS)?;
        if index >= CAPACITY {
            return None;
        }
        self.0.get(start..)?.first_chunk().map(Record)
    }

    pub(crate) fn records(self) -> impl Iterator<Item = Record<'a>> {
        (0..CAPACITY).filter_map(move |index| self.record(index))
    }
}

/// One record: a line kept twice under a sequence counter, so that one copy is whole at any moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record<'a>(&'a [AtomicU64; RECORD_WORDS]);

impl Record<'_> {
    /// The line in the record; `None` when there is none, or it is not a line, or the writer won every race.
    pub(crate) fn read(self) -> Option<Line> {
        for _ in 0..READ_TRIES {
            let sequence = self.0[0].load(Ordering::Acquire);
            let start = if sequence & 1 == 0 { COPY_A } else { COPY_B };
            let mut copy = [0; COPY_WORDS];
            for (word, shared) in copy.iter_mut().zip(self.0.iter().skip(start)) {
                *word = shared.load(Ordering::Relaxed);
            }
            // Pairs with the release fence before a copy is overwritten: whoever saw a word of the next
            // update also sees the counter that announced it.
            fence(Ordering::Acquire);
            if self.0[0].load(Ordering::Relaxed) == sequence {
                return decode(copy);
            }
            hint::spin_loop();
        }
        None
    }

    /// Replaces the line. There is one writer only, which `&mut Writer` holds.
    pub(crate) fn write(self, line: Option<&Line>) {
        let words = line.map_or([0; COPY_WORDS], encode);
        let sequence = self.0[0].load(Ordering::Relaxed) & !1;
        // Readers go to copy B, which is whole since the last update, while A changes; then the reverse.
        self.0[0].store(sequence.wrapping_add(1), Ordering::Release);
        self.store(COPY_A, words);
        self.0[0].store(sequence.wrapping_add(2), Ordering::Release);
        self.store(COPY_B, words);
    }

    fn store(self, start: usize, words: [u64; COPY_WORDS]) {
        fence(Ordering::Release);
        for (shared, word) in self.0.iter().skip(start).zip(words) {
            shared.store(word, Ordering::Relaxed);
        }
    }
}

fn encode(line: &Line) -> [u64; COPY_WORDS] {
    let (kind, number) = source_code(line.source);
    let tag = u64::from(kind)
        | u64::from(number) << 8
        | u64::from(state_code(line.state)) << 16
        | u64::from(line.generation) << 32;
    [
        tag,
        line.base.cast_unsigned(),
        line.time.as_nanos().cast_unsigned(),
        line.rate.cast_unsigned(),
        line.error_bound_ns,
        u64::from_ne_bytes(line.leader.0),
        0,
    ]
}

fn decode(copy: [u64; COPY_WORDS]) -> Option<Line> {
    let [tag, base, time, rate, error_bound_ns, leader, _] = copy;
    let [kind, number, state, ..] = tag.to_le_bytes();
    let rate = rate.cast_signed();
    if !is_clock_rate(rate) {
        return None;
    }
    Some(Line {
        source: source_of(kind, number)?,
        state: state_of(state)?,
        generation: (tag >> 32) as u32,
        base: base.cast_signed(),
        time: TaiTime::from_nanos(time.cast_signed()),
        rate,
        error_bound_ns,
        leader: ClockIdentity(leader.to_ne_bytes()),
    })
}

/// Whether `rate`, in 2^-40, is one that an oscillator can have.
pub(crate) const fn is_clock_rate(rate: i64) -> bool {
    rate.unsigned_abs() <= MAX_RATE
}

const fn source_code(source: Source) -> (u8, u8) {
    match source {
        Source::PtpV2(domain) => (1, domain),
        Source::PtpV1(subdomain) => (2, subdomain),
        Source::FreeRunning => (3, 0),
        Source::Phc(number) => (4, number),
        Source::System => (5, 0),
    }
}

const fn source_of(kind: u8, number: u8) -> Option<Source> {
    Some(match (kind, number) {
        (1, domain) => Source::PtpV2(domain),
        (2, subdomain @ 0..=3) => Source::PtpV1(subdomain),
        (3, 0) => Source::FreeRunning,
        (4, number) => Source::Phc(number),
        (5, 0) => Source::System,
        _ => return None,
    })
}

const STATES: [LineState; 9] = [
    LineState::Disabled,
    LineState::Listening,
    LineState::Acquiring,
    LineState::Tracking,
    LineState::Locked,
    LineState::Holdover,
    LineState::Lost,
    LineState::Leader,
    LineState::FreeRunning,
];

fn state_code(state: LineState) -> u8 {
    STATES.iter().position(|known| *known == state).map_or(0, |code| code as u8)
}

fn state_of(code: u8) -> Option<LineState> {
    STATES.get(usize::from(code)).copied()
}

const fn join(low: u32, high: u32) -> u64 {
    low as u64 | (high as u64) << 32
}

const fn split(word: u64) -> (u32, u32) {
    (word as u32, (word >> 32) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use std::thread;

    fn empty_page() -> Arc<[AtomicU64; WORDS]> {
        Arc::new([const { AtomicU64::new(0) }; WORDS])
    }

    /// A line whose every field follows from `n`, so that a mixture of two shows.
    fn numbered(n: u32) -> Line {
        let wide = i64::from(n);
        Line {
            source: Source::PtpV2(n as u8),
            state: STATES[n as usize % STATES.len()],
            generation: n,
            base: wide,
            time: TaiTime::from_nanos(wide * 3),
            rate: wide % 1_000_000,
            error_bound_ns: u64::from(n) * 5,
            leader: ClockIdentity((u64::from(n) * 7).to_ne_bytes()),
        }
    }

    #[test]
    fn every_source_and_state_survives_the_page() {
        let words = empty_page();
        let record = Page(&words).record(0).expect("first record");
        for source in [
            Source::PtpV2(0),
            Source::PtpV2(255),
            Source::PtpV1(3),
            Source::FreeRunning,
            Source::Phc(7),
            Source::System,
        ] {
            for state in STATES {
                for rate in [MAX_RATE.cast_signed(), 0, -MAX_RATE.cast_signed()] {
                    let line = Line { source, state, rate, base: -1, ..numbered(u32::MAX) };
                    record.write(Some(&line));
                    assert_eq!(record.read(), Some(line));
                }
            }
        }
        record.write(None);
        assert_eq!(record.read(), None);
    }

    #[test]
    fn words_lie_where_the_layout_says() {
        let words = empty_page();
        Page(&words).write_header(5);
        Page(&words).set_heartbeat(77);
        Page(&words).record(1).expect("second record").write(Some(&numbered(4)));
        let word = |index: usize| words[index].load(Ordering::Relaxed);
        assert_eq!(word(0), 0x574c_434c_4f43_4b31);
        assert_eq!(word(1), 4096 << 32 | 1);
        assert_eq!(word(2), 77);
        assert_eq!(word(3), 128 << 32 | 8);
        assert_eq!(word(4), 5);
        let copy = [4 << 32 | 4 << 16 | 4 << 8 | 1, 4, 12, 4, 20, 28, 0];
        assert_eq!(word(32), 2);
        assert_eq!([34, 35, 36, 37, 38, 39, 40].map(word), copy);
        assert_eq!([41, 42, 43, 44, 45, 46, 47].map(word), copy);
        assert!((48..WORDS).all(|index| word(index) == 0));
        assert!((16..32).all(|index| word(index) == 0));
    }

    #[test]
    fn a_record_that_is_not_a_line_is_no_line() {
        let words = empty_page();
        let record = Page(&words).record(0).expect("first record");
        let corrupt = |word: usize, value: u64| {
            record.write(Some(&numbered(4)));
            assert!(record.read().is_some());
            record.0[COPY_A + word].store(value, Ordering::Relaxed);
            record.read()
        };
        for rate in [-(1_i64 << RATE_BITS), i64::MIN, i64::MAX, MAX_RATE.cast_signed() + 1] {
            assert_eq!(corrupt(3, rate.cast_unsigned()), None, "rate {rate}");
        }
        for kind in [0, 6, 255, 4 << 8 | 2, 1 << 8 | 3, 1 << 8 | 5] {
            assert_eq!(corrupt(0, 4 << 16 | kind), None, "kind {kind:#x}");
        }
        for state in [9, 255] {
            assert_eq!(corrupt(0, state << 16 | 1), None, "state {state}");
        }
    }

    #[test]
    fn a_writer_that_dies_in_an_update_leaves_a_whole_line() {
        let words = empty_page();
        let record = Page(&words).record(0).expect("first record");
        record.write(Some(&numbered(1)));
        // Death while copy A is half written …
        record.0[0].store(3, Ordering::Relaxed);
        record.0[COPY_A + 1].store(99, Ordering::Relaxed);
        assert_eq!(record.read(), Some(numbered(1)));
        // … and while copy B is.
        record.write(Some(&numbered(2)));
        record.0[COPY_B + 2].store(99, Ordering::Relaxed);
        assert_eq!(record.read(), Some(numbered(2)));
        // The next writer is not confused by the odd counter.
        record.0[0].store(5, Ordering::Relaxed);
        record.write(Some(&numbered(3)));
        assert_eq!(record.read(), Some(numbered(3)));
    }

    #[test]
    fn lines_are_never_torn_under_a_hammering_writer() {
        let rounds: u32 = if cfg!(miri) { 200 } else { 300_000 };
        let words = empty_page();
        let done = Arc::new(AtomicBool::new(false));
        let writer = thread::spawn({
            let (words, done) = (Arc::clone(&words), Arc::clone(&done));
            move || {
                let record = Page(&words).record(3).expect("in range");
                for n in 1..=rounds {
                    record.write(Some(&numbered(n)));
                }
                done.store(true, Ordering::Release);
            }
        });
        let record = Page(&words).record(3).expect("in range");
        let (mut seen, mut last) = (0_u32, 0);
        loop {
            let finished = done.load(Ordering::Acquire);
            if let Some(line) = record.read() {
                assert_eq!(line, numbered(line.generation), "torn");
                assert!(line.generation >= last, "time ran backwards");
                last = line.generation;
                seen += 1;
            }
            if finished {
                break;
            }
        }
        writer.join().expect("the writer thread does not panic");
        assert_eq!(last, rounds);
        assert!(seen > 0);
    }

    #[test]
    fn headers_of_others_are_refused() {
        let check = |index: usize, value: u64| {
            let words = empty_page();
            Page(&words).write_header(5);
            assert_eq!(Page(&words).check_header(), Ok(()));
            words[index].store(value, Ordering::Relaxed);
            Page(&words).check_header()
        };
        assert_eq!(check(0, MAGIC.swap_bytes()), Err(HeaderError::Magic(MAGIC.swap_bytes())));
        assert_eq!(check(1, join(2, 4096)), Err(HeaderError::Version(2)));
        assert_eq!(check(1, join(1, 8192)), Err(HeaderError::Size(8192)));
        assert_eq!(check(3, join(9, 128)), Err(HeaderError::Records { count: 9, bytes: 128 }));
    }
}
