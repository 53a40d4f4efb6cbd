//! Two devices that share no language: the audio passes through this computer.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;
use wireloom_clock_page::LineState;

use crate::agent::{self, Agent};
use crate::clock::Clock;
use crate::host::Host;
use crate::lag::lag;
use crate::oat_device::OatDevice;
use crate::peers::RtpStream;
use crate::peers::tshark;
use crate::pipewire::PipeWireOptions;
use crate::products::Products;
use crate::scene;
use crate::studio::Studio;
use crate::wait::{self, SOON};

/// Frames that the mixer must have played.
const FRAMES: u64 = 240_000;
/// How often a machine that stalls may disturb a run.
const TRIES: usize = 8;
/// Packets that are looked at before and behind this computer: half a second.
const PACKETS: usize = 1000;
/// Latency class: twenty milliseconds, because a shared machine stalls.
const LATENCY: u64 = 960;
const PPM: f64 = 80.0;
const LOCK: Duration = Duration::from_secs(40);
const SOURCE: &str = "Bass Synth — Out 1-8";
const SINK: &str = "FOH : In 1-2";

/// A device that sends eight channels at once is linked to an input of two: this computer receives the stream and sends
/// what is linked, says so with the latency that it adds, which the packets before and behind it show too, and the input plays exactly that; a program here then takes
/// the place of the device.
pub fn run(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let (leader, stage) = (studio.host("leader")?, studio.host("stage")?);
    let (desk, computer) = (studio.host("desk")?, studio.host("computer")?);
    let mut clock = Clock::leader(&leader, products, 0, 100, PPM)?;
    clock.wait_for(LineState::Leader, SOON)?;
    let mut followers = Vec::new();
    for host in [&stage, &desk, &computer] {
        followers.push(Clock::follower(host, products, 0)?);
    }
    let graph = scene::start_module(&computer, products, &BTreeMap::new(), PipeWireOptions::default())?;
    let mut agent = Agent::start(&computer, products, &format!("latency-frames = {LATENCY}\n"))?;
    for follower in &mut followers {
        follower.wait_for(LineState::Locked, LOCK)?;
    }
    let output = ["--name", "Bass Synth", "--output", "Out 1-8:8"];
    let mut synth = OatDevice::start(&stage, products, "syntee-a3f2", &output)?;
    let input = ["--name", "FOH", "--output", "Main:2", "--input", "In 1-2:2"];
    let mut mixer = OatDevice::start(&desk, products, "mixtee-01b7", &input)?;
    let mut node = |name: &str| {
        wait::until(&format!("the node {name}"), SOON, || {
            agent.process.is_alive()?;
            let node = graph.node_with("media.name", name)?;
            Ok(node.filter(|node| !node.outputs.is_empty() || !node.inputs.is_empty()))
        })
    };
    let (source, sink) = (node(SOURCE)?, node(SINK)?);
    graph.link(&source, &sink)?; // the first two of its eight
    let route = wait::until("the relayed route", 2 * SOON, || {
        let answer = agent::ask(&computer, products, &["routes"])?;
        let routes = answer["routes"].as_array().context("a list of routes")?.clone();
        ensure!(routes.len() <= 1, "{answer:#}");
        Ok(routes.into_iter().find(|route| route["state"] == "receiving"))
    })?;
    ensure!(route["way"] == "relayed" && route["desired"] == true, "{route:#}");
    let added = route["relay_latency_ns"].as_u64().context("a latency")?;
    let links = computer.run("pw-cli", ["ls", "Link"])?;
    let marked = links.matches("wireloom.relay = \"true\"").count();
    ensure!(marked == 2, "{marked} of both links are said to be a relay: {links}");
    let found = mixer.play_exactly("In 1-2", FRAMES, TRIES, || synth.process.is_alive())?;
    ensure!(
        synth.process.log().contains(&format!("stream 1 to {}", computer.address())),
        "the device sends to somebody else: {}",
        synth.process.log()
    );
    let (lag, packet) = on_the_wire(&stage, &computer)?;
    let said = (added * 48 + 500_000) / 1_000_000;
    ensure!(
        lag == LATENCY && said == lag + packet,
        "it is said to add {said} frames; the sound leaves {lag} frames after it came, in packets of {packet}"
    );

    // One of the two links goes: the input takes whole streams, so the other goes on as it did.
    let one_link = [source.outputs[1].0.to_string(), sink.inputs[1].0.to_string()];
    computer.run("pw-link", ["-d", &one_link[0], &one_link[1]])?;
    wait::until("the route of one channel", SOON, || {
        let answer = agent::ask(&computer, products, &["routes"])?;
        let channels = answer["routes"][0]["channels"].as_array().map(Vec::len);
        Ok((channels == Some(1) && answer["routes"][0]["state"] == "receiving").then_some(()))
    })?;
    let file = desk.directory().join("In 1-2.l24");
    let length = || std::fs::metadata(&file).map_or(0, |file| file.len());
    let start = length();
    wait::until("half a second more of the other channel", SOON, || {
        Ok((length() > start + 24_000 * 6).then_some(()))
    })?;
    let stops = mixer_stops(&computer, products)?;
    ensure!(!stops, "the input was stopped although a channel is wanted");

    // Nothing is linked any more: the device stops sending here, the input stops, the slot is given back.
    computer.run("pw-link", ["-d", &source.outputs[0].0.to_string(), &sink.inputs[0].0.to_string()])?;
    synth.process.says(&format!("stream 1 no more to {}", computer.address()), SOON)?;
    wait::until("the end of the route", SOON, || {
        let answer = agent::ask(&computer, products, &["routes"])?;
        Ok((answer["routes"].as_array().map(Vec::len) == Some(0)).then_some(()))
    })?;
    Ok(format!(
        "{} samples exact through this computer, which adds {:.1} ms; a link of one channel stays when the other goes",
        found.matched,
        added as f64 / 1e6
    ))
}

/// How many frames later this computer sends to the group of the mixer what the device sends it, and frames of a packet
/// there.
fn on_the_wire(stage: &Host, computer: &Host) -> anyhow::Result<(u64, u64)> {
    let heard = RtpStream { address: computer.address().into(), ..RtpStream::standard(1, 8) };
    let media = format!(
        "udp[4:2] > 200 and ((src host {} and dst host {1}) or (src host {1} and dst net 239.69.0.0/16))",
        stage.address(),
        computer.address()
    );
    let mut seen = BTreeMap::new();
    let found = wait::until("sound before and behind this computer", SOON, || {
        let packets = tshark::payloads(computer, &media, "1024-65535", PACKETS, SOON)?;
        seen.clear();
        for packet in &packets {
            *seen.entry((packet.address, packet.bytes.len())).or_insert(0) += 1;
        }
        let Some(&(address, octets)) = seen.keys().find(|(address, _)| address.is_multicast()) else {
            return Ok(None);
        };
        let sent = RtpStream { address, ..RtpStream::standard(1, 2) };
        let Some(lag) = lag(&packets, [&heard, &sent], PACKETS / 4 * 48)? else { return Ok(None) };
        Ok(Some((u64::try_from(lag)?, (octets / sent.frame_bytes()) as u64)))
    });
    found.with_context(|| format!("packets by destination and octets: {seen:?}"))
}

/// Whether the route of the input is in any state but receiving.
fn mixer_stops(host: &Host, products: &Products) -> anyhow::Result<bool> {
    let answer = agent::ask(host, products, &["routes"])?;
    Ok(answer["routes"].as_array().into_iter().flatten().any(|route: &Value| route["state"] != "receiving"))
}
