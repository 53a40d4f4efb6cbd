use std::net::{IpAddr, SocketAddrV4};

use serde::{Deserialize, Serialize};

/// What must exist: one node of the graph. Value of `node.<id>`; its `node.name` is `wireloom.<id>`.
///
/// Of another device, its transmitter is a node that receives here (`direction` receive, output ports) and its
/// receiver one that transmits from here (`direction` transmit, input ports), both `remote`. The node of a remote
/// receiver has no socket as long as `legs` is empty; the agent fills `legs` and `media` in when a program of this
/// computer has been linked to it ([`crate::StateReport::links`]) and the device has been told what to listen to.
///
/// ```
/// let node: wireloom_wanted::Node = serde_json::from_str(wireloom_wanted::Node::EXAMPLE).unwrap();
/// assert_eq!(node.check(), Ok(()));
/// assert_eq!(node.channels.len(), 2);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Whether audio comes from the network into the graph or goes the other way.
    pub direction: Direction,
    /// The protocol it was first heard by (`wireloom.protocol`).
    pub protocol: Protocol,
    /// Texts for people, already sanitised.
    #[serde(flatten)]
    pub text: NodeText,
    /// Stable id of the device that it belongs to (`wireloom.device`); empty when unknown.
    #[serde(default)]
    pub device: String,
    /// Label of each channel, first channel first; as many as there are channels.
    pub channels: Vec<String>,
    /// How samples are carried.
    pub media: Media,
    /// The addresses it is carried on: one, or several with ST 2022-7. Empty while not yet known
    /// (a stream that must be asked for): the node exists and is silent.
    #[serde(default)]
    pub legs: Vec<Leg>,
    /// How the stream's clock relates to ours.
    #[serde(default)]
    pub clock: ClockRelation,
    /// Latency class in frames (DESIGN: default 144).
    #[serde(default = "default_latency")]
    pub latency: u32,
    /// Where the node shows itself.
    #[serde(default)]
    pub show: Show,
    /// The user chose it as a default device of the desktop; no session manager chooses it otherwise.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub chosen: bool,
    /// Transmit only: the stream is announced or has a subscriber, so it is sent even when nothing is linked.
    #[serde(default)]
    pub announced: bool,
    /// Transmit only: DSCP of the packets (default 34, AF41).
    #[serde(default = "default_dscp")]
    pub dscp: u8,
    /// The device left; the node stays, silent, because something is linked to it or wished.
    #[serde(default)]
    pub offline: bool,
    /// The audio goes from or to another device. Always true for what was discovered; false for our own slots.
    #[serde(default)]
    pub remote: bool,
    /// Languages it can be routed in without passing through this host: tokens that the agent makes up and only
    /// compares, see [`Node::speaks_with`]. At most 32, each at most 64 bytes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub direct: Vec<String>,
    /// A datagram that the module sends from the media socket at intervals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keepalive: Option<Keepalive>,
    /// Transmit only: who is sent a copy of every packet, besides `legs`. The node has its socket also while nobody is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copies: Option<Copies>,
}

/// Texts for people, at most 128 characters each, without control characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeText {
    /// What patchbays show (`node.description`).
    pub description: String,
    /// Short form, at most 24 characters (`node.nick`).
    #[serde(default)]
    pub nick: String,
    /// The stream's own name, SDP `s=` (`media.name`).
    #[serde(default)]
    pub name: String,
}

/// Which way the audio goes, seen from the graph of this computer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// From the network into the graph: a node with output ports.
    Receive,
    /// From the graph into the network: a node with input ports.
    Transmit,
}

/// The protocol of a node, value of the property `wireloom.protocol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)] // the names say it
pub enum Protocol {
    Aes67,
    Ravenna,
    Dante,
    Oat,
    Nmos,
}

/// How samples are laid out in packets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Media {
    /// Sample format.
    pub encoding: Encoding,
    /// Samples a second.
    pub rate: u32,
    /// Frames in a packet as announced; a receiver believes the packets.
    pub samples_per_packet: u32,
    /// RTP payload type.
    pub payload_type: u8,
    /// `mediaclk:direct` value: RTP timestamp minus media clock. Absent: learned (`aes67` 3.4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u32>,
    /// Transmit: the SSRC to send with; absent: random. Receive: the one that the description names (RFC 5576);
    /// packets of another are taken too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssrc: Option<u32>,
}

