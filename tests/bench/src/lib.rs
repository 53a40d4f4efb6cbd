//! Benchmarks side by side with peers.

pub mod hot_paths;
