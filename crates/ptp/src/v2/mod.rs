//! PTPv2 on the wire (IEEE 1588-2008 clause 13): octets in, meaning out, and back.
//!
//! [`Message::parse`] checks everything once; what it does not understand (reserved octets, unknown TLVs, flags)
//! is kept, so that a parsed message emits to the same octets.

mod announce;
mod error;
mod header;
mod message;
mod octets;
mod timestamp;
mod tlv;

pub use announce::{Announce, ClockQuality};
pub use error::WireError;
pub use header::{Flags, HEADER_LENGTH, Header, LOG_INTERVAL_UNUSED, MessageType, PortIdentity};
pub use message::{Body, Management, Message};
pub use timestamp::{Correction, Timestamp};
pub use tlv::{Tlv, TlvKind, Tlvs};