/// Sample formats on the wire (RFC 3190, RFC 3551, ST 2110-31).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // the names are the standard's
pub enum Encoding {
    L16,
    L24,
    L32,
    AM824,
}

impl Encoding {
    /// Octets of one sample of one channel.
    pub const fn bytes(self) -> usize {
        match self {
            Self::L16 => 2,
            Self::L24 => 3,
            Self::L32 | Self::AM824 => 4,
        }
    }
}

/// One address that a stream is carried on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leg {
    /// Group or unicast destination.
    pub address: IpAddr,
    /// UDP destination port.
    pub port: u16,
    /// Receive only: the one sender that is listened to (RFC 4570); any when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<IpAddr>,
    /// Receive only: senders that are not listened to (RFC 4570 `excl`), at most [`Leg::MAX_EXCLUDED`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excluded: Vec<IpAddr>,
    /// Name of the network interface; the routing table decides when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// Transmit only: time to live (default 32).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u8>,
}

impl Leg {
    /// How many senders a leg can exclude; each costs every packet a comparison.
    pub const MAX_EXCLUDED: usize = 8;

    /// A leg of which only the destination is said.
    pub const fn to(address: IpAddr, port: u16) -> Self {
        Self { address, port, source: None, excluded: Vec::new(), interface: None, ttl: None }
    }
}

/// How a stream's clock relates to the clock that drives the graph, as its description says (`aes67` 2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClockRelation {
    /// Same grandmaster and domain: timestamps are believed.
    Same,
    /// Probably the same: timestamps are believed once packets have confirmed them.
    #[default]
    Unknown,
    /// Another clock: resampled.
    Other,
}

/// Where a node shows itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Show {
    /// In patchbays only: the node has no `media.class`.
    #[default]
    Patchbay,
    /// Also as a device of the desktop (`Audio/Source`, `Audio/Sink`).
    Desktop,
}

/// Copies of a stream to receivers that asked for it. That the receivers change disturbs none of those that stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copies {
    /// Port that they are sent from. The agent listens on it, bound to one address of this computer; the module binds
    /// it without an address, so that everything that comes goes to the agent.
    pub port: u16,
    /// Receivers, at most [`Copies::MAX`].
    #[serde(default)]
    pub to: Vec<SocketAddrV4>,
}

impl Copies {
    /// How many receivers a stream can have.
    pub const MAX: usize = 16;
}

/// A datagram that keeps a flow alive, sent by the module from the media socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keepalive {
    /// Payload, in hexadecimal.
    pub bytes: String,
    /// Destination.
    pub to: std::net::SocketAddr,
    /// Milliseconds between two of them.
    pub interval_ms: u32,
}

impl Keepalive {
    /// The payload's octets; `None` when the text is no hexadecimal of 1 to 1400 octets.
    ///
    /// ```
    /// let to = "192.0.2.1:5000".parse().unwrap();
    /// let keepalive = wireloom_wanted::Keepalive { bytes: "00fF7a".into(), to, interval_ms: 1000 };
    /// assert_eq!(keepalive.octets(), Some(vec![0, 255, 122]));
    /// ```
    pub fn octets(&self) -> Option<Vec<u8>> {
        let digits = self.bytes.as_bytes();
        if digits.is_empty() || digits.len() > 2800 || !digits.len().is_multiple_of(2) {
            return None;
        }
        let value = |digit: u8| char::from(digit).to_digit(16);
        let octet = |pair: &[u8]| match *pair {
            [high, low] => u8::try_from(value(high)? << 4 | value(low)?).ok(),
            _ => None,
        };
        digits.chunks(2).map(octet).collect()
    }
}

/// Why a [`Node`] that parsed can still not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Invalid {
    /// No channel, or more than 128.
    Channels(usize),
    /// Rate is 0 or above 768 kHz.
    Rate(u32),
    /// A packet of that many payload octets does not fit into one datagram (at most 8960).
    PacketSize(usize),
    /// No frames in a packet.
    NoFrames,
    /// More than four legs.
    Legs(usize),
    /// A leg's port is 0.
    Port,
    /// A leg excludes more than eight senders.
    Excluded(usize),
    /// Payload type above 127.
    PayloadType(u8),
    /// More than 16 copies.
    Copies(usize),
    /// More than 32 tokens in `direct`, or one longer than 64 bytes.
    Direct,
    /// Latency class above two seconds.
    Latency(u32),
    /// DSCP above 63.
    Dscp(u8),
}

