//! `device.<id>` in the metadata object: what the devices of our nodes are called.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use wireloom_sdp::for_display;
use wireloom_wanted::Device;

use super::known::Origin;
use super::{Entry, Known, Model, device, node};
use crate::time::Now;

impl Model {
    /// Writes what is known of every device that has a node. Call it before the nodes are written, so that the
    /// device has its name when it appears.
    pub(super) fn write_devices(&mut self, now: Now) {
        // A node from before the agent started tells too little; what was written then holds until it is heard.
        let mut first = BTreeMap::new();
        for (device, id, stream) in self.with_device().filter(|(.., it)| it.origin != Origin::Kept) {
            first.entry(device).or_insert((id, stream));
        }
        let mut anew = Vec::new();
        for (device, (id, stream)) in first {
            let alias = self.saved.devices.get(device).cloned();
            let still = stream.still(&stream.named, &alias);
            if still.is_none_or(|named| !self.graph.is_written(&named.key, &named.text)) {
                let named = still.cloned().or_else(|| Named::new(device, stream, alias.as_deref()));
                anew.extend(named.map(|named| (id.to_owned(), stream.made(alias, named))));
            }
        }
        for (id, made) in anew {
            let Named { key, value, text } = &made.it;
            let seen = self.graph.value(key);
            // Another spelling of the same is the same.
            let is_other = seen != Some(text)
                && seen.and_then(|seen| serde_json::from_str(seen).ok()).as_ref() == Some(value);
            if !is_other {
                self.graph.want(now, key, Some(text));
            }
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.named = Some(made);
            }
        }
    }

    /// Deletes the keys of devices that have no node any more. Call it after the nodes are written.
    pub(super) fn delete_devices(&mut self, now: Now) {
        let needed: BTreeSet<_> = self.with_device().map(|(device, ..)| device).collect();
        let stale: Vec<_> = self
            .graph
            .devices()
            .filter(|id| id.starts_with("d-") && !needed.contains(id))
            .map(|id| format!("device.{id}"))
            .collect();
        for key in stale {
            self.graph.want(now, &key, None);
        }
    }

    /// Streams that have a node, each with its id, after the device that the node names.
    fn with_device(&self) -> impl Iterator<Item = (&str, &str, &Entry)> {
        let shown = self.streams.iter().filter(|(_, stream)| stream.shown);
        shown
            .filter_map(|(id, stream)| Some((stream.node.as_ref()?.device.as_str(), id.as_str(), stream)))
            .filter(|(device, ..)| !device.is_empty())
    }
}

/// The key of a device, as it is made of the first of its streams.
#[derive(Debug, Clone, PartialEq)]
pub struct Named {
    key: String,
    value: Device,
    text: String,
}

impl Named {
    /// The key of the device `id` of `stream`, which the user may call otherwise.
    pub fn new(id: &str, stream: &Known, alias: Option<&str>) -> Option<Self> {
        let alias = alias.map(for_display);
        let description = alias.filter(|alias| !alias.is_empty()).unwrap_or_else(|| stream.device_name());
        let address = stream.address.parse::<IpAddr>().ok().filter(|_| id != device::local_id());
        let value = Device {
            nick: node::nick(&description),
            description,
            address: address.map(|address| address.to_string()).unwrap_or_default(),
            ..Device::default()
        };
        let text = serde_json::to_string(&value).ok()?;
        Some(Self { key: format!("device.{id}"), value, text })
    }
}
