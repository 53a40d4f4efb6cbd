//! What a packet costs in instructions, counted by callgrind: repeatable to the instruction on any machine.

use std::hint::black_box;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use wireloom_rtp::{
    BlockPosition, ChannelStatus, Encoding, Packetizer, PacketizerConfig, RtpHeader, Timeline,
    TimelineConfig, write_header,
};
use wireloom_units::{Channels, MediaIndex, Rate, Samples, Ssrc};

/// One line of the table.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Row {
    /// What is done: `decode`, `encode`, `place`, `receive`, `send`.
    pub path: String,
    /// Sample format.
    pub encoding: String,
    /// Channels.
    pub channels: u16,
    /// Frames in a packet, and in a cycle of the graph.
    pub frames: u32,
    /// Instructions for one packet.
    pub instructions: f64,
    /// Instructions for one sample of one channel.
    pub per_sample: f64,
}

/// What is measured. `receive` is placing and reading, `send` is writing and polling.
const CASES: [(&str, &str, u16, u32); 14] = [
    ("decode", "L16", 8, 48),
    ("decode", "L24", 2, 48),
    ("decode", "L24", 8, 48),
    ("decode", "L32", 8, 48),
    ("decode", "AM824", 6, 48),
    ("encode", "L24", 8, 48),
    ("encode", "AM824", 6, 48),
    ("place", "L24", 8, 48),
    ("receive", "L24", 2, 48),
    ("receive", "L24", 8, 48),
    ("receive", "L24", 64, 6),
    ("send", "L24", 2, 48),
    ("send", "L24", 8, 48),
    ("send", "L24", 64, 6),
];

/// Packets of the short run and of the long one; the difference is without start-up.
const RUNS: [u32; 2] = [100, 1_100];

/// Counts every case by running `program`, which must hand its arguments `run <case> <packets>` to [`run`], under
/// callgrind. Takes about half a minute. Errors: valgrind is not there, or the program fails.
pub fn hot_paths(program: &Path) -> Result<Vec<Row>> {
    CASES.iter().enumerate().map(|(case, _)| count(program, case)).collect()
}

fn count(program: &Path, case: usize) -> Result<Row> {
    let (path, encoding, channels, frames) = *CASES.get(case).context("no such case")?;
    let [short, long] = RUNS.map(|packets| collected(program, case, packets));
    let instructions = (long? - short?) as f64 / f64::from(RUNS[1] - RUNS[0]);
    let per_sample = instructions / f64::from(u32::from(channels) * frames);
    let (path, encoding) = (path.to_owned(), encoding.to_owned());
    Ok(Row { path, encoding, channels, frames, instructions, per_sample })
}

/// Instructions that callgrind counts for a run.
fn collected(program: &Path, case: usize, packets: u32) -> Result<i64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(["run", &case.to_string(), &packets.to_string()])
        .output()
        .context("running valgrind")?;
    let told = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("valgrind {} failed: {told}", program.display());
    }
    let line = told.lines().find_map(|line| line.split_once("Collected :"));
    let (_, number) = line.with_context(|| format!("no count in what valgrind says: {told}"))?;
    number.trim().parse().context("callgrind's count")
}

/// Runs one case for so many packets; for the program under callgrind. Returns what the compiler may not leave out.
pub fn run(case: usize, packets: u32) -> Result<f32> {
    let (path, encoding, channels, frames) = *CASES.get(case).context("no such case")?;
    let encoding = match encoding {
        "L16" => Encoding::L16,
        "L24" => Encoding::L24,
        "L32" => Encoding::L32,
        _ => Encoding::AM824,
    };
    let bench = Bench::new(encoding, channels, frames)?;
    match path {
        "decode" => bench.decode(packets),
        "encode" => bench.encode(packets),
        "place" => bench.receive(packets, false),
        "receive" => bench.receive(packets, true),
        _ => bench.send(packets),
    }
}

struct Bench {
    encoding: Encoding,
    channels: Channels,
    frames: u32,
    planar: Vec<Vec<f32>>,
    packet: Vec<u8>,
}

impl Bench {
    fn new(encoding: Encoding, channels: u16, frames: u32) -> Result<Self> {
        let count = channels;
        let channels = Channels::new(count).context("1 to 128 channels")?;
        let wave =
            |channel: u16| (0..frames).map(|frame| ((u32::from(channel) + frame) as f32).sin()).collect();
        let planar: Vec<Vec<f32>> = (0..count).map(wave).collect();
        let mut payload = vec![0; encoding.bytes_per_frame(channels) * frames as usize];
        let status = ChannelStatus::pcm(Rate::HZ_48000);
        let block = BlockPosition { at: MediaIndex(0), status: &status };
        encoding.encode(&planar[..], channels, Samples(frames), block, &mut payload)?;
        let header =
            RtpHeader { sequence: 0, time: MediaIndex(0).media_time(0), ssrc: Ssrc(1), payload_type: 97 };
        let mut packet = write_header(&header).to_vec();
        packet.extend_from_slice(&payload);
        Ok(Self { encoding, channels, frames, planar, packet })
    }

    fn decode(mut self, packets: u32) -> Result<f32> {
        for _ in 0..packets {
            self.encoding.decode(black_box(&self.packet[12..]), self.channels, &mut self.planar[..])?;
        }
        Ok(self.planar[0][1])
    }

    fn encode(mut self, packets: u32) -> Result<f32> {
        let status = ChannelStatus::pcm(Rate::HZ_48000);
        for packet in 0..packets {
            let at = MediaIndex(u64::from(packet * self.frames));
            let block = BlockPosition { at, status: &status };
            let payload = &mut self.packet[12..];
            let planar = black_box(&self.planar[..]);
            self.encoding.encode(planar, self.channels, Samples(self.frames), block, payload)?;
        }
        Ok(f32::from(self.packet[13]))
    }

    fn receive(mut self, packets: u32, read: bool) -> Result<f32> {
        let mut timeline = Timeline::new(TimelineConfig {
            encoding: self.encoding,
            channels: self.channels,
            rate: Rate::HZ_48000,
            payload_type: 97,
            offset: Some(0),
            capacity: Samples(4096),
            history: Samples(480),
        })?;
        let step = u64::from(self.frames);
        for packet in 0..u64::from(packets) {
            self.packet[2..4].copy_from_slice(&(packet as u16).to_be_bytes());
            self.packet[4..8].copy_from_slice(&((packet * step) as u32).to_be_bytes());
            let now = MediaIndex((packet + 1) * step);
            timeline.handle_datagram(now, 0, black_box(&self.packet));
            let at = now.offset_by(-144);
            if read {
                timeline.read(at, Samples(self.frames), &mut self.planar[..]);
            } else {
                timeline.seek(at);
            }
        }
        Ok(self.planar[0][1])
    }

    fn send(mut self, packets: u32) -> Result<f32> {
        let mut packetizer = Packetizer::new(PacketizerConfig {
            encoding: self.encoding,
            channels: self.channels,
            rate: Rate::HZ_48000,
            frames_per_packet: Samples(self.frames),
            payload_type: 97,
            ssrc: Ssrc(1),
            first_sequence: 0,
            offset: 0,
            capacity: Samples(4096),
        })?;
        let step = u64::from(self.frames);
        for packet in 0..u64::from(packets) {
            let at = MediaIndex(packet * step);
            packetizer.write(at, Samples(self.frames), black_box(&self.planar[..]));
            let now = at.plus(Samples(self.frames));
            packetizer.poll_packet(now, &mut self.packet).context("a packet is due")?;
        }
        Ok(f32::from(self.packet[13]))
    }
}
