//! What the bus shows, made from what is known.

use std::collections::BTreeMap;
use std::sync::Arc;

use wireloom_clock_page::LineState;
use wireloom_units::ClockIdentity;
use wireloom_wanted::{ClockRelation, Mode};

use super::known::node_id;
use super::why::Facts;
use super::{Entry, InterfaceFacts, Known, Model, clock, device, node, why};
use crate::settings::Show;
use crate::side_by_side::side_by_side;
use crate::time::Now;
use crate::view::{ClockView, DeviceView, InterfaceView, JobView, LegView, ManagerView, StreamView, World};

impl Model {
    /// Decides the states that people see, so that each remembers when it began.
    pub(super) fn judge_states(&mut self, now: Now) {
        let (state, reason, text) = self.manager_state(now);
        self.condition.become_(state, reason, text, now.wall_us);
        self.judge_streams(now);
        let ids: Vec<_> =
            self.clock.lines.iter().map(|line| (clock::naming(line.source).0, line.state)).collect();
        let (alive, leaderless) = (self.clock.alive, self.leaderless());
        for (id, state) in ids {
            let condition = self.clock_conditions.entry(id.clone()).or_default();
            let (word, reason, text) = clock_state(state, alive, leaderless.contains(&id));
            condition.become_(word, reason, text.to_owned(), now.wall_us);
        }
    }

