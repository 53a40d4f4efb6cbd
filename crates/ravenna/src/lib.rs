//! RAVENNA: the names by which DNS-SD (RFC 6763) announces sessions, and RTSP 1.0 (RFC 2326) as far as RAVENNA uses
//! it: a description is asked for, kept up to date over the open connection, and never played by RTSP.
//!
//! Not responsible for: sockets, DNS packets, reading descriptions, deciding what is the same stream.
//!
//! ```
//! use wireloom_ravenna::{ClientEvent, RtspClient};
//! use wireloom_units::Nanos;
//!
//! let mut client = RtspClient::new("192.0.2.31:8854");
//! client.describe(Nanos::ZERO, "Mixer_611465_2100");
//! let request = client.poll_transmit().unwrap();
//! assert!(request.starts_with(b"DESCRIBE rtsp://192.0.2.31:8854/by-name/Mixer_611465_2100 RTSP/1.0\r\n"));
//! client.handle_bytes(Nanos::ZERO, b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 5\r\n\r\nv=0\r\n");
//! let described = ClientEvent::Described { name: "Mixer_611465_2100".into(), body: b"v=0\r\n".into() };
//! assert_eq!(client.poll_event(), Some(described));
//! ```

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod backoff;
mod client;
mod error;
mod message;
mod names;
mod reader;
mod reconnect;
mod server;
mod uri;

pub use backoff::Backoff;
pub use client::{ClientEvent, Failure, RtspClient};
pub use error::RtspError;
pub use message::{Message, Start};
pub use names::{
    DEVICE_TYPE, InstanceName, MAX_INSTANCE, RTSP_TYPE, SESSION_TYPE, WEB_DEVICE_TYPE, instance_of,
    instance_on_wire,
};
pub use reader::Reader;
pub use reconnect::Reconnect;
pub use server::{ConnectionId, Output, RtspServer, Session};
pub use uri::{Location, Resource, percent_decode, percent_encode};
