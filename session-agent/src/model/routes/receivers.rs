//! Receivers on the network: what protocol tasks tell of them, and what they are told to do.

use std::net::IpAddr;
use std::sync::Arc;

use wireloom_route::{Change, Command, DeviceId, Outcome, Port, Source};
use wireloom_sdp::for_display;
use wireloom_units::Nanos;
use wireloom_wanted::{ClockRelation, Direction, Leg, Node, NodeText, Show};

use super::super::known::{Origin, node_id};
use super::super::own::WayOut;
use super::super::{Known, Model, clock, describe, identity};
use super::all;
use super::devices::stream_id;
use crate::executor::{self, Order, Play, Playing, PlayingWhat, Receiver, Told};
use crate::store::SavedOwn;
use crate::time::Now;

/// Receivers beyond these are not taken: names come from the network.
const MAX_RECEIVERS: usize = 1024;

/// What a receiver is to be told of what this computer sends to it.
struct SlotText {
    interface: String,
    sdp: String,
    /// The version in it.
    version: u64,
    /// A fingerprint of all but the version.
    fingerprint: u64,
}

impl Model {
    /// A protocol task has news.
    pub fn handle_told(&mut self, now: Now, told: Told) {
        match told {
            Told::Receiver(facts) => self.learn_receiver(now, *facts),
            Told::ReceiverLeft(id) => {
                if let (Some(_), Some(stream)) =
                    (self.routes.receivers.remove(&id), self.streams.get_mut(&id))
                {
                    stream.leaves_at = Some(now.mono);
                }
            }
            Told::Plays { id, inputs } => {
                if !self.routes.receivers.contains_key(&id) {
                    return;
                }
                self.tell_devices(now);
                let device = receiver_id(&id);
                let inputs = inputs.into_iter().map(|input| self.playing(&id, input)).collect();
                self.routes.engine.handle_subscriptions(now.mono, &device, inputs);
            }
            Told::Answer { order, outcomes } => {
                let readable = |outcome| match outcome {
                    Outcome::Refused(why) => Outcome::Refused(for_display(&why)),
                    Outcome::Failed(why) => Outcome::Failed(for_display(&why)),
                    Outcome::Done => Outcome::Done,
                };
                let outcomes = outcomes.into_iter().map(readable).collect();
                self.routes.engine.handle_result(now.mono, order, outcomes);
            }
        }
    }

    fn learn_receiver(&mut self, now: Now, facts: Receiver) {
        let known = self.routes.receivers.contains_key(&facts.id);
        if !known && self.routes.receivers.len() >= MAX_RECEIVERS || !facts.id.starts_with("s-") {
            return;
        }
        let arrival = self.arrival();
        let name = for_display(&facts.name);
        let stream = self
            .streams
            .entry(facts.id.clone())
            .or_insert_with(|| Known::new(Origin::Receiver, name.clone(), arrival).into());
        stream.origin = Origin::Receiver;
        stream.leaves_at = None;
        stream.address.clone_from(&facts.address);
        stream.device_key.clone_from(&facts.device);
        stream.name = name;
        match node_of(&facts) {
            Ok(node) => (stream.node, stream.unreadable) = (Some(node), None),
            Err(why) => (stream.node, stream.unreadable) = (None, Some(why)),
        }
        let id = facts.id.clone();
        if self.saved.slots.get(&id).is_some_and(|slot| !fits(slot, &facts))
            && let Some(slot) = self.saved.slots.get_mut(&id)
        {
            fit(slot, &facts);
        }
        self.routes.receivers.insert(id.clone(), facts);
        self.show_slot(&id);
        self.tell_devices(now);
    }

    /// What a receiver says it plays, in the engine's words.
    fn playing(&self, receiver: &str, playing: Playing) -> (u16, Source, bool) {
        let port = |id: &str, channel| {
            Source::Port(Port::new(format!("wireloom.{}", node_id(id, false)).as_str(), channel))
        };
        let source = match playing.what {
            PlayingWhat::Stream { id, channel } => port(&id, channel),
            PlayingWhat::Address { address, port: number, channel } => {
                let slot = self.saved.slots.get(receiver);
                if slot.is_some_and(|slot| IpAddr::from(slot.address) == address && slot.port == number) {
                    Source::ThisComputer
                } else {
                    let legs = |stream: &Known| {
                        let legs = stream.node.iter().flat_map(|node| &node.legs);
                        legs.clone().any(|leg| leg.address == address && leg.port == number)
                    };
                    let found = self.streams.iter().find(|(_, stream)| !stream.is_transmit() && legs(stream));
                    match found {
                        Some((id, _)) => port(id, channel),
                        None => unknown(&format!("{address}:{number}"), channel),
                    }
                }
            }
        };
        (playing.input, source, playing.audio)
    }

