//! The C boundary: every pointer that PipeWire gives or takes is handled here and nowhere else.
//!
//! What leaves this room has only safe types. Two threads come in: PipeWire's main loop, on which everything but
//! `process` and our timers runs, and its data loop. What belongs to the data loop is reached from the main loop only
//! inside [`Loop::run`], which runs a closure on the data loop and waits for it.

mod clock_area;
mod context;
mod device;
mod dictionary;
mod driver;
mod entry;
mod events;
pub(crate) mod fence;
mod interface;
mod link_rights;
mod log;
mod loops;
mod metadata;
mod node;
mod node_methods;
mod node_params;
mod outbox;
mod patch;
mod pod;
mod ports;
mod relay;
pub(crate) mod rt_watch;
mod socket;
mod source_filter;
mod timer;
mod virtual_link;
mod world_cell;

pub(crate) use clock_area::{ClockArea, Cycle, Position};
use context::arguments;
pub(crate) use context::{Context, ModuleHandle};
pub(crate) use device::{Device, NO_ROUTE};
pub(crate) use dictionary::Dictionary;
pub(crate) use driver::DriverNode;
pub(crate) use events::{MainEvent, MainTimer};
pub(crate) use log::{Level, log};
pub(crate) use loops::Loop;
pub(crate) use metadata::Metadata;
pub(crate) use node::{Direction, NodeConfig, StreamNode};
pub(crate) use outbox::{Address, Destination, Outbox, Senders, Target};
pub(crate) use patch::{Patch, PatchEvent, Refusal, Verdict};
pub(crate) use ports::Ports;
pub(crate) use socket::{BATCH, Inbox, JoinError, MediaSocket};
pub(crate) use timer::{Pacemaker, TimerFd};
pub(crate) use world_cell::WorldCell;
