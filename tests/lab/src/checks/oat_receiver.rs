//! OpenAudioTools: a device that only receives.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use wireloom_clock_page::LineState;

use crate::agent::{self, Agent};
use crate::clock::Clock;
use crate::oat_device::OatDevice;
use crate::peers::RtpStream;
use crate::peers::avahi::Avahi;
use crate::pipewire::PipeWireOptions;
use crate::products::Products;
use crate::scene;
use crate::studio::Studio;
use crate::wait::{self, SOON};

/// Frames that the device must play in one run.
const FRAMES: u64 = 240_000;
/// How often a machine that stalls may disturb a run.
const TRIES: usize = 6;
const PPM: f64 = 80.0;
const LOCK: Duration = Duration::from_secs(40);
/// Also the host's name, as that of an OAT device is its host name.
const HOST: &str = "mixtee-01b7";
const INPUT: &str = "FOH : In 1-2";

/// A device that announces no stream is published by an Avahi: its input is a node, plays every sample of a program
/// that is linked to it, also while the agent is killed and started again, and goes when it is withdrawn.
pub fn run(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let (leader, desk) = (studio.host("leader")?, studio.host(HOST)?);
    let computer = studio.host("computer")?;
    let mut clock = Clock::leader(&leader, products, 0, 100, PPM)?;
    clock.wait_for(LineState::Leader, SOON)?;
    let mut followers = [Clock::follower(&desk, products, 0)?, Clock::follower(&computer, products, 0)?];
    let mut graph = scene::start_module(&computer, products, &BTreeMap::new(), PipeWireOptions::default())?;
    let mut agent = Agent::start(&computer, products, "")?;
    for follower in &mut followers {
        follower.wait_for(LineState::Locked, LOCK)?;
    }
    let mut mixer = OatDevice::start(&desk, products, HOST, &["--name", "FOH", "--input", "In 1-2:2"])?;
    let avahi = Avahi::start(&desk)?;
    // A page of somebody else is no device.
    let _router = avahi.publish_page("Router", 8080)?;
    let publication = avahi.publish_oat("FOH", 80)?;
    let node = wait::until("the node of the input", SOON, || {
        agent.process.is_alive()?;
        mixer.process.is_alive()?;
        Ok(graph.node_with("media.name", INPUT)?.filter(|node| node.inputs.len() == 2))
    })?;
    let (_player, player) = graph.player(products, "player", &RtpStream::standard(1, 2).code())?;
    graph.link(&player, &node)?;
    let matched = mixer.play_exactly("In 1-2", FRAMES, TRIES, || agent.process.is_alive())?.matched;
    // What this computer sends to it outlives the agent, and stays the same: whatever a stall may have covered.
    let sent = || {
        Ok::<_, anyhow::Error>(agent::ask(&computer, products, &["show", INPUT])?["stream"]["legs"].clone())
    };
    let before = sent()?;
    ensure!(before.as_array().is_some_and(|legs| legs.len() == 1), "it is sent to {before}");
    let mut old = Some(agent);
    let mut successor = None;
    let lives = || match old.take() {
        Some(mut old) => {
            old.process.kill()?;
            successor = Some(Agent::start(&computer, products, "")?);
            Ok(())
        }
        None => successor.as_mut().map_or(Ok(()), |agent| agent.process.is_alive()),
    };
    let beyond = mixer.play_exactly("In 1-2", FRAMES, TRIES, lives)?.matched;
    let mut agent = successor.context("it was started")?;
    let after = sent()?;
    ensure!(after == before, "it was sent to {before}, and is now to {after}");
    for ((from, _), (to, _)) in player.outputs.iter().zip(&node.inputs) {
        computer.run("pw-link", ["-d", &from.to_string(), &to.to_string()])?;
    }
    drop(publication);
    wait::until("the end of the node", SOON, || {
        agent.process.is_alive()?;
        Ok(graph.node_with("media.name", INPUT)?.is_none().then_some(()))
    })?;
    Ok(format!(
        "{matched} samples to a device that announces nothing, {beyond} while the agent was killed and started; gone \
         when its name was withdrawn"
    ))
}
