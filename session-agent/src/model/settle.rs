//! Wanted against seen: what must be written, what must go.

use wireloom_sdp::{FIRST_PATIENCE, OurClock};
use wireloom_units::Nanos;
use wireloom_wanted::{ClockRelation, Direction, Node, Protocol, Show};

use super::known::{Origin, node_id, stream_of};
use super::{Entry, Known, Model, clock, node};
use crate::oat::is_oat;
use crate::time::Now;

/// A stream whose time is over but whose packets still come is looked at again after this.
const LOOK_AGAIN: Nanos = Nanos::from_secs(5);

/// The least and the usual latency class of streams of OAT, at 48 kHz.
const LEAST_OAT: u32 = 192;
const USUAL_OAT: u32 = 288;

impl Model {
    /// Brings everything in line with what is known now. Call after every batch of inputs and at
    /// [`Model::poll_timeout`].
    pub fn settle(&mut self, now: Now) {
        self.follow_wishes();
        let before = self.mark();
        self.listen_timeout(now);
        self.settle_oat(now);
        self.settle_offers(now);
        self.expire(now);
        self.settle_jobs(now);
        self.choose_shown();
        self.choose_class();
        self.announce_own(now);
        if self.active && self.graph_ready() {
            self.look_around(now);
            let is_news = self.around.written.replace(self.around.nodes) != Some(self.around.nodes);
            if is_news {
                self.write_devices(now);
                self.delete_nodes(now);
            }
            self.write_nodes(now);
            if is_news {
                self.delete_devices(now);
            }
            let watch = self.watch_until.is_some_and(|until| until > now.mono);
            self.graph.want(now, "watch", watch.then_some("true"));
        }
        self.settle_routes(now);
        self.graph.forget_unwanted(now); // what is wanted has just been written again
        self.plan_oat(now);
        self.settled = self.mark() == before;
        self.judge_states(now);
    }

    /// Whether settling again at once would change nothing, provided that nothing came in since.
    pub const fn is_settled(&self) -> bool {
        self.settled
    }

    /// Another one after anything changed that settling goes by and may change itself.
    fn mark(&self) -> (usize, u64, u64, u64) {
        let changes = self.streams.values().map(Entry::changes).sum();
        (self.streams.len(), changes, self.routes.engine.revision(), self.routes.needed_changes)
    }

    /// When [`Model::settle`] is due although nothing happens.
    pub fn poll_timeout(&self) -> Option<Nanos> {
        let leaving = self.streams.iter().filter_map(|(id, stream)| Some((id, stream, stream.leaves_at?)));
        let streams = leaving.filter_map(|(id, stream, at)| {
            // One that is linked and offline waits for its links, not for time.
            let unused = stream.links() == 0 && !self.is_wished(id);
            (unused || stream.runs() || !is_offline(stream)).then_some(at)
        });
        let fixed = [
            self.save_at,
            self.watch_until,
            self.graph.timeout(),
            self.jobs.timeout(),
            self.listener.poll_timeout(),
            self.announcer.poll_timeout(),
            self.routes_timeout(),
            self.checkpoints_timeout(),
            self.oat_timeout(),
            self.offers_timeout(),
            self.starts_until().filter(|_| self.condition.state == "starting"),
        ];
        streams.chain(fixed.into_iter().flatten()).min()
    }

