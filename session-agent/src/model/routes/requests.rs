//! What clients ask about routes.

use std::collections::BTreeMap;

use wireloom_route::{
    Answer as Way, Change, Command, DeviceId, Edit, Pair, Port, Preset, Role, RoutePlan, Side, Source,
};
use wireloom_sdp::for_display;
use wireloom_units::Nanos;

use super::super::known::node_id;
use super::super::{Model, identity};
use super::devices::{engine_id, node_name, stream_id};
use super::views::route_id;
use crate::request::{Answer, Connection, Possible, Refused, RouteAsk};
use crate::store::{SavedPreset, SavedWish};
use crate::time::Now;

/// The most channels that one call may connect.
const MAX_PAIRS: usize = 16_384;
/// Wishes that may be stored.
const MAX_WISHES: usize = 65_536;
/// Presets that may be stored.
const MAX_PRESETS: usize = 256;

impl Model {
    /// Does what is asked about routes, or says why not. Dry runs answer the commands instead of ids.
    pub(in super::super) fn handle_route_ask(&mut self, now: Now, ask: RouteAsk) -> Answer {
        match ask {
            RouteAsk::Connect { connections, dry_run } => {
                let mut pairs = Vec::new();
                for connection in &connections {
                    pairs.extend(self.pairs_of(connection)?);
                }
                for pair in &pairs {
                    if let Way::Impossible(obstacle) = self.routes.engine.can_connect(pair) {
                        return Err(Refused::NotPossible(self.in_words(&obstacle.to_string())));
                    }
                }
                self.edit(now, &pairs.into_iter().map(Edit::Wish).collect::<Vec<_>>(), dry_run)
            }
            RouteAsk::Disconnect { route, channels, dry_run } => {
                let all = self.routes.engine.routes().map(|route| route.pair);
                // Clients name it by its path, which begins with the path of all routes.
                let fits = |pair: &Pair| wireloom_dbus::path("route", &route_id(pair)) == route;
                let pairs: Vec<_> = all.filter(fits).collect();
                if pairs.is_empty() {
                    return Err(Refused::NotFound(format!("no route {route}")));
                }
                let chosen = |pair: &Pair| {
                    let numbers = (u32::from(pair.output.channel), u32::from(pair.input.channel));
                    channels.is_empty() || channels.contains(&numbers)
                };
                let edits: Vec<_> = pairs.into_iter().filter(chosen).map(Edit::Withdraw).collect();
                if edits.is_empty() {
                    return Err(Refused::Invalid("the route has none of these channels".to_owned()));
                }
                self.edit(now, &edits, dry_run)
            }
            RouteAsk::CanConnect(connection) => self.can_connect(&connection),
            RouteAsk::SavePreset { name } => self.save_preset(now, &name),
            RouteAsk::RemovePreset { name } => {
                self.saved.presets.remove(&name).ok_or_else(|| no_preset(&name))?;
                self.save_within(now, Nanos::ZERO);
                Ok(Vec::new())
            }
            RouteAsk::ApplyPreset { name, roles, exactly, dry_run } => {
                let saved = self.saved.presets.get(&name).ok_or_else(|| no_preset(&name))?;
                let preset = preset_of(saved);
                let mut others = BTreeMap::new();
                for (role, end) in &roles {
                    if !preset.roles.contains_key(&Role(role.clone())) {
                        return Err(Refused::NotFound(format!("the preset has no role \"{role}\"")));
                    }
                    let transmits = preset.routes.iter().any(|route| route.output.0.0 == *role);
                    let side = if transmits { Side::Transmits } else { Side::Receives };
                    others.insert(Role(role.clone()), self.end_of(end, side)?);
                }
                let edits = preset.edits(&self.routes.engine, &others, exactly);
                let edits = edits.map_err(|missing| Refused::NotFound(missing.to_string()))?;
                self.edit(now, &edits, dry_run)
            }
            RouteAsk::CreateCheckpoint { client, timeout_s } => {
                self.create_checkpoint(now, &client, timeout_s)
            }
            RouteAsk::EndCheckpoint { id, rollback } => self.end_checkpoint(now, &id, rollback),
            RouteAsk::ClientLeft { client } => {
                self.roll_back_of(now, &client);
                Ok(Vec::new())
            }
        }
    }

