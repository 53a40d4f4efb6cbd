//! `device.<id>` in the metadata object: what the devices of our nodes are called.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use wireloom_sdp::for_display;
use wireloom_wanted::Device;

use super::known::Origin;
use super::{Known, Model, device, node};
use crate::time::Now;

impl Model {
    /// Writes what is known of every device that has a node. Call it before the nodes are written, so that the
    /// device has its name when it appears.
    pub(super) fn write_devices(&mut self, now: Now) {
        let mut wanted: BTreeMap<String, Device> = BTreeMap::new();
        for (id, stream) in self.with_device() {
            // A node from before the agent started tells too little; what was written then holds until it is heard.
            if stream.origin != Origin::Kept && !wanted.contains_key(id) {
                wanted.insert(id.to_owned(), self.device_as_wanted(id, stream));
            }
        }
        for (id, value) in wanted {
            let key = format!("device.{id}");
            let seen = self.graph.value(&key);
            let Ok(text) = serde_json::to_string(&value) else { continue };
            // Another spelling of the same is the same.
            if seen != Some(text.as_str())
                && seen.and_then(|seen| serde_json::from_str(seen).ok()).as_ref() == Some(&value)
            {
                continue;
            }
            self.graph.want(now, &key, Some(&text));
        }
    }

    /// Deletes the keys of devices that have no node any more. Call it after the nodes are written.
    pub(super) fn delete_devices(&mut self, now: Now) {
        let needed: BTreeSet<_> = self.with_device().map(|(id, _)| id).collect();
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

    /// Streams that have a node, each with the device that the node names.
    fn with_device(&self) -> impl Iterator<Item = (&str, &Known)> {
        let shown = self.streams.values().filter(|stream| stream.shown);
        shown
            .filter_map(|stream| Some((stream.node.as_ref()?.device.as_str(), &**stream)))
            .filter(|(id, _)| !id.is_empty())
    }

    fn device_as_wanted(&self, id: &str, stream: &Known) -> Device {
        let alias = self.saved.devices.get(id).map(|alias| for_display(alias));
        let description = alias.filter(|alias| !alias.is_empty()).unwrap_or_else(|| stream.device_name());
        let address = stream.address.parse::<IpAddr>().ok().filter(|_| id != device::local_id());
        Device {
            nick: node::nick(&description),
            description,
            address: address.map(|address| address.to_string()).unwrap_or_default(),
            ..Device::default()
        }
    }
}