    /// Makes the world anew; entries that did not change are shared with the one before.
    pub fn refresh_world(&mut self, now: Now) -> Arc<World> {
        self.view_routes(now);
        self.look_around(now);
        self.note_hearings(now);
        let old = self.world.clone();
        let mut streams = Vec::new();
        let mut anew = Vec::new();
        for (id, before, stream) in side_by_side(&old.streams, &self.streams) {
            let Some(stream) = stream else { continue };
            let since = self.since(stream);
            if let Some(view) = before.filter(|_| stream.rests(&stream.viewed, since)) {
                streams.push((id.to_owned(), view.clone()));
                continue;
            }
            let beside = self.beside(id, stream);
            let view = match (before, &stream.viewed) {
                (Some(view), Some(viewed)) if stream.still(&stream.viewed, &beside).is_some() => {
                    viewed.keep(since);
                    view.clone()
                }
                _ => {
                    let view = shared(before, beside.view(id, stream));
                    anew.push((id.to_owned(), beside));
                    view
                }
            };
            streams.push((id.to_owned(), view));
        }
        let of = [self.around.roll, self.saved.devices.stamp()];
        let devices = match self.around.viewed.replace(of) == Some(of) {
            true => old.devices.clone(),
            false => share(&old.devices, self.device_views()),
        };
        let world = World {
            serial: old.serial + 1,
            manager: shared(Some(&old.manager), self.manager_view()),
            interfaces: share(&old.interfaces, self.interface_views()),
            clocks: share(&old.clocks, self.clock_views()),
            devices,
            streams: streams.into_iter().collect(),
            routes: share(&old.routes, self.route_views()),
            checkpoints: share(&old.checkpoints, self.checkpoint_views()),
            jobs: share::<JobView>(&old.jobs, self.jobs.views(now)),
        };
        for (id, beside) in anew {
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.viewed = Some(stream.made(beside, ()));
            }
        }
        self.world = Arc::new(world);
        self.world.clone()
    }

    /// Dates what was heard since, once: the two clocks drift against each other, and what was not heard again must
    /// look as it did before.
    fn note_hearings(&mut self, now: Now) {
        let of = [self.around.roll, self.listener.stamp(), self.sessions.stamp()];
        if self.around.dated.replace(of) == Some(of) {
            return;
        }
        let last = |stream: &Entry| {
            let heard = stream.entry.and_then(|entry| self.listener.stream(entry));
            let announced = heard.and_then(|heard| heard.via.iter().map(|hearing| hearing.last).max());
            announced.max(self.sessions_of(stream).map(|session| session.last).max())
        };
        let heard: Vec<_> = self.streams.values().map(last).collect();
        for (stream, last) in self.streams.values_mut().zip(heard) {
            if stream.last_heard.map(|(at, _)| at) != last {
                let wall_us = |at| now.wall_us.saturating_sub(now.mono.since(at).0 / 1000);
                stream.last_heard = last.map(|at| (at, wall_us(at)));
            }
        }
    }

    fn manager_state(&self, now: Now) -> (&'static str, &'static str, String) {
        if !self.active {
            let text = "Another session of this computer is active on the network.";
            return ("in-use", "other-session", text.to_owned());
        }
        let about_drop_in = self.drop_in.text();
        if !self.graph.settled && !about_drop_in.is_empty() {
            return ("waiting", "drop-in", about_drop_in);
        }
        if !self.graph.settled && self.starts_until().is_some_and(|until| now.mono < until) {
            return ("starting", "none", String::new());
        }
        if !self.graph.connected {
            return ("waiting", "no-pipewire", "PipeWire cannot be reached; trying again.".to_owned());
        }
        if !self.schema_fits() {
            let schema = self.graph.schema.as_deref().unwrap_or_default();
            let text = format!("The PipeWire module speaks schema {schema}, this agent speaks 1.");
            return ("waiting", "schema-mismatch", text);
        }
        if !self.graph.settled {
            let text = "PipeWire runs without the Wireloom module; waiting for it.";
            return ("waiting", "no-module", text.to_owned());
        }
        if !about_drop_in.is_empty() {
            return ("running", "drop-in", about_drop_in);
        }
        if let Some(why) = self.deaf {
            return ("running", "port", why.to_owned());
        }
        ("running", "none", String::new())
    }

    fn manager_view(&self) -> ManagerView {
        let counters = self.listener.counters();
        let dropped = counters.short
            + counters.version
            + counters.encrypted
            + counters.compressed
            + counters.payload_type
            + counters.forged
            + counters.unknown_deletion
            + counters.full;
        let bad = dropped + counters.too_fast + counters.unreadable;
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        ManagerView {
            condition: self.condition.clone(),
            network_interfaces: self.settings.network_interfaces.clone(),
            node_limit: self.settings.node_limit,
            show: self.settings.show.word(),
            latency_frames: self.settings.latency_frames,
            address_pool: self.settings.address_pool.to_string(),
            stream_count: count(self.streams.len()),
            shown_count: count(self.streams.values().filter(|stream| stream.shown).count()),
            presets: self.preset_views(),
            clock_service_text: self.clock.service.clone(),
            active_clock: self.active_line().map(|line| clock::naming(line.source).0),
            counters: BTreeMap::from([
                ("received", counters.received),
                ("accepted", counters.received.saturating_sub(bad)),
                ("dropped", dropped),
                ("unreadable", counters.unreadable),
                ("rate-limited", counters.too_fast),
            ]),
        }
    }

    /// Whether an interface is used for announcements; an error is the word why not.
    pub(super) fn use_of(&self, facts: &InterfaceFacts) -> Result<(), &'static str> {
        let chosen = &self.settings.network_interfaces;
        if !self.active {
            Err("other-session")
        } else if chosen.is_empty() && facts.loopback || !chosen.is_empty() && !chosen.contains(&facts.name) {
            Err("not-chosen")
        } else if !facts.multicast {
            Err("no-multicast")
        } else if !facts.up {
            Err("no-link")
        } else if facts.addresses.is_empty() {
            Err("no-address")
        } else {
            Ok(())
        }
    }

    fn interface_views(&self) -> impl Iterator<Item = (String, InterfaceView)> {
        self.interfaces.iter().filter(|facts| !facts.loopback).map(|facts| {
            let used = self.use_of(facts);
            let reason = match used {
                Ok(()) if facts.join_failed => "join-failed",
                Ok(()) => "none",
                Err(why) => why,
            };
            let mut addresses: Vec<_> = facts.addresses.iter().map(|(address, _)| *address).collect();
            addresses.sort();
            let view = InterfaceView {
                name: facts.name.clone(),
                index: facts.index,
                state: match (facts.multicast, facts.up) {
                    (false, _) => "unsuitable",
                    (true, false) => "down",
                    (true, true) => "up",
                },
                state_reason: reason,
                used: used.is_ok() && !facts.join_failed,
                addresses: addresses.iter().map(ToString::to_string).collect(),
                hardware_address: facts.mac.map(mac_text).unwrap_or_default(),
                ravenna: used.is_ok() && self.allows_ravenna(facts),
                sessions_found: u32::try_from(self.sessions_on(facts)).unwrap_or(u32::MAX),
                announcements_received: self.received.get(&facts.index).copied().unwrap_or(0),
            };
            (facts.name.clone(), view)
        })
    }

    /// Clocks of which no leader is known.
    fn leaderless(&self) -> Vec<String> {
        let lines = self.clock.lines.iter().filter(|line| line.leader == ClockIdentity::default());
        lines.map(|line| clock::naming(line.source).0).collect()
    }

    fn clock_views(&self) -> impl Iterator<Item = (String, ClockView)> {
        let active = self.active_line().map(|line| line.source);
        self.clock.lines.iter().map(move |line| {
            let (id, source, domain) = clock::naming(line.source);
            let leader = (line.leader != ClockIdentity::default()).then(|| line.leader.to_string());
            let view = ClockView {
                condition: self.clock_conditions.get(&id).cloned().unwrap_or_default(),
                id: id.clone(),
                source,
                domain,
                grandmaster: leader.unwrap_or_default(),
                active: active == Some(line.source),
                // A line that is compared with nothing has no bound; on the bus that is 0.
                error_bound_ns: if line.error_bound_ns == u64::MAX { 0 } else { line.error_bound_ns },
                frequency_ppb: line.frequency().ppb() as f64,
                generation: line.generation,
            };
            (id, view)
        })
    }

    pub(super) fn device_views(&self) -> BTreeMap<String, DeviceView> {
        let mut devices: BTreeMap<String, DeviceView> = BTreeMap::new();
        for (id, stream) in &self.streams {
            let device_id = stream.device_id();
            if !devices.contains_key(device_id) {
                let name = stream.device_name();
                let device = DeviceView {
                    id: device_id.to_owned(),
                    alias: self.saved.devices.get(device_id).cloned().unwrap_or_else(|| name.clone()),
                    name,
                    protocol: protocol_word(stream),
                    local: device_id == device::local_id(),
                    address: stream.address.clone(),
                    streams: Vec::new(),
                };
                devices.insert(device_id.to_owned(), device);
            }
            let Some(device) = devices.get_mut(device_id) else { continue };
            device.streams.push(id.clone());
        }
        devices
    }

    /// What the view of `stream` shows that it does not know itself.
    pub(super) fn beside(&self, id: &str, stream: &Entry) -> Beside {
        let saved = self.saved.streams.get(id);
        let heard = stream.entry.and_then(|entry| self.listener.stream(entry));
        Beside {
            alias: self.alias_of(id, stream),
            pinned: saved.is_some_and(|saved| saved.pinned),
            show: saved.and_then(|saved| Show::parse(&saved.show)).map_or("default", Show::word),
            announced: heard.is_some_and(|heard| !heard.via.is_empty()),
            relation: self.clock_of(stream).0,
            latency: self.latency_of(stream),
            trouble: self.ravenna_trouble.clone(),
            facts: self.facts_of(id, stream),
        }
    }
}

