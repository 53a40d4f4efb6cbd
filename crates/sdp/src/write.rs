use alloc::{format, string::String, vec::Vec};
use core::{
    fmt::{self, Write as _},
    net::IpAddr,
};

use wireloom_units::{Channels, Nanos, Rate, Samples};

use crate::{
    Encoding, Leg, MediaClock, RefClk, channel_names::order_of, display::for_display, packet_time::frames,
};

/// A stream of our own, as it is to be announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// `o=` user; `-` when there is nothing to say.
    pub user: String,
    /// Stays the same for the life of the stream.
    pub session_id: u64,
    /// Grows with every change.
    pub version: u64,
    /// Address of this host on the network of the first leg.
    pub origin: IpAddr,
    /// Name of the stream.
    pub name: String,
    /// A name for each channel, or none; left out when there is no room for them.
    pub labels: Vec<String>,
    /// Sample format.
    pub encoding: Encoding,
    /// Samples a second.
    pub rate: Rate,
    /// Channels in a frame.
    pub channels: Channels,
    /// RTP payload type; see [`Flavour::payload_type`].
    pub payload_type: u8,
    /// Frames in a packet.
    pub samples_per_packet: Samples,
    /// One to four; `excluded` and `near` are not written.
    pub legs: Vec<Leg>,
    /// The clock that the stream follows; none is written for `None`.
    pub refclk: Option<RefClk>,
    /// How timestamps relate to the media clock.
    pub media_clock: MediaClock,
    /// Marked `inactive`.
    pub paused: bool,
    /// Value of `x-oat`, for a stream that OpenAudioTools devices may ask for; left out when empty.
    pub oat: String,
}

/// Whose habits a description follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Flavour {
    /// AES67 as it is written.
    #[default]
    Neutral,
    /// As Dante devices announce: `keywds:Dante`, no source filter.
    DanteFriendly,
    /// As RAVENNA devices describe: the clock also by domain and offset, and everything of it at both levels.
    Ravenna,
    /// As ST 2110-30 asks: nothing of the media outside its section, channel order, mode and delay of timestamps.
    St2110,
}

/// Why a description cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriteError {
    /// No leg, or more than four.
    Legs(usize),
    /// A leg's port is 0.
    Port,
    /// Payload type above 127.
    PayloadType(u8),
    /// No packet time that can be printed means this many frames.
    PacketTime(u32),
    /// A packet of this many payload octets does not fit into a datagram.
    PacketSize(u32),
    /// This many octets even without channel names; announcements of more than 1400 are lost.
    TooLong(usize),
}

impl core::error::Error for WriteError {}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Legs(count) => write!(f, "a stream has 1 to 4 legs, not {count}"),
            Self::Port => f.write_str("port 0 cannot carry a stream"),
            Self::PayloadType(number) => write!(f, "a payload type is 0 to 127, not {number}"),
            Self::PacketTime(frames) => write!(f, "no packet time means {frames} frames"),
            Self::PacketSize(octets) => {
                write!(f, "packets of {octets} payload octets do not fit into a datagram")
            }
            Self::TooLong(octets) => write!(f, "description of {octets} octets is too long to be announced"),
        }
    }
}

impl Flavour {
    /// The payload type that receivers of this flavour expect.
    pub const fn payload_type(self, channels: Channels) -> u8 {
        match (self, channels.count()) {
            (Self::Neutral | Self::Ravenna, _) => 98,
            (Self::DanteFriendly, 1) => 96,
            (Self::DanteFriendly | Self::St2110, _) => 97,
        }
    }
}

/// Writes a description as AES67 asks for it, CRLF after each line, at most 1024 octets with the announcement
/// around it.
///
/// Channel names are left out when it would be longer; more than one leg may take up to 1400 octets. Control
/// characters in texts are dropped, commas in channel names become blanks. Errors: what cannot be carried or
/// would not be read back as it was meant.
pub fn write(description: &Description, flavour: Flavour) -> Result<String, WriteError> {
    check(description)?;
    let text = compose(description, flavour, true)?;
    if text.len() <= COMFORTABLE {
        return Ok(text);
    }
    let text = compose(description, flavour, false)?;
    if text.len() > LONGEST { Err(WriteError::TooLong(text.len())) } else { Ok(text) }
}

