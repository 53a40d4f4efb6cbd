//! Vectors of RTP, RTCP, media clock arithmetic, loss and legs: files in `tests/vectors/rtp`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use wireloom_rtp::rtcp::{self, RtcpPacket, SenderReport};
use wireloom_rtp::{
    BlockPosition, ChannelStatus, Encoding, PacketTime, Placement, RtpHeader, RtpPacket, Subframe, Timeline,
    TimelineConfig, write_header,
};
use wireloom_units::{Channels, MediaIndex, MediaTime, Rate, Samples, Ssrc, TaiTime};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/rtp")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Compares what `render` says about every `.hex` file with the `.expect` beside it; `UPDATE_EXPECT=1` rewrites.
#[test]
fn packets_read_as_their_expect_files_say() {
    let mut checked = 0;
    for entry in std::fs::read_dir(directory()).expect("vectors exist").flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "hex") {
            check(&path);
            checked += 1;
        }
    }
    assert!(checked >= 11, "only {checked} vectors");
}

fn check(path: &Path) {
    let text = read(path);
    let digits: String = text.lines().filter(|line| !line.starts_with('#')).flat_map(str::chars).collect();
    let octets: Vec<u8> = (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal digits"))
        .collect();
    let format = text.lines().find_map(|line| line.strip_prefix("# format: "));
    let rendered = match format {
        Some(format) => render_rtp(&octets, format),
        None => render_rtcp(&octets),
    };
    let expect = path.with_extension("expect");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&expect, &rendered).expect("writable");
    }
    assert_eq!(rendered, read(&expect), "{}", path.display());
}

fn encoding(name: &str) -> Encoding {
    match name {
        "L16" => Encoding::L16,
        "L24" => Encoding::L24,
        "L32" => Encoding::L32,
        "AM824" => Encoding::AM824,
        other => panic!("no encoding {other}"),
    }
}

fn full_scale(encoding: Encoding) -> f32 {
    match encoding {
        Encoding::L16 => 32_768.0,
        Encoding::L24 | Encoding::AM824 => 8_388_608.0,
        Encoding::L32 => 2_147_483_648.0,
    }
}

fn render_rtp(octets: &[u8], format: &str) -> String {
    let mut out = String::new();
    let packet = match RtpPacket::parse(octets) {
        Ok(packet) => packet,
        Err(error) => return format!("{error}\n"),
    };
    let RtpPacket { sequence, time, ssrc, payload_type, marker, payload } = packet;
    writeln!(
        out,
        "sequence {sequence} timestamp {} ssrc {ssrc} type {payload_type} marker {marker}",
        time.to_wire()
    )
    .expect("a string");
    let (name, channels) = format.split_once(' ').expect("encoding and channels");
    let encoding = encoding(name);
    let channels = Channels::new(channels.parse().expect("a number")).expect("1 to 128");
    let mut planar = vec![vec![0.0_f32; 64]; usize::from(channels.count())];
    let frames = match encoding.decode(payload, channels, &mut planar[..]) {
        Ok(frames) => frames,
        Err(error) => return out + &format!("{error}\n"),
    };
    for frame in 0..frames.0 as usize {
        write!(out, "frame {frame}:").expect("a string");
        for (channel, samples) in planar.iter().enumerate() {
            write!(out, " {}", (samples[frame] * full_scale(encoding)) as i64).expect("a string");
            if encoding == Encoding::AM824 {
                let at = 4 * (frame * planar.len() + channel);
                let subframe = Subframe::from_wire(payload[at..at + 4].try_into().expect("four octets"));
                let flags = [
                    ('B', subframe.starts_block()),
                    ('F', subframe.is_first()),
                    ('C', subframe.status()),
                    ('U', subframe.user()),
                    ('V', !subframe.is_valid()),
                ];
                let set: String = flags.iter().filter(|(_, set)| *set).map(|(flag, _)| *flag).collect();
                write!(out, "/{set} parity {}", if subframe.parity_is_even() { "even" } else { "odd" })
                    .expect("a string");
            }
        }
        out.push('\n');
    }
    let status = ChannelStatus::pcm(Rate::HZ_48000);
    let mut again = write_header(&RtpHeader { sequence, time, ssrc, payload_type }).to_vec();
    let mut encoded = vec![0; payload.len()];
    let block = BlockPosition { at: MediaIndex(0), status: &status };
    encoding.encode(&planar[..], channels, frames, block, &mut encoded).expect("same size");
    again.extend_from_slice(&encoded);
    writeln!(out, "written again: {}", if again == octets { "the same" } else { "differs" })
        .expect("a string");
    out
}

