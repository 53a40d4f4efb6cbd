//! The SAP vectors, truncations, deletions, silence, and floods, in virtual time.

use std::{fs, net::IpAddr, path::PathBuf};

use wireloom_sdp::{
    Change, Gone, SapError, SapEvent, SapListener, SapPacket, State, StreamId, Via, message_hash,
};
use wireloom_units::Nanos;

const SENDER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 10));
const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 66));

fn vector(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/sap").join(name);
    let text = fs::read_to_string(path.with_extension("hex")).expect("the vector is part of the source");
    let digits: Vec<u32> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(str::chars)
        .map(|digit| digit.to_digit(16).expect("hexadecimal"))
        .collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).expect("an octet")).collect()
}

fn events(listener: &mut SapListener) -> Vec<SapEvent> {
    std::iter::from_fn(|| listener.poll_event()).collect()
}

fn announced(sdp: &str, hash: u16) -> Vec<u8> {
    SapPacket { delete: false, is_version_0: false, hash, origin: SENDER, payload: sdp.as_bytes().into() }
        .emit()
}

fn deleted(sdp: &str, hash: u16) -> Vec<u8> {
    SapPacket { delete: true, is_version_0: false, hash, origin: SENDER, payload: sdp.as_bytes().into() }
        .emit()
}

/// A description whose session, version and group are chosen.
fn sdp(session: u32, version: u32, group: u32) -> String {
    let [_, a, b, c] = group.to_be_bytes();
    format!(
        "v=0\r\no=- {session} {version} IN IP4 192.0.2.10\r\ns=Stage {session}\r\nc=IN IP4 239.{a}.{b}.{c}/32\r\n\
         t=0 0\r\nm=audio 5004 RTP/AVP 97\r\na=rtpmap:97 L24/48000/2\r\na=ptime:1\r\n"
    )
}

fn secs(s: u64) -> Nanos {
    Nanos::from_secs(s)
}

#[test]
fn every_vector_is_the_same_stream() {
    let first = vector("s01-announce");
    let packet = SapPacket::parse(&first).expect("well-formed");
    assert_eq!((packet.hash, packet.origin, packet.delete), (0x112d, SENDER, false));
    assert_eq!(message_hash(&packet.payload), 0x112d);
    assert_eq!(packet.emit(), first, "the canonical form is written bit for bit");
    for name in [
        "s03-no-payload-type",
        "s05-authentication-skipped",
        "s06-compressed",
        "s07-version-0",
        "s10-hash-0-type-in-other-case",
        "s11-empty-payload-type",
    ] {
        let bytes = vector(name);
        let same = SapPacket::parse(&bytes).expect(name);
        assert_eq!(same.payload, packet.payload, "{name}");
        assert_eq!(same.is_version_0, name == "s07-version-0");
        let mut listener = SapListener::new();
        assert_eq!(listener.handle_datagram(secs(1), SENDER, &bytes), Ok(()));
        assert!(matches!(*events(&mut listener), [SapEvent::Found(_)]), "{name}");
        assert_eq!(listener.streams().next().expect("one").stream.name, "Stage L");
    }
    let bytes = vector("s04-ipv6-origin");
    let packet = SapPacket::parse(&bytes).expect("well-formed");
    assert_eq!((packet.hash, packet.origin.to_string()), (0xd209, "2001:db8::10".into()));
    assert_eq!(message_hash(&packet.payload), 0xd209);
    assert_eq!(packet.emit(), bytes);
    let bytes = vector("s02-delete-origin-only");
    assert_eq!(SapPacket::parse(&bytes).expect("well-formed").emit(), bytes);
    for name in ["s08-four-octets", "s09-authentication-beyond-end"] {
        let short = SapPacket::parse(&vector(name)).expect_err(name);
        assert!(matches!(short, SapError::Short { .. }), "{name}: {short}");
    }
}