/// What a view of a stream shows beside the stream itself.
#[derive(Debug, PartialEq)]
pub struct Beside {
    alias: String,
    pinned: bool,
    show: &'static str,
    announced: bool,
    relation: ClockRelation,
    latency: u32,
    /// Why own streams cannot be offered by RAVENNA.
    trouble: String,
    facts: Facts,
}

impl Beside {
    /// The stream as it is shown.
    pub(super) fn view(&self, id: &str, stream: &Known) -> StreamView {
        let node = stream.node.as_ref();
        let found_by = [("sap", self.announced), ("dns-sd", !stream.sessions.is_empty())];
        let report = stream.report.as_ref();
        let mut warnings = stream.warnings.clone();
        if stream.is_own() && !self.trouble.is_empty() {
            warnings.push(self.trouble.clone());
        }
        if let (true, Some(name), Some(leg)) =
            (stream.is_transmit(), &self.facts.same_address, node.and_then(|node| node.legs.first()))
        {
            warnings.push(format!("{} is also used by \"{name}\"", leg.address));
        }
        StreamView {
            id: id.to_owned(),
            device: stream.device(),
            protocol: protocol_word(stream),
            direction: if stream.is_transmit() { "transmit" } else { "receive" },
            origin: stream.origin.word(),
            name: stream.name.clone(),
            alias: self.alias.clone(),
            condition: stream.condition.clone(),
            shown: stream.shown,
            hidden_reason: match (&stream.unreadable, node, stream.shown) {
                (_, _, true) => "none",
                (Some(_), None, _) if stream.stream.is_some() => "not-playable",
                (_, None, _) => "unreadable",
                (_, Some(_), false) => "node-limit",
            },
            pinned: self.pinned,
            show: self.show,
            node_name: format!("wireloom.{}", node_id(id, stream.is_transmit())),
            channels: node.map(|node| node.channels.clone()).unwrap_or_default(),
            encoding: node.map_or("", |node| node::encoding_word(node.media.encoding)),
            rate_hz: node.map_or(0, |node| node.media.rate),
            packet_frames: node.map_or(0, |node| node.media.samples_per_packet),
            payload_type: node.map_or(0, |node| node.media.payload_type),
            legs: node.map(leg_views).unwrap_or_default(),
            reference_clock: reference_clock(stream),
            clock_relation: match self.relation {
                ClockRelation::Same => "same",
                ClockRelation::Unknown => "unknown",
                ClockRelation::Other => "other",
            },
            clock_text: self.facts.clock_text.to_owned(),
            media_offset: node.and_then(|node| node.media.offset),
            mode: match report.and_then(|report| report.mode) {
                Some(Mode::Locked) => "locked",
                Some(Mode::Learned) => "learned",
                Some(Mode::Adaptive) => "adaptive",
                None => "",
            },
            latency_frames: report
                .map(|report| report.latency)
                .filter(|latency| *latency > 0)
                .unwrap_or(self.latency),
            links: stream.links(),
            checks: why::checks(stream, &self.facts),
            heard_on: self.facts.heard_on.clone(),
            found_by: found_by.iter().filter(|(_, found)| *found).map(|(word, _)| *word).collect(),
            last_heard_us: stream.last_heard.map_or(0, |(_, wall_us)| wall_us),
            warnings,
            sdp: stream.sdp.clone(),
            statistics: stream.stats.clone(),
        }
    }
}

