//! Fuzz targets as plain functions and the seeded mutator that drives them.
//!
//! A target is a `fn(&[u8])` that must not panic, whatever the bytes, and that asserts what must hold for bytes
//! that parse (what was read is written and read again the same). One module per crate; its tests hand every
//! target to [`mutate::drive`] with the directory of vectors that it starts from.
#![forbid(unsafe_code)]

pub mod mutate;
pub mod oat;
pub mod ptp;
pub mod rtp;
pub mod rtsp;
pub mod sap;
pub mod sdp;