#[test]
fn every_truncation_changes_nothing_or_is_a_stream() {
    for name in [
        "s01-announce",
        "s02-delete-origin-only",
        "s04-ipv6-origin",
        "s05-authentication-skipped",
        "s06-compressed",
    ] {
        let bytes = vector(name);
        let mut listener = SapListener::new();
        for length in 0..bytes.len() {
            let result = listener.handle_datagram(secs(length as u64), SENDER, &bytes[..length]);
            let header_is_whole = length >= 8;
            assert!(
                header_is_whole || matches!(result, Err(SapError::Short { .. })),
                "{name} cut at {length}"
            );
        }
    }
    let bytes = vector("s06-compressed");
    let mut longer = bytes.clone();
    longer.extend_from_slice(b"trailing");
    assert_eq!(
        SapPacket::parse(&longer),
        SapPacket::parse(&bytes),
        "garbage after the zlib stream is ignored"
    );
}

#[test]
fn an_announcement_is_found_refreshed_and_deleted() {
    let mut listener = SapListener::new();
    let bytes = vector("s01-announce");
    for s in [0, 30, 60] {
        assert_eq!(listener.handle_datagram(secs(s), SENDER, &bytes), Ok(()));
    }
    let found = events(&mut listener);
    let [SapEvent::Found(id)] = *found else { panic!("{found:?}") };
    assert_eq!(listener.counters().refreshed, 2);
    assert_eq!(listener.stream(id).expect("known").state, State::Announced);

    let deletion = vector("s02-delete-origin-only");
    assert_eq!(listener.handle_datagram(secs(61), OTHER, &deletion), Err(SapError::Forged));
    assert_eq!((listener.counters().forged, events(&mut listener).len()), (1, 0));
    assert_eq!(listener.handle_datagram(secs(62), SENDER, &deletion), Ok(()));
    assert_eq!(events(&mut listener), [SapEvent::Gone(id, Gone::Deleted)]);
    assert_eq!(listener.handle_datagram(secs(62), SENDER, &deletion), Err(SapError::UnknownDeletion));
    assert_eq!(listener.streams().count(), 0);
}

#[test]
fn deletions_by_whole_description_and_by_silence_are_honoured() {
    let mut listener = SapListener::new();
    let text = sdp(5000, 1, 1);
    listener.handle_datagram(secs(0), SENDER, &announced(&text, 7)).expect("new");
    let [SapEvent::Found(id)] = *events(&mut listener) else { panic!() };
    listener.handle_datagram(secs(1), SENDER, &deleted(&text, 7)).expect("known");
    assert_eq!(events(&mut listener), [SapEvent::Gone(id, Gone::Deleted)]);

    listener.handle_datagram(secs(2), SENDER, &announced(&text, 7)).expect("new again");
    let [SapEvent::Found(id)] = *events(&mut listener) else { panic!() };
    let mut seen = Vec::new();
    while let Some(at) = listener.poll_timeout() {
        listener.handle_timeout(at);
        seen.extend(events(&mut listener).into_iter().map(|event| (at, event)));
    }
    assert_eq!(seen, [(secs(92), SapEvent::Stale(id)), (secs(452), SapEvent::Gone(id, Gone::Silent))]);
}

#[test]
fn an_origin_is_the_same_whatever_octets_stand_in_other_lines() {
    let mut listener = SapListener::new();
    let origin = "o=Bühne 5000 1 IN IP4 192.0.2.10\r\n";
    let text = sdp(5000, 1, 1).replace("o=- 5000 1 IN IP4 192.0.2.10\r\n", origin);
    let mut payload = text.into_bytes();
    let at = payload.windows(3).position(|octets| octets == b"Sta").expect("in its name");
    payload[at + 2] = 0xe4; // ä as Latin-1 has it
    let announced = SapPacket {
        delete: false,
        is_version_0: false,
        hash: 0,
        origin: SENDER,
        payload: payload.as_slice().into(),
    };
    listener.handle_datagram(secs(0), SENDER, &announced.emit()).expect("new");
    let [SapEvent::Found(id)] = *events(&mut listener) else { panic!() };
    assert_eq!(listener.stream(id).expect("known").stream.name, "Stäge 5000");
    listener.handle_datagram(secs(1), SENDER, &deleted(origin, 0)).expect("known by its origin");
    assert_eq!(events(&mut listener), [SapEvent::Gone(id, Gone::Deleted)]);
}

