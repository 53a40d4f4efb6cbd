//! A target of `wireloom-clock-page`: a page that another process wrote, with whatever in it.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;

use wireloom_clock_page::{PAGE_BYTES, Reader};
use wireloom_units::TaiTime;

/// Words of the header, which hold nothing but what every page has.
const HEADER_BYTES: usize = 40;

thread_local! {
    static FILE: File = tempfile::tempfile().expect("a temporary file");
}

/// Maps the octets as a page, as they are and behind a sound header. Whatever the lines say, they rise, and at a
/// time that is not at the end of the timescale they and their inverse agree.
pub fn page(bytes: &[u8]) {
    let mut content = bytes.to_vec();
    look(&content);
    content.resize(PAGE_BYTES, 0);
    content[..HEADER_BYTES].copy_from_slice(&header());
    assert!(look(&content), "a sound header");
}

/// Magic, version and size, heartbeat, shape of the table, boot (`crates/clock-page`, page.rs).
fn header() -> [u8; HEADER_BYTES] {
    let words = [0x574c_434c_4f43_4b31, 4096 << 32 | 1, 0, 128 << 32 | 8, 0_u64];
    let mut header = [0; HEADER_BYTES];
    for (octets, word) in header.chunks_exact_mut(8).zip(words) {
        octets.copy_from_slice(&word.to_ne_bytes());
    }
    header
}

fn look(content: &[u8]) -> bool {
    FILE.with(|file| {
        file.set_len(content.len() as u64).and_then(|()| file.write_all_at(content, 0)).expect("written");
        let Ok(reader) = Reader::open(format!("/proc/self/fd/{}", file.as_raw_fd())) else { return false };
        for line in reader.lines().into_iter().flatten() {
            assert!(reader.line(line.source).is_some());
            for raw in [i64::MIN, -1, 0, line.base, i64::MAX - 1_000_000] {
                let (now, later) = (line.at(raw), line.at(raw + 1_000_000));
                assert!(later >= now, "{line:?} falls at {raw}");
                let is_inside = [now, later].iter().all(|time| time.as_nanos().unsigned_abs() < 1 << 62);
                let back = line.raw_of(TaiTime::from_nanos(now.as_nanos()));
                assert!(!is_inside || back.abs_diff(raw) <= 1, "{line:?} at {raw} and back is {back}");
            }
        }
        let best = reader.best();
        assert!(best.is_none_or(|line| line.rung().is_some()));
        for raw in [i64::MIN, 0, i64::MAX] {
            assert!(!reader.is_alive(raw) || reader.heartbeat().is_some());
        }
        true
    })
}

#[cfg(test)]
mod fuzzed {
    use wireloom_clock_page::{Line, LineState, Source, Writer};
    use wireloom_units::{ClockIdentity, TaiTime};

    use crate::mutate::drive_from;

    #[test]
    fn clock_pages() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("clock");
        let mut writer = Writer::create(&path).expect("a page");
        for (source, state, rate) in [
            (Source::PtpV2(0), LineState::Locked, 80 << 20),
            (Source::PtpV1(1), LineState::Holdover, -(80 << 20)),
            (Source::FreeRunning, LineState::FreeRunning, 0),
        ] {
            let time = TaiTime::from_nanos(1_700_000_000_000_000_000);
            let leader = ClockIdentity([7; 8]);
            let line =
                Line { source, state, generation: 3, base: 1 << 40, time, rate, error_bound_ns: 500, leader };
            writer.publish(&line).expect("room");
        }
        writer.beat(1 << 40);
        let page = std::fs::read(&path).expect("readable");
        assert!(super::look(&page) && page[..8] == super::header()[..8]);
        drive_from(&[page], super::page);
    }
}