    /// Takes over what an agent before us left in the object.
    pub(super) fn adopt(&mut self, now: Now) {
        let found: Vec<_> = self
            .graph
            .nodes()
            .filter_map(|(node, value)| {
                let node_value = Self::parse_node(value)?;
                let transmit = node_value.direction == Direction::Transmit;
                let id = node.strip_suffix(if transmit { ".rx" } else { ".tx" })?;
                Some((id.to_owned(), node_value))
            })
            .collect();
        for (id, node) in found {
            if !id.starts_with("s-") || self.not_adopted.contains(&id) {
                continue;
            }
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.show = node.show; // heard before PipeWire was there: class and port are adopted
                self.adopt_port(&id, &node);
                self.adopt_copies(now, &id, &node);
                continue;
            }
            let arrival = self.arrival();
            let mut kept = Known::new(Origin::Kept, node.text.name.clone(), arrival);
            kept.show = node.show;
            kept.shown = true;
            kept.leaves_at = Some(self.started.plus(FIRST_PATIENCE).max(now.mono));
            kept.address =
                node.legs.first().and_then(|leg| leg.source).map(|ip| ip.to_string()).unwrap_or_default();
            kept.report = self.graph.take_report(&node_id(&id, node.direction == Direction::Transmit));
            kept.node = Some(Node { offline: false, ..node });
            self.streams.insert(id, kept.into());
        }
        self.not_adopted.clear();
    }

    /// Removes what left and is not used; what is linked stays as an offline node.
    fn expire(&mut self, now: Now) {
        let due: Vec<_> = self
            .streams
            .iter()
            .filter(|(_, stream)| stream.leaves_at.is_some_and(|at| at <= now.mono))
            .map(|(id, _)| id.clone())
            .collect();
        for id in due {
            let wished = self.is_wished(&id);
            let Some(stream) = self.streams.get_mut(&id) else { continue };
            if stream.runs() {
                stream.leaves_at = Some(now.mono.plus(LOOK_AGAIN)); // its packets still come
            } else if stream.links() > 0 || wished {
                if let Some(node) = &mut stream.node {
                    node.offline = true;
                }
            } else {
                self.streams.remove(&id);
                self.heard.retain(|_, other| *other != id);
                self.forget_sessions_of(&id);
            }
        }
        if self.watch_until.is_some_and(|until| until <= now.mono) {
            self.watch_until = None;
        }
    }

    /// Deletes nodes of streams that are not there or not shown any more.
    fn delete_nodes(&mut self, now: Now) {
        let is_shown = |node| self.stream_with_node(node).is_some_and(|stream| stream.shown);
        let stale = self.graph.nodes().filter(|(node, _)| node.starts_with("s-") && !is_shown(node));
        for key in stale.map(|(node, _)| format!("node.{node}")).collect::<Vec<_>>() {
            self.graph.want(now, &key, None);
        }
    }

    fn write_nodes(&mut self, now: Now) {
        let (mut shown, mut anew) = (0, Vec::new());
        let since = Some(self.around.nodes);
        for (id, stream) in self.streams.iter().filter(|(_, stream)| stream.shown) {
            let Some(node) = &stream.node else { continue };
            shown += 1;
            if stream.rests(&stream.written, since) {
                continue;
            }
            let rules = self.rules_of(id, stream);
            let still = stream.still(&stream.written, &rules);
            let is_there = |written: &&Written| self.graph.value(&written.key) == Some(&written.text);
            if still.filter(is_there).is_some() {
                stream.written.iter().for_each(|written| written.keep(since));
            } else {
                let policy = Policy::new(stream, &rules);
                let before = stream.written.as_ref().map(|made| &made.it);
                let same = before.filter(|written| written.policy == policy && written.described == *node);
                let written = same.cloned().or_else(|| Written::new(id, node, policy));
                anew.extend(written.map(|written| (id.clone(), stream.made(rules, written))));
            }
        }
        if anew.is_empty() {
            return;
        }
        // Where streams come and go faster than nodes do, a new one waits until the module has made room for it.
        let mut room = self.node_limit().max(shown).saturating_sub(self.graph.node_count());
        for (id, made) in anew {
            let Written { key, text, .. } = &made.it;
            if !self.graph.has_node(key) {
                if room == 0 {
                    continue;
                }
                room -= 1;
            }
            let seen = self.graph.value(key);
            // Another spelling of the same node is the same node.
            let is_same = seen == Some(text)
                || seen.and_then(Self::parse_node).is_some_and(|seen| seen == made.it.node());
            if !is_same {
                self.graph.want(now, key, Some(text));
            }
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.written = Some(made);
            }
        }
    }

    /// The stream that has `node`.
    pub(super) fn stream_with_node(&self, node: &str) -> Option<&Entry> {
        let (id, transmit) = stream_of(node)?;
        self.streams.get(id).filter(|stream| stream.node.is_some() && stream.is_transmit() == transmit)
    }

    /// The latency class of `stream`.
    pub(super) fn latency_of(&self, stream: &Known) -> u32 {
        latency(stream, self.settings.latency_frames)
    }

    /// What policy goes by for the node of `id` now.
    pub(super) fn rules_of(&self, id: &str, stream: &Entry) -> Rules {
        let transmit = stream.is_transmit();
        let chosen = self.graph.chosen.get(usize::from(transmit)).and_then(Option::as_deref);
        let chosen = chosen.and_then(|name| stream_of(name.strip_prefix("wireloom.")?));
        Rules {
            alias: self.saved_alias(id).to_owned(),
            device_alias: self.saved.devices.get(stream.device_id()).cloned(),
            clock: self.our_clock(),
            latency: self.settings.latency_frames,
            chosen: chosen == Some((id, transmit)),
        }
    }
}

