//! OpenAudioTools: one device plays another, and this computer only says so.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::ensure;
use wireloom_clock_page::LineState;

use crate::agent::Agent;
use crate::clock::Clock;
use crate::host::Host;
use crate::oat_device::OatDevice;
use crate::peers::RtpStream;
use crate::pipewire::{GraphNode, PipeWire, PipeWireOptions};
use crate::process::Process;
use crate::products::Products;
use crate::scene;
use crate::studio::Studio;
use crate::wait::{self, SOON};

/// Frames that the mixer must have played in one piece.
const FRAMES: u64 = 240_000;
/// How often a machine that stalls may disturb a run.
const RUNS: usize = 8;
/// Frames that a program here records meanwhile.
const RECORDED: u64 = 96_000;
/// How often a machine that stalls may disturb what has to come within two seconds.
const TRIES: usize = 4;
/// What somebody else did on a device is seen within this.
const SEEN_WITHIN: Duration = Duration::from_secs(2);
const LATENCY: u32 = 960;
const PPM: f64 = 80.0;
const LOCK: Duration = Duration::from_secs(40);
const INPUT: &str = "oat/v1/inputs/mixtee-01b7%2Frx%2Fin-1-2/source";

/// A link between two devices is a route between them that brings every sample and not one packet here; beside it a
/// program here hears the same output; a route made on the device itself is a link within two seconds.
pub fn run(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let (leader, stage) = (studio.host("leader")?, studio.host("stage")?);
    let (desk, computer) = (studio.host("desk")?, studio.host("computer")?);
    let mut clock = Clock::leader(&leader, products, 0, 100, PPM)?;
    clock.wait_for(LineState::Leader, SOON)?;
    let mut followers = Vec::new();
    for host in [&stage, &desk, &computer] {
        followers.push(Clock::follower(host, products, 0)?);
    }
    let graph = scene::start_module(&computer, products, &BTreeMap::new(), PipeWireOptions::default())?;
    let agent = Agent::start(&computer, products, &format!("latency-frames = {LATENCY}\n"))?;
    for follower in &mut followers {
        follower.wait_for(LineState::Locked, LOCK)?;
    }
    let synth = OatDevice::start(
        &stage,
        products,
        "syntee-a3f2",
        &["--name", "Bass Synth", "--output", "Out 1-2:2"],
    )?;
    let ports = ["--name", "FOH", "--output", "Main:2", "--input", "In 1-2:2"];
    let mixer = OatDevice::start(&desk, products, "mixtee-01b7", &ports)?;
    let mut scene = Scene { graph, agent, synth, mixer, stage: &stage, desk: &desk, computer: &computer };

    let output = scene.node("Bass Synth — Out 1-2", |node| node.outputs.len() == 2)?;
    let input = scene.node("FOH : In 1-2", |node| node.inputs.len() == 2)?;
    let mut capture = scene.capture()?;
    let played = scene.device_to_device(&output, &input, &capture)?;
    let beside = scene.program_beside(products, &output)?;
    // That it saw none before says something only if it sees them now.
    let arrived = wait::until("captured packets of what the program heard", SOON, || {
        Ok(Some(packets(&capture)).filter(|count| *count >= RECORDED as usize / 48))
    })?;
    capture.interrupt()?;
    scene.unlink(&output, &input)?;
    let seen = scene.made_elsewhere(&leader, &output, &input)?;
    let sent = scene.program_to_device(products, &input)?;
    Ok(format!(
        "{played} samples from device to device and no packet here; {beside} samples of the same output here, \
         by {arrived} packets; \
         made elsewhere, a link after {:.1} s, gone after {:.1} s; {sent} samples of a program here to the device",
        seen.0.as_secs_f32(),
        seen.1.as_secs_f32()
    ))
}

struct Scene<'a> {
    graph: PipeWire<'a>,
    agent: Agent,
    synth: OatDevice<'a>,
    mixer: OatDevice<'a>,
    stage: &'a Host,
    desk: &'a Host,
    computer: &'a Host,
}

