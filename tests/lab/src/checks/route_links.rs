use std::collections::BTreeMap;

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use wireloom_wanted::{Key, LinkEnd, Node, RouteOrigin, RouteState};

use crate::host::Host;
use crate::peers::RtpStream;
use crate::peers::tshark::Capture;
use crate::pipewire::{PipeWire, PipeWireOptions};
use crate::process::Process;
use crate::products::Products;
use crate::scene::{self, remote_receiver};
use crate::stand_in::StandIn;
use crate::studio::Studio;
use crate::wait::{self, SOON};

const FROM: &str = "wireloom.stage.tx";
const TO: &str = "wireloom.rack.rx";
const BAY: &str = "wireloom.bay.rx";
const OTHER: &str = "wireloom.island.rx";

/// Routes that others made appear as links and go again; a route that is refused takes its link away and says why; what
/// goes with a node, a program or PipeWire is no wish of anybody; no program is fought; devices without a common
/// language are linked through this computer.
pub fn run(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let computer = studio.host("computer")?;
    let stream = RtpStream::standard(1, 2);
    let mut from = scene::receive_node(&stream, "Stage box", 480);
    from.direct = vec!["aes67:48000".to_owned()];
    let nodes = vec![
        ("stage.tx", from),
        ("rack.rx", remote_receiver("d-rack", "Monitor rack", 2, &["aes67:48000"])),
        ("bay.rx", remote_receiver("d-rack", "Patch bay", 2, &["aes67:48000"])),
        ("island.rx", remote_receiver("d-island", "Island", 2, &["something-else"])),
    ];
    let mut bench = Bench::start(&computer, products, nodes.clone())?;
    bench.network_route_appears_and_goes()?;
    bench.deletion_is_found_by_an_agent_that_was_away()?;
    bench.refused_route_says_why()?;
    bench.node_that_goes_withdraws_nothing()?;
    bench.link_destroyed_with_its_node_withdraws_nothing()?;
    let rounds = bench.no_fight_with_a_patchbay()?;
    bench.no_common_language_is_a_relay()?;
    bench.languages_learned_later_make_a_relay_virtual()?;
    bench.local_program_plays_to_a_remote_receiver()?;
    bench.offline_receiver_keeps_its_links()?;
    let status = bench.graph.daemon.interrupt()?;
    ensure!(status.success(), "PipeWire, stopped with a virtual link alive, ended with {status}");
    drop(bench);

    let mut bench = Bench::start(&computer, products, nodes)?;
    bench.network_route_appears_and_goes().context("after a restart of PipeWire")?;
    Ok(format!(
        "made, refused, destroyed, relayed as they should, also after a restart; \
         a patchbay that destroys them had its way after {rounds} rounds"
    ))
}

struct Bench<'a> {
    graph: PipeWire<'a>,
    agent: StandIn,
    products: &'a Products,
    host: &'a Host,
    nodes: Vec<(&'static str, Node)>,
}

/// The ends of a link on the given channel of both nodes.
fn ends(to: &str, channel: u32) -> (LinkEnd, LinkEnd) {
    let end = |node: &str| LinkEnd { node: node.to_owned(), channel };
    (end(FROM), end(to))
}

