//! A sender that sends a quantum at once, heard with the shortest latency class.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::ensure;

use super::latency::reported;
use super::rtp_modules::{FRAMES, PACKETS, PORTS, judge, on_the_wire, record};
use crate::peers::RtpStream;
use crate::peers::tshark::PayloadCapture;
use crate::pipewire::PipeWireOptions;
use crate::products::Products;
use crate::scene;
use crate::studio::Studio;
use crate::wait::{self, SOON};

/// Quantum of the sender: PipeWire's own.
const BURST: u32 = 1024;
/// Quantum of the computer that hears it.
const QUANTUM: u32 = 256;
/// Latency class.
const CLASS: u32 = 144;
/// Until the packets have been captured, after the recording: they come in real time.
const CAPTURED: Duration = Duration::from_secs(30);
const HZ: u32 = 1000;

/// PipeWire's rtp-sink at its stock quantum sends 21 or 22 packets at once; a computer whose latency class is 3 ms hears
/// them. The port of its node reports a latency that covers the burst, and from then on the tone is as whole as on the
/// wire.
pub fn run(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let (stage, computer) = (studio.host("stage")?, studio.host("computer")?);
    let stream = RtpStream { port: 46_000, payload_type: 127, ..RtpStream::standard(9, 2) };
    let sink = format!(
        "{{ local.ifname = eth0 source.ip = {} destination.ip = {} destination.port = {} sess.name = stock \
         sess.min-ptime = 1 sess.max-ptime = 1 audio.format = S24BE audio.rate = 48000 audio.channels = 2 \
         stream.props = {{ node.name = stock-sink node.force-quantum = {BURST} {PORTS} }} }}",
        stage.address(),
        stream.address,
        stream.port,
    );
    let modules = vec![("libpipewire-module-rtp-sink".to_owned(), sink)];
    let options = PipeWireOptions { modules, ..PipeWireOptions::default() };
    let mut stock = crate::pipewire::PipeWire::start(&stage, &options)?;
    let (_player, player) = stock.tone(products, "player", 2, HZ)?;
    let sink = stock.wait_for_node("stock-sink", 0, 2, SOON)?;
    stock.link(&player, &sink)?;

    let nodes = BTreeMap::from([("desk.tx".to_owned(), scene::receive_node(&stream, "Desk", CLASS))]);
    let options = PipeWireOptions { quantum: QUANTUM, ..PipeWireOptions::default() };
    let mut graph = scene::start_module(&computer, products, &nodes, options)?;
    let node = graph.wait_for_node("wireloom.desk.tx", 2, 0, SOON)?;
    let listener = graph.recorder(products, "listener", 2)?;
    graph.link(&node, &listener.node.clone())?;
    wait::until("a latency that covers the burst", SOON, || {
        Ok((reported(&graph, "wireloom.desk.tx")? > i64::from(BURST)).then_some(()))
    })?;

    let filter = format!("udp port {} and dst host {}", stream.port, stream.address);
    let capture = PayloadCapture::start(&computer, &filter, &stream.port.to_string(), PACKETS)?;
    let recording = record(&mut graph, products, &node)?;
    let packets = capture.finish(CAPTURED)?;
    let heard = judge(&recording);
    let broken = judge(&on_the_wire(&packets)).broken;
    let latency = reported(&graph, "wireloom.desk.tx")?;
    let mode = graph.node("wireloom.desk.tx")?.map(|node| node.info["props"]["wireloom.mode"].to_string());
    let remark = format!(
        "{latency} frames for bursts of {BURST}; of {} tenths of a second {} are not pure in {} mode, {broken} on the wire, \
         {} packets captured in {FRAMES} frames",
        heard.blocks,
        heard.broken,
        mode.unwrap_or_default(),
        packets.len()
    );
    // A machine that stalls may break it besides, but far from every burst, of which each tenth of a second has four.
    ensure!(heard.blocks > 0 && heard.broken <= 2 * broken + heard.blocks / 4, "{remark}");
    Ok(remark)
}
