//! OAT-SUB/1: a receiver asks a sender for a stream by datagram (a proposal of this project).
//!
//! One exchange proves that the receiver is where it says (a cookie, before the sender keeps anything), then a lease
//! keeps the flow for as long as it is renewed. Every message has 48 octets, so that nothing is amplified.

mod client;
mod cookie;
mod message;
mod sender;
mod throttle;

pub use client::{Subscription, SubscriptionConfig, SubscriptionEvent, SubscriptionState};
pub use message::{MESSAGE_BYTES, Message, MessageError, OPEN_WAY, Op, Reason};
pub use sender::{
    Admission, Offered, SenderConfig, SenderEvent, SenderFull, Subscriber, SubscriptionSender, Why,
};

use wireloom_units::Nanos;

/// The receiver takes any packet time (flag bit 0).
pub const FLAG_ANY_PACKET_TIME: u16 = 1;
/// The receiver wants silence when there is no sound (flag bit 1).
pub const FLAG_SEND_SILENCE: u16 = 2;
/// The lease that is asked for by default, in seconds.
pub const DEFAULT_LEASE_S: u16 = 30;

const SHORTEST_LEASE_S: u16 = 5;
const LONGEST_LEASE_S: u16 = 120;

/// The lease that a wish becomes: 5 to 120 s, 30 for none.
fn granted_lease(wanted_s: u16) -> u16 {
    if wanted_s == 0 { DEFAULT_LEASE_S } else { wanted_s.clamp(SHORTEST_LEASE_S, LONGEST_LEASE_S) }
}

fn seconds(count: u16) -> Nanos {
    Nanos::from_secs(u64::from(count))
}
