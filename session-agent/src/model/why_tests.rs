//! Every fault that the checks know, one at a time, against a stream that plays.

use std::collections::BTreeSet;

use wireloom_wanted::{ClockRelation, Direction, Encoding, Leg, Media, NodeText, Protocol, Show};

use super::*;

fn node(direction: Direction) -> Node {
    Node {
        direction,
        protocol: Protocol::Aes67,
        text: NodeText { description: "Stage".into(), nick: "Stage".into(), name: "Stage".into() },
        device: "d-0000000000000001".into(),
        channels: vec!["1".into(), "2".into()],
        media: Media {
            encoding: Encoding::L24,
            rate: 48_000,
            samples_per_packet: 48,
            payload_type: 97,
            offset: Some(0),
            ssrc: None,
        },
        legs: vec![Leg { interface: Some("eth0".into()), ..Leg::to([239, 69, 1, 1].into(), 5004) }],
        clock: ClockRelation::Same,
        latency: 144,
        show: Show::Patchbay,
        chosen: false,
        announced: direction == Direction::Transmit,
        dscp: 34,
        offline: false,
        remote: direction == Direction::Receive,
        direct: Vec::new(),
        keepalive: None,
        copies: None,
    }
}

/// A stream that plays, and what is known beside it.
fn playing() -> (Known, Facts) {
    let mut stream = Known::new(Origin::Announced, "Stage".into(), 0);
    stream.node = Some(node(Direction::Receive));
    stream.shown = true;
    stream.report = Some(StateReport {
        state: State::Running,
        error: String::new(),
        mode: Some(Mode::Locked),
        port: 5004,
        latency: 144,
        links: 2,
        heard: Some(Heard { ssrc: 7, payload_type: 97, frames: 48 }),
        findings: Vec::new(),
    });
    let facts = Facts {
        no_way: None,
        active: true,
        connected: true,
        ready: true,
        same_clock: true,
        clock_text: "Same grandmaster.",
        same_address: None,
        heard_on: vec!["eth0".into()],
        without_ipv6: None,
        refused: None,
    };
    (stream, facts)
}

/// The checks that are not ok, as "name verdict".
fn odd(stream: &Known, facts: &Facts) -> Vec<String> {
    let odd = checks(stream, facts).into_iter().filter(|check| check.verdict != Verdict::Ok);
    odd.map(|check| format!("{} {}", check.name, check.verdict.word())).collect()
}

#[test]
fn a_stream_that_plays_passes_every_check_in_order() {
    let (stream, facts) = playing();
    assert_eq!(odd(&stream, &facts), [""; 0]);
    let names: Vec<_> = checks(&stream, &facts).iter().map(|check| check.name).collect();
    let order =
        "announced description address joined packets payload packet-time clock deadline samples link";
    assert_eq!(names.join(" "), order);
}

#[test]
fn each_fault_of_a_playing_stream_is_exactly_its_verdict() {
    type Fault = fn(&mut Known, &mut Facts, &mut StateReport);
    let after_packets = ["payload unknown", "packet-time unknown", "deadline unknown", "samples unknown"];
    let faults: [(&str, Fault, &[&str]); 18] = [
        ("announced warning", |s, _, _| s.origin = Origin::Stale, &[]),
        ("announced warning", |s, _, _| s.origin = Origin::Withdrawn, &[]),
        ("description failed", |s, _, _| s.unreadable = Some("No format.".into()), &[]),
        ("address warning", |_, f, _| f.same_address = Some("Other".into()), &[]),
        ("address failed", |_, _, r| r.findings = vec![Finding::Foreign], &[]),
        ("packets failed", |_, _, r| r.state = State::Waiting, &after_packets),
        ("packets failed", |_, _, r| r.state = State::Silent, &after_packets),
        (
            "payload failed",
            |_, _, r| (r.state, r.findings) = (State::Waiting, vec![Finding::NotRtp]),
            &after_packets[1..],
        ),
        ("payload failed", |_, _, r| r.findings = vec![Finding::Contradicts], &after_packets[1..]),
        ("payload warning", |_, _, r| r.heard = Some(Heard { ssrc: 7, payload_type: 98, frames: 48 }), &[]),
        ("payload warning", |s, _, _| s.node.as_mut().expect("one").media.ssrc = Some(8), &[]),
        (
            "packet-time warning",
            |_, _, r| r.heard = Some(Heard { ssrc: 7, payload_type: 97, frames: 6 }),
            &[],
        ),
        ("clock warning", |_, f, _| f.same_clock = false, &[]),
        ("clock warning", |_, _, r| r.mode = Some(Mode::Adaptive), &[]),
        ("deadline failed", |_, _, r| r.findings = vec![Finding::Late], &after_packets[3..]),
        ("deadline failed", |_, _, r| r.findings = vec![Finding::Early], &after_packets[3..]),
        ("deadline warning", |_, _, r| r.findings = vec![Finding::Raised], &[]),
        ("samples failed", |_, _, r| r.findings = vec![Finding::Zero], &[]),
    ];
    for (verdict, fault, unknown) in faults {
        let (mut stream, mut facts) = playing();
        let mut report = stream.report.take().expect("it plays");
        fault(&mut stream, &mut facts, &mut report);
        stream.report = Some(report);
        let expected: BTreeSet<_> = [verdict].iter().chain(unknown).map(|odd| (*odd).to_owned()).collect();
        assert_eq!(odd(&stream, &facts).into_iter().collect::<BTreeSet<_>>(), expected, "{verdict}");
        let failed = checks(&stream, &facts);
        let failed = first_failed(&failed).map(|check| format!("{} failed", check.name));
        assert_eq!(failed.as_deref(), Some(verdict).filter(|verdict| verdict.ends_with("failed")));
    }
}

