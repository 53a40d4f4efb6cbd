//! Fuzz targets as plain functions and the seeded mutator that drives them.
//!
//! A target is a `fn(&[u8])` that must not panic, whatever the bytes, and that asserts what must hold for bytes
//! that parse (what was read is written and read again the same). One module per crate; its tests, in a module
//! `fuzzed`, hand every target to [`mutate::drive`] with the directory of vectors that it starts from. What only a
//! program parses has its target there, in a module of the same name: `cargo test fuzzed` runs them all.
#![forbid(unsafe_code)]

pub mod clock_page;
pub mod mutate;
pub mod oat;
pub mod ptp;
pub mod rtp;
pub mod rtsp;
pub mod sap;
pub mod sdp;
pub mod wanted;
