//! qpwgraph with an exclusive patchbay, which removes the links that its file does not have.

use std::collections::BTreeMap;

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use wireloom_clock_page::LineState;
use wireloom_wanted::{Key, LinkEnd, RouteOrigin, RouteState};

use crate::agent::{self, Agent};
use crate::clock::Clock;
use crate::comparison::{Comparison, describe};
use crate::host::Host;
use crate::peers::{RtpStream, gstreamer};
use crate::pipewire::{GraphNode, PipeWire, PipeWireOptions};
use crate::process::Process;
use crate::products::Products;
use crate::scene::{self, remote_receiver};
use crate::stand_in::StandIn;
use crate::studio::Studio;
use crate::timer::BareTimer;
use crate::wait::{self, SOON};

const FROM: &str = "wireloom.stage.tx";
/// The patchbay keeps a link to this one.
const BAY: &str = "wireloom.bay.rx";
/// And none to this one.
const RACK: &str = "wireloom.rack.rx";
/// So often a program may be taken for a person, because the machine stalls.
const ROUNDS: usize = 8;
/// Frames that the patchbay's own link must carry meanwhile: some rounds of its looking at the graph.
const FRAMES: u64 = 96_000;
/// Latency class: forty milliseconds, because a shared machine stalls.
const LATENCY: u32 = 1920;
/// A stall that may empty that.
const STALL: std::time::Duration = std::time::Duration::from_millis(20);
/// How often such a stall may disturb a run.
const TRIES: usize = 5;
/// The application that the patchbay links, and the one that it does not.
const MONITOR: &str = "monitor";
const RECORDER: &str = "recorder";

/// qpwgraph with a patchbay that is active and exclusive: it makes the links of its file again whenever they are gone and
/// destroys every other link of their outputs. Nobody fights it, nothing is lost without a word, and what it does not
/// name goes on.
pub fn run(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let (stage, computer, desk) = (studio.host("stage")?, studio.host("computer")?, studio.host("desk")?);
    let mut routes = Routes::start(&computer, products)?;
    routes.makes_its_own()?;
    let removed = routes.removes_what_others_made()?;
    let refused = routes.redraws_what_is_refused()?;
    drop(routes);
    let links = links_to_applications(&stage, &desk, products)?;
    Ok(format!(
        "a route of others was let be after {removed} rounds, a refused one after {refused}; \
         a wish was withdrawn with a word after {links} links, beside a link of its own that played on"
    ))
}

/// qpwgraph with these links in its file, each from an output of a node to an input of another.
fn qpwgraph(host: &Host, links: &[[(&GraphNode, &Value); 2]]) -> anyhow::Result<Process> {
    let mut items = String::new();
    for [from, to] in links {
        let end = |tag: &str, (node, port): &(&GraphNode, &Value)| {
            let props = &node.info["props"];
            let name =
                ["node.description", "node.nick", "node.name"].iter().find_map(|key| props[key].as_str());
            let port = ["port.alias", "port.name"].iter().find_map(|key| port["props"][key].as_str());
            let (name, port) = name.zip(port).context("node and port have names")?;
            anyhow::Ok(format!("<{tag} node=\"{name}\" port=\"{port}\"/>"))
        };
        let (from, to) = (end("output", from)?, end("input", to)?);
        items.push_str(&format!(
            "<item node-type=\"pipewire\" port-type=\"pipewire-audio\">{from}{to}</item>"
        ));
    }
    let file = host.directory().join("home/lab.qpwgraph");
    let version = "<!DOCTYPE patchbay>\n<patchbay name=\"lab\" version=\"0.3.9\">";
    std::fs::write(&file, format!("{version}<items>{items}</items></patchbay>\n"))?;
    let mut command = host.command("qpwgraph");
    command.env("QT_QPA_PLATFORM", "offscreen").args(["--activated", "--exclusive"]).arg(file);
    host.start("qpwgraph", command)
}

/// Prints links that come and go.
fn watch(host: &Host, products: &Products) -> anyhow::Result<Process> {
    let mut watch = host.spawn(products.program("wireloom-lab-patcher"), ["watch"])?;
    watch.says("ready", SOON)?;
    Ok(watch)
}

/// Routes between other devices, with the lab in the agent's place.
struct Routes<'a> {
    graph: PipeWire<'a>,
    agent: StandIn,
    from: GraphNode,
    bay: GraphNode,
    rack: GraphNode,
    watch: Process,
    _patchbay: Process,
}

/// The ends of a link on this channel of both nodes.
fn ends(to: &str, channel: u32) -> (LinkEnd, LinkEnd) {
    let end = |node: &str| LinkEnd { node: node.to_owned(), channel };
    (end(FROM), end(to))
}

