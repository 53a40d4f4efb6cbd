//! What the engine is told of devices: streams, receivers, nodes of this computer.

use std::collections::BTreeSet;

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
        let mut there = BTreeSet::new();
        let streams = self.streams.iter().filter_map(|(id, stream)| {
            Some((DeviceId::from(node_of(id, stream).as_str()), self.device_of(id, stream)?))
        });
        let devices: Vec<_> = streams.chain(self.routes.graph.devices()).collect();
        for (id, device) in devices {
            self.routes.engine.handle_device(now.mono, &id, device);
            there.insert(id);
        }
        let gone: Vec<_> = self.routes.engine.devices().filter(|(id, _)| !there.contains(*id)).collect();
        let gone: Vec<_> = gone.into_iter().map(|(id, device)| (id.clone(), device.clone())).collect();
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
                    let known =
                        self.streams.get(stream).filter(|known| node_of(stream, known) == id.as_str());
                    known.and_then(|known| self.device_of(stream, known))
                }
                None => self.routes.graph.devices().remove(id),
            };
            if let Some(device) = device {
                self.routes.engine.handle_device(now.mono, id, device);
            }
        }
    }

    fn device_of(&self, id: &str, stream: &Known) -> Option<Device> {
        let node = stream.node.as_ref()?;
        let receiver = self.routes.receivers.get(id);
        let epoch = receiver.map_or(0, |receiver| receiver.facts.epoch);
        Some(Device {
            side: if node.direction == Direction::Receive { Side::Transmits } else { Side::Receives },
            place: if node.remote { Place::Remote } else { Place::Here },
            channels: u16::try_from(node.channels.len()).unwrap_or(u16::MAX),
            presence: if node.offline { Presence::Away } else { Presence::There { epoch } },
            tokens: node.direct.clone(),
            // One that is away was controlled when it was wished.
            controlled: receiver.is_some() || node.offline,
            takes: receiver.map_or(Takes::Channels, |receiver| receiver.facts.takes),
            batch: receiver.map_or(0, |receiver| receiver.facts.batch),
        })
    }
}