    /// Makes `edits`; answers the ids of the routes, each once, or the commands of a dry run.
    fn edit(&mut self, now: Now, edits: &[Edit], dry_run: bool) -> Answer {
        self.tell_devices(now);
        if dry_run {
            let commands = self.routes.engine.dry_run(now.mono, edits);
            return Ok(commands.iter().map(|command| self.command_text(command)).collect());
        }
        if self.routes.engine.saved().len() + edits.len() > MAX_WISHES {
            return Err(Refused::Limit(format!("{MAX_WISHES} routes are stored already")));
        }
        for edit in edits {
            if let Edit::Wish(pair) = edit {
                self.routes.dismissed.remove(&super::keys::id_of(pair));
            }
        }
        self.routes.engine.edit(now.mono, edits);
        let mut ids: Vec<String> = Vec::new();
        for Edit::Wish(pair) | Edit::Withdraw(pair) in edits {
            let id = route_id(pair);
            if ids.last() != Some(&id) && !ids.contains(&id) {
                ids.push(id);
            }
        }
        Ok(ids)
    }

    /// The pairs of a connection; without a map as many channels as both have, in order.
    fn pairs_of(&self, connection: &Connection) -> Result<Vec<Pair>, Refused> {
        let source = self.end_of(&connection.source, Side::Transmits)?;
        let sink = self.end_of(&connection.sink, Side::Receives)?;
        let channels = |id: &DeviceId| self.routes.engine.device(id).map_or(0, |device| device.channels);
        let straight: Vec<_> =
            (0..channels(&source).min(channels(&sink))).map(u32::from).map(|n| (n, n)).collect();
        let map = if connection.map.is_empty() { &straight } else { &connection.map };
        if map.len() > MAX_PAIRS {
            return Err(Refused::Limit(format!("at most {MAX_PAIRS} channels at once, not {}", map.len())));
        }
        if map.is_empty() {
            return Err(Refused::NotReady("one of them has no channels at the moment".to_owned()));
        }
        let port = |device: &DeviceId, channel: u32| {
            let channel = u16::try_from(channel).ok().filter(|channel| *channel < channels(device));
            let channel = channel.ok_or_else(|| {
                Refused::Invalid(format!("{} has {} channels", self.name_of(device), channels(device)))
            })?;
            Ok(Port { device: device.clone(), channel })
        };
        map.iter().map(|(from, to)| Ok(Pair::new(port(&source, *from)?, port(&sink, *to)?))).collect()
    }

    /// The engine's name of what a client calls `text`: id or object path of a stream, or `node.name`.
    fn end_of(&self, text: &str, side: Side) -> Result<DeviceId, Refused> {
        let stream =
            self.streams.iter().find(|(id, _)| *id == text || wireloom_dbus::path("stream", id) == text);
        let id = match stream {
            Some((id, stream)) => {
                DeviceId::from(format!("wireloom.{}", node_id(id, stream.is_transmit())).as_str())
            }
            None => engine_id(text, side),
        };
        let known = self.routes.engine.device(&id);
        let wrong = known.is_some_and(|device| device.side != side);
        match known {
            None => {
                Err(Refused::NotFound(format!("no stream and no node is called \"{}\"", for_display(text))))
            }
            Some(_) if wrong && side == Side::Transmits => {
                Err(Refused::Invalid(format!("no audio comes out of {}", self.name_of(&id))))
            }
            Some(_) if wrong => Err(Refused::Invalid(format!("no audio goes into {}", self.name_of(&id)))),
            Some(_) => Ok(id),
        }
    }

