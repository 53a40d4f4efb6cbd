use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use wireloom_clock_page::LineState;

use crate::agent::Agent;
use crate::clock::Clock;
use crate::host::Host;
use crate::peers::avahi::{Avahi, Service};
use crate::peers::{RtpStream, gstreamer, rtsp};
use crate::pipewire::PipeWireOptions;
use crate::products::Products;
use crate::scene;
use crate::studio::Studio;
use crate::wait::{self, SOON};

/// Frames of a run: half a million samples of two channels.
const FRAMES: u64 = 286_000;
/// How often a machine that stalls may disturb a run.
const TRIES: usize = 8;
/// Latency class: twenty milliseconds, because two programs in a row pace the sender on a machine that stalls.
const LATENCY: u32 = 960;
/// How much faster than this machine the network's clock runs.
const PPM: f64 = 80.0;
/// Long enough to lock with an Announce a second, on a machine that stalls.
const LOCK: Duration = Duration::from_secs(40);
/// The name of the foreign session: with a blank and a letter that DNS-SD and URLs escape each in their way.
const SESSION: &str = "Bühne 1";
const PATH: &str = "/by-name/B%C3%BChne%201";
const RTSP_PORT: u16 = 8554;

/// Avahi and GStreamer's RTSP server offer a stream that no SAP announces: it becomes a node, is heard exactly, also
/// while the server pushes what it says anew of the same media, and goes when it is withdrawn. A stream of ours is found
/// by Avahi, described to FFmpeg, and withdrawn. Avahi runs on our computer too.
pub fn run(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let (leader, stage) = (studio.host("leader")?, studio.host("stage")?);
    let computer = studio.host("computer")?;
    let mut clock = Clock::leader(&leader, products, 0, 100, PPM)?;
    clock.wait_for(LineState::Leader, SOON)?;
    let mut follower = Clock::follower(&computer, products, 0)?;
    let mut graph = scene::start_module(&computer, products, &BTreeMap::new(), PipeWireOptions::default())?;
    let mut neighbour = Avahi::start(&computer)?;
    let mut agent = Agent::start(&computer, products, &format!("latency-frames = {LATENCY}\n"))?;
    let line = follower.wait_for(LineState::Locked, LOCK)?;

    let stream = RtpStream::standard(1, 2);
    let _sender = gstreamer::paced_sender(&stage, products, &stream, PPM)?;
    let grandmaster = format!("a=ts-refclk:ptp=IEEE1588-2008:{}:0\r\n", line.leader);
    let description = stream.named_description(stage.address(), "Stage box", &grandmaster);
    let mut server = rtsp::server(&stage, RTSP_PORT, PATH, &description)?;
    let avahi = Avahi::start(&stage)?;
    let published = Instant::now();
    let publication = avahi.publish(SESSION, RTSP_PORT)?;
    let node = wait::until("the node of the published session", SOON, || {
        agent.process.is_alive()?;
        Ok(graph.node_with("media.name", "Stage box")?.filter(|node| node.outputs.len() == 2))
    })?;
    let visible = published.elapsed();
    server.says("described", SOON)?;
    let protocol = node.info["props"]["wireloom.protocol"].as_str().unwrap_or_default().to_owned();
    ensure!(protocol == "ravenna", "the node says that its protocol is {protocol:?}");
    // PipeWire may show it a moment before the bus does.
    let shown = wait::until("the stream on the bus", SOON, || {
        Ok(cli(&computer, products, &["show", "Stage box"]).ok())
    })?;
    ensure!(shown.contains("dns-sd") && !shown.contains("sap"), "it is said to be found otherwise: {shown}");
    let interfaces = cli(&computer, products, &["interface"])?;
    ensure!(interfaces.contains("RAVENNA") && interfaces.contains("eth0"), "{interfaces}");

    let mut pushed = 0;
    let (samples, latency) = hear(products, &mut graph, &node, &stream, || {
        pushed += 1;
        let renewed = description.replace("o=- 1 1 ", &format!("o=- 1 {} ", 1 + pushed));
        rtsp::change(&stage, &renewed)
    })?;
    server.says("taken", SOON)?;
    let told = wait::until("the description that was pushed", SOON, || {
        let shown = cli(&computer, products, &["show", "Stage box", "--sdp"])?;
        Ok(shown.contains(&format!("o=- 1 {} ", 1 + pushed)).then_some(shown))
    })?;
    ensure!(!told.contains("sap"), "it was announced: {told}");
    let same = graph.node_with("media.name", "Stage box")?.context("the node vanished")?;
    ensure!(same.id == node.id, "the node was made anew: {} became {}", node.id, same.id);

    // Now ours: found where an Avahi is, also on our own computer, under the name that has the host's before it.
    cli(
        &computer,
        products,
        &["stream", "create", "Drums & more", "--channels", "2", "--flavour", "ravenna"],
    )?;
    let ours = Service {
        name: format!("{} Drums & more", computer.name()),
        address: computer.address().to_string(),
        port: 8854,
    };
    for (avahi, place) in [(&avahi, "the stage's"), (&neighbour, "our computer's")] {
        wait::until(&format!("{place} Avahi finding our session"), 3 * SOON, || {
            Ok(avahi.sessions()?.contains(&ours).then_some(()))
        })?;
    }
    let url = format!("rtsp://{}:8854/by-name/computer%20Drums%20%26%20more", computer.address());
    let told = rtsp::describe(&stage, &url)?;
    let announced = cli(&computer, products, &["show", "Drums & more", "--sdp"])?;
    let (_, announced) = announced.split_once("\nv=0").context("no description is shown")?;
    let told_lines = told.lines().map(str::trim).collect::<Vec<_>>().join("\n");
    ensure!(
        told_lines.starts_with(&format!("v=0{}", announced.trim_end())),
        "FFmpeg was told\n{told}\ninstead of\nv=0{announced}"
    );
    ensure!(told.contains("a=clock-domain:PTPv2 0"), "nothing of RAVENNA's in\n{told}");
    let options = rtsp::options(&stage, &url)?;
    ensure!(options.contains("Public: DESCRIBE, OPTIONS"), "curl was answered {options}");

    // Withdrawals, both ways.
    cli(&computer, products, &["stream", "remove", "Drums & more"])?;
    wait::until("our session going", SOON, || Ok((!avahi.sessions()?.contains(&ours)).then_some(())))?;
    drop(publication);
    wait::until("the node going with its session", SOON, || {
        agent.process.is_alive()?;
        Ok(graph.node_with("media.name", "Stage box")?.is_none().then_some(()))
    })?;
    neighbour.daemon.is_alive()?;
    Ok(format!(
        "{samples} samples, {latency} frames late, over a pushed description; visible {:.1} s after avahi-publish was started",
        visible.as_secs_f32()
    ))
}

fn cli(host: &Host, products: &Products, arguments: &[&str]) -> anyhow::Result<String> {
    host.run(products.program("wireloom"), arguments)
}

/// Records until a run is exact, as nothing disturbed it but what `happens` a second after its beginning; the samples
/// and the latency.
fn hear(
    products: &Products,
    graph: &mut crate::pipewire::PipeWire<'_>,
    node: &crate::pipewire::GraphNode,
    stream: &RtpStream,
    mut happens: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<(u64, u32)> {
    for _ in 0..TRIES {
        let mut happened = None;
        let run = scene::record(products, graph, node, stream, FRAMES, |frame| {
            if frame >= 48_000 && happened.is_none() {
                happened = Some(happens());
            }
        })?;
        happened.context("nothing happened")??;
        if run.is_exact()? {
            return Ok((run.comparison.matched, run.latency));
        }
    }
    anyhow::bail!("the machine disturbed all of {TRIES} runs; there is nothing to judge by")
}
