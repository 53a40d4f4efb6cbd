//! The graph as the registry tells it: nodes, ports, links; and what the engine wants of links.

use std::collections::{BTreeMap, VecDeque};

use tracing::info;
use wireloom_route::{Change, Command, CommandId, Device, DeviceId, Outcome, Pair, Port, Side};

use super::super::Model;
use super::devices::engine_id;
use crate::time::Now;

/// More objects than this are not kept: a broken program must not fill our memory.
const MAX_OBJECTS: usize = 65_536;

/// Logs that the link of `pair` was removed in the graph, and what that means: a patchbay that keeps a state of its own
/// does so without anybody asking it.
pub(super) fn tell_withdrawal(pair: &Pair) {
    let Pair { output, input } = pair;
    info!(
        "{} to {}, channel {} to {}: its link was removed in the graph, which withdraws the route",
        super::devices::node_name(&output.device),
        super::devices::node_name(&input.device),
        output.channel + 1,
        input.channel + 1
    );
}

/// What the registry tells of nodes, ports and links.
#[derive(Debug, Clone, PartialEq)]
pub enum GraphObject {
    Node {
        id: u32,
        name: String,
        class: String,
    },
    Port {
        id: u32,
        node: u32,
        output: bool,
        index: u32,
        audio: bool,
    },
    /// `is_virtual`: it is drawn only and carries nothing through this computer.
    Link {
        id: u32,
        output: u32,
        input: u32,
        is_virtual: bool,
    },
    Removed {
        id: u32,
    },
    /// Everything that there was when the registry was read has been told.
    Listed,
    /// A round trip after the removal of a link: whatever went with it has been told, too.
    Synced,
    /// Making a link failed.
    Refused {
        output: u32,
        input: u32,
        why: String,
    },
}

/// What is to be done to links. Numbers are those of the registry.
#[derive(Debug, Clone, PartialEq)]
pub enum LinkOp {
    Make { output_node: u32, output_port: u32, input_node: u32, input_port: u32 },
    Destroy { link: u32 },
}

#[derive(Debug, Clone)]
struct Node {
    name: String,
    class: String,
    /// Registry ids of its audio ports by index, per direction.
    outputs: BTreeMap<u32, u32>,
    inputs: BTreeMap<u32, u32>,
}

impl Node {
    fn ports(&self, side: Side) -> &BTreeMap<u32, u32> {
        if side == Side::Transmits { &self.outputs } else { &self.inputs }
    }
}

#[derive(Debug, Clone)]
struct LinkSeen {
    pair: Pair,
    /// Registry ids of its ports: several nodes may have the name in the pair.
    output: u32,
    input: u32,
    is_virtual: bool,
}

/// A command of the engine on its way.
#[derive(Debug)]
struct Linking {
    command: CommandId,
    /// Each change with what became of it.
    changes: Vec<(Change, Option<Outcome>)>,
}

/// The registry, as far as audio is concerned.
#[derive(Debug, Default)]
pub struct GraphMap {
    listed: bool,
    nodes: BTreeMap<u32, Node>,
    /// Port -> its node, direction and index.
    ports: BTreeMap<u32, (u32, bool, u32)>,
    links: BTreeMap<u32, LinkSeen>,
    /// Links of ports that are not known yet: output, input, virtual.
    loose: BTreeMap<u32, (u32, u32, bool)>,
    /// Links that went, to be judged a round trip later; with the ids of their ports.
    erased: Vec<(Pair, u32, u32)>,
    linking: Option<Linking>,
    ops: VecDeque<LinkOp>,
}

impl GraphMap {
    pub fn poll(&mut self) -> Option<LinkOp> {
        self.ops.pop_front()
    }

    /// Nodes of this computer, as the engine sees them. Ours come from the streams. Of several with one name, as those
    /// of a program that runs twice, the first one is linked when a route is wished; a link of any of them counts.
    pub fn devices(&self) -> BTreeMap<DeviceId, Device> {
        let mut devices = BTreeMap::new();
        for node in self.nodes.values().filter(|node| !node.name.starts_with("wireloom.")) {
            for side in [Side::Transmits, Side::Receives] {
                let channels = u16::try_from(node.ports(side).len()).unwrap_or(u16::MAX);
                if channels > 0 {
                    devices.entry(engine_id(&node.name, side)).or_insert(Device::here(side, channels));
                }
            }
        }
        devices
    }

    /// The class of the node called `name`; empty when it has none.
    fn class_of(&self, name: &str) -> &str {
        self.nodes.values().find(|node| node.name == name).map_or("", |node| &node.class)
    }

    /// The engine's port of registry port `id`.
    fn port(&self, id: u32) -> Option<Port> {
        let (node, output, index) = self.ports.get(&id)?;
        let node = self.nodes.get(node)?;
        let side = if *output { Side::Transmits } else { Side::Receives };
        let channel = node.ports(side).keys().position(|other| other == index)?;
        Some(Port { device: engine_id(&node.name, side), channel: u16::try_from(channel).ok()? })
    }

