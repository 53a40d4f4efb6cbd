//! Receivers, drawn links and orders in virtual time: protocol tasks and module are played by the test.

mod slots;

use wireloom_route::{Outcome, Takes};
use wireloom_wanted::{Encoding, Link, LinkEnd, Media, Protocol, Route, RouteState, pair_id};

use super::super::tests::{Bench, sdp};
use crate::executor::{Order, Playing, PlayingWhat, Receiver, Told};
use crate::model::{GraphEvent, GraphObject, InterfaceFacts, LinkOp};
use crate::request::{Ask, Connection, Possible, RouteAsk};
use crate::store::Saved;

const MONITOR: &str = "s-00000000000000aa";

fn receiver(epoch: u64) -> Told {
    Told::Receiver(Box::new(Receiver {
        id: MONITOR.into(),
        name: "Monitor : inputs".into(),
        address: "192.0.2.30".into(),
        device: None,
        protocol: Protocol::Oat,
        channels: vec!["Left".into(), "Right".into()],
        direct: vec!["oat-ctl".into()],
        media: Media {
            encoding: Encoding::L24,
            rate: 48_000,
            samples_per_packet: 48,
            payload_type: 98,
            offset: None,
            ssrc: None,
        },
        epoch,
        takes: Takes::Streams,
        batch: 0,
    }))
}

/// A stage box that is announced and speaks the monitor's language, and the monitor; the stage box's id.
fn studio(bench: &mut Bench) -> String {
    bench.connect();
    bench.hear(&sdp(4711, 21, "Stage", 1));
    let id = bench.model.streams.keys().next().expect("heard").clone();
    speak(bench, &id);
    tell(bench, receiver(1));
    tell(bench, plays(Vec::new()));
    id
}

/// Gives the transmitter the token that its protocol would.
fn speak(bench: &mut Bench, id: &str) {
    let node = bench.model.streams.get_mut(id).and_then(|stream| stream.node.as_mut()).expect("a node");
    node.direct = vec!["oat-ctl".into()];
    bench.settle();
}

fn tell(bench: &mut Bench, told: Told) {
    bench.model.handle_told(bench.now, told);
    bench.settle();
}

fn plays(inputs: Vec<Playing>) -> Told {
    Told::Plays { id: MONITOR.into(), inputs }
}

fn ends(id: &str, channel: u32) -> (LinkEnd, LinkEnd) {
    let output = LinkEnd { node: format!("wireloom.{id}.tx"), channel };
    (output, LinkEnd { node: format!("wireloom.{MONITOR}.rx"), channel })
}

/// The module's key for a link between equal channels.
fn draw(bench: &mut Bench, id: &str, channel: u32, want: bool) {
    let (output, input) = ends(id, channel);
    let key = format!("link.{}", pair_id(&output, &input));
    let value = serde_json::to_string(&Link { output, input, want }).expect("serialises");
    bench.object.insert(key.clone(), value.clone());
    bench.event(GraphEvent::Property { key: Some(key), value: Some(value) });
    bench.settle();
}

fn route(bench: &Bench, id: &str, channel: u32) -> Option<Route> {
    let (output, input) = ends(id, channel);
    let value = bench.object.get(&format!("route.{}", pair_id(&output, &input)))?;
    Some(serde_json::from_str(value).expect("a route"))
}

fn orders(bench: &mut Bench) -> Vec<Order> {
    std::iter::from_fn(|| bench.model.poll_order()).collect()
}

