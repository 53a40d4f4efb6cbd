use std::collections::BTreeMap;

use anyhow::{Context, ensure};

use crate::peers::RtpStream;
use crate::peers::tshark::{Capture, RtpFrame};
use crate::pipewire::PipeWireOptions;
use crate::products::Products;
use crate::scene;
use crate::studio::Studio;
use crate::wait::{self, SOON};

/// Packets that are looked at: a second and a half.
const PACKETS: usize = 1500;

/// An announced stream is sent while nothing is linked to it; and when a client destroys its node, the node comes back
/// and is sent again.
pub fn run(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let (computer, stage) = (studio.host("computer")?, studio.host("stage")?);
    let stream = RtpStream::standard(1, 2);
    let nodes = BTreeMap::from([("lab.rx".to_owned(), scene::transmit_node(&stream, "Lab"))]);
    let mut graph = scene::start_module(&computer, products, &nodes, PipeWireOptions::default())?;
    let node = graph.wait_for_node("wireloom.lab.rx", 0, 2, SOON)?;
    let first = Capture::start(&stage, &stream, PACKETS)?.finish(SOON)?;
    continuous(&first, &stream)?;

    computer.run("pw-cli", ["destroy", &node.id.to_string()])?;
    let name = "the node that a client destroyed";
    let again = wait::until(name, SOON, || {
        graph.daemon.is_alive()?;
        let serial = |node: &crate::GraphNode| node.info["props"]["object.serial"].clone();
        Ok(graph.node("wireloom.lab.rx")?.filter(|found| {
            found.inputs.len() == 2 && (found.id != node.id || serial(found) != serial(&node))
        }))
    });
    again.with_context(|| format!("it was {}", node.id))?;
    let second = Capture::start(&stage, &stream, PACKETS)?.finish(SOON)?;
    continuous(&second, &stream)?;
    Ok(format!("{} packets of silence, and {} after the node was destroyed", first.len(), second.len()))
}

/// Sequence numbers and timestamps go on without a hole; after a stall of the machine packets may be left out.
fn continuous(packets: &[RtpFrame], stream: &RtpStream) -> anyhow::Result<()> {
    let mut holes = 0;
    for (before, after) in packets.iter().zip(packets.iter().skip(1)) {
        ensure!(after.sequence == before.sequence.wrapping_add(1), "{before:?}, then {after:?}");
        let step = after.timestamp.wrapping_sub(before.timestamp);
        ensure!(step.is_multiple_of(stream.samples_per_packet), "{before:?}, then {after:?}");
        holes += usize::from(step != stream.samples_per_packet);
    }
    ensure!(holes * 20 <= packets.len(), "{holes} holes in {} packets", packets.len());
    Ok(())
}
