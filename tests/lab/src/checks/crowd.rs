use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::Value;
use wireloom_clock_page::LineState;

use crate::agent::{self, Agent};
use crate::clock::Clock;
use crate::host::Host;
use crate::peers::announcer::Announcer;
use crate::peers::hostile::Attack;
use crate::peers::{RtpStream, gstreamer};
use crate::pipewire::{GraphNode, PipeWire, PipeWireOptions};
use crate::products::Products;
use crate::scene;
use crate::studio::Studio;
use crate::wait::{self, SOON};

/// Streams of the crowd, and the devices that announce them.
const STREAMS: u32 = 500;
const DEVICES: u32 = 50;
/// Nodes that the agent makes at most, as configured by default.
const NODE_LIMIT: usize = 128;
/// How often the crowd announces itself beside the flood, at least.
const ROUNDS: usize = 5;
/// Announcements whose way to the graph is measured.
const MEASURED: usize = 20;
/// A program may grow by so many octets for the crowd and a flood: all tables full, with room to spare.
const MAY_GROW: u64 = 96 << 20;
/// Descriptors of a poor daemon: some nodes fit above the reserve, and many do not.
const POOR: u64 = 400;
/// What the module leaves to the daemon.
const RESERVE: usize = 256;
/// Whoever asks in the midst of it is answered within this, on a machine that stalls and shares its processors.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);
/// Frames of a run.
const FRAMES: u64 = 240_000;
/// How often a machine that stalls may disturb a run.
const TRIES: usize = 8;
/// Latency class: twenty milliseconds, because many programs share a small machine.
const LATENCY: u32 = 960;
/// Long enough to lock with an Announce a second, on a machine that stalls.
const LOCK: Duration = Duration::from_secs(40);
const NAME: &str = "Stage box";

/// One announcement after the other becomes a node, and the time it takes is measured. Then five hundred streams are
/// announced, and a flood comes on top: the agent answers, its nodes and its memory are bounded, and what plays goes
/// on. A daemon with few descriptors keeps its reserve, and says what it could not make.
pub fn run(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let (stage, computer) = (studio.host("stage")?, studio.host("computer")?);
    let (crowd, poor, leader) = (studio.host("crowd")?, studio.host("poor")?, studio.host("leader")?);
    let mut clock = Clock::leader(&leader, products, 0, 100, 0.0)?;
    clock.wait_for(LineState::Leader, SOON)?;
    let mut follower = Clock::follower(&computer, products, 0)?;
    let mut poor_follower = Clock::follower(&poor, products, 0)?;
    let stream = RtpStream::standard(1, 2);
    let mut announcer = Announcer::start(&crowd)?;
    let settings = format!("latency-frames = {LATENCY}\n");

    let mut graph = scene::start_module(&computer, products, &BTreeMap::new(), PipeWireOptions::default())?;
    let mut agent = Agent::start(&computer, products, &settings)?;
    let visible = times_to_node(&computer, &mut announcer)?;
    let _sender = gstreamer::paced_sender(&stage, products, &stream, 0.0)?;
    let line = follower.wait_for(LineState::Locked, LOCK)?;
    poor_follower.wait_for(LineState::Locked, LOCK)?;
    let clocks = format!("a=ts-refclk:ptp=IEEE1588-2008:{}:0\r\n", line.leader);
    let description = stream.named_description(stage.address(), NAME, &clocks);
    let _announced = gstreamer::announcer(&stage, "stage-box", &description)?;
    let node = announced_node(&mut graph)?;
    let before = (agent.process.resident()?, graph.daemon.resident()?);

    announce_all(&mut announcer)?;
    let flood = Attack::start(&crowd, "flood", serde_json::json!([{ "kind": "sap-flood", "rate": 100 }]))?;
    let run = scene::record_exactly(products, &mut graph, &node, &stream, FRAMES, TRIES)?;
    let mut slowest = Duration::ZERO;
    let mut streams = Vec::new();
    for round in 1..=3 * ROUNDS {
        announce_all(&mut announcer)?; // as devices do, time and again; the flood must not displace them
        let start = Instant::now();
        let known = agent::ask(&computer, products, &["list"])?;
        slowest = slowest.max(start.elapsed());
        streams = known["streams"].as_array().context("a list")?.clone();
        // A busy machine loses some of so many datagrams at once.
        if round >= ROUNDS && streams.iter().filter(|stream| is_of_crowd(stream)).count() == STREAMS as usize
        {
            break;
        }
    }
    flood.stop()?;
    ensure!(slowest < ANSWERED_WITHIN, "an answer took {slowest:?}");
    agent.process.is_alive()?;
    let of_crowd = streams.iter().filter(|stream| is_of_crowd(stream)).count();
    ensure!(of_crowd == STREAMS as usize, "{of_crowd} of {STREAMS} streams are known");
    let hidden = streams.iter().filter(|stream| stream["state"] == "hidden").collect::<Vec<_>>();
    ensure!(hidden.iter().all(|stream| stream["state_text"] != ""), "a stream is hidden without a reason");
    let made = network_nodes(&graph)?.len();
    ensure!(made == NODE_LIMIT, "{made} nodes were made, the limit is {NODE_LIMIT}");
    ensure!(made + hidden.len() == streams.len(), "{made} nodes and {} hidden streams", hidden.len());
    let after = (agent.process.resident()?, graph.daemon.resident()?);
    for (after, before) in [(after.0, before.0), (after.1, before.1)] {
        ensure!(after <= before + MAY_GROW, "{} MiB grew to {} MiB", before >> 20, after >> 20);
    }
    drop((agent, graph));
    let refused = check_poor(&poor, products, &settings, &stream, &mut announcer)?;
    Ok(format!(
        "visible after {:.0} ms in the median of {MEASURED} (aim: 100); {} streams known, {made} nodes; \
         agent {} MiB, PipeWire {} (before: {} and {}); slowest answer {:.2} s; {} samples exact meanwhile; with {POOR} descriptors {refused} nodes refused",
        visible.as_secs_f64() * 1000.0,
        streams.len(),
        after.0 >> 20,
        after.1 >> 20,
        before.0 >> 20,
        before.1 >> 20,
        slowest.as_secs_f32(),
        run.comparison.matched,
    ))
}

