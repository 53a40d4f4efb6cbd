//! PipeWire's own RTP modules as peers: `rtp-sink` to us, we to `rtp-source` or the module for SAP.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::ensure;
use wireloom_clock_page::LineState;
use wireloom_tone::{BLOCK, Fit};
use wireloom_wanted::Encoding;

use crate::agent::{self, Agent};
use crate::clock::Clock;
use crate::host::Host;
use crate::peers::RtpStream;
use crate::peers::ptp4l::{self, Role};
use crate::peers::tshark::{PayloadCapture, RtpPayload};
use crate::pipewire::{GraphNode, PipeWire, PipeWireOptions};
use crate::products::Products;
use crate::recording::Recording;
use crate::scene;
use crate::studio::Studio;
use crate::wait::{self, SOON};

/// Frames recorded at a time.
pub(super) const FRAMES: u64 = 6 * 48_000;
/// Frames before these: links are made, the position is drawn in, their rate is found.
const SETTLING: usize = 2 * 48_000;
/// Until the packets have been captured, after the recording: they come in real time.
const CAPTURED: Duration = Duration::from_secs(30);
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
/// Packets captured while that is recorded: a millisecond each, and some for the links to be made.
pub(super) const PACKETS: usize = FRAMES as usize / 48 + 700;

/// Sound goes both ways between us and PipeWire's own modules, each found by the other's SAP. Neither
/// end names a clock that the other has, so both resample, and a tone must come through. rtp-sink leaves out
/// frames whenever its graph misses a cycle, and its timestamps do not count them: what is broken on the wire already is
/// counted there. We must break no more, and must never begin anew, which is silence for about as long as the latency.
pub fn run(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let (leader, stage) = (studio.host("leader")?, studio.host("stage")?);
    let computer = studio.host("computer")?;
    let _grandmaster = ptp4l::start(&leader, 0, Role::Leader { priority: 100 })?;
    let mut follower = Clock::follower(&computer, products, 0)?;
    let mut graph = scene::start_module(&computer, products, &BTreeMap::new(), PipeWireOptions::default())?;
    let _agent = Agent::start(&computer, products, &format!("latency-frames = {LATENCY}\n"))?;
    let stream = RtpStream { port: 46_000, ..RtpStream::standard(9, 2) };
    let mut stock = stock(&stage, &stream)?;
    let (_their_player, player) = stock.tone(products, "player", 2, HZ)?;
    let sink = stock.wait_for_node("stock-sink", 0, 2, SOON)?;
    stock.link(&player, &sink)?;
    follower.wait_for(LineState::Locked, LOCK)?;
    agent::ask(&computer, products, &["stream", "create", OURS, "--channels", "2"])?;

    let node = wait::until("the node of their stream", SOON, || {
        graph.daemon.is_alive()?;
        Ok(graph.node_with("media.name", THEIRS)?.filter(|node| node.outputs.len() == 2))
    })?;
    let filter = format!("udp port {} and dst host {}", stream.port, stream.address);
    let capture = PayloadCapture::start(&computer, &filter, &stream.port.to_string(), PACKETS)?;
    let recording = record(&mut graph, products, &node)?;
    let packets = capture.finish(CAPTURED)?;
    let wire = on_the_wire(&packets);
    let heard = judge(&recording);
    let broken = judge(&wire).broken;
    let silence = longest_silence(&recording);
    // No reader can play what has not come, should the machine have stood still.
    let pause = packets.windows(2).map(|pair| pair[1].time - pair[0].time).fold(0.0, f64::max);
    let endured = LATENCY as usize / 2 + (pause * 48_000.0) as usize;

    let node = wait::until("our node", SOON, || {
        Ok(graph.node_with("media.name", OURS)?.filter(|node| node.inputs.len() == 2))
    })?;
    let (_our_player, player) = graph.tone(products, "our-player", 2, HZ)?;
    graph.link(&player, &node)?;
    let source = stock.wait_for_node("stock-source", 2, 0, SOON)?;
    let told = judge(&record(&mut stock, products, &source)?);
    // A break of the tone may touch two tenths of a second, and reading it in another way begins once.
    ensure!(
        heard.broken <= 2 * broken + 2,
        "of their tone {} of {} tenths of a second are not pure here, {broken} on the wire",
        heard.broken,
        heard.blocks
    );
    ensure!(
        silence < endured,
        "in their tone are {silence} frames of silence here, with {pause:.3} s between packets at most"
    );
    ensure!(heard.blocks > 0 && told.blocks > 0, "nothing was recorded");
    ensure!(
        told.broken <= told.blocks / 2,
        "of our tone {} of {} tenths of a second are not pure there",
        told.broken,
        told.blocks
    );
    Ok(format!(
        "of {} tenths of a second {} of rtp-sink's are not pure here, {broken} on the wire, {} of ours from rtp-source; \
         at most {silence} frames of silence in a row",
        heard.blocks, heard.broken, told.broken
    ))
}

/// Records what a node plays.
pub(super) fn record(
    graph: &mut PipeWire<'_>,
    products: &Products,
    node: &GraphNode,
) -> anyhow::Result<Recording> {
    let mut recorder = graph.recorder(products, "recorder", 2)?;
    graph.link(node, &recorder.node.clone())?;
    recorder.record(FRAMES, |_| {})?;
    let mut recording = recorder.finish()?;
    recording.truncate(FRAMES as usize);
    Ok(recording)
}

/// What packets carry, as whoever counts by their timestamps hears it: what these leave out is silence.
pub(super) fn on_the_wire(packets: &[RtpPayload]) -> Recording {
    const FRAME: usize = 2 * 3;
    let mut bytes = Vec::new();
    let mut expected = None;
    for packet in packets {
        let ahead = packet.timestamp.wrapping_sub(expected.unwrap_or(packet.timestamp)) as usize;
        match ahead {
            0 => {}
            1..48_000 => bytes.resize(bytes.len() + ahead * FRAME, 0),
            _ => continue, // seen before
        }
        bytes.extend_from_slice(&packet.bytes);
        expected = Some(packet.timestamp.wrapping_add((packet.bytes.len() / FRAME) as u32));
    }
    Recording::from_network_bytes(&bytes, Encoding::L24, 2)
}

/// How many tenths of a second there are after [`SETTLING`], and in how many there is not the tone alone.
pub(super) struct Judged {
    pub blocks: usize,
    pub broken: usize,
}

pub(super) fn judge(recording: &Recording) -> Judged {
    let last = recording.frames();
    let blocks = || (SETTLING..last).step_by(BLOCK).filter(|at| at + BLOCK <= last);
    let broken = blocks().filter(|&at| (0..2).any(|channel| !is_pure(recording, at, channel))).count();
    Judged { blocks: blocks().count(), broken }
}

/// The most frames in a row without a sound, after the first.
fn longest_silence(recording: &Recording) -> usize {
    let silent = |at: &usize| recording.frame(*at).iter().all(|sample| *sample == 0.0);
    let first = (0..recording.frames()).find(|at| !silent(at)).unwrap_or(recording.frames());
    let (mut longest, mut run) = (0, 0);
    for at in first..recording.frames() {
        run = if silent(&at) { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
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
pub(super) const PORTS: &str = "adapter.auto-port-config = { mode = dsp position = preserve }";
