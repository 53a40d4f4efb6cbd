//! Two devices of the demonstration's studio: the route between them is drawn here and passes nothing through here.

use std::time::Duration;

use anyhow::{Context, ensure};
use wireloom_lab::wait::{self, SOON};
use wireloom_lab::{
    Agent, Clock, Comparison, GraphNode, Host, LineState, OatDevice, PipeWire, Process, Products,
};

use super::{LOCK, TRIES, progress};

/// Frames that the playing device must have played: five seconds.
pub const FRAMES: u64 = 240_000;
const SYNTH: [&str; 4] = ["--name", "Bass Synth", "--output", "Out 1-2:2"];
const MIXER: [&str; 6] = ["--name", "Mixer", "--output", "Main:2", "--input", "In 1-2:2"];
/// What the node of the one is called.
pub const OUTPUT: &str = "Bass Synth — Out 1-2";
/// And that of the other.
pub const INPUT: &str = "Mixer : In 1-2";

/// A synthesizer that sends to whom it is asked to, and a mixer that can be told what to play.
pub struct Devices<'a> {
    synth: OatDevice<'a>,
    mixer: OatDevice<'a>,
    clocks: [Clock; 2],
}

/// What a route between them was found to be.
pub struct Route {
    /// What the mixer played, against what the synthesizer was to send.
    pub comparison: Comparison,
    /// Media packets that came to this computer meanwhile.
    pub packets_here: u64,
}

impl<'a> Devices<'a> {
    /// Starts both, each with a clock of its own that follows the network's.
    pub fn start(synth: &'a Host, mixer: &'a Host, products: &Products) -> anyhow::Result<Self> {
        let clocks = [Clock::follower(synth, products, 0)?, Clock::follower(mixer, products, 0)?];
        Ok(Self {
            synth: OatDevice::start(synth, products, "synth-a3f2", &SYNTH)?,
            mixer: OatDevice::start(mixer, products, "mixer-01b7", &MIXER)?,
            clocks,
        })
    }

    /// Waits for their clocks, and for the nodes that they are in the graph: the output and the input.
    pub fn nodes(
        &mut self,
        graph: &PipeWire<'_>,
        agent: &mut Agent,
    ) -> anyhow::Result<(GraphNode, GraphNode)> {
        for clock in &mut self.clocks {
            clock.wait_for(LineState::Locked, LOCK)?;
        }
        let mut node = |name: &str| {
            wait::until(&format!("a node for {name}"), SOON, || {
                agent.process.is_alive()?;
                let is_ready = |node: &GraphNode| node.outputs.len() + node.inputs.len() == 2;
                Ok(graph.node_with("media.name", name)?.filter(is_ready))
            })
        };
        Ok((node(OUTPUT)?, node(INPUT)?))
    }

    /// Draws the route with pw-link and compares what the mixer plays; again when the machine left a hole in it.
    pub fn route(
        &mut self,
        graph: &PipeWire<'_>,
        output: &GraphNode,
        input: &GraphNode,
    ) -> anyhow::Result<Route> {
        let host = graph.host();
        let mut capture = count_media(host)?;
        graph.link(output, input)?;
        let synth = &mut self.synth.process;
        let mut last = None;
        for _ in 0..TRIES {
            let bar = progress(FRAMES, &format!("listening to the route {OUTPUT} to {INPUT}"));
            let found =
                self.mixer.play("In 1-2", FRAMES, |frame| bar.set_position(frame), || synth.is_alive());
            bar.finish_and_clear();
            let found = found?;
            let is_exact = found.is_exact(FRAMES);
            last = Some(found);
            if is_exact {
                break;
            }
            println!("The devices' programs stood still for a moment. Once more.");
        }
        let links = graph.links_between(output, input)?;
        ensure!(links == 2, "{links} links between the devices are in the graph, not two");
        let comparison = last.context("at least one try")?;
        Ok(Route { comparison, packets_here: media_counted(&mut capture)? })
    }
}

/// Counts the packets of stereo L24 of a millisecond that are addressed to this host: 8 octets of UDP, 12 of RTP, 288.
fn count_media(host: &Host) -> anyhow::Result<Process> {
    let filter = format!("udp[4:2] == 308 and dst host {}", host.address());
    let mut capture = host.spawn("tcpdump", ["-i", "eth0", "-n", "-q", "-p", "-Z", "root", &filter])?;
    capture.says("listening on", SOON)?;
    Ok(capture)
}

fn media_counted(capture: &mut Process) -> anyhow::Result<u64> {
    std::thread::sleep(Duration::from_millis(100)); // what has arrived is handed over in lots
    capture.interrupt()?;
    let log = capture.log();
    let count = log.lines().find_map(|line| line.strip_suffix(" packets captured"));
    count.and_then(|count| count.trim().parse().ok()).with_context(|| format!("tcpdump said {log:?}"))
}
