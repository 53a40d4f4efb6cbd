use alloc::{string::String, vec::Vec};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, from_value};

/// A device, `GET /device`. What it need not say may be missing, `null`, or of a kind that is not understood.
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
    #[serde(default, deserialize_with = "forgiving")]
    pub model: String,
    /// Host name without `.local`.
    #[serde(default, deserialize_with = "forgiving")]
    pub host: String,
    /// IP addresses.
    #[serde(default, deserialize_with = "forgiving")]
    pub address: Vec<String>,
    /// MAC address of its port.
    #[serde(default, deserialize_with = "forgiving", skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// What it is: `source`, `sink`, `mixer`, `hub`, `patchbay`.
    #[serde(default, deserialize_with = "forgiving")]
    pub roles: Vec<String>,
    /// Its clock.
    #[serde(default, deserialize_with = "forgiving", skip_serializing_if = "Option::is_none")]
    pub ptp: Option<Ptp>,
    /// Seconds since it was heard last; 0 from the device itself.
    #[serde(default, deserialize_with = "forgiving")]
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
    #[serde(default, deserialize_with = "forgiving")]
    pub gm: String,
    /// Its priority1.
    #[serde(default, deserialize_with = "forgiving")]
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
    #[serde(default, deserialize_with = "forgiving")]
    pub device: String,
    /// What the device calls it.
    pub name: String,
    /// Sent or received.
    pub direction: Side,
    /// Channels.
    pub channels: u16,
    /// A label for each channel, or none.
    #[serde(default, deserialize_with = "forgiving")]
    pub labels: Vec<String>,
    /// Samples a second.
    #[serde(default = "rate")]
    pub rate: u32,
    /// Sample format.
    #[serde(default = "encoding")]
    pub encoding: String,
    /// Milliseconds of a packet; 0 where any are taken.
    #[serde(default, deserialize_with = "forgiving")]
    pub ptime_ms: f64,
    /// How its packets travel.
    #[serde(default, deserialize_with = "forgiving")]
    pub transport: Transport,
    /// Address that it is had from, or group.
    #[serde(default, deserialize_with = "forgiving")]
    pub address: String,
    /// UDP port.
    #[serde(default, deserialize_with = "forgiving")]
    pub port: u16,
    /// RTP payload type.
    #[serde(default, deserialize_with = "forgiving")]
    pub pt: u8,
    /// Number in subscriptions.
    #[serde(default, deserialize_with = "forgiving")]
    pub sid: u32,
    /// Its description, of a stream that is sent; absent where `GET /streams/{id}/sdp` gives it.
    #[serde(default, deserialize_with = "forgiving", skip_serializing_if = "Option::is_none")]
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
    /// In a word that has no meaning here.
    #[serde(other)]
    Other,
}

/// An input, `GET /inputs/{id}`.
///
/// `source` says what it plays, in the words in which it was told: without it nobody could see a route that another
/// controller made (the first proposal forgot it). A device that does not say it is believed to play what it was told
/// last, as long as it is not idle ([`InputStatus::believed`]).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct InputStatus {
    /// How it is.
    #[serde(default, deserialize_with = "forgiving")]
    pub state: InputState,
    /// Why it failed.
    #[serde(default, deserialize_with = "forgiving", skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// What it plays; absent when idle.
    #[serde(default, deserialize_with = "source", skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// Packets played.
    #[serde(default, deserialize_with = "forgiving")]
    pub packets: u64,
    /// Packets that never came.
    #[serde(default, deserialize_with = "forgiving")]
    pub lost: u64,
    /// Packets that came too late.
    #[serde(default, deserialize_with = "forgiving")]
    pub late: u64,
    /// Jitter of arrivals (RFC 3550 §6.4.1), in microseconds.
    #[serde(default, deserialize_with = "forgiving")]
    pub jitter_us: u32,
    /// Link offset in force, in microseconds.
    #[serde(default, deserialize_with = "forgiving")]
    pub offset_us: u32,
}

