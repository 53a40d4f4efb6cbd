use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use wireloom_clock_page::LineState;

use crate::clock::Clock;
use crate::host::Host;
use crate::lag::lag;
use crate::peers::RtpStream;
use crate::peers::tshark;
use crate::pipewire::{PipeWire, PipeWireOptions};
use crate::products::Products;
use crate::scene;
use crate::studio::Studio;
use crate::wait::{self, SOON};

/// How often each side's PipeWire dies and is started again.
const RESTARTS: usize = 10;
/// Packets that are looked at after each, of both streams: half a second.
const PACKETS: usize = 1000;
/// Latency class: ten milliseconds, because a shared machine stalls.
const LATENCY: u32 = 480;
/// How much faster than this machine the network's clock runs.
const PPM: f64 = 80.0;
/// Long enough to lock with an Announce a second, on a machine that stalls.
const LOCK: Duration = Duration::from_secs(40);

/// One computer plays what a second hears and sends out again, both on the network's clock. What it sends out carries
/// later timestamps than what it heard, by the latency of its receiving node and not a sample more or less, whichever
/// of the two was killed and started again; and that is the latency which the node's port reports. Read from the wire by
/// a program that is not ours.
pub fn run(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let (leader, sender) = (studio.host("leader")?, studio.host("sender")?);
    let (relay, ear) = (studio.host("relay")?, studio.host("ear")?);
    let mut clock = Clock::leader(&leader, products, 0, 100, PPM)?;
    clock.wait_for(LineState::Leader, SOON)?;
    let mut followers = [Clock::follower(&sender, products, 0)?, Clock::follower(&relay, products, 0)?];
    for follower in &mut followers {
        follower.wait_for(LineState::Locked, LOCK)?;
    }

    let streams = [RtpStream::standard(1, 2), RtpStream::standard(2, 2)];
    let mut from = Some(scene::play(&sender, products, &streams[0])?);
    let mut to = Some(relaying(&relay, products, &streams)?);
    let mut latencies = vec![latency(&ear, &streams)?];
    let report = |graph: Option<&PipeWire<'_>>| {
        reported(graph.context("the relaying computer's graph")?, "wireloom.heard.tx")
    };
    let mut reports = vec![report(to.as_ref())?];
    for restart in 0..2 * RESTARTS {
        // Killed, as a crash would; the next one starts from nothing.
        if restart % 2 == 0 {
            drop(to.take());
            to = Some(relaying(&relay, products, &streams)?);
        } else {
            drop(from.take());
            from = Some(scene::play(&sender, products, &streams[0])?);
        }
        latencies.push(latency(&ear, &streams).with_context(|| format!("after {} restarts", restart + 1))?);
        reports.push(report(to.as_ref())?);
    }
    ensure!(latencies == reports, "measured {latencies:?} frames, but the port reports {reports:?}");
    ensure!(
        latencies.iter().all(|latency| *latency == i64::from(LATENCY)),
        "the latency is not {LATENCY} frames in every run: {latencies:?}"
    );
    Ok(format!("{LATENCY} frames in each of {} runs, as the port reports", latencies.len()))
}

/// The computer that hears the first stream and sends it as the second.
fn relaying<'a>(
    host: &'a Host,
    products: &Products,
    [heard, sent]: &[RtpStream; 2],
) -> anyhow::Result<PipeWire<'a>> {
    let receive = scene::same_clock_node(heard, "Heard", LATENCY);
    let transmit = scene::transmit_node(sent, "Sent");
    let nodes = BTreeMap::from([("heard.tx".to_owned(), receive), ("sent.rx".to_owned(), transmit)]);
    let mut graph = scene::start_module(host, products, &nodes, PipeWireOptions::default())?;
    let output = graph.wait_for_node("wireloom.heard.tx", heard.channels, 0, SOON)?;
    let input = graph.wait_for_node("wireloom.sent.rx", 0, sent.channels, SOON)?;
    graph.link(&output, &input)?;
    Ok(graph)
}

/// What the port of the receiving node `name` says about how old its samples are, in frames at 48 kHz.
pub(super) fn reported(graph: &PipeWire<'_>, name: &str) -> anyhow::Result<i64> {
    let node = graph.node(name)?.context("the receiving node vanished")?;
    let (_, port) = node.outputs.first().context("a receiving node has outputs")?;
    let latencies = port["params"]["Latency"].as_array().context("the port reports no latency")?;
    let output = latencies.iter().find(|latency| latency["direction"] == "Output");
    let output = output.context("the port reports no output latency")?;
    let [least, most] = ["min", "max"].map(|end| {
        let number = |unit: &str| output[format!("{end}{unit}")].as_f64().unwrap_or_default();
        (number("Rate") + number("Ns") * 48e-6).round() as i64
    });
    ensure!(least == most, "the port reports a latency between {least} and {most} frames");
    Ok(least)
}

/// By how many frames the second stream is later than the first. Waits until there is sound in both.
fn latency(ear: &Host, [first, second]: &[RtpStream; 2]) -> anyhow::Result<i64> {
    wait::until("sound in both streams", SOON, || {
        let port = first.port.to_string();
        let packets = tshark::payloads(ear, &format!("udp port {port}"), &port, PACKETS, SOON)?;
        // Half of all packets are the second stream's; it may be silent where the machine stalled.
        lag(&packets, [first, second], PACKETS / 4 * 48)
    })
}
