use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use wireloom_clock_page::LineState;

use crate::agent::Agent;
use crate::clock::Clock;
use crate::host::Host;
use crate::peers::{RtpStream, gstreamer};
use crate::pipewire::{GraphNode, PipeWire, PipeWireOptions};
use crate::process::Process;
use crate::products::Products;
use crate::scene::{self, Reception};
use crate::studio::Studio;
use crate::wait::{self, SOON};

/// Frames of a run; something is killed or started after each eighth of it.
const FRAMES: u64 = 480_000;
/// How often a machine that stalls may disturb a run.
const TRIES: usize = 6;
/// Latency class: twenty milliseconds, because starting programs disturbs a small machine.
const LATENCY: u32 = 960;
/// Long enough to lock with an Announce a second, on a machine that stalls.
const LOCK: Duration = Duration::from_secs(40);
/// Name of the announced stream.
const NAME: &str = "Stage box";

/// While an application records, the agent is killed and comes back, then the clock service: no sample is lost and
/// the node stays. Then PipeWire itself is killed and comes back: the node is there again and plays.
pub fn run(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let (leader, sender) = (studio.host("leader")?, studio.host("sender")?);
    let computer = studio.host("computer")?;
    let mut clock = Clock::leader(&leader, products, 0, 100, 80.0)?;
    clock.wait_for(LineState::Leader, SOON)?;
    let mut sender_clock = Clock::follower(&sender, products, 0)?;
    let mut services = Services {
        clock: Clock::follower(&computer, products, 0)?,
        agent: None,
        products,
        host: &computer,
        done: 0,
    };
    sender_clock.wait_for(LineState::Locked, LOCK)?;
    let line = services.clock.wait_for(LineState::Locked, LOCK)?;

    let stream = RtpStream::standard(1, 2);
    let _playing = scene::play(&sender, products, &stream)?;

    let mut graph = scene::start_module(&computer, products, &BTreeMap::new(), PipeWireOptions::default())?;
    let Agent { process, bus: _bus } =
        Agent::start(&computer, products, &format!("latency-frames = {LATENCY}\n"))?;
    services.agent = Some(process);
    let clocks = format!("a=ts-refclk:ptp=IEEE1588-2008:{}:0\r\na=mediaclk:direct=0\r\n", line.leader);
    let description = stream.named_description(sender.address(), NAME, &clocks);
    let _announcer = gstreamer::announcer(&sender, "stage-box", &description)?;

    let node = announced_node(&mut graph)?;
    let calm = exact_run(&mut services, &mut graph, &node, &stream)?;
    let same = announced_node(&mut graph)?;
    ensure!(same.id == node.id, "the node was made anew: {} became {}", node.id, same.id);
    services.clock.wait_for(LineState::Locked, LOCK)?;

    graph.daemon.kill()?;
    drop(graph);
    let mut graph = scene::start_module(&computer, products, &BTreeMap::new(), PipeWireOptions::default())?;
    let node = announced_node(&mut graph).context("after PipeWire was restarted")?;
    services.done = STEPS;
    let back = exact_run(&mut services, &mut graph, &node, &stream)?;
    Ok(format!(
        "{} samples across the deaths of agent and clock, {} after that of PipeWire, {} frames late both times",
        calm.comparison.matched, back.comparison.matched, back.latency
    ))
}

/// How many things happen in a run.
const STEPS: u64 = 4;

/// What is killed and started while the recording goes on.
struct Services<'a> {
    clock: Clock,
    agent: Option<Process>,
    products: &'a Products,
    host: &'a Host,
    done: u64,
}

impl Services<'_> {
    /// Does what is due when `frame` has been recorded.
    fn at(&mut self, frame: u64) -> anyhow::Result<()> {
        if self.done == STEPS || frame < (self.done + 2) * FRAMES / 8 {
            return Ok(());
        }
        match self.done {
            0 => self.agent.take().context("the agent runs")?.kill()?,
            1 => self.agent = Some(self.host.spawn(self.products.program("wireloom-agent"), [""; 0])?),
            2 => self.clock.process().kill()?,
            _ => self.clock = Clock::follower(self.host, self.products, 0)?,
        }
        self.done += 1;
        Ok(())
    }
}

fn announced_node(graph: &mut PipeWire<'_>) -> anyhow::Result<GraphNode> {
    wait::until("the node of the announced stream", 3 * SOON, || {
        graph.daemon.is_alive()?;
        Ok(graph.node_with("media.name", NAME)?.filter(|node| node.outputs.len() == 2))
    })
}

fn exact_run(
    services: &mut Services<'_>,
    graph: &mut PipeWire<'_>,
    node: &GraphNode,
    stream: &RtpStream,
) -> anyhow::Result<Reception> {
    let steps = if services.done == STEPS { STEPS } else { 0 };
    for _ in 0..TRIES {
        services.done = steps;
        let products = services.products;
        let run = scene::record_until(products, graph, node, stream, |frame| {
            services.at(frame)?;
            Ok(frame >= FRAMES)
        })?;
        ensure!(services.done == STEPS, "only {} of {STEPS} things happened", services.done);
        if run.is_exact_of_graph()? {
            return Ok(run);
        }
    }
    bail!("the machine disturbed all of {TRIES} runs; there is nothing to judge by")
}