impl InputStatus {
    /// A complete example, parsed by a test.
    pub const EXAMPLE: &str = r#"{"state":"active","source":{"host":"169.254.23.183","port":50000,"sid":1,
        "channels":2,"pt":97},"packets":48000,"lost":0,"late":1,"jitter_us":35,"offset_us":6000}"#;

    /// What it plays where it does not say so, or in words that are not understood: what it was `told` last, unless it is
    /// idle.
    pub fn believed<'a>(&self, told: Option<&'a Source>) -> Option<&'a Source> {
        told.filter(|_| self.state != InputState::Idle)
    }
}

/// A value that is missing, `null` or not understood is the neutral one: nothing of the rest is less true for it.
fn forgiving<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(from: D) -> Result<T, D::Error> {
    Ok(from_value(Value::deserialize(from)?).unwrap_or_default())
}

/// A source as a device tells it, which knows the format anyway and may leave it out.
fn source<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Source>, D::Error> {
    let mut value = Value::deserialize(from)?;
    if let Some(fields) = value.as_object_mut() {
        for name in ["channels", "pt"] {
            fields.entry(name).or_insert(Value::from(0));
        }
    }
    Ok(from_value(value).ok())
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
    fn what_another_device_says_otherwise_does_not_spoil_the_rest() {
        let device = r#"{"id":"mixtee-01b7","name":"FOH","mac":null,"host":null,"address":"192.0.2.1",
            "ptp":{"state":"slave","gm":null,"priority1":300},"last_seen_s":0.4,"roles":null}"#;
        let device: Device = serde_json::from_str(device).expect("has a name");
        assert_eq!((device.name.as_str(), device.host.as_str()), ("FOH", ""));
        assert_eq!(device.ptp.map(|ptp| ptp.state), Some("slave".into()));
        let input = |text: &str| serde_json::from_str::<InputStatus>(text).expect("an object");
        let status = input(
            r#"{"state":"buffering","error":null,"jitter_us":12.5,"offset_us":-3,"packets":7,"more":[],
            "source":{"host":"192.0.2.1","port":50000,"sid":1}}"#,
        );
        assert_eq!((status.state, status.packets), (InputState::Other, 7));
        assert!(matches!(status.source, Some(Source::Stream { port: 50_000, sid: 1, .. })));
        assert_eq!(input(r#"{"state":"active","source":"syntee-a3f2"}"#).source, None);
        assert_eq!(input("{}").state, InputState::Idle);
        let stream = r#"{"id":"a","name":"In","direction":"rx","channels":2,"port":null,"pt":null,"sdp":null,
            "transport":"both","labels":null,"address":null,"ptime_ms":null}"#;
        let stream: Stream = serde_json::from_str(stream).expect("says what counts");
        assert_eq!((stream.port, stream.labels.len(), stream.rate), (0, 0, 48_000));
    }

    #[test]
    fn a_device_that_does_not_say_its_source_plays_what_it_was_told_until_it_is_idle() {
        let source: Source = serde_json::from_str(r#"{"sdp":"v=0\r\n"}"#).expect("a description");
        let in_state = |state| InputStatus { state, ..InputStatus::default() };
        for state in [InputState::Connecting, InputState::Active, InputState::Failed, InputState::Other] {
            assert_eq!(in_state(state).believed(Some(&source)), Some(&source));
            assert_eq!(in_state(state).believed(None), None);
        }
        assert_eq!(in_state(InputState::Idle).believed(Some(&source)), None);
    }

    #[test]
    fn a_source_is_a_description_or_a_sender() {
        let source: Source = serde_json::from_str(r#"{"sdp":"v=0\r\n"}"#).expect("a description");
        assert_eq!(source, Source::Described { sdp: "v=0\r\n".into() });
        assert!(serde_json::from_str::<Source>(r#"{"host":"192.0.2.1"}"#).is_err());
    }
}
