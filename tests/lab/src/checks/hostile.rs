use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use wireloom_clock_page::LineState;

use crate::agent::{self, Agent};
use crate::clock::Clock;
use crate::host::Host;
use crate::peers::hostile::Attack;
use crate::peers::{RtpStream, gstreamer, rtsp};
use crate::pipewire::{GraphNode, PipeWire, PipeWireOptions};
use crate::products::Products;
use crate::scene;
use crate::studio::Studio;
use crate::wait::{self, SOON};

/// Frames of a run.
const FRAMES: u64 = 240_000;
/// How often a machine that stalls may disturb a run.
const TRIES: usize = 8;
/// Latency class: twenty milliseconds, because the attacker and its victims share a small machine.
const LATENCY: u32 = 960;
/// How much faster than this machine the network's clock runs.
const PPM: f64 = 80.0;
/// Long enough to lock with an Announce a second, on a machine that stalls.
const LOCK: Duration = Duration::from_secs(40);
/// A program under attack may grow by so many octets: all tables full, with room to spare.
const MAY_GROW: u64 = 96 << 20;
/// Nodes that the agent makes at most, as configured by default.
const NODE_LIMIT: usize = 128;

/// The input of a device that answers nonsense when it is asked what that plays.
const TRAP: &str = "Trap : In";
/// The answers of `tests/interop/hostile_server.py`.
const NONSENSE: [&str; 18] = [
    "http-garbage",
    "http-stranger",
    "http-headers",
    "http-line",
    "http-body",
    "http-drip",
    "http-short",
    "http-again",
    "rtsp-garbage",
    "rtsp-stranger",
    "rtsp-headers",
    "rtsp-line",
    "rtsp-body",
    "rtsp-drip",
    "rtsp-short",
    "rtsp-again",
    "rtsp-interleaved",
    "rtsp-pushed",
];
/// All of them are given within this: the device is asked once a second, and left alone for a while.
const SERVED: Duration = Duration::from_secs(60);

/// A stream of this computer, whose description is had there.
const OURS: &str = "Ours";
const RTSP_PORT: u16 = 8854;

const GOOD: &str = "Stage box";
const SHARED: &str = "Shared desk";

