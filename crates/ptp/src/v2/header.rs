use core::fmt;

use wireloom_units::ClockIdentity;

use super::octets::{Putter, Taker};
use super::{Correction, WireError};

/// Octets of the common header.
pub const HEADER_LENGTH: usize = 34;

/// logMessageInterval of messages that have none.
pub const LOG_INTERVAL_UNUSED: i8 = 0x7f;

/// A port of a clock: what sends and receives PTP messages (IEEE 1588-2008 §7.5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PortIdentity {
    /// The clock.
    pub clock: ClockIdentity,
    /// Its port, from 1; 0xffff means every port.
    pub port: u16,
}

impl PortIdentity {
    pub(super) fn parse(octets: &mut Taker<'_>) -> Result<Self, WireError> {
        Ok(Self { clock: ClockIdentity(octets.take()?), port: octets.u16()? })
    }

    pub(super) fn emit(self, octets: &mut Putter<'_>) {
        octets.put(&self.clock.0);
        octets.put(&self.port.to_be_bytes());
    }
}

impl fmt::Display for PortIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.clock, self.port)
    }
}

/// The type of a message (IEEE 1588-2008 table 19).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs)] // the standard's names
pub enum MessageType {
    Sync = 0x0,
    DelayReq = 0x1,
    PdelayReq = 0x2,
    PdelayResp = 0x3,
    FollowUp = 0x8,
    DelayResp = 0x9,
    PdelayRespFollowUp = 0xa,
    Announce = 0xb,
    Signaling = 0xc,
    Management = 0xd,
}

impl MessageType {
    /// The type with the wire's number; `None` for reserved ones.
    pub const fn from_wire(number: u8) -> Option<Self> {
        Some(match number {
            0x0 => Self::Sync,
            0x1 => Self::DelayReq,
            0x2 => Self::PdelayReq,
            0x3 => Self::PdelayResp,
            0x8 => Self::FollowUp,
            0x9 => Self::DelayResp,
            0xa => Self::PdelayRespFollowUp,
            0xb => Self::Announce,
            0xc => Self::Signaling,
            0xd => Self::Management,
            _ => return None,
        })
    }

    /// Whether it is timestamped and travels on UDP 319.
    pub const fn is_event(self) -> bool {
        matches!(self, Self::Sync | Self::DelayReq | Self::PdelayReq | Self::PdelayResp)
    }

    /// Octets of header and fixed body.
    pub const fn length(self) -> usize {
        match self {
            Self::Sync | Self::DelayReq | Self::FollowUp | Self::Signaling => 44,
            Self::PdelayReq | Self::PdelayResp | Self::DelayResp | Self::PdelayRespFollowUp => 54,
            Self::Announce => 64,
            Self::Management => 48,
        }
    }

    /// What the controlField of the type is (table 23); kept for receivers of the older protocol.
    pub const fn control(self) -> u8 {
        match self {
            Self::Sync => 0,
            Self::DelayReq => 1,
            Self::FollowUp => 2,
            Self::DelayResp => 3,
            Self::Management => 4,
            _ => 5,
        }
    }
}

/// The flagField (IEEE 1588-2008 table 20), octet 6 in the high byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags(pub u16);

impl Flags {
    /// Sent by a master that is not the best one.
    pub const ALTERNATE_MASTER: Self = Self(0x0100);
    /// A Follow_Up carries the precise time.
    pub const TWO_STEP: Self = Self(0x0200);
    /// Sent to one receiver only.
    pub const UNICAST: Self = Self(0x0400);
    /// The last minute of the day has 61 seconds.
    pub const LEAP61: Self = Self(0x0001);
    /// The last minute of the day has 59 seconds.
    pub const LEAP59: Self = Self(0x0002);
    /// currentUtcOffset is right.
    pub const UTC_OFFSET_VALID: Self = Self(0x0004);
    /// The time is the PTP timescale.
    pub const PTP_TIMESCALE: Self = Self(0x0008);
    /// The time is traceable to a primary reference.
    pub const TIME_TRACEABLE: Self = Self(0x0010);
    /// The frequency is traceable to a primary reference.
    pub const FREQUENCY_TRACEABLE: Self = Self(0x0020);

    /// Whether every flag of `other` is set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// These flags and, if `on`, those of `other`.
    #[must_use]
    pub const fn with(self, other: Self, on: bool) -> Self {
        if on { Self(self.0 | other.0) } else { self }
    }
}

/// The common header (IEEE 1588-2008 table 18) without type and length, which the body decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Header {
    /// majorSdoId (transportSpecific), 4 bits: 0, or 1 for gPTP.
    pub major_sdo: u8,
    /// minorVersionPTP, 4 bits; 0 is sent, some firmware dislikes 1.
    pub minor_version: u8,
    /// domainNumber.
    pub domain: u8,
    /// minorSdoId; reserved in the 2008 edition.
    pub minor_sdo: u8,
    /// flagField.
    pub flags: Flags,
    /// correctionField.
    pub correction: Correction,
    /// messageTypeSpecific; reserved in the 2008 edition.
    pub type_specific: u32,
    /// sourcePortIdentity.
    pub source: PortIdentity,
    /// sequenceId.
    pub sequence: u16,
    /// controlField as received; emitted as it stands.
    pub control: u8,
    /// logMessageInterval.
    pub log_interval: i8,
}

impl Header {
    /// Reads the header and checks version, type and length; gives what follows it inside messageLength.
    pub(super) fn parse(octets: &[u8]) -> Result<(Self, MessageType, &[u8]), WireError> {
        // The version decides what the rest means, so it is looked at even in a short datagram.
        if let Some(&[_, version]) = octets.first_chunk::<2>()
            && version & 0x0f != 2
        {
            return Err(WireError::Version(version & 0x0f));
        }
        let got = octets.len();
        let mut taker = Taker::new(octets);
        let (first, second, announced) = (taker.u8()?, taker.u8()?, taker.u16()?);
        let header = Self {
            major_sdo: first >> 4,
            minor_version: second >> 4,
            domain: taker.u8()?,
            minor_sdo: taker.u8()?,
            flags: Flags(taker.u16()?),
            correction: Correction::from_wire(i64::from_be_bytes(taker.take()?)),
            type_specific: taker.u32()?,
            source: PortIdentity::parse(&mut taker)?,
            sequence: taker.u16()?,
            control: taker.u8()?,
            log_interval: taker.u8()?.cast_signed(),
        };
        let kind = MessageType::from_wire(first & 0x0f).ok_or(WireError::Type(first & 0x0f))?;
        if usize::from(announced) < kind.length() {
            return Err(WireError::Length { announced, needed: kind.length() as u16 });
        }
        let rest = usize::from(announced) - HEADER_LENGTH;
        let body = taker.rest().get(..rest).ok_or(WireError::Truncated { needed: announced.into(), got })?;
        Ok((header, kind, body))
    }

    pub(super) fn emit(&self, kind: MessageType, length: u16, octets: &mut Putter<'_>) {
        octets.put(&[self.major_sdo << 4 | kind as u8, self.minor_version << 4 | 2]);
        octets.put(&length.to_be_bytes());
        octets.put(&[self.domain, self.minor_sdo]);
        octets.put(&self.flags.0.to_be_bytes());
        octets.put(&self.correction.to_wire().to_be_bytes());
        octets.put(&self.type_specific.to_be_bytes());
        self.source.emit(octets);
        octets.put(&self.sequence.to_be_bytes());
        octets.put(&[self.control, self.log_interval.cast_unsigned()]);
    }
}
