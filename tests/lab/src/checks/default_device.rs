//! Which device of the desktop session managers choose by themselves: never one of the network.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};

use super::desktop::{complaints, pactl, start_desktop};
use crate::agent::Agent;
use crate::host::Host;
use crate::peers::{RtpStream, gstreamer};
use crate::pipewire::{GraphNode, PipeWire, PipeWireOptions};
use crate::process::Process;
use crate::products::Products;
use crate::scene;
use crate::studio::Studio;
use crate::wait::{self, SOON};

/// A sink and a source of others.
const CARD: &str = "card";
const MICROPHONE: &str = "microphone";
/// Names of the stream that is heard and of the one that is sent.
const HEARD: &str = "Stage box";
const SENT: &str = "Main mix";
/// Keys of the default devices, and of what the user chose.
const KEYS: [&str; 2] = ["default.audio.source", "default.audio.sink"];

/// With the agent, WirePlumber and the Pulse server: no node of ours is ever a default device but by the user's choice,
/// whatever is there beside it. The last other device leaves while ours are linked; there is none at all when the
/// session manager starts; the user chooses ours, which stay chosen when it starts again, and chooses others.
pub fn run(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let (stage, computer) = (studio.host("stage")?, studio.host("computer")?);
    let mut graph = scene::start_module(&computer, products, &BTreeMap::new(), PipeWireOptions::default())?;
    let mut defaults = Defaults::watch(&computer)?;
    let mut agent = Agent::start(&computer, products, "")?;
    let others = plug_in(&mut graph)?;
    let desktop = start_desktop(&computer, "the card as the default sink", || {
        Ok(pactl(&computer, &["get-default-sink"])?.is_some_and(|default| default.trim() == CARD))
    })?;
    let stream = RtpStream::standard(1, 2);
    let description = stream.named_description(stage.address(), HEARD, "");
    let announcer = gstreamer::announcer(&stage, "stage-box", &description)?;
    computer.run(products.program("wireloom"), ["stream", "create", SENT, "--channels", "2"])?;
    let [heard, sent] = ours(&mut graph, &mut agent, true)?;

    // An application plays to the card, others use ours; the card is pulled, and the microphone.
    let recorder = graph.recorder(products, "recorder", 2)?;
    link(&mut graph, &heard, &recorder.node)?;
    let (player, plays) = graph.player(products, "player", &stream.code())?;
    link(&mut graph, &plays, &sent)?;
    let mut application = computer.spawn("paplay", ["--raw", "--rate=48000", "/dev/zero"])?;
    let plays = graph.wait_for_node("paplay", 2, 0, SOON)?;
    wait::until("an application playing to the card", SOON, || {
        application.is_alive()?;
        let card = graph.node(CARD)?.context("the card")?;
        Ok((graph.links_between(&plays, &card)? == 2).then_some(()))
    })?;
    unplug(&computer, &others)?;
    defaults.until("the card and the microphone as defaults no more", |now| {
        KEYS.iter().all(|key| now.get(*key).is_none_or(|value| ![CARD, MICROPHONE].contains(&value.as_str())))
    })?;
    let was_moved = |graph: &PipeWire<'_>| -> anyhow::Result<bool> {
        Ok(graph.node("paplay")?.map_or(Ok(0), |plays| graph.links_between(&plays, &sent))? > 0)
    };
    ensure!(!was_moved(&graph)?, "the application was moved from the card to the network");
    drop((recorder, player));
    // Nobody is linked any more and there is nothing else: they are devices of the desktop no longer.
    ours(&mut graph, &mut agent, false)?;
    defaults.until("the desktop's own stand-in as the default", |now| {
        now.get(KEYS[1]).is_some_and(|value| value == "auto_null")
    })?;
    ensure!(!was_moved(&graph)?, "the application was moved from the card to the network later");
    application.interrupt()?;
    keep_quiet(desktop)?;

    // There is nothing else from the beginning, and the user wants to see ours all the same.
    show(&computer, "desktop")?;
    let names = ours(&mut graph, &mut agent, true)?.map(|node| name_of(&node));
    let desktop =
        start_desktop(&computer, "ours among the devices of the desktop", || are_listed(&computer, &names))?;
    let others = plug_in(&mut graph)?;
    defaults.until("the card as the default", |now| now.get(KEYS[1]).is_some_and(|value| value == CARD))?;
    let chosen_by_itself = defaults.ours();
    ensure!(chosen_by_itself.is_empty(), "nobody chose it:\n{}", chosen_by_itself.join("\n"));

    // The user chooses ours.
    choose(&computer, &names)?;
    defaults.until("ours as the defaults", |now| are(now, &names))?;
    let saved = computer.directory().join("home/.state/wireplumber/default-nodes");
    wait::until("the choice to be saved", SOON, || {
        let text = std::fs::read_to_string(&saved).unwrap_or_default();
        Ok(names.iter().all(|name| text.contains(name)).then_some(()))
    })?;
    keep_quiet(desktop)?;
    for key in KEYS {
        let _ = computer.command("timeout").args(["5", "pw-metadata", "-d", "0", key]).output()?;
    }
    defaults.until("no default", |now| now.is_empty())?;
    agent.process.kill()?;
    let again = computer.command(products.program("wireloom-agent"));
    agent.process = computer.start("wireloom-agent", again)?;
    agent.process.says("ready", SOON)?;
    let desktop = start_desktop(&computer, "ours among the devices of the desktop again", || {
        are_listed(&computer, &names)
    })?;
    defaults.until("ours as the defaults again", |now| are(now, &names))?;

    // And chooses others, which leave once more: what was chosen before counts no more.
    choose(&computer, &[MICROPHONE.to_owned(), CARD.to_owned()])?;
    defaults
        .until("the others as the defaults", |now| are(now, &[MICROPHONE.to_owned(), CARD.to_owned()]))?;
    let before = defaults.ours().len();
    unplug(&computer, &others)?;
    defaults.until("no default at all", |now| now.is_empty())?;
    plug_in(&mut graph)?;
    defaults.until("the others as the defaults again", |now| {
        are(now, &[MICROPHONE.to_owned(), CARD.to_owned()])
    })?;
    let after = defaults.ours();
    ensure!(after.len() == before, "not chosen any more:\n{}", after.join("\n"));
    keep_quiet(desktop)?;
    drop(announcer);
    Ok(format!("{} changes of defaults, ours only when chosen", defaults.changes()))
}

