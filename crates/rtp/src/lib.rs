//! RTP audio: packets, payloads, a packetizer, a timeline that merges legs, and what steers adaptive playing.
//!
//! Not responsible for: sockets, clocks, SDP, resampling, logging. Everything here takes bytes and a position on
//! the media clock and gives bytes or samples back. Memory is taken when a [`Timeline`] or a [`Packetizer`] is
//! made; nothing allocates after that, and every call does a bounded amount of work.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod adaptive;
mod am824;
mod counters;
mod encoding;
mod learn;
mod packet;
mod packet_time;
mod packetizer;
mod payload_types;
mod pcm_watch;
mod planar;
mod punctuality;
mod ring;
pub mod rtcp;
mod sender;
mod sequence;
mod timeline;

pub use adaptive::{Steering, SteeringConfig, Step};
pub use am824::{ChannelStatus, Subframe};
pub use counters::{Counters, Differential, LegCounters, Placement, Read, Window};
pub use encoding::{BlockPosition, Encoding, PayloadError};
pub use learn::{LockCheck, OffsetLearner, Verdict};
pub use packet::{HEADER_BYTES, RtpError, RtpHeader, RtpPacket, write_header};
pub use packet_time::{MAX_PAYLOAD_BYTES, PacketTime};
pub use packetizer::{Packetizer, PacketizerConfig, Sent};
pub use planar::{Planar, PlanarMut};
pub use punctuality::Punctuality;
pub use ring::CapacityError;
pub use sequence::Jitter;
pub use timeline::{MAX_LEGS, Stream, Timeline, TimelineConfig};
