//! PipeWire's own RTP modules as peers: `rtp-sink` to us, we to `rtp-source` or the module for SAP.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::ensure;
use wireloom_clock_page::LineState;
use wireloom_tone::{BLOCK, Fit};

use crate::agent::{self, Agent};
use crate::clock::Clock;
use crate::host::Host;
use crate::peers::RtpStream;
use crate::peers::ptp4l::{self, Role};
use crate::pipewire::{GraphNode, PipeWire, PipeWireOptions};
use crate::products::Products;
use crate::recording::Recording;
use crate::scene;
use crate::studio::Studio;
use crate::wait::{self, SOON};

/// Frames recorded at a time.
const FRAMES: u64 = 6 * 48_000;
/// Frames before these: links are made, the position is drawn in, their rate is found.
const SETTLING: usize = 2 * 48_000;
/// Latency class: fifty milliseconds; rtp-sink sends the packets of a whole cycle at once, when it is called.
const LATENCY: u32 = 2400;
/// Long enough to lock with an Announce a second, on a machine that stalls.
const LOCK: Duration = Duration::from_secs(40);
/// The tone that one plays and the other hears.
const HZ: u32 = 1000;
/// What may be left in a tenth of a second beside a tone whose pitch a resampler is still drawing in, in decibels. One
/// frame left out or repeated leaves -25 or more.
const PURE_DB: f64 = -40.0;
const THEIRS: &str = "Stock sink";
const OURS: &str = "Our stream";

/// Sound goes both ways between us and PipeWire's own modules, each found by the other's SAP. Neither
/// end names a clock that the other has, so both resample, and a tone must come through. rtp-sink leaves out or repeats
/// frames whenever its cycle comes late, so that most tenths of a second must be pure, not all.
pub fn run(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let (leader, stage) = (studio.host("leader")?, studio.host("stage")?);
    let computer = studio.host("computer")?;
    let _grandmaster = ptp4l::start(&leader, 0, Role::Leader { priority: 100 })?;
    let mut follower = Clock::follower(&computer, products, 0)?;
    let mut graph = scene::start_module(&computer, products, &BTreeMap::new(), PipeWireOptions::default())?;
    let _agent = Agent::start(&computer, products, &format!("latency-frames = {LATENCY}\n"))?;
    let mut stock = stock(&stage, &RtpStream { port: 46_000, ..RtpStream::standard(9, 2) })?;
    let (_their_player, player) = stock.tone(products, "player", 2, HZ)?;
    let sink = stock.wait_for_node("stock-sink", 0, 2, SOON)?;
    stock.link(&player, &sink)?;
    follower.wait_for(LineState::Locked, LOCK)?;
    agent::ask(&computer, products, &["stream", "create", OURS, "--channels", "2"])?;

    let node = wait::until("the node of their stream", SOON, || {
        graph.daemon.is_alive()?;
        Ok(graph.node_with("media.name", THEIRS)?.filter(|node| node.outputs.len() == 2))
    })?;
    let heard = record(&mut graph, products, &node)?;

    let node = wait::until("our node", SOON, || {
        Ok(graph.node_with("media.name", OURS)?.filter(|node| node.inputs.len() == 2))
    })?;
    let (_our_player, player) = graph.tone(products, "our-player", 2, HZ)?;
    graph.link(&player, &node)?;
    let source = stock.wait_for_node("stock-source", 2, 0, SOON)?;
    let told = record(&mut stock, products, &source)?;
    let blocks = (FRAMES as usize - SETTLING) / BLOCK;
    ensure!(heard >= blocks / 2, "of their tone {heard} of {blocks} tenths of a second are pure here");
    ensure!(told >= blocks / 2, "of our tone {told} of {blocks} tenths of a second are pure there");
    Ok(format!(
        "of {blocks} tenths of a second {heard} of rtp-sink's are pure here, {told} of ours from rtp-source"
    ))
}

/// Records what a node plays and counts the blocks in which there is the tone and nothing else, on both channels.
fn record(graph: &mut PipeWire<'_>, products: &Products, node: &GraphNode) -> anyhow::Result<usize> {
    let mut recorder = graph.recorder(products, "recorder", 2)?;
    graph.link(node, &recorder.node.clone())?;
    recorder.record(FRAMES, |_| {})?;
    let recording = recorder.finish()?;
    let last = (FRAMES as usize).min(recording.frames());
    let blocks = (SETTLING..last).step_by(BLOCK).filter(|at| at + BLOCK <= last);
    Ok(blocks.filter(|&at| (0..2).all(|channel| is_pure(&recording, at, channel))).count())
}

fn is_pure(recording: &Recording, at: usize, channel: usize) -> bool {
    let samples: Vec<f32> = (at..at + BLOCK).map(|at| recording.frame(at)[channel]).collect();
    let fit = Fit::new(&samples, f64::from(HZ) / 48_000.0);
    // The effective value of the tone is its peak by the root of two.
    fit.is_some_and(|fit| {
        let db = 20.0 * (fit.rest / (fit.amplitude / 2.0_f64.sqrt())).log10();
        (fit.amplitude - 0.5).abs() < 0.01 && db < PURE_DB
    })
}

/// A PipeWire that sends one stream and receives ours. Which module speaks SAP depends on its version: in 0.3.65 those
/// that carry the sound, later one of its own.
fn stock<'a>(stage: &'a Host, stream: &RtpStream) -> anyhow::Result<PipeWire<'a>> {
    let has_sap_module = !stage.run("pipewire", ["--version"])?.contains(" 0.3.65");
    let sink = format!(
        "{{ local.ifname = eth0 source.ip = {} destination.ip = {} destination.port = {} sess.name = \"{THEIRS}\" \
         sess.min-ptime = 1 sess.max-ptime = 1 audio.format = S24BE audio.rate = 48000 audio.channels = 2 \
         stream.props = {{ node.name = stock-sink sess.sap.announce = true {PORTS} }} }}",
        stage.address(),
        stream.address,
        stream.port,
    );
    let announce = "{ matches = [ { sess.sap.announce = true } ] actions = { announce-stream = { } } }";
    let sap = format!(
        "{{ local.ifname = eth0 source.ip = {} sap.ip = 239.255.255.255 sess.latency.msec = 50 stream.rules = [ \
         {{ matches = [ {{ rtp.session = \"{OURS}\" }} ] \
         actions = {{ create-stream = {{ node.name = stock-source sess.latency.msec = 50 {PORTS} }} }} }} {} ] }}",
        stage.address(),
        if has_sap_module { announce } else { "" },
    );
    let module = |name: &str, arguments: String| (format!("libpipewire-module-{name}"), arguments);
    let modules =
        vec![module("rtp-sink", sink), module(if has_sap_module { "rtp-sap" } else { "rtp-source" }, sap)];
    PipeWire::start(stage, &PipeWireOptions { modules, ..PipeWireOptions::default() })
}

/// Lets a stream make its ports without a session manager.
const PORTS: &str = "adapter.auto-port-config = { mode = dsp position = preserve }";
