//! Receivers on the network: what protocol tasks tell of them, and what they are told to do.

use std::net::IpAddr;
use std::sync::Arc;

use wireloom_route::{Change, Command, DeviceId, Outcome, Port, Source};
use wireloom_sdp::for_display;
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

/// A receiver that a protocol task controls.
#[derive(Debug)]
pub struct Remote {
    pub facts: Receiver,
    /// What this computer sends to it, while it does.
    slot: Option<SavedOwn>,
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
                let device = DeviceId::from(format!("wireloom.{}", node_id(&id, true)).as_str());
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
        let slot = self.routes.receivers.remove(&facts.id).and_then(|before| before.slot);
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
        self.routes.receivers.insert(id.clone(), Remote { facts, slot });
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
                let slot = self.routes.receivers.get(receiver).and_then(|receiver| receiver.slot.as_ref());
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
            id.and_then(|id| Some((id.clone(), self.routes.receivers.get(&id)?.facts.protocol)))
        else {
            let gone = Outcome::Failed("It has just left.".to_owned());
            return self.routes.engine.handle_result(now.mono, command.id, all(&command, &gone));
        };
        let changes: Result<Vec<_>, String> =
            command.changes.iter().map(|change| self.change(&id, change)).collect();
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

    fn change(&mut self, receiver: &str, change: &Change) -> Result<executor::Change, String> {
        match change {
            Change::Subscribe { input, source: Source::ThisComputer } => {
                let sdp = self.take_slot(receiver)?;
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

    /// The description of what this computer sends to `receiver`, a multicast stream for it alone.
    fn take_slot(&mut self, receiver: &str) -> Result<Arc<str>, String> {
        let remote = self.routes.receivers.get(receiver).ok_or("It has just left.")?;
        if remote.slot.is_none() {
            let facts = remote.facts.clone();
            let address = self.free_address().map_err(|why| format!("{why}."))?;
            let session_id = self.free_session_id();
            let slot = SavedOwn {
                id: facts.id.clone(),
                name: format!("To {}", for_display(&facts.name)),
                labels: (1..=facts.channels.len()).map(|number| number.to_string()).collect(),
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
            if let Some(remote) = self.routes.receivers.get_mut(receiver) {
                remote.slot = Some(slot);
            }
        }
        self.show_slot(receiver);
        let sdp = self.streams.get(receiver).map(|stream| stream.sdp.clone()).unwrap_or_default();
        if sdp.is_empty() {
            Err("No network interface has an address to send from.".to_owned())
        } else {
            Ok(sdp)
        }
    }

    /// What this computer sends to `receiver` leaves by the interface in whose network that is, or else by the first.
    pub(super) fn way_to(&self, receiver: &str) -> Option<WayOut> {
        let address =
            self.routes.receivers.get(receiver).and_then(|remote| remote.facts.address.parse().ok());
        let ways = self.ways_out();
        let there = ways.iter().find(|(facts, _)| address.is_some_and(|address| facts.reaches(address)));
        there.or(ways.first()).cloned()
    }

    /// Brings node and description of a receiver in line with the slot that it has.
    fn show_slot(&mut self, receiver: &str) {
        let way = self.way_to(receiver);
        let speaker = self.speaker(way.as_ref());
        let refclk = way.as_ref().map(|(facts, _)| {
            clock::announced(self.our_clock().as_ref(), facts.mac.unwrap_or([2, 0, 0, 0, 0, 0]))
        });
        let slot = self.routes.receivers.get(receiver).and_then(|remote| remote.slot.as_ref());
        let Some(stream) = self.streams.get_mut(receiver) else { return };
        let Some(node) = &mut stream.node else { return };
        let (Some(slot), Some((facts, _)), Some(refclk)) = (slot, way, refclk) else {
            node.legs.clear();
            (stream.stream, stream.sdp) = (None, Arc::from(""));
            return;
        };
        node.media.offset = Some(0);
        node.media.ssrc = Some(slot.ssrc);
        node.legs = vec![Leg {
            interface: Some(facts.name),
            ttl: Some(slot.ttl),
            ..Leg::to(slot.address.into(), slot.port)
        }];
        let Ok(description) = describe::own(slot, &speaker, refclk) else { return };
        let Ok(sdp) = wireloom_sdp::write(&description, describe::flavour(slot)) else { return };
        let read = wireloom_sdp::read(sdp.as_bytes()).ok();
        stream.stream = read.and_then(|read| read.streams.into_iter().next());
        stream.sdp = Arc::from(sdp);
    }

    /// Gives back slots that nobody listens to.
    pub(super) fn free_slots(&mut self) {
        let unused: Vec<_> = self
            .routes
            .receivers
            .iter()
            .filter(|(id, remote)| {
                let device = DeviceId::from(format!("wireloom.{}", node_id(id, true)).as_str());
                remote.slot.is_some() && !self.routes.engine.is_fed(&device)
            })
            .map(|(id, _)| id.clone())
            .collect();
        for id in unused {
            if let Some(remote) = self.routes.receivers.get_mut(&id) {
                remote.slot = None;
            }
            self.show_slot(&id);
        }
    }
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
