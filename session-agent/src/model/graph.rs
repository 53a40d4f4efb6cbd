//! The metadata object as it was last seen, and the few writes that bring it to what is wanted.

use std::collections::{BTreeMap, HashMap, VecDeque};

use wireloom_units::Nanos;
use wireloom_wanted::{Key, MAX_VALUE_BYTES, Node, SCHEMA, StateReport};

use super::Model;
use super::routes::GraphObject;
use crate::stamp::Stamp;
use crate::time::Now;

/// A write that PipeWire has not confirmed is repeated after this.
const CONFIRM_WITHIN: Nanos = Nanos::from_secs(3);
/// PipeWire has told an agent that has just been started about the module by then, if it has it.
const STARTS_WITHIN: Nanos = Nanos::from_secs(2);
/// More keys than this are not kept: a broken module must not fill our memory.
const MAX_KEYS: usize = 8192;

/// What comes from PipeWire.
#[derive(Debug, Clone, PartialEq)]
pub enum GraphEvent {
    Connected,
    Disconnected,
    /// The metadata object is there; its keys follow.
    ObjectAppeared,
    /// All keys that it had have been told.
    Settled,
    ObjectGone,
    Property {
        key: Option<String>,
        value: Option<String>,
    },
    /// Nodes, ports and links.
    Object(GraphObject),
    /// How many nodes of others are devices of the desktop.
    Devices {
        sources: u32,
        sinks: u32,
    },
    /// The node that the user chose as a default device, by `node.name`; none when it was taken back.
    Chosen {
        sink: bool,
        name: Option<String>,
    },
}

/// A key to write, or to delete when there is no value.
#[derive(Debug, Clone, PartialEq)]
pub struct GraphOp {
    pub key: String,
    pub value: Option<String>,
}

/// What is known of the other side.
#[derive(Debug, Default)]
pub struct Mirror {
    pub connected: bool,
    pub object: bool,
    pub settled: bool,
    pub schema: Option<String>,
    pub sources: u32,
    pub sinks: u32,
    /// What the user chose as the default source and the default sink, by `node.name`.
    pub chosen: [Option<String>; 2],
    keys: BTreeMap<String, String>,
    /// Since when the keys of nodes and devices are as they are, and what is under way to them.
    node_keys: Stamp,
    pending: HashMap<String, (Option<String>, Nanos)>,
    ops: VecDeque<GraphOp>,
    /// What nodes that no stream has said before the object was settled, for the streams that are adopted then.
    reports: BTreeMap<String, StateReport>,
}

impl Mirror {
    /// Node keys as they are in the object: id and value.
    pub fn nodes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.keys.iter().filter_map(|(key, value)| Some((key.strip_prefix("node.")?, value.as_str())))
    }

    /// Whether the object has the node `key`, or will have when what is under way has arrived.
    pub fn has_node(&self, key: &str) -> bool {
        self.keys.contains_key(key) || self.pending.get(key).is_some_and(|(value, _)| value.is_some())
    }

    /// How many nodes of streams there are, or will be before anything that is written from now on arrives: also those
    /// whose deletion was not confirmed yet.
    pub fn node_count(&self) -> usize {
        let coming = self.pending.iter().filter(|(key, (value, _))| {
            value.is_some() && key.starts_with("node.s-") && !self.keys.contains_key(*key)
        });
        self.nodes().filter(|(node, _)| node.starts_with("s-")).count() + coming.count()
    }

    /// Ids of devices that have a key in the object.
    pub fn devices(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().filter_map(|key| key.strip_prefix("device."))
    }

    /// Route keys as they are in the object.
    pub fn routes(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().filter(|key| key.starts_with("route.")).map(String::as_str)
    }

    /// The value of `key`.
    pub fn value(&self, key: &str) -> Option<&str> {
        self.keys.get(key).map(String::as_str)
    }

    /// Whether `key` has `value`, and nothing else is under way.
    pub fn is_written(&self, key: &str, value: &str) -> bool {
        self.value(key) == Some(value) && !self.pending.contains_key(key)
    }

    /// Since when the keys of nodes and devices are as they are, and what is under way to them.
    pub const fn node_keys(&self) -> Stamp {
        self.node_keys
    }

    /// Something about `key` changed.
    fn touch(&mut self, key: &str) {
        if key.starts_with("node.") || key.starts_with("device.") {
            self.node_keys = Stamp::new();
        }
    }

    /// What `node` said before it was adopted.
    pub fn take_report(&mut self, node: &str) -> Option<StateReport> {
        self.reports.remove(node)
    }

    fn forget(&mut self) {
        self.node_keys = Stamp::new();
        self.keys.clear();
        self.reports.clear();
        self.pending.clear();
        self.ops.clear();
        (self.object, self.settled, self.schema) = (false, false, None);
    }

    /// Writes `value` unless the object has it, or a write of it is under way.
    pub fn want(&mut self, now: Now, key: &str, value: Option<&str>) {
        if let Some((pending, until)) = self.pending.get(key)
            && *until > now.mono
            && pending.as_deref() == value
        {
            return;
        }
        if self.value(key) == value {
            if self.pending.remove(key).is_some() {
                self.touch(key);
            }
            return;
        }
        self.touch(key);
        let value = value.map(str::to_owned);
        self.ops.retain(|op| op.key != key);
        self.pending.insert(key.to_owned(), (value.clone(), now.mono.plus(CONFIRM_WITHIN)));
        self.ops.push_back(GraphOp { key: key.to_owned(), value });
    }

    /// Forgets writes that were not confirmed in time and that nobody wants any more: nothing is to be repeated.
    pub fn forget_unwanted(&mut self, now: Now) {
        let before = self.pending.len();
        self.pending.retain(|_, (_, until)| *until > now.mono);
        if self.pending.len() != before {
            self.node_keys = Stamp::new();
        }
    }

    /// How many writes wait to be polled, and which are not confirmed yet.
    #[cfg(test)]
    pub fn under_way(&self) -> (usize, BTreeMap<String, Option<String>>) {
        let pending = self.pending.iter().map(|(key, (value, _))| (key.clone(), value.clone()));
        (self.ops.len(), pending.collect())
    }

    /// When an unconfirmed write is due again.
    pub fn timeout(&self) -> Option<Nanos> {
        self.pending.values().map(|(_, until)| *until).min()
    }
}

