//! OpenAudioTools: streams that are asked for.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::ensure;
use wireloom_clock_page::LineState;

use crate::agent::Agent;
use crate::clock::Clock;
use crate::oat_device::OatDevice;
use crate::peers::RtpStream;
use crate::pipewire::PipeWireOptions;
use crate::products::Products;
use crate::scene;
use crate::studio::Studio;
use crate::wait::{self, SOON};

/// Frames of a run: half a million, of two channels.
const FRAMES: u64 = 296_000;
/// How often a machine that stalls may disturb a run.
const TRIES: usize = 8;
/// Latency class: twenty milliseconds, because the device's loop runs on a machine that stalls.
const LATENCY: u32 = 960;
/// How much faster than this machine the network's clock runs.
const PPM: f64 = 80.0;
/// Long enough to lock with an Announce a second, on a machine that stalls.
const LOCK: Duration = Duration::from_secs(40);

/// A device announces a stream with its own address; it is a node, a link to it is a subscription that brings every
/// sample, the end of the link ends the subscription.
pub fn run(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let (leader, stage) = (studio.host("leader")?, studio.host("stage")?);
    let computer = studio.host("computer")?;
    let mut clock = Clock::leader(&leader, products, 0, 100, PPM)?;
    clock.wait_for(LineState::Leader, SOON)?;
    let mut followers = [Clock::follower(&stage, products, 0)?, Clock::follower(&computer, products, 0)?];
    let mut graph = scene::start_module(&computer, products, &BTreeMap::new(), PipeWireOptions::default())?;
    let mut agent = Agent::start(&computer, products, &format!("latency-frames = {LATENCY}\n"))?;
    for follower in &mut followers {
        follower.wait_for(LineState::Locked, LOCK)?;
    }
    let mut synth = OatDevice::start(
        &stage,
        products,
        "syntee-a3f2",
        &["--name", "Bass Synth", "--output", "Out 1-2:2"],
    )?;
    let node = wait::until("the node of the device's stream", SOON, || {
        agent.process.is_alive()?;
        Ok(graph.node_with("media.name", "Bass Synth — Out 1-2")?.filter(|node| node.outputs.len() == 2))
    })?;
    let stream = RtpStream::standard(1, 2);
    ensure!(
        !synth.process.log().contains("stream 1 to"),
        "the device sends to somebody although nothing is linked"
    );

    for attempt in 1..=TRIES {
        let run = scene::record(products, &mut graph, &node, &stream, FRAMES, |_| {})?;
        let to = format!("stream 1 no more to {}", computer.address());
        wait::until("the end of the subscription", SOON, || {
            synth.process.is_alive()?;
            Ok((synth.process.log().matches(&to).count() == attempt).then_some(()))
        })?;
        let log = synth.process.log();
        ensure!(log.matches("Unsubscribed").count() == attempt, "a lease was not given back: {log}");
        ensure!(log.matches("stream 1 to").count() == attempt, "the flow stopped or was doubled: {log}");
        if run.is_exact()? {
            return Ok(format!(
                "{} samples, {} frames late; one subscription, given back when the link went",
                run.comparison.matched, run.latency
            ));
        }
    }
    anyhow::bail!("the machine disturbed all of {TRIES} runs; there is nothing to judge by")
}