    /// Node and port, in the registry's numbers, of the engine's `port`.
    fn resolve(&self, port: &Port, side: Side) -> Option<(u32, u32)> {
        let name = super::devices::node_name(&port.device);
        let named = self.nodes.iter().filter(|(_, node)| node.name == name);
        let (id, ports) =
            named.map(|(id, node)| (*id, node.ports(side))).find(|(_, ports)| !ports.is_empty())?;
        Some((id, *ports.values().nth(usize::from(port.channel))?))
    }

    fn pair(&self, output: u32, input: u32) -> Option<Pair> {
        Some(Pair::new(self.port(output)?, self.port(input)?))
    }
}

impl Model {
    /// The registry told something.
    pub(in super::super) fn handle_object(&mut self, now: Now, object: GraphObject) {
        let graph = &mut self.routes.graph;
        if graph.nodes.len() + graph.ports.len() + graph.links.len() + graph.loose.len() > MAX_OBJECTS
            && !matches!(object, GraphObject::Removed { .. } | GraphObject::Listed | GraphObject::Synced)
        {
            return;
        }
        match object {
            GraphObject::Node { id, name, class } => {
                let (outputs, inputs) = (BTreeMap::new(), BTreeMap::new());
                graph.nodes.insert(id, Node { name, class, outputs, inputs });
            }
            GraphObject::Port { id, node, output, index, audio } => {
                let Some(owner) = graph.nodes.get_mut(&node).filter(|_| audio) else { return };
                let ports = if output { &mut owner.outputs } else { &mut owner.inputs };
                ports.insert(index, id);
                let side = if output { Side::Transmits } else { Side::Receives };
                let device = engine_id(&owner.name, side);
                graph.ports.insert(id, (node, output, index));
                self.routes.engine.handle_ports(now.mono, &device); // what failed for want of it may work now
                self.tie_loose(now);
            }
            GraphObject::Link { id, output, input, is_virtual } => {
                graph.loose.insert(id, (output, input, is_virtual));
                self.tie_loose(now);
            }
            GraphObject::Removed { id } => self.forget_object(now, id),
            GraphObject::Listed => {
                graph.listed = true;
                self.tell_graph(now);
            }
            GraphObject::Synced => self.judge_erased(now),
            GraphObject::Refused { output, input, why } => {
                if let Some(pair) = graph.pair(output, input) {
                    self.link_done(
                        now,
                        &Change::Link(pair),
                        &Outcome::Refused(format!("PipeWire says: {why}.")),
                    );
                }
            }
        }
    }

    /// PipeWire went, or its new instance appeared.
    pub(in super::super) fn forget_graph(&mut self, now: Now) {
        self.routes.graph = GraphMap::default();
        self.routes.drawn.clear();
        self.tell_graph(now);
    }

    /// The engine may count on the graph when its objects and our module are there.
    pub(in super::super) fn tell_graph(&mut self, now: Now) {
        let present = self.routes.graph.listed && self.graph.settled;
        if present {
            self.tell_devices(now);
            let links: Vec<_> = self.routes.graph.links.values().cloned().collect();
            for link in links {
                self.tell_link(now, &link);
            }
        }
        self.routes.engine.handle_graph(now.mono, present);
        if !present {
            self.routes.graph.linking = None;
        }
    }

    /// Links whose ports are known by now.
    fn tie_loose(&mut self, now: Now) {
        let graph = &mut self.routes.graph;
        let found: Vec<_> = graph
            .loose
            .iter()
            .filter_map(|(id, (output, input, is_virtual))| {
                let (output, input, is_virtual) = (*output, *input, *is_virtual);
                Some((*id, LinkSeen { pair: graph.pair(output, input)?, output, input, is_virtual }))
            })
            .collect();
        for (id, link) in found {
            self.routes.graph.loose.remove(&id);
            self.routes.graph.links.insert(id, link.clone());
            if self.routes.graph.listed && self.graph.settled {
                self.tell_ends(now, &link.pair);
                self.tell_link(now, &link);
                self.link_done(now, &Change::Link(link.pair.clone()), &Outcome::Done);
            }
        }
    }

    /// Tells the engine of a link that has to do with the network, and makes it a wish when it is one.
    fn tell_link(&mut self, now: Now, link: &LinkSeen) {
        let pair = &link.pair;
        let ours =
            [&pair.output, &pair.input].iter().any(|port| port.device.as_str().starts_with("wireloom."));
        let wished = self.routes.engine.is_wished(pair);
        // A link that the module is about to replace by a virtual one is no link through this computer.
        let direct = matches!(self.routes.engine.can_connect(pair), wireloom_route::Answer::Direct { .. });
        if link.is_virtual || direct || !ours && !wished {
            return;
        }
        self.routes.engine.handle_link(now.mono, pair, true);
        let lasting = [&pair.output, &pair.input].iter().all(|port| self.is_lasting(&port.device));
        if lasting && !wished && !self.routes.engine.is_withdrawn(pair) {
            self.wish(now, pair.clone());
        }
    }

