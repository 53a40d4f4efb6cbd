//! What the engine is told of devices: streams, receivers, nodes of this computer.

use wireloom_route::{Device, DeviceId, Pair, Place, Presence, Side, Takes};
use wireloom_wanted::Direction;

use super::super::known::node_id;
use super::super::{Known, Model};
use crate::time::Now;

/// A node of this computer can play and record: two devices of the engine.
const OUTPUTS: &str = "out:";
const INPUTS: &str = "in:";

/// The engine's name of one direction of a node: network nodes have one direction only.
pub fn engine_id(node_name: &str, side: Side) -> DeviceId {
    if node_name.starts_with("wireloom.") {
        return node_name.into();
    }
    let prefix = if side == Side::Transmits { OUTPUTS } else { INPUTS };
    format!("{prefix}{node_name}").as_str().into()
}

/// The `node.name` of what the engine calls `id`.
pub fn node_name(id: &DeviceId) -> &str {
    let text = id.as_str();
    text.strip_prefix(OUTPUTS).or_else(|| text.strip_prefix(INPUTS)).unwrap_or(text)
}

/// The id of the stream of what the engine calls `id`; `None` for nodes of this computer.
pub fn stream_id(id: &DeviceId) -> Option<&str> {
    let text = id.as_str().strip_prefix("wireloom.")?;
    text.strip_suffix(".tx").or_else(|| text.strip_suffix(".rx"))
}

/// The `node.name` of stream `id`.
fn node_of(id: &str, stream: &Known) -> String {
    format!("wireloom.{}", node_id(id, stream.is_transmit()))
}

impl Model {
    /// Tells the engine what there is now. What left stays known as long as somebody wishes it.
    pub(super) fn tell_devices(&mut self, now: Now) {
        let mut news = Vec::new();
        for (id, stream) in &self.streams {
            let control = self.control_of(id);
            if stream.still(&stream.told, &control).is_none() {
                let name = DeviceId::from(node_of(id, stream).as_str());
                news.push((id.clone(), name, device_of(stream, control.as_ref()), stream.made(control, ())));
            }
        }
        for (id, name, device, told) in news {
            if let Some(device) = device {
                self.routes.engine.handle_device(now.mono, &name, device);
            }
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.told = Some(told);
            }
        }
        let of_graph = self.routes.graph.devices();
        let is_gone = |(id, _): &(&DeviceId, &Device)| !self.has_device(id) && !of_graph.contains_key(*id);
        let gone: Vec<_> = self.routes.engine.devices().filter(is_gone).collect();
        let gone: Vec<_> = gone.into_iter().map(|(id, device)| (id.clone(), device.clone())).collect();
        for (id, device) in of_graph {
            self.routes.engine.handle_device(now.mono, &id, device);
        }
        for (id, device) in gone {
            if self.routes.engine.is_of_interest(&id) {
                let away = Device { presence: Presence::Away, ..device };
                self.routes.engine.handle_device(now.mono, &id, away);
            } else {
                self.routes.engine.forget_device(now.mono, &id);
            }
        }
    }

    /// Tells the engine what the two ends of `pair` are now; all others wait until it is told of everything.
    pub(super) fn tell_ends(&mut self, now: Now, pair: &Pair) {
        for id in [&pair.output.device, &pair.input.device] {
            let device = match stream_id(id) {
                Some(stream) => {
                    let known = self.streams.get(stream).filter(|_| self.has_device(id));
                    known.and_then(|known| device_of(known, self.control_of(stream).as_ref()))
                }
                None => self.routes.graph.devices().remove(id),
            };
            if let Some(device) = device {
                self.routes.engine.handle_device(now.mono, id, device);
            }
        }
    }

    /// Whether the node of a stream is what the engine calls `id`.
    fn has_device(&self, id: &DeviceId) -> bool {
        let node = id.as_str().strip_prefix("wireloom.");
        node.is_some_and(|node| self.stream_with_node(node).is_some())
    }

    /// How stream `id` is told what to play, when it is a receiver.
    pub(in super::super) fn control_of(&self, id: &str) -> Option<Control> {
        let facts = self.routes.receivers.get(id)?;
        Some(Control { epoch: facts.epoch, takes: facts.takes, batch: facts.batch })
    }
}

/// What a receiver says of how it is told what to play.
#[derive(Debug, Clone, PartialEq)]
pub struct Control {
    epoch: u64,
    takes: Takes,
    batch: u16,
}

/// What the engine is told of `stream`; nothing when it has no node.
pub fn device_of(stream: &Known, control: Option<&Control>) -> Option<Device> {
    let node = stream.node.as_ref()?;
    let epoch = control.map_or(0, |control| control.epoch);
    Some(Device {
        side: if node.direction == Direction::Receive { Side::Transmits } else { Side::Receives },
        place: if node.remote { Place::Remote } else { Place::Here },
        channels: u16::try_from(node.channels.len()).unwrap_or(u16::MAX),
        presence: if node.offline { Presence::Away } else { Presence::There { epoch } },
        tokens: node.direct.clone(),
        // One that is away was controlled when it was wished.
        controlled: control.is_some() || node.offline,
        takes: control.map_or(Takes::Channels, |control| control.takes),
        batch: control.map_or(0, |control| control.batch),
    })
}