    /// Gives a command of the engine to the protocol task of its receiver.
    pub(super) fn order(&mut self, now: Now, command: Command) {
        let id = command.changes.first().and_then(|change| stream_id(change.receiver())).map(str::to_owned);
        let Some((id, protocol)) =
            id.and_then(|id| Some((id.clone(), self.routes.receivers.get(&id)?.protocol)))
        else {
            let gone = Outcome::Failed("It has just left.".to_owned());
            return self.routes.engine.handle_result(now.mono, command.id, all(&command, &gone));
        };
        let changes: Result<Vec<_>, String> =
            command.changes.iter().map(|change| self.change(now, &id, change)).collect();
        match changes {
            Ok(changes) => {
                self.routes.orders.push_back(Order { order: command.id, receiver: id, protocol, changes });
            }
            Err(why) => {
                let failed = Outcome::Failed(why);
                self.routes.engine.handle_result(now.mono, command.id, all(&command, &failed));
            }
        }
    }

    fn change(&mut self, now: Now, receiver: &str, change: &Change) -> Result<executor::Change, String> {
        match change {
            Change::Subscribe { input, source: Source::ThisComputer } => {
                let sdp = self.take_slot(now, receiver)?;
                let play = Play { stream: String::new(), channel: input.channel, sdp };
                Ok(executor::Change { input: input.channel, play: Some(play) })
            }
            Change::Subscribe { input, source: Source::Port(output) } => {
                let id = stream_id(&output.device).unwrap_or_default();
                let stream = self.streams.get(id).filter(|stream| !stream.sdp.is_empty());
                let stream = stream.ok_or("Its description has not been heard yet.")?;
                let play = Play { stream: id.to_owned(), channel: output.channel, sdp: stream.sdp.clone() };
                Ok(executor::Change { input: input.channel, play: Some(play) })
            }
            Change::Clear(input) => Ok(executor::Change { input: input.channel, play: None }),
            Change::Link(_) | Change::Unlink(_) => Err("A link is not the receiver's.".to_owned()),
        }
    }

    /// The description of what this computer sends to `receiver`, a multicast stream for it alone. Whoever asks for it
    /// tells it the receiver.
    fn take_slot(&mut self, now: Now, receiver: &str) -> Result<Arc<str>, String> {
        let facts = self.routes.receivers.get(receiver).ok_or("It has just left.")?;
        if !self.saved.slots.contains_key(receiver) {
            let facts = facts.clone();
            let address = self.free_address().map_err(|why| format!("{why}."))?;
            let session_id = self.free_session_id();
            if self.saved.slots.len() >= MAX_RECEIVERS {
                let receivers = &self.routes.receivers;
                self.saved.slots.retain(|id, _| receivers.contains_key(id));
            }
            let slot = SavedOwn {
                id: facts.id.clone(),
                name: format!("To {}", for_display(&facts.name)),
                labels: labels(&facts),
                address,
                port: 5004,
                encoding: facts.media.encoding,
                rate: facts.media.rate,
                packet_frames: facts.media.samples_per_packet,
                payload_type: facts.media.payload_type,
                ttl: 32,
                dscp: 34,
                flavour: crate::request::Flavour::Aes67,
                interface: None,
                ssrc: (self.random)(),
                session_id,
                version: session_id,
                announced: 0,
            };
            self.saved.slots.insert(receiver.to_owned(), slot);
        }
        self.show_slot(receiver);
        let text = self.slot_text(receiver).ok_or("No network interface has an address to send from.")?;
        if let Some(slot) = self.saved.slots.get_mut(receiver) {
            (slot.version, slot.announced) = (text.version, text.fingerprint);
        }
        self.save_within(now, Nanos::ZERO);
        Ok(Arc::from(text.sdp))
    }

    /// What this computer sends to `receiver` leaves by the interface in whose network that is, or else by the first.
    pub(super) fn way_to(&self, receiver: &str) -> Option<WayOut> {
        let address = self.routes.receivers.get(receiver).and_then(|facts| facts.address.parse().ok());
        let ways = self.ways_out();
        let there = ways.iter().find(|(facts, _)| address.is_some_and(|address| facts.reaches(address)));
        there.or(ways.first()).cloned()
    }

    /// What `receiver` is to be told of its slot now; nothing while it has none, or no interface can send it.
    fn slot_text(&self, receiver: &str) -> Option<SlotText> {
        let slot = self.saved.slots.get(receiver)?;
        let (facts, address) = self.way_to(receiver)?;
        let refclk = clock::announced(self.our_clock().as_ref(), facts.mac.unwrap_or([2, 0, 0, 0, 0, 0]));
        let mut description =
            describe::own(slot, &self.speaker(Some(&(facts.clone(), address))), refclk).ok()?;
        let write = |description: &_| wireloom_sdp::write(description, describe::flavour(slot)).ok();
        description.version = 0;
        let fingerprint = identity::hash(&write(&description)?);
        let is_told = slot.announced == 0 || slot.announced == fingerprint;
        description.version = if is_told { slot.version } else { slot.version.saturating_add(1) };
        let (interface, version) = (facts.name, description.version);
        Some(SlotText { interface, sdp: write(&description)?, version, fingerprint })
    }

