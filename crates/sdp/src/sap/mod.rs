//! Session announcements (RFC 2974): who says what is on the network.

mod identity;
mod limits;
mod listener;
mod packet;
mod session;

pub use identity::{Change, Known, Verdict, judge};
pub use listener::{Counters, Gone, Heard, SapEvent, SapListener, Unreadable};
pub use packet::{SapError, SapPacket, message_hash};
pub use session::{Hearing, State, StreamId, Via};