    fn can_connect(&self, connection: &Connection) -> Answer {
        let impossible = |reason: &str, text: String| {
            let (reason, way) = (reason.to_owned(), "impossible".to_owned());
            Ok(Possible { possible: false, reason, text, way, ..Possible::default() }.to_words())
        };
        let ends = [
            (&connection.source, Side::Transmits, "not-a-transmitter"),
            (&connection.sink, Side::Receives, "not-a-receiver"),
        ];
        for (end, side, reason) in ends {
            match self.end_of(end, side) {
                Err(Refused::Invalid(why)) => return impossible(reason, why),
                other => other?,
            };
        }
        let pairs = match self.pairs_of(connection) {
            Ok(pairs) => pairs,
            Err(Refused::Invalid(why) | Refused::NotReady(why)) => {
                return impossible("no-such-channel", why);
            }
            Err(other) => return Err(other),
        };
        let mut answer =
            Possible { possible: true, reason: "none".into(), way: "here".into(), ..Possible::default() };
        for pair in pairs {
            match self.routes.engine.can_connect(&pair) {
                Way::Impossible(obstacle) => {
                    return impossible(obstacle.word(), self.in_words(&obstacle.to_string()));
                }
                Way::Direct { token } => (answer.way, answer.token) = ("direct".into(), token),
                Way::Relayed => {
                    answer.way = "relayed".into();
                    answer.added_latency_ns = self.relay_latency(&pair.output.device, &pair.input.device).0;
                }
                Way::Here => {}
            }
        }
        Ok(answer.to_words())
    }

    /// What people call `id`.
    pub(super) fn name_of(&self, id: &DeviceId) -> String {
        let stream = stream_id(id).and_then(|id| Some((id, self.streams.get(id)?)));
        match stream {
            Some((id, stream)) => self.alias_of(id, stream),
            None => for_display(node_name(id)),
        }
    }

    /// `text` with names for people instead of the engine's.
    pub(super) fn in_words(&self, text: &str) -> String {
        let named = self.routes.engine.devices().filter(|(id, _)| text.contains(id.as_str()));
        let longest = named.max_by_key(|(id, _)| id.as_str().len());
        longest.map_or_else(|| text.to_owned(), |(id, _)| text.replace(id.as_str(), &self.name_of(id)))
    }

    fn command_text(&self, command: &Command) -> String {
        let port = |port: &Port| format!("{}:{}", self.name_of(&port.device), u32::from(port.channel) + 1);
        let changes = command.changes.iter().map(|change| match change {
            Change::Subscribe { input, source: Source::Port(output) } => {
                format!("{} plays {}", port(input), port(output))
            }
            Change::Subscribe { input, .. } => format!("{} plays what this computer sends", port(input)),
            Change::Clear(input) => format!("{} plays nothing", port(input)),
            Change::Link(pair) => format!("link {} to {}", port(&pair.output), port(&pair.input)),
            Change::Unlink(pair) => {
                format!("remove the link of {} to {}", port(&pair.output), port(&pair.input))
            }
        });
        changes.collect::<Vec<_>>().join("; ")
    }

    fn save_preset(&mut self, now: Now, name: &str) -> Answer {
        let shown = for_display(name);
        if shown.is_empty() || shown != name || name.chars().count() > 64 {
            return Err(Refused::Invalid("a preset's name has 1 to 64 printable characters".to_owned()));
        }
        if !self.saved.presets.contains_key(name) && self.saved.presets.len() >= MAX_PRESETS {
            return Err(Refused::Limit(format!("{MAX_PRESETS} presets are stored already")));
        }
        let preset = Preset::of(&self.routes.engine, |id| self.name_of(id));
        let wish = |route: &RoutePlan| SavedWish {
            output: (route.output.0.0.clone(), route.output.1),
            input: (route.input.0.0.clone(), route.input.1),
            withdrawn: false,
            cleared: false,
        };
        let roles = preset.roles.iter().map(|(role, id)| (role.0.clone(), id.as_str().to_owned())).collect();
        let saved = SavedPreset { roles, routes: preset.routes.iter().map(wish).collect() };
        self.saved.presets.insert(name.to_owned(), saved);
        self.save_within(now, Nanos::ZERO);
        Ok(Vec::new())
    }
}

fn no_preset(name: &str) -> Refused {
    Refused::NotFound(format!("no preset is called \"{}\"", for_display(name)))
}

fn preset_of(saved: &SavedPreset) -> Preset {
    let end = |(role, channel): &(String, u16)| (Role(role.clone()), *channel);
    let plan = |wish: &SavedWish| RoutePlan { output: end(&wish.output), input: end(&wish.input) };
    Preset {
        roles: saved.roles.iter().map(|(role, id)| (Role(role.clone()), id.as_str().into())).collect(),
        routes: saved.routes.iter().map(plan).collect(),
    }
}

/// A stable id from a text.
pub(super) fn hashed(prefix: &str, text: &str) -> String {
    format!("{prefix}-{:016x}", identity::hash(text))
}