#[test]
fn what_is_in_use_outlives_deletion_and_silence() {
    let mut listener = SapListener::new();
    let text = sdp(5000, 1, 1);
    listener.handle_datagram(secs(0), SENDER, &announced(&text, 7)).expect("new");
    let [SapEvent::Found(id)] = *events(&mut listener) else { panic!() };
    listener.handle_use(id, true);
    for s in [90, 300, 4000] {
        listener.handle_timeout(secs(s));
    }
    assert_eq!(events(&mut listener), [SapEvent::Stale(id)]);
    assert_eq!(listener.stream(id).expect("in use").state, State::Unannounced);
    listener.handle_datagram(secs(4001), SENDER, &announced(&text, 7)).expect("known");
    assert_eq!(events(&mut listener), [SapEvent::Back(id)]);
    listener
        .handle_datagram(secs(4002), SENDER, &deleted("o=- 5000 1 IN IP4 192.0.2.10\r\n", 7))
        .expect("known");
    assert_eq!(events(&mut listener), [SapEvent::Withdrawn(id)]);
    listener.handle_timeout(secs(4061));
    assert_eq!(events(&mut listener), []);
    listener.handle_timeout(secs(4062));
    assert_eq!(events(&mut listener), [SapEvent::Gone(id, Gone::Deleted)]);
}

#[test]
fn constant_hashes_neither_hide_updates_nor_delete_neighbours() {
    let mut listener = SapListener::new();
    for (session, group) in [(5000, 1), (5001, 2), (5002, 3)] {
        listener.handle_datagram(secs(0), SENDER, &announced(&sdp(session, 1, group), 0xffff)).expect("new");
    }
    let found = events(&mut listener);
    let [SapEvent::Found(_), SapEvent::Found(second), SapEvent::Found(_)] = *found else {
        panic!("{found:?}")
    };
    let renamed = sdp(5001, 2, 2).replace("Stage 5001", "Renamed");
    listener.handle_datagram(secs(1), SENDER, &announced(&renamed, 0xffff)).expect("update");
    let change = SapEvent::Changed { id: second, change: Change::Description, moved: false };
    assert_eq!(events(&mut listener), [change]);
    assert_eq!(
        listener.handle_datagram(secs(2), SENDER, &deleted("", 0xffff)),
        Err(SapError::UnknownDeletion)
    );
    listener
        .handle_datagram(secs(2), SENDER, &deleted("o=- 5001 2 IN IP4 192.0.2.10\r\n", 0xffff))
        .expect("known");
    assert_eq!(events(&mut listener), [SapEvent::Gone(second, Gone::Deleted)]);
    assert_eq!(listener.streams().count(), 2);
}

#[test]
fn streams_keep_their_id_when_they_move() {
    let mut listener = SapListener::new();
    let hear = |listener: &mut SapListener, s, text: &str| {
        listener.handle_datagram(secs(s), SENDER, &announced(text, 1)).expect("accepted");
        events(listener)
    };
    let [SapEvent::Found(id)] = *hear(&mut listener, 0, &sdp(5000, 1, 1)) else { panic!() };
    let media = |moved| SapEvent::Changed { id, change: Change::Media, moved };
    assert_eq!(hear(&mut listener, 1, &sdp(5000, 2, 2)), [media(false)], "another group");
    let elsewhere = sdp(5000, 3, 2).replace("192.0.2.10", "192.0.2.11");
    let [SapEvent::Found(twin)] = *hear(&mut listener, 2, &elsewhere) else { panic!("both are alive") };
    assert_ne!(twin, id);
    listener.handle_datagram(secs(3), SENDER, &deleted(&elsewhere, 1)).expect("known");
    events(&mut listener);
    assert_eq!(hear(&mut listener, 40, &elsewhere), [media(true)], "another address after a silence");
    assert_eq!(listener.streams().count(), 1);
}