fn render_rtcp(octets: &[u8]) -> String {
    let mut out = String::new();
    let mut report = None;
    let mut name: &[u8] = &[];
    let mut bye = None;
    for packet in rtcp::parse(octets) {
        match packet.expect("a vector parses") {
            RtcpPacket::SenderReport(sender) => {
                let SenderReport { ssrc, ntp, time, packets, octets } = sender;
                writeln!(
                    out,
                    "SR {ssrc} ntp {:08x}.{:08x} timestamp {} packets {packets} octets {octets}",
                    ntp.seconds,
                    ntp.fraction,
                    time.to_wire()
                )
                .expect("a string");
                report = Some(sender);
            }
            RtcpPacket::SourceDescription { ssrc, cname } => {
                writeln!(out, "SDES {ssrc} cname {}", String::from_utf8_lossy(cname)).expect("a string");
                name = cname;
            }
            RtcpPacket::ReceiverReport { ssrc } => writeln!(out, "RR {ssrc}").expect("a string"),
            RtcpPacket::Bye(sources) => {
                bye = sources.iter().next();
                sources.iter().for_each(|ssrc| writeln!(out, "BYE {ssrc}").expect("a string"));
            }
            other => writeln!(out, "{other:?}").expect("a string"),
        }
    }
    let mut again = [0; 128];
    let length = match (report, bye) {
        (Some(report), _) => rtcp::write_sender_report(&report, name, &mut again),
        (None, Some(ssrc)) => rtcp::write_bye(ssrc, &mut again),
        (None, None) => Ok(0),
    };
    let same = again[..length.expect("has room")] == *octets;
    writeln!(out, "written again: {}", if same { "the same" } else { "differs" }).expect("a string");
    out
}

/// The rows of a table, split at blanks.
fn table(name: &str) -> Vec<Vec<String>> {
    let text = read(&directory().join(name));
    let rows: Vec<Vec<String>> = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| line.split_whitespace().map(String::from).collect())
        .collect();
    assert!(!rows.is_empty(), "{name} is empty");
    rows
}

fn number(text: &str) -> u64 {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).expect("hexadecimal"),
        None => text.parse().expect("decimal"),
    }
}

fn numbers(row: &[String]) -> Vec<u64> {
    row.iter().map(|cell| number(cell)).collect()
}

fn rate(hz: u64) -> Rate {
    Rate::from_hz(u32::try_from(hz).expect("32 bits")).expect("a rate")
}

#[test]
fn media_clock_is_exact() {
    for row in table("media-clock.table") {
        let [seconds, nanos, hz, offset, index, timestamp] = numbers(&row)[..] else { panic!("{row:?}") };
        let time = TaiTime::from_parts(seconds, nanos as u32).expect("an instant");
        let media = rate(hz).index_at(time);
        assert_eq!(media, MediaIndex(index), "{row:?}");
        assert_eq!(u64::from(media.media_time(offset as u32).to_wire()), timestamp, "{row:?}");
    }
}

#[test]
fn timestamps_unwrap_next_to_now() {
    for row in table("unwrap.table") {
        let [timestamp, offset, now, index] = numbers(&row)[..] else { panic!("{row:?}") };
        let time = MediaTime::from_wire(timestamp as u32);
        assert_eq!(MediaIndex(now).nearest(time, offset as u32), MediaIndex(index), "{row:?}");
    }
}

