use core::fmt;

use wireloom_units::{MediaTime, Ssrc};

/// Octets of an RTP header without contributing sources and extension.
pub const HEADER_BYTES: usize = 12;

/// Payload types 64 to 95 with the marker set: RTCP packet types 192 to 223 (RFC 5761 §4).
const RTCP_TYPES: core::ops::RangeInclusive<u8> = 192..=223;

/// A received RTP packet, checked once; nothing in it can fail later (RFC 3550 §5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtpPacket<'a> {
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp of the first sample in the payload.
    pub time: MediaTime,
    /// Who sent it.
    pub ssrc: Ssrc,
    /// Payload type, 0 to 127.
    pub payload_type: u8,
    /// Marker bit; means nothing for audio of this kind.
    pub marker: bool,
    /// The payload: without contributing sources, extension and padding.
    pub payload: &'a [u8],
}

impl<'a> RtpPacket<'a> {
    /// Checks a datagram and finds its payload; skips contributing sources, extension and padding.
    ///
    /// Errors: every way in which `bytes` is not RTP version 2. Source: RFC 3550 §5.1, RFC 5761 §4.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, RtpError> {
        let truncated = |needed| RtpError::Truncated { needed, got: bytes.len() };
        let (head, rest) = bytes.split_first_chunk::<HEADER_BYTES>().ok_or(truncated(HEADER_BYTES))?;
        let &[flags, kind, s0, s1, t0, t1, t2, t3, i0, i1, i2, i3] = head;
        if flags >> 6 != 2 {
            return Err(RtpError::Version(flags >> 6));
        }
        if RTCP_TYPES.contains(&kind) {
            return Err(RtpError::Rtcp(kind));
        }
        let sources = 4 * usize::from(flags & 0x0f);
        let mut payload = rest.get(sources..).ok_or(truncated(HEADER_BYTES + sources))?;
        if flags & 0x10 != 0 {
            let before = bytes.len() - payload.len();
            let (extension, rest) = payload.split_first_chunk::<4>().ok_or(truncated(before + 4))?;
            let length = 4 * usize::from(u16::from_be_bytes([extension[2], extension[3]]));
            payload = rest.get(length..).ok_or(truncated(before + 4 + length))?;
        }
        if flags & 0x20 != 0 {
            let padding = payload.last().copied().unwrap_or(0);
            let rest = payload.len().checked_sub(usize::from(padding)).filter(|_| padding > 0);
            let room = payload.len();
            payload =
                rest.and_then(|length| payload.get(..length)).ok_or(RtpError::Padding { padding, room })?;
        }
        Ok(Self {
            sequence: u16::from_be_bytes([s0, s1]),
            time: MediaTime::from_wire(u32::from_be_bytes([t0, t1, t2, t3])),
            ssrc: Ssrc(u32::from_be_bytes([i0, i1, i2, i3])),
            payload_type: kind & 0x7f,
            marker: kind & 0x80 != 0,
            payload,
        })
    }
}

/// The fields of a header that we send: no padding, extension, contributing source or marker (`aes67` 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtpHeader {
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp of the first sample in the payload.
    pub time: MediaTime,
    /// Who sends it.
    pub ssrc: Ssrc,
    /// Payload type; only its low seven bits go out.
    pub payload_type: u8,
}

/// Writes the header that precedes a payload (RFC 3550 §5.1).
pub const fn write_header(header: &RtpHeader) -> [u8; HEADER_BYTES] {
    let [s0, s1] = header.sequence.to_be_bytes();
    let [t0, t1, t2, t3] = header.time.to_wire().to_be_bytes();
    let [i0, i1, i2, i3] = header.ssrc.0.to_be_bytes();
    [0x80, header.payload_type & 0x7f, s0, s1, t0, t1, t2, t3, i0, i1, i2, i3]
}

/// Why a datagram is not RTP that can be played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RtpError {
    /// Fewer octets than the header announces.
    Truncated {
        /// Octets that the header asks for.
        needed: usize,
        /// Octets that came.
        got: usize,
    },
    /// The version is not 2 (RFC 3550 §5.1).
    Version(u8),
    /// The padding count is 0 or longer than what it pads.
    Padding {
        /// The count in the last octet.
        padding: u8,
        /// Octets behind the header.
        room: usize,
    },
    /// An RTCP packet of this type on the RTP port (RFC 5761 §4).
    Rtcp(u8),
}

impl fmt::Display for RtpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Truncated { needed, got } => write!(f, "RTP packet needs {needed} bytes, has {got}"),
            Self::Version(version) => write!(f, "RTP version is {version}, not 2"),
            Self::Padding { padding, room } => {
                write!(f, "RTP padding of {padding} bytes in a rest of {room}")
            }
            Self::Rtcp(kind) => write!(f, "RTCP packet of type {kind} where RTP was expected"),
        }
    }
}

impl core::error::Error for RtpError {}
