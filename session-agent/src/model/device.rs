//! Devices: what streams of one address have in common.

use wireloom_wanted::Protocol;

use super::{Known, Model, identity};
use crate::oat;

/// The id of this computer's own device.
pub fn local_id() -> String {
    identity::device_id("local")
}

/// Device part and stream part of a name like "Stage box L : mics 1-8"; the device part is empty without " : ".
pub fn split_name(name: &str) -> (&str, &str) {
    match name.split_once(" : ") {
        Some((device, stream)) if !device.trim().is_empty() && !stream.trim().is_empty() => {
            (device.trim(), stream.trim())
        }
        _ => ("", name.trim()),
    }
}

pub fn protocol_word(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Aes67 => "aes67",
        Protocol::Ravenna => "ravenna",
        Protocol::Dante => "dante",
        Protocol::Oat => "oat",
        Protocol::Nmos => "nmos",
    }
}

impl Known {
    /// The id of the device that it belongs to.
    pub fn device(&self) -> String {
        match (&self.node, self.is_own()) {
            (_, true) => local_id(),
            (Some(node), false)
                if (self.stream.is_none() || self.is_transmit()) && !node.device.is_empty() =>
            {
                node.device.clone()
            }
            _ => identity::device_id(self.device_key.as_ref().unwrap_or(&self.address)),
        }
    }

    /// Device part and stream part of its name.
    fn parts(&self) -> (&str, &str) {
        if self.stream.as_ref().is_some_and(oat::is_oat) {
            let name = wireloom_oat::split_session_name(&self.name);
            return (name.device.unwrap_or_default(), name.stream);
        }
        split_name(&self.name)
    }

    /// What the network calls its device: the device part of its name, else the address.
    pub fn device_name(&self) -> String {
        if self.is_own() {
            return "This computer".to_owned();
        }
        let (device, _) = self.parts();
        let name = if device.is_empty() { &self.address } else { device };
        wireloom_sdp::for_display(name)
    }
}

impl Model {
    /// What the user calls stream `id`, else what the network calls it.
    pub(super) fn alias_of(&self, id: &str, stream: &Known) -> String {
        let alias = self.saved.streams.get(id).map(|saved| saved.alias.as_str()).unwrap_or_default();
        if alias.is_empty() { stream.name.clone() } else { alias.to_owned() }
    }

    /// What patchbays call the node of `id`: the user's alias, or "Device — Stream".
    pub(super) fn description_of(&self, id: &str, stream: &Known) -> String {
        if self.saved.streams.get(id).is_some_and(|saved| !saved.alias.is_empty()) {
            return self.alias_of(id, stream);
        }
        let device_alias = self.saved.devices.get(&stream.device());
        let (device, part) = stream.parts();
        let device = device_alias.map_or(device, String::as_str);
        let text = if device.is_empty() || stream.is_own() {
            stream.name.clone()
        } else {
            format!("{device} — {part}")
        };
        wireloom_sdp::for_display(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::split_name;

    #[test]
    fn names_split_at_the_first_spaced_colon() {
        for (name, parts) in [
            ("Stage box L : mics 1-8", ("Stage box L", "mics 1-8")),
            ("AVIO-AAI2-5a11c2 : 2", ("AVIO-AAI2-5a11c2", "2")),
            ("Mixer:1", ("", "Mixer:1")),
            (" : 2", ("", ": 2")),
            ("", ("", "")),
        ] {
            assert_eq!(split_name(name), parts, "{name}");
        }
    }
}
