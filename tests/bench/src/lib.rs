//! Benchmarks side by side with peers.
#![forbid(unsafe_code)]

pub mod cpu;
pub mod crowd;
pub mod daemon;
pub mod datagrams;
pub mod hot_paths;
pub mod latency;
pub mod load;
pub mod platform;
pub mod results;
pub mod run;
pub mod sender;
pub mod streams;
pub mod sustained;
