//! The PipeWire module: driver node, stream nodes, packet I/O.
