//! A scene that demonstration and checks share: a stream from the network, heard by an application.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use wireloom_wanted::{ClockRelation, Direction, Leg, Media, Node, NodeText, Protocol, Show};

use crate::comparison::{Comparison, LEAD_IN, describe};
use crate::host::Host;
use crate::peers::RtpStream;
use crate::pipewire::{GraphNode, PipeWire, PipeWireOptions};
use crate::process::Process;
use crate::products::Products;
use crate::timer::BareTimer;
use crate::wait::SOON;

/// Name under which PipeWire finds our module.
pub const MODULE: &str = "libpipewire-module-wireloom";

/// What a recording of a stream showed.
#[derive(Debug, Clone)]
pub struct Reception {
    /// The recording against what was sent.
    pub comparison: Comparison,
    /// How late a bare timer loop beside it woke at worst.
    pub worst_timer: Duration,
    /// What the latency leaves for a late wake-up: the rest is the packet that must be complete and the cycle that must
    /// be filled.
    pub margin: Duration,
    /// Whether that loop had the priority of PipeWire's data loop.
    pub real_time: bool,
    /// Frames of the graph in a second of CLOCK_MONOTONIC.
    pub rate: f64,
    /// Latency that the node's first port reported, in frames at 48 kHz.
    pub latency: u32,
    /// Frames of a cycle.
    quantum: u32,
    /// Frames that must be right.
    wanted: u64,
}

impl Reception {
    /// Whether the machine kept up: the bare timer never woke later than [`Reception::margin`]; where the recorder missed
    /// cycles, which it must answer one by one, never later than a cycle.
    pub fn is_undisturbed(&self) -> bool {
        let cycle = Duration::from_secs(self.quantum.into()) / 48_000;
        let margin = if self.comparison.missed > 0 { self.margin.min(cycle) } else { self.margin };
        self.worst_timer < margin
    }

    /// Whether every sample is right, as many as were asked for. Errors: what no stall of a machine explains (a wrong
    /// sample, audio that goes on at another position), or anything else in a run that the machine did not disturb.
    pub fn is_exact(&self) -> anyhow::Result<bool> {
        let found = &self.comparison;
        ensure!(found.wrong == 0 && found.slips.is_empty(), "{found}");
        self.is_exact_of_graph()
    }

    /// The same of what a program plays in another PipeWire ([`play`]). There a stall may make samples wrong: a program
    /// that comes too late writes while its cycle is being sent. So only a run that the machine did not disturb is held
    /// to it.
    pub fn is_exact_of_graph(&self) -> anyhow::Result<bool> {
        let found = &self.comparison;
        if found.is_exact(self.wanted) && found.is_settled(self.quantum) {
            return Ok(true);
        }
        ensure!(
            !self.is_undisturbed(),
            "a run that nothing disturbed (a bare timer {:?} late, {:?} are left): {found}",
            self.worst_timer,
            self.margin
        );
        Ok(false)
    }
}

/// The metadata contract's description of a node that receives `stream`.
pub fn receive_node(stream: &RtpStream, description: &str, latency: u32) -> Node {
    Node {
        direction: Direction::Receive,
        protocol: Protocol::Aes67,
        text: NodeText {
            description: description.to_owned(),
            nick: String::new(),
            name: description.to_owned(),
        },
        device: String::new(),
        channels: (1..=stream.channels).map(|channel| channel.to_string()).collect(),
        media: Media {
            encoding: stream.encoding,
            rate: 48_000,
            samples_per_packet: stream.samples_per_packet,
            payload_type: stream.payload_type,
            offset: None,
            ssrc: None,
        },
        legs: vec![Leg { interface: Some("eth0".to_owned()), ..Leg::to(stream.address, stream.port) }],
        clock: ClockRelation::Unknown,
        latency,
        show: Show::Patchbay,
        chosen: false,
        announced: false,
        dscp: 34,
        offline: false,
        remote: true,
        direct: Vec::new(),
        keepalive: None,
        copies: None,
    }
}

/// The metadata contract's description of a receiver of another device, which nobody of this computer sends to.
pub fn remote_receiver(device: &str, description: &str, channels: usize, direct: &[&str]) -> Node {
    let like = receive_node(&RtpStream::standard(1, channels), description, 144);
    Node {
        direction: Direction::Transmit,
        device: device.to_owned(),
        legs: Vec::new(),
        direct: direct.iter().map(|token| (*token).to_owned()).collect(),
        ..like
    }
}

/// The same for a slot of this computer that transmits `stream`, announced and therefore always sending.
pub fn transmit_node(stream: &RtpStream, description: &str) -> Node {
    let receive = receive_node(stream, description, 144);
    let media = Media { offset: Some(0), ..receive.media };
    Node {
        direction: Direction::Transmit,
        announced: true,
        remote: false,
        clock: ClockRelation::Same,
        media,
        ..receive
    }
}

/// A node that receives `stream` from a sender on the same clock, as the agent writes it when the description says so.
pub fn same_clock_node(stream: &RtpStream, description: &str, latency: u32) -> Node {
    let mut node = receive_node(stream, description, latency);
    (node.clock, node.media.offset) = (ClockRelation::Same, Some(0));
    node
}

