use serde::{Deserialize, Serialize};

/// What a network device is called. Value of `device.<id>`, where `<id>` is the [`crate::Node::device`] of its nodes.
///
/// Its nodes share one PipeWire Device object with these texts, which exists exactly as long as one of them does.
/// Without the key the object is called after one of the nodes.
///
/// ```
/// let device: wireloom_wanted::Device = serde_json::from_str(wireloom_wanted::Device::EXAMPLE).unwrap();
/// assert_eq!(device.product, "MR-2");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Device {
    /// What people call it (`device.description`).
    pub description: String,
    /// Short form, at most 24 characters (`device.nick`).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub nick: String,
    /// Who made it (`device.vendor.name`).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub vendor: String,
    /// Model (`device.product.name`).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub product: String,
    /// Serial number or MAC address (`device.serial`).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub serial: String,
    /// Firmware (`wireloom.firmware`).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub firmware: String,
    /// Its address on the network (`wireloom.address`).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub address: String,
    /// One sentence on how it is (`wireloom.status`).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub status: String,
}

impl Device {
    /// A complete example, parsed by a test.
    pub const EXAMPLE: &str = r#"{
        "description": "Monitor rack", "nick": "Monitor rack", "vendor": "Example Audio", "product": "MR-2",
        "serial": "00-00-5e-00-53-07", "firmware": "1.4.0", "address": "192.0.2.17",
        "status": "follows the grandmaster of domain 0"
    }"#;
}