/// While an application records a stream, a second sender, garbage of every kind and floods come to the group of
/// another one, descriptions lie, announcements are forged, mutated and deleted by strangers, PTP is mutated and sent
/// in the leader's name, strangers ask our server of RTSP nonsense, and DNS-SD names what is not there, and servers of
/// HTTP and RTSP that answer nonsense. The recording is whole, everything lives and stays small, who asks our server
/// properly is answered, and every stream says what it suffers.
pub fn run(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let (leader, stage) = (studio.host("leader")?, studio.host("stage")?);
    let (villain, computer) = (studio.host("villain")?, studio.host("computer")?);
    let trap = studio.host("trap")?;
    let mut clock = Clock::leader(&leader, products, 0, 100, PPM)?;
    clock.wait_for(LineState::Leader, SOON)?;
    let mut follower = Clock::follower(&computer, products, 0)?;
    let options = PipeWireOptions { sinks: vec!["void".to_owned()], ..PipeWireOptions::default() };
    let mut graph = scene::start_module(&computer, products, &BTreeMap::new(), options)?;
    let mut agent = Agent::start(&computer, products, &format!("latency-frames = {LATENCY}\n"))?;
    let line = follower.wait_for(LineState::Locked, LOCK)?;

    let good = RtpStream::standard(1, 2);
    let shared = RtpStream::standard(2, 2);
    let _good_sender = gstreamer::paced_sender(&stage, products, &good, PPM)?;
    let _shared_sender = gstreamer::paced_sender(&stage, products, &shared, PPM)?;
    let refclk = format!("a=ts-refclk:ptp=IEEE1588-2008:{}:0\r\n", line.leader);
    // Each has an id of its own, as a device's streams have; a receiver knows them by it.
    let describe = |stream: &RtpStream, name: &str, id: u32| {
        let text = stream.named_description(stage.address(), name, &refclk);
        text.replace("o=- 1 1 ", &format!("o=- {id} 1 "))
    };
    let (good_text, shared_text) = (describe(&good, GOOD, 4001), describe(&shared, SHARED, 4002));
    let _announcers = [
        gstreamer::announcer(&stage, "stage-box", &good_text)?,
        gstreamer::announcer(&stage, "shared-desk", &shared_text)?,
    ];
    let ask = |name: &str| Ok(agent::ask(&computer, products, &["show", name])?["stream"].clone());
    let node = graph_node(&mut graph, GOOD)?;
    let void = graph.wait_for_node("void", 0, 2, SOON)?;
    let shared_node = graph_node(&mut graph, SHARED)?;
    // Both are in use before the attack begins: what nobody uses may be deleted by whoever forges its sender.
    graph.link(&node, &void)?;
    graph.link(&shared_node, &void)?;
    // By their ids: what is mutated may bear their names.
    let (good_id, shared_id) = (stream_id(&node)?, stream_id(&shared_node)?);
    says(ask, &good_id, "running", "")?;
    agent::ask(&computer, products, &["stream", "create", OURS, "--channels", "2"])?;
    let offered = format!("rtsp://{}:{RTSP_PORT}/by-name/computer%20{OURS}", computer.address());
    wait::until("our stream being offered", SOON, || Ok(rtsp::describe(&stage, &offered).ok()))?;
    let before = Sizes::of(&graph, &agent, &mut follower)?;

    // First, because of servers that DNS-SD names only so many are followed.
    let mut servers = Attack::start(&trap, "servers", json!([{ "kind": "servers", "rate": 22 }]))?;
    graph_node(&mut graph, TRAP)?;
    let lies = lies();
    let mut attacks: Vec<Value> = lies.iter().filter_map(|lie| lie.attack.clone()).collect();
    let texts: Vec<String> = lies.iter().map(|lie| lie.description(&villain)).collect();
    let forged =
        [good_text.replace("/48000/2", "/48000/8"), good_text.replace("239.69.1.1/", "239.69.1.99/")];
    let forged = forged.map(|text| text.replace("o=- 4001 1 ", "o=- 4001 VERSION "));
    let leader_identity: String = line.leader.to_string().chars().filter(char::is_ascii_hexdigit).collect();
    attacks.extend([
        json!({ "kind": "rtp-sender", "rate": 250, "group": shared.address }),
        json!({ "kind": "rtp-garbage", "rate": 300, "group": shared.address }),
        json!({ "kind": "sap-texts", "rate": 2 * texts.len(), "texts": texts }),
        json!({ "kind": "sap-garbage", "rate": 30, "text": good_text }),
        json!({ "kind": "sap-forged", "rate": 5, "owner": stage.address(), "texts": forged }),
        json!({ "kind": "sap-deletion", "rate": 4, "owner": stage.address(), "text": good_text }),
        json!({ "kind": "dns-sd", "rate": 50 }),
        json!({ "kind": "rtsp-clients", "rate": 100, "to": computer.address(), "port": RTSP_PORT, "name": OURS }),
        json!({ "kind": "ptp-garbage", "rate": 200 }),
        json!({ "kind": "ptp-spoofed", "rate": 2, "leader": leader_identity }),
    ]);
    let mut attack = Attack::start(&villain, "attack", Value::Array(attacks))?;
    for lie in lies.iter().filter(|lie| lie.channels > 0) {
        let node = graph_node(&mut graph, lie.name)?;
        ensure!(node.outputs.len() == lie.channels, "{} has {} ports", lie.name, node.outputs.len());
        graph.link(&node, &void).with_context(|| format!("linking {}", lie.name))?;
    }
    for lie in &lies {
        says(ask, lie.name, lie.state, lie.says)?;
    }
    says(ask, &shared_id, "running", "second sender")?;
    let counted = agent::ask(&computer, products, &["show", &shared_id, "--statistics"])?;
    for what in ["foreign", "not-rtp", "bad-size"] {
        ensure!(counted["statistics"][what].as_u64() > Some(0), "{what} is not counted: {counted}");
    }
    let calm = scene::record_exactly(products, &mut graph, &node, &good, FRAMES, TRIES)?;
    attack.is_alive()?;
    let told = rtsp::describe(&stage, &offered).context("while strangers ask nonsense")?;
    ensure!(told.contains(OURS), "who asked properly was told {told}");
    // Before the flood, in which DNS-SD is given a rest.
    servers.serves(&NONSENSE, SERVED)?;
    agent
        .process
        .says(&format!("OAT device at {}:8080 cannot be controlled any more", trap.address()), SERVED)?;

    let flood = Attack::start(
        &villain,
        "flood",
        json!([
            { "kind": "sap-flood", "rate": 300 },
            { "kind": "rtp-garbage", "rate": 1500, "group": shared.address },
            { "kind": "dns-sd", "rate": 500 },
            { "kind": "ptp-garbage", "rate": 1000 },
        ]),
    )?;
    let flooded = scene::record_exactly(products, &mut graph, &node, &good, FRAMES, TRIES)?;
    let known = agent::ask(&computer, products, &["list"])?;
    let sent = flood.stop()? + attack.stop()? + servers.stop()?;

    agent.process.is_alive()?;
    graph.daemon.is_alive()?;
    let after = Sizes::of(&graph, &agent, &mut follower)?;
    after.check(&before)?;
    says(ask, &good_id, "running", "")?;
    says(ask, &shared_id, "running", "")?;
    let same = graph.node(&format!("wireloom.{good_id}.tx"))?.context("the node vanished")?;
    ensure!(same.id == node.id, "the node was made anew: {} became {}", node.id, same.id);
    let made = network_nodes(&graph)?;
    ensure!(made <= NODE_LIMIT, "{made} nodes were made, the limit is {NODE_LIMIT}");
    let held = follower.wait_for(LineState::Locked, SOON)?;
    ensure!(
        (held.leader, held.generation) == (line.leader, line.generation),
        "the clock was shaken: {line:?} became {held:?}"
    );
    let known = known["streams"].as_array().map_or(0, Vec::len);
    Ok(format!(
        "{sent} hostile datagrams; {} and {} samples exact meanwhile; {known} streams known, {made} nodes; {after}, before {before}",
        calm.comparison.matched, flooded.comparison.matched
    ))
}

