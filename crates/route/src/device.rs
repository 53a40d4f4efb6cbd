use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

/// The stable name of a device: the same after any restart. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(Arc<str>);

impl DeviceId {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for DeviceId {
    fn from(text: &str) -> Self {
        Self(Arc::from(text))
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One channel of a device, counted from 0.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port {
    /// Whose.
    pub device: DeviceId,
    /// Which.
    pub channel: u16,
}

impl Port {
    /// Channel `channel` of `device`.
    pub fn new(device: impl Into<DeviceId>, channel: u16) -> Self {
        Self { device: device.into(), channel }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.device, u32::from(self.channel) + 1)
    }
}

/// A route of one channel: where it ends and where it comes from. Ordered by where it ends.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pair {
    /// Where the audio goes.
    pub input: Port,
    /// Where it comes from.
    pub output: Port,
}

impl Pair {
    /// The route from `output` to `input`.
    pub const fn new(output: Port, input: Port) -> Self {
        Self { input, output }
    }
}

/// Which way the audio goes at a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Audio comes out of it: a microphone, a stream that is sent, an application that plays.
    Transmits,
    /// Audio goes into it: a loudspeaker, an input on the network, an application that records.
    Receives,
}

/// Where a device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On the network.
    Remote,
    /// In the graph of this computer: an application, a card, a slot that this computer sends.
    Here,
}

/// Whether a device is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It left, or has not come yet. What is wished of it waits.
    Away,
    /// It is there since start number `epoch` of its own: another number says that it restarted and may have
    /// forgotten what it was told. Devices that cannot tell keep 0.
    There {
        /// The number.
        epoch: u64,
    },
}

/// In what pieces a receiver on the network can be told what to play.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// Each channel on its own.
    Channels,
    /// A whole stream of one transmitter, channel 1 to channel 1 and so on.
    Streams,
}

/// Something with channels of one direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Which way the audio goes.
    pub side: Side,
    /// On the network, or here.
    pub place: Place,
    /// How many channels.
    pub channels: u16,
    /// Whether it is there.
    pub presence: Presence,
    /// Languages in which it can be routed without this computer in between: two remote devices with a token in
    /// common can talk to each other.
    pub tokens: Vec<String>,
    /// Remote receivers: somebody can tell it what to play ([`crate::Target::Receiver`]).
    pub controlled: bool,
    /// Remote receivers: in what pieces.
    pub takes: Takes,
    /// Remote receivers: the most changes that one command may carry; 0 is no limit.
    pub batch: u16,
}

impl Device {
    /// A device on the network that is there, with `tokens`, taking each channel on its own.
    pub fn remote(side: Side, channels: u16, tokens: &[&str]) -> Self {
        Self {
            side,
            place: Place::Remote,
            channels,
            presence: Presence::There { epoch: 0 },
            tokens: tokens.iter().map(|token| String::from(*token)).collect(),
            controlled: side == Side::Receives,
            takes: Takes::Channels,
            batch: 0,
        }
    }

    /// A node of this computer's graph that is there.
    pub fn here(side: Side, channels: u16) -> Self {
        Self { place: Place::Here, controlled: false, ..Self::remote(side, channels, &[]) }
    }

    /// Whether it is there.
    pub fn is_there(&self) -> bool {
        matches!(self.presence, Presence::There { .. })
    }

    /// The first language that both speak.
    pub fn common_token(&self, other: &Self) -> Option<&str> {
        self.tokens.iter().find(|token| other.tokens.contains(token)).map(String::as_str)
    }
}
