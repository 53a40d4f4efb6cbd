//! The PipeWire module: a driver on the network's clock and one node for every stream.
//!
//! Not responsible for: discovery, SDP, deciding what is wanted, PTP. It makes the nodes that its arguments and the
//! metadata object `wireloom` name, and moves samples between them and the network.

mod arguments;
mod devices;
mod ffi;
mod limits;
mod links;
mod membership;
mod observer;
mod patching;
mod plugin;
mod properties;
mod rt;
mod slot;
mod spa_json;
mod stream;