/// What counts for a node beside its stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// What the user calls the stream; may be empty.
    alias: String,
    /// What the user calls its device.
    device_alias: Option<String>,
    clock: Option<OurClock>,
    /// The latency class that is set.
    latency: u32,
    /// The user chose it as a default device.
    chosen: bool,
}

/// What a node has by policy.
#[derive(Debug, Clone, PartialEq)]
struct Policy {
    description: String,
    nick: String,
    show: Show,
    chosen: bool,
    latency: u32,
    /// `None`: as described.
    clock: Option<ClockRelation>,
}

impl Policy {
    fn new(stream: &Known, rules: &Rules) -> Self {
        let Rules { alias, device_alias, clock, chosen, .. } = rules;
        Self {
            description: stream.description(alias, device_alias.as_deref()),
            nick: node::nick(stream.called(alias)),
            show: stream.show,
            chosen: *chosen,
            latency: latency(stream, rules.latency),
            clock: stream.stream.as_ref().map(|stream| clock::relate(stream, clock.as_ref()).0),
        }
    }
}

/// A node as it was made last, and of what. Many channels make it long: it is made anew only when that changed.
#[derive(Debug, Clone)]
pub struct Written {
    key: String,
    described: Node,
    policy: Policy,
    text: String,
}

impl Written {
    fn new(id: &str, described: &Node, policy: Policy) -> Option<Self> {
        let key = format!("node.{}", node_id(id, described.direction == Direction::Transmit));
        let mut written = Self { key, described: described.clone(), policy, text: String::new() };
        written.text = serde_json::to_string(&written.node()).ok()?;
        Some(written)
    }

    fn node(&self) -> Node {
        let Policy { description, nick, show, chosen, latency, clock } = self.policy.clone();
        let mut node = self.described.clone();
        (node.text.description, node.text.nick) = (description, nick);
        (node.show, node.latency, node.clock) = (show, latency, clock.unwrap_or(node.clock));
        node.chosen = chosen;
        node
    }

    /// What would be written of `stream` if nothing had been before.
    #[cfg(test)]
    pub fn anew(id: &str, stream: &Known, rules: &Rules) -> Option<(String, String)> {
        let written = Self::new(id, stream.node.as_ref()?, Policy::new(stream, rules))?;
        Some((written.key, written.text))
    }

    /// Key and value.
    #[cfg(test)]
    pub fn entry(&self) -> (String, String) {
        (self.key.clone(), self.text.clone())
    }
}

/// The latency of `stream` in class `class`. Devices of OAT may send what one block of their audio brings at once,
/// 2.7 ms of packets: theirs is twice the class up to 6 ms, and never less than 4 ms.
fn latency(stream: &Known, class: u32) -> u32 {
    let bursts = stream.node.as_ref().is_some_and(|node| {
        let is_oat = node.protocol == Protocol::Oat || stream.stream.as_ref().is_some_and(is_oat);
        node.direction == Direction::Receive && is_oat
    });
    if bursts { class.max((2 * class).clamp(LEAST_OAT, USUAL_OAT)) } else { class }
}

/// Its node says that the device left.
fn is_offline(stream: &Known) -> bool {
    stream.node.as_ref().is_some_and(|node| node.offline)
}
