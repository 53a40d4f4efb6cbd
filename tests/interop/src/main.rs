//! An application of the lab: a PipeWire client that plays or records a `PositionCode`, or plays a tone.
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
    /// `node.group`: it runs with the driver of that group, unless what it is linked to has a better one.
    #[arg(long)]
    group: Option<String>,
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
        /// A tone of so many hertz at half of full scale instead of the code.
        #[arg(long)]
        tone: Option<u32>,
    },
    /// Plays a position code that starts with its frame 0 in the first cycle.
    Play {
        /// Significant bits: 16, 24 or 32.
        #[arg(long, default_value_t = 24, value_parser = bits)]
        bits: u32,
        /// A tone of so many hertz at half of full scale instead of the code.
        #[arg(long)]
        tone: Option<u32>,
    },
}

/// `frames` frames of a tone, the same on each channel, as big-endian integers of 24 bits.
fn tone(hz: u32, channels: u32, first: u64, frames: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(frames * channels as usize * 3);
    for frame in first..first + frames as u64 {
        let sample = wireloom_tone::sample(frame, hz, stream::RATE, 0.5) * 8_388_608.0;
        for _ in 0..channels {
            bytes.extend_from_slice(&(sample.round() as i32).to_be_bytes()[1..]);
        }
    }
    bytes
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
    let Arguments { name, channels, latency, group, role } = Arguments::parse();
    let client = stream::Client { name, channels, latency, group };
    match role {
        Role::Pace { bits, ppm, packet, tone: None } => {
            let code = PositionCode::new(bits, client.channels as usize);
            pacer::run(|first| code.network_bytes(first, packet), packet, ppm)
        }
        Role::Pace { ppm, packet, tone: Some(hz), .. } => {
            pacer::run(|first| tone(hz, client.channels, first, packet), packet, ppm)
        }
        Role::Record { file } => recorder::run(&client, &file),
        Role::Play { bits, tone: None } => {
            let code = PositionCode::new(bits, client.channels as usize);
            player::run(&client, move |frame, channel| code.float(frame, channel))
        }
        Role::Play { tone: Some(hz), .. } => {
            player::run(&client, move |frame, _| wireloom_tone::sample(frame, hz, stream::RATE, 0.5))
        }
    }
}
