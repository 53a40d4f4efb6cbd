//! What we write is read back equal, and lines survive whatever they are.

use std::net::IpAddr;

use proptest::prelude::*;
use wireloom_sdp::{
    Description, Document, Encoding, Flavour, Leg, MediaClock, PtpVersion, RefClk, SapPacket, Stream,
    WriteError, for_display, read, write,
};
use wireloom_units::{Channels, ClockIdentity, Rate, Samples};

fn stage_box() -> Description {
    let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
    Description {
        user: "-".into(),
        session_id: 3_976_321_001,
        version: 3_976_321_004,
        origin: ip("192.0.2.10"),
        name: "Stage box L : mics 1-8".into(),
        labels: ["Kick", "Snare", "HH", "T1", "T2", "OH L", "OH R", "Talk"].map(Into::into).into(),
        encoding: Encoding::L24,
        rate: Rate::HZ_48000,
        channels: Channels::new(8).expect("in range"),
        payload_type: 98,
        samples_per_packet: Samples(48),
        legs: vec![Leg {
            address: ip("239.69.10.1"),
            port: 5004,
            ttl: Some(32),
            sources: vec![ip("192.0.2.10")],
            excluded: vec![],
            near: None,
        }],
        refclk: Some(RefClk::Ptp {
            version: PtpVersion::V2,
            identity: Some(ClockIdentity([2, 0, 0, 0xff, 0xfe, 0, 0, 1])),
            domain: Some(0),
            widened: false,
        }),
        media_clock: MediaClock::Direct(0),
        paused: false,
        oat: String::new(),
    }
}

#[test]
fn the_flavours_are_the_published_examples() {
    let neutral = include_str!("../../../tests/vectors/sdp/e01-neutral.sdp");
    assert_eq!(write(&stage_box(), Flavour::Neutral).as_deref(), Ok(neutral));
    let dante = neutral
        .replace("a=recvonly\r\n", "a=keywds:Dante\r\na=recvonly\r\n")
        .replace("a=source-filter: incl IN IP4 239.69.10.1 192.0.2.10\r\n", "")
        .replace("AVP 98", "AVP 97")
        .replace("rtpmap:98", "rtpmap:97");
    let ravenna = neutral
        .replace(
            "t=0 0\r\na=recvonly\r\n",
            "t=0 0\r\na=clock-domain:PTPv2 0\r\n\
             a=ts-refclk:ptp=IEEE1588-2008:02-00-00-FF-FE-00-00-01:0\r\na=mediaclk:direct=0\r\n",
        )
        .replace("AVP 98\r\n", "AVP 98\r\nc=IN IP4 239.69.10.1/32\r\n")
        .replace(
            "a=ptime:1\r\n",
            "a=clock-domain:PTPv2 0\r\na=sync-time:0\r\na=framecount:48\r\na=ptime:1\r\n",
        )
        + "a=recvonly\r\n";
    assert_eq!(write(&stage_box(), Flavour::Ravenna), Ok(ravenna));
    let st2110 = neutral
        .replace("c=IN IP4 239.69.10.1/32\r\n", "")
        .replace("a=recvonly\r\n", "")
        .replace("AVP 98\r\n", "AVP 97\r\nc=IN IP4 239.69.10.1/32\r\n")
        .replace(
            "a=rtpmap:98 L24/48000/8\r\n",
            "a=rtpmap:97 L24/48000/8\r\n\
             a=fmtp:97 channel-order=SMPTE2110.(U08); TSMODE=SAMP; TSDELAY=1000\r\n",
        );
    let payload_type = Flavour::St2110.payload_type(stage_box().channels);
    assert_eq!(write(&Description { payload_type, ..stage_box() }, Flavour::St2110), Ok(st2110));
    let payload_type = Flavour::DanteFriendly.payload_type(stage_box().channels);
    let description = Description { payload_type, ..stage_box() };
    assert_eq!(write(&description, Flavour::DanteFriendly), Ok(dante));
}

