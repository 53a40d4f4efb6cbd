use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::{Context, ensure};
use wireloom_wanted::Node;

use crate::host::Host;
use crate::peers::tshark::Capture;
use crate::peers::{RtpStream, gstreamer};
use crate::pipewire::{PipeWire, PipeWireOptions};
use crate::products::Products;
use crate::scene;
use crate::studio::Studio;
use crate::wait::{self, SOON};

/// Frames that must arrive exactly when the membership is back.
const FRAMES: u64 = 48_000;
/// How often a machine that stalls may disturb a run.
const TRIES: usize = 8;
/// Latency class: ten milliseconds, because a shared machine stalls.
const LATENCY: u32 = 480;
/// Packets on the wire that show that a sender sends.
const PACKETS: usize = 100;

/// Streams are heard by a membership for their one source. Where that brings nothing it becomes one for any source,
/// also where the system refuses it at once; and a network adapter that is taken out and put back while something
/// listens has the membership again, without anybody's doing.
pub fn run(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let (stage, computer) = (studio.host("stage")?, studio.host("computer")?);
    let [heard, late] = [1, 2].map(|number| RtpStream::standard(number, 2));
    let node = |stream: &RtpStream| -> Node {
        let mut node = scene::receive_node(stream, "Lab", LATENCY);
        node.legs[0].source = Some(stage.address().into());
        node
    };
    let nodes = BTreeMap::from([("heard.tx".to_owned(), node(&heard)), ("late.tx".to_owned(), node(&late))]);
    let options = PipeWireOptions { sinks: vec!["void".to_owned()], ..PipeWireOptions::default() };
    let mut graph = scene::start_module(&computer, products, &nodes, options.clone())?;
    let _sender = gstreamer::sender(&stage, &heard)?;
    Capture::start(&stage, &heard, PACKETS)?.finish(SOON)?;
    link(&mut graph, "heard")?;
    until_running(&mut graph, "heard")?;
    ensure!(
        is_source_specific(&computer, &heard)?,
        "the group is joined for any source: {}",
        said(&computer)
    );

    link(&mut graph, "late")?;
    wait::until("a membership for any source, where nothing came from the one", SOON, || {
        Ok((is_member(&computer, &late)? && !is_source_specific(&computer, &late)?).then_some(()))
    })
    .with_context(|| said(&computer))?;
    let _late_sender = gstreamer::sender(&stage, &late)?;
    until_running(&mut graph, "late")?;

    computer.replug()?;
    wait::until("the membership after the adapter came back", SOON, || {
        Ok(is_member(&computer, &heard)?.then_some(()))
    })
    .with_context(|| said(&computer))?;
    until_running(&mut graph, "heard")?;
    let output = graph.wait_for_node("wireloom.heard.tx", 2, 0, SOON)?;
    let again = scene::record_exactly(products, &mut graph, &output, &heard, FRAMES, TRIES)?;
    drop(graph);

    let refuses = products.compiled("no-source-groups");
    let environment = vec![("LD_PRELOAD".to_owned(), refuses.into_os_string())];
    let mut graph =
        scene::start_module(&computer, products, &nodes, PipeWireOptions { environment, ..options })?;
    link(&mut graph, "heard")?;
    until_running(&mut graph, "heard")?;
    ensure!(!is_source_specific(&computer, &heard)?, "the system refused nothing: {}", said(&computer));
    Ok(format!("{} samples exact after the adapter came back", again.comparison.matched))
}

/// Links the node `id` to something that listens for good.
fn link(graph: &mut PipeWire<'_>, id: &str) -> anyhow::Result<()> {
    let void = graph.wait_for_node("void", 0, 2, SOON)?;
    let node = graph.wait_for_node(&format!("wireloom.{id}.tx"), 2, 0, SOON)?;
    graph.link(&node, &void)
}

fn until_running(graph: &mut PipeWire<'_>, id: &str) -> anyhow::Result<()> {
    let name = format!("wireloom.{id}.tx");
    wait::until(&format!("sound in {name}"), SOON, || {
        graph.daemon.is_alive()?;
        let node = graph.node(&name)?.context("the node vanished")?;
        Ok((node.info["props"]["wireloom.state"] == "running").then_some(()))
    })
}

/// Whether the host is in the group of the stream.
fn is_member(host: &Host, stream: &RtpStream) -> anyhow::Result<bool> {
    let group = stream.igmp_group().context("a group of IPv4")?;
    Ok(host.run("cat", ["/proc/net/igmp"])?.contains(&group))
}

/// Whether it is so for the packets of one source. The kernel tells that of the group that was joined last.
fn is_source_specific(host: &Host, stream: &RtpStream) -> anyhow::Result<bool> {
    let IpAddr::V4(group) = stream.address else { return Ok(false) };
    let group = format!("0x{:08x}", u32::from(group));
    Ok(host.run("cat", ["/proc/net/mcfilter"])?.contains(&group))
}

/// What the kernel says of memberships, for errors.
fn said(host: &Host) -> String {
    host.run("cat", ["/proc/net/igmp", "/proc/net/mcfilter"]).unwrap_or_default()
}