/// What became the default device when.
struct Defaults {
    monitor: Process,
}

impl Defaults {
    fn watch(host: &Host) -> anyhow::Result<Self> {
        Ok(Self { monitor: host.spawn("pw-metadata", ["-m"])? })
    }

    /// Waits until what is the default now, key by key, is as `condition` wants it.
    fn until(
        &mut self,
        what: &str,
        condition: impl Fn(&BTreeMap<String, String>) -> bool,
    ) -> anyhow::Result<()> {
        wait::until(what, SOON, || {
            self.monitor.is_alive()?;
            let mut now = BTreeMap::new();
            for line in self.monitor.log().lines() {
                let Some(key) = KEYS.into_iter().find(|key| line.contains(&format!("key:'{key}'"))) else {
                    continue;
                };
                let value = line.split("\"name\":").nth(1).and_then(|rest| rest.split('"').nth(1));
                match value.filter(|_| line.starts_with("update:")) {
                    Some(value) => now.insert(key.to_owned(), value.to_owned()),
                    None => now.remove(key),
                };
            }
            Ok(condition(&now).then_some(()))
        })
        .with_context(|| self.monitor.log())
    }

    /// How often a default changed.
    fn changes(&self) -> usize {
        self.monitor.log().lines().filter(|line| KEYS.iter().any(|key| line.contains(key))).count()
    }

    /// When one of ours became one.
    fn ours(&self) -> Vec<String> {
        let log = self.monitor.log();
        let is_default = |line: &&str| KEYS.iter().any(|key| line.contains(&format!("key:'{key}'")));
        log.lines().filter(is_default).filter(|line| line.contains("wireloom.")).map(str::to_owned).collect()
    }
}

/// Ends WirePlumber and the Pulse server. Errors: one of them complained of ours.
fn keep_quiet(desktop: (Process, Process)) -> anyhow::Result<()> {
    for (program, log) in [("WirePlumber", desktop.0.log()), ("Pulse", desktop.1.log())] {
        let complaints = complaints(&log);
        ensure!(complaints.is_empty(), "{program} complains:\n{}", complaints.join("\n"));
    }
    Ok(())
}

