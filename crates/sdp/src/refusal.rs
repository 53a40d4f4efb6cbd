use alloc::{string::String, vec::Vec};
use core::{fmt, net::IpAddr};

use crate::Warning;

/// Why nothing in a description can be played.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The first reason found.
    pub reason: Reason,
    /// The line it was found in, counted from 1.
    pub line: Option<u16>,
    /// What the description calls itself, ready for display; empty when it does not.
    pub name: String,
    /// What else is not as it should be.
    pub warnings: Vec<Warning>,
}

impl core::error::Error for Refusal {}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        self.reason.fmt(f)
    }
}

/// What makes an audio section, or a whole description, unplayable (AES67 §8, RFC 4566).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// No line that only a description has.
    NotSdp,
    /// `v=` is not 0.
    Version,
    /// No audio section.
    NoAudio,
    /// Sections of other media only, video say: nothing is wrong with it.
    OtherMedia,
    /// Encrypted, or not RTP over UDP.
    Transport,
    /// Plain RTP whose payload is encrypted (`privacy`, VSF TR-10-13).
    Encrypted,
    /// No payload type has a codec that is carried here.
    NoCodec,
    /// Codec known, rate not carried here.
    Rate,
    /// Channel count 0 or above 128.
    ChannelCount,
    /// No `c=` line for the section.
    NoAddress,
    /// A host name, or octets replaced by letters.
    NotNumeric,
    /// `c=` says one IP version and gives an address of the other.
    IpVersion,
    /// An address that cannot carry a stream: unspecified, broadcast, loopback, control block, reserved.
    UnusableAddress(IpAddr),
    /// Port 0 or above 65535.
    Port,
    /// A packet of this many payload octets does not fit into a datagram.
    PacketSize(u32),
    /// Nothing playable in the part that was read of a too long text.
    Limit,
}

impl Reason {
    /// The class of the reason.
    pub const fn kind(self) -> Kind {
        match self {
            Self::NotSdp | Self::Version => Kind::NotSdp,
            Self::NoAudio | Self::OtherMedia => Kind::NoAudio,
            Self::Transport | Self::Encrypted | Self::NoCodec | Self::Rate | Self::ChannelCount => {
                Kind::Format
            }
            Self::NoAddress | Self::NotNumeric | Self::IpVersion | Self::UnusableAddress(_) | Self::Port => {
                Kind::Address
            }
            Self::PacketSize(_) | Self::Limit => Kind::Limit,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSdp => f.write_str("this is not a session description"),
            Self::Version => f.write_str("session description of a version other than 0"),
            Self::NoAudio => f.write_str("no audio section"),
            Self::OtherMedia => f.write_str("no audio section, only other media"),
            Self::Transport => f.write_str("transport is not plain RTP (RTP/AVP or RTP/AVPF)"),
            Self::Encrypted => f.write_str("payload is encrypted (a=privacy)"),
            Self::NoCodec => f.write_str("no codec that is carried here (L16, L24, L32, AM824)"),
            Self::Rate => f.write_str("sample rate is not carried here (44.1, 48 kHz and their multiples)"),
            Self::ChannelCount => f.write_str("channel count is not 1 to 128"),
            Self::NoAddress => f.write_str("no destination address"),
            Self::NotNumeric => f.write_str("destination is not a numeric address"),
            Self::IpVersion => f.write_str("destination is not of the IP version that its line says"),
            Self::UnusableAddress(address) => write!(f, "{address} cannot carry a stream"),
            Self::Port => f.write_str("port is not 1 to 65535"),
            Self::PacketSize(octets) => {
                write!(f, "packets of {octets} payload octets do not fit into a datagram")
            }
            Self::Limit => f.write_str("description is too long and its first part has nothing playable"),
        }
    }
}

/// The class of a [`Reason`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Not a session description, or none of version 0.
    NotSdp,
    /// Nothing in it is audio.
    NoAudio,
    /// No usable destination.
    Address,
    /// No usable codec.
    Format,
    /// More than can be carried or is looked at.
    Limit,
}

impl Kind {
    /// The word for programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotSdp => "not-sdp",
            Self::NoAudio => "no-audio",
            Self::Address => "address",
            Self::Format => "format",
            Self::Limit => "limit",
        }
    }
}