fn clock_state(
    state: LineState,
    alive: bool,
    leaderless: bool,
) -> (&'static str, &'static str, &'static str) {
    if !alive {
        return ("gone", "service-silent", "The clock service stopped: the last time known is held.");
    }
    let word = clock::state_word(state);
    match state {
        LineState::Locked => (word, "none", "Locked to the grandmaster."),
        LineState::Tracking => (word, "none", "Following the grandmaster, not settled yet."),
        LineState::Acquiring => (word, "none", "Measuring the grandmaster."),
        LineState::Listening if leaderless => (word, "no-grandmaster", "No grandmaster is heard."),
        LineState::Listening => (word, "none", "Waiting for a grandmaster."),
        LineState::Holdover => (word, "no-grandmaster", "The grandmaster is gone: its time is held."),
        LineState::Lost => (word, "no-grandmaster", "The grandmaster is gone for long: the time drifts."),
        LineState::Leader => (word, "none", "This computer is the grandmaster."),
        LineState::FreeRunning => (word, "none", "This computer's own oscillator, tied to nothing."),
        LineState::Disabled => (word, "none", "Switched off."),
    }
}

fn reference_clock(stream: &Known) -> String {
    let text = stream.stream.as_ref().and_then(|stream| stream.refclk_text.as_deref());
    wireloom_sdp::for_display(text.unwrap_or_default())
}

fn leg_views(node: &wireloom_wanted::Node) -> Vec<LegView> {
    let view = |leg: &wireloom_wanted::Leg| LegView {
        address: leg.address.to_string(),
        port: leg.port,
        source: leg.source.map(|source| source.to_string()),
        interface: leg.interface.clone(),
        ttl: leg.ttl,
    };
    let copy = |to: &std::net::SocketAddrV4| LegView {
        address: to.ip().to_string(),
        port: to.port(),
        source: None,
        interface: None,
        ttl: None,
    };
    let copies = node.copies.iter().flat_map(|copies| &copies.to).map(copy);
    node.legs.iter().map(view).chain(copies).collect()
}

fn protocol_word(stream: &Known) -> &'static str {
    stream.node.as_ref().map_or("aes67", |node| device::protocol_word(node.protocol))
}

fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|octet| format!("{octet:02x}")).join(":")
}

fn share<T: PartialEq>(
    old: &BTreeMap<String, Arc<T>>,
    new: impl IntoIterator<Item = (String, T)>,
) -> BTreeMap<String, Arc<T>> {
    new.into_iter().map(|(id, view)| (id.clone(), shared(old.get(&id), view))).collect()
}

fn shared<T: PartialEq>(old: Option<&Arc<T>>, new: T) -> Arc<T> {
    old.filter(|old| ***old == new).cloned().unwrap_or_else(|| Arc::new(new))
}
