//! The model in virtual time: what it wants after hours that pass in microseconds.

mod beside;
mod crowd;
mod devices;
mod executor;
mod oat;
mod offered;
mod own;
mod ravenna;

use std::collections::BTreeMap;
use std::net::IpAddr;

use wireloom_sdp::{SapPacket, Via, message_hash};
use wireloom_units::Nanos;
use wireloom_wanted::Node;

use super::around::Around;
use super::device_keys::Named;
use super::known::node_id;
use super::oat::Says;
use super::routes::device_of;
use super::settle::Written;
use super::{GraphEvent, InterfaceFacts, Model, stream_state};
use crate::request::{Ask, Setting, StreamSetting};
use crate::settings::Settings;
use crate::store::Saved;
use crate::time::Now;
use crate::view::{Condition, World};

/// So few streams are looked at one by one after every step.
const FEW: usize = 50;

/// A model with one interface and an object that stores what is written, as PipeWire does.
pub(super) struct Bench {
    pub(super) model: Model,
    pub(super) now: Now,
    pub(super) object: std::collections::BTreeMap<String, String>,
    writes: usize,
    /// How often the model came to rest.
    settled: usize,
}

impl Bench {
    pub(super) fn new(saved: Saved) -> Self {
        let now = Now { mono: Nanos::from_secs(1000), wall_us: 1_700_000_000_000_000 };
        let mut number = 7_u32;
        let mut model = Model::new(now, Settings::default(), saved, move || {
            number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            number
        });
        model.handle_active(true);
        let facts = InterfaceFacts {
            name: "eth0".into(),
            index: 2,
            up: true,
            multicast: true,
            addresses: vec![(IpAddr::from([192, 0, 2, 10]), 24)],
            ..InterfaceFacts::default()
        };
        model.handle_interfaces(now, vec![facts]);
        Self { model, now, object: Default::default(), writes: 0, settled: 0 }
    }

    /// PipeWire is there, with `object` in its metadata.
    pub(super) fn connect(&mut self) {
        self.event(GraphEvent::Connected);
        self.event(GraphEvent::ObjectAppeared);
        for (key, value) in self.object.clone() {
            self.event(GraphEvent::Property { key: Some(key), value: Some(value) });
        }
        self.event(GraphEvent::Settled);
        self.settle();
    }

    pub(super) fn event(&mut self, event: GraphEvent) {
        self.model.handle_graph(self.now, event);
    }

    pub(super) fn settle(&mut self) {
        self.model.settle(self.now);
        if self.model.is_settled() && self.model.streams.len() < FEW {
            self.is_settled();
        }
        while let Some(op) = self.model.poll_graph() {
            self.writes += 1;
            match &op.value {
                Some(value) => self.object.insert(op.key.clone(), value.clone()),
                None => self.object.remove(&op.key),
            };
            self.event(GraphEvent::Property { key: Some(op.key), value: op.value });
        }
        if self.model.streams.len() < FEW {
            self.model.judge_streams(self.now);
            self.is_as_made_anew();
        }
    }

    /// Settling again changes nothing, also when nothing is remembered of what was looked at before. That is forgotten now
    /// and then only, so that what is remembered is put to use as well.
    fn is_settled(&mut self) {
        let seen = |model: &mut Model, now: Now| {
            let world = World { serial: 0, ..World::clone(&model.refresh_world(now)) };
            let (due, plan) = (model.poll_timeout(), model.oat_plan().clone());
            (world, due, plan, model.graph.under_way(), model.routes.engine.revision())
        };
        let once = seen(&mut self.model, self.now);
        self.settled += 1;
        if self.settled.is_multiple_of(3) {
            self.model.around = Around::default();
        }
        self.model.settle(self.now);
        assert!(seen(&mut self.model, self.now) == once);
    }

