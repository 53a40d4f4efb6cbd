//! OpenAudioTools: streams that are asked for by datagram (OAT-SUB), inputs that are told what to play (OAT-CTL).
//!
//! [`Subscriptions`] decides who is asked when, without I/O; the model owns it. [`Sockets`] carries its datagrams. The
//! audio itself comes to the module's socket: the agent asks in its name, from the same address, and says the port.
//! [`Questions`] hears who asks for streams of this computer; the model decides who has them.
//! [`control()`] is a task of its own: it follows the devices of a [`Plan`] and carries out what the core orders.

mod announced;
mod control;
mod http;
mod questions;
mod sockets;
mod subscriptions;

use std::time::Duration;

use crate::pace::Pace;

pub use announced::{Ask, ask, device_key, is_oat, labels, oat_device, tokens};
#[cfg(test)]
pub use control::Carrier;
pub use control::{Http, Plan, run as control};
pub use questions::{Question, Questions};
pub use sockets::{Datagram, Sockets};
pub use subscriptions::{NO_ANSWER, Outgoing, Subscriptions, Wanted};

/// So many datagrams are read of one socket before its reader rests; what floods us beyond is lost in the kernel.
const BURST: usize = 32;
const REST: Duration = Duration::from_millis(5);

const fn pace() -> Pace {
    Pace::new(BURST, REST)
}
