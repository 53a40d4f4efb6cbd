use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;
use wireloom_clock_page::LineState;

use super::transmit;
use crate::agent::{Agent, ask};
use crate::clock::Clock;
use crate::host::Host;
use crate::peers::{RtpStream, gstreamer};
use crate::pipewire::PipeWireOptions;
use crate::products::Products;
use crate::scene;
use crate::studio::Studio;
use crate::wait::{self, SOON};

/// Frames of a recording.
const FRAMES: u64 = 100_000;
/// How often a machine that stalls may disturb a run.
const TRIES: usize = 8;
/// Latency class: twenty milliseconds, because a shared machine stalls.
const LATENCY: u32 = 960;
/// How much faster than this machine the network's clock runs.
const PPM: f64 = 80.0;
/// Long enough to lock with an Announce a second, on a machine that stalls.
const LOCK: Duration = Duration::from_secs(40);
const NAME: &str = "Six";

/// GStreamer sends to a group of IPv6 and announces it there: the agent makes a node, and an application hears every
/// sample of that sender and none of another one to the same group. What an application plays to such a group GStreamer
/// hears. A computer without IPv6 says so of the stream.
pub fn run(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let leader = studio.host("leader")?;
    let (stage, stranger) = (studio.host("stage")?, studio.host("stranger")?);
    let (computer, old) = (studio.host("computer")?, studio.host("old")?);
    let from = stage.add_ipv6()?;
    [&stranger, &computer].into_iter().try_for_each(|host| host.add_ipv6().map(drop))?;
    let mut clock = Clock::leader(&leader, products, 0, 100, PPM)?;
    clock.wait_for(LineState::Leader, SOON)?;
    let mut follower = Clock::follower(&computer, products, 0)?;
    let start_agent = |host: &Host| -> anyhow::Result<Agent> {
        Agent::start(host, products, &format!("latency-frames = {LATENCY}\n"))
    };

    let sent = RtpStream::ipv6(2, 2);
    let slots = BTreeMap::from([("lab.rx".to_owned(), scene::transmit_node(&sent, "Lab"))]);
    let mut graph = scene::start_module(&computer, products, &slots, PipeWireOptions::default())?;
    let mut agent = start_agent(&computer)?;
    let heard = RtpStream::ipv6(1, 2);
    let line = follower.wait_for(LineState::Locked, LOCK)?;
    let attributes = format!(
        "a=source-filter: incl IN IP6 {} {from}\r\na=ts-refclk:ptp=IEEE1588-2008:{}:0\r\n",
        heard.address, line.leader
    );
    let description = heard.named_description(from, NAME, &attributes);
    let _announcer = gstreamer::announcer_ipv6(&stage, from, "six", &description)?;
    let node = wait::until("the node of the stream announced over IPv6", SOON, || {
        agent.process.is_alive()?;
        Ok(graph.node_with("media.name", NAME)?.filter(|node| node.outputs.len() == 2))
    })?;
    let _other = gstreamer::sender(&stranger, &heard)?;
    let sender = gstreamer::paced_sender(&stage, products, &heard, PPM)?;
    let received = scene::record_exactly(products, &mut graph, &node, &heard, FRAMES, TRIES)?.comparison;

    // The other one goes on: a stream that took its packets would not fall silent.
    let recorder = graph.recorder(products, "recorder", 2)?;
    graph.link(&node, &recorder.node)?;
    state(&computer, products, "the stream playing", |stream| stream["state"] == "running")?;
    drop(sender);
    state(&computer, products, "silence", |stream| says(stream).starts_with("Packets came, then stopped"))?;

    let input = graph.wait_for_node("wireloom.lab.rx", 0, 2, SOON)?;
    let (_player, player) = graph.player(products, "player", &sent.code())?;
    graph.link(&player, &input)?;
    let transmitted = transmit::clean_run(&stage, &sent, gstreamer::receiver)?;

    let refusal = without(&old, products, &stage, &start_agent, &description)?;
    Ok(format!(
        "{} samples received, {} transmitted; without IPv6: {refusal}",
        received.matched, transmitted.matched
    ))
}

/// What a computer without IPv6, which is told over IPv4, says of the stream when an application wants it.
fn without(
    host: &Host,
    products: &Products,
    stage: &Host,
    start: &dyn Fn(&Host) -> anyhow::Result<Agent>,
    description: &str,
) -> anyhow::Result<String> {
    host.run("sh", ["-c", "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6"])?;
    let mut graph = scene::start_module(host, products, &BTreeMap::new(), PipeWireOptions::default())?;
    let mut agent = start(host)?;
    let _announcer = gstreamer::announcer(stage, "six-over-four", description)?;
    let node = wait::until("the node of the stream announced over IPv4", SOON, || {
        agent.process.is_alive()?;
        Ok(graph.node_with("media.name", NAME)?.filter(|node| node.outputs.len() == 2))
    })?;
    let recorder = graph.recorder(products, "recorder", 2)?;
    graph.link(&node, &recorder.node)?;
    let stream = state(host, products, "the stream saying that there is no IPv6", |stream| {
        says(stream).starts_with("eth0 has no IPv6 address")
    })?;
    Ok(says(&stream).to_owned())
}

/// Waits until the stream is `so`.
fn state(host: &Host, products: &Products, what: &str, so: fn(&Value) -> bool) -> anyhow::Result<Value> {
    let mut last = Value::Null;
    let found = wait::until(what, SOON, || {
        // The node is made before the bus tells of the stream.
        let Ok(shown) = ask(host, products, &["show", NAME]) else { return Ok(None) };
        last = shown["stream"].clone();
        Ok(so(&last).then(|| last.clone()))
    });
    found.with_context(|| format!("it says {:?}, {:?}", last["state"], last["state_text"]))
}

fn says(stream: &Value) -> &str {
    stream["state_text"].as_str().unwrap_or_default()
}