#[test]
fn links_drawn_between_devices_become_one_order_and_their_state_is_written() {
    let mut bench = Bench::new(Saved::default());
    let stage = studio(&mut bench);
    draw(&mut bench, &stage, 0, true);
    draw(&mut bench, &stage, 1, true);
    assert_eq!(orders(&mut bench), [], "more of the same may follow");
    bench.pass(1);
    let [order] = &orders(&mut bench)[..] else { panic!("one order") };
    assert_eq!((order.receiver.as_str(), order.protocol, order.changes.len()), (MONITOR, Protocol::Oat, 2));
    for (number, change) in (0..).zip(&order.changes) {
        let play = change.play.as_ref().expect("plays something");
        assert_eq!((change.input, play.channel, play.stream.as_str()), (number, number, stage.as_str()));
        assert!(play.sdp.contains("239.69.1.1"), "{}", play.sdp);
    }
    assert_eq!(route(&bench, &stage, 0).map(|route| route.state), Some(RouteState::Connecting));
    let outcomes = vec![Outcome::Done; 2];
    tell(&mut bench, Told::Answer { order: order.order, outcomes });
    let what = |channel| PlayingWhat::Address { address: [239, 69, 1, 1].into(), port: 5004, channel };
    let playing = |channel| Playing { input: channel, what: what(channel), audio: true };
    tell(&mut bench, plays(vec![playing(0), playing(1)]));
    assert_eq!(route(&bench, &stage, 1).map(|route| route.state), Some(RouteState::Receiving));
    // Both links are removed: one order that stops it, and the keys go when it has.
    draw(&mut bench, &stage, 0, false);
    draw(&mut bench, &stage, 1, false);
    bench.pass(1);
    let [order] = &orders(&mut bench)[..] else { panic!("one order") };
    assert!(order.changes.len() == 2 && order.changes.iter().all(|change| change.play.is_none()));
    assert!(route(&bench, &stage, 0).is_some(), "until it is so");
    tell(&mut bench, Told::Answer { order: order.order, outcomes: vec![Outcome::Done; 2] });
    assert_eq!(route(&bench, &stage, 0), None);
}

#[test]
fn a_wish_outlives_device_agent_and_graph_with_its_nodes_offline() {
    let mut bench = Bench::new(Saved::default());
    let stage = studio(&mut bench);
    draw(&mut bench, &stage, 0, true);
    bench.pass(1);
    let order = orders(&mut bench).remove(0).order;
    tell(&mut bench, Told::Answer { order, outcomes: vec![Outcome::Done] });
    let saved = bench.model.saved.clone();

    // Computer and devices were off: nothing is in the graph, nobody is heard.
    let mut bench = Bench::new(saved);
    bench.connect();
    let offline: Vec<_> = bench.nodes().iter().map(|(id, node)| ((*id).to_owned(), node.offline)).collect();
    let expected = [format!("{MONITOR}.rx"), format!("{stage}.tx")].map(|id| (id, true));
    assert!(offline.len() == 2 && expected.iter().all(|node| offline.contains(node)), "{offline:?}");
    assert_eq!(route(&bench, &stage, 0).map(|route| route.state), Some(RouteState::Offline));
    bench.pass(100_000);
    assert_eq!(bench.nodes().len(), 2, "as long as it is wished");

    bench.hear(&sdp(4711, 21, "Stage", 1));
    speak(&mut bench, &stage);
    assert_eq!(orders(&mut bench), []);
    tell(&mut bench, receiver(2));
    tell(&mut bench, plays(Vec::new()));
    bench.pass(1);
    let [order] = &orders(&mut bench)[..] else { panic!("one order") };
    assert_eq!(order.changes.len(), 1);
    assert!(bench.nodes().iter().all(|(_, node)| !node.offline));
}

