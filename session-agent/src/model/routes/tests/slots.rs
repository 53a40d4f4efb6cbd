//! What this computer sends to receivers: it outlives the agent, and follows interfaces and clock.

use super::*;
use crate::executor::Play;

/// A program plays into the monitor, when `linked`; the graph has been told whole.
fn see_graph(bench: &mut Bench, linked: bool) {
    let node = |id, name: &str, class: &str| GraphObject::Node { id, name: name.into(), class: class.into() };
    let port = |id, node, output| GraphObject::Port { id, node, output, index: 0, audio: true };
    let mut objects = vec![
        node(10, "Player", "Stream/Output/Audio"),
        port(11, 10, true),
        node(20, &format!("wireloom.{MONITOR}.rx"), ""),
        port(21, 20, false),
    ];
    if linked {
        objects.push(GraphObject::Link { id: 40, output: 11, input: 21, is_virtual: false });
    }
    for object in objects.into_iter().chain([GraphObject::Listed]) {
        bench.event(GraphEvent::Object(object));
    }
    bench.settle();
}

fn unlink(bench: &mut Bench) {
    for object in [GraphObject::Removed { id: 40 }, GraphObject::Synced] {
        bench.event(GraphEvent::Object(object));
        bench.settle();
    }
}

/// What the monitor is told to play next; it does, and says so.
fn obey(bench: &mut Bench) -> Option<Play> {
    bench.pass(1);
    let orders = orders(bench);
    let [order] = &orders[..] else { panic!("one order, not {orders:?}") };
    tell(bench, Told::Answer { order: order.order, outcomes: vec![Outcome::Done; order.changes.len()] });
    let play = order.changes[0].play.clone();
    let inputs = if play.is_some() { vec![ours(bench)] } else { Vec::new() };
    tell(bench, plays(inputs));
    play
}

/// The monitor plays what this computer sends to it.
fn ours(bench: &Bench) -> Playing {
    let slot = &bench.model.saved.slots[MONITOR];
    let what = PlayingWhat::Address { address: slot.address.into(), port: slot.port, channel: 0 };
    Playing { input: 0, what, audio: true }
}

fn fed() -> (Bench, Play) {
    let mut bench = Bench::new(Saved::default());
    bench.connect();
    tell(&mut bench, receiver(1));
    tell(&mut bench, plays(Vec::new()));
    see_graph(&mut bench, true);
    let play = obey(&mut bench).expect("plays what this computer sends");
    assert!(play.sdp.contains("192.0.2.10"), "{}", play.sdp);
    (bench, play)
}

/// An agent that is started after the one of `bench` was killed; it has not been told of the graph yet.
fn successor(bench: &Bench) -> Bench {
    let mut next = Bench::new(bench.model.saved.clone());
    next.object = bench.object.clone();
    next.connect();
    tell(&mut next, receiver(0));
    tell(&mut next, plays(vec![ours(bench)]));
    next.pass(1);
    next
}

#[test]
fn a_killed_agent_s_successor_sends_on_to_whom_an_application_plays() {
    let (bench, _) = fed();
    let mut next = successor(&bench);
    assert_eq!(orders(&mut next), [], "nobody knows yet who is linked");
    see_graph(&mut next, true);
    next.pass(60);
    assert_eq!(orders(&mut next), []);
    let node = format!("node.{MONITOR}.rx");
    assert_eq!(next.object.get(&node), bench.object.get(&node), "it goes on as it was");
    assert_eq!(next.model.saved.slots, bench.model.saved.slots);
}

#[test]
fn what_was_unlinked_while_the_agent_was_away_is_taken_back() {
    let (bench, _) = fed();
    let mut next = successor(&bench);
    see_graph(&mut next, false);
    assert_eq!(obey(&mut next), None);
    next.pass(1);
    assert!(next.model.saved.slots.is_empty(), "nobody listens any more");
    assert!(next.model.streams[MONITOR].node.as_ref().expect("a node").legs.is_empty());
}

#[test]
fn what_was_unlinked_while_the_receiver_was_away_is_taken_back_when_it_returns() {
    let (mut bench, _) = fed();
    let playing = ours(&bench);
    tell(&mut bench, Told::ReceiverLeft(MONITOR.into()));
    unlink(&mut bench);
    bench.pass(60);
    assert_eq!(orders(&mut bench), []);
    tell(&mut bench, receiver(1));
    bench.pass(1);
    tell(&mut bench, plays(vec![playing]));
    assert_eq!(obey(&mut bench), None);
    bench.pass(1);
    assert!(bench.model.saved.slots.is_empty());
}

#[test]
fn a_receiver_is_told_when_what_is_sent_to_it_comes_otherwise() {
    let (mut bench, first) = fed();
    let version = |play: &Play| {
        let origin = play.sdp.lines().find_map(|line| line.strip_prefix("o=")).expect("an origin");
        origin.split(' ').nth(2).expect("a version").parse::<u64>().expect("a number")
    };
    let mut facts = bench.model.interfaces[0].clone();
    facts.addresses = vec![([192, 0, 2, 77].into(), 24)];
    bench.model.handle_interfaces(bench.now, vec![facts]);
    let second = obey(&mut bench).expect("goes on");
    assert!(second.sdp.contains("192.0.2.77") && !second.sdp.contains("192.0.2.10"), "{}", second.sdp);
    bench.follow([0, 0, 0x5e, 0xff, 0xfe, 0, 0x53, 1]);
    let third = obey(&mut bench).expect("goes on");
    assert!(third.sdp.contains("00-00-5E-FF-FE-00-53-01"), "{}", third.sdp);
    assert_eq!([version(&second), version(&third)], [version(&first) + 1, version(&first) + 2]);
    bench.pass(60);
    assert_eq!(orders(&mut bench), [], "once is enough");
    assert_eq!(bench.model.streams[MONITOR].sdp, third.sdp);
}

#[test]
fn a_receiver_that_takes_something_else_now_gets_that() {
    let (mut bench, _) = fed();
    let Told::Receiver(mut facts) = receiver(1) else { panic!("a receiver") };
    facts.media.rate = 96_000;
    facts.media.samples_per_packet = 96;
    tell(&mut bench, Told::Receiver(facts));
    let play = obey(&mut bench).expect("goes on");
    assert!(play.sdp.contains("/96000/2"), "{}", play.sdp);
}
