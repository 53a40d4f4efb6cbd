//! Makes the real-time parts of a stream from what is wanted. All memory is taken here, on the main loop.

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use wireloom_rtp::{CapacityError, Encoding, Packetizer, PacketizerConfig, Timeline, TimelineConfig};
use wireloom_units::{Channels, MediaIndex, Rate, Samples, Ssrc};
use wireloom_wanted::{Leg, Node};

use crate::ffi::{Address, JoinError, MediaSocket, Senders};
use crate::rt::{Adaptive, Receive, ReceiveConfig, Report, Resend, Transmit, TransmitSlot};

/// The longest cycle that is played without a gap when it comes for the first time.
const LONG_QUANTUM: u32 = 4096;
/// The longest cycle that PipeWire makes (`clock.quantum-limit`).
const MAX_QUANTUM: usize = 8192;
/// Frames kept behind the reading position, for a crossfade to a longer latency.
const HISTORY: u32 = 2048;
/// The kernel keeps what arrives in this fraction of a second, besides the longest cycle: 200 ms.
const QUEUE_FRACTION: u32 = 5;
/// What a queued datagram costs the kernel besides its payload.
const DATAGRAM_OVERHEAD: usize = 1024;

/// Why a stream cannot be made.
#[derive(Debug)]
pub(crate) enum StreamError {
    /// The rate or the number of channels is out of range.
    Format,
    /// The ring would be too large.
    Capacity(CapacityError),
    /// A socket was refused.
    Socket(JoinError),
    /// No resampler between the two rates.
    Resampler(String),
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format => f.write_str("this rate or number of channels is not supported"),
            Self::Capacity(error) => write!(f, "{error}"),
            Self::Socket(error) => write!(f, "{error}"),
            Self::Resampler(text) => f.write_str(text),
        }
    }
}

fn format(node: &Node) -> Result<(Channels, Rate, Encoding), StreamError> {
    let channels =
        u16::try_from(node.channels.len()).ok().and_then(Channels::new).ok_or(StreamError::Format)?;
    let rate = Rate::from_hz(node.media.rate).ok_or(StreamError::Format)?;
    let encoding = match node.media.encoding {
        wireloom_wanted::Encoding::L16 => Encoding::L16,
        wireloom_wanted::Encoding::L24 => Encoding::L24,
        wireloom_wanted::Encoding::L32 => Encoding::L32,
        wireloom_wanted::Encoding::AM824 => Encoding::AM824,
    };
    Ok((channels, rate, encoding))
}

/// Datagrams that one leg may queue.
fn queued_datagrams(node: &Node) -> usize {
    let frames = node.media.rate / QUEUE_FRACTION + LONG_QUANTUM;
    (frames / node.media.samples_per_packet.max(1) + 2) as usize
}

fn queue_bytes(node: &Node) -> usize {
    let payload = node.channels.len() * node.media.encoding.bytes() * node.media.samples_per_packet as usize;
    queued_datagrams(node) * (payload + DATAGRAM_OVERHEAD)
}

/// The receiving end of the stream `node`, without sockets.
pub(crate) fn receive(node: &Node, report: &Arc<Report>) -> Result<Receive, StreamError> {
    let (channels, rate, encoding) = format(node)?;
    let capacity = node.latency.max(HISTORY) + node.media.rate / QUEUE_FRACTION + LONG_QUANTUM;
    let timeline = Timeline::new(TimelineConfig {
        encoding,
        channels,
        rate,
        payload_type: node.media.payload_type,
        offset: node.media.offset,
        capacity: Samples(capacity),
        history: Samples(HISTORY),
    })
    .map_err(StreamError::Capacity)?;
    Ok(Receive::new(ReceiveConfig {
        timeline,
        rate,
        offset: node.media.offset,
        relation: node.clock,
        latency: node.latency,
        packet_frames: node.media.samples_per_packet,
        max_datagrams: queued_datagrams(node),
        report: Arc::clone(report),
    }))
}

/// What the stream `node` needs to play in a graph at `graph_hz` on another clock.
pub(crate) fn adaptive(node: &Node, graph_hz: u32) -> Result<Adaptive, StreamError> {
    let (channels, rate, _) = format(node)?;
    let graph = Rate::from_hz(graph_hz).ok_or(StreamError::Format)?;
    Adaptive::new(channels, rate, graph, Samples(node.latency), MAX_QUANTUM)
        .map_err(|error| StreamError::Resampler(error.to_string()))
}

/// The cycle side of the sending stream `node`.
pub(crate) fn transmitter(node: &Node, report: &Arc<Report>) -> Result<Transmit, StreamError> {
    let (_, rate, _) = format(node)?;
    Ok(Transmit::new(rate, Arc::clone(report)))
}

/// What the stream `node` needs to be sent from a graph at `graph_hz` on another clock.
pub(crate) fn resend(node: &Node, graph_hz: u32) -> Result<Resend, StreamError> {
    let (channels, rate, _) = format(node)?;
    let graph = Rate::from_hz(graph_hz).ok_or(StreamError::Format)?;
    Resend::new(channels, graph, rate, MAX_QUANTUM).map_err(|error| StreamError::Resampler(error.to_string()))
}

/// Opens one receiving socket for each leg.
pub(crate) fn receive_sockets(node: &Node) -> Result<Vec<MediaSocket>, StreamError> {
    let open = |leg: &Leg| MediaSocket::receive(leg, queue_bytes(node), leg.source.is_some());
    node.legs.iter().map(open).collect::<Result<_, _>>().map_err(StreamError::Socket)
}

/// The sending end of the stream `node`, each leg by one of `senders`.
pub(crate) fn transmit(
    node: &Node,
    report: &Arc<Report>,
    senders: &Senders,
) -> Result<TransmitSlot, StreamError> {
    let (channels, rate, encoding) = format(node)?;
    let random = RandomState::new().build_hasher().finish();
    let packetizer = Packetizer::new(PacketizerConfig {
        encoding,
        channels,
        rate,
        frames_per_packet: Samples(node.media.samples_per_packet),
        payload_type: node.media.payload_type,
        ssrc: Ssrc(node.media.ssrc.unwrap_or(random as u32)),
        first_sequence: (random >> 32) as u16,
        offset: node.media.offset.unwrap_or(0),
        capacity: Samples(MAX_QUANTUM as u32 + 2 * node.media.samples_per_packet),
    })
    .map_err(StreamError::Capacity)?;
    let open = |leg: &Leg| senders.destination(leg, node.dscp, queue_bytes(node));
    let legs = node.legs.iter().map(open).collect::<Result<_, _>>().map_err(StreamError::Socket)?;
    let copier = node.copies.as_ref().map(|it| MediaSocket::copies(it.port, node.dscp, queue_bytes(node)));
    Ok(TransmitSlot {
        rate,
        packetizer,
        legs,
        copier: copier.transpose().map_err(StreamError::Socket)?,
        copies: copies(node),
        report: Arc::clone(report),
        announced: node.announced,
        live: false,
        end: MediaIndex(0),
    })
}

/// Who gets a copy of the stream `node`.
pub(crate) fn copies(node: &Node) -> Vec<Address> {
    node.copies.iter().flat_map(|copies| &copies.to).map(|to| Address::new((*to).into())).collect()
}