impl<'a> Routes<'a> {
    fn start(host: &'a Host, products: &Products) -> anyhow::Result<Self> {
        let mut graph = scene::start_module(host, products, &BTreeMap::new(), PipeWireOptions::default())?;
        let mut agent = StandIn::start(host, products)?;
        let mut from = scene::receive_node(&RtpStream::standard(1, 2), "Stage box", 480);
        from.direct = vec!["aes67:48000".to_owned()];
        agent.set(&Key::Node("stage.tx".to_owned()), &from)?;
        for (id, name) in [("bay.rx", "Patch bay"), ("rack.rx", "Monitor rack")] {
            agent.set(&Key::Node(id.to_owned()), &remote_receiver(id, name, 2, &["aes67:48000"]))?;
        }
        let from = graph.wait_for_node(FROM, 2, 0, SOON)?;
        let [bay, rack] = [BAY, RACK].map(|name| graph.wait_for_node(name, 0, 2, SOON));
        let (bay, rack) = (bay?, rack?);
        let watch = watch(host, products)?;
        let patchbay = qpwgraph(host, &[[(&from, &from.outputs[0].1), (&bay, &bay.inputs[0].1)]])?;
        Ok(Self { graph, agent, from, bay, rack, watch, _patchbay: patchbay })
    }

    /// How often a link between these channels has come.
    fn comes(&self, to: &GraphNode, channel: usize) -> usize {
        let (output, input) = (self.from.outputs[channel].0, to.inputs[channel].0);
        self.watch.log().matches(&format!(" {output} {input} ")).count()
    }

    /// The link between these channels, once it is in this state.
    fn wait_for_link(&mut self, to: u64, state: &str) -> anyhow::Result<Value> {
        wait::until(&format!("a link to {to} in state {state}"), SOON, || {
            self.graph.daemon.is_alive()?;
            let mut links = self.graph.links()?.into_iter();
            Ok(links.find(|link| link["info"]["input-port-id"] == to && link["info"]["state"] == state))
        })
    }

    /// The link of its file is a wish, as if a person had drawn it.
    fn makes_its_own(&mut self) -> anyhow::Result<()> {
        let (output, input) = ends(BAY, 0);
        self.agent
            .wait_for_want(&output, &input, Some(true))
            .context("qpwgraph makes what is in its file")?;
        self.agent.set_route(&output, &input, RouteOrigin::Graph, RouteState::Receiving, "")?;
        self.wait_for_link(self.bay.inputs[0].0, "active").map(drop)
    }

    /// Others route the same output to another device, and do so again. Returns after how many rounds they are let be.
    fn removes_what_others_made(&mut self) -> anyhow::Result<usize> {
        let own = self.wait_for_link(self.bay.inputs[0].0, "active")?;
        let (output, input) = ends(RACK, 0);
        // What the patchbay does not name.
        let (other_output, other_input) = ends(RACK, 1);
        self.agent.set_route(&other_output, &other_input, RouteOrigin::Network, RouteState::Receiving, "")?;
        let other = self.wait_for_link(self.rack.inputs[1].0, "active")?;
        let port = self.rack.inputs[0].0;
        for round in 1..=ROUNDS {
            let seen = self.comes(&self.rack, 0);
            self.agent.set_route(&output, &input, RouteOrigin::Network, RouteState::Receiving, "")?;
            wait::until("qpwgraph destroying a link", SOON, || {
                self.watch.is_alive()?;
                let links = self.graph.links()?;
                let there = links.iter().any(|link| link["info"]["input-port-id"] == port);
                Ok((self.comes(&self.rack, 0) > seen && !there).then_some(()))
            })?;
            let said = || self.graph.daemon.log().contains("a program keeps removing");
            wait::until("a wish or a word", SOON, || {
                Ok((said() || self.agent.want(&output, &input) == Some(false)).then_some(()))
            })?;
            if !said() {
                self.agent.delete_route(&output, &input)?;
                self.agent.wait_for_want(&output, &input, None)?;
                continue;
            }
            ensure!(round > 1, "the first removal is a wish, and it was not told");
            ensure!(self.agent.want(&output, &input).is_none(), "the route of others was withdrawn");
            let seen = self.comes(&self.rack, 0);
            for state in [RouteState::Degraded, RouteState::Receiving] {
                self.agent.set_route(&output, &input, RouteOrigin::Network, state, "")?;
                self.agent.set_route(&other_output, &other_input, RouteOrigin::Network, state, "")?;
                let shown = if state == RouteState::Receiving { "active" } else { "paused" };
                let still = self.wait_for_link(self.rack.inputs[1].0, shown)?;
                ensure!(still["id"] == other["id"], "a link that the patchbay does not name was made anew");
            }
            ensure!(self.comes(&self.rack, 0) == seen, "the link was shown once more");
            let still = self.wait_for_link(self.bay.inputs[0].0, "active")?;
            ensure!(still["id"] == own["id"], "the patchbay's own link was made anew");
            return Ok(round);
        }
        bail!("the fight went on for {ROUNDS} rounds")
    }

