//! The D-Bus contract of Wireloom: the XML, the names in it, and a typed client.
//!
//! Not responsible for: serving the objects (the agent does), or words for people.
//! `dbus/*.xml` is the truth; the names, proxies and values here follow it.

#![forbid(unsafe_code)]

mod error;
mod names;
mod proxies;
mod snapshot;

pub use error::Error;
pub use names::{BUS_NAME, CONTRACT, ROOT_PATH, element, path};
pub use proxies::{
    CheckpointProxy, ClockProxy, DeviceProxy, InterfaceProxy, JobProxy, ManagerProxy, RouteProxy,
    StatisticsProxy, StreamProxy,
};
pub use snapshot::{
    ChannelInfo, CheckInfo, ClockInfo, DeviceInfo, InterfaceInfo, LegInfo, ManagerInfo, RouteChannelInfo,
    RouteInfo, Snapshot, StreamInfo,
};