/// Whether the defaults are these: source and sink.
fn are(now: &BTreeMap<String, String>, names: &[String; 2]) -> bool {
    KEYS.iter().zip(names).all(|(key, name)| now.get(*key) == Some(name))
}

/// Makes the devices of others, and returns what they are called in the graph.
fn plug_in(graph: &mut PipeWire<'_>) -> anyhow::Result<[u64; 2]> {
    for (name, class) in [(MICROPHONE, "Audio/Source/Virtual"), (CARD, "Audio/Sink")] {
        let node = format!(
            "{{ factory.name = support.null-audio-sink node.name = {name} media.class = {class} \
             audio.position = [ FL FR ] object.linger = true monitor.channel-volumes = true }}"
        );
        graph.host().run("timeout", ["20", "pw-cli", "create-node", "adapter", &node])?;
    }
    Ok([graph.wait_for_node(MICROPHONE, 0, 0, SOON)?.id, graph.wait_for_node(CARD, 0, 0, SOON)?.id])
}

fn unplug(host: &Host, nodes: &[u64; 2]) -> anyhow::Result<()> {
    for node in nodes {
        host.run("timeout", ["20", "pw-cli", "destroy", &node.to_string()])?;
    }
    Ok(())
}

/// Our nodes, the one that is heard before the other, once they are devices of the desktop, or none.
fn ours(graph: &mut PipeWire<'_>, agent: &mut Agent, devices: bool) -> anyhow::Result<[GraphNode; 2]> {
    let mut node = |name: &str, outputs: usize, inputs: usize| {
        let not = if devices { "" } else { "no " };
        wait::until(&format!("the node {name} as {not}device of the desktop"), SOON, || {
            agent.process.is_alive()?;
            Ok(graph.node_with("media.name", name)?.filter(|node| {
                let is_device = node.info["props"]["media.class"].is_string();
                is_device == devices && node.outputs.len() == outputs && node.inputs.len() == inputs
            }))
        })
    };
    Ok([node(HEARD, 2, 0)?, node(SENT, 0, 2)?])
}

/// Links two nodes by their names: the session manager has a device show its ports anew when it takes it over.
fn link(graph: &mut PipeWire<'_>, from: &GraphNode, to: &GraphNode) -> anyhow::Result<()> {
    let (from, to) = (name_of(from), name_of(to));
    wait::until(&format!("links from {from} to {to}"), SOON, || {
        let (from, to) = (graph.node(&from)?.context("the output")?, graph.node(&to)?.context("the input")?);
        let _ = graph.link(&from, &to);
        Ok((graph.links_between(&from, &to)? == 2).then_some(()))
    })
}

fn name_of(node: &GraphNode) -> String {
    node.info["props"]["node.name"].as_str().unwrap_or_default().to_owned()
}

/// Whether the Pulse server lists a source and a sink of these names.
fn are_listed(host: &Host, names: &[String; 2]) -> anyhow::Result<bool> {
    for (kind, name) in ["sources", "sinks"].into_iter().zip(names) {
        if !pactl(host, &["list", "short", kind])?.is_some_and(|list| list.contains(name.as_str())) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Chooses a source and a sink as a user does in the settings of the desktop.
fn choose(host: &Host, names: &[String; 2]) -> anyhow::Result<()> {
    for (kind, name) in ["source", "sink"].into_iter().zip(names) {
        host.run("pactl", [&format!("set-default-{kind}"), name.as_str()])?;
    }
    Ok(())
}

/// Sets where nodes show themselves.
fn show(host: &Host, policy: &str) -> anyhow::Result<()> {
    let place =
        ["call", "--session", "--dest", "org.wireloom.Wireloom1", "--object-path", "/org/wireloom/Wireloom1"];
    let set = ["--method", "org.freedesktop.DBus.Properties.Set", "org.wireloom.Wireloom1.Manager", "Show"];
    let policy = format!("<'{policy}'>");
    host.run("gdbus", [&place[..], &set, &[&policy]].concat())?;
    Ok(())
}
