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

    /// What people call it when the user calls it `alias`, which may be empty.
    pub fn called<'a>(&'a self, alias: &'a str) -> &'a str {
        if alias.is_empty() { &self.name } else { alias }
    }

    /// What patchbays call its node: the user's `alias`, or "Device — Stream".
    pub fn description(&self, alias: &str, device_alias: Option<&str>) -> String {
        if !alias.is_empty() {
            return alias.to_owned();
        }
        let (device, part) = self.parts();
        let device = device_alias.unwrap_or(device);
        let text = if device.is_empty() || self.is_own() {
            self.name.clone()
        } else {
            format!("{device} — {part}")
        };
        wireloom_sdp::for_display(&text)
    }
}

impl Model {
    /// What the user calls stream `id`, else what the network calls it.
    pub(super) fn alias_of(&self, id: &str, stream: &Known) -> String {
        stream.called(self.saved_alias(id)).to_owned()
    }

    /// What the user calls stream `id`; empty when it has no other name than its own.
    pub(super) fn saved_alias(&self, id: &str) -> &str {
        self.saved.streams.get(id).map(|saved| saved.alias.as_str()).unwrap_or_default()
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