    /// What was made of a stream before is what would be made of it now.
    fn is_as_made_anew(&mut self) {
        let world = self.model.refresh_world(self.now);
        let devices: BTreeMap<_, _> =
            world.devices.iter().map(|(id, view)| (id.clone(), (**view).clone())).collect();
        assert_eq!(devices, self.model.device_views());
        assert_eq!(self.model.around.users, self.model.address_users());
        for (id, stream) in &self.model.streams {
            let facts = self.model.facts_of(id, stream);
            let Condition { state, reason, text, .. } = stream.condition.clone();
            assert_eq!((state, reason, text), stream_state::state_of(stream, &facts), "{id}");
            let anew = self.model.beside(id, stream).view(id, stream);
            assert_eq!(*world.streams[id], anew);
            let rules = self.model.rules_of(id, stream);
            if let Some(written) = stream.still(&stream.written, &rules) {
                assert_eq!(Some(written.entry()), Written::anew(id, stream, &rules), "{id}");
            }
            if let (Some(node), Some(made)) = (&stream.node, &stream.named) {
                let alias = self.model.saved.devices.get(&node.device).cloned();
                let anew = Named::new(&node.device, stream, alias.as_deref());
                let still = stream.still(&stream.named, &alias);
                assert!(still.is_none_or(|named| Some(named) == anew.as_ref()), "{id}: {made:?}");
            }
            let control = self.model.control_of(id);
            if let (Some(()), Some(device)) =
                (stream.still(&stream.told, &control), device_of(stream, control.as_ref()))
            {
                let name = format!("wireloom.{}", node_id(id, stream.is_transmit()));
                assert_eq!(self.model.routes.engine.device(&name.as_str().into()), Some(&device), "{id}");
            }
            assert_eq!(stream.says(), Says::of(stream).as_ref(), "{id}");
            assert_eq!(stream.device_id(), stream.device());
        }
    }

    /// Lets `seconds` pass, settling whenever the model asks for it.
    pub(super) fn pass(&mut self, seconds: u64) {
        let end = self.now.mono.plus(Nanos::from_secs(seconds));
        while self.now.mono < end {
            let due = self.model.poll_timeout().filter(|due| *due > self.now.mono).unwrap_or(end);
            let next = due.max(self.now.mono.plus(Nanos::from_millis(1))).min(end);
            self.now.wall_us += next.since(self.now.mono).0 / 1000;
            self.now.mono = next;
            self.settle();
        }
    }

    pub(super) fn hear(&mut self, sdp: &str) {
        self.hear_from(21, sdp);
        self.settle();
    }

    /// A host of the network announces `sdp`; the settling is left to the caller.
    pub(super) fn hear_from(&mut self, host: u8, sdp: &str) {
        let from = IpAddr::from([192, 0, 2, host]);
        let hash = message_hash(sdp.as_bytes());
        let payload = sdp.as_bytes().into();
        let packet = SapPacket { delete: false, is_version_0: false, hash, origin: from, payload };
        let via = Via { interface: 2, group: None };
        self.model.handle_datagram(self.now, from, via, &packet.emit()).expect("well-formed");
    }

    pub(super) fn nodes(&self) -> Vec<(&str, Node)> {
        let nodes = self.object.iter().filter_map(|(key, value)| Some((key.strip_prefix("node.")?, value)));
        nodes.map(|(id, value)| (id, serde_json::from_str(value).expect("a node"))).collect()
    }

