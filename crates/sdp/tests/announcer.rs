//! The announcer in virtual time, heard by the listener.

use std::net::IpAddr;

use wireloom_sdp::{
    Description, Encoding, Flavour, Gone, Leg, MediaClock, SapAnnouncer, SapEvent, SapListener, SapPacket,
};
use wireloom_units::{Channels, Nanos, Rate, Samples};

const US: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 10));

fn description(session_id: u64) -> Description {
    let leg = Leg {
        address: IpAddr::from([239, 69, 1, 1]),
        port: 5004,
        ttl: Some(32),
        sources: vec![US],
        excluded: vec![],
        near: None,
    };
    Description {
        user: "-".into(),
        session_id,
        version: 1,
        origin: US,
        name: format!("Drums {session_id}"),
        labels: vec![],
        encoding: Encoding::L24,
        rate: Rate::HZ_48000,
        channels: Channels::new(2).expect("in range"),
        payload_type: 98,
        samples_per_packet: Samples(48),
        legs: vec![leg],
        refclk: None,
        media_clock: MediaClock::Direct(0),
        paused: false,
        oat: String::new(),
    }
}

/// Everything sent until `end`, with the instant.
fn run(announcer: &mut SapAnnouncer, mut now: Nanos, end: Nanos) -> Vec<(Nanos, Vec<u8>)> {
    let mut sent = Vec::new();
    loop {
        while let Some(outgoing) = announcer.poll_transmit() {
            assert_eq!(outgoing.origin, US);
            sent.push((now, outgoing.bytes));
        }
        match announcer.poll_timeout().filter(|&at| at <= end) {
            Some(at) => {
                assert!(at >= now, "time goes on");
                now = at;
                announcer.handle_timeout(now);
            }
            None => return sent,
        }
    }
}

fn secs(s: u64) -> Nanos {
    Nanos::from_secs(s)
}

#[test]
fn announcements_come_at_once_and_then_every_half_minute() {
    let mut announcer = SapAnnouncer::new(7);
    assert_eq!(announcer.handle_change(secs(10), 1, description(5000), Flavour::Neutral), Ok(1));
    let sent = run(&mut announcer, secs(10), secs(10 + 303));
    let times: Vec<Nanos> = sent.iter().map(|&(at, _)| at).collect();
    assert_eq!(times[..3], [secs(10), secs(11), secs(13)]);
    let gaps: Vec<Nanos> = times[2..].windows(2).map(|pair| pair[1].since(pair[0])).collect();
    assert!((9..=11).contains(&gaps.len()), "{gaps:?}");
    assert!(gaps.iter().all(|gap| (secs(27)..=secs(33)).contains(gap)), "{gaps:?}");
    assert!(gaps.windows(2).any(|pair| pair[0] != pair[1]), "jitter");
    assert!(sent.iter().all(|(_, bytes)| *bytes == sent[0].1 && bytes[0] == 0x20));
}

#[test]
fn a_change_is_a_new_version_and_a_repetition_is_not() {
    let mut announcer = SapAnnouncer::new(7);
    assert_eq!(announcer.handle_change(secs(0), 1, description(5000), Flavour::Neutral), Ok(1));
    assert_eq!(run(&mut announcer, secs(0), secs(5)).len(), 3);
    assert_eq!(announcer.handle_change(secs(6), 1, description(5000), Flavour::Neutral), Ok(1));
    assert_eq!(run(&mut announcer, secs(6), secs(7)).len(), 0);
    let renamed = Description { name: "Toms".into(), ..description(5000) };
    assert_eq!(announcer.handle_change(secs(8), 1, renamed.clone(), Flavour::Neutral), Ok(2));
    assert_eq!(run(&mut announcer, secs(8), secs(12)).len(), 3);
    assert_eq!(announcer.handle_change(secs(13), 1, renamed, Flavour::DanteFriendly), Ok(3));
    let sent = run(&mut announcer, secs(13), secs(13));
    let packet = SapPacket::parse(&sent[0].1).expect("ours");
    assert!(packet.payload.starts_with(b"v=0\r\no=- 5000 3 IN IP4 192.0.2.10\r\n"));
    let broken = Description { legs: vec![], ..description(5000) };
    assert!(announcer.handle_change(secs(14), 1, broken, Flavour::Neutral).is_err());
    assert_eq!(announcer.announced(1).expect("stays").version, 3);
}

