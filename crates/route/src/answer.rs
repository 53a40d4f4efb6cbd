use alloc::string::{String, ToString};
use core::fmt;

use crate::{DeviceId, Engine, Pair, Place, Port, Side, Takes};

/// Whether and how two channels can be connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The receiver gets it from the transmitter; no audio passes through this computer.
    Direct {
        /// The language that both speak.
        token: String,
    },
    /// One end is in this computer: this is where the audio belongs.
    Here,
    /// Both ends are on the network but share no language: the audio passes through this computer.
    Relayed,
    /// It cannot be.
    Impossible(Obstacle),
}

/// Why two channels cannot be connected.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Obstacle {
    /// Nothing is known of it: it has not been seen since this computer forgot it.
    Unknown(DeviceId),
    /// No audio comes out of it.
    NotATransmitter(DeviceId),
    /// No audio goes into it.
    NotAReceiver(DeviceId),
    /// It has fewer channels.
    NoSuchChannel(Port),
    /// Nothing can tell it what to play.
    NotControlled(DeviceId),
    /// The receiver takes whole streams, so that its channel plays the channel of the same number.
    Crossed(Port),
}

impl Obstacle {
    /// One lower-case, dash-separated word.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "unknown-device",
            Self::NotATransmitter(_) => "not-a-transmitter",
            Self::NotAReceiver(_) => "not-a-receiver",
            Self::NoSuchChannel(_) => "no-such-channel",
            Self::NotControlled(_) => "not-controlled",
            Self::Crossed(_) => "crossed",
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(id) => write!(f, "{id} is not known"),
            Self::NotATransmitter(id) => write!(f, "no audio comes out of {id}"),
            Self::NotAReceiver(id) => write!(f, "no audio goes into {id}"),
            Self::NoSuchChannel(port) => {
                write!(f, "{} has no channel {}", port.device, u32::from(port.channel) + 1)
            }
            Self::NotControlled(id) => write!(f, "nothing can tell {id} what to play"),
            Self::Crossed(port) => write!(
                f,
                "{} takes whole streams: its channel {1} plays channel {1} of a transmitter",
                port.device,
                u32::from(port.channel) + 1
            ),
        }
    }
}

impl core::error::Error for Obstacle {}

impl Engine {
    /// Whether and how `pair` can be connected, whether its devices are there or away.
    pub fn can_connect(&self, pair: &Pair) -> Answer {
        let Pair { output, input } = pair;
        let Some(from) = self.devices.get(&output.device) else {
            return Answer::Impossible(Obstacle::Unknown(output.device.clone()));
        };
        let Some(to) = self.devices.get(&input.device) else {
            return Answer::Impossible(Obstacle::Unknown(input.device.clone()));
        };
        if from.side != Side::Transmits {
            return Answer::Impossible(Obstacle::NotATransmitter(output.device.clone()));
        }
        if to.side != Side::Receives {
            return Answer::Impossible(Obstacle::NotAReceiver(input.device.clone()));
        }
        for (device, port) in [(from, output), (to, input)] {
            // One that is away may return with more.
            if device.is_there() && port.channel >= device.channels {
                return Answer::Impossible(Obstacle::NoSuchChannel(port.clone()));
            }
        }
        if to.place == Place::Here {
            return Answer::Here;
        }
        let straight = to.takes == Takes::Channels || output.channel == input.channel;
        match from.common_token(to) {
            _ if !to.controlled => Answer::Impossible(Obstacle::NotControlled(input.device.clone())),
            _ if from.place == Place::Here => Answer::Here,
            Some(token) if straight => Answer::Direct { token: token.to_string() },
            Some(_) => Answer::Impossible(Obstacle::Crossed(input.clone())),
            None => Answer::Relayed,
        }
    }
}
