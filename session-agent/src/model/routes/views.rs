//! Routes as the bus shows them: one for each two ends, with its channels.

use std::collections::BTreeMap;

use wireloom_route::{Answer, DeviceId, Pair, Route, RouteState};
use wireloom_units::Nanos;

use super::super::Model;
use super::devices::{engine_id, node_name, stream_id};
use super::requests::hashed;
use super::why;
use crate::time::Now;
use crate::view::{Condition, RouteChannelView, RouteView};

/// The way of a route that passes through this computer.
const RELAYED: &str = "relayed";

/// Channels of a route that fare alike.
struct Alike {
    route: Route,
    channels: Vec<(u16, u16)>,
}

impl Alike {
    fn holds(&self, other: &Route) -> bool {
        let Route { state, reason, way, text, .. } = &self.route;
        (state, reason, way, text) == (&other.state, &other.reason, &other.way, &other.text)
    }
}

/// The id of the route that `pair` is a channel of.
pub fn route_id(pair: &Pair) -> String {
    hashed("r", &format!("{}\0{}", pair.output.device, pair.input.device))
}

impl Model {
    /// Finds the routes anew when something about them changed.
    pub(in super::super) fn view_routes(&mut self, now: Now) {
        let revision = self.routes.engine.revision();
        if self.routes.viewed_revision == Some(revision) {
            return;
        }
        self.routes.viewed_revision = Some(revision);
        let mut views: BTreeMap<String, RouteView> = BTreeMap::new();
        let mut channels: BTreeMap<String, Vec<Alike>> = BTreeMap::new();
        for route in self.routes.engine.routes() {
            if !route.wished && matches!(route.way, Answer::Impossible(_)) {
                continue; // what a receiver plays of somebody whom nobody knows
            }
            let id = route_id(&route.pair);
            let view = views.entry(id.clone()).or_insert_with(|| RouteView {
                id: id.clone(),
                source: node_name(&route.pair.output.device).to_owned(),
                sink: node_name(&route.pair.input.device).to_owned(),
                source_stream: stream_id(&route.pair.output.device).unwrap_or_default().to_owned(),
                sink_stream: stream_id(&route.pair.input.device).unwrap_or_default().to_owned(),
                ..RouteView::default()
            });
            view.desired |= route.wished;
            view.channels.push(RouteChannelView {
                source: u32::from(route.pair.output.channel),
                sink: u32::from(route.pair.input.channel),
                desired: route.wished,
                state: word(route.state),
                reason: route.reason,
            });
            let pair = (route.pair.output.channel, route.pair.input.channel);
            let groups = channels.entry(id).or_default();
            match groups.iter_mut().find(|group| group.holds(&route)) {
                Some(group) => group.channels.push(pair),
                None => groups.push(Alike { route, channels: vec![pair] }),
            }
        }
        let before = std::mem::take(&mut self.routes.views);
        for (id, view) in &mut views {
            let groups = channels.remove(id).unwrap_or_default();
            let Some(Alike { route, .. }) = groups.iter().rev().max_by_key(|group| group.route.state) else {
                continue;
            };
            view.way = match &route.way {
                Answer::Direct { .. } => "direct",
                Answer::Here => "here",
                Answer::Relayed => RELAYED,
                Answer::Impossible(_) => "impossible",
            };
            let mut condition: Condition =
                before.get(id).map(|view| view.condition.clone()).unwrap_or_default();
            let text = self.in_words(&self.in_words(&route.text));
            condition.become_(word(route.state), route.reason, text, now.wall_us);
            view.condition = condition;
            let ends = [&route.pair.output.device, &route.pair.input.device];
            let is_away = |id: &&&wireloom_route::DeviceId| {
                !self.routes.engine.device(id).is_some_and(wireloom_route::Device::is_there)
            };
            let away = ends.iter().find(is_away).map(|id| id.as_str());
            let detour = self.relay_latency(ends[0], ends[1]);
            let name = |text: &str| self.in_words(&self.in_words(text));
            let lists = groups.iter().map(|Alike { route, channels }| {
                let steps = self.routes.engine.steps(&route.pair, &route.way);
                (channels.as_slice(), why::checks(&route.way, detour, &steps, away, name))
            });
            view.checks = why::merged(lists.collect());
        }
        self.routes.views = views;
    }

