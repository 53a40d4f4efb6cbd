//! The page as a file: what writers leave, what readers refuse.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};

use wireloom_clock_page::{
    CAPACITY, Line, LineState, OpenError, PAGE_BYTES, PublishError, Reader, Source, Writer,
};
use wireloom_units::{ClockIdentity, TaiTime};

fn line(source: Source, state: LineState) -> Line {
    Line {
        source,
        state,
        generation: 3,
        base: 1_000,
        time: TaiTime::from_nanos(1_767_225_637_000_000_000),
        rate: -88_000_000,
        error_bound_ns: 250,
        leader: ClockIdentity([0, 0x10, 0x20, 0xff, 0xfe, 0x30, 0x40, 0x50]),
    }
}

#[test]
fn a_reader_sees_what_the_writer_publishes_in_place() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("clock");
    let mut writer = Writer::create(&path).expect("page");
    let reader = Reader::open(&path).expect("a complete page");
    assert_eq!(reader.lines(), [None; CAPACITY]);
    assert_eq!((reader.best(), reader.heartbeat()), (None, None));
    assert!(!reader.is_alive(0));
    assert!(reader.is_of_this_boot());

    let free = line(Source::FreeRunning, LineState::FreeRunning);
    let ptp = line(Source::PtpV2(0), LineState::Tracking);
    writer.publish(&free).expect("room");
    writer.publish(&ptp).expect("room");
    writer.beat(5_000_000_000);
    assert_eq!(reader.line(Source::PtpV2(0)), Some(ptp));
    assert_eq!(reader.line(Source::PtpV2(1)), None);
    assert_eq!(reader.lines().iter().flatten().count(), 2);
    assert_eq!(reader.best(), Some(ptp));
    assert_eq!(reader.heartbeat(), Some(5_000_000_000));
    assert!(reader.is_alive(8_000_000_000) && !reader.is_alive(8_000_000_001));
    assert!(!reader.is_alive(1), "a beat from before a reboot");

    let locked = Line { state: LineState::Locked, ..ptp };
    writer.publish(&locked).expect("its own record");
    assert_eq!(reader.line(Source::PtpV2(0)), Some(locked));
    writer.withdraw(Source::PtpV2(0));
    assert_eq!(reader.best(), Some(free));
    writer.stop();
    assert_eq!(reader.heartbeat(), None);
    assert_eq!(reader.best(), Some(free), "a stopped writer's lines stay to hold over on");

    let mode = fs::metadata(&path).expect("the page stays").permissions().mode();
    assert_eq!(mode & 0o7777, 0o644);
    assert_eq!(fs::read_dir(dir.path()).expect("readable").count(), 1, "no temporary file is left");
}

#[test]
fn the_ladder_prefers_locked_network_time() {
    let ladder = [
        line(Source::PtpV2(0), LineState::Locked),
        line(Source::PtpV1(0), LineState::Locked),
        line(Source::PtpV2(0), LineState::Leader),
        line(Source::PtpV2(0), LineState::Holdover),
        line(Source::Phc(0), LineState::Tracking),
        line(Source::System, LineState::Tracking),
        line(Source::PtpV2(0), LineState::Lost),
        line(Source::FreeRunning, LineState::FreeRunning),
    ];
    assert!(ladder.map(|line| line.rung()).is_sorted_by(|a, b| a.is_some() && a < b));
    let rung = |state| line(Source::PtpV2(0), state).rung();
    assert_eq!(
        rung(LineState::Acquiring),
        rung(LineState::Holdover),
        "a change of leaders is no reason to leave"
    );
    assert_eq!(rung(LineState::Tracking), rung(LineState::Holdover));
    for state in [LineState::Disabled, LineState::Listening] {
        assert_eq!(line(Source::PtpV2(0), state).rung(), None);
    }
}

#[test]
fn a_restarted_writer_replaces_the_page() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("clock");
    let mut first = Writer::create(&path).expect("page");
    first.publish(&line(Source::System, LineState::Locked)).expect("room");
    let reader = Reader::open(&path).expect("page");
    assert!(!reader.is_replaced());
    drop(first);
    fs::remove_file(&path).expect("present");
    assert!(!reader.is_replaced(), "nothing to map in its place");
    let _second = Writer::create(&path).expect("page");
    assert!(reader.is_replaced());
    assert!(reader.best().is_some(), "the old mapping stays readable");
    assert_eq!(Reader::open(&path).expect("page").best(), None);
}

#[test]
fn a_full_page_and_a_clock_that_is_none_are_refused() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let mut writer = Writer::create(&dir.path().join("clock")).expect("page");
    for domain in 0..8 {
        writer.publish(&line(Source::PtpV2(domain), LineState::Locked)).expect("eight fit");
    }
    let full = writer.publish(&line(Source::System, LineState::Locked));
    assert_eq!(full, Err(PublishError::Full(Source::System)));
    let wild = Line { rate: -(1 << 40), ..line(Source::PtpV2(0), LineState::Locked) };
    let refused = writer.publish(&wild).expect_err("does not rise");
    assert_eq!(refused.to_string(), "a line -1000000 ppm off is not a clock's (at most 10000 ppm)");
}

#[test]
fn files_that_are_no_pages_are_refused_in_words() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("clock");
    let sentence = || Reader::open(&path).expect_err("refused").to_string();
    assert!(sentence().contains("wireloom-clock does not run"), "{}", sentence());

    for bytes in [0, 1, 128, PAGE_BYTES - 1, PAGE_BYTES + 1, 3 * PAGE_BYTES] {
        File::create(&path).and_then(|mut file| file.write_all(&vec![0; bytes])).expect("written");
        assert!(matches!(Reader::open(&path), Err(OpenError::NotAPage { .. })), "{bytes} bytes");
    }
    fs::remove_file(&path).expect("present");
    fs::create_dir(&path).expect("made");
    assert!(matches!(Reader::open(&path), Err(OpenError::NotAPage { .. } | OpenError::Open { .. })));
    fs::remove_dir(&path).expect("present");

    let poke = |offset: u64, bytes: &[u8]| {
        drop(Writer::create(&path).expect("page"));
        assert!(Reader::open(&path).is_ok());
        let file = File::options().write(true).open(&path).expect("ours");
        file.write_all_at(bytes, offset).expect("written");
        Reader::open(&path).expect_err("refused")
    };
    assert!(matches!(poke(0, b"GARBAGE!"), OpenError::Magic { .. }));
    assert!(matches!(poke(8, &2_u32.to_ne_bytes()), OpenError::Version { found: 2, .. }));
    assert!(matches!(poke(12, &8192_u32.to_ne_bytes()), OpenError::NotAPage { bytes: 8192, .. }));
    assert!(matches!(poke(24, &200_u32.to_ne_bytes()), OpenError::Records { count: 200, .. }));
}

#[test]
fn a_page_of_random_words_never_panics() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("clock");
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..200 {
        drop(Writer::create(&path).expect("page"));
        let file = File::options().write(true).open(&path).expect("ours");
        let records: Vec<u8> = (0..PAGE_BYTES - 128)
            .map(|_| {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                // small values often, so that some kinds and states are valid
                if seed & 0x300 == 0 { (seed % 10) as u8 } else { 0 }
            })
            .collect();
        file.write_all_at(&records, 128).expect("written");
        let reader = Reader::open(&path).expect("the header is whole");
        for line in reader.lines().into_iter().flatten() {
            let _ = line.raw_of(line.at(i64::MAX));
        }
        let _ = reader.best();
    }
}
