//! An application of the lab: a PipeWire client that plays or records a `PositionCode`.
//!
//! The stock tools do their work on a thread that a busy machine holds up for longer than their buffers last, so that
//! a test could not tell a frame that the network lost from one that the tool lost. This client does it in the graph's
//! own cycle, and marks the cycles that it was not called in. It links nothing by itself; Ctrl-C ends it.
#![forbid(unsafe_code)]

mod pacer;
mod player;
mod recorder;
mod stream;

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use wireloom_lab::PositionCode;

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
    /// Writes a position code to standard output as a device on a network clock would: big-endian integers, a packet at
    /// a time; needs no PipeWire.
    Pace {
        /// Significant bits: 16, 24 or 32.
        #[arg(long, default_value_t = 24, value_parser = bits)]
        bits: u32,
        /// How much faster than this machine's oscillator.
        #[arg(long, allow_negative_numbers = true)]
        ppm: f64,
        /// Frames in a packet.
        #[arg(long)]
        packet: usize,
    },
    /// Plays a position code that starts with its frame 0 in the first cycle.
    Play {
        /// Significant bits: 16, 24 or 32.
        #[arg(long, default_value_t = 24, value_parser = bits)]
        bits: u32,
    },
}

fn bits(text: &str) -> Result<u32, String> {
    match text {
        "16" => Ok(16),
        "24" => Ok(24),
        "32" => Ok(32),
        _ => Err("a code has 16, 24 or 32 bits".to_owned()),
    }
}

fn main() -> anyhow::Result<()> {
    let Arguments { name, channels, latency, role } = Arguments::parse();
    let client = stream::Client { name, channels, latency };
    match role {
        Role::Pace { bits, ppm, packet } => {
            pacer::run(&PositionCode::new(bits, client.channels as usize), packet, ppm)
        }
        Role::Record { file } => recorder::run(&client, &file),
        Role::Play { bits } => player::run(&client, PositionCode::new(bits, client.channels as usize)),
    }
}