fn check(description: &Description) -> Result<(), WriteError> {
    let Description { legs, payload_type, samples_per_packet, channels, encoding, .. } = description;
    if legs.is_empty() || legs.len() > 4 {
        return Err(WriteError::Legs(legs.len()));
    }
    if legs.iter().any(|leg| leg.port == 0) {
        return Err(WriteError::Port);
    }
    if *payload_type > 127 {
        return Err(WriteError::PayloadType(*payload_type));
    }
    let octets = samples_per_packet.0.saturating_mul(u32::from(channels.count()) * encoding.bytes());
    if octets > LARGEST_PAYLOAD { Err(WriteError::PacketSize(octets)) } else { Ok(()) }
}

fn compose(description: &Description, flavour: Flavour, with_labels: bool) -> Result<String, WriteError> {
    let mut text = String::new();
    let mut line = |line: fmt::Arguments<'_>| {
        let _ = write!(text, "{line}\r\n"); // a String takes everything
    };
    let Description { session_id, version, origin, legs, payload_type, .. } = description;
    line(format_args!("v=0"));
    line(format_args!("o={} {session_id} {version} IN {} {origin}", user(description), family(*origin)));
    line(format_args!("s={}", name(description)));
    if with_labels && !description.labels.is_empty() {
        line(format_args!("i={} channels: {}", description.labels.len(), labels(description)));
    }
    let single = if let [leg] = &**legs { Some(leg) } else { None };
    if let Some(leg) = single.filter(|_| flavour != Flavour::St2110) {
        line(format_args!("c={}", connection(leg)));
    }
    line(format_args!("t=0 0"));
    if single.is_none() {
        line(format_args!("a=group:DUP {}", MIDS.get(..legs.len()).unwrap_or_default().join(" ")));
    }
    if flavour == Flavour::DanteFriendly {
        line(format_args!("a=keywds:Dante"));
    }
    let direction = if description.paused { "inactive" } else { "recvonly" };
    match flavour {
        Flavour::Neutral | Flavour::DanteFriendly => line(format_args!("a={direction}")),
        Flavour::Ravenna => {
            ravenna_domain(description, &mut line);
            clock(description, &mut line);
        }
        Flavour::St2110 if description.paused => line(format_args!("a={direction}")),
        Flavour::St2110 => {}
    }
    for (leg, mid) in legs.iter().zip(MIDS) {
        line(format_args!("m=audio {} RTP/AVP {payload_type}", leg.port));
        if single.is_none() || matches!(flavour, Flavour::Ravenna | Flavour::St2110) {
            line(format_args!("c={}", connection(leg)));
        }
        let Description { encoding, rate, channels, .. } = description;
        line(format_args!("a=rtpmap:{payload_type} {encoding}/{}/{}", rate.hz(), channels.count()));
        if flavour == Flavour::St2110 {
            let order = order_of(&description.labels, channels.count());
            // A packet leaves when its last frame was sampled.
            let delay = packet_nanos(description) / 1000;
            line(format_args!(
                "a=fmtp:{payload_type} channel-order=SMPTE2110.({order}); TSMODE=SAMP; TSDELAY={delay}"
            ));
        }
        if flavour == Flavour::Ravenna {
            ravenna_domain(description, &mut line);
            ravenna_times(description, &mut line);
        }
        line(format_args!("a=ptime:{}", packet_time(description)?));
        if flavour != Flavour::DanteFriendly && !leg.sources.is_empty() {
            let sources: Vec<String> = leg.sources.iter().map(|source| format!("{source}")).collect();
            let family = family(leg.address);
            line(format_args!("a=source-filter: incl IN {family} {} {}", leg.address, sources.join(" ")));
        }
        clock(description, &mut line);
        if flavour == Flavour::Ravenna {
            line(format_args!("a={direction}"));
        }
        if !description.oat.is_empty() {
            if flavour != Flavour::Ravenna {
                line(format_args!("a=framecount:{}", description.samples_per_packet.0));
            }
            line(format_args!("a=x-oat:{}", for_display(&description.oat)));
        }
        if single.is_none() {
            line(format_args!("a=mid:{mid}"));
        }
    }
    Ok(text)
}