impl std::fmt::Display for Invalid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Channels(n) => write!(f, "a node has 1 to 128 channels, not {n}"),
            Self::Rate(hz) => write!(f, "a rate is 1 to 768000 Hz, not {hz}"),
            Self::PacketSize(n) => write!(f, "a packet of {n} octets does not fit into a datagram"),
            Self::NoFrames => f.write_str("a packet needs at least one frame"),
            Self::Legs(n) => write!(f, "a stream has at most 4 legs, not {n}"),
            Self::Port => f.write_str("port 0 cannot carry a stream"),
            Self::Excluded(n) => write!(f, "a leg excludes at most {} senders, not {n}", Leg::MAX_EXCLUDED),
            Self::Copies(n) => write!(f, "a stream has at most {} copies, not {n}", Copies::MAX),
            Self::PayloadType(n) => write!(f, "a payload type is 0 to 127, not {n}"),
            Self::Direct => f.write_str("`direct` has at most 32 tokens of at most 64 bytes"),
            Self::Latency(n) => write!(f, "a latency class of {n} frames is longer than two seconds"),
            Self::Dscp(n) => write!(f, "a DSCP is 0 to 63, not {n}"),
        }
    }
}

impl std::error::Error for Invalid {}

impl Node {
    /// A complete example, parsed by a test.
    pub const EXAMPLE: &str = r#"{
        "direction": "receive", "protocol": "aes67", "device": "d-9f21c06b7a11e0d4", "remote": true,
        "description": "Stage box L — mics 1-2", "nick": "Stage box L", "name": "Stage box L : mics",
        "channels": ["Kick", "Snare"],
        "media": {"encoding": "L24", "rate": 48000, "samples_per_packet": 48, "payload_type": 98, "offset": 0},
        "legs": [{"address": "239.69.10.1", "port": 5004, "source": "192.0.2.10", "interface": "eth0"}],
        "clock": "same", "latency": 144, "show": "patchbay", "direct": ["aes67:48000"]
    }"#;

    /// A remote receiver that nobody of this computer sends to, parsed by a test.
    pub const EXAMPLE_RECEIVER: &str = r#"{
        "direction": "transmit", "protocol": "oat", "device": "d-77aa03e1b6c2f500", "remote": true,
        "description": "Monitor rack \u2014 inputs", "nick": "Monitor rack",
        "channels": ["Left", "Right"],
        "media": {"encoding": "L24", "rate": 48000, "samples_per_packet": 48, "payload_type": 98},
        "direct": ["oat-ctl", "aes67:48000"]
    }"#;

    /// A stream of this computer that is sent to who asks, parsed by a test.
    pub const EXAMPLE_COPIES: &str = r#"{
        "direction": "transmit", "protocol": "oat", "device": "d-5d8c1f3f0b7a9e21", "announced": true,
        "description": "Drum mix", "channels": ["Left", "Right"],
        "media": {"encoding": "L24", "rate": 48000, "samples_per_packet": 48, "payload_type": 97, "offset": 0,
                  "ssrc": 3735928559},
        "copies": {"port": 50000, "to": ["192.0.2.17:50064"]}
    }"#;

    /// Whether a link from this node to `input` becomes virtual, and so carries no audio through this computer:
    /// exactly when this is a remote transmitter, `input` a remote receiver, and they have a token in common.
    ///
    /// ```
    /// use wireloom_wanted::Node;
    /// let transmitter: Node = serde_json::from_str(Node::EXAMPLE).unwrap();
    /// let mut receiver: Node = serde_json::from_str(Node::EXAMPLE_RECEIVER).unwrap();
    /// assert!(transmitter.speaks_with(&receiver));
    /// receiver.direct = vec!["oat-ctl".into()];
    /// assert!(!transmitter.speaks_with(&receiver));
    /// ```
    pub fn speaks_with(&self, input: &Self) -> bool {
        self.relays_to(input) && self.direct.iter().any(|token| input.direct.contains(token))
    }

    /// Whether a link from this node to `input` joins two other devices, be it virtual or through this computer.
    pub fn relays_to(&self, input: &Self) -> bool {
        self.remote
            && input.remote
            && self.direction == Direction::Receive
            && input.direction == Direction::Transmit
    }

    /// Checks what the types cannot say. Nothing of the node may be used before this returned `Ok`.
    pub fn check(&self) -> Result<(), Invalid> {
        let channels = self.channels.len();
        if !(1..=128).contains(&channels) {
            return Err(Invalid::Channels(channels));
        }
        if self.media.rate == 0 || self.media.rate > 768_000 {
            return Err(Invalid::Rate(self.media.rate));
        }
        if self.media.samples_per_packet == 0 {
            return Err(Invalid::NoFrames);
        }
        let octets = channels * self.media.encoding.bytes();
        let size =
            octets.saturating_mul(usize::try_from(self.media.samples_per_packet).unwrap_or(usize::MAX));
        if size > 8960 {
            return Err(Invalid::PacketSize(size));
        }
        if self.legs.len() > 4 {
            return Err(Invalid::Legs(self.legs.len()));
        }
        let copies = self.copies.as_ref();
        if let Some(count) = copies.map(|copies| copies.to.len()).filter(|count| *count > Copies::MAX) {
            return Err(Invalid::Copies(count));
        }
        if self.legs.iter().any(|leg| leg.port == 0)
            || copies.is_some_and(|copies| copies.port == 0 || copies.to.iter().any(|to| to.port() == 0))
        {
            return Err(Invalid::Port);
        }
        if let Some(leg) = self.legs.iter().find(|leg| leg.excluded.len() > Leg::MAX_EXCLUDED) {
            return Err(Invalid::Excluded(leg.excluded.len()));
        }
        if self.media.payload_type > 127 {
            return Err(Invalid::PayloadType(self.media.payload_type));
        }
        if u64::from(self.latency) > 2 * u64::from(self.media.rate) {
            return Err(Invalid::Latency(self.latency));
        }
        if self.direct.len() > 32 || self.direct.iter().any(|token| token.len() > 64) {
            return Err(Invalid::Direct);
        }
        if self.dscp > 63 {
            return Err(Invalid::Dscp(self.dscp));
        }
        Ok(())
    }
}

