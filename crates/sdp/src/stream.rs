use alloc::{string::String, vec::Vec};
use core::{
    fmt,
    net::{IpAddr, Ipv4Addr},
};

use wireloom_units::{Channels, Nanos, Rate, Samples, Ssrc};

use crate::{Encoding, MediaClock, Origin, OurClock, RefClk, Relation, Symbol, compare};

/// One playable audio stream: an audio section, or a set of redundant legs (RFC 7104, ST 2022-7).
///
/// Texts are as received unless said otherwise; pass them through [`crate::for_display`] before showing them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// Who announced it.
    pub origin: Origin,
    /// Name ready for display: `s=`, else `i=`, else the origin's address.
    pub name: String,
    /// `s=` as received, for matching.
    pub raw_name: String,
    /// `i=` of the section, else of the session, ready for display; empty when absent.
    pub info: String,
    /// A name for each channel, ready for display, from `i=`; empty when there are none.
    pub labels: Vec<String>,
    /// What each channel is, from `channel-order`; empty when nothing is said.
    pub symbols: Vec<Symbol>,
    /// Sample format.
    pub encoding: Encoding,
    /// Samples a second.
    pub rate: Rate,
    /// Channels in a frame.
    pub channels: Channels,
    /// RTP payload type.
    pub payload_type: u8,
    /// `m=` and `rtpmap` disagree about the payload type: the packets decide.
    pub payload_type_doubtful: bool,
    /// The SSRC of the packets, when exactly one is named (`a=ssrc`, RFC 5576 §4.1).
    pub ssrc: Option<Ssrc>,
    /// The packet time as declared; `None` when missing or unusable. Packets decide.
    pub ptime: Option<Nanos>,
    /// Frames in a packet: from `ptime`, else `framecount`, else 1 ms.
    pub samples_per_packet: Samples,
    /// Frames in the largest packet to accept (`maxptime`); never less than `samples_per_packet`.
    pub max_samples_per_packet: Samples,
    /// One to four; the first one names the stream.
    pub legs: Vec<Leg>,
    /// Value of the first `ts-refclk`, as received.
    pub refclk_text: Option<String>,
    /// Every clock named; any of them will do.
    pub refclk: Vec<RefClk>,
    /// PTP domain from `clock-domain` or `ptp-domain`.
    pub clock_domain: Option<u8>,
    /// How timestamps relate to the media clock.
    pub media_clock: MediaClock,
    /// The sender's clock is announced to run beside its nominal rate: resample.
    pub clock_deviates: bool,
    /// Marked `inactive`.
    pub paused: bool,
    /// How the packets come to a receiver.
    pub delivery: Delivery,
    /// Stop time of `t=` in NTP seconds; 0 is never.
    pub stop_time: u64,
    /// What tells the make of the sender.
    pub vendor: Vendor,
}

/// One address that a stream is carried on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leg {
    /// Destination, group or unicast.
    pub address: IpAddr,
    /// UDP destination port.
    pub port: u16,
    /// TTL, when said; it means something for groups only.
    pub ttl: Option<u8>,
    /// The only senders to listen to (RFC 4570); any when empty.
    pub sources: Vec<IpAddr>,
    /// Senders not to listen to.
    pub excluded: Vec<IpAddr>,
    /// An address in the network where this leg is found: its source, else the origin.
    /// Says on which interface to join when there are several.
    pub near: Option<IpAddr>,
}

/// How packets come to a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Join the group.
    Multicast,
    /// The address is the sender's own: the stream must be asked for there (OpenAudioTools).
    SenderAddress(IpAddr),
    /// The address is the sender's own and the stream is offered by SIP.
    SipOffer(IpAddr),
    /// Sent to one host, which may be us.
    Unicast,
}

/// Attributes that tell the make of a sender; empty when absent, as received.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Vendor {
    /// `a=keywds`, `Dante` for Dante devices.
    pub keywds: String,
    /// `a=tool`, begins with `PipeWire` for PipeWire.
    pub tool: String,
    /// `a=x-oat`, the parameters of an OpenAudioTools stream.
    pub oat: String,
}

/// What makes a stream the same stream in two descriptions.
///
/// The origin alone is not enough: all streams of some units share one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamKey {
    /// `o=` user.
    pub user: String,
    /// `o=` session id, as text.
    pub session_id: String,
    /// `o=` address, as text.
    pub origin: String,
    /// First leg's destination.
    pub address: IpAddr,
    /// First leg's port.
    pub port: u16,
}

impl Stream {
    /// The identity of the stream.
    pub fn key(&self) -> StreamKey {
        let (address, port) = self.destination();
        StreamKey {
            user: self.origin.user.clone(),
            session_id: self.origin.session_id.clone(),
            origin: self.origin.address.clone(),
            address,
            port,
        }
    }

    /// Whether `other` has the same key, without building either.
    pub fn has_key_of(&self, other: &Self) -> bool {
        self.has_origin_of(other) && self.destination() == other.destination()
    }

    /// Whether user, session id and address of the origin agree.
    pub(crate) fn has_origin_of(&self, other: &Self) -> bool {
        let (ours, theirs) = (&self.origin, &other.origin);
        ours.user == theirs.user && ours.session_id == theirs.session_id && ours.address == theirs.address
    }

    /// How the sender's clock relates to ours: the best of all that are named (AES67 §8.2).
    pub fn clock_relation(&self, ours: &OurClock) -> Relation {
        if self.media_clock == MediaClock::Sender || self.clock_deviates {
            return Relation::FreeRunning;
        }
        self.refclk.iter().map(|clock| compare(clock, ours)).min().unwrap_or(Relation::Unknown)
    }

    /// Payload octets of a packet with the announced packet time.
    pub fn payload_octets(&self) -> u32 {
        self.samples_per_packet.0 * u32::from(self.channels.count()) * self.encoding.bytes()
    }

    /// Address and port of the first leg; unspecified for a stream whose legs were taken away.
    pub(crate) fn destination(&self) -> (IpAddr, u16) {
        self.legs.first().map_or((Ipv4Addr::UNSPECIFIED.into(), 0), |leg| (leg.address, leg.port))
    }
}

impl fmt::Display for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, session_id, origin, address, port } = self;
        write!(f, "{user} {session_id} {origin} {address} {port}")
    }
}