/// Reference clock and media clock (RFC 7273).
fn clock(description: &Description, line: &mut impl FnMut(fmt::Arguments<'_>)) {
    if let Some(clock) = description.refclk {
        line(format_args!("a=ts-refclk:{}", clock.to_text()));
    }
    match description.media_clock {
        MediaClock::Direct(offset) => line(format_args!("a=mediaclk:direct={offset}")),
        MediaClock::Sender => line(format_args!("a=mediaclk:sender")),
        MediaClock::Unknown => {}
    }
}

/// The PTP domain as RAVENNA says it; another clock has none.
fn ravenna_domain(description: &Description, line: &mut impl FnMut(fmt::Arguments<'_>)) {
    if let Some(RefClk::Ptp { domain: Some(domain), .. }) = description.refclk {
        line(format_args!("a=clock-domain:PTPv2 {domain}"));
    }
}

/// Offset and frames as RAVENNA says them. At higher rates some makers count frames as if at 48 kHz: the packet time
/// alone says it there without doubt.
fn ravenna_times(description: &Description, line: &mut impl FnMut(fmt::Arguments<'_>)) {
    if let MediaClock::Direct(offset) = description.media_clock {
        line(format_args!("a=sync-time:{offset}"));
    }
    if description.rate.hz() <= 48_000 {
        line(format_args!("a=framecount:{}", description.samples_per_packet.0));
    }
}

/// One word; `-` for nothing.
fn user(description: &Description) -> String {
    let user = for_display(&description.user).split_whitespace().collect::<Vec<_>>().join("-");
    if user.is_empty() { "-".into() } else { user }
}

fn name(description: &Description) -> String {
    let name = for_display(&description.name);
    if name.is_empty() { "-".into() } else { name }
}

fn labels(description: &Description) -> String {
    let labels =
        description.labels.iter().map(|label| String::from(for_display(&label.replace(',', " ")).trim()));
    labels.collect::<Vec<_>>().join(", ")
}

fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IP4" } else { "IP6" }
}

/// What follows `c=`: only an IPv4 group has a TTL.
fn connection(leg: &Leg) -> String {
    let address = leg.address;
    match leg.ttl.filter(|_| address.is_ipv4() && address.is_multicast()) {
        Some(ttl) => format!("IN IP4 {address}/{ttl}"),
        None => format!("IN {} {address}", family(address)),
    }
}

/// Milliseconds with as many decimals as needed, at most six, checked to mean the right number of frames.
fn packet_time(description: &Description) -> Result<String, WriteError> {
    let Samples(count) = description.samples_per_packet;
    let nanos = packet_nanos(description);
    if frames(Nanos(nanos), description.rate) != Some(Samples(count)) || nanos > MAX_PACKET_TIME {
        return Err(WriteError::PacketTime(count));
    }
    let text = format!("{}.{:06}", nanos / 1_000_000, nanos % 1_000_000);
    Ok(text.trim_end_matches('0').trim_end_matches('.').into())
}

fn packet_nanos(description: &Description) -> u64 {
    let hz = u64::from(description.rate.hz());
    (u64::from(description.samples_per_packet.0) * 1_000_000_000 + hz / 2) / hz
}

const MIDS: [&str; 4] = ["primary", "secondary", "tertiary", "quaternary"];
const SAP_HEADER: usize = 36; // IPv6 origin, payload type
const COMFORTABLE: usize = 1024 - SAP_HEADER; // RFC 2974 §3; some receivers have buffers of 2 kB
const LONGEST: usize = 1400 - SAP_HEADER; // longer ones are fragmented, and fragments are often lost
const LARGEST_PAYLOAD: u32 = 1440; // AES67 §7.2, ST 2110-10
const MAX_PACKET_TIME: u64 = 100_000_000; // longer ones are not believed
