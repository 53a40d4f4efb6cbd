//! Every file of `tests/vectors/sdp` against its `.expect`, every one cut at every length, and the lines that
//! must not hurt. `UPDATE_EXPECT=1` rewrites the expectations; what it writes is to be checked by eye.

use std::{fmt::Write as _, fs, path::PathBuf};

use wireloom_sdp::{Document, Kind, MediaClock, Parsed, Reason, RefClk, Refusal, Stream, read};

fn vectors() -> Vec<(String, PathBuf)> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/sdp");
    let mut files: Vec<_> = fs::read_dir(directory)
        .expect("the vectors are part of the source")
        .map(|entry| entry.expect("a readable directory").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sdp"))
        .map(|path| (path.file_stem().expect("has a name").to_string_lossy().into_owned(), path))
        .collect();
    files.sort();
    assert!(files.len() >= 26, "the examples are there");
    files
}

#[test]
fn every_description_is_read_as_expected() {
    let mut wrong = Vec::new();
    for (name, path) in vectors() {
        let found = describe(&read(&fs::read(&path).expect("readable")));
        let expect = path.with_extension("expect");
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            fs::write(&expect, &found).expect("writable");
        }
        let expected = fs::read_to_string(&expect).unwrap_or_default();
        if found != expected {
            wrong.push(format!("{name}: found\n{found}\nexpected\n{expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_ssrc_is_known_when_exactly_one_is_named() {
    let text = |lines: [&str; 2]| {
        let leg = |number: u8, line: &str| {
            format!(
                "m=audio 5004 RTP/AVP 98\r\nc=IN IP4 239.69.{number}.1/32\r\na=mid:{number}\r\n\
                 a=rtpmap:98 L24/48000/2\r\na=ptime:1\r\n{line}"
            )
        };
        let head = "v=0\r\no=- 1 1 IN IP4 192.0.2.10\r\ns=Stage\r\nt=0 0\r\na=group:DUP 1 2\r\n";
        format!("{head}{}{}", leg(1, lines[0]), leg(2, lines[1]))
    };
    let (five, six) = ("a=ssrc:5 cname:x\r\n", "a=ssrc:6\r\n");
    for (lines, ssrc, warned) in [
        (["", ""], None, false),
        ([five, five], Some(5), false),
        ([five, ""], Some(5), false),
        (["a=ssrc:5 cname:x\r\na=ssrc:5 label:y\r\n", five], Some(5), false),
        ([five, six], None, false),
        (["a=ssrc:5 cname:x\r\na=ssrc:6 cname:x\r\n", ""], None, false),
        (["a=ssrc:4294967296 cname:x\r\n", ""], None, true),
        (["a=ssrc:\r\n", ""], None, true),
    ] {
        let parsed = read(text(lines).as_bytes()).expect("readable");
        assert_eq!((parsed.streams.len(), parsed.streams[0].legs.len()), (1, 2), "{lines:?}");
        assert_eq!(parsed.streams[0].ssrc.map(|ssrc| ssrc.0), ssrc, "{lines:?}");
        let is_about = |warning: &&wireloom_sdp::Warning| warning.to_string().contains("SSRC");
        assert_eq!(parsed.warnings.iter().find(is_about).is_some(), warned, "{lines:?}");
    }
}

#[test]
fn every_line_survives_parsing_and_emitting() {
    for (name, path) in vectors() {
        let (document, _) = Document::parse(&fs::read(&path).expect("readable"));
        let (again, warnings) = Document::parse(document.emit().as_bytes());
        assert_eq!(again, document, "{name}");
        assert_eq!(warnings, [], "{name}");
        assert_eq!(
            read(document.emit().as_bytes()).is_ok(),
            read(&fs::read(&path).expect("readable")).is_ok()
        );
    }
}

#[test]
fn every_truncation_is_read_or_refused() {
    for (name, path) in vectors() {
        let bytes = fs::read(&path).expect("readable");
        for length in 0..bytes.len() {
            match read(&bytes[..length]) {
                Ok(parsed) => assert!(!parsed.streams.is_empty(), "{name} cut at {length}"),
                Err(refusal) => assert!(!refusal.to_string().is_empty()),
            }
        }
    }
}

fn describe(result: &Result<Parsed, Refusal>) -> String {
    let mut text = String::new();
    let warnings = match result {
        Ok(parsed) => {
            for stream in &parsed.streams {
                describe_stream(&mut text, stream);
            }
            &parsed.warnings
        }
        Err(refusal) => {
            writeln!(text, "refused {}: {refusal}", refusal.reason.kind().as_str()).expect("to a string");
            writeln!(text, "  name {:?}", refusal.name).expect("to a string");
            &refusal.warnings
        }
    };
    for warning in warnings {
        writeln!(text, "warning {warning}").expect("to a string");
    }
    text
}

fn describe_stream(text: &mut String, stream: &Stream) {
    let mut row = |row: String| writeln!(text, "{row}").expect("to a string");
    row(format!("stream {:?}", stream.name));
    row(format!("  key {}", stream.key()));
    let Stream { encoding, rate, channels, payload_type, .. } = stream;
    let doubt = if stream.payload_type_doubtful { " doubtful" } else { "" };
    row(format!("  format {encoding}, {rate}, {channels}, payload type {payload_type}{doubt}"));
    if let Some(ssrc) = stream.ssrc {
        row(format!("  ssrc {ssrc}"));
    }
    let declared = stream.ptime.map_or("undeclared".into(), |time| format!("{} ns", time.0));
    row(format!(
        "  packet {} (largest {}), {declared}, {} octets",
        stream.samples_per_packet.0,
        stream.max_samples_per_packet.0,
        stream.payload_octets()
    ));
    for leg in &stream.legs {
        let mut line = format!("  leg {} {}", leg.address, leg.port);
        if let Some(ttl) = leg.ttl {
            line += &format!(" ttl {ttl}");
        }
        for source in &leg.sources {
            line += &format!(" from {source}");
        }
        for source in &leg.excluded {
            line += &format!(" not from {source}");
        }
        if let Some(near) = leg.near.filter(|near| !leg.sources.contains(near)) {
            line += &format!(" near {near}");
        }
        row(line);
    }
    row(format!("  delivery {:?}{}", stream.delivery, if stream.paused { ", paused" } else { "" }));
    for (clock, value) in stream.refclk.iter().zip(&stream.refclk_text) {
        row(format!("  clock {value} = {}", describe_clock(clock)));
    }
    if let Some(domain) = stream.clock_domain {
        row(format!("  clock domain {domain}"));
    }
    row(match stream.media_clock {
        MediaClock::Direct(offset) => format!("  offset {offset}"),
        other => format!("  offset {other:?}"),
    });
    if !stream.labels.is_empty() {
        row(format!("  labels {}", stream.labels.join(" | ")));
    }
    if !stream.symbols.is_empty() {
        row(format!("  symbols {:?}", stream.symbols));
    }
    if stream.vendor != wireloom_sdp::Vendor::default() {
        row(format!("  vendor {:?}", stream.vendor));
    }
}

fn describe_clock(clock: &RefClk) -> String {
    match clock {
        RefClk::Ptp { version, identity, domain, widened } => {
            let identity = identity.map_or("of unknown identity".into(), |identity| identity.to_string());
            let domain = domain.map_or(String::new(), |domain| format!(" domain {domain}"));
            format!("PTP {version:?} {identity}{domain}{}", if *widened { " widened" } else { "" })
        }
        other => format!("{other:?}"),
    }
}

const E1: &str = include_str!("../../../tests/vectors/sdp/e01-neutral.sdp");

/// E1 with one more line at its end, and with the line in the place of the one that it repeats.
fn spoiled(line: &str) -> [String; 2] {
    let name = line.split_once(':').map_or(&line[..2], |(name, _)| name);
    let replaced: Vec<&str> = E1.lines().filter(|kept| !kept.starts_with(name)).collect();
    [format!("{E1}{line}\r\n"), format!("{}\r\n{line}\r\n", replaced.join("\r\n"))]
}

#[test]
fn senseless_packet_times_are_left_to_the_packets() {
    for line in ["a=ptime:-1", "a=ptime:nan", "a=ptime:1e9", "a=ptime:"] {
        for text in spoiled(line) {
            let stream = &read(text.as_bytes()).expect(line).streams[0];
            assert_eq!((stream.ptime, stream.samples_per_packet.0), (None, 48), "{line}");
        }
    }
}

#[test]
fn senseless_codec_lines_are_refused() {
    for map in ["L24/0/2", "L24/48000/0", "L24/48000/100000", "L24/4294967297/2"] {
        let text = format!("{E1}a=rtpmap:97 {map}\r\n");
        assert_eq!(read(text.as_bytes()).expect(map).streams[0].channels.count(), 8, "{map}");
        let text = E1.replace("L24/48000/8", map);
        assert_eq!(read(text.as_bytes()).expect_err(map).reason.kind(), Kind::Format, "{map}");
    }
}

#[test]
fn an_offset_out_of_range_is_unknown() {
    for text in spoiled("a=mediaclk:direct=18446744073709551616") {
        assert_eq!(read(text.as_bytes()).expect("playable").streams[0].media_clock, MediaClock::Unknown);
    }
}

#[test]
fn senseless_media_lines_are_skipped() {
    for line in ["m=audio 99999 RTP/AVP 97", "m=audio 5004"] {
        let parsed = read(format!("{E1}{line}\r\n").as_bytes()).expect(line);
        assert_eq!((parsed.streams.len(), parsed.warnings.len()), (1, 1), "{line}");
    }
    let reason = |line: &str| {
        let text = E1.replace("m=audio 5004 RTP/AVP 98", line);
        read(text.as_bytes()).expect_err(line).reason
    };
    let refused = |line: &str| reason(line).kind();
    assert_eq!(refused("m=audio 99999 RTP/AVP 98"), Kind::Address);
    assert_eq!(refused("m=audio 5004"), Kind::NoAudio);
    assert_eq!(refused("m=video 5004 RTP/AVP 98"), Kind::NoAudio);
    assert_eq!(refused("m=audio 5004 RTP/SAVP 98"), Kind::Format);
    // Who sends video means no audio; who writes half a line about audio does.
    assert_eq!(reason("m=video 5004 RTP/AVP 98"), Reason::OtherMedia);
    assert_eq!(reason("m=video 5004 RTP/AVP 98\r\nm=audio 5004"), Reason::NoAudio);
    assert_eq!(reason("b=AS:1"), Reason::NoAudio);
}

#[test]
fn unusable_addresses_are_refused() {
    for address in ["0.0.0.0", "255.255.255.255", "224.0.0.1", "127.0.0.1", "desk.local", "239.x.x.x"] {
        for text in spoiled(&format!("c=IN IP4 {address}")) {
            assert_eq!(read(text.as_bytes()).expect_err(address).reason.kind(), Kind::Address, "{address}");
        }
    }
    for text in spoiled("c=IN IP4 239.69.10.1/32/4294967295") {
        let stream = &read(text.as_bytes()).expect("first address").streams[0];
        assert_eq!((stream.legs.len(), stream.legs[0].ttl), (1, Some(32)));
    }
}

#[test]
fn a_group_that_repeats_itself_is_one_leg() {
    let text = E1.replace("t=0 0\r\n", "t=0 0\r\na=group:DUP a a a a a\r\n") + "a=mid:a\r\n";
    let parsed = read(text.as_bytes()).expect("playable");
    assert_eq!((parsed.streams.len(), parsed.streams[0].legs.len()), (1, 1));
}

#[test]
fn a_flood_of_attributes_keeps_what_came_before() {
    let flood = "a=x-flood:1\r\n".repeat(10_000);
    assert_eq!(read(format!("{E1}{flood}").as_bytes()).expect("the head is whole").streams.len(), 1);
    let text = E1.replace("t=0 0\r\n", &format!("t=0 0\r\n{flood}"));
    assert_eq!(read(text.as_bytes()).expect_err("m= is out of reach").reason.kind(), Kind::Limit);
    let text = E1.replace("a=rtpmap", &format!("{}a=rtpmap", "a=x:1\r\n".repeat(64)));
    assert_eq!(read(text.as_bytes()).expect_err("rtpmap is out of reach").reason.kind(), Kind::Limit);
}

#[test]
fn names_are_cleaned_for_display_and_kept_for_matching() {
    let text = E1.replace("s=Stage box", "s=Stage\u{202e} \u{1b}[2Jbox");
    let stream = &read(text.as_bytes()).expect("playable").streams[0];
    assert_eq!(stream.name, "Stage [2Jbox L : mics 1-8");
    assert!(stream.raw_name.starts_with("Stage\u{202e} \u{1b}[2Jbox"));
}

#[test]
fn nothing_is_a_description_of_nothing() {
    for (bytes, kind) in [
        (&b""[..], Kind::NotSdp),
        (b"\0\0\0", Kind::NotSdp),
        (b"<html><body class=x>\n", Kind::NotSdp),
        (b"v=1\no=- 1 1 IN IP4 192.0.2.1\nm=audio 5004 RTP/AVP 10\nc=IN IP4 239.1.1.1", Kind::NotSdp),
        (b"v=0\n", Kind::NoAudio),
        (b"v=0\nm=audio 5004 RTP/AVP 10\n", Kind::Address),
        (b"v=0\nm=audio 0 RTP/AVP 10\nc=IN IP4 239.1.1.1", Kind::Address),
        (b"v=0\nm=audio 5004 RTP/AVP 0\nc=IN IP4 239.1.1.1", Kind::Format),
        (b"v=0\nm=audio 5004 RTP/AVP 10\nc=IN IP6 239.1.1.1", Kind::Address),
        (b"v=0\nm=audio 5004 RTP/AVP 10\nc=IN IP4 239.1.1.1\na=ptime:20\n", Kind::Limit),
    ] {
        assert_eq!(read(bytes).expect_err("nothing playable").reason.kind(), kind, "{bytes:?}");
    }
}

/// What is sent under PCM's name and is none would be full-scale noise.
#[test]
fn what_is_encrypted_is_not_played() {
    let privacy = |protocol: &str| {
        format!(
            "a=privacy:protocol={protocol}; mode=AES-128-CTR; iv=00112233aabbccdd; \
             key_generator=000102030405060708090a0b0c0d0e0f; key_version=00000001; key_id=0011223344556677\r\n"
        )
    };
    for protocol in ["RTP", "rtp_kv"] {
        let line = privacy(protocol);
        for text in [format!("{E1}{line}"), E1.replace("t=0 0\r\n", &format!("t=0 0\r\n{line}"))] {
            let refusal = read(text.as_bytes()).expect_err(protocol);
            assert_eq!(refusal.reason.kind(), Kind::Format);
            assert!(refusal.to_string().contains("encrypted"), "{refusal}");
            assert!(refusal.line.is_some());
        }
    }
    let plain = read(format!("{E1}{}", privacy("NULL")).as_bytes()).expect("said not to be encrypted");
    assert_eq!(plain.warnings, []);
    // HDCP comes and goes with what is played, its attribute says only that it can.
    let line = "a=hkep:27000 IN IP4 192.0.2.10 0f2d6c1e-1b7a-4c55-9d0e-2a6b8f9c4d31 02-00-00-00-01";
    let parsed = read(E1.replace("t=0 0", &format!("t=0 0\r\n{line}")).as_bytes()).expect("playable");
    let warnings: Vec<String> = parsed.warnings.iter().map(ToString::to_string).collect();
    assert!(matches!(&*warnings, [only] if only.contains("HDCP")), "{warnings:?}");
}

#[test]
fn a_deviation_of_one_is_none() {
    for (value, deviates) in
        [("1001/1000", true), ("1000/1001", true), ("1/1", false), (" 1000 / 1000 ", false), ("fast", true)]
    {
        let parsed = read(format!("{E1}a=clock-deviation:{value}\r\n").as_bytes()).expect("playable");
        assert_eq!(parsed.streams[0].clock_deviates, deviates, "{value}");
        assert_eq!(parsed.warnings.len(), usize::from(deviates), "{value}");
    }
}

#[test]
fn a_media_clock_without_an_offset_leaves_it_to_sync_time_or_the_packets() {
    let read = |line: &str| {
        let text = E1.replace("a=mediaclk:direct=0", line);
        let parsed = read(text.as_bytes()).expect("playable");
        let warnings: Vec<String> = parsed.warnings.iter().map(ToString::to_string).collect();
        (parsed.streams[0].media_clock, warnings.join("; "))
    };
    let learned = "no media clock offset, learned from packets".to_owned();
    assert_eq!(read("a=mediaclk:direct"), (MediaClock::Unknown, learned.clone()));
    assert_eq!(read("a=mediaclk:direct rate=48000/1"), (MediaClock::Unknown, learned));
    let (clock, warnings) = read("a=mediaclk:direct\r\na=sync-time:77");
    assert_eq!((clock, warnings.contains("sync-time")), (MediaClock::Direct(77), true));
    // One that is said, or said to be none, is not overruled.
    assert_eq!(read("a=mediaclk:direct=5\r\na=sync-time:77").0, MediaClock::Direct(5));
    assert_eq!(read("a=mediaclk:sender\r\na=sync-time:77").0, MediaClock::Sender);
    assert_eq!(read("a=mediaclk:direct=4294967296\r\na=sync-time:77").0, MediaClock::Unknown);
}