#[test]
fn one_stream_heard_in_many_ways_is_one_stream() {
    let mut listener = SapListener::new();
    let bytes = announced(&sdp(5000, 4, 1), 1);
    let ways = [1, 2].map(|interface| Via { interface, group: Some(IpAddr::from([239, 255, 255, 255])) });
    for s in [0, 30, 60] {
        for via in ways {
            listener.handle_datagram_via(secs(s), SENDER, via, &bytes).expect("accepted");
        }
        listener.handle_datagram_via(secs(s), OTHER, ways[0], &bytes).expect("a proxy");
    }
    let [SapEvent::Found(id)] = *events(&mut listener) else { panic!() };
    let via = listener.stream(id).expect("known").via;
    assert_eq!(
        via.iter().map(|heard| (heard.source, heard.via)).collect::<Vec<_>>(),
        [(SENDER, ways[0]), (SENDER, ways[1]), (OTHER, ways[0])]
    );
    listener
        .handle_datagram_via(secs(61), OTHER, ways[0], &announced(&sdp(5000, 3, 9), 2))
        .expect("a proxy that lags");
    assert_eq!(events(&mut listener), []);
    listener.handle_interface(secs(62), 1, false);
    listener.handle_interface(secs(62), 2, false);
    listener.handle_timeout(secs(5000));
    assert_eq!(events(&mut listener), [], "no interface, no ageing");
    listener.handle_interface(secs(5000), 1, true);
    listener.handle_timeout(secs(5000));
    assert_eq!(events(&mut listener), []);
    listener.handle_timeout(secs(5000 + 400));
    assert!(!events(&mut listener).is_empty());
}

#[test]
fn only_the_owner_says_what_is_in_its_session() {
    let mut listener = SapListener::new();
    listener.handle_datagram(secs(0), SENDER, &announced(&sdp(5000, 1, 1), 1)).expect("new");
    let [SapEvent::Found(id)] = *events(&mut listener) else { panic!() };
    // A stranger describes the same session with a later version: other channels, another group.
    let forged = [sdp(5000, 9, 1).replace("48000/2", "48000/8"), sdp(5000, 9, 2)];
    for (hash, forged) in (2..).zip(&forged) {
        let result = listener.handle_datagram(secs(1), OTHER, &announced(forged, hash));
        assert_eq!((result, events(&mut listener)), (Err(SapError::Forged), vec![]));
    }
    assert_eq!(listener.stream(id).expect("known").stream.channels.count(), 2);
    listener.handle_datagram(secs(2), SENDER, &announced(&sdp(5000, 2, 3), 4)).expect("the owner may");
    assert!(matches!(*events(&mut listener), [SapEvent::Changed { .. }]));
    // A copy that is true is a proxy's; with it, a deletion in the owner's name leaves the session to the proxy.
    listener.handle_datagram(secs(3), OTHER, &announced(&sdp(5000, 2, 3), 4)).expect("a proxy");
    listener.handle_datagram(secs(4), SENDER, &deleted(&sdp(5000, 2, 3), 4)).expect("from its address");
    let result = listener.handle_datagram(secs(5), OTHER, &announced(&forged[0], 6));
    assert_eq!((result, events(&mut listener)), (Err(SapError::Forged), vec![]));
    // Once the owner itself is no longer heard, a proxy speaks for it.
    listener.handle_datagram(secs(1000), OTHER, &announced(&forged[1], 5)).expect("a proxy");
    assert!(!events(&mut listener).is_empty());
}

