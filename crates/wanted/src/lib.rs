//! What agent and module tell each other through the PipeWire metadata object named `wireloom`.
//!
//! Not responsible for: PipeWire, deciding what is wanted, or checking that an address can be reached.
//! Subject is 0, every value has the type [`VALUE_TYPE`] and stands for itself. Unknown fields are ignored,
//! so that a newer agent can talk to an older module; a missing optional field has the default said here.

#![forbid(unsafe_code)]

mod device;
mod key;
mod link;
mod node;
mod observation;
mod report;

pub use device::Device;
pub use key::{Key, stable_id_is_valid};
pub use link::{Link, LinkEnd, Route, RouteOrigin, RouteState, pair_id};
pub use node::{
    ClockRelation, Copies, Direction, Encoding, Invalid, Keepalive, Leg, Media, Node, NodeText, Protocol,
    Show,
};
pub use observation::{Finding, Heard};
pub use report::{Mode, State, StateReport, Stats};

/// Name of the metadata object (`metadata.name`).
pub const METADATA_NAME: &str = "wireloom";
/// Type of every value in it.
pub const VALUE_TYPE: &str = "Spa:String:JSON";
/// Major version of the schema; the value of the key `schema`. A reader refuses any other.
pub const SCHEMA: u32 = 1;
/// The longest value that is read, in bytes; a longer one is refused whole.
pub const MAX_VALUE_BYTES: usize = 32 * 1024;