    pub(super) fn state(&mut self, node: &str, links: u32, state: &str) {
        let value = format!(r#"{{"state": "{state}", "links": {links}}}"#);
        self.event(GraphEvent::Property { key: Some(format!("state.{node}")), value: Some(value) });
        self.settle();
    }
}

pub(super) fn sdp(session: u32, host: u8, name: &str, group: u8) -> String {
    format!(
        "v=0\r\no=- {session} 1 IN IP4 192.0.2.{host}\r\ns={name}\r\nc=IN IP4 239.69.1.{group}/32\r\nt=0 0\r\n\
         m=audio 5004 RTP/AVP 97\r\na=rtpmap:97 L24/48000/2\r\na=ptime:1\r\na=mediaclk:direct=0\r\n"
    )
}

#[test]
fn a_kept_node_stays_for_the_normal_expiry_and_goes_then() {
    let mut first = Bench::new(Saved::default());
    first.connect();
    first.hear(&sdp(4711, 21, "Stage", 1));
    assert_eq!(first.nodes().len(), 1);
    let mut next = Bench::new(Saved::default());
    next.object = first.object.clone();
    next.connect();
    next.pass(449);
    assert_eq!((next.object == first.object, next.writes), (true, 0), "nothing differs, nothing is written");
    next.pass(2);
    assert!(next.object.is_empty());
}

#[test]
fn a_kept_node_that_is_linked_stays_offline_until_its_link_goes() {
    let mut first = Bench::new(Saved::default());
    first.connect();
    first.hear(&sdp(4711, 21, "Stage", 1));
    let mut next = Bench::new(Saved::default());
    next.object = first.object;
    next.connect();
    let id = next.nodes()[0].0.to_owned();
    next.state(&id, 2, "silent");
    next.pass(500);
    assert!(next.nodes()[0].1.offline);
    next.hear(&sdp(4711, 21, "Stage", 1));
    assert!(!next.nodes()[0].1.offline, "it came back");
    assert_eq!(next.nodes()[0].0, id);
}

#[test]
fn a_kept_node_that_plays_is_known_to_play_and_stays() {
    let mut first = Bench::new(Saved::default());
    first.connect();
    first.hear(&sdp(4711, 21, "Stage", 1));
    let id = first.nodes()[0].0.to_owned();
    let mut next = Bench::new(Saved::default());
    next.object = first.object;
    let state = r#"{"state": "running", "mode": "locked", "links": 2}"#;
    next.object.insert(format!("state.{id}"), state.to_owned());
    next.connect();
    let running = |bench: &Bench| bench.model.streams.values().filter(|stream| stream.runs()).count();
    assert_eq!(running(&next), 1);
    next.pass(500);
    assert_eq!((running(&next), next.nodes()[0].1.offline), (1, false), "its packets still come");
}

#[test]
fn a_device_that_moves_while_the_agent_is_away_keeps_its_id() {
    let mut first = Bench::new(Saved::default());
    first.connect();
    first.hear(&sdp(4711, 21, "Stage", 1));
    let id = first.nodes()[0].0.to_owned();
    let saved = first.model.unsaved().expect("there is something to save");
    let mut next = Bench::new(saved);
    next.connect();
    next.hear(&sdp(4711, 99, "Stage", 1));
    assert_eq!(next.nodes()[0].0, id);
    // A short session id is nobody's own: two devices, two streams.
    next.hear(&sdp(1, 21, "Stage", 2));
    next.hear(&sdp(1, 22, "Stage", 3));
    assert_eq!(next.nodes().len(), 3);
}

#[test]
fn the_limit_keeps_linked_and_pinned_nodes_and_says_who_waits() {
    let mut bench = Bench::new(Saved::default());
    bench.connect();
    for number in 1..=6 {
        bench.hear(&sdp(5000 + u32::from(number), 21, &format!("Stream {number}"), number));
    }
    let by_name = |bench: &Bench, name: &str| {
        bench.nodes().into_iter().find(|(_, node)| node.text.name == name).map(|(id, _)| id.to_owned())
    };
    let (linked, pinned) = (by_name(&bench, "Stream 5"), by_name(&bench, "Stream 6"));
    bench.state(&linked.expect("has a node"), 1, "running");
    let id = pinned.expect("has a node").trim_end_matches(".tx").to_owned();
    bench
        .model
        .handle_ask(bench.now, Ask::SetStream { id, setting: StreamSetting::Pinned(true) })
        .expect("can be pinned");
    bench.model.handle_ask(bench.now, Ask::Set(Setting::NodeLimit(3))).expect("in range");
    bench.settle();
    for (name, shown) in [("Stream 1", true), ("Stream 2", false), ("Stream 5", true), ("Stream 6", true)] {
        assert_eq!(by_name(&bench, name).is_some(), shown, "{name}");
    }
    let world = bench.model.refresh_world(bench.now);
    let hidden = world.streams.values().find(|stream| stream.name == "Stream 2").expect("still an object");
    assert_eq!((hidden.condition.state, hidden.hidden_reason), ("hidden", "node-limit"));
}

#[test]
fn nodes_are_devices_of_the_desktop_only_beside_real_ones_and_never_change_while_linked() {
    use wireloom_wanted::Show;
    let mut bench = Bench::new(Saved::default());
    bench.connect();
    bench.hear(&sdp(5000, 21, "Stage", 1));
    assert_eq!(bench.nodes()[0].1.show, Show::Patchbay);
    let id = bench.nodes()[0].0.to_owned();
    bench.state(&id, 1, "running");
    bench.event(GraphEvent::Devices { sources: 1, sinks: 0 });
    bench.settle();
    assert_eq!(bench.nodes()[0].1.show, Show::Patchbay, "linked");
    bench.state(&id, 0, "idle");
    assert_eq!(bench.nodes()[0].1.show, Show::Desktop);
    bench.event(GraphEvent::Devices { sources: 0, sinks: 1 });
    bench.settle();
    assert_eq!(bench.nodes()[0].1.show, Show::Patchbay, "no other device of its direction");
}

#[test]
fn a_node_is_told_that_the_user_chose_it_as_a_default_device() {
    let mut bench = Bench::new(Saved::default());
    bench.connect();
    bench.hear(&sdp(5000, 21, "Stage", 1));
    let name = format!("wireloom.{}", bench.nodes()[0].0);
    for (sink, name, chosen) in
        [(true, Some(&name), false), (false, Some(&name), true), (true, None, true), (false, None, false)]
    {
        bench.event(GraphEvent::Chosen { sink, name: name.cloned() });
        bench.settle();
        assert_eq!(bench.nodes()[0].1.chosen, chosen, "{sink} {name:?}");
    }
}

#[test]
fn of_more_than_sixteen_nodes_only_pinned_and_wished_ones_are_devices_of_the_desktop() {
    use crate::model::GraphObject;
    use crate::request::{Connection, RouteAsk};
    use wireloom_wanted::Show;
    let mut bench = Bench::new(Saved::default());
    bench.connect();
    bench.event(GraphEvent::Devices { sources: 1, sinks: 0 });
    let hear = |bench: &mut Bench, number: u8| {
        bench.hear(&sdp(5000 + u32::from(number), 21, &format!("Stream {number}"), number));
    };
    let desktop = |bench: &Bench| -> Vec<String> {
        let mut names: Vec<String> = bench
            .nodes()
            .into_iter()
            .filter(|(_, node)| node.show == Show::Desktop)
            .map(|(_, node)| node.text.name)
            .collect();
        names.sort();
        names
    };
    (1..=16).for_each(|number| hear(&mut bench, number));
    assert_eq!(desktop(&bench).len(), 16);
    let id = |bench: &Bench, name: &str| {
        let node = bench.nodes().into_iter().find(|(_, node)| node.text.name == name).expect("has a node");
        node.0.trim_end_matches(".tx").to_owned()
    };
    let (linked, pinned, wished) = (id(&bench, "Stream 3"), id(&bench, "Stream 5"), id(&bench, "Stream 7"));
    bench.state(&format!("{linked}.tx"), 1, "running");
    bench
        .model
        .handle_ask(bench.now, Ask::SetStream { id: pinned, setting: StreamSetting::Pinned(true) })
        .expect("can be pinned");
    for object in [
        GraphObject::Node { id: 10, name: "Recorder".into(), class: String::new() },
        GraphObject::Port { id: 11, node: 10, output: false, index: 0, audio: true },
        GraphObject::Listed,
    ] {
        bench.event(GraphEvent::Object(object));
    }
    let connections = vec![Connection { source: wished, sink: "Recorder".into(), map: vec![(0, 0)] }];
    let wish = Ask::Route(RouteAsk::Connect { connections, dry_run: false });
    bench.model.handle_ask(bench.now, wish).expect("can be wished");
    bench.settle();
    hear(&mut bench, 17);
    assert_eq!(desktop(&bench), ["Stream 3", "Stream 5", "Stream 7"]);
    bench.state(&format!("{linked}.tx"), 0, "idle");
    assert_eq!(desktop(&bench), ["Stream 5", "Stream 7"], "nobody uses it any more");
}

#[test]
fn an_agent_that_starts_says_so_until_it_knows_how_pipewire_is() {
    fn said(bench: &mut Bench) -> (&'static str, &'static str) {
        bench.settle();
        (bench.model.condition.state, bench.model.condition.reason)
    }
    let mut bench = Bench::new(Saved::default());
    assert_eq!(said(&mut bench), ("starting", "none"));
    bench.connect();
    assert_eq!(said(&mut bench), ("running", "none"));
    bench.event(GraphEvent::Disconnected);
    assert_eq!(said(&mut bench), ("waiting", "no-pipewire"), "it does not start again");

    let mut bench = Bench::new(Saved::default());
    bench.event(GraphEvent::Disconnected);
    assert_eq!(said(&mut bench), ("waiting", "no-pipewire"), "as soon as that is known");

    let mut bench = Bench::new(Saved::default());
    bench.event(GraphEvent::Connected);
    assert_eq!(said(&mut bench), ("starting", "none"));
    bench.pass(3);
    assert_eq!(bench.model.condition.reason, "no-module", "nothing comes for ever");
}

#[test]
fn what_is_removed_before_pipewire_is_there_is_not_adopted_later() {
    let mut first = Bench::new(Saved::default());
    first.connect();
    first.hear(&sdp(4711, 21, "Stage", 1));
    let id = first.nodes()[0].0.trim_end_matches(".tx").to_owned();
    let mut next = Bench::new(Saved::default());
    next.object = first.object;
    next.hear(&sdp(4711, 21, "Stage", 1));
    next.model.handle_ask(next.now, Ask::Remove { id, dry_run: false }).expect("is known");
    next.connect();
    assert!(next.object.is_empty());
}

#[test]
fn a_stream_that_names_several_senders_is_not_bound_to_the_first() {
    let mut bench = Bench::new(Saved::default());
    bench.connect();
    for (number, sources) in [(1, "192.0.2.21"), (2, "192.0.2.21 192.0.2.22")] {
        let filter = format!("a=source-filter: incl IN IP4 239.69.1.{number} {sources}\r\n");
        bench.hear(&(sdp(4000 + u32::from(number), 21, &format!("Stage {number}"), number) + &filter));
    }
    let source = |name: &str| {
        let nodes = bench.nodes();
        nodes.iter().find(|(_, node)| node.text.name == name).expect("has a node").1.legs[0].source
    };
    assert_eq!(source("Stage 1"), Some(IpAddr::from([192, 0, 2, 21])));
    assert_eq!(source("Stage 2"), None);
}

#[test]
fn the_node_carries_what_the_description_says_of_senders_and_packets() {
    let mut bench = Bench::new(Saved::default());
    bench.connect();
    let excluded = "a=source-filter: excl IN IP4 * 192.0.2.66 192.0.2.67\r\n";
    bench.hear(&(sdp(4001, 21, "Stage 1", 1) + excluded + "a=ssrc:4275878552 cname:stage\r\n"));
    bench.hear(&(sdp(4002, 21, "Stage 2", 2) + "a=ssrc:1 cname:stage\r\na=ssrc:2 cname:stage\r\n"));
    let node = |name: &str| {
        let nodes = bench.nodes();
        nodes.iter().find(|(_, node)| node.text.name == name).expect("has a node").1.clone()
    };
    assert_eq!(node("Stage 1").legs[0].excluded, [66, 67].map(|host| IpAddr::from([192, 0, 2, host])));
    assert_eq!(node("Stage 1").media.ssrc, Some(4_275_878_552));
    assert!(node("Stage 2").legs[0].excluded.is_empty());
    assert_eq!(node("Stage 2").media.ssrc, None, "of two any may be the one that is received");
}

#[test]
fn what_strangers_call_themselves_does_not_fill_the_saved_state() {
    let mut bench = Bench::new(Saved::default());
    let long = |number: u32| {
        sdp(4000 + number, 21, &"\u{e9}".repeat(900), 1).replace("o=-", &format!("o={}", "u".repeat(1900)))
    };
    bench.hear(&long(1));
    bench.hear(&long(2));
    let saved = bench.model.unsaved().expect("there is something to save");
    assert_eq!(saved.streams.len(), 2, "still two streams");
    for stream in saved.streams.values() {
        assert!(stream.mark.len() <= 160 && stream.keys.iter().all(|key| key.len() <= 160));
    }
}

#[test]
fn a_stream_without_a_name_is_called_as_its_group() {
    let mut bench = Bench::new(Saved::default());
    bench.connect();
    bench.hear("v=0\nm=audio 5004 RTP/AVP 97\nc=IN IP4 239.69.1.9\na=rtpmap:97 L24/48000/2\n");
    let world = bench.model.refresh_world(bench.now);
    assert_eq!(world.streams.values().next().expect("one").name, "239.69.1.9:5004");
    assert_eq!(bench.nodes()[0].1.text.name, "239.69.1.9:5004");
}

#[test]
fn no_text_of_the_network_breaks_a_string_of_the_bus() {
    let mut bench = Bench::new(Saved::default());
    bench.connect();
    let nul = "\0x";
    bench.hear(
        &(sdp(5000, 21, &format!("Desk{nul}"), 1)
            + &format!(
                "i=2 channels: L{nul}, R{nul}\r\na=ts-refclk:ptp{nul}=traceable\r\na=mid:{nul}\r\na=tool:{nul}\r\n"
            )),
    );
    bench.hear(&sdp(5001, 22, &format!("Broken{nul}"), 2).replace("L24", &format!("opus{nul}")));
    let world = bench.model.refresh_world(bench.now);
    assert_eq!(world.streams.len(), 2);
    for stream in world.streams.values() {
        let shown = serde_json::to_string(&**stream).expect("plain values");
        assert!(!shown.contains("\\u0000"), "{shown}");
        assert!(stream.sdp.contains('x') && !stream.sdp.contains('\0'), "{}", stream.sdp);
    }
    for device in world.devices.values() {
        let shown = serde_json::to_string(&**device).expect("plain values");
        assert!(!shown.contains("\\u0000"), "{shown}");
    }
}