#[test]
fn streams_that_leave_their_session_are_gone() {
    let mut listener = SapListener::new();
    let two = sdp(5000, 1, 1) + "m=audio 5006 RTP/AVP 97\r\na=rtpmap:97 L24/48000/4\r\n";
    listener.handle_datagram(secs(0), SENDER, &announced(&two, 1)).expect("new");
    let [SapEvent::Found(first), SapEvent::Found(second)] = *events(&mut listener) else { panic!() };
    listener.handle_datagram(secs(1), SENDER, &announced(&sdp(5000, 2, 1), 2)).expect("update");
    assert_eq!(events(&mut listener), [SapEvent::Gone(second, Gone::Replaced)]);
    assert!(listener.stream(first).is_some() && listener.stream(second).is_none());
}

#[test]
fn unreadable_announcements_are_listed_with_their_reason() {
    let mut listener = SapListener::new();
    let broken = sdp(5000, 1, 1).replace("239.0.0.1", "239.x.x.x");
    for s in [0, 1] {
        listener.handle_datagram(secs(s), SENDER, &announced(&broken, 1)).expect("kept");
    }
    let [SapEvent::Unreadable(id)] = *events(&mut listener) else { panic!() };
    let listed: Vec<_> =
        listener.unreadable().map(|u| (u.id, u.refusal.name.clone(), u.refusal.to_string())).collect();
    assert_eq!(listed, [(id, "Stage 5000".into(), "line 4: destination is not a numeric address".into())]);
    listener.handle_datagram(secs(2), SENDER, &announced(&sdp(5000, 2, 1), 2)).expect("repaired");
    let [SapEvent::Gone(gone, Gone::Replaced), SapEvent::Found(_)] = *events(&mut listener) else { panic!() };
    assert_eq!((gone, listener.unreadable().count(), listener.streams().count()), (id, 0, 1));
}

#[test]
fn a_stream_is_gone_when_its_later_version_cannot_be_played() {
    let mut listener = SapListener::new();
    let mut hear = |source, text: &str| {
        listener.handle_datagram(secs(0), source, &announced(text, 0)).expect("kept");
        events(&mut listener)
    };
    let [SapEvent::Found(id)] = *hear(SENDER, &sdp(5000, 1, 1)) else { panic!() };
    let [SapEvent::Found(twin)] = *hear(SENDER, &sdp(5001, 1, 2)) else { panic!() };
    assert_eq!(hear(OTHER, &sdp(5000, 1, 1)), [], "a proxy");
    // Not by the word of somebody else, nor because another stream of a unit with one origin for all is unreadable.
    for (source, version) in [(OTHER, 9), (SENDER, 1)] {
        let [SapEvent::Unreadable(_)] = *hear(source, &sdp(5000, version, 1).replace("L24", "L20")) else {
            panic!("{source}")
        };
    }
    let [SapEvent::Gone(gone, Gone::Replaced), SapEvent::Unreadable(_)] =
        *hear(SENDER, &sdp(5000, 2, 1).replace("audio 5004", "audio 0"))
    else {
        panic!("switched off")
    };
    assert_eq!(gone, id);
    let [SapEvent::Gone(_, Gone::Replaced), SapEvent::Found(back)] = *hear(SENDER, &sdp(5000, 3, 1)) else {
        panic!("switched on again")
    };
    let listed: Vec<_> = listener.streams().map(|heard| heard.id).collect();
    assert_eq!(listed, [twin, back]);
}

#[test]
fn other_media_are_not_listed() {
    let mut listener = SapListener::new();
    let video = sdp(5000, 1, 1).replace("m=audio", "m=video");
    for s in [0, 1] {
        listener.handle_datagram(secs(s), SENDER, &announced(&video, 1)).expect("passed over");
    }
    assert_eq!((events(&mut listener).len(), listener.unreadable().count()), (0, 0));
    assert_eq!(listener.counters().unreadable, 0);
}

