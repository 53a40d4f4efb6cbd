//! OpenAudioTools (OAT): what its announcements mean, subscription by datagram (OAT-SUB/1), the model of its control
//! interface (OAT-CTL/1).
//!
//! Not responsible for: reading SDP or SAP, audio packets, HTTP itself, sockets, clocks. OAT publishes documents and
//! no device yet; where the documents leave a hole, this is a proposal, and the module that makes it says so.
//!
//! ```
//! use wireloom_oat::split_session_name;
//! let name = split_session_name("Bass Synth — Out 1-2");
//! assert_eq!((name.device, name.stream), (Some("Bass Synth"), "Out 1-2"));
//! ```

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod announcement;
pub mod control;
mod limits;
mod liveness;
mod name;
mod sub;

pub use announcement::{Form, Offer, OfferError, form};
pub use limits::{
    MAX_PAYLOAD, PacketTooLarge, RECEIVE_PORTS, SUBSCRIPTION_PORTS, check_packet, default_frames,
    wire_bits_per_second,
};
pub use liveness::{Liveness, Presence};
pub use name::{
    SessionName, channel_labels, clean_device_name, default_device_name, device_of, is_host_name,
    session_name, split_session_name,
};
pub use sub::*;
