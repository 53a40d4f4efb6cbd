use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use serde_json::Value;
use wireloom_wanted::{Encoding, Keepalive};

use crate::agent::{self, Agent};
use crate::host::Host;
use crate::peers::announcer::Announcer;
use crate::peers::{RtpStream, gstreamer};
use crate::pipewire::PipeWireOptions;
use crate::products::Products;
use crate::scene;
use crate::studio::Studio;
use crate::wait::{self, SOON};

const NAME: &str = "Stage box";
/// What keeps the flow of the other stream alive.
const KEEPALIVE: &str = "00ff7a";
const KEEPALIVE_PORT: u16 = 5998;
/// Prints the first three datagrams to a port: port of the sender, payload in hexadecimal.
const LISTENER: &str = "import socket,sys\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n\
    s.bind(('',int(sys.argv[1])))\nprint('ready',flush=True)\n\
    for _ in range(3):\n d,a=s.recvfrom(2048)\n print('got',a[1],d.hex(),flush=True)\n";

/// A device changes its stream from L24 to L16 while it is played: the node stays, and packets of the new kind are
/// heard and counted from zero. A stream with a keep-alive sends it from the very port that it listens to.
pub fn run(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let (stage, computer) = (studio.host("stage")?, studio.host("computer")?);
    let mut listener = stage
        .spawn("/usr/bin/python3", ["-c".to_owned(), LISTENER.to_owned(), KEEPALIVE_PORT.to_string()])?;
    listener.says("ready", SOON)?;
    let kept = RtpStream { port: 5010, ..RtpStream::standard(9, 2) };
    let mut wanted = scene::receive_node(&kept, "Kept alive", 480);
    wanted.keepalive = Some(Keepalive {
        bytes: KEEPALIVE.to_owned(),
        to: (stage.address(), KEEPALIVE_PORT).into(),
        interval_ms: 300,
    });
    let nodes = BTreeMap::from([("kept.tx".to_owned(), wanted)]);
    let options = PipeWireOptions { sinks: vec!["void".to_owned()], ..PipeWireOptions::default() };
    let mut graph = scene::start_module(&computer, products, &nodes, options)?;
    let _agent = Agent::start(&computer, products, "")?;
    let void = graph.wait_for_node("void", 0, 2, SOON)?;
    let kept_node = graph.wait_for_node("wireloom.kept.tx", 2, 0, SOON)?;
    ensure!(!listener.log().contains("got"), "a keep-alive was sent before anything was linked");
    graph.link(&kept_node, &void)?;
    listener.succeeds(SOON)?;
    let log = listener.log();
    let sent: Vec<&str> = log.lines().filter_map(|line| line.strip_prefix("got ")).collect();
    let expected = format!("{} {KEEPALIVE}", kept.port);
    ensure!(sent == [expected.as_str(); 3], "keep-alives: {sent:?}, expected {expected}");

    let first = RtpStream::standard(1, 2);
    let second = RtpStream { encoding: Encoding::L16, ..first.clone() };
    let mut announcer = Announcer::start(&stage)?;
    let sender = gstreamer::sender(&stage, &first)?;
    announcer.announce(&first.named_description(stage.address(), NAME, ""))?;
    let node = wait::until("the node of the announced stream", SOON, || {
        graph.daemon.is_alive()?;
        Ok(graph.node_with("media.name", NAME)?.filter(|node| node.outputs.len() == 2))
    })?;
    graph.link(&node, &void)?;
    let before = heard(&computer, products, "L24", 500)?;
    drop(sender);
    let text = second.named_description(stage.address(), NAME, "").replace("o=- 1 1 ", "o=- 1 2 ");
    announcer.announce(&text)?;
    let none = wait::until("the change", SOON, || {
        let shown = agent::ask(&computer, products, &["show", NAME, "--statistics"])?;
        let packets = shown["statistics"]["packets"].as_u64().unwrap_or(u64::MAX);
        Ok((shown["stream"]["encoding"] == "L16" && packets < before).then_some(packets))
    })?;
    ensure!(none == 0, "{none} packets are counted of a stream that does not send yet");
    let _sender = gstreamer::sender(&stage, &second)?;
    let after = heard(&computer, products, "L16", 500)?;
    let same = graph.node_with("media.name", NAME)?.context("the node vanished")?;
    ensure!(same.id == node.id, "the node was made anew: {} became {}", node.id, same.id);
    Ok(format!(
        "{before} packets of L24, then {after} of L16 in the same node; 3 keep-alives from port {}",
        kept.port
    ))
}

/// Waits until the stream runs with this encoding and so many packets of it were taken; answers how many.
fn heard(host: &Host, products: &Products, encoding: &str, least: u64) -> anyhow::Result<u64> {
    let mut last = Value::Null;
    let found = wait::until(&format!("{least} packets of {encoding}"), 3 * SOON, || {
        // The node may be there a moment before its object is on the bus.
        last = agent::ask(host, products, &["show", NAME, "--statistics"])
            .unwrap_or_else(|error| Value::String(format!("{error:#}")));
        let packets = last["statistics"]["packets"].as_u64().unwrap_or(0);
        let runs = last["stream"]["state"] == "running" && last["stream"]["encoding"] == encoding;
        Ok((runs && packets >= least).then_some(packets))
    });
    found.with_context(|| format!("it is {last}"))
}
