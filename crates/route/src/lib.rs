//! Who is connected to whom: devices, wishes and observations in, commands out.
//!
//! Not responsible for: PipeWire, D-Bus, any protocol, storage, clocks. [`Engine`] is level-triggered: it keeps what is
//! wished and what was seen, and [`Engine::handle_timeout`] leaves the difference as [`Command`]s. Whoever carries one
//! out answers with [`Engine::handle_result`]; what is seen on devices and in the graph comes in by
//! [`Engine::handle_subscriptions`] and [`Engine::handle_link`]. However things fail and return, the engine comes to
//! rest where every wish whose ends are there is honoured, and nothing else is touched.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod answer;
mod checkpoint;
mod command;
mod decide;
mod device;
mod engine;
mod judge;
mod observe;
mod preset;

pub use answer::{Answer, Obstacle};
pub use checkpoint::{Checkpoint, Edit};
pub use command::{Change, Command, CommandId, Outcome, Source, Target};
pub use device::{Device, DeviceId, Pair, Place, Port, Presence, Side, Takes};
pub use engine::{Engine, Wish};
pub use judge::{Route, RouteState, Step, Steps};
pub use preset::{MissingRole, Preset, Role, RoutePlan};
