//! The lab: a virtual studio of network namespaces, private PipeWire daemons, our programs and peers that we did not
//! write.
//!
//! Not responsible for building anything (`xtask` does that) nor for what a protocol says (the crates do).
//!
//! A program that wants a studio calls [`isolation::run`], which starts the same program again where nothing of the
//! machine's own network can be seen; there [`Studio::new`] makes the network, [`Studio::host`] a computer on it.
//! Everything that is started ends with the program, however that ends.
#![forbid(unsafe_code)]

mod agent;
mod am824;
pub mod checks;
mod clock;
mod comparison;
mod doctor;
mod host;
pub mod isolation;
mod lag;
mod oat_device;
pub mod peers;
mod pipewire;
mod process;
mod products;
mod recording;
pub mod scene;
mod screen;
mod signal;
mod stand_in;
mod studio;
mod timer;
pub mod wait;

pub use agent::Agent;
pub use clock::{Clock, differences as clock_differences};
pub use comparison::{Comparison, Gap, Odd, Slip};
pub use host::Host;
pub use oat_device::OatDevice;
pub use peers::RtpStream;
pub use pipewire::{GraphNode, PipeWire, PipeWireOptions, Recorder};
pub use process::Process;
pub use products::Products;
pub use recording::Recording;
pub use signal::PositionCode;
pub use stand_in::StandIn;
pub use studio::Studio;
pub use timer::BareTimer;
pub use wireloom_clock_page::{LineState, Source};
