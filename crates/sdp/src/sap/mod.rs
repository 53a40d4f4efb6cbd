//! Session announcements (RFC 2974): who says what is on the network.

mod adopt;
mod announcer;
mod deletion;
mod event;
mod identity;
mod limits;
mod listener;
mod packet;
mod session;

pub use announcer::{Outgoing, SapAnnouncer};
pub use event::{Counters, Gone, Heard, SapEvent, Unreadable};
pub use identity::{Change, Known, Verdict, judge};
pub use listener::SapListener;
pub use packet::{SapError, SapPacket, message_hash};
pub use session::{FIRST_PATIENCE, Hearing, State, StreamId, Via};