/// A daemon that may have few descriptors: answers how many nodes it refused.
fn check_poor(
    host: &Host,
    products: &Products,
    settings: &str,
    stream: &RtpStream,
    announcer: &mut Announcer,
) -> anyhow::Result<usize> {
    let options = PipeWireOptions { descriptors: Some(POOR), ..PipeWireOptions::default() };
    let mut graph = scene::start_module(host, products, &BTreeMap::new(), options)?;
    let _agent = Agent::start(host, products, settings)?;
    let node = announced_node(&mut graph)?;
    announce_all(announcer)?;
    let refused = wait::until("nodes that are refused", 3 * SOON, || {
        graph.daemon.is_alive()?;
        let known = agent::ask(host, products, &["list"])?;
        let streams = known["streams"].as_array().context("a list")?;
        let is_refused = |stream: &&Value| {
            let text = stream["state_text"].as_str().unwrap_or_default();
            stream["state"] == "error" && text.contains("file descriptors")
        };
        let refused = streams.iter().filter(is_refused).count();
        Ok((refused > 0 && refused + network_nodes(&graph)?.len() >= NODE_LIMIT).then_some(refused))
    })?;
    scene::record_exactly(products, &mut graph, &node, stream, FRAMES, TRIES)?;
    let used = std::fs::read_dir(format!("/proc/{}/fd", graph.daemon.id()))?.count();
    ensure!(used + RESERVE <= POOR as usize, "the daemon has {used} of {POOR} descriptors open");
    Ok(refused)
}

/// The median of how long an announcement needs to become a node that a client of PipeWire sees.
fn times_to_node(host: &Host, announcer: &mut Announcer) -> anyhow::Result<Duration> {
    let monitor = host.spawn("pw-mon", ["-N"])?;
    let mut log = std::fs::File::open(monitor.log_path())?;
    let text = |number: u32, name: &str| description(900 + number, name, Ipv4Addr::new(10, 77, 0, 240));
    // Whoever has just started may not hear yet, and is not measured.
    let mut seen = String::new();
    wait::until("the first node", SOON, || {
        announcer.announce(&text(MEASURED as u32, "First"))?;
        log.read_to_string(&mut seen)?;
        Ok(seen.contains("media.name = \"First\"").then_some(()))
    })?;
    let mut times = Vec::with_capacity(MEASURED);
    for number in 0..MEASURED as u32 {
        let name = format!("Measured {number}");
        let text = text(number, &name);
        log.seek(SeekFrom::End(0))?;
        let start = Instant::now();
        announcer.announce(&text)?;
        let mut seen = String::new();
        while !seen.contains(&format!("media.name = \"{name}\"")) {
            ensure!(start.elapsed() < SOON, "{name} did not become a node");
            std::thread::sleep(Duration::from_millis(1));
            log.read_to_string(&mut seen)?;
        }
        times.push(start.elapsed());
    }
    times.sort_unstable();
    let median = times[MEASURED / 2];
    ensure!(median < Duration::from_secs(1), "an announcement becomes a node after {median:?}");
    Ok(median)
}

fn announce_all(announcer: &mut Announcer) -> anyhow::Result<()> {
    for number in 0..STREAMS {
        let device = number % DEVICES;
        let source = Ipv4Addr::new(10, 77, 1, u8::try_from(device + 1)?);
        announcer.announce_from(source, &description(number, &format!("Crowd {number}"), source))?;
    }
    Ok(())
}

fn description(number: u32, name: &str, source: Ipv4Addr) -> String {
    let [_, _, high, low] = number.to_be_bytes();
    format!(
        "v=0\r\no=- {} 1 IN IP4 {source}\r\ns={name}\r\nc=IN IP4 239.68.{high}.{low}/32\r\nt=0 0\r\n\
         m=audio 5004 RTP/AVP 98\r\na=rtpmap:98 L24/48000/2\r\na=ptime:1\r\n",
        70_000 + number
    )
}

fn is_of_crowd(stream: &Value) -> bool {
    stream["name"].as_str().is_some_and(|name| name.starts_with("Crowd "))
}

fn announced_node(graph: &mut PipeWire<'_>) -> anyhow::Result<GraphNode> {
    wait::until("the node of the announced stream", 3 * SOON, || {
        graph.daemon.is_alive()?;
        Ok(graph.node_with("media.name", NAME)?.filter(|node| node.outputs.len() == 2))
    })
}

/// The names of the nodes of network streams.
fn network_nodes(graph: &PipeWire<'_>) -> anyhow::Result<Vec<String>> {
    let dump = graph.dump()?;
    let objects = dump.as_array().context("pw-dump prints a list")?;
    let names = objects.iter().map(|object| &object["info"]["props"]);
    let streams = names.filter(|props| props["wireloom.stream"].is_string());
    Ok(streams.filter_map(|props| Some(props["node.name"].as_str()?.to_owned())).collect())
}