#[test]
fn a_withdrawal_is_sent_three_times_in_both_forms() {
    for pipewire in [false, true] {
        let mut announcer = SapAnnouncer::new(7);
        announcer.handle_pipewire(pipewire);
        announcer.handle_change(secs(0), 1, description(5000), Flavour::Neutral).expect("sound");
        let announcements = run(&mut announcer, secs(0), secs(5));
        let hash = SapPacket::parse(&announcements[0].1).expect("ours").hash;
        announcer.handle_withdrawal(secs(6), 1);
        let sent = run(&mut announcer, secs(6), secs(60));
        let packets: Vec<SapPacket<'_>> =
            sent.iter().map(|(_, bytes)| SapPacket::parse(bytes).expect("ours")).collect();
        assert_eq!(packets.len(), if pipewire { 6 } else { 3 });
        assert!(packets.iter().all(|packet| packet.delete && packet.hash == hash));
        let short: Vec<Nanos> = sent
            .iter()
            .zip(&packets)
            .filter(|(_, packet)| *packet.payload == *b"o=- 5000 1 IN IP4 192.0.2.10\r\n")
            .map(|(&(at, _), _)| at)
            .collect();
        assert_eq!(short.len(), 3);
        for pair in short.windows(2) {
            assert!((18..=52).contains(&(pair[1].since(pair[0]).0 / 1_000_000)), "{short:?}");
        }
        assert!(
            !pipewire || packets.iter().filter(|packet| packet.payload.starts_with(b"v=0\r\n")).count() == 3
        );
        assert_eq!(announcer.poll_timeout(), None);
    }
}

#[test]
fn a_new_session_withdraws_the_old_one() {
    let mut announcer = SapAnnouncer::new(7);
    announcer.handle_change(secs(0), 1, description(5000), Flavour::Neutral).expect("sound");
    run(&mut announcer, secs(0), secs(5));
    announcer.handle_change(secs(6), 1, description(6000), Flavour::Neutral).expect("sound");
    let sent = run(&mut announcer, secs(6), secs(8));
    let deletions = sent.iter().filter(|(_, bytes)| bytes[0] == 0x24).count();
    assert_eq!((deletions, sent.len()), (3, 5));
}

#[test]
fn a_session_that_comes_back_at_once_is_not_deleted() {
    let mut announcer = SapAnnouncer::new(7);
    announcer.handle_change(secs(0), 1, description(5000), Flavour::Neutral).expect("sound");
    run(&mut announcer, secs(0), secs(5));
    announcer.handle_withdrawal(secs(6), 1);
    announcer.handle_change(secs(6), 2, description(5000), Flavour::Neutral).expect("sound");
    let sent = run(&mut announcer, secs(6), secs(8));
    let last_deletion = sent.iter().rposition(|(_, bytes)| bytes[0] == 0x24);
    let first_announcement = sent.iter().position(|(_, bytes)| bytes[0] == 0x20);
    assert!(last_deletion < first_announcement, "a late deletion would take the new one away");
}

#[test]
fn many_streams_are_spread_and_slow_down() {
    let mut announcer = SapAnnouncer::new(7);
    for id in 0..128 {
        announcer.handle_change(secs(0), id, description(5000 + id), Flavour::Neutral).expect("sound");
    }
    let sent = run(&mut announcer, secs(0), Nanos::from_millis(500));
    assert_eq!(sent.len(), 128);
    assert!(sent.windows(2).all(|pair| pair[1].0.since(pair[0].0) >= Nanos::from_millis(2)));
    for id in 128..300 {
        announcer.handle_change(secs(1), id, description(5000 + id), Flavour::Neutral).expect("sound");
    }
    run(&mut announcer, secs(1), secs(60));
    let sent = run(&mut announcer, secs(60), secs(60 + 600));
    assert!((300..=800).contains(&sent.len()), "{} in ten minutes", sent.len());
}

#[test]
fn the_listener_hears_what_is_announced_and_knows_its_own() {
    let mut announcer = SapAnnouncer::new(7);
    announcer.handle_change(secs(0), 1, description(5000), Flavour::Neutral).expect("sound");
    let mut sent = run(&mut announcer, secs(0), secs(95));
    let mut ours = SapListener::new();
    ours.set_own(announcer.own());
    announcer.handle_withdrawal(secs(100), 1);
    sent.extend(run(&mut announcer, secs(100), secs(101)));
    let mut theirs = SapListener::new();
    for (at, bytes) in &sent {
        ours.handle_timeout(*at);
        theirs.handle_timeout(*at);
        let _ = ours.handle_datagram(*at, US, bytes);
        let _ = theirs.handle_datagram(*at, US, bytes);
    }
    assert_eq!((ours.poll_event(), ours.counters().own), (None, sent.len() as u64 - 3));
    let events: Vec<SapEvent> = std::iter::from_fn(|| theirs.poll_event()).collect();
    let [SapEvent::Found(found), SapEvent::Gone(gone, Gone::Deleted)] = *events else { panic!("{events:?}") };
    assert_eq!(found, gone);
}