    /// Presets: roles, and the nodes that had them.
    pub(in super::super) fn preset_views(&self) -> BTreeMap<String, BTreeMap<String, String>> {
        let role = |(role, id): (&String, &String)| (role.clone(), node_name(&id.as_str().into()).to_owned());
        let roles = |roles: &BTreeMap<String, String>| roles.iter().map(role).collect();
        self.saved.presets.iter().map(|(name, preset)| (name.clone(), roles(&preset.roles))).collect()
    }

    /// What the detour through this computer adds: the latency at which the source is received, the module's own word
    /// where there is one (it contains what a long quantum asks for), and the packet that is filled before it is sent.
    pub(super) fn relay_latency(&self, source: &DeviceId, sink: &DeviceId) -> Nanos {
        let known = |id| stream_id(id).and_then(|id| self.streams.get(id));
        let media = |id| Some(&known(id)?.node.as_ref()?.media);
        let told = known(source).and_then(|stream| stream.report.as_ref()).map_or(0, |report| report.latency);
        let latency = if told == 0 { self.settings.latency_frames } else { told };
        let time = |frames: u32, rate: u32| u64::from(frames) * 1_000_000_000 / u64::from(rate.max(1));
        let receive = media(source).map_or(0, |media| time(latency, media.rate));
        let packet = media(sink).map_or(0, |media| time(media.samples_per_packet, media.rate));
        Nanos(receive + packet)
    }

    pub(in super::super) fn route_views(&self) -> impl Iterator<Item = (String, RouteView)> {
        self.routes.views.iter().map(|(id, view)| {
            let source = engine_id(&view.source, wireloom_route::Side::Transmits);
            let sink = engine_id(&view.sink, wireloom_route::Side::Receives);
            let mut view = view.clone();
            (view.source_name, view.sink_name) = (self.name_of(&source), self.name_of(&sink));
            if view.way == RELAYED {
                view.relay_latency_ns = self.relay_latency(&source, &sink).0;
            }
            // Of a direct route this computer receives nothing that could be looked at.
            if let Some(stream) = self.streams.get(&view.source_stream).filter(|_| view.way != "direct") {
                let facts = self.facts_of(&view.source_stream, stream);
                let checks = super::super::why::checks(stream, &facts);
                view.checks.push(why::source(&view.source_name, &checks));
                hear(&mut view, &stream.condition);
            }
            (id.clone(), view)
        })
    }
}

/// A route of which this computer receives the source: while `stream` is silent, so is each of its channels, however well
/// it is made.
fn hear(view: &mut RouteView, stream: &Condition) {
    const REASON: &str = "no-audio";
    let (good, silent) = (word(RouteState::Receiving), word(RouteState::Degraded));
    if stream.state == "running" {
        return;
    }
    for channel in view.channels.iter_mut().filter(|channel| channel.state == good) {
        (channel.state, channel.reason) = (silent, REASON);
    }
    if view.condition.state == good {
        let source = &view.source_name;
        let text = match stream.text.as_str() {
            "" => format!("No audio comes from {source} yet."),
            text => format!("{source}: {text}"),
        };
        let since_us = view.condition.since_us.max(stream.since_us);
        view.condition = Condition { state: silent, reason: REASON, text, since_us };
    }
}

fn word(state: RouteState) -> &'static str {
    match state {
        RouteState::Pending => "pending",
        RouteState::Connecting => "connecting",
        RouteState::Receiving => "receiving",
        RouteState::Degraded => "degraded",
        RouteState::Offline => "offline",
        RouteState::Failed => "failed",
    }
}