impl<'a> Bench<'a> {
    fn start(
        host: &'a Host,
        products: &'a Products,
        nodes: Vec<(&'static str, Node)>,
    ) -> anyhow::Result<Self> {
        let graph = scene::start_module(host, products, &BTreeMap::new(), PipeWireOptions::default())?;
        let mut agent = StandIn::start(host, products)?;
        for (id, node) in &nodes {
            agent.set(&Key::Node((*id).to_owned()), node)?;
        }
        let mut bench = Self { graph, agent, products, host, nodes };
        bench.ports(TO, 0)?;
        bench.ports(BAY, 0)?;
        bench.ports(OTHER, 0)?;
        Ok(bench)
    }

    /// Global ids of both ports of a link.
    fn ports(&mut self, to: &str, channel: usize) -> anyhow::Result<[String; 2]> {
        let from = self.graph.wait_for_node(FROM, 2, 0, SOON)?;
        let to = self.graph.wait_for_node(to, 0, 2, SOON)?;
        Ok([from.outputs[channel].0.to_string(), to.inputs[channel].0.to_string()])
    }

    /// The link as `pw-dump` shows it.
    fn link(&mut self, to: &str, channel: usize) -> anyhow::Result<Option<Value>> {
        let [output, input] = self.ports(to, channel)?.map(|id| id.parse::<u64>().unwrap_or(u64::MAX));
        let joins =
            |link: &Value| link["info"]["output-port-id"] == output && link["info"]["input-port-id"] == input;
        Ok(self.graph.links()?.into_iter().find(joins))
    }

    fn wait_for_link(&mut self, to: &str, channel: usize, state: &str) -> anyhow::Result<Value> {
        wait::until(&format!("the link of channel {channel} to {to} in state {state}"), SOON, || {
            Ok(self.link(to, channel)?.filter(|link| link["info"]["state"] == state))
        })
    }

    fn wait_for_no_link(&mut self, to: &str, channel: usize) -> anyhow::Result<()> {
        wait::until("the end of the link", SOON, || Ok(self.link(to, channel)?.is_none().then_some(())))
    }

    fn pw_link(&mut self, options: &[&str], to: &str, channel: usize) -> anyhow::Result<()> {
        let ports = self.ports(to, channel)?;
        let fixed = ["20", "pw-link"];
        let arguments = fixed.iter().chain(options).copied().chain(ports.iter().map(String::as_str));
        self.host.run("timeout", arguments).map(drop)
    }

    /// Prints links that come and go, as a patchbay sees them.
    fn watch(&self, options: &[&str]) -> anyhow::Result<Process> {
        let program = self.products.program("wireloom-lab-patcher");
        let mut watch = self.host.spawn(program, ["watch"].iter().chain(options))?;
        watch.says("ready", SOON)?;
        Ok(watch)
    }

    /// Removes the link, and answers as the agent does.
    fn tidy(&mut self, channel: u32) -> anyhow::Result<()> {
        let (output, input) = ends(TO, channel);
        self.pw_link(&["-d"], TO, channel as usize)?;
        self.agent.wait_for_want(&output, &input, Some(false))?;
        self.agent.set_route(&output, &input, RouteOrigin::Graph, RouteState::Connecting, "")?;
        self.agent.delete_route(&output, &input)?;
        self.agent.wait_for_want(&output, &input, None)
    }

    fn network_route_appears_and_goes(&mut self) -> anyhow::Result<()> {
        let (output, input) = ends(TO, 0);
        self.agent.set_route(&output, &input, RouteOrigin::Network, RouteState::Receiving, "")?;
        let link = self.wait_for_link(TO, 0, "active")?;
        ensure!(link["info"]["props"]["wireloom.direct"] == true, "{link}");
        self.agent.set_route(&output, &input, RouteOrigin::Network, RouteState::Failed, "lost")?;
        self.wait_for_link(TO, 0, "paused")?;
        self.agent.delete_route(&output, &input)?;
        self.wait_for_no_link(TO, 0)?;
        ensure!(self.agent.want(&output, &input).is_none(), "nobody of this computer wished for it");
        Ok(())
    }

    fn deletion_is_found_by_an_agent_that_was_away(&mut self) -> anyhow::Result<()> {
        let (output, input) = ends(TO, 0);
        self.agent.set_route(&output, &input, RouteOrigin::Network, RouteState::Receiving, "")?;
        self.wait_for_link(TO, 0, "active")?;
        self.pw_link(&["-d"], TO, 0)?;
        self.wait_for_no_link(TO, 0)?;
        self.pw_link(&[], TO, 1)?;
        self.agent = StandIn::start(self.host, self.products)?;
        self.agent.wait_for_want(&output, &input, Some(false))?;
        self.agent.delete_route(&output, &input)?;
        self.agent.wait_for_want(&output, &input, None)?;
        let (output, input) = ends(TO, 1);
        self.agent.wait_for_want(&output, &input, Some(true))?;
        // The agent takes a route away that a client had drawn: somebody removed it elsewhere.
        self.agent.set_route(&output, &input, RouteOrigin::Graph, RouteState::Receiving, "")?;
        self.wait_for_link(TO, 1, "active")?;
        self.agent.delete_route(&output, &input)?;
        self.wait_for_no_link(TO, 1)?;
        self.agent.wait_for_want(&output, &input, None)
    }

    fn refused_route_says_why(&mut self) -> anyhow::Result<()> {
        let (output, input) = ends(TO, 1);
        let mut watch = self.watch(&[])?;
        self.pw_link(&[], TO, 1)?;
        let link = self.wait_for_link(TO, 1, "negotiating")?;
        let why = "the rack has no such channel";
        self.agent.set_route(&output, &input, RouteOrigin::Graph, RouteState::Failed, why)?;
        watch.says(&format!("={} error {why}", link["id"]), SOON)?;
        watch.says(&format!("-{}\n", link["id"]), SOON)?;
        self.agent.wait_for_want(&output, &input, Some(false))?;
        self.agent.delete_route(&output, &input)?;
        self.agent.wait_for_want(&output, &input, None)
    }

    fn node_that_goes_withdraws_nothing(&mut self) -> anyhow::Result<()> {
        let (output, input) = ends(TO, 0);
        self.pw_link(&[], TO, 0)?;
        self.agent.wait_for_want(&output, &input, Some(true))?;
        self.agent.delete(&Key::Node("stage.tx".to_owned()))?;
        wait::until("the end of node and link", SOON, || {
            Ok((self.graph.node(FROM)?.is_none() && self.graph.links()?.is_empty()).then_some(()))
        })?;
        ensure!(self.agent.want(&output, &input) == Some(true), "the wish went with the node");
        let (id, node) = self.nodes.first().context("there are nodes")?;
        self.agent.set(&Key::Node((*id).to_owned()), node)?;
        self.wait_for_link(TO, 0, "negotiating").context("the node has returned")?;
        self.tidy(0)
    }

    fn link_destroyed_with_its_node_withdraws_nothing(&mut self) -> anyhow::Result<()> {
        let (output, input) = ends(TO, 0);
        self.pw_link(&[], TO, 0)?;
        self.agent.wait_for_want(&output, &input, Some(true))?;
        let link = self.wait_for_link(TO, 0, "negotiating")?;
        let node = self.graph.wait_for_node(FROM, 2, 0, SOON)?;
        let program = self.products.program("wireloom-lab-patcher");
        self.host.run(program, ["destroy-both", &link["id"].to_string(), &node.id.to_string()])?;
        wait::until("node and link made anew", SOON, || {
            let serial = |object: &Value| object["info"]["props"]["object.serial"].clone();
            let Some(again) = self.link(TO, 0)? else { return Ok(None) };
            Ok((serial(&again) != serial(&link)).then_some(()))
        })?;
        ensure!(self.agent.want(&output, &input) == Some(true), "the wish went with the node");
        self.tidy(0)
    }

    /// A patchbay destroys at once whatever is made between two ports, and somebody on the network makes it again and
    /// again. Returns how often it had to.
    fn no_fight_with_a_patchbay(&mut self) -> anyhow::Result<usize> {
        let (output, input) = ends(BAY, 0);
        let ports = self.ports(BAY, 0)?;
        let comes = format!(" {} {} ", ports[0], ports[1]);
        let mut watch = self.watch(&["--never", &ports[0], &ports[1]])?;
        for round in 1..=ROUNDS {
            let seen = watch.log().matches(&comes).count();
            self.agent.set_route(&output, &input, RouteOrigin::Network, RouteState::Receiving, "")?;
            wait::until("a link for the patchbay to destroy", SOON, || {
                watch.is_alive()?;
                Ok((watch.log().matches(&comes).count() > seen).then_some(()))
            })?;
            self.wait_for_no_link(BAY, 0)?;
            // What is made on other ports after that comes after that.
            let (next_output, next_input) = ends(BAY, 1);
            self.agent.set_route(&next_output, &next_input, RouteOrigin::Network, RouteState::Offline, "")?;
            self.wait_for_link(BAY, 1, "paused")?;
            self.agent.delete_route(&next_output, &next_input)?;
            self.wait_for_no_link(BAY, 1)?;
            if self.agent.want(&output, &input) == Some(false) {
                self.agent.delete_route(&output, &input)?;
                self.agent.wait_for_want(&output, &input, None)?;
                continue;
            }
            let seen = watch.log().matches(&comes).count();
            for state in [RouteState::Degraded, RouteState::Connecting, RouteState::Receiving] {
                self.agent.set_route(&output, &input, RouteOrigin::Network, state, "")?;
            }
            self.agent.set_route(&next_output, &next_input, RouteOrigin::Network, RouteState::Offline, "")?;
            self.wait_for_link(BAY, 1, "paused")?;
            self.agent.delete_route(&next_output, &next_input)?;
            self.wait_for_no_link(BAY, 1)?;
            ensure!(watch.log().matches(&comes).count() == seen, "the link was shown once more");
            ensure!(self.agent.want(&output, &input).is_none(), "the route of others was withdrawn");
            self.agent.delete_route(&output, &input)?;
            ensure!(round > 1, "the first removal is a wish, and it was not told");
            return Ok(round);
        }
        bail!("the fight went on for {ROUNDS} rounds")
    }

    fn no_common_language_is_a_relay(&mut self) -> anyhow::Result<()> {
        let (output, input) = ends(OTHER, 1);
        let mut watch = self.watch(&[])?;
        let ports = self.ports(OTHER, 1)?;
        self.pw_link(&[], OTHER, 1)?;
        watch.says(&format!(" {} {} true", ports[0], ports[1]), SOON)?;
        let link = self.link(OTHER, 1)?.context("the link is there")?;
        ensure!(link["info"]["props"].get("wireloom.direct").is_none(), "{link}");
        let stream = RtpStream::standard(1, 2);
        let group = stream.igmp_group().context("a group of IPv4")?;
        wait::until("the stream being received here", SOON, || {
            Ok(self.host.run("cat", ["/proc/net/igmp"])?.contains(&group).then_some(()))
        })?;
        ensure!(self.agent.want(&output, &input).is_none(), "a relay is no route of the devices");
        Ok(())
    }

    fn languages_learned_later_make_a_relay_virtual(&mut self) -> anyhow::Result<()> {
        let (output, input) = ends(OTHER, 1);
        let node = remote_receiver("d-island", "Island", 2, &["aes67:48000"]);
        self.agent.set(&Key::Node("island.rx".to_owned()), &node)?;
        self.agent.wait_for_want(&output, &input, Some(true))?;
        let link = wait::until("a virtual link", SOON, || self.link(OTHER, 1))?;
        ensure!(link["info"]["props"]["wireloom.direct"] == true, "{link}");
        wait::until("no stream here", SOON, || {
            let text = self.host.run("cat", ["/proc/net/igmp"])?;
            Ok((!text.contains("010145EF")).then_some(()))
        })
    }
}

impl Bench<'_> {
    /// A remote receiver has no socket and says what it waits for, until the agent has found it an address.
    fn local_program_plays_to_a_remote_receiver(&mut self) -> anyhow::Result<()> {
        let stream = RtpStream::standard(7, 2);
        let (_player, player) = self.graph.player(self.products, "player", &stream.code())?;
        let node = self.graph.wait_for_node(TO, 0, 2, SOON)?;
        self.graph.link(&player, &node)?;
        self.wait_for_state("waiting", "the device has not been told yet what to listen to")?;
        ensure!(!self.host.run("cat", ["/proc/net/udp"])?.contains(":138C"), "there is a socket");
        let (id, receiver) = self.nodes.get(1).context("there are nodes")?;
        let sent = scene::transmit_node(&stream, "Slot");
        let receiver = Node { legs: sent.legs, media: sent.media, ..receiver.clone() };
        self.agent.set(&Key::Node((*id).to_owned()), &receiver)?;
        let capture = Capture::start(self.host, &stream, SENT)?;
        let frames = capture.finish(3 * SOON)?;
        ensure!(frames.len() == SENT, "{} packets were sent", frames.len());
        drop(_player);
        self.wait_for_state("idle", "").context("the player has ended")
    }

