use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use wireloom_clock_page::LineState;

use crate::agent::{self, Agent};
use crate::clock::Clock;
use crate::host::Host;
use crate::peers::announcer::Announcer;
use crate::peers::ptp4l::{self, Role};
use crate::peers::{RtpStream, gstreamer};
use crate::pipewire::PipeWireOptions;
use crate::process::Process;
use crate::products::Products;
use crate::scene;
use crate::studio::Studio;
use crate::wait::{self, SOON};

/// Frames between two things that happen, and after the last: learning an offset anew would silence a fifth of a second.
const STEP: u64 = 48_000;
/// How often a machine that stalls may disturb a run.
const TRIES: u32 = 6;
/// Latency class: fifty milliseconds, because programs start and die beside the sender.
const LATENCY: u32 = 2400;
/// Long enough to lock with an Announce a second, on a machine that stalls.
const LOCK: Duration = Duration::from_secs(40);
const NAME: &str = "Stage box";

/// ptp4l is the grandmaster; GStreamer sends a stream whose description names that one and says no offset. The stream is
/// of our clock, its offset is learned, and kept: across another announcement, an agent that dies and one that comes
/// back, and a new version of the description.
pub fn run(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let (leader, stage) = (studio.host("leader")?, studio.host("stage")?);
    let computer = studio.host("computer")?;
    let _grandmaster = ptp4l::start(&leader, 0, Role::Leader { priority: 100 })?;
    let mut follower = Clock::follower(&computer, products, 0)?;
    let mut graph = scene::start_module(&computer, products, &BTreeMap::new(), PipeWireOptions::default())?;
    let Agent { process, bus: _bus } =
        Agent::start(&computer, products, &format!("latency-frames = {LATENCY}\n"))?;
    let mut announcer = Announcer::start(&stage)?;
    // ptp4l and GStreamer both have the time of the machine.
    let stream = RtpStream::standard(1, 2);
    let _sender = gstreamer::sender(&stage, &stream)?;
    let line = follower.wait_for(LineState::Locked, LOCK)?;

    let refclk = format!("a=ts-refclk:ptp=IEEE1588-2008:{}:0\r\n", line.leader);
    let describe = |version: u32| {
        let first = stream.named_description(stage.address(), NAME, &refclk);
        first.replace("o=- 1 1 ", &format!("o=- 1 {version} "))
    };
    let mut version = 1;
    announcer.announce(&describe(version))?;
    let node = wait::until("the node of the announced stream", SOON, || {
        graph.daemon.is_alive()?;
        Ok(graph.node_with("media.name", NAME)?.filter(|node| node.outputs.len() == 2))
    })?;

    let mut agent = process;
    for _ in 0..TRIES {
        let mut steps = 0;
        let run = scene::record_until(products, &mut graph, &node, &stream, |frame| {
            if frame < (steps + 1) * STEP {
                return Ok(false);
            }
            steps += 1;
            match steps {
                1 => announcer.announce(&describe(version))?,
                2 => agent = restart(&computer, products, &mut agent)?,
                3 => {
                    version += 1;
                    announcer.announce(&describe(version))?;
                    let known = known(&computer, products, |known| {
                        known["sdp_text"] == describe(version) && known["mode"] != ""
                    })?;
                    check(&known)?;
                }
                _ => return Ok(true),
            }
            Ok(false)
        })?;
        let same = graph.node_with("media.name", NAME)?.context("the node vanished")?;
        ensure!(same.id == node.id, "the node was made anew: {} became {}", node.id, same.id);
        if run.is_exact()? {
            return Ok(format!(
                "{} samples on the offset learned first, {} frames late, from a stream of {}",
                run.comparison.matched, run.latency, line.leader
            ));
        }
    }
    bail!("the machine disturbed all of {TRIES} runs; there is nothing to judge by")
}

/// Kills the agent, starts another and waits until that has taken the stream over.
fn restart(host: &Host, products: &Products, agent: &mut Process) -> anyhow::Result<Process> {
    check(&known(host, products, |known| known["mode"] != "")?)?;
    agent.kill()?;
    let mut agent = host.spawn(products.program("wireloom-agent"), [""; 0])?;
    agent.says("ready", SOON)?;
    Ok(agent)
}

/// What the agent knows about the stream, as soon as that fits.
fn known(host: &Host, products: &Products, fits: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
    let mut last = Value::Null;
    wait::until("a description of the stream that fits", SOON, || {
        last = agent::ask(host, products, &["show", NAME])?["stream"].clone();
        Ok(fits(&last).then(|| last.clone()))
    })
    .with_context(|| format!("the last was {last}"))
}

/// Of our clock, without an offset that was announced, and read by one that was learned.
fn check(known: &Value) -> anyhow::Result<()> {
    let found = (&known["clock_relation"], &known["media_offset"], &known["mode"]);
    ensure!(*found.0 == "same" && *found.1 == -1 && *found.2 == "learned", "{found:?} in {known}");
    Ok(())
}
