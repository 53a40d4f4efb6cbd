//! What runs on PipeWire's data loop: no allocation, no lock, no log, no wait, no unbounded loop.
//!
//! Allowed system calls: non-blocking `recvmmsg` and `sendmmsg` on our own sockets, `clock_gettime`, reading and
//! arming our timers. Everything here is owned by that one thread; the main loop changes it only inside
//! `Loop::run`, handing over things whole and dropping what comes back itself.

mod cycles;
mod graph_clock;
mod pacer;
mod receive;
mod report;
mod resample;
mod resend;
#[cfg(test)]
mod test_sender;
mod transmit;
mod world;

pub(crate) use graph_clock::{ClockStatus, GraphClock};
pub(crate) use pacer::{Pacer, TransmitSlot};
pub(crate) use receive::{Receive, ReceiveConfig};
pub(crate) use report::{Notes, Report};
pub(crate) use resample::Adaptive;
pub(crate) use resend::Resend;
pub(crate) use transmit::Transmit;
pub(crate) use world::World;

/// What a node does in a cycle.
pub(crate) enum Logic {
    /// It starts the cycles.
    Driver,
    /// It brings a stream in.
    Receive(Box<Receive>),
    /// It sends a stream out.
    Transmit(Box<Transmit>),
}
