//! The wireloom command.

fn main() {}
