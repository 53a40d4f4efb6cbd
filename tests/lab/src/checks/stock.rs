use anyhow::{Context, ensure};

use crate::comparison::Comparison;
use crate::peers::tshark::Capture;
use crate::peers::{RtpStream, gstreamer};
use crate::pipewire::{PipeWire, PipeWireOptions};
use crate::products::Products;
use crate::studio::Studio;
use crate::wait::{self, SOON};

/// Frames that must arrive.
const FRAMES: u64 = 48_000;
/// Packets that tshark reads.
const PACKETS: usize = 500;

/// PipeWire's own RTP modules run in the lab: what its sink sends GStreamer receives, and its source hears it.
pub fn run(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let (a, b) = (studio.host("a")?, studio.host("b")?);
    let stream = RtpStream { port: 46_000, payload_type: 127, ..RtpStream::standard(9, 2) };
    let sink = format!(
        "{{ local.ifname = eth0 source.ip = {} destination.ip = {} destination.port = {} sess.name = stock \
         sess.min-ptime = 1 sess.max-ptime = 1 audio.format = S24BE audio.rate = 48000 audio.channels = 2 \
         stream.props = {{ node.name = stock-sink {} }} }}",
        a.address(),
        stream.address,
        stream.port,
        PORTS,
    );
    let source = format!(
        "{{ local.ifname = eth0 sess.latency.msec = 50 stream.rules = [ {{ matches = [ {{ rtp.session = \"~.*\" }} ] \
         actions = {{ create-stream = {{ node.name = stock-source {PORTS} }} }} }} ] }}",
    );
    let module = |name: &str, arguments: &str| PipeWireOptions {
        modules: vec![(format!("libpipewire-module-{name}"), arguments.to_owned())],
        ..PipeWireOptions::default()
    };
    let mut listening = PipeWire::start(&b, &module("rtp-source", &source))?;
    let mut sending = PipeWire::start(&a, &module("rtp-sink", &sink))?;

    let file = b.directory().join("received.raw");
    let mut receiver = gstreamer::receiver(&b, &stream, &file)?;
    let capture = Capture::start(&b, &stream, PACKETS)?;
    let code = stream.code();
    let (_player, player) = sending.player(products, "player", &code)?;
    let sink = sending.wait_for_node("stock-sink", 0, 2, SOON)?;
    sending.link(&player, &sink)?;
    wait::until("reception by GStreamer", SOON, || {
        receiver.is_alive()?;
        Ok(std::fs::metadata(&file).is_ok_and(|file| file.len() >= FRAMES * 6).then_some(()))
    })?;
    drop(receiver);
    let packets = capture.finish(SOON)?;
    ensure!(packets.iter().all(|packet| packet.payload_type == stream.payload_type), "{:?}", packets.first());
    let recording = stream.recording(&std::fs::read(&file)?);
    let sent = Comparison::new(&code, &recording).context("the signal is not in what GStreamer received")?;
    // Its cycles slip on a machine that stalls, and then its packets repeat or lack frames; most of them are exact.
    ensure!(sent.matched > FRAMES, "{sent}");

    let source = listening.wait_for_node("stock-source", 2, 0, SOON)?;
    let mut recorder = listening.recorder(products, "recorder", 2)?;
    listening.link(&source, &recorder.node.clone())?;
    recorder.record(FRAMES, |_| {})?;
    let recording = recorder.finish()?;
    // It resamples, so its samples cannot be compared; that they are there can.
    let heard = (0..recording.frames()).filter(|&at| recording.frame(at).iter().all(|&s| s != 0.0)).count();
    ensure!(heard > FRAMES as usize / 2, "its source let {heard} of {} frames be heard", recording.frames());
    Ok(format!("sink: {sent}; source: {heard} of {} frames heard", recording.frames()))
}

/// Lets a stream make its ports without a session manager.
const PORTS: &str = "adapter.auto-port-config = { mode = dsp position = preserve }";