#[test]
fn packet_times_give_the_frames_that_peers_send() {
    for row in table("packet-times.table") {
        let [micros, hz, frames] = numbers(&row)[..] else { panic!("{row:?}") };
        let time = PacketTime::from_micros(micros as u32);
        assert_eq!(time.frames(rate(hz)), Some(Samples(frames as u32)), "{row:?}");
    }
    assert_eq!(PacketTime::from_micros(0).frames(Rate::HZ_48000), None);
    assert_eq!(PacketTime::from_micros(u32::MAX).frames(rate(768_000)), Some(Samples(3_298_534_883)));
    assert_eq!(PacketTime::from_micros(10_667).frames(Rate::HZ_48000), Some(Samples(512)));
}

#[test]
fn packets_hold_as_many_channels_as_fit() {
    for row in table("max-channels.table") {
        let frames = Samples(number(&row[0]) as u32);
        let encodings = [Encoding::L16, Encoding::L24, Encoding::L32, Encoding::AM824];
        for (encoding, cell) in encodings.into_iter().zip(&row[1..]) {
            let most = cell.parse().ok().and_then(Channels::new);
            assert_eq!(PacketTime::max_channels(frames, encoding), most, "{row:?} {encoding:?}");
        }
    }
    assert_eq!(PacketTime::max_channels(Samples(0), Encoding::L16), None);
}

fn mono() -> Timeline {
    Timeline::new(TimelineConfig {
        encoding: Encoding::L16,
        channels: Channels::new(1).expect("one"),
        rate: Rate::HZ_48000,
        payload_type: 97,
        offset: Some(0),
        capacity: Samples(1 << 17),
        history: Samples(0),
    })
    .expect("fits")
}

/// Feeds a one-frame packet whose timestamp moves with its sequence number, which goes on after 65535.
fn feed(timeline: &mut Timeline, leg: u8, number: u32) -> Placement {
    let packet = RtpPacket {
        sequence: number as u16,
        time: MediaTime::from_wire(100_000 + number),
        ssrc: Ssrc(1),
        payload_type: 97,
        marker: false,
        payload: &[1, 2],
    };
    timeline.handle_packet(MediaIndex(100_000 + u64::from(number)), leg, &packet)
}

#[test]
fn loss_is_counted_as_the_table_says() {
    for row in table("loss.table") {
        let split = row.iter().position(|cell| cell == "->").expect("an arrow");
        let mut timeline = mono();
        let mut received = 0;
        for sequence in numbers(&row[..split]) {
            let wrapped = if sequence < 32_768 { 65_536 } else { 0 };
            feed(&mut timeline, 0, sequence as u32 + wrapped);
            received += 1;
        }
        let counters = timeline.counters();
        let counted = [received, counters.lost, counters.reordered, counters.duplicates];
        assert_eq!(counted[..], numbers(&row[split + 1..]), "{row:?}");
        assert_eq!(timeline.leg(0).received, received, "{row:?}");
    }
}

#[test]
fn legs_are_merged_and_counted_as_the_table_says() {
    for row in table("legs.table") {
        let split = row.iter().position(|cell| cell == "->").expect("an arrow");
        let mut timeline = mono();
        for cell in &row[..split] {
            let (leg, sequence) = cell.split_at(1);
            feed(&mut timeline, u8::from(leg == "B"), number(sequence) as u32);
        }
        let counters = timeline.counters();
        let (a, b) = (timeline.leg(0), timeline.leg(1));
        let counted = [counters.lost, counters.duplicates, a.only_here, b.only_here];
        assert_eq!(counted[..], numbers(&row[split + 1..]), "{row:?}");
        assert_eq!(a.received + b.received, split as u64);
    }
}

#[test]
fn ntp_time_follows_utc() {
    let time = TaiTime::from_parts(1_767_225_637, 500_000_000).expect("an instant");
    let ntp = rtcp::NtpTime::from_tai(time, 37);
    assert_eq!((ntp.seconds, ntp.fraction), (0xed00_3780, 0x8000_0000));
}
