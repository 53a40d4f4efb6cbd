//! The session agent: discovery, D-Bus, saved state.

fn main() {}
