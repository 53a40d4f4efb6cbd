//! RTCP as far as AES67 uses it: sender reports with a name, and goodbyes (RFC 3550 §6).
//!
//! Nobody depends on RTCP here; a receiver looks for BYE, and shows the rest.

use core::fmt;

use wireloom_units::{MediaTime, Ssrc, TaiTime};

/// Seconds from 1900-01-01, where NTP counts from, to 1970-01-01 (RFC 3550 §4).
const NTP_EPOCH: i64 = 2_208_988_800;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const BYE: u8 = 203;
const CNAME: u8 = 1;

/// The longest canonical name (RFC 3550 §6.5: one octet of length).
const MAX_CNAME: usize = 255;

/// An instant as NTP writes it: seconds since 1900 UTC and 2^-32 fractions of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NtpTime {
    /// Seconds, modulo 2^32.
    pub seconds: u32,
    /// Fractions of a second, in units of 2^-32.
    pub fraction: u32,
}

impl NtpTime {
    /// The NTP time of a TAI instant when TAI is `utc_offset` seconds ahead of UTC (37 since 2017).
    pub const fn from_tai(time: TaiTime, utc_offset: i32) -> Self {
        let nanos = time.as_nanos();
        let seconds = nanos.div_euclid(1_000_000_000).wrapping_sub(utc_offset as i64);
        let nanos = nanos.rem_euclid(1_000_000_000) as u64;
        Self { seconds: (seconds + NTP_EPOCH) as u32, fraction: ((nanos << 32) / 1_000_000_000) as u32 }
    }
}

/// What a sender reports about itself (RFC 3550 §6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderReport {
    /// The sender.
    pub ssrc: Ssrc,
    /// When the report was made.
    pub ntp: NtpTime,
    /// The same instant on the stream's timeline.
    pub time: MediaTime,
    /// Packets sent so far.
    pub packets: u32,
    /// Payload octets sent so far.
    pub octets: u32,
}

/// Writes a compound of a sender report and the sender's name; returns its length.
///
/// `cname` is cut at 255 octets. Errors: `NoRoom` when `buffer` is too short. Source: RFC 3550 §6.4.1, §6.5.
pub fn write_sender_report(
    report: &SenderReport,
    cname: &[u8],
    buffer: &mut [u8],
) -> Result<usize, RtcpError> {
    let cname = cname.get(..MAX_CNAME).unwrap_or(cname);
    // Item header, name, and one to four octets of zero that end the chunk.
    let chunk = (4 + 2 + cname.len() + 1).next_multiple_of(4);
    let length = 28 + 4 + chunk;
    let room = buffer.len();
    let out = buffer.get_mut(..length).ok_or(RtcpError::NoRoom { needed: length, room })?;
    out.fill(0);
    let words = [
        u32::from_be_bytes([0x80, SENDER_REPORT, 0, 6]),
        report.ssrc.0,
        report.ntp.seconds,
        report.ntp.fraction,
        report.time.to_wire(),
        report.packets,
        report.octets,
        u32::from_be_bytes([0x81, SOURCE_DESCRIPTION, 0, (chunk / 4) as u8]),
        report.ssrc.0,
    ];
    put_words(out, &words);
    let item = out.get_mut(36..).unwrap_or_default();
    for (out, octet) in item.iter_mut().zip([CNAME, cname.len() as u8].iter().chain(cname)) {
        *out = *octet;
    }
    Ok(length)
}

/// Writes a compound of an empty receiver report and a goodbye; returns its length, 16.
///
/// Errors: `NoRoom` when `buffer` is too short. Source: RFC 3550 §6.6.
pub fn write_bye(ssrc: Ssrc, buffer: &mut [u8]) -> Result<usize, RtcpError> {
    let room = buffer.len();
    let out = buffer.get_mut(..16).ok_or(RtcpError::NoRoom { needed: 16, room })?;
    let report = u32::from_be_bytes([0x80, RECEIVER_REPORT, 0, 1]);
    let bye = u32::from_be_bytes([0x81, BYE, 0, 1]);
    put_words(out, &[report, ssrc.0, bye, ssrc.0]);
    Ok(16)
}

fn put_words(out: &mut [u8], words: &[u32]) {
    for (out, word) in out.as_chunks_mut::<4>().0.iter_mut().zip(words) {
        *out = word.to_be_bytes();
    }
}

