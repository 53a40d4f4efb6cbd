use core::fmt;

/// Why octets are not a PTPv2 message, or a message does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WireError {
    /// The datagram is shorter than its header, body or announced length needs.
    Truncated {
        /// Octets that are needed.
        needed: usize,
        /// Octets in the datagram.
        got: usize,
    },
    /// versionPTP is not 2; 1 is the older protocol that Dante speaks.
    Version(u8),
    /// A message type that the standard reserves.
    Type(u8),
    /// messageLength is too small for this type of message.
    Length {
        /// What messageLength says.
        announced: u16,
        /// What the type needs at least.
        needed: u16,
    },
    /// A timestamp whose nanoseconds are not below 10^9.
    Nanoseconds(u32),
    /// A TLV runs past messageLength.
    Tlv {
        /// Where in the suffix it begins.
        offset: usize,
    },
    /// The buffer to emit into is too small, or the message is longer than 65 535 octets.
    Space {
        /// Octets that are needed.
        needed: usize,
        /// Octets in the buffer.
        got: usize,
    },
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Truncated { needed, got } => write!(f, "PTP message needs {needed} octets, has {got}"),
            Self::Version(version) => write!(f, "PTP version {version}, not 2"),
            Self::Type(kind) => write!(f, "PTP message type {kind:#x} is reserved"),
            Self::Length { announced, needed } => {
                write!(f, "messageLength says {announced}, this type has at least {needed}")
            }
            Self::Nanoseconds(nanos) => write!(f, "timestamp with {nanos} nanoseconds"),
            Self::Tlv { offset } => write!(f, "TLV at offset {offset} of the suffix runs past messageLength"),
            Self::Space { needed, got } => write!(f, "message of {needed} octets does not fit into {got}"),
        }
    }
}

impl core::error::Error for WireError {}
