use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use wireloom_clock_page::LineState;

use crate::agent::Agent;
use crate::clock::Clock;
use crate::peers::{RtpStream, gstreamer};
use crate::pipewire::PipeWireOptions;
use crate::products::Products;
use crate::scene;
use crate::studio::Studio;
use crate::wait::{self, SOON};

/// Frames of a run: half a million, of two channels.
const FRAMES: u64 = 536_000;
/// How often a machine that stalls may disturb a run.
const TRIES: usize = 8;
/// Latency class: twenty milliseconds, because two programs in a row pace the sender on a machine that stalls.
const LATENCY: u32 = 960;
/// How much faster than this machine the network's clock runs.
const PPM: f64 = 80.0;
/// Long enough to lock with an Announce a second, on a machine that stalls.
const LOCK: Duration = Duration::from_secs(40);

/// The whole way: a leader 80 ppm fast, a GStreamer sender on its rate announced by SAP, the agent that hears it, the
/// node in the graph, an application that links to it and hears every sample.
pub fn run(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let (leader, stage) = (studio.host("leader")?, studio.host("stage")?);
    let computer = studio.host("computer")?;
    let mut clock = Clock::leader(&leader, products, 0, 100, PPM)?;
    clock.wait_for(LineState::Leader, SOON)?;
    let mut follower = Clock::follower(&computer, products, 0)?;
    let mut graph = scene::start_module(&computer, products, &BTreeMap::new(), PipeWireOptions::default())?;
    let mut agent = Agent::start(&computer, products, &format!("latency-frames = {LATENCY}\n"))?;
    let line = follower.wait_for(LineState::Locked, LOCK)?;

    let stream = RtpStream::standard(1, 2);
    let _sender = gstreamer::paced_sender(&stage, products, &stream, PPM)?;
    let grandmaster = format!("a=ts-refclk:ptp=IEEE1588-2008:{}:0\r\n", line.leader);
    let description = stream.named_description(stage.address(), "Stage box", &grandmaster);
    let announced = Instant::now();
    let announcer = gstreamer::announcer(&stage, "stage-box", &description)?;
    let node = wait::until("the node of the announced stream", SOON, || {
        agent.process.is_alive()?;
        Ok(graph.node_with("media.name", "Stage box")?.filter(|node| node.outputs.len() == 2))
    })?;
    let visible = announced.elapsed();

    for _ in 0..TRIES {
        let run = scene::record(products, &mut graph, &node, &stream, FRAMES, |_| {})?;
        if run.is_exact()? {
            drop(announcer);
            return Ok(format!(
                "{} samples, {} frames late; visible {:.1} s after GStreamer was started to announce it",
                run.comparison.matched,
                run.latency,
                visible.as_secs_f32()
            ));
        }
    }
    anyhow::bail!("the machine disturbed all of {TRIES} runs; there is nothing to judge by")
}