#[test]
fn what_keeps_a_stream_from_being_joined_is_said_with_its_word() {
    type Fault = fn(&mut Known, &mut Facts);
    let faults: [(&str, Fault); 5] = [
        ("other-session", |_, f| f.active = false),
        ("no-pipewire", |_, f| f.connected = false),
        ("no-module", |_, f| f.ready = false),
        ("node-limit", |s, _| s.shown = false),
        ("module", |s, _| {
            let report = s.report.as_mut().expect("one");
            (report.state, report.error, report.port) = (State::Error, "Port 5004 is taken.".into(), 0);
        }),
    ];
    for (reason, fault) in faults {
        let (mut stream, mut facts) = playing();
        fault(&mut stream, &mut facts);
        let found = checks(&stream, &facts);
        let failed = first_failed(&found).expect("something fails");
        assert_eq!((failed.name, failed.reason), ("joined", reason));
        assert!(failed.text.ends_with('.'), "{}", failed.text);
    }
}

#[test]
fn of_an_unlinked_stream_the_link_is_what_fails() {
    let (mut stream, facts) = playing();
    let report = stream.report.as_mut().expect("one");
    *report =
        StateReport { state: State::Idle, mode: None, port: 0, links: 0, heard: None, ..report.clone() };
    let found = checks(&stream, &facts);
    assert_eq!(first_failed(&found).map(|check| check.name), Some("link"));
    let unknown = found.iter().filter(|check| check.verdict == Verdict::Unknown).count();
    assert_eq!(unknown, 6, "{found:?}");
}

#[test]
fn a_device_that_left_is_the_first_thing_said() {
    let (mut stream, facts) = playing();
    stream.node.as_mut().expect("one").offline = true;
    let report = stream.report.as_mut().expect("one");
    (report.state, report.port) = (State::Offline, 0);
    let found = checks(&stream, &facts);
    assert_eq!(first_failed(&found).map(|check| check.name), Some("announced"));
    for origin in [Origin::Stale, Origin::Withdrawn] {
        let (mut stream, facts) = playing();
        stream.origin = origin;
        stream.report.as_mut().expect("one").state = State::Silent;
        assert_eq!(first_failed(&checks(&stream, &facts)).map(|check| check.name), Some("announced"));
    }
}

#[test]
fn an_own_stream_is_checked_as_a_sender() {
    let (mut stream, facts) = playing();
    (stream.origin, stream.node) = (Origin::Own, Some(node(Direction::Transmit)));
    let names: Vec<_> = checks(&stream, &facts).iter().map(|check| check.name).collect();
    assert_eq!(names.join(" "), "announced description address joined packets clock link");
    assert_eq!(odd(&stream, &facts), [""; 0]);
    let report = stream.report.as_mut().expect("one");
    report.links = 0;
    assert_eq!(odd(&stream, &facts), ["link failed"]);
    stream.report.as_mut().expect("one").state = State::Waiting;
    assert_eq!(odd(&stream, &facts), ["packets failed", "link failed"]);
}

#[test]
fn an_interface_without_ipv6_is_named_as_the_cause() {
    let (mut stream, mut facts) = playing();
    stream.report.as_mut().expect("it plays").state = State::Waiting;
    stream.node.as_mut().expect("one").legs[0].address = "ff15::69:1".parse().expect("an address");
    let text = |facts: &Facts| first_failed(&checks(&stream, facts)).expect("no packets").text.clone();
    assert!(text(&facts).starts_with("No packet comes from [ff15::69:1]:5004"), "{}", text(&facts));
    facts.without_ipv6 = Some("eth0".into());
    let expected =
        "eth0 has no IPv6 address, so that nothing sent to [ff15::69:1]:5004 can be received there.";
    assert_eq!(text(&facts), expected);
}