#[test]
fn a_refused_route_says_why_and_the_link_that_the_module_took_away_stays_away() {
    let mut bench = Bench::new(Saved::default());
    let stage = studio(&mut bench);
    draw(&mut bench, &stage, 0, true);
    bench.pass(1);
    let order = orders(&mut bench).remove(0).order;
    let refused = Outcome::Refused("The input\u{7} is locked.".into());
    tell(&mut bench, Told::Answer { order, outcomes: vec![refused] });
    let failed = route(&bench, &stage, 0).expect("is said");
    assert_eq!((failed.state, failed.error.as_str()), (RouteState::Failed, "The input is locked."));
    draw(&mut bench, &stage, 0, false);
    assert_eq!(route(&bench, &stage, 0), None);
    bench.pass(200);
    assert_eq!(orders(&mut bench), []);
    // The device restarted: what it refused then is asked again, and the link is back.
    tell(&mut bench, receiver(2));
    tell(&mut bench, plays(Vec::new()));
    bench.pass(1);
    assert_eq!(orders(&mut bench).len(), 1);
    assert_eq!(route(&bench, &stage, 0).map(|route| route.state), Some(RouteState::Connecting));
}

#[test]
fn a_link_that_was_refused_and_is_drawn_again_is_asked_again() {
    let mut bench = Bench::new(Saved::default());
    let stage = studio(&mut bench);
    draw(&mut bench, &stage, 0, true);
    bench.pass(1);
    let order = orders(&mut bench).remove(0).order;
    let outcomes = vec![Outcome::Refused("The input is locked.".into())];
    tell(&mut bench, Told::Answer { order, outcomes });
    // The module takes the link away, the agent the route, the module its key.
    draw(&mut bench, &stage, 0, false);
    let (output, input) = ends(&stage, 0);
    let key = format!("link.{}", pair_id(&output, &input));
    bench.event(GraphEvent::Property { key: Some(key), value: None });
    bench.settle();
    assert_eq!(route(&bench, &stage, 0), None);
    draw(&mut bench, &stage, 0, true);
    assert_eq!(route(&bench, &stage, 0).map(|route| route.state), Some(RouteState::Pending));
    bench.pass(1);
    let [order] = &orders(&mut bench)[..] else { panic!("one order") };
    let outcomes = vec![Outcome::Refused("The input is still locked.".into())];
    tell(&mut bench, Told::Answer { order: order.order, outcomes });
    let failed = route(&bench, &stage, 0).expect("is said again");
    assert_eq!((failed.state, failed.error.as_str()), (RouteState::Failed, "The input is still locked."));
}

#[test]
fn a_relayed_route_says_what_the_detour_adds() {
    let mut bench = Bench::new(Saved::default());
    let stage = studio(&mut bench);
    let node = bench.model.streams.get_mut(&stage).and_then(|stream| stream.node.as_mut()).expect("a node");
    node.direct = vec!["another".into()]; // no common language
    bench.settle();
    let connection = Connection { source: stage.clone(), sink: MONITOR.into(), map: vec![(0, 0)] };
    let latency_ns = |bench: &mut Bench| {
        let ask = Ask::Route(RouteAsk::CanConnect(connection.clone()));
        let possible = Possible::from_words(bench.model.handle_ask(bench.now, ask).expect("is known"));
        assert_eq!(possible.way, "relayed");
        let world = bench.model.refresh_world(bench.now);
        let shown =
            world.routes.values().map(|route| (route.way, route.relay_latency_ns)).collect::<Vec<_>>();
        assert_eq!(shown, [("relayed", possible.added_latency_ns)]);
        possible.added_latency_ns
    };
    let connections = vec![connection.clone()];
    let connect = Ask::Route(RouteAsk::Connect { connections, dry_run: false });
    bench.model.handle_ask(bench.now, connect).expect("is possible");
    bench.settle();
    assert_eq!(latency_ns(&mut bench), 4_000_000, "the class of 144 frames and a packet of 48");
    // The quantum asks for more: 1024 frames and two packets.
    let value = r#"{"state": "running", "latency": 1120}"#.to_owned();
    bench.event(GraphEvent::Property { key: Some(format!("state.{stage}.tx")), value: Some(value) });
    bench.settle();
    assert_eq!(latency_ns(&mut bench), 24_333_333, "1120 and 48 frames");
}