/// A description that is not true, or cannot be read.
struct Lie {
    name: &'static str,
    said: RtpStream,
    /// Ports of the node that it becomes; none when it cannot be read.
    channels: usize,
    /// What is really sent.
    attack: Option<Value>,
    state: &'static str,
    says: &'static str,
}

impl Lie {
    fn description(&self, host: &Host) -> String {
        let text = self.said.named_description(host.address(), self.name, "");
        let id = 9000 + u32::from(self.said.number());
        let text = text.replace("o=- 1 1 ", &format!("o=- {id} 1 "));
        if self.channels > 0 { text } else { text.replace(" L24/", " opus/") }
    }
}

fn lies() -> [Lie; 5] {
    let send = |number: u8, more: Value| {
        let mut attack = json!({ "kind": "rtp-sender", "rate": 250, "frames": 192 });
        attack["group"] = json!(RtpStream::standard(number, 2).address);
        for (key, value) in more.as_object().into_iter().flatten() {
            attack[key] = value.clone();
        }
        Some(attack)
    };
    let said = |number: u8, channels: usize| RtpStream::standard(number, channels);
    [
        Lie {
            name: "Eight said",
            said: said(3, 8),
            channels: 8,
            attack: send(3, json!({})),
            state: "running",
            says: "description",
        },
        Lie {
            name: "Short said",
            said: said(4, 2),
            channels: 2,
            attack: send(4, json!({})),
            state: "running",
            says: "",
        },
        Lie {
            name: "Other type",
            said: RtpStream { samples_per_packet: 192, ..said(5, 2) },
            channels: 2,
            attack: send(5, json!({ "payload_type": 101 })),
            state: "running",
            says: "payload type",
        },
        Lie {
            name: "Nobody sends",
            said: said(6, 2),
            channels: 2,
            attack: None,
            state: "waiting",
            says: "packet",
        },
        Lie { name: "Broken", said: said(7, 2), channels: 0, attack: None, state: "error", says: "codec" },
    ]
}

/// What the programs under attack hold, in octets.
struct Sizes {
    agent: u64,
    pipewire: u64,
    clock: u64,
}

impl Sizes {
    fn of(graph: &PipeWire<'_>, agent: &Agent, clock: &mut Clock) -> anyhow::Result<Self> {
        Ok(Self {
            agent: agent.process.resident()?,
            pipewire: graph.daemon.resident()?,
            clock: clock.process().resident()?,
        })
    }

    fn check(&self, before: &Self) -> anyhow::Result<()> {
        let pairs =
            [(self.agent, before.agent), (self.pipewire, before.pipewire), (self.clock, before.clock)];
        ensure!(pairs.iter().all(|(after, before)| *after <= before + MAY_GROW), "{before} grew to {self}");
        Ok(())
    }
}

impl std::fmt::Display for Sizes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mib = |octets: u64| octets as f64 / f64::from(1 << 20);
        let Self { agent, pipewire, clock } = *self;
        write!(f, "agent {:.0} MiB, PipeWire {:.0}, clock {:.0}", mib(agent), mib(pipewire), mib(clock))
    }
}

/// Waits until the stream of that name is in `state` and says `text`.
fn says(
    ask: impl Fn(&str) -> anyhow::Result<Value>,
    name: &str,
    state: &str,
    text: &str,
) -> anyhow::Result<()> {
    let mut last = Value::Null;
    let found = wait::until(&format!("{name} in state {state} saying {text:?}"), SOON, || {
        // The node may be there a moment before its object is on the bus.
        last = ask(name).unwrap_or_else(|error| json!({ "state_text": format!("{error:#}") }));
        let said = last["state_text"].as_str().unwrap_or_default();
        Ok((last["state"] == state && said.contains(text)).then_some(()))
    });
    found.with_context(|| format!("it is {}, saying {}", last["state"], last["state_text"]))
}

fn graph_node(graph: &mut PipeWire<'_>, name: &str) -> anyhow::Result<GraphNode> {
    wait::until(&format!("the node of {name}"), 3 * SOON, || {
        graph.daemon.is_alive()?;
        let node = graph.node_with("media.name", name)?;
        Ok(node.filter(|node| node.outputs.len().max(node.inputs.len()) >= 2))
    })
}

/// Id of the stream that `node` plays.
fn stream_id(node: &GraphNode) -> anyhow::Result<String> {
    let name = node.info["props"]["node.name"].as_str().context("a node has a name")?;
    let id = name.strip_prefix("wireloom.").and_then(|name| name.strip_suffix(".tx"));
    Ok(id.with_context(|| format!("{name} is no stream of the network"))?.to_owned())
}

/// How many streams of the network are nodes.
fn network_nodes(graph: &PipeWire<'_>) -> anyhow::Result<usize> {
    let dump = graph.dump()?;
    let objects = dump.as_array().context("pw-dump prints a list")?;
    let is_stream = |object: &&Value| object["info"]["props"]["wireloom.stream"].is_string();
    Ok(objects.iter().filter(is_stream).count())
}
