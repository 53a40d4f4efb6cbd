//! An application of the lab: a PipeWire client that plays or records a `PositionCode`.
//!
//! The stock tools do their work on a thread that a busy machine holds up for longer than their buffers last, so that
//! a test could not tell a frame that the network lost from one that the tool lost. This client does it in the graph's
//! own cycle, and marks the cycles that it was not called in. It links nothing by itself; Ctrl-C ends it.
#![forbid(unsafe_code)]

mod player;
mod recorder;
mod stream;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Plays or records what the lab compares.
#[derive(Parser)]
struct Arguments {
    /// `node.name` of the client.
    #[arg(long)]
    name: String,
    /// How many channels it has.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=64))]
    channels: u32,
    /// Frames of latency that it asks the graph for.
    #[arg(long, default_value_t = 256)]
    latency: u32,
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    /// Writes 32-bit floats to a file; a frame of NaN stands for one that it was not called for.
    Record {
        /// The file.
        file: PathBuf,
    },
    /// Plays a position code that starts with its frame 0 in the first cycle.
    Play {
        /// Significant bits: 16 or 24.
        #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(16..=24))]
        bits: u32,
    },
}

fn main() -> anyhow::Result<()> {
    let Arguments { name, channels, latency, role } = Arguments::parse();
    pipewire::init();
    let client = stream::Client { name, channels, latency };
    match role {
        Role::Record { file } => recorder::run(&client, &file),
        Role::Play { bits } => player::run(&client, bits),
    }
}