#[test]
fn what_cannot_be_carried_is_not_written() {
    let refused = |change: fn(&mut Description)| {
        let mut description = stage_box();
        change(&mut description);
        write(&description, Flavour::Neutral).expect_err("refused")
    };
    assert_eq!(refused(|d| d.legs.clear()), WriteError::Legs(0));
    assert_eq!(refused(|d| d.legs[0].port = 0), WriteError::Port);
    assert_eq!(refused(|d| d.payload_type = 128), WriteError::PayloadType(128));
    assert_eq!(refused(|d| d.samples_per_packet = Samples(96)), WriteError::PacketSize(2304));
    let at_44100 = |d: &mut Description| (d.rate, d.samples_per_packet) = (Rate::HZ_44100, Samples(44));
    assert_eq!(refused(at_44100), WriteError::PacketTime(44), "1 ms at 44.1 kHz is read as 48 frames");
    assert_eq!(refused(|d| d.samples_per_packet = Samples(u32::MAX)), WriteError::PacketSize(u32::MAX));
}

fn flavours() -> impl Strategy<Value = Flavour> {
    prop::sample::select(vec![Flavour::Neutral, Flavour::DanteFriendly, Flavour::Ravenna, Flavour::St2110])
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(description in descriptions(), flavour in flavours()) {
        let text = match write(&description, flavour) {
            Ok(text) => text,
            Err(WriteError::PacketSize(octets)) => {
                prop_assert!(octets > 1440);
                return Ok(());
            }
            // What RAVENNA, ST 2110 and OAT say of each leg does not fit for three and more.
            Err(WriteError::TooLong(_))
                if matches!(flavour, Flavour::Ravenna | Flavour::St2110) || !description.oat.is_empty() =>
            {
                prop_assert!(description.legs.len() > 2);
                return Ok(());
            }
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        };
        prop_assert!(text.len() <= 1400 && (text.len() <= 1024 || description.legs.len() > 1));
        prop_assert!(text.ends_with("\r\n") && !text.replace("\r\n", "").contains(['\r', '\n']));
        let parsed = read(text.as_bytes()).expect("ours");
        prop_assert_eq!(parsed.streams.len(), 1);
        let stream = &parsed.streams[0];
        let labels = if text.contains("\r\ni=") { description.labels.clone() } else { vec![] };
        let mut expected = Description { labels, ..description };
        for leg in &mut expected.legs {
            if flavour == Flavour::DanteFriendly {
                leg.sources.clear();
            }
        }
        prop_assert_eq!(back(stream), expected);
    }

    #[test]
    fn lines_survive(lines in prop::collection::vec("[a-z] ?= ?[ -~é]{0,40}", 0..20)) {
        let (document, warnings) = Document::parse(lines.join("\n").as_bytes());
        prop_assert_eq!(warnings, vec![]);
        let (again, _) = Document::parse(document.emit().as_bytes());
        prop_assert_eq!(&again, &document);
        let count = document.media.iter().map(|section| section.lines.len()).sum::<usize>();
        prop_assert_eq!(document.session.lines.len() + count, lines.len());
    }

    #[test]
    fn packets_survive(delete: bool, hash: u16, v6: bool, host: u32, text in "v=0[ -~]{0,100}") {
        let origin = if v6 { IpAddr::from((u128::from(host) << 64).to_be_bytes()) } else { host.to_be_bytes().into() };
        let packet = SapPacket { delete, is_version_0: false, hash, origin, payload: text.into_bytes().into() };
        let bytes = packet.emit();
        prop_assert_eq!(SapPacket::parse(&bytes), Ok(packet));
    }

    #[test]
    fn texts_for_display_are_short_and_stay_as_they_are(text: String) {
        let shown = for_display(&text);
        prop_assert!(shown.chars().count() <= 128 && !shown.chars().any(char::is_control));
        prop_assert_eq!(for_display(&shown), shown.clone());
    }
}

