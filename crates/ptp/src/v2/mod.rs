//! PTPv2 on the wire (IEEE 1588-2008 clause 13): octets in, meaning out, and back.

mod header;

pub use header::{ClockQuality, PortIdentity};
