use super::WireError;

/// What a TLV's type means (IEEE 1588-2008 table 34).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the standard's names
pub enum TlvKind {
    Management,
    ManagementErrorStatus,
    OrganizationExtension,
    RequestUnicast,
    GrantUnicast,
    CancelUnicast,
    AcknowledgeCancelUnicast,
    PathTrace,
    AlternateTimeOffset,
    /// Anything else; skipped.
    Other(u16),
}

impl From<u16> for TlvKind {
    fn from(number: u16) -> Self {
        match number {
            1 => Self::Management,
            2 => Self::ManagementErrorStatus,
            3 => Self::OrganizationExtension,
            4 => Self::RequestUnicast,
            5 => Self::GrantUnicast,
            6 => Self::CancelUnicast,
            7 => Self::AcknowledgeCancelUnicast,
            8 => Self::PathTrace,
            9 => Self::AlternateTimeOffset,
            other => Self::Other(other),
        }
    }
}

/// One TLV of a message's suffix (IEEE 1588-2008 §14.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tlv<'a> {
    /// What it is.
    pub kind: TlvKind,
    /// Its value.
    pub value: &'a [u8],
}

/// The suffix of a message: whole TLVs, checked once, and at most three octets more, which are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tlvs<'a> {
    octets: &'a [u8],
}

impl<'a> Tlvs<'a> {
    /// Checks that `octets` is a row of whole TLVs. An odd length is let through, though the standard forbids it, and so
    /// is a rest too short for type and length: it is no TLV, and what came before it is not in doubt.
    pub fn parse(octets: &'a [u8]) -> Result<Self, WireError> {
        let mut rest = octets;
        while rest.len() >= HEAD {
            let offset = octets.len() - rest.len();
            (_, rest) = split(rest).ok_or(WireError::Tlv { offset })?;
        }
        Ok(Self { octets })
    }

    /// All of them as octets, with what is behind them.
    pub const fn octets(&self) -> &'a [u8] {
        self.octets
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = Tlv<'a>> + use<'a> {
        let mut rest = self.octets;
        core::iter::from_fn(move || {
            let (tlv, after) = split(rest)?;
            rest = after;
            Some(tlv)
        })
    }
}

fn split(octets: &[u8]) -> Option<(Tlv<'_>, &[u8])> {
    let (&[k0, k1, l0, l1], rest) = octets.split_first_chunk::<HEAD>()?;
    let (value, rest) = rest.split_at_checked(u16::from_be_bytes([l0, l1]).into())?;
    Some((Tlv { kind: u16::from_be_bytes([k0, k1]).into(), value }, rest))
}

const HEAD: usize = 4; // type and length
