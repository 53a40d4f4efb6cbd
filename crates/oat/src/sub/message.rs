use core::fmt;

use wireloom_units::Ssrc;

/// Octets of every message.
pub const MESSAGE_BYTES: usize = 48;

/// What a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Op {
    /// Receiver: begin, or go on.
    Subscribe = 1,
    /// Receiver: end; not answered.
    Unsubscribe = 2,
    /// Sender: the flow is on its way.
    Ack = 3,
    /// Sender: no.
    Nak = 4,
    /// Sender: say that again with this cookie.
    Challenge = 5,
}

impl Op {
    fn from_wire(octet: u8) -> Option<Self> {
        [Self::Subscribe, Self::Unsubscribe, Self::Ack, Self::Nak, Self::Challenge]
            .into_iter()
            .find(|op| *op as u8 == octet)
    }
}

/// Why a sender refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// There is no such stream.
    UnknownStream,
    /// As many receivers as it can serve have it.
    NoSlot,
    /// Its port cannot carry one more copy.
    NoBandwidth,
    /// The stream is multicast only.
    MulticastOnly,
    /// It does not speak this version.
    Version,
    /// It is not allowed.
    Policy,
    /// Not now.
    Busy,
    /// The cookie is too old, or was never given.
    BadCookie,
    /// A number without a meaning here.
    Other(u16),
}

impl Reason {
    /// The reason with this number.
    pub const fn from_wire(number: u16) -> Self {
        match number {
            1 => Self::UnknownStream,
            2 => Self::NoSlot,
            3 => Self::NoBandwidth,
            4 => Self::MulticastOnly,
            5 => Self::Version,
            6 => Self::Policy,
            7 => Self::Busy,
            8 => Self::BadCookie,
            other => Self::Other(other),
        }
    }

    /// Its number.
    pub const fn to_wire(self) -> u16 {
        match self {
            Self::UnknownStream => 1,
            Self::NoSlot => 2,
            Self::NoBandwidth => 3,
            Self::MulticastOnly => 4,
            Self::Version => 5,
            Self::Policy => 6,
            Self::Busy => 7,
            Self::BadCookie => 8,
            Self::Other(number) => number,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownStream => "the sender has no such stream",
            Self::NoSlot => "the sender serves as many receivers as it can",
            Self::NoBandwidth => "the sender's network port is full",
            Self::MulticastOnly => "the stream is multicast only",
            Self::Version => "the sender speaks another version of the subscription",
            Self::Policy => "the sender does not allow it",
            Self::Busy => "the sender is busy",
            Self::BadCookie => "the sender does not take its own cookie back",
            Self::Other(number) => return write!(f, "the sender refuses, for reason number {number}"),
        })
    }
}

/// One message. Fields that an operation has no use for are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message {
    /// What it is for.
    pub op: Op,
    /// [`crate::FLAG_ANY_PACKET_TIME`], [`crate::FLAG_SEND_SILENCE`]; others as received.
    pub flags: u16,
    /// Number of the stream; 0 is the stream of the port that is asked.
    pub stream: u32,
    /// Chosen by the receiver, echoed by the sender.
    pub transaction: u32,
    /// Given by the sender; 0 is none.
    pub cookie: u64,
    /// Lease in seconds, wanted or granted.
    pub lease_s: u16,
    /// UDP port that the audio goes to; 0 is the one that the message came from.
    pub port: u16,
    /// Ack: source of the stream.
    pub ssrc: Ssrc,
    /// Ack: frames in a packet.
    pub samples_per_packet: u16,
    /// Ack: channels.
    pub channels: u8,
    /// Ack: RTP payload type.
    pub payload_type: u8,
    /// Nak: number of the [`Reason`].
    pub reason: u16,
}

/// Why octets are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MessageError {
    /// Not 48 octets.
    Length(usize),
    /// It does not begin with `OATS`.
    Magic,
    /// Another version than 1; who asked is told so, by this transaction and stream.
    Version {
        /// The version.
        version: u8,
        /// Its transaction.
        transaction: u32,
        /// Its stream.
        stream: u32,
    },
    /// An operation without a meaning here.
    Op(u8),
}

