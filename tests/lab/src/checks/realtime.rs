use std::collections::BTreeMap;
use std::net::SocketAddrV4;

use anyhow::{Context, ensure};
use serde_json::json;
use wireloom_wanted::{ClockRelation, Copies, Encoding, Leg};

use crate::host::Host;
use crate::peers::RtpStream;
use crate::peers::hostile::Attack;
use crate::pipewire::{PipeWire, PipeWireOptions};
use crate::products::Products;
use crate::scene;
use crate::studio::Studio;
use crate::wait::{self, SOON};

/// Frames that are sent and received in each mode while the guard watches.
const FRAMES: u64 = 96_000;
/// A run in which our code ran less often than this on the data loop shows nothing.
const SECTIONS: u64 = 1000;
/// From where to where a copy is sent.
const COPIES: (u16, u16) = (50_000, 50_064);

/// A stream is sent on two legs and as a copy to who asked, and received: locked, learned and resampled, each encoding
/// once, at last with garbage and a second sender in its group; in a daemon into which a guard is preloaded that aborts it
/// when our code on the data loop allocates, takes a lock, waits or makes a system call that is not allowed.
pub fn run(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let computer = studio.host("computer")?;
    let guard = products.compiled("rt-guard");
    let mut remarks = Vec::new();
    for (mode, clock, offset, encoding) in [
        ("locked", ClockRelation::Same, Some(0), Encoding::L24),
        ("locked", ClockRelation::Same, Some(0), Encoding::L32),
        ("learned", ClockRelation::Same, None, Encoding::L16),
        ("adaptive", ClockRelation::Other, Some(0), Encoding::AM824),
    ] {
        let stream =
            RtpStream { encoding, ..RtpStream::standard(1, if encoding == Encoding::L24 { 8 } else { 6 }) };
        let options = PipeWireOptions {
            environment: vec![("LD_PRELOAD".to_owned(), guard.clone().into_os_string())],
            ..PipeWireOptions::default()
        };
        let sections = watched_run(&computer, products, &stream, mode, (clock, offset), options)?;
        ensure!(sections > SECTIONS, "the guard watched only {sections} sections");
        remarks.push(format!("{sections} sections {mode} {encoding:?}"));
    }
    Ok(remarks.join(", "))
}

/// One host sends to itself; returns how often our code ran on the data loop.
fn watched_run(
    computer: &Host,
    products: &Products,
    stream: &RtpStream,
    mode: &str,
    (clock, offset): (ClockRelation, Option<u32>),
    options: PipeWireOptions,
) -> anyhow::Result<u64> {
    let channels = stream.channels;
    let mut heard = scene::receive_node(stream, "Lab", 480);
    (heard.clock, heard.media.offset) = (clock, offset);
    let mut sent = scene::transmit_node(stream, "Lab");
    let other = RtpStream::standard(2, channels);
    let second = Leg { interface: Some("eth0".to_owned()), ..Leg::to(other.address, other.port) };
    // What each of the ways carries is received beside it.
    let mut of_second = heard.clone();
    of_second.legs = vec![second.clone()];
    let mut of_copy = heard.clone();
    of_copy.legs = vec![Leg::to(computer.address().into(), COPIES.1)];
    heard.legs.push(second.clone());
    sent.legs.push(second);
    sent.copies = Some(Copies { port: COPIES.0, to: vec![SocketAddrV4::new(computer.address(), COPIES.1)] });
    let nodes = BTreeMap::from([
        ("lab.tx".to_owned(), heard),
        ("second.tx".to_owned(), of_second),
        ("copy.tx".to_owned(), of_copy),
        ("lab.rx".to_owned(), sent),
    ]);
    let mut graph = scene::start_module(computer, products, &nodes, options)?;
    let input = graph.wait_for_node("wireloom.lab.rx", 0, channels, SOON)?;
    let output = graph.wait_for_node("wireloom.lab.tx", channels, 0, SOON)?;
    let (_player, player) = graph.player(products, "player", &stream.code())?;
    graph.link(&player, &input)?;
    let mut recorder = graph.recorder(products, "recorder", channels)?;
    graph.link(&output, &recorder.node.clone())?;
    for name in ["second", "copy"] {
        let node = graph.wait_for_node(&format!("wireloom.{name}.tx"), channels, 0, SOON)?;
        graph.link(&node, &recorder.node.clone())?;
        wait::until(&format!("packets of the {name}"), SOON, || {
            graph.daemon.is_alive()?;
            let found = graph.node(&format!("wireloom.{name}.tx"))?.context("the node vanished")?;
            Ok((found.info["props"]["wireloom.state"] == "running").then_some(()))
        })?;
    }
    recorder.record(FRAMES, |_| {})?;
    let found = graph.node("wireloom.lab.tx")?.context("the node vanished")?;
    ensure!(found.info["props"]["wireloom.mode"] == mode, "read {}", found.info["props"]["wireloom.mode"]);
    let attacks = json!([
        { "kind": "rtp-garbage", "rate": 400, "group": stream.address },
        { "kind": "rtp-sender", "rate": 400, "group": stream.address, "channels": channels },
        { "kind": "rtp-sender", "rate": 100, "group": other.address, "payload_type": 11 },
    ]);
    let attack = Attack::start(computer, "garbage", attacks)?;
    recorder.record(2 * FRAMES, |_| {})?;
    graph.daemon.is_alive()?;
    attack.stop()?;
    recorder.finish()?;
    farewell(&mut graph)
}

fn farewell(graph: &mut PipeWire<'_>) -> anyhow::Result<u64> {
    graph.daemon.interrupt()?;
    let log = graph.daemon.log();
    let said = log.lines().find_map(|line| line.strip_prefix("rt-guard: watched "));
    let said = said.with_context(|| format!("the guard said no farewell:\n{log}"))?;
    Ok(said.split(' ').next().unwrap_or_default().parse()?)
}
