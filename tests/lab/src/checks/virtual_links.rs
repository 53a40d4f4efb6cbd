use std::io::Write;

use anyhow::{Context, ensure};
use serde_json::Value;
use wireloom_wanted::{Device, Key, LinkEnd, RouteOrigin, RouteState};

use crate::host::Host;
use crate::peers::tshark::Capture;
use crate::peers::{RtpStream, gstreamer};
use crate::pipewire::{GraphNode, PipeWire, PipeWireOptions};
use crate::process::Process;
use crate::products::Products;
use crate::scene::{self, remote_receiver};
use crate::stand_in::StandIn;
use crate::studio::Studio;
use crate::wait::{self, SOON};

/// Packets of the stream that pass by while a virtual link stands: two seconds of them.
const PASSING: usize = 2_000;
/// How often a machine that stalls may disturb the recorder beside it.
const TRIES: usize = 8;
/// What WirePlumber leaves a sandboxed program (`PW_PERM_R | PW_PERM_X`, pipewire/permission.h).
const READ_AND_EXECUTE: &str = "0x140";
/// What it gives a program that patches for the user (`PW_PERM_ALL` of 0.3.65: R, W, X and M).
const ALL: &str = "0x1c8";

/// A link between two other devices, drawn and removed by every kind of program: it is there for all of them, shows how
/// the route is, and no packet of the stream is taken; a recorder beside it gets its audio all the same.
pub fn run(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let (stage, computer) = (studio.host("stage")?, studio.host("computer")?);
    let stream = RtpStream::standard(1, 2);
    let mut sent = scene::receive_node(&stream, "Stage box", 480);
    (sent.device, sent.direct) = ("d-stage".to_owned(), vec!["aes67:48000".to_owned()]);
    let heard = remote_receiver("d-rack", "Monitor rack", 2, &["oat-ctl", "aes67:48000"]);
    let mut graph =
        scene::start_module(&computer, products, &Default::default(), PipeWireOptions::default())?;
    let mut agent = StandIn::start(&computer, products)?;
    agent.set(&Key::Node("stage.tx".to_owned()), &sent)?;
    agent.set(&Key::Node("rack.rx".to_owned()), &heard)?;
    let from = graph.wait_for_node("wireloom.stage.tx", 2, 0, SOON)?;
    let to = graph.wait_for_node("wireloom.rack.rx", 0, 2, SOON)?;
    let mut bench = Bench { graph, agent, products, host: &computer, from, to };
    bench.devices()?;

    bench.draw_with_pw_link()?;
    bench.follows_the_route()?;
    let _sender = gstreamer::sender(&stage, &stream)?;
    let passed = bench.takes_no_packet(&stream)?;
    bench.refuses_a_second()?;
    bench.disconnect_with_jack()?;
    bench.connect_with_jack()?;
    bench.destroy_with_pw_cli()?;
    bench.create_with_pw_cli()?;
    bench.destroy_with_pw_link()?;
    bench.draw_with_a_client_that_ends()?;
    bench.refuse_a_sandboxed_client()?;
    bench.refuse_a_sandboxed_client_that_destroys()?;
    let reception = scene::record_exactly(products, &mut bench.graph, &bench.from, &stream, 96_000, TRIES)
        .context("the recorder beside it")?;
    ensure!(bench.is_idle("wireloom.rack.rx")?, "the receiver took part in the graph");
    Ok(format!(
        "drawn and removed by pw-link, JACK, pw-cli and libpipewire; {passed} packets passed, none was taken; \
         {} samples for a recorder beside it",
        reception.comparison.matched
    ))
}

/// The first channels of both nodes.
fn ends() -> (LinkEnd, LinkEnd) {
    let end = |node: &str| LinkEnd { node: node.to_owned(), channel: 0 };
    (end("wireloom.stage.tx"), end("wireloom.rack.rx"))
}

struct Bench<'a> {
    graph: PipeWire<'a>,
    agent: StandIn,
    products: &'a Products,
    host: &'a Host,
    from: GraphNode,
    to: GraphNode,
}

