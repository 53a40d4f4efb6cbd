//! Every message of `tests/vectors/ptp` reads as its `.expect` says and is written back to the same octets.
//!
//! `UPDATE_EXPECT=1` rewrites the expectations.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use wireloom_ptp::v2::{Body, Flags, Header, Message};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/ptp")
}

fn octets(path: &Path) -> Vec<u8> {
    let text = std::fs::read_to_string(path).expect("a vector is text");
    let digits: String = text.lines().filter(|line| !line.starts_with('#')).collect();
    let digit = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("a vector holds hexadecimal digits");
    (0..digits.len()).step_by(2).map(digit).collect()
}

fn flags(flags: Flags) -> String {
    let names = [
        (Flags::ALTERNATE_MASTER, "alternate-master"),
        (Flags::TWO_STEP, "two-step"),
        (Flags::UNICAST, "unicast"),
        (Flags::LEAP61, "leap61"),
        (Flags::LEAP59, "leap59"),
        (Flags::UTC_OFFSET_VALID, "utc-offset-valid"),
        (Flags::PTP_TIMESCALE, "ptp-timescale"),
        (Flags::TIME_TRACEABLE, "time-traceable"),
        (Flags::FREQUENCY_TRACEABLE, "frequency-traceable"),
    ];
    let set: Vec<_> = names.iter().filter(|(flag, _)| flags.has(*flag)).map(|(_, name)| *name).collect();
    format!("{:04x} {}", flags.0, set.join(" ")).trim_end().to_owned()
}

fn describe(octets: &[u8]) -> String {
    let message = match Message::parse(octets) {
        Ok(message) => message,
        Err(error) => return format!("refused: {error}\n"),
    };
    let Header { domain, source, sequence, control, log_interval, correction, .. } = message.header;
    let mut text = format!(
        "{:?}\ndomain {domain}\nflags {}\ncorrection {} ns\nsource {source}\nsequence {sequence}\ncontrol {control}\n\
         log interval {log_interval}\n",
        message.body.kind(),
        flags(message.header.flags),
        correction.nanos(),
    );
    let mut line = |name: &str, value: &dyn std::fmt::Display| {
        writeln!(text, "{name} {value}").expect("a string grows");
    };
    let time = |time: wireloom_ptp::v2::Timestamp| format!("{}.{:09}", time.seconds(), time.nanos());
    match message.body {
        Body::Sync { origin } | Body::DelayReq { origin } | Body::FollowUp { origin } => {
            line("origin", &time(origin));
        }
        Body::PdelayReq { origin, .. } => line("origin", &time(origin)),
        Body::PdelayResp { receipt, requester } | Body::DelayResp { receipt, requester } => {
            line("receipt", &time(receipt));
            line("requester", &requester);
        }
        Body::PdelayRespFollowUp { origin, requester } => {
            line("origin", &time(origin));
            line("requester", &requester);
        }
        Body::Announce(announce) => {
            line("grandmaster", &announce.grandmaster);
            line("priorities", &format!("{} {}", announce.priority1, announce.priority2));
            let quality = announce.quality;
            let text = format!(
                "class {} accuracy {:#x} variance {:#x}",
                quality.class, quality.accuracy, quality.variance
            );
            line("quality", &text);
            line("steps removed", &announce.steps_removed);
            line("utc offset", &announce.utc_offset);
            line("time source", &format!("{:#x}", announce.time_source));
        }
        Body::Signaling { target } => line("target", &target),
        Body::Management(management) => {
            line("target", &management.target);
            line("hops", &format!("{} {}", management.starting_hops, management.hops));
            line("action", &management.action);
        }
    }
    for tlv in message.tlvs.iter() {
        let value: String = tlv.value.iter().map(|octet| format!("{octet:02x}")).collect();
        line("tlv", &format!("{:?} {value}", tlv.kind));
    }
    let mut emitted = vec![0; octets.len()];
    let length = message.emit(&mut emitted).expect("as long as before");
    assert_eq!(emitted[..length], octets[..length], "what was read is written back");
    text
}

#[test]
fn vectors_read_as_expected_and_are_written_back() {
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let mut wrong = String::new();
    let mut count = 0;
    let mut paths: Vec<_> =
        std::fs::read_dir(directory()).expect("vectors").flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "hex")) {
        count += 1;
        let found = describe(&octets(path));
        let expect = path.with_extension("expect");
        if update {
            std::fs::write(&expect, &found).expect("vectors are writable");
        }
        let expected = std::fs::read_to_string(&expect).unwrap_or_default();
        if found != expected {
            writeln!(wrong, "{}:\n{found}instead of\n{expected}", path.display()).expect("a string grows");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(count >= 29, "{count} vectors");
}

/// A message of every type, as received.
fn corpus() -> Vec<(String, Vec<u8>)> {
    let paths = std::fs::read_dir(directory()).expect("vectors").flatten().map(|entry| entry.path());
    let hex = paths.filter(|path| path.extension().is_some_and(|extension| extension == "hex"));
    hex.map(|path| (path.display().to_string(), octets(&path))).collect()
}

#[test]
fn every_length_from_0_to_200_is_refused_or_read_whole() {
    for (name, message) in corpus() {
        let needed = Message::parse(&message).map(|message| message.length());
        for length in 0..=200 {
            let mut cut = message.clone();
            cut.resize(length, 0xa5);
            match (Message::parse(&cut), needed) {
                (Ok(parsed), Ok(needed)) => {
                    assert!(length >= needed, "{name} cut to {length}");
                    assert_eq!(parsed.length(), needed, "{name} cut to {length}");
                }
                (Err(_), Ok(needed)) => assert!(length < needed, "{name} padded to {length}"),
                // The announcement that lies about its length is read once the octets are there.
                (Ok(parsed), Err(_)) => assert!(length >= parsed.length(), "{name} padded to {length}"),
                (Err(_), Err(_)) => {}
            }
        }
    }
}

#[test]
fn every_announced_length_and_version_is_refused_or_consistent() {
    for (name, message) in corpus().into_iter().filter(|(_, message)| Message::parse(message).is_ok()) {
        for announced in 0..=200_u16 {
            let mut lie = message.clone();
            lie[2..4].copy_from_slice(&announced.to_be_bytes());
            if let Ok(parsed) = Message::parse(&lie) {
                assert_eq!(parsed.length(), usize::from(announced), "{name}");
                assert!(usize::from(announced) <= message.len(), "{name}");
            }
        }
        for version in 0..16 {
            let mut other = message.clone();
            other[1] = version | 0x10;
            assert_eq!(Message::parse(&other).is_ok(), version == 2, "{name} version {version}");
        }
        for kind in 0..16 {
            let mut other = message.clone();
            other[0] = kind;
            if let Ok(parsed) = Message::parse(&other) {
                assert_eq!(parsed.body.kind() as u8, kind, "{name}");
            }
        }
    }
}
