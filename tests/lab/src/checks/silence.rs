use std::collections::BTreeMap;

use anyhow::{Context, bail, ensure};

use crate::host::Host;
use crate::peers::RtpStream;
use crate::peers::tshark::Capture;
use crate::pipewire::{GraphNode, PipeWire, PipeWireOptions};
use crate::products::Products;
use crate::scene;
use crate::studio::Studio;
use crate::timer::{BareTimer, STALL};
use crate::wait::{self, SOON};

/// Packets that are looked at: a second and a half.
const PACKETS: usize = 1500;
/// How often a machine that stalls may disturb a run.
const TRIES: usize = 8;

/// An announced stream is sent while nothing is linked to it; and when a client destroys its node, the node comes back
/// and is sent again. It is one of the module's arguments: no key of the metadata changes it or takes it away.
pub fn run(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let (computer, stage) = (studio.host("computer")?, studio.host("stage")?);
    let stream = RtpStream::standard(1, 2);
    let nodes = BTreeMap::from([("lab.rx".to_owned(), scene::transmit_node(&stream, "Lab"))]);
    let mut graph = scene::start_module(&computer, products, &nodes, PipeWireOptions::default())?;
    let node = graph.wait_for_node("wireloom.lab.rx", 0, 2, SOON)?;
    no_key_changes_it(&mut graph, &node)?;
    let first = continuous(&stage, &stream)?;

    computer.run("pw-cli", ["destroy", &node.id.to_string()])?;
    let name = "the node that a client destroyed";
    let again = wait::until(name, SOON, || {
        graph.daemon.is_alive()?;
        let serial = |node: &GraphNode| node.info["props"]["object.serial"].clone();
        Ok(graph.node("wireloom.lab.rx")?.filter(|found| {
            found.inputs.len() == 2 && (found.id != node.id || serial(found) != serial(&node))
        }))
    });
    again.with_context(|| format!("it was {}", node.id))?;
    let second = continuous(&stage, &stream)?;
    Ok(format!("{first} packets of silence, and {second} after the node was destroyed"))
}

/// Keys with the id of the node are written and deleted, and everything is; behind each goes what shows that it was read.
fn no_key_changes_it(graph: &mut PipeWire<'_>, node: &GraphNode) -> anyhow::Result<()> {
    let host = graph.host();
    // pw-metadata has been seen to set a key and then wait for ever.
    let metadata = |arguments: &[&str]| {
        host.command("timeout").args(["5", "pw-metadata", "-n", "wireloom"]).args(arguments).output()
    };
    let same = |graph: &PipeWire<'_>, after: &str| -> anyhow::Result<()> {
        let found =
            graph.node("wireloom.lab.rx")?.with_context(|| format!("the node has gone with {after}"))?;
        for key in ["object.serial", "node.description", "rtp.destination.ip"] {
            let (is, was) = (&found.info["props"][key], &node.info["props"][key]);
            ensure!(is == was && !is.is_null(), "{key} was {was} and is {is} after {after}");
        }
        Ok(())
    };
    for (key, name, number) in [("node.lab.rx", "Changed", 2), ("node.marker.rx", "Marker", 3)] {
        let other = scene::transmit_node(&RtpStream::standard(number, 2), name);
        metadata(&["0", key, &serde_json::to_string(&other)?, "Spa:String:JSON"])?;
    }
    graph.wait_for_node("wireloom.marker.rx", 0, 2, SOON)?;
    same(graph, "a key of its id")?;
    for key in ["node.lab.rx", "node.marker.rx"] {
        metadata(&["-d", "0", key])?;
    }
    wait::until("the end of a node whose key is deleted", SOON, || {
        Ok(graph.node("wireloom.marker.rx")?.is_none().then_some(()))
    })?;
    same(graph, "the deletion of a key of its id")?;
    metadata(&["-d", "0"])?;
    wait::until("its state being told again when everything was deleted", SOON, || {
        let told = metadata(&["0", "state.lab.rx"])?;
        Ok(String::from_utf8_lossy(&told.stdout).contains("value:").then_some(()))
    })?;
    same(graph, "the deletion of everything")
}

/// Captures until the timestamps of a run go on without a hole, which only a stall of the machine may leave; answers how
/// many packets these were. Sequence numbers never have one.
fn continuous(host: &Host, stream: &RtpStream) -> anyhow::Result<usize> {
    for _ in 0..TRIES {
        let timer = BareTimer::start()?;
        let packets = Capture::start(host, stream, PACKETS)?.finish(SOON)?;
        let worst = timer.worst();
        // One may have been captured twice.
        ensure!(packets.len() + 1 >= PACKETS, "{} of {PACKETS} packets came", packets.len());
        let mut holes = 0;
        for (before, after) in packets.iter().zip(packets.iter().skip(1)) {
            ensure!(after.sequence == before.sequence.wrapping_add(1), "{before:?}, then {after:?}");
            let step = after.timestamp.wrapping_sub(before.timestamp);
            ensure!(step.is_multiple_of(stream.samples_per_packet), "{before:?}, then {after:?}");
            holes += usize::from(step != stream.samples_per_packet);
        }
        if holes == 0 {
            return Ok(packets.len());
        }
        ensure!(worst > STALL, "{holes} holes although a bare timer was {worst:?} late at most");
    }
    bail!("the machine disturbed all of {TRIES} runs; there is nothing to judge by")
}
