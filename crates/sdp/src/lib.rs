//! SDP (RFC 4566, RFC 8866), the AES67 reading of it, and SAP (RFC 2974).
//!
//! Not responsible for: sockets, clocks, joining groups, believing a description more than the packets,
//! RTSP. A description here is what a sender says about itself; nothing in it is resolved or fetched.
//!
//! ```
//! let parsed = wireloom_sdp::read(
//!     b"v=0\r\no=- 7 1 IN IP4 192.0.2.10\r\ns=Stage L\r\nc=IN IP4 239.69.1.10/32\r\nt=0 0\r\n\
//!       m=audio 5004 RTP/AVP 97\r\na=rtpmap:97 L24/48000/2\r\na=ptime:1\r\n",
//! )
//! .unwrap();
//! assert_eq!(parsed.streams[0].name, "Stage L");
//! assert_eq!(parsed.streams[0].samples_per_packet.0, 48);
//! ```

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod address;
mod audio_section;
mod channel_names;
mod display;
mod document;
mod format;
mod media_clock;
mod origin;
mod packet_time;
mod read;
mod redundancy;
mod reference_clock;
mod refusal;
mod sap;
mod scope;
mod section_clocks;
mod source_filter;
mod stream;
mod warning;
mod write;

pub use channel_names::Symbol;
pub use display::for_display;
pub use document::{Document, Line, Section, to_text};
pub use format::Encoding;
pub use media_clock::MediaClock;
pub use origin::Origin;
pub use read::{Allow, Parsed, read, read_with};
pub use reference_clock::{OurClock, PtpVersion, RefClk, Relation, compare};
pub use refusal::{Kind, Reason, Refusal};
pub use sap::*;
pub use stream::{Delivery, Leg, Stream, StreamKey, Vendor};
pub use warning::{Finding, Warning};
pub use write::{Description, Flavour, WriteError, write};
