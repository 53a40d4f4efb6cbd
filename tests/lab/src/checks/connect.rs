use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use wireloom_clock_page::LineState;

use crate::agent::Agent;
use crate::clock::Clock;
use crate::comparison::{Comparison, LEAD_IN, describe};
use crate::host::Host;
use crate::peers::{RtpStream, gstreamer};
use crate::pipewire::{PipeWire, PipeWireOptions};
use crate::products::Products;
use crate::scene;
use crate::studio::Studio;
use crate::timer::BareTimer;
use crate::wait::{self, SOON};

/// Frames that must be without any gap, of two channels.
const FRAMES: u64 = 240_000;
/// How often a machine that stalls may disturb a run.
const TRIES: usize = 6;
/// Latency class: twenty milliseconds, because a shared machine stalls.
const LATENCY: u32 = 960;
/// How much faster than this machine the network's clock runs.
const PPM: f64 = 80.0;
/// Long enough to lock with an Announce a second, on a machine that stalls.
const LOCK: Duration = Duration::from_secs(40);
/// Name of the announced stream, and of the application.
const STREAM: &str = "Stage box";
const APPLICATION: &str = "recorder";

/// `wireloom connect` from an announced stream of GStreamer to a recording application makes the links and every sample
/// is heard; the wish outlives application and agent; `wireloom disconnect`, or removing the links in the graph, ends
/// it.
pub fn run(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let (leader, stage) = (studio.host("leader")?, studio.host("stage")?);
    let computer = studio.host("computer")?;
    let mut clock = Clock::leader(&leader, products, 0, 100, PPM)?;
    clock.wait_for(LineState::Leader, SOON)?;
    let mut follower = Clock::follower(&computer, products, 0)?;
    let mut graph = scene::start_module(&computer, products, &BTreeMap::new(), PipeWireOptions::default())?;
    let settings = format!("latency-frames = {LATENCY}\n");
    let Agent { mut process, bus: _bus } = Agent::start(&computer, products, &settings)?;
    let line = follower.wait_for(LineState::Locked, LOCK)?;
    let stream = RtpStream::standard(1, 2);
    let _sender = gstreamer::paced_sender(&stage, products, &stream, PPM)?;
    let grandmaster = format!("a=ts-refclk:ptp=IEEE1588-2008:{}:0\r\n", line.leader);
    let description = stream.named_description(stage.address(), STREAM, &grandmaster);
    let _announcer = gstreamer::announcer(&stage, "stage-box", &description)?;
    wait::until("the node of the announced stream", 3 * SOON, || {
        graph.daemon.is_alive()?;
        Ok(graph.node_with("media.name", STREAM)?.filter(|node| node.outputs.len() == 2))
    })?;

    wait::until("the announced stream on the bus", 3 * SOON, || {
        let listed = wireloom(&computer, products, &["list", "--json"])?;
        let names = listed["streams"].as_array().into_iter().flatten().map(|stream| &stream["name"]);
        Ok(names.into_iter().any(|name| name == STREAM).then_some(()))
    })?;
    let offered = |command: &str, name: &str| {
        wait::until(&format!("{name} offered to {command}"), SOON, || {
            let names = computer.run(products.program("wireloom"), ["complete", "--", command, ""])?;
            Ok(names.lines().any(|line| line == name).then_some(()))
        })
    };
    offered("connect", STREAM)?;

    let mut asked = false;
    let mut exact = None;
    for _ in 0..TRIES {
        let mut recorder = graph.recorder(products, APPLICATION, 2)?;
        let timer = BareTimer::start()?;
        if !asked {
            let plan =
                wireloom(&computer, products, &["connect", STREAM, APPLICATION, "--dry-run", "--json"])?;
            ensure!(plan["plan"].as_array().map(Vec::len) == Some(1), "both channels in one command: {plan}");
            ensure!(links(&graph)? == 0, "a dry run made links");
            let answer =
                wireloom(&computer, products, &["connect", STREAM, APPLICATION, "--wait", "60", "--json"])?;
            ensure!(answer["route"]["state"] == "receiving", "{answer}");
            asked = true;
        } // else the wish brings the links back to an application that returned
        recorder.record(FRAMES + LEAD_IN as u64, |_| {})?;
        let disturbed = timer.worst() >= Duration::from_millis(10);
        let recording = recorder.finish()?;
        let found = Comparison::new(&stream.code(), &recording).with_context(|| {
            format!("the signal is not in the recording:\n{}", describe(&stream.code(), &recording))
        })?;
        ensure!(found.wrong == 0 && found.slips.is_empty(), "{found}");
        if found.is_exact(FRAMES) {
            exact = Some(found);
            break;
        }
        ensure!(disturbed, "a run that nothing disturbed: {found}");
    }
    let Some(exact) = exact else { bail!("the machine disturbed all of {TRIES} runs") };

    // The agent dies, the application goes and comes back: the next agent keeps the wish.
    process.kill()?;
    let mut process = computer.spawn(products.program("wireloom-agent"), [""; 0])?;
    process.says("ready", SOON)?;
    let recorder = graph.recorder(products, APPLICATION, 2)?;
    wait_for_links(&mut graph, 2)?;
    offered("disconnect", APPLICATION)?;
    wireloom(&computer, products, &["disconnect", STREAM, APPLICATION, "--json"])?;
    wait_for_links(&mut graph, 0)?;
    wait_for_routes(&computer, products, 0)?;

    // What a user removes in a patchbay is no longer wished either.
    wireloom(
        &computer,
        products,
        &["connect", &format!("{STREAM}/2"), &format!("{APPLICATION}/1"), "--json"],
    )?;
    wait_for_links(&mut graph, 1)?;
    for link in graph.links()? {
        computer.run("pw-link", ["-d".to_owned(), link["id"].to_string()])?;
    }
    wait_for_routes(&computer, products, 0)?;
    drop(recorder);
    let recorder = graph.recorder(products, APPLICATION, 2)?;
    wait::until("the application in the graph", SOON, || graph.node(APPLICATION))?;
    process.is_alive()?;
    ensure!(links(&graph)? == 0, "a link that a user removed came back");
    drop(recorder);
    Ok(format!("{} samples by wireloom connect; the wish outlived application and agent", exact.matched))
}

/// Runs the command and reads the JSON that it prints.
fn wireloom(host: &Host, products: &Products, arguments: &[&str]) -> anyhow::Result<Value> {
    let text = host.run(products.program("wireloom"), arguments)?;
    serde_json::from_str(&text).with_context(|| format!("wireloom {arguments:?} printed {text:?}"))
}

fn links(graph: &PipeWire<'_>) -> anyhow::Result<usize> {
    Ok(graph.links()?.len())
}

fn wait_for_links(graph: &mut PipeWire<'_>, count: usize) -> anyhow::Result<()> {
    wait::until(&format!("{count} links"), 3 * SOON, || {
        graph.daemon.is_alive()?;
        Ok((links(graph)? == count).then_some(()))
    })
}

fn wait_for_routes(host: &Host, products: &Products, count: usize) -> anyhow::Result<()> {
    wait::until(&format!("{count} routes"), 3 * SOON, || {
        let routes = wireloom(host, products, &["routes", "--json"])?;
        Ok((routes["routes"].as_array().map(Vec::len) == Some(count)).then_some(()))
    })
}