impl Scene<'_> {
    fn node(&mut self, name: &str, is_ready: impl Fn(&GraphNode) -> bool) -> anyhow::Result<GraphNode> {
        wait::until(&format!("the node {name}"), SOON, || {
            self.agent.process.is_alive()?;
            self.synth.process.is_alive()?;
            self.mixer.process.is_alive()?;
            Ok(self.graph.node_with("media.name", name)?.filter(&is_ready))
        })
    }

    /// Captures the output's media packets to this computer.
    fn capture(&self) -> anyhow::Result<Process> {
        let to_us = format!("udp[4:2] == 308 and dst host {}", self.computer.address());
        let arguments = ["-i", "eth0", "-l", "-f", &to_us, "-T", "fields", "-e", "frame.number"];
        let mut capture = self.computer.spawn("tshark", arguments)?;
        capture.says("Capturing on", SOON)?;
        Ok(capture)
    }

    /// Draws the links and compares what the mixer plays; answers how many samples were right.
    fn device_to_device(
        &mut self,
        output: &GraphNode,
        input: &GraphNode,
        capture: &Process,
    ) -> anyhow::Result<u64> {
        self.graph.link(output, input)?;
        let samples = self.play_frames(FRAMES)?;
        let links = self.graph.links_between(output, input)?;
        ensure!(links == 2, "{links} links are in the graph, not two");
        let log = self.synth.process.log();
        ensure!(!log.contains(&format!("stream 1 to {}", self.computer.address())), "audio came here: {log}");
        let packets = packets(capture);
        ensure!(packets == 0, "{packets} media packets reached this computer");
        Ok(samples)
    }

    /// A program here hears the same output while the mixer plays it.
    fn program_beside(&mut self, products: &Products, output: &GraphNode) -> anyhow::Result<u64> {
        let stream = RtpStream::standard(1, 2);
        for _ in 0..RUNS {
            let run = scene::record(products, &mut self.graph, output, &stream, RECORDED, |_| {})?;
            if run.is_exact()? {
                self.play_frames(48_000)?;
                return Ok(run.comparison.matched);
            }
        }
        anyhow::bail!("the machine disturbed all of {RUNS} runs; there is nothing to judge by")
    }

    fn unlink(&mut self, output: &GraphNode, input: &GraphNode) -> anyhow::Result<()> {
        for ((from, _), (to, _)) in output.outputs.iter().zip(&input.inputs) {
            self.computer.run("pw-link", ["-d", &from.to_string(), &to.to_string()])?;
        }
        let over = format!("stream 1 no more to {}", self.desk.address());
        self.synth.process.says(&over, SOON)
    }

    /// Another controller tells the mixer what to play, and to stop; answers after how long each was seen here.
    fn made_elsewhere(
        &mut self,
        other: &Host,
        output: &GraphNode,
        input: &GraphNode,
    ) -> anyhow::Result<(Duration, Duration)> {
        let url = format!("http://{}/{INPUT}", self.desk.address());
        let source =
            format!(r#"{{"host":"{}","port":50000,"sid":1,"channels":2,"pt":97}}"#, self.stage.address());
        let mut worst = Duration::MAX;
        for _ in 0..TRIES {
            other.run("curl", ["-sS", "--fail", "-X", "PUT", "-d", &source, &url])?;
            let made = self.until_links(output, input, 2)?;
            other.run("curl", ["-sS", "--fail", "-X", "DELETE", &url])?;
            let gone = self.until_links(output, input, 0)?;
            worst = made.max(gone);
            if worst <= SEEN_WITHIN {
                return Ok((made, gone));
            }
        }
        anyhow::bail!("what another controller did was seen after {worst:?}, more than {SEEN_WITHIN:?}")
    }

    /// A program here plays to the mixer, which is told to listen to what this computer sends it.
    fn program_to_device(&mut self, products: &Products, input: &GraphNode) -> anyhow::Result<u64> {
        let (_player, player) = self.graph.player(products, "player", &RtpStream::standard(1, 2).code())?;
        self.graph.link(&player, input)?;
        self.play_frames(RECORDED)
    }

    fn until_links(&self, output: &GraphNode, input: &GraphNode, count: usize) -> anyhow::Result<Duration> {
        let start = Instant::now();
        wait::until(&format!("{count} links between the devices"), SOON, || {
            Ok((self.graph.links_between(output, input)? == count).then_some(()))
        })?;
        Ok(start.elapsed())
    }

    /// Waits until the mixer has played so many frames more, all of them right.
    fn play_frames(&mut self, frames: u64) -> anyhow::Result<u64> {
        let synth = &mut self.synth;
        Ok(self.mixer.play_exactly("In 1-2", frames, RUNS, || synth.process.is_alive())?.matched)
    }
}

/// How many packets were captured so far.
fn packets(capture: &Process) -> usize {
    capture.log().lines().filter(|line| line.trim().parse::<u64>().is_ok()).count()
}