#[test]
fn what_another_controller_did_is_a_route_of_the_network() {
    let mut bench = Bench::new(Saved::default());
    let stage = studio(&mut bench);
    let what = PlayingWhat::Stream { id: stage.clone(), channel: 1 };
    tell(&mut bench, plays(vec![Playing { input: 1, what, audio: false }]));
    let found = route(&bench, &stage, 1).expect("is shown");
    assert_eq!((found.origin, found.state), (wireloom_wanted::RouteOrigin::Network, RouteState::Degraded));
    tell(&mut bench, plays(Vec::new()));
    assert_eq!(route(&bench, &stage, 1), None);
    bench.pass(60);
    assert_eq!(orders(&mut bench), []);
}

#[test]
fn who_goes_the_wrong_way_is_told_so() {
    let mut bench = Bench::new(Saved::default());
    let stage = studio(&mut bench);
    let mut can = |source: &str, sink: &str| {
        let connection = Connection { source: source.into(), sink: sink.into(), map: Vec::new() };
        let answer = bench.model.handle_ask(bench.now, Ask::Route(RouteAsk::CanConnect(connection)));
        let possible = Possible::from_words(answer.expect("both are known"));
        (possible.possible, possible.reason, possible.way)
    };
    let no = |reason: &str| (false, reason.to_owned(), "impossible".to_owned());
    assert_eq!(can(MONITOR, MONITOR), no("not-a-transmitter"));
    assert_eq!(can(&stage, &stage), no("not-a-receiver"));
    assert!(can(&stage, MONITOR).0);
}

#[test]
fn the_checks_of_a_route_name_the_step_that_is_missing() {
    let mut bench = Bench::new(Saved::default());
    let stage = studio(&mut bench);
    draw(&mut bench, &stage, 0, true);
    let order = |bench: &mut Bench| orders(bench).remove(0).order;
    let said = |bench: &mut Bench| {
        let now = bench.now;
        let world = bench.model.refresh_world(now);
        let route = world.routes.values().next().expect("there is a route");
        let verdicts: Vec<_> =
            route.checks.iter().map(|check| format!("{} {}", check.name, check.verdict.word())).collect();
        let failed = route.checks.iter().find(|check| check.verdict == crate::view::Verdict::Failed);
        (verdicts.join(", "), failed.map(|check| check.text.clone()).unwrap_or_default())
    };
    let good = "ends ok, present ok, way ok, link ok";
    bench.pass(1);
    let number = order(&mut bench);
    assert_eq!(said(&mut bench), (format!("{good}, ordered unknown, confirmed unknown"), String::new()));
    tell(&mut bench, Told::Answer { order: number, outcomes: vec![Outcome::Done] });
    let what = PlayingWhat::Address { address: [239, 69, 1, 1].into(), port: 5004, channel: 0 };
    let playing = |audio| plays(vec![Playing { input: 0, what: what.clone(), audio }]);
    tell(&mut bench, playing(false));
    let silent =
        (format!("{good}, ordered ok, confirmed failed"), "The receiver has no audio yet.".to_owned());
    assert_eq!(said(&mut bench), silent);
    tell(&mut bench, playing(true));
    assert_eq!(said(&mut bench), (format!("{good}, ordered ok, confirmed ok"), String::new()));
    // Without a common language it goes through this computer, and the stream's own checks count.
    bench.model.streams.get_mut(&stage).and_then(|known| known.node.as_mut()).expect("a node").direct.clear();
    bench.settle();
    let (verdicts, failed) = said(&mut bench);
    assert!(verdicts.starts_with("ends ok, present ok, way ok, link "), "{verdicts}");
    assert!(verdicts.contains(", source "), "{verdicts}: {failed}");
}