const fn default_latency() -> u32 {
    144
}

const fn default_dscp() -> u8 {
    34
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Node {
        serde_json::from_str(Node::EXAMPLE).expect("the example is valid JSON")
    }

    #[test]
    fn the_example_survives_a_round_trip() {
        for text in [Node::EXAMPLE, Node::EXAMPLE_RECEIVER, Node::EXAMPLE_COPIES] {
            let node: Node = serde_json::from_str(text).expect("the example is valid JSON");
            assert_eq!(node.check(), Ok(()));
            let text = serde_json::to_string(&node).expect("serialises");
            assert_eq!(serde_json::from_str::<Node>(&text).expect("parses"), node);
        }
    }

    #[test]
    fn excluded_senders_are_written_only_where_there_are_some() {
        let old = r#"{"address":"239.69.10.1","port":5004}"#;
        let mut leg: Leg = serde_json::from_str(old).expect("a value of before there was the field");
        assert_eq!(leg, Leg::to([239, 69, 10, 1].into(), 5004));
        assert_eq!(serde_json::to_string(&leg).expect("serialises"), old);
        leg.excluded.push([192, 0, 2, 66].into());
        let text = serde_json::to_string(&leg).expect("serialises");
        assert_eq!(text, r#"{"address":"239.69.10.1","port":5004,"excluded":["192.0.2.66"]}"#);
        assert_eq!(serde_json::from_str::<Leg>(&text).expect("parses"), leg);
    }

    #[test]
    fn impossible_nodes_are_refused_in_words() {
        let refused = |change: fn(&mut Node), why: &str| {
            let mut node = example();
            change(&mut node);
            assert_eq!(node.check().expect_err(why).to_string(), why);
        };
        refused(|n| n.channels.clear(), "a node has 1 to 128 channels, not 0");
        refused(|n| n.media.samples_per_packet = 0, "a packet needs at least one frame");
        refused(
            |n| n.media.samples_per_packet = u32::MAX,
            "a packet of 25769803770 octets does not fit into a datagram",
        );
        refused(|n| n.media.rate = 0, "a rate is 1 to 768000 Hz, not 0");
        refused(
            |n| n.legs[0].excluded = vec![[192, 0, 2, 1].into(); 9],
            "a leg excludes at most 8 senders, not 9",
        );
        refused(|n| n.direct = vec![String::new(); 33], "`direct` has at most 32 tokens of at most 64 bytes");
        refused(|n| n.latency = 96_001, "a latency class of 96001 frames is longer than two seconds");
    }
}