impl Model {
    /// Until when PipeWire and its module may be on their way to an agent that has just been started.
    pub(super) fn starts_until(&self) -> Option<Nanos> {
        (!self.graph_was_missed).then(|| self.started.plus(STARTS_WITHIN))
    }

    /// Something happened in PipeWire.
    pub fn handle_graph(&mut self, now: Now, event: GraphEvent) {
        self.switch_off |= self.lives.handle(now.mono, &event);
        match event {
            GraphEvent::Connected => {
                self.graph = Mirror { connected: true, ..Mirror::default() };
            }
            GraphEvent::Disconnected => {
                self.graph_was_missed = true;
                self.graph = Mirror::default();
                self.forget_reports();
                self.forget_graph(now);
            }
            GraphEvent::Object(object) => self.handle_object(now, object),
            GraphEvent::ObjectAppeared => {
                self.graph.forget();
                self.graph.object = true;
            }
            GraphEvent::Settled => {
                self.graph.settled = self.graph.object;
                self.adopt(now);
                self.graph.reports.clear();
                self.tell_graph(now);
            }
            GraphEvent::ObjectGone => {
                self.graph.forget();
                self.forget_reports();
                self.tell_graph(now);
            }
            GraphEvent::Devices { sources, sinks } => {
                (self.graph.sources, self.graph.sinks) = (sources, sinks);
            }
            GraphEvent::Chosen { sink, name } => {
                if let Some(chosen) = self.graph.chosen.get_mut(usize::from(sink)) {
                    *chosen = name;
                }
            }
            GraphEvent::Property { key: None, .. } => {
                self.graph.node_keys = Stamp::new();
                self.graph.keys.clear();
                self.graph.reports.clear();
                self.graph.pending.clear();
                self.forget_reports();
            }
            GraphEvent::Property { key: Some(key), value } => self.handle_property(now, &key, value),
        }
    }

    /// The next write, in order.
    pub fn poll_graph(&mut self) -> Option<GraphOp> {
        self.graph.ops.pop_front()
    }

    fn handle_property(&mut self, now: Now, key: &str, value: Option<String>) {
        let Some(parsed) = Key::parse(key) else { return };
        let value = value.filter(|value| value.len() <= MAX_VALUE_BYTES);
        match &parsed {
            Key::Schema => self.graph.schema = value,
            Key::State(node) => {
                let report: Option<StateReport> =
                    value.as_deref().and_then(|value| serde_json::from_str(value).ok());
                if let Some(stream) = self.stream_of_node(node) {
                    stream.report = report;
                } else if let Some(report) = report
                    && !self.graph.settled
                    && self.graph.reports.len() < MAX_KEYS
                {
                    self.graph.reports.insert(node.to_string(), report);
                }
            }
            Key::Stats(node) => {
                let stats = value.as_deref().and_then(|value| serde_json::from_str(value).ok());
                if let Some(stream) = self.stream_of_node(node) {
                    stream.stats = stats.map(|stats| (stats, now.wall_us));
                }
            }
            Key::Node(_) | Key::Device(_) | Key::Watch | Key::Route(_) => {
                // Any news of the key answers our write of it, also a value that we did not ask for.
                self.graph.touch(key);
                self.graph.pending.remove(key);
                match value {
                    Some(value) if self.graph.keys.len() < MAX_KEYS => {
                        self.graph.keys.insert(key.to_owned(), value);
                    }
                    _ => {
                        self.graph.keys.remove(key);
                    }
                }
            }
            Key::Link(id) => self.handle_link_key(now, id, value.as_deref()),
        }
    }

    /// Whether the object is there, complete, and speaks our schema. An object without the key is a young one.
    pub(super) fn graph_ready(&self) -> bool {
        self.graph.settled && self.schema_fits()
    }

    pub(super) fn schema_fits(&self) -> bool {
        self.graph.schema.as_deref().is_none_or(|schema| schema.trim() == SCHEMA.to_string())
    }

    /// The node in `value`, when it is one.
    pub(super) fn parse_node(value: &str) -> Option<Node> {
        let node: Node = serde_json::from_str(value).ok()?;
        node.check().ok()?;
        Some(node)
    }

    fn stream_of_node(&mut self, node: &str) -> Option<&mut super::Entry> {
        let (id, _) = super::known::stream_of(node)?;
        self.streams.get_mut(id)
    }

    fn forget_reports(&mut self) {
        for stream in self.streams.values_mut() {
            (stream.report, stream.stats) = (None, None);
        }
    }
}