#[test]
fn of_two_nodes_with_one_name_the_first_is_linked_and_each_may_quit() {
    let mut bench = Bench::new(Saved::default());
    studio(&mut bench);
    let see = |bench: &mut Bench, object| {
        bench.event(GraphEvent::Object(object));
        bench.settle();
    };
    let node = |id, name: &str| GraphObject::Node { id, name: name.into(), class: String::new() };
    let port = |id, node, output| GraphObject::Port { id, node, output, index: 0, audio: true };
    let link = |id, output| GraphObject::Link { id, output, input: 31, is_virtual: false };
    for (id, name, output) in [(10, "Player", true), (20, "Player", true)] {
        see(&mut bench, node(id, name));
        see(&mut bench, port(id + 1, id, output));
    }
    see(&mut bench, node(30, &format!("wireloom.{MONITOR}.rx")));
    see(&mut bench, port(31, 30, false));
    see(&mut bench, GraphObject::Listed);
    let connections = vec![Connection { source: "Player".into(), sink: MONITOR.into(), map: vec![(0, 0)] }];
    bench
        .model
        .handle_ask(bench.now, Ask::Route(RouteAsk::Connect { connections, dry_run: false }))
        .expect("is possible");
    bench.pass(1);
    let made = |bench: &mut Bench| {
        let ops = std::iter::from_fn(|| bench.model.poll_link());
        ops.map(|op| match op {
            LinkOp::Make { output_port, .. } => output_port,
            LinkOp::Destroy { link } => panic!("{link} is destroyed"),
        })
        .collect::<Vec<_>>()
    };
    let wishes = |bench: &Bench| bench.model.routes.engine.saved().iter().filter(|wish| wish.wished).count();
    assert_eq!(made(&mut bench), [11]);
    see(&mut bench, link(40, 11));

    // The first quits: nobody withdrew anything, and the other takes its place.
    for id in [40, 11, 10] {
        see(&mut bench, GraphObject::Removed { id });
    }
    see(&mut bench, GraphObject::Synced);
    bench.pass(1);
    assert_eq!((wishes(&bench), made(&mut bench)), (1, vec![21]));
    see(&mut bench, link(41, 21));

    // Another one starts, is linked by hand, and its link goes: the route is still there.
    see(&mut bench, node(50, "Player"));
    see(&mut bench, port(51, 50, true));
    see(&mut bench, link(42, 51));
    see(&mut bench, GraphObject::Removed { id: 42 });
    see(&mut bench, GraphObject::Synced);
    bench.pass(1);
    assert_eq!((wishes(&bench), made(&mut bench)), (1, vec![]));
    see(&mut bench, GraphObject::Removed { id: 41 });
    see(&mut bench, GraphObject::Synced);
    bench.pass(1);
    assert_eq!((wishes(&bench), made(&mut bench)), (0, vec![]), "the last link was removed by a person");
}

#[test]
fn what_nobody_confirmed_is_taken_back_by_the_next_agent_when_the_first_was_killed() {
    let mut bench = Bench::new(Saved::default());
    let stage = studio(&mut bench);
    let wished = |bench: &Bench| {
        let wishes = bench.model.routes.engine.saved();
        let pairs = wishes.iter().filter(|wish| wish.wished).map(|wish| &wish.pair);
        pairs.map(|pair| (pair.output.channel, pair.input.channel)).collect::<Vec<_>>()
    };
    let connect = |bench: &mut Bench, map: (u32, u32)| {
        let connections = vec![Connection { source: stage.clone(), sink: MONITOR.into(), map: vec![map] }];
        let ask = Ask::Route(RouteAsk::Connect { connections, dry_run: false });
        bench.model.handle_ask(bench.now, ask).expect("is possible");
        bench.settle();
    };
    let checkpoint = |bench: &mut Bench| {
        let ask = Ask::Route(RouteAsk::CreateCheckpoint { client: ":1.7".into(), timeout_s: 600 });
        bench.model.handle_ask(bench.now, ask).expect("can be made").remove(0)
    };
    connect(&mut bench, (0, 0));
    let before = checkpoint(&mut bench);
    connect(&mut bench, (1, 1));
    let second = checkpoint(&mut bench);
    assert_eq!(wished(&bench), [(0, 0), (1, 1)]);
    // The younger one is confirmed; the older one still is not.
    let confirm = |id: &str| Ask::Route(RouteAsk::EndCheckpoint { id: id.to_owned(), rollback: false });
    bench.model.handle_ask(bench.now, confirm(&second)).expect("is there");
    let killed = bench.model.saved.clone();
    let next = Bench::new(killed);
    assert_eq!(wished(&next), [(0, 0)]);
    assert_eq!(next.model.saved.unconfirmed, None, "once is enough");

    bench.model.handle_ask(bench.now, confirm(&before)).expect("is there");
    let confirmed = bench.model.unsaved().expect("there is something to save");
    assert_eq!(wished(&Bench::new(confirmed)), wished(&bench));
}

