//! The lab: network namespaces, private PipeWire, real peers.