impl Bench<'_> {
    /// Global ids of the ports that are linked.
    fn ports(&self) -> (String, String) {
        (self.from.outputs[0].0.to_string(), self.to.inputs[0].0.to_string())
    }

    /// The link as `pw-dump` shows it.
    fn link(&self) -> anyhow::Result<Option<Value>> {
        let links = self.graph.links()?;
        let (output, input) = self.ports();
        let is = |id: &Value, port: &str| id.as_u64().is_some_and(|id| port.parse() == Ok(id));
        let joins = |link: &Value| {
            is(&link["info"]["output-port-id"], &output) && is(&link["info"]["input-port-id"], &input)
        };
        Ok(links.into_iter().find(joins))
    }

    fn wait_for_link(&mut self, state: &str) -> anyhow::Result<Value> {
        wait::until(&format!("the link in state {state}"), SOON, || {
            self.graph.daemon.is_alive()?;
            Ok(self.link()?.filter(|link| link["info"]["state"] == state))
        })
    }

    fn wait_for_no_link(&mut self) -> anyhow::Result<()> {
        wait::until("the end of the link", SOON, || {
            self.graph.daemon.is_alive()?;
            Ok(self.link()?.is_none().then_some(()))
        })
    }

    /// Waits for what follows a drawn link: a virtual one, nothing in the graph running, the wish told.
    fn drawn(&mut self) -> anyhow::Result<()> {
        let link = self.wait_for_link("negotiating")?;
        let props = &link["info"]["props"];
        ensure!(props["wireloom.direct"] == true, "{link}");
        let (output, input) = ends();
        self.agent.wait_for_want(&output, &input, Some(true))?;
        for name in ["wireloom.stage.tx", "wireloom.rack.rx"] {
            ensure!(self.is_idle(name)?, "{name} takes part in the graph");
        }
        Ok(())
    }

    /// Waits for what follows a removed link, and answers as the agent does.
    fn removed(&mut self) -> anyhow::Result<()> {
        self.wait_for_no_link()?;
        let (output, input) = ends();
        self.agent.wait_for_want(&output, &input, Some(false))?;
        // Whatever the route says, the link is not drawn again until the route has gone.
        self.agent.set_route(&output, &input, RouteOrigin::Network, RouteState::Receiving, "")?;
        self.agent.delete_route(&output, &input)?;
        self.agent.wait_for_want(&output, &input, None)?;
        ensure!(self.link()?.is_none(), "the link was drawn again");
        Ok(())
    }

    /// Not scheduled, no socket.
    fn is_idle(&self, name: &str) -> anyhow::Result<bool> {
        let node = self.graph.node(name)?.context("the node vanished")?;
        Ok(node.info["state"] != "running" && node.info["props"]["wireloom.state"] == "idle")
    }

    /// Each node belongs to the Device object of its network device, which is called as the agent says.
    fn devices(&mut self) -> anyhow::Result<()> {
        let told = Device { description: "Rack by the stage".to_owned(), ..Device::default() };
        self.agent.set(&Key::Device("d-rack".to_owned()), &told)?;
        self.device("wireloom.stage.tx", "wireloom.d-stage", "Stage box")?;
        let id = self.device("wireloom.rack.rx", "wireloom.d-rack", "Rack by the stage")?;
        self.host.run("timeout", ["20", "pw-cli", "destroy", &id.to_string()])?;
        self.device("wireloom.rack.rx", "wireloom.d-rack", "Rack by the stage").context("made anew")?;
        Ok(())
    }

    /// Waits for the Device object of a node; returns its global id.
    fn device(&self, node: &str, name: &str, description: &str) -> anyhow::Result<u64> {
        let mut last = Value::Null;
        let found = wait::until("the device of a node", SOON, || {
            let dump = self.graph.dump()?;
            let objects = dump.as_array().context("pw-dump prints a list")?;
            let node = objects.iter().find(|object| object["info"]["props"]["node.name"] == node);
            let id = node.and_then(|node| node["info"]["props"]["device.id"].as_u64());
            last = objects.iter().find(|object| object["id"].as_u64() == id).cloned().unwrap_or_default();
            let props = &last["info"]["props"];
            let fits = props["device.name"] == name && props["device.description"] == description;
            Ok(id.filter(|_| fits && last["type"] == "PipeWire:Interface:Device"))
        });
        let id = found.with_context(|| last.to_string())?;
        ensure!(last["info"]["props"].get("media.class").is_none(), "{last}");
        Ok(id)
    }

    fn draw_with_pw_link(&mut self) -> anyhow::Result<()> {
        let (output, input) = self.ports();
        self.host.run("timeout", ["20", "pw-link", &output, &input])?;
        self.drawn()
    }

    fn follows_the_route(&mut self) -> anyhow::Result<()> {
        let (output, input) = ends();
        for (state, error, shown) in [
            (RouteState::Connecting, "", "negotiating"),
            (RouteState::Degraded, "no audio yet", "paused"),
            (RouteState::Offline, "the rack is away", "paused"),
            (RouteState::Receiving, "", "active"),
        ] {
            self.agent.set_route(&output, &input, RouteOrigin::Graph, state, error)?;
            wait::until(&format!("the link showing {state:?}"), SOON, || {
                let Some(link) = self.link()? else { return Ok(None) };
                let told = link["info"]["props"]["wireloom.error"].as_str().unwrap_or_default() == error;
                Ok((told && link["info"]["state"] == shown).then_some(()))
            })?;
        }
        ensure!(self.is_idle("wireloom.stage.tx")?, "an active route runs nothing here");
        Ok(())
    }

    /// Counts what is taken while packets pass by; then takes some, so that the count is known to count.
    fn takes_no_packet(&mut self, stream: &RtpStream) -> anyhow::Result<usize> {
        let before = taken(self.host)?;
        let passed = Capture::start(self.host, stream, PASSING)?.finish(3 * SOON)?.len();
        let (after, groups) = (taken(self.host)?, groups(self.host)?);
        ensure!(after == before, "{} datagrams were taken", after - before);
        let group = stream.igmp_group().context("a group of IPv4")?;
        ensure!(!groups.contains(&group), "the group was joined:\n{groups}");
        let recorder = self.graph.recorder(self.products, "counter", 1)?;
        let output = self.ports().0;
        self.host.run("pw-link", [&output, &recorder.node.inputs[0].0.to_string()])?;
        wait::until("packets for a recorder", SOON, || Ok((taken(self.host)? > before).then_some(())))?;
        ensure!(self::groups(self.host)?.contains(&group), "audio without its group");
        drop(recorder);
        wait::until("the end of the membership", SOON, || {
            Ok((!self::groups(self.host)?.contains(&group)).then_some(()))
        })?;
        Ok(passed)
    }

    fn refuses_a_second(&mut self) -> anyhow::Result<()> {
        let (output, input) = self.ports();
        let before = self.wait_for_link("active")?;
        let answer = self.host.command("timeout").args(["20", "pw-link", &output, &input]).output()?;
        let said = String::from_utf8_lossy(&answer.stderr).into_owned();
        ensure!(said.contains("File exists"), "pw-link, asked for a second link: {said:?}");
        let after = self.wait_for_link("active")?;
        ensure!(after["id"] == before["id"], "the link was made anew");
        ensure!(self.graph.links()?.len() == 1, "there are two links");
        Ok(())
    }

    fn jack(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let program = self.products.compiled("jack-patcher");
        self.host.run(
            "timeout",
            ["20", "pw-jack"]
                .map(AsRef::as_ref)
                .into_iter()
                .chain([program.as_os_str()])
                .chain(arguments.iter().map(AsRef::as_ref)),
        )
    }

    /// Full names of both ports, as JACK knows them.
    fn jack_ports(&self) -> anyhow::Result<(String, String)> {
        let list = self.jack(&["list"])?;
        let find = |start: &str| {
            let name = list.lines().find(|line| line.starts_with(start));
            name.map(str::to_owned).with_context(|| format!("no {start} in {list}"))
        };
        Ok((find("Stage box:")?, find("Monitor rack:")?))
    }

    fn disconnect_with_jack(&mut self) -> anyhow::Result<()> {
        let (output, input) = self.jack_ports()?;
        let is = self.jack(&["test", &output, &input])?;
        ensure!(is.contains("connected"), "JACK does not see the link: {is}");
        self.jack(&["disconnect", &output, &input])?;
        self.removed()?;
        let is = self.jack(&["test", &output, &input])?;
        ensure!(is.contains("apart"), "JACK still sees the link: {is}");
        Ok(())
    }

    fn connect_with_jack(&mut self) -> anyhow::Result<()> {
        let (output, input) = self.jack_ports()?;
        self.jack(&["connect", &output, &input])?;
        self.drawn()
    }

    fn destroy_with_pw_cli(&mut self) -> anyhow::Result<()> {
        let link = self.wait_for_link("negotiating")?;
        self.host.run("timeout", ["20", "pw-cli", "destroy", &link["id"].to_string()])?;
        self.removed()
    }

    fn create_with_pw_cli(&mut self) -> anyhow::Result<()> {
        let (output, input) = self.ports();
        let (from, to) = (self.from.id.to_string(), self.to.id.to_string());
        self.host.run("timeout", ["20", "pw-cli", "create-link", &from, &output, &to, &input])?;
        self.drawn()
    }

    fn destroy_with_pw_link(&mut self) -> anyhow::Result<()> {
        let (output, input) = self.ports();
        self.host.run("timeout", ["20", "pw-link", "-d", &output, &input])?;
        self.removed()
    }

    /// A client of libpipewire that draws a link.
    fn client(&self) -> anyhow::Result<Process> {
        let (output, input) = self.ports();
        self.spawn(&["link", &output, &input])
    }

    /// The client is told that its link is ready, and the link outlives it: an application that quits withdraws
    /// nothing.
    fn draw_with_a_client_that_ends(&mut self) -> anyhow::Result<()> {
        let mut client = self.client()?;
        let mut input = client.stdin().context("a piped input")?;
        input.write_all(b"draw\n")?;
        client.says("state paused", SOON)?;
        self.drawn()?;
        drop(input);
        client.succeeds(SOON)?;
        // Answers of PipeWire come in order: what the end of the client caused is done when the next client is served.
        self.host.run("pw-cli", ["info", "0"])?;
        self.wait_for_link("negotiating")?;
        let (output, input) = ends();
        ensure!(self.agent.want(&output, &input) == Some(true), "the wish was withdrawn");
        self.destroy_with_pw_link()
    }

    /// Leaves a client the rights of a sandbox, which may see and link but not change.
    fn sandbox(&self, client: &Process) -> anyhow::Result<()> {
        self.permit(&own_id(client)?, READ_AND_EXECUTE)
    }

    /// Gives a client these rights to everything that it has no others to.
    fn permit(&self, id: &str, rights: &str) -> anyhow::Result<()> {
        self.host.run("timeout", ["20", "pw-cli", "--", "permissions", id, "-1", rights]).map(drop)
    }

    /// A client of a sandbox makes no route.
    fn refuse_a_sandboxed_client(&mut self) -> anyhow::Result<()> {
        let mut client = self.client()?;
        self.sandbox(&client)?;
        let mut input = client.stdin().context("a piped input")?;
        input.write_all(b"draw\n")?;
        client.says("error -1 ", SOON)?;
        self.wait_for_no_link()?;
        let (output, input) = ends();
        ensure!(self.agent.want(&output, &input).is_none(), "there is a wish");
        self.draw_with_pw_link()
    }

    /// And ends none, whether it was there before the link or came later, and however early it asks; it may once it is
    /// trusted.
    fn refuse_a_sandboxed_client_that_destroys(&mut self) -> anyhow::Result<()> {
        let link = self.wait_for_link("negotiating")?["id"].clone();
        let id = link.to_string();
        let mut client = self.spawn(&["destroy", "--asked", &id])?;
        self.sandbox(&client)?;
        client.stdin().context("a piped input")?.write_all(b"destroy\n")?;
        client.says("error -1 no permission", SOON)?;
        client.succeeds(SOON)?;
        ensure!(self.wait_for_link("negotiating")?["id"] == link, "the link was made anew");

        let program = self.products.program("wireloom-lab-patcher");
        let mut client = self.host.spawn(program, ["destroy", "--suspended", &id])?;
        let own = wait::until("a client without rights", SOON, || {
            client.is_alive()?;
            let dump = self.graph.dump()?;
            let mut objects = dump.as_array().context("pw-dump prints a list")?.iter();
            let found = objects.find(|object| object["info"]["props"]["pipewire.access"] == "restricted");
            Ok(found.map(|client| client["id"].to_string()))
        })?;
        self.permit(&own, READ_AND_EXECUTE)?;
        client.succeeds(SOON)?;
        ensure!(client.log().contains("error -"), "it was not refused: {:?}", client.log());
        ensure!(self.wait_for_link("negotiating")?["id"] == link, "the link was made anew");

        let mut trusted = self.spawn(&["destroy", "--asked", &id])?;
        self.sandbox(&trusted)?;
        self.permit(&own_id(&trusted)?, ALL)?;
        trusted.stdin().context("a piped input")?.write_all(b"destroy\n")?;
        trusted.succeeds(SOON)?;
        self.removed().context("a client that is trusted again")?;

        // It destroys what it sees come, sooner than anybody else looks.
        let (output, input) = self.ports();
        let mut watch = self.spawn(&["watch", "--never", &output, &input])?;
        self.sandbox(&watch)?;
        self.draw_with_pw_link()?;
        watch.says("error -1 no permission", SOON)?;
        let (output, input) = ends();
        self.wait_for_link("negotiating")?;
        ensure!(self.agent.want(&output, &input) == Some(true), "the wish was withdrawn");
        Ok(())
    }

    fn spawn(&self, arguments: &[&str]) -> anyhow::Result<Process> {
        let mut client = self.host.spawn(self.products.program("wireloom-lab-patcher"), arguments)?;
        client.says("ready", SOON)?;
        Ok(client)
    }
}

/// The global id that a client of the lab has printed.
fn own_id(client: &Process) -> anyhow::Result<String> {
    let log = client.log();
    let id = log.lines().find_map(|line| line.strip_prefix("client "));
    id.map(str::to_owned).context("the client knows its id")
}

/// Datagrams that sockets of the host have been given so far.
fn taken(host: &Host) -> anyhow::Result<u64> {
    let text = host.run("cat", ["/proc/net/snmp"])?;
    let line = text.lines().filter(|line| line.starts_with("Udp:")).nth(1);
    let field = line.and_then(|line| line.split_ascii_whitespace().nth(1));
    field.context("the kernel counts datagrams")?.parse().context("a count")
}

/// Multicast groups that the host has joined.
fn groups(host: &Host) -> anyhow::Result<String> {
    host.run("cat", ["/proc/net/igmp"])
}