#[test]
fn what_is_sent_to_a_receiver_leaves_by_the_interface_of_its_network() {
    let mut bench = Bench::new(Saved::default());
    studio(&mut bench);
    let near = bench.model.interfaces[0].clone();
    let far = InterfaceFacts {
        name: "eth1".into(),
        index: 3,
        addresses: vec![([198, 51, 100, 10].into(), 24)],
        ..near.clone()
    };
    let leaves_by = |bench: &Bench| bench.model.way_to(MONITOR).expect("a way").0.name;
    bench.model.handle_interfaces(bench.now, vec![far.clone(), near.clone()]);
    assert_eq!(leaves_by(&bench), near.name);
    bench.model.handle_interfaces(bench.now, vec![far.clone()]);
    assert_eq!(leaves_by(&bench), far.name, "there is no other");
}

#[test]
fn a_route_from_a_silent_source_is_not_receiving() {
    let mut bench = Bench::new(Saved::default());
    let stage = studio(&mut bench);
    let node = bench.model.streams.get_mut(&stage).and_then(|stream| stream.node.as_mut()).expect("a node");
    node.direct = vec!["another".into()]; // relayed: this computer receives it
    bench.settle();
    let connections = vec![Connection { source: stage.clone(), sink: MONITOR.into(), map: vec![(0, 0)] }];
    let connect = Ask::Route(RouteAsk::Connect { connections, dry_run: false });
    bench.model.handle_ask(bench.now, connect).expect("is possible");
    let see = |bench: &mut Bench, object| bench.event(GraphEvent::Object(object));
    let port = |id, node, output| GraphObject::Port { id, node, output, index: 0, audio: true };
    for (id, name, output) in [(10, format!("{stage}.tx"), true), (20, format!("{MONITOR}.rx"), false)] {
        see(&mut bench, GraphObject::Node { id, name: format!("wireloom.{name}"), class: String::new() });
        see(&mut bench, port(id + 1, id, output));
    }
    see(&mut bench, GraphObject::Link { id: 40, output: 11, input: 21, is_virtual: false });
    see(&mut bench, GraphObject::Listed);
    bench.settle();
    for order in orders(&mut bench) {
        tell(&mut bench, Told::Answer { order: order.order, outcomes: vec![Outcome::Done] });
    }
    let what = PlayingWhat::Address {
        address: bench.model.streams[MONITOR].node.as_ref().expect("a node").legs[0].address,
        port: 5004,
        channel: 0,
    };
    tell(&mut bench, plays(vec![Playing { input: 0, what, audio: true }]));
    for (state, expected) in [("waiting", "degraded"), ("running", "receiving"), ("silent", "degraded")] {
        let value = format!(r#"{{"state": "{state}", "latency": 144, "port": 5004}}"#);
        bench.event(GraphEvent::Property { key: Some(format!("state.{stage}.tx")), value: Some(value) });
        bench.settle();
        let world = bench.model.refresh_world(bench.now);
        let route = world.routes.values().next().expect("there is a route");
        assert_eq!((route.condition.state, route.channels[0].state), (expected, expected), "{route:?}");
    }
}