    /// Brings node and description of a receiver in line with the slot that it has.
    fn show_slot(&mut self, receiver: &str) {
        let text = self.slot_text(receiver);
        let Some(stream) = self.streams.get_mut(receiver) else { return };
        let Some(node) = &mut stream.node else { return };
        let (Some(slot), Some(text)) = (self.saved.slots.get(receiver), text) else {
            node.legs.clear();
            (stream.stream, stream.sdp) = (None, Arc::from(""));
            return;
        };
        node.media.offset = Some(0);
        node.media.ssrc = Some(slot.ssrc);
        node.legs = vec![Leg {
            interface: Some(text.interface),
            ttl: Some(slot.ttl),
            ..Leg::to(slot.address.into(), slot.port)
        }];
        let read = wireloom_sdp::read(text.sdp.as_bytes()).ok();
        stream.stream = read.and_then(|read| read.streams.into_iter().next());
        stream.sdp = Arc::from(text.sdp);
    }

    /// What this computer sends to receivers follows its interfaces, their addresses and its clock, and the receivers
    /// are told.
    pub(super) fn follow_slots(&mut self, now: Now) {
        self.look_around(now);
        let of = [self.around.states, self.saved.slots.stamp(), self.routes.receivers.stamp()];
        if self.around.slots == Some(of) {
            return;
        }
        self.around.slots = Some(of);
        let mut fed: Vec<_> = self.saved.slots.keys().cloned().collect();
        fed.retain(|id| self.routes.receivers.contains_key(id));
        for id in fed {
            let text = self.slot_text(&id);
            let shown = self.streams.get(&id).map(|stream| &*stream.sdp).unwrap_or_default();
            if text.as_ref().map_or("", |text| &text.sdp) != shown {
                self.show_slot(&id);
            }
            let told = self.saved.slots.get(&id).map_or(0, |slot| slot.announced);
            if told != 0 && text.is_some_and(|text| text.fingerprint != told) {
                self.routes.engine.retell(now.mono, &receiver_id(&id), &Source::ThisComputer);
                self.around.slots = None; // looked at again until it is told
            }
        }
    }

    /// Gives back slots that nobody listens to; those of receivers that are away stay until it is known what they play.
    pub(super) fn free_slots(&mut self, now: Now) {
        let is_unused = |id: &&String| !self.routes.engine.is_fed(&receiver_id(id));
        let unused: Vec<_> = self.saved.slots.keys().filter(is_unused).cloned().collect();
        for id in unused {
            self.saved.slots.remove(&id);
            self.show_slot(&id);
            self.save_within(now, Nanos::ZERO);
        }
    }
}

fn labels(facts: &Receiver) -> Vec<String> {
    (1..=facts.channels.len()).map(|number| number.to_string()).collect()
}

/// Whether what is sent in `slot` is what the receiver takes.
fn fits(slot: &SavedOwn, facts: &Receiver) -> bool {
    let media = (slot.encoding, slot.rate, slot.packet_frames, slot.payload_type);
    let takes = &facts.media;
    media == (takes.encoding, takes.rate, takes.samples_per_packet, takes.payload_type)
        && slot.labels.len() == facts.channels.len()
}

/// The receiver takes something else now.
fn fit(slot: &mut SavedOwn, facts: &Receiver) {
    slot.labels = labels(facts);
    (slot.encoding, slot.rate) = (facts.media.encoding, facts.media.rate);
    (slot.packet_frames, slot.payload_type) = (facts.media.samples_per_packet, facts.media.payload_type);
}

/// What the engine calls receiver `id`.
fn receiver_id(id: &str) -> DeviceId {
    DeviceId::from(format!("wireloom.{}", node_id(id, true)).as_str())
}

/// A transmitter that nothing is known of.
fn unknown(what: &str, channel: u16) -> Source {
    Source::Port(Port::new(format!("unknown:{what}").as_str(), channel))
}

fn node_of(facts: &Receiver) -> Result<Node, String> {
    let label = |(number, label): (usize, &String)| {
        let label = for_display(label);
        if label.is_empty() { (number + 1).to_string() } else { label }
    };
    let node = Node {
        direction: Direction::Transmit,
        protocol: facts.protocol,
        text: NodeText { description: String::new(), nick: String::new(), name: for_display(&facts.name) },
        device: identity::device_id(facts.device.as_ref().unwrap_or(&facts.address)),
        channels: facts.channels.iter().enumerate().map(label).collect(),
        media: facts.media.clone(),
        legs: Vec::new(),
        clock: ClockRelation::Other,
        latency: 144,
        show: Show::Patchbay,
        chosen: false,
        announced: false,
        dscp: 34,
        offline: false,
        remote: true,
        direct: facts.direct.clone(),
        keepalive: None,
        copies: None,
    };
    node.check().map_err(|why| format!("It cannot be sent to: {why}."))?;
    Ok(node)
}