    /// The device refuses what is in the file. Returns after how many rounds the link is left to the patchbay.
    fn redraws_what_is_refused(&mut self) -> anyhow::Result<usize> {
        let (output, input) = ends(BAY, 0);
        let why = "the bay has no such channel";
        for round in 1..=ROUNDS {
            self.agent.set_route(&output, &input, RouteOrigin::Graph, RouteState::Connecting, "")?;
            self.agent.set_route(&output, &input, RouteOrigin::Graph, RouteState::Failed, why)?;
            let said = || self.graph.daemon.log().contains("a program keeps drawing");
            wait::until("a withdrawn wish or a word", SOON, || {
                Ok((said() || self.agent.want(&output, &input) == Some(false)).then_some(()))
            })?;
            if !said() {
                self.agent.wait_for_want(&output, &input, Some(true)).context("qpwgraph draws it again")?;
                continue;
            }
            ensure!(round > 1, "the first time was taken for a program's");
            let made = self.comes(&self.bay, 0);
            let link = self.wait_for_link(self.bay.inputs[0].0, "error")?;
            ensure!(link["info"]["error"] == why, "{link}");
            ensure!(made <= 2 * ROUNDS, "{made} links were made");
            return Ok(round);
        }
        bail!("the fight went on for {ROUNDS} rounds")
    }
}

/// A wish for a link to an application that the patchbay does not name, while it keeps one from the same outputs to
/// another. Returns how many links the wish made.
fn links_to_applications(stage: &Host, desk: &Host, products: &Products) -> anyhow::Result<usize> {
    let stream = RtpStream::standard(1, 2);
    let mut clock = Clock::leader(desk, products, 0, 100, 0.0)?;
    clock.wait_for(LineState::Leader, SOON)?;
    let mut graph = scene::start_module(desk, products, &BTreeMap::new(), PipeWireOptions::default())?;
    let mut agent = Agent::start(desk, products, &format!("latency-frames = {LATENCY}\n"))?;
    let _sender = gstreamer::sender(stage, &stream)?;
    let file = desk.directory().join("home/stage.sdp");
    std::fs::write(&file, stream.description(stage.address()))?;
    let file = file.to_str().context("a path in UTF-8")?;
    agent::ask(desk, products, &["stream", "add-sdp", file])?;
    let name = format!("Lab {}", stream.address);
    let node = wait::until("the node of the stream", SOON, || {
        graph.daemon.is_alive()?;
        Ok(graph.node_with("media.name", &name)?.filter(|node| node.outputs.len() == 2))
    })?;
    let recorder = graph.recorder(products, RECORDER, 2)?;
    let mut watch = watch(desk, products)?;
    for _ in 0..TRIES {
        let mut monitor = graph.recorder(products, MONITOR, 2)?;
        let timer = BareTimer::start()?;
        let own = monitor.node.clone();
        let links = [0, 1].map(|at| [(&node, &node.outputs[at].1), (&own, &own.inputs[at].1)]);
        let mut patchbay = qpwgraph(desk, &links)?;
        wait::until("the links of the patchbay", SOON, || {
            patchbay.is_alive()?;
            Ok((graph.links_between(&node, &own)? == 2).then_some(()))
        })?;
        let before = watch.log().len();
        agent::ask(desk, products, &["connect", &name, RECORDER])?;
        wait::until("the end of the wish", SOON, || {
            agent.process.is_alive()?;
            watch.is_alive()?;
            let routes = agent::ask(desk, products, &["routes"])?;
            let routes = routes["routes"].as_array().context("a list of routes")?;
            Ok((!routes.iter().any(|route| route["sink"] == RECORDER)).then_some(()))
        })?;
        let enough = monitor.frames()? + FRAMES;
        monitor.record(enough, |_| {})?;
        let log = watch.log();
        let made = |to: &GraphNode| -> usize {
            let comes = |port: &u64| log[before..].matches(&format!(" {port} false\n")).count();
            to.inputs.iter().map(|(port, _)| comes(port)).sum()
        };
        let (wished, kept) = (made(&recorder.node), made(&own));
        ensure!((1..=2).contains(&wished), "the wish for two links made {wished}:\n{}", &log[before..]);
        ensure!(kept == 0, "the patchbay's own links were made anew");
        ensure!(graph.links_between(&node, &recorder.node)? == 0, "a link that was removed came back");
        let said = "its link was removed in the graph, which withdraws the route";
        ensure!(agent.process.log().contains(said), "the agent does not say what became of the wish");
        patchbay.kill()?;
        let recording = monitor.finish()?;
        let code = stream.code();
        let found = Comparison::new(&code, &recording).with_context(|| describe(&code, &recording))?;
        ensure!(found.wrong == 0 && found.slips.is_empty(), "beside it: {found}");
        if found.is_exact(FRAMES) {
            return Ok(wished);
        }
        ensure!(timer.worst() > STALL, "a run that nothing disturbed: {found}");
    }
    bail!("the machine disturbed all of {TRIES} runs; there is nothing to judge by")
}