/// What a reading says, in the words of a writer.
fn back(stream: &Stream) -> Description {
    let legs = stream.legs.iter().map(|leg| Leg { near: None, ..leg.clone() });
    Description {
        user: stream.origin.user.clone(),
        session_id: stream.origin.session_id.parse().expect("a number"),
        version: stream.origin.version.parse().expect("a number"),
        origin: stream.origin.ip().expect("an address"),
        name: stream.name.clone(),
        labels: stream.labels.clone(),
        encoding: stream.encoding,
        rate: stream.rate,
        channels: stream.channels,
        payload_type: stream.payload_type,
        samples_per_packet: stream.samples_per_packet,
        legs: legs.collect(),
        refclk: stream.refclk.first().copied(),
        media_clock: stream.media_clock,
        paused: stream.paused,
        oat: stream.vendor.oat.clone(),
    }
}

fn descriptions() -> impl Strategy<Value = Description> {
    let encodings = prop::sample::select(vec![Encoding::L16, Encoding::L24, Encoding::L32, Encoding::AM824]);
    let rates = prop::sample::select(vec![44_100, 48_000, 88_200, 96_000, 176_400, 192_000]);
    let frames = prop::sample::select(vec![4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 240]);
    let format = (encodings, rates, frames, 1..=16_u16, 96..=127_u8, any::<bool>());
    let texts = (
        "[a-zA-Z0-9-]{1,12}",
        "[^\\p{C}\\s]([^\\p{C}\\p{Z}]| ){0,30}[^\\p{C}\\s]",
        any::<u64>(),
        any::<u64>(),
        "[a-zA-Z0-9 ]{0,12}[a-z]",
    );
    let clocks = (any::<Option<u32>>(), refclks(), any::<u8>(), any::<bool>(), 1..=4_usize);
    (format, texts, clocks).prop_map(|(format, texts, (offset, refclk, host, v6, count))| {
        let (encoding, hz, frames, channels, payload_type, named) = format;
        let (user, name, session_id, version, label) = texts;
        let channels = Channels::new(channels).expect("in range");
        let address = |kind: u8, n: u8| -> IpAddr {
            if v6 {
                [0xff15, 0, 0, 0, 0, 0, u16::from(kind), u16::from(n) + 1].into()
            } else {
                [kind, 69, n, host].into()
            }
        };
        let legs = (0..count as u8).map(|n| Leg {
            address: address(239, n),
            port: 5004 + 2 * u16::from(n),
            ttl: (!v6).then_some(host),
            sources: if host % 2 == 0 { vec![] } else { vec![source(v6, n)] },
            excluded: vec![],
            near: None,
        });
        Description {
            user,
            session_id,
            version,
            origin: source(v6, 0),
            name,
            labels: if named {
                (0..channels.count()).map(|n| format!("{label}{n}").trim().into()).collect()
            } else {
                vec![]
            },
            encoding,
            rate: Rate::from_hz(hz).expect("in range"),
            channels,
            payload_type,
            samples_per_packet: Samples(frames),
            legs: legs.collect(),
            refclk,
            media_clock: offset.map_or(MediaClock::Sender, MediaClock::Direct),
            paused: host % 3 == 0,
            oat: if host % 5 == 0 { "1 sid=7 sub=udp ctl=http:80".into() } else { String::new() },
        }
    })
}

fn source(v6: bool, n: u8) -> IpAddr {
    if v6 { [0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(n) + 1].into() } else { [192, 0, 2, n + 1].into() }
}

fn refclks() -> impl Strategy<Value = Option<RefClk>> {
    // All zeros and all ones are read as no identity.
    let ptp =
        (1..=254_u8, any::<[u8; 7]>(), any::<u8>()).prop_map(|(first, [a, b, c, d, e, f, g], domain)| {
            RefClk::Ptp {
                version: PtpVersion::V2,
                identity: Some(ClockIdentity([first, a, b, c, d, e, f, g])),
                domain: Some(domain),
                widened: false,
            }
        });
    let other = prop_oneof![
        Just(RefClk::PtpTraceable),
        any::<[u8; 6]>().prop_map(RefClk::LocalMac),
        Just(RefClk::Free)
    ];
    prop::option::of(prop_oneof![ptp, other])
}
