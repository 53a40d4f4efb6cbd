use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use wireloom_clock_page::LineState;

use crate::agent::{self, Agent};
use crate::clock::Clock;
use crate::peers::{RtpStream, gstreamer};
use crate::pipewire::PipeWireOptions;
use crate::products::Products;
use crate::scene;
use crate::studio::Studio;
use crate::wait::{self, SOON};

/// Frames of a run: the agent is killed and started in its first second, and nothing is announced in all of it.
const FRAMES: u64 = 34 * 48_000;
/// Without an announcement for so long the agent's successor must still keep the node.
const QUIET: Duration = Duration::from_secs(30);
/// How often a machine that stalls may disturb a run.
const TRIES: usize = 4;
/// Latency class: a tenth of a second, because half a minute without a stall is long on a shared machine.
const LATENCY: u32 = 4800;
/// Long enough to lock with an Announce a second, on a machine that stalls.
const LOCK: Duration = Duration::from_secs(40);
const NAME: &str = "Stage box";

/// A device stops announcing and goes on sending; then the agent dies and comes back. Its successor hears nothing of
/// the stream for half a minute: no sample is lost, the node stays the same.
pub fn run(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let (leader, stage) = (studio.host("leader")?, studio.host("stage")?);
    let computer = studio.host("computer")?;
    let mut clock = Clock::leader(&leader, products, 0, 100, 0.0)?;
    clock.wait_for(LineState::Leader, SOON)?;
    let mut follower = Clock::follower(&computer, products, 0)?;
    let mut graph = scene::start_module(&computer, products, &BTreeMap::new(), PipeWireOptions::default())?;
    let Agent { process, bus: _bus } =
        Agent::start(&computer, products, &format!("latency-frames = {LATENCY}\n"))?;
    let line = follower.wait_for(LineState::Locked, LOCK)?;

    let stream = RtpStream::standard(1, 2);
    let _sender = gstreamer::paced_sender(&stage, products, &stream, 0.0)?;
    let refclk = format!("a=ts-refclk:ptp=IEEE1588-2008:{}:0\r\n", line.leader);
    let description = stream.named_description(stage.address(), NAME, &refclk);
    let announcer = gstreamer::announcer(&stage, "stage-box", &description)?;
    let node = wait::until("the node of the announced stream", 3 * SOON, || {
        graph.daemon.is_alive()?;
        Ok(graph.node_with("media.name", NAME)?.filter(|node| node.outputs.len() == 2))
    })?;
    drop(announcer);

    let mut agent = Some(process);
    for _ in 0..TRIES {
        let (mut trouble, mut back_at) = (None, None);
        let run = scene::record(products, &mut graph, &node, &stream, FRAMES, |frame| {
            if frame >= 24_000 && back_at.is_none() {
                back_at = Some(Instant::now());
                let restarted = agent.take().context("the agent runs").and_then(|mut old| {
                    old.kill()?;
                    computer.spawn(products.program("wireloom-agent"), [""; 0])
                });
                match restarted {
                    Ok(new) => agent = Some(new),
                    Err(error) => trouble = Some(error),
                }
            }
        })?;
        trouble.map_or(Ok(()), Err)?;
        let quiet = back_at.context("the agent was restarted")?.elapsed();
        ensure!(quiet >= QUIET, "the agent was back for {quiet:?} only");
        agent.as_mut().context("the agent runs")?.is_alive()?;
        let same = graph.node_with("media.name", NAME)?.context("the node vanished")?;
        ensure!(same.id == node.id, "the node was made anew: {} became {}", node.id, same.id);
        let known = agent::ask(&computer, products, &["show", NAME])?["stream"].clone();
        ensure!(known["origin"] == "kept", "it was heard meanwhile: {known}");
        if run.is_exact()? {
            return Ok(format!(
                "{} samples exact over {:.0} s without an announcement, node {} all the time",
                run.comparison.matched,
                quiet.as_secs_f32(),
                node.id
            ));
        }
    }
    bail!("the machine disturbed all of {TRIES} runs; there is nothing to judge by")
}
