//! From application to application: what is played into a sender, and when it comes out of the receiver.
//!
//! One application plays a position code, to the network and to the recording application directly; the other records
//! both. The difference of the positions that are recorded together is the latency, exact to the sample.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;
use wireloom_lab::scene::MODULE;
use wireloom_lab::wait::{self, SOON};
use wireloom_lab::{PositionCode, Recording};

use crate::daemon::{Contents, Daemon};
use crate::load::{Bench, Way, our_node, rtp_sink, rtp_source};
use crate::streams::{CHANNELS, StreamPlan};

/// The studio's own cable.
const INTERFACE: &str = "eth0";
/// What is compared: the last second of two.
const FRAMES: usize = 48_000;

/// What came out.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Latency {
    /// `ours` or `theirs`.
    pub side: String,
    /// Frames in a cycle.
    pub quantum: u32,
    /// `sess.latency.msec`; ours is what the module chose.
    pub configured_ms: Option<u32>,
    /// Samples between playing and recording in most frames.
    pub samples: Option<u64>,
    /// Frames with that latency.
    pub constant: usize,
    /// Frames with anything else: silence, another latency, or not the signal.
    pub other: usize,
}

impl Latency {
    /// Every frame came, at the same latency.
    pub fn is_clean(&self) -> bool {
        self.samples.is_some() && self.other == 0
    }
}

impl Bench<'_> {
    /// Ours at `quantum`.
    pub fn our_latency(&self, quantum: u32) -> Result<Latency> {
        let page = self.computer.directory().join("clock");
        let _clock = self.start_sender(0, &page)?;
        let (plan, interface) = (StreamPlan::new(0), INTERFACE);
        let nodes = json!({
            "out": our_node(&plan, Way::Transmit, interface),
            "in": our_node(&plan, Way::Receive, interface),
        });
        let modules = vec![(MODULE, json!({ "clock.page": page, "nodes": nodes }).to_string())];
        self.through(quantum, modules, "wireloom.out", "wireloom.in", ("ours", None))
    }

    /// Theirs at `quantum`, in the mode without resampling; tried with longer and longer latency until nothing is
    /// missing any more. Errors: this PipeWire has no such mode.
    pub fn their_latency(&self, quantum: u32) -> Result<Latency> {
        let shortest = quantum.div_ceil(48) + 1;
        let mut last = None;
        for milliseconds in [0, 1, 4].map(|more| shortest + more) {
            let source = StreamPlan::new(0);
            let sink =
                rtp_sink(&source, self.computer.address(), INTERFACE, quantum).replace("bench-0", "out");
            let modules = vec![
                ("libpipewire-module-rtp-sink", sink),
                ("libpipewire-module-rtp-source", rtp_source(&source, Some(milliseconds))),
            ];
            let found = self.through(quantum, modules, "out", "bench-0", ("theirs", Some(milliseconds)))?;
            if found.is_clean() {
                return Ok(found);
            }
            last = Some(found);
        }
        last.context("nothing was tried")
    }

    fn through(
        &self,
        quantum: u32,
        modules: Vec<(&'static str, String)>,
        out: &str,
        back: &str,
        (side, configured_ms): (&'static str, Option<u32>),
    ) -> Result<Latency> {
        let contents = Contents { quantum, modules, driver: true, log_level: 1, ..Contents::default() };
        let mut daemon = Daemon::start(self.computer, self.platform, self.products, &contents)?;
        let file = self.computer.directory().join("latency.f32");
        let _ = std::fs::remove_file(&file);
        let client = |name: &str, channels: usize, role: [&str; 2]| {
            let mut command = self.computer.command(self.products.program("wireloom-lab-client"));
            command.args(["--name", name, "--channels", &channels.to_string()]);
            command.args(["--latency", &quantum.to_string()]).args(role);
            self.computer.start(name, command)
        };
        let _player = client("player", CHANNELS, ["play", "--bits=24"])?;
        let mut recorder = client("recorder", 2 * CHANNELS, ["record", &file.display().to_string()])?;
        let name = |name: &str| [name.to_owned()];
        let player = daemon.wait_for(&name("player"), CHANNELS, 0)?;
        let taker = daemon.wait_for(&name("recorder"), 0, 2 * CHANNELS)?;
        let sender = daemon.wait_for(&name(out), 0, CHANNELS)?;
        let receiver = daemon.wait_for(&name(back), CHANNELS, 0)?;
        let outputs = |nodes: &[crate::daemon::Node]| nodes[0].outputs.clone();
        let inputs = |nodes: &[crate::daemon::Node]| nodes[0].inputs.clone();
        let (played, taken) = (outputs(&player), inputs(&taker));
        let mut pairs: Vec<(u64, u64)> = played.iter().copied().zip(inputs(&sender)).collect();
        pairs.extend(played.iter().copied().zip(taken.iter().copied()));
        pairs.extend(outputs(&receiver).into_iter().zip(taken.iter().skip(CHANNELS).copied()));
        daemon.link(&pairs)?;
        // Long enough for both ends to settle: theirs synchronises on the first packets, ours changes latency once.
        std::thread::sleep(Duration::from_secs(1));
        let length = || std::fs::metadata(&file).map_or(0, |file| file.len()) as usize / (8 * CHANNELS);
        let wanted = length() + 2 * FRAMES;
        wait::until("two seconds of recording", SOON, || {
            recorder.is_alive()?;
            Ok((length() >= wanted).then_some(()))
        })?;
        recorder.interrupt()?;
        let (samples, constant, other) = compare(&file)?;
        std::fs::remove_file(&file)?;
        Ok(Latency { side: side.to_owned(), quantum, configured_ms, samples, constant, other })
    }
}

/// The most frequent latency in the last second of the recording, how many frames have it, how many do not.
fn compare(file: &Path) -> Result<(Option<u64>, usize, usize)> {
    let recording = Recording::from_floats(file, 2 * CHANNELS)?;
    let code = PositionCode::new(24, CHANNELS);
    let position = |samples: &[f32]| {
        let mut channels = samples.iter().enumerate().map(|(channel, sample)| code.frame(*sample, channel));
        let first = channels.next()??;
        channels.all(|position| position == Some(first)).then_some(first)
    };
    let frames = recording.frames();
    let latencies: Vec<Option<u64>> = (frames.saturating_sub(FRAMES)..frames)
        .map(|at| {
            let (direct, network) = recording.frame(at).split_at(CHANNELS);
            Some((position(direct)? + code.period() - position(network)?) % code.period())
        })
        .collect();
    let count = |latency: u64| latencies.iter().filter(|found| **found == Some(latency)).count();
    let mut found: Vec<u64> = latencies.iter().copied().flatten().collect();
    found.sort_unstable();
    found.dedup();
    let most = found.into_iter().max_by_key(|latency| count(*latency));
    let constant = most.map_or(0, count);
    Ok((most, constant, latencies.len() - constant))
}