    /// Whether links to `id` are the user's to keep: network nodes, own slots, cards; those to applications are the
    /// application's or the patchbay's business.
    fn is_lasting(&self, id: &DeviceId) -> bool {
        if id.as_str().starts_with("wireloom.") {
            return true;
        }
        let class = self.routes.graph.class_of(super::devices::node_name(id));
        matches!(class, "Audio/Sink" | "Audio/Source" | "Audio/Duplex" | "Audio/Source/Virtual")
    }

    fn forget_object(&mut self, now: Now, id: u32) {
        let graph = &mut self.routes.graph;
        graph.loose.remove(&id);
        if let Some(link) = graph.links.remove(&id) {
            let again = graph.links.values().any(|other| other.pair == link.pair && !other.is_virtual);
            if !link.is_virtual && !again {
                graph.erased.push((link.pair.clone(), link.output, link.input));
                self.link_done(now, &Change::Unlink(link.pair), &Outcome::Done);
            }
        } else if let Some((node, output, index)) = graph.ports.remove(&id) {
            if let Some(node) = graph.nodes.get_mut(&node) {
                let ports = if output { &mut node.outputs } else { &mut node.inputs };
                ports.remove(&index);
            }
        } else {
            graph.nodes.remove(&id);
        }
    }

    /// Links that are gone while their ports and our module still are there were removed by somebody who meant it. The
    /// engine hears of them only now, so that it makes none again that a person removed.
    fn judge_erased(&mut self, now: Now) {
        for (pair, output, input) in std::mem::take(&mut self.routes.graph.erased) {
            let graph = &self.routes.graph;
            let ports_stay = graph.ports.contains_key(&output) && graph.ports.contains_key(&input);
            let back = graph.links.values().any(|link| link.pair == pair);
            let direct =
                matches!(self.routes.engine.can_connect(&pair), wireloom_route::Answer::Direct { .. });
            if ports_stay && self.graph.settled && !back && !direct && self.routes.engine.is_wished(&pair) {
                tell_withdrawal(&pair);
                self.routes.engine.withdraw(now.mono, &pair);
            }
            let there = self.routes.graph.links.values().any(|link| link.pair == pair && !link.is_virtual);
            if !there {
                self.routes.engine.handle_link(now.mono, &pair, false);
            }
        }
    }

    /// Carries out a command of the engine for the graph.
    pub(super) fn link(&mut self, now: Now, command: Command) {
        let graph = &mut self.routes.graph;
        let mut changes = Vec::new();
        for change in command.changes {
            let mut outcome = None;
            match &change {
                Change::Link(pair) => {
                    let ends = graph
                        .resolve(&pair.output, Side::Transmits)
                        .zip(graph.resolve(&pair.input, Side::Receives));
                    match ends {
                        Some(((output_node, output_port), (input_node, input_port))) => {
                            graph.ops.push_back(LinkOp::Make {
                                output_node,
                                output_port,
                                input_node,
                                input_port,
                            });
                        }
                        None => outcome = Some(Outcome::Failed("Its node is not there yet.".to_owned())),
                    }
                }
                Change::Unlink(pair) => {
                    let links = graph.links.iter().filter(|(_, link)| link.pair == *pair && !link.is_virtual);
                    let ids: Vec<_> = links.map(|(id, _)| *id).collect();
                    if ids.is_empty() {
                        outcome = Some(Outcome::Done);
                    }
                    graph.ops.extend(ids.into_iter().map(|link| LinkOp::Destroy { link }));
                }
                Change::Subscribe { .. } | Change::Clear(_) => {
                    outcome = Some(Outcome::Refused("That is not the graph's.".to_owned()));
                }
            }
            changes.push((change, outcome));
        }
        graph.linking = Some(Linking { command: command.id, changes });
        self.finish_linking(now);
    }

    /// A change of the command under way came true, or failed.
    fn link_done(&mut self, now: Now, change: &Change, outcome: &Outcome) {
        let linking = self.routes.graph.linking.as_mut();
        for (other, became) in linking.into_iter().flat_map(|linking| &mut linking.changes) {
            if other == change && became.is_none() {
                *became = Some(outcome.clone());
            }
        }
        self.finish_linking(now);
    }

    fn finish_linking(&mut self, now: Now) {
        let graph = &mut self.routes.graph;
        let Some(linking) =
            graph.linking.take_if(|linking| linking.changes.iter().all(|(_, became)| became.is_some()))
        else {
            return;
        };
        let outcomes = linking.changes.into_iter().filter_map(|(_, became)| became).collect();
        self.routes.engine.handle_result(now.mono, linking.command, outcomes);
    }
}