impl core::error::Error for MessageError {}

impl fmt::Display for MessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(octets) => {
                write!(f, "a subscription message has {MESSAGE_BYTES} octets, not {octets}")
            }
            Self::Magic => f.write_str("no subscription message: it does not begin with OATS"),
            Self::Version { version, .. } => write!(f, "subscription message of version {version}, not 1"),
            Self::Op(op) => write!(f, "subscription message of unknown operation {op}"),
        }
    }
}

impl Message {
    /// A message of `op` with everything else zero.
    pub const fn new(op: Op) -> Self {
        Self {
            op,
            flags: 0,
            stream: 0,
            transaction: 0,
            cookie: 0,
            lease_s: 0,
            port: 0,
            ssrc: Ssrc(0),
            samples_per_packet: 0,
            channels: 0,
            payload_type: 0,
            reason: 0,
        }
    }

    /// Reads a datagram. What follows the last field is not looked at.
    pub fn parse(bytes: &[u8]) -> Result<Self, MessageError> {
        let bytes: &[u8; MESSAGE_BYTES] = bytes.try_into().map_err(|_| MessageError::Length(bytes.len()))?;
        let &[m0, m1, m2, m3, version, op, f0, f1, s0, s1, s2, s3, t0, t1, t2, t3, ref rest @ ..] = bytes;
        let &[c0, c1, c2, c3, c4, c5, c6, c7, l0, l1, p0, p1, ref rest @ ..] = rest;
        let &[r0, r1, r2, r3, n0, n1, channels, payload_type, w0, w1, ..] = rest;
        if [m0, m1, m2, m3] != MAGIC {
            return Err(MessageError::Magic);
        }
        let stream = u32::from_be_bytes([s0, s1, s2, s3]);
        let transaction = u32::from_be_bytes([t0, t1, t2, t3]);
        if version != VERSION {
            return Err(MessageError::Version { version, transaction, stream });
        }
        Ok(Self {
            op: Op::from_wire(op).ok_or(MessageError::Op(op))?,
            flags: u16::from_be_bytes([f0, f1]),
            stream,
            transaction,
            cookie: u64::from_be_bytes([c0, c1, c2, c3, c4, c5, c6, c7]),
            lease_s: u16::from_be_bytes([l0, l1]),
            port: u16::from_be_bytes([p0, p1]),
            ssrc: Ssrc(u32::from_be_bytes([r0, r1, r2, r3])),
            samples_per_packet: u16::from_be_bytes([n0, n1]),
            channels,
            payload_type,
            reason: u16::from_be_bytes([w0, w1]),
        })
    }

    /// The message as it goes on the wire.
    pub fn emit(&self) -> [u8; MESSAGE_BYTES] {
        let mut bytes = [0; MESSAGE_BYTES];
        let fields: [&[u8]; 13] = [
            &MAGIC,
            &[VERSION, self.op as u8],
            &self.flags.to_be_bytes(),
            &self.stream.to_be_bytes(),
            &self.transaction.to_be_bytes(),
            &self.cookie.to_be_bytes(),
            &self.lease_s.to_be_bytes(),
            &self.port.to_be_bytes(),
            &self.ssrc.0.to_be_bytes(),
            &self.samples_per_packet.to_be_bytes(),
            &[self.channels, self.payload_type],
            &self.reason.to_be_bytes(),
            &[0; 10],
        ];
        bytes.iter_mut().zip(fields.into_iter().flatten()).for_each(|(octet, value)| *octet = *value);
        bytes
    }
}

/// Nothing: an operation that no sender knows, so that it answers nothing. A receiver sends it from the socket that its
/// audio comes to, because firewalls let in what answers a datagram.
pub const OPEN_WAY: [u8; MESSAGE_BYTES] = {
    let mut bytes = [0; MESSAGE_BYTES];
    [bytes[0], bytes[1], bytes[2], bytes[3]] = MAGIC;
    bytes[4] = VERSION;
    bytes
};

/// `OATS`. The two top bits are 01: it can be neither RTP nor RTCP of version 2.
const MAGIC: [u8; 4] = *b"OATS";
const VERSION: u8 = 1;