/// One packet of a received compound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RtcpPacket<'a> {
    /// A sender reports.
    SenderReport(SenderReport),
    /// A receiver, or a sender that has sent nothing, reports; its blocks are not read.
    ReceiverReport {
        /// Who reports.
        ssrc: Ssrc,
    },
    /// The first source's description; `cname` is empty when it has none.
    SourceDescription {
        /// Who is described.
        ssrc: Ssrc,
        /// Its canonical name.
        cname: &'a [u8],
    },
    /// These sources leave.
    Bye(Sources<'a>),
    /// A packet of another type.
    Other(u8),
}

/// The sources that a BYE names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sources<'a>(&'a [u8]);

impl Sources<'_> {
    /// Each source in turn.
    pub fn iter(&self) -> impl Iterator<Item = Ssrc> + '_ {
        self.0.as_chunks::<4>().0.iter().map(|octets| Ssrc(u32::from_be_bytes(*octets)))
    }
}

/// Reads a received RTCP compound, packet after packet. Source: RFC 3550 §6.
///
/// Gives an error for the first packet that is broken, and then nothing more.
pub fn parse(datagram: &[u8]) -> Compound<'_> {
    Compound { rest: datagram, at: 0 }
}

/// The packets of a compound; made by [`parse`].
#[derive(Debug, Clone)]
pub struct Compound<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Compound<'a> {
    type Item = Result<RtcpPacket<'a>, RtcpError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let packet = self.take();
        if packet.is_err() {
            self.rest = &[];
        }
        Some(packet)
    }
}

impl<'a> Compound<'a> {
    fn take(&mut self) -> Result<RtcpPacket<'a>, RtcpError> {
        let truncated = |needed| RtcpError::Truncated { at: self.at, needed, got: self.rest.len() };
        let &[flags, kind, l0, l1] = self.rest.first_chunk::<4>().ok_or(truncated(4))?;
        if flags >> 6 != 2 {
            return Err(RtcpError::Version(flags >> 6));
        }
        let length = 4 + 4 * usize::from(u16::from_be_bytes([l0, l1]));
        let (packet, rest) = self.rest.split_at_checked(length).ok_or(truncated(length))?;
        let body = packet.get(4..).unwrap_or_default();
        let count = flags & 0x1f;
        let word = |index: usize| {
            let octets = body.get(4 * index..).and_then(|rest| rest.first_chunk::<4>());
            octets.map(|octets| u32::from_be_bytes(*octets)).ok_or(truncated(4 + 4 * (index + 1)))
        };
        let parsed = match kind {
            SENDER_REPORT => RtcpPacket::SenderReport(SenderReport {
                ssrc: Ssrc(word(0)?),
                ntp: NtpTime { seconds: word(1)?, fraction: word(2)? },
                time: MediaTime::from_wire(word(3)?),
                packets: word(4)?,
                octets: word(5)?,
            }),
            RECEIVER_REPORT => RtcpPacket::ReceiverReport { ssrc: Ssrc(word(0)?) },
            SOURCE_DESCRIPTION if count > 0 => RtcpPacket::SourceDescription {
                ssrc: Ssrc(word(0)?),
                cname: cname(body.get(4..).unwrap_or_default()).unwrap_or_default(),
            },
            BYE => {
                let end = 4 * usize::from(count);
                RtcpPacket::Bye(Sources(body.get(..end).ok_or(truncated(4 + end))?))
            }
            other => RtcpPacket::Other(other),
        };
        self.rest = rest;
        self.at += length;
        Ok(parsed)
    }
}

/// The canonical name among the items of a chunk.
fn cname(mut items: &[u8]) -> Option<&[u8]> {
    loop {
        let (&[kind, length], rest) = items.split_first_chunk::<2>()?;
        if kind == 0 {
            return None;
        }
        let (text, rest) = rest.split_at_checked(usize::from(length))?;
        if kind == CNAME {
            return Some(text);
        }
        items = rest;
    }
}

/// Why RTCP cannot be read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RtcpError {
    /// A packet is longer than what is left of the datagram.
    Truncated {
        /// Octet at which the packet begins.
        at: usize,
        /// Octets that it needs.
        needed: usize,
        /// Octets that are there.
        got: usize,
    },
    /// The version is not 2.
    Version(u8),
    /// The buffer is too short.
    NoRoom {
        /// Octets that it should hold.
        needed: usize,
        /// Octets that it holds.
        room: usize,
    },
}

impl fmt::Display for RtcpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Truncated { at, needed, got } => {
                write!(f, "RTCP packet at byte {at} needs {needed} bytes, has {got}")
            }
            Self::Version(version) => write!(f, "RTCP version is {version}, not 2"),
            Self::NoRoom { needed, room } => write!(f, "RTCP of {needed} bytes in a buffer of {room}"),
        }
    }
}

impl core::error::Error for RtcpError {}