    fn wait_for_state(&mut self, state: &str, error: &str) -> anyhow::Result<()> {
        wait::until(&format!("{TO} being {state}: {error:?}"), SOON, || {
            let node = self.graph.wait_for_node(TO, 0, 2, SOON)?;
            let props = &node.info["props"];
            let says = props["wireloom.error"].as_str().unwrap_or_default() == error;
            Ok((props["wireloom.state"] == state && says).then_some(()))
        })
    }

    /// A device that left stays as a node, with the links that are wished.
    fn offline_receiver_keeps_its_links(&mut self) -> anyhow::Result<()> {
        let (output, input) = ends(TO, 0);
        self.pw_link(&[], TO, 0)?;
        self.agent.wait_for_want(&output, &input, Some(true))?;
        let before = self.wait_for_link(TO, 0, "negotiating")?;
        let (id, receiver) = self.nodes.get(1).context("there are nodes")?;
        let receiver = Node { offline: true, ..receiver.clone() };
        self.agent.set(&Key::Node((*id).to_owned()), &receiver)?;
        self.agent.set_route(&output, &input, RouteOrigin::Graph, RouteState::Offline, "the rack left")?;
        self.wait_for_state("offline", "the device has left the network")?;
        let after = self.wait_for_link(TO, 0, "paused")?;
        ensure!(after["id"] == before["id"], "the link was made anew");
        Ok(())
    }
}

/// Packets that show that a receiver is being sent to.
const SENT: usize = 500;
/// How often a machine that stalls may take a program for a person.
const ROUNDS: usize = 8;