/// A computer on which an application plays into a stream that is sent, for as long as this lives.
#[derive(Debug)]
pub struct Playing<'a> {
    _player: Process,
    _graph: PipeWire<'a>,
}

/// Starts PipeWire on `host`, and in it an application that plays the signal of `stream` into a node that sends it.
pub fn play<'a>(host: &'a Host, products: &Products, stream: &RtpStream) -> anyhow::Result<Playing<'a>> {
    let nodes = BTreeMap::from([("lab.rx".to_owned(), transmit_node(stream, "Lab"))]);
    let mut graph = start_module(host, products, &nodes, PipeWireOptions::default())?;
    let input = graph.wait_for_node("wireloom.lab.rx", 0, stream.channels, SOON)?;
    let (player, node) = graph.player(products, "player", &stream.code())?;
    graph.link(&node, &input)?;
    Ok(Playing { _player: player, _graph: graph })
}

/// A daemon with our module and these nodes, by id, given as static arguments.
pub fn start_module<'a>(
    host: &'a Host,
    products: &Products,
    nodes: &BTreeMap<String, Node>,
    mut options: PipeWireOptions,
) -> anyhow::Result<PipeWire<'a>> {
    options.module_folders.push(products.module_folder());
    options.modules.push((MODULE.to_owned(), serde_json::json!({ "nodes": nodes }).to_string()));
    PipeWire::start(host, &options)
}

/// Records `frames` frames of the node that receives `stream`, besides its [`LEAD_IN`], as an application that links to
/// it, and compares.
pub fn record(
    products: &Products,
    graph: &mut PipeWire<'_>,
    node: &GraphNode,
    stream: &RtpStream,
    frames: u64,
    mut progress: impl FnMut(u64),
) -> anyhow::Result<Reception> {
    record_until(products, graph, node, stream, |frame| {
        progress(frame.min(frames));
        Ok(frame >= frames + LEAD_IN as u64)
    })
}

/// The same until `done`, which is told how many frames are recorded.
pub fn record_until(
    products: &Products,
    graph: &mut PipeWire<'_>,
    node: &GraphNode,
    stream: &RtpStream,
    done: impl FnMut(u64) -> anyhow::Result<bool>,
) -> anyhow::Result<Reception> {
    let mut recorder = graph.recorder(products, "recorder", stream.channels)?;
    let name = node.info["props"]["node.name"].as_str().context("a node has a name")?;
    let timer = BareTimer::start()?;
    graph.link_named(name, "recorder")?;
    recorder.record_until(done)?;
    let worst_timer = timer.worst();
    let linked = graph.node(name)?.context("the node vanished while it was recorded")?;
    let recording = recorder.finish()?;
    let comparison = Comparison::new(&stream.code(), &recording).with_context(|| {
        format!(
            "the signal is not in the recording, read {}, driver {}:\n{}",
            linked.info["props"]["wireloom.mode"],
            linked.info["props"]["node.driver-id"],
            describe(&stream.code(), &recording)
        )
    })?;
    let rate = recording.rate().context("the recorder noted no cycles")?;
    ensure!(comparison.lead_in < LEAD_IN, "the signal began only after {} frames", comparison.lead_in);
    let latency = reported_latency(&linked)?;
    let spare = latency.saturating_sub(graph.quantum() + stream.samples_per_packet);
    let margin = Duration::from_secs(spare.into()) / 48_000;
    let (real_time, quantum) = (timer.is_real_time(), graph.quantum());
    let wanted = recording.frames().saturating_sub(LEAD_IN) as u64;
    Ok(Reception { comparison, worst_timer, margin, real_time, rate, latency, quantum, wanted })
}

/// What the first output port says about how old its samples are, in frames at 48 kHz.
fn reported_latency(node: &GraphNode) -> anyhow::Result<u32> {
    let (_, port) = node.outputs.first().context("the node has no outputs")?;
    let latencies = port["params"]["Latency"].as_array().context("the port reports no latency")?;
    let output = latencies.iter().find(|latency| latency["direction"] == "Output");
    let output = output.context("the port reports no output latency")?;
    let number = |key: &str| output[key].as_f64().unwrap_or_default();
    let frames = number("maxRate") + number("maxNs") * 48e-6;
    Ok(frames.round() as u32)
}

/// Records so many frames until a run is exact. Errors: as of [`Reception::is_exact`]; all of `tries` runs were
/// disturbed.
pub fn record_exactly(
    products: &Products,
    graph: &mut PipeWire<'_>,
    node: &GraphNode,
    stream: &RtpStream,
    frames: u64,
    tries: usize,
) -> anyhow::Result<Reception> {
    for _ in 0..tries {
        let run = record(products, graph, node, stream, frames, |_| {})?;
        if run.is_exact()? {
            return Ok(run);
        }
    }
    bail!("the machine disturbed all of {tries} runs; there is nothing to judge by")
}
