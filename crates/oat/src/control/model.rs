use alloc::{string::String, vec::Vec};

use serde::{Deserialize, Serialize};

/// A device, `GET /device`.
///
/// ```
/// let device: wireloom_oat::control::Device = serde_json::from_str(wireloom_oat::control::Device::EXAMPLE).unwrap();
/// assert_eq!(device.host, "mixtee-01b7");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Device {
    /// Stable: the host name.
    pub id: String,
    /// What its user calls it.
    pub name: String,
    /// Model, as its maker spells it.
    #[serde(default)]
    pub model: String,
    /// Host name without `.local`.
    #[serde(default)]
    pub host: String,
    /// IP addresses.
    #[serde(default)]
    pub address: Vec<String>,
    /// MAC address of its port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// What it is: `source`, `sink`, `mixer`, `hub`, `patchbay`.
    #[serde(default)]
    pub roles: Vec<String>,
    /// Its clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ptp: Option<Ptp>,
    /// Seconds since it was heard last; 0 from the device itself.
    #[serde(default)]
    pub last_seen_s: u32,
    /// Whether it is there.
    #[serde(default = "yes")]
    pub online: bool,
}

impl Device {
    /// A complete example, parsed by a test.
    pub const EXAMPLE: &str = r#"{"id":"mixtee-01b7","name":"FOH","model":"MixTEE","host":"mixtee-01b7",
        "address":["169.254.23.183"],"mac":"04:e9:e5:00:01:b7","roles":["source","sink","mixer"],
        "ptp":{"state":"slave","gm":"00-1D-C1-FF-FE-12-34-56","priority1":128},"last_seen_s":0,"online":true}"#;
}

/// The clock of a device.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ptp {
    /// `master`, `slave`, `listening`, `free`.
    pub state: String,
    /// Grandmaster identity as SDP spells it; empty without one.
    #[serde(default)]
    pub gm: String,
    /// Its priority1.
    #[serde(default)]
    pub priority1: u8,
}

/// Which way a stream goes, seen from its device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// It is sent.
    Tx,
    /// It is received: an input.
    Rx,
}

/// How packets travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// To each receiver that subscribed.
    #[default]
    Unicast,
    /// To a group.
    Multicast,
}

/// A stream of a device, in either direction: `GET /streams` lists them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stream {
    /// Stable: `mixtee-01b7/tx/adc-1-8`.
    pub id: String,
    /// Id of its device.
    #[serde(default)]
    pub device: String,
    /// What the device calls it.
    pub name: String,
    /// Sent or received.
    pub direction: Side,
    /// Channels.
    pub channels: u16,
    /// A label for each channel, or none.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Samples a second.
    #[serde(default = "rate")]
    pub rate: u32,
    /// Sample format.
    #[serde(default = "encoding")]
    pub encoding: String,
    /// Milliseconds of a packet; 0 where any are taken.
    #[serde(default)]
    pub ptime_ms: f64,
    /// How its packets travel.
    #[serde(default)]
    pub transport: Transport,
    /// Address that it is had from, or group.
    #[serde(default)]
    pub address: String,
    /// UDP port.
    #[serde(default)]
    pub port: u16,
    /// RTP payload type.
    #[serde(default)]
    pub pt: u8,
    /// Number in subscriptions.
    #[serde(default)]
    pub sid: u32,
    /// Its description, of a stream that is sent; absent where `GET /streams/{id}/sdp` gives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sdp: Option<String>,
}

/// What an input is told to play, `PUT /inputs/{id}/source`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Source {
    /// What this description says.
    Described {
        /// An SDP description with one stream.
        sdp: String,
    },
    /// A unicast stream of another device of OAT.
    Stream {
        /// IPv4 address of the sender.
        host: String,
        /// Port that hears subscriptions.
        port: u16,
        /// Number of the stream there; 0 is the stream of the port.
        #[serde(default)]
        sid: u32,
        /// Channels of the stream.
        channels: u16,
        /// RTP payload type.
        pt: u8,
    },
}

/// How an input is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InputState {
    /// It plays nothing.
    #[default]
    Idle,
    /// Asked; no audio yet.
    Connecting,
    /// Audio arrives.
    Active,
    /// Audio stopped.
    Stalled,
    /// It cannot be had.
    Failed,
}

/// An input, `GET /inputs/{id}`.
///
/// `source` says what it plays, in the words in which it was told: without it nobody could see a route that another
/// controller made (the first proposal forgot it).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct InputStatus {
    /// How it is.
    pub state: InputState,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// What it plays; absent when idle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// Packets played.
    #[serde(default)]
    pub packets: u64,
    /// Packets that never came.
    #[serde(default)]
    pub lost: u64,
    /// Packets that came too late.
    #[serde(default)]
    pub late: u64,
    /// Jitter of arrivals (RFC 3550 §6.4.1), in microseconds.
    #[serde(default)]
    pub jitter_us: u32,
    /// Link offset in force, in microseconds.
    #[serde(default)]
    pub offset_us: u32,
}

impl InputStatus {
    /// A complete example, parsed by a test.
    pub const EXAMPLE: &str = r#"{"state":"active","source":{"host":"169.254.23.183","port":50000,"sid":1,
        "channels":2,"pt":97},"packets":48000,"lost":0,"late":1,"jitter_us":35,"offset_us":6000}"#;
}

fn yes() -> bool {
    true
}

fn rate() -> u32 {
    48_000
}

fn encoding() -> String {
    "L24".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_survive_a_round_trip() {
        let device: Device = serde_json::from_str(Device::EXAMPLE).expect("complete");
        let text = serde_json::to_string(&device).expect("written");
        assert_eq!(serde_json::from_str::<Device>(&text).expect("read again"), device);
        let input: InputStatus = serde_json::from_str(InputStatus::EXAMPLE).expect("complete");
        assert!(matches!(input.source, Some(Source::Stream { sid: 1, .. })));
        let text = serde_json::to_string(&input).expect("written");
        assert_eq!(serde_json::from_str::<InputStatus>(&text).expect("read again"), input);
    }

    #[test]
    fn a_source_is_a_description_or_a_sender() {
        let source: Source = serde_json::from_str(r#"{"sdp":"v=0\r\n"}"#).expect("a description");
        assert_eq!(source, Source::Described { sdp: "v=0\r\n".into() });
        assert!(serde_json::from_str::<Source>(r#"{"host":"192.0.2.1"}"#).is_err());
    }
}