#[test]
fn own_announcements_and_stop_times() {
    let mut listener = SapListener::new();
    listener.set_own([(SENDER, "5000".into())]);
    listener.handle_datagram(secs(0), OTHER, &announced(&sdp(5000, 1, 1), 1)).expect("ours, by a proxy");
    assert_eq!((events(&mut listener).len(), listener.counters().own), (0, 1));

    let ended = sdp(5001, 1, 2).replace("t=0 0", "t=3976320000 3976320100");
    listener.handle_wall_clock(secs(0), 3_976_320_050);
    listener.handle_datagram(secs(0), SENDER, &announced(&ended, 1)).expect("new");
    let [SapEvent::Found(id)] = *events(&mut listener) else { panic!() };
    listener.handle_timeout(secs(90));
    assert_eq!(events(&mut listener), [SapEvent::Gone(id, Gone::Ended)]);
}

/// A reproducible sequence of numbers (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

/// Ten thousand announcements a second for five seconds, from `sources` hosts, all different.
fn flood(seed: u64, sources: u64) -> (SapListener, Vec<StreamId>) {
    let mut random = Random(seed);
    let mut listener = SapListener::new();
    let mut victims = Vec::new();
    for s in [0, 30] {
        for session in 9000..9010 {
            let bytes = announced(&sdp(session, 1, session), 1);
            listener.handle_datagram(secs(s), SENDER, &bytes).expect("quiet so far");
        }
    }
    victims.extend(events(&mut listener).into_iter().filter_map(|event| match event {
        SapEvent::Found(id) => Some(id),
        _ => None,
    }));
    let mut polled = 0;
    for n in 0..50_000_u64 {
        let now = Nanos(31_000_000_000 + n * 100_000);
        let source =
            IpAddr::from(0x0a00_0000_u32.wrapping_add((random.next() % sources) as u32).to_be_bytes());
        let text = sdp(random.next() as u32, 1, random.next() as u32 % 0xff_ffff);
        let bytes = if n % 7 == 0 { deleted(&text, 1) } else { announced(&text, 1) };
        let _ = listener.handle_datagram(now, source, &bytes);
        polled += std::iter::from_fn(|| listener.poll_event()).count();
        if n % 1000 == 0 {
            listener.handle_timeout(now);
        }
        assert!(n % 1000 != 0 || listener.streams().count() <= 1024, "seed {seed}");
    }
    // 256 new ones at once and 256 a second, each found and perhaps evicted.
    assert!(polled <= 2 * (256 + 6 * 256), "seed {seed}: {polled} events");
    let counters = listener.counters();
    assert!(counters.too_fast + counters.unknown_deletion > 45_000, "seed {seed}: {counters:?}");
    assert!(listener.streams().count() <= 1024);
    (listener, victims)
}

#[test]
fn floods_are_bounded_and_cost_the_flooders_first() {
    for (seed, sources) in [(1, 1), (2, 300), (3, u64::from(u32::MAX))] {
        let (listener, victims) = flood(seed, sources);
        assert_eq!(victims.len(), 10);
        assert!(victims.iter().all(|&id| listener.stream(id).is_some()), "seed {seed}");
        if sources == 1 {
            assert!(listener.streams().count() <= 256 + 10);
        }
    }
}

#[test]
fn events_that_nobody_polls_are_bounded() {
    let mut listener = SapListener::new();
    for n in 0..20_000_u32 {
        let now = Nanos::from_millis(u64::from(n) * 25);
        let text = sdp(5000, n, 1).replace("s=Stage", &format!("s=Stage {n}"));
        listener.handle_datagram(now, SENDER, &announced(&text, 0)).expect("an update");
    }
    let events = events(&mut listener);
    assert!(events.len() <= 4097 && events[0] == SapEvent::Overflow, "{}", events.len());
}
