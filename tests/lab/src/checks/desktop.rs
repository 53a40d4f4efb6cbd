use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, ensure};
use wireloom_wanted::{ClockRelation, Show};

use crate::agent::start_bus;
use crate::host::Host;
use crate::peers::RtpStream;
use crate::pipewire::{PipeWire, PipeWireOptions};
use crate::process::Process;
use crate::products::Products;
use crate::scene;
use crate::studio::Studio;
use crate::wait::{self, SOON};

/// A sink that stands in for a sound card.
const CARD: &str = "card";
/// Without our nodes, and with them.
const HOSTS: [&str; 2] = ["without", "computer"];
/// One that comes later, where nothing of ours is.
const LATER: &str = "later";
/// A session manager that has not done what it is to do after this is started again.
const CHOOSES_WITHIN: Duration = Duration::from_secs(6);
/// The network device that all nodes belong to.
const DEVICE: &str = "d-lab";
/// Frames in which no sample may be wrong, whatever the volume.
const FRAMES: u64 = 48_000;

/// With WirePlumber and the Pulse server: desktop nodes are ordinary devices with format and channels, an application
/// of the desktop plays to one, a program that names another is linked to it, and none becomes the default although the
/// card asks for nothing. A volume that is set changes no sample. Their Device object is no sound card, and a link
/// between other devices is let be. Nobody warns of what they do not warn of without us.
pub fn run(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let usual = without_us(&studio.host(HOSTS[0])?, products).context("a desktop without our module")?;
    let computer = studio.host(HOSTS[1])?;
    let stream = RtpStream::standard(1, 2);
    let mut heard = scene::receive_node(&stream, "Lab in", 480);
    (heard.clock, heard.media.offset, heard.show) = (ClockRelation::Same, Some(0), Show::Desktop);
    let mut sent = scene::transmit_node(&stream, "Lab out");
    sent.show = Show::Desktop;
    (heard.device, heard.direct) = (DEVICE.to_owned(), vec!["common".to_owned()]);
    sent.device = DEVICE.to_owned();
    let mut receiver = scene::remote_receiver(DEVICE, "Rack", 2, &["common"]);
    receiver.show = Show::Desktop;
    let options = PipeWireOptions { sinks: vec![CARD.to_owned()], ..PipeWireOptions::default() };
    let mut graph = scene::start_module(&computer, products, &BTreeMap::new(), options)?;
    let _bus = start_bus(&computer)?;
    // The agent makes desktop nodes only where another device is, so the card comes first.
    let (mut manager, mut pulse) = start_desktop(&computer, "the card as the default sink", || {
        Ok(pactl(&computer, &["get-default-sink"])?.is_some_and(|default| default.trim() == CARD))
    })?;
    for (key, node) in [("node.lab.tx", &heard), ("node.lab.rx", &sent), ("node.rack.rx", &receiver)] {
        let value = serde_json::to_string(node)?;
        // pw-metadata has been seen to set a key and then wait for ever.
        let set = ["5", "pw-metadata", "-n", "wireloom", "0", key, &value, "Spa:String:JSON"];
        let _ = computer.command("timeout").args(set).output()?;
    }

    for (kind, name) in
        [("sinks", "wireloom.lab.rx"), ("sinks", "wireloom.rack.rx"), ("sources", "wireloom.lab.tx")]
    {
        wait::until(&format!("{name} among the {kind} of the desktop"), SOON, || {
            graph.daemon.is_alive()?;
            manager.is_alive()?;
            pulse.is_alive()?;
            Ok(pactl(&computer, &["list", "short", kind])?.filter(|list| {
                list.lines().any(|line| line.contains(name) && line.contains("float32le 2ch 48000Hz"))
            }))
        })?;
    }
    graph.link_named("wireloom.lab.tx", "wireloom.rack.rx")?;
    let route = wait::until("a link between other devices", SOON, || {
        let mut links = graph.links()?.into_iter();
        Ok(links.find(|link| link["info"]["props"]["wireloom.direct"] == true))
    })?;
    let mut player =
        computer.spawn("paplay", ["--raw", "--device=wireloom.lab.rx", "--rate=48000", "/dev/zero"])?;
    wait::until("an application playing to the network", SOON, || {
        player.is_alive()?;
        let node = graph.node("wireloom.lab.rx")?;
        Ok(node.filter(|node| node.info["state"] == "running" && links(&computer).contains("paplay")))
    })?;
    // A program that only names the node is linked by the session manager: that counts as any other link.
    let group = stream.igmp_group().context("a group of IPv4")?;
    let is_member =
        || -> anyhow::Result<bool> { Ok(computer.run("cat", ["/proc/net/igmp"])?.contains(&group)) };
    ensure!(!is_member()?, "the group is joined before anybody listens");
    let file = computer.directory().join("target.wav");
    let mut recorder =
        computer.spawn("pw-record", ["--target".as_ref(), "wireloom.lab.tx".as_ref(), file.as_os_str()])?;
    wait::until("a program that names the node being linked to it", SOON, || {
        recorder.is_alive()?;
        Ok((is_member()? && links(&computer).contains("pw-record")).then_some(()))
    })?;
    recorder.interrupt()?;
    drop(player);
    wait::until("leaving the group", SOON, || Ok((!is_member()?).then_some(())))?;
    let exact = exact_at_any_volume(&computer, products, &mut graph, &stream)?;
    let source = pactl(&computer, &["get-default-source"])?.unwrap_or_default();
    ensure!(!source.contains("wireloom"), "the default source is {source}");
    let cards = pactl(&computer, &["list", "short", "cards"])?.unwrap_or_default();
    ensure!(cards.trim().is_empty(), "the desktop takes a network device for a sound card: {cards}");
    let node = graph.node("wireloom.rack.rx")?.context("the receiver's node")?;
    ensure!(node.info["state"] != "running", "the receiver took part in the graph");
    let kept = graph.links()?.into_iter().any(|link| link["id"] == route["id"]);
    ensure!(kept, "the session manager took the link between other devices away");
    let logs = [("WirePlumber", manager.log()), ("Pulse", pulse.log()), ("PipeWire", graph.daemon.log())];
    for ((program, log), usual) in logs.iter().zip(&usual) {
        let complaints = complaints(log);
        ensure!(complaints.is_empty(), "{program} complains of our nodes:\n{}", complaints.join("\n"));
        ensure!(!log.contains("failed to activate"), "{program}: {log}");
        let unusual: Vec<&str> = severe(log).filter(|line| !usual.contains(&kind(line))).collect();
        let unusual = unusual.join("\n");
        ensure!(
            unusual.is_empty(),
            "{program} says what it does not say without us:\n{unusual}\nbut {usual:#?}"
        );
    }
    let default = pactl(&computer, &["get-default-sink"])?.unwrap_or_default();
    ensure!(default.trim() == CARD, "the default sink became {default}");
    let default = default.trim();
    Ok(format!("played to as a device; {exact} samples exact at any volume; the default sink is {default}"))
}

/// The desktop sets volumes, as it does when it restores them; what is played to the network and heard from there stays
/// what it is, and the desktop is told so. Returns how many samples were exact.
fn exact_at_any_volume(
    computer: &Host,
    products: &Products,
    graph: &mut PipeWire<'_>,
    stream: &RtpStream,
) -> anyhow::Result<u64> {
    let (from, to) = ("wireloom.lab.tx", "wireloom.lab.rx");
    for (kind, name) in [("sink", to), ("source", from)] {
        computer.run("pactl", [&format!("set-{kind}-volume"), name, "30%"])?;
    }
    let output = graph.wait_for_node(from, stream.channels, 0, SOON)?;
    let (_player, _) = graph.player(products, "player", &stream.code())?;
    graph.link_named("player", to)?;
    let found = scene::record(products, graph, &output, stream, FRAMES, |_| {})?.comparison;
    ensure!(found.wrong == 0, "{found}");
    for (kind, name) in [("sink", to), ("source", from)] {
        let what = format!("the {kind} at its only volume");
        wait::until(&what, SOON, || {
            let said = pactl(computer, &[&format!("get-{kind}-volume"), name])?;
            Ok(said.filter(|said| said.matches("100%").count() == stream.channels).map(drop))
        })?;
    }
    Ok(found.matched)
}

/// The kinds of warnings and errors of WirePlumber, Pulse and PipeWire where none of ours is: of a desktop with the same
/// card, and a second one that comes later, which is played to, recorded and made quieter.
fn without_us(host: &Host, products: &Products) -> anyhow::Result<[BTreeSet<String>; 3]> {
    let options = PipeWireOptions { sinks: vec![CARD.to_owned()], ..PipeWireOptions::default() };
    let mut graph = PipeWire::start(host, &options)?;
    let _bus = start_bus(host)?;
    let (mut manager, mut pulse) = start_desktop(host, "the card as the default sink", || {
        Ok(pactl(host, &["get-default-sink"])?.is_some_and(|default| default.trim() == CARD))
    })?;
    let later = format!(
        "{{ factory.name = support.null-audio-sink node.name = {LATER} media.class = Audio/Sink \
         audio.position = [ FL FR ] object.linger = true }}"
    );
    host.run("timeout", ["20", "pw-cli", "create-node", "adapter", &later])?;
    graph.wait_for_node(LATER, 2, 2, SOON)?; // it can be recorded, too
    wait::until("a second device", SOON, || {
        Ok(pactl(host, &["list", "short", "sinks"])?.filter(|list| list.contains(LATER)).map(drop))
    })?;
    let device = format!("--device={LATER}");
    let mut player = host.spawn("paplay", ["--raw", &device, "--rate=48000", "/dev/zero"])?;
    wait::until("an application playing to it", SOON, || {
        player.is_alive()?;
        Ok(links(host).contains("paplay").then_some(()))
    })?;
    let file = host.directory().join("target.wav");
    let mut recorder = host.spawn("pw-record", ["--target".as_ref(), LATER.as_ref(), file.as_os_str()])?;
    wait::until("a program that names it being linked to it", SOON, || {
        recorder.is_alive()?;
        Ok(links(host).contains("pw-record").then_some(()))
    })?;
    recorder.interrupt()?;
    drop(player);
    host.run("pactl", ["set-sink-volume", LATER, "30%"])?;
    let (_player, _) = graph.player(products, "player", &RtpStream::standard(1, 2).code())?;
    graph.link_named("player", LATER)?;
    let mut recorder = graph.recorder(products, "recorder", 2)?;
    graph.link_named(LATER, "recorder")?;
    recorder.record(FRAMES, |_| {})?;
    recorder.finish()?;
    manager.is_alive()?;
    pulse.is_alive()?;
    let kinds = |log: &str| severe(log).map(kind).collect();
    Ok([kinds(&manager.log()), kinds(&pulse.log()), kinds(&graph.daemon.log())])
}

/// The warnings and errors of a log that name our nodes, and what WirePlumber calls critical, which names nobody.
pub(super) fn complaints(log: &str) -> Vec<&str> {
    let is_complaint = |line: &&str| line.trim_start().starts_with("C ") || line.contains("wireloom.");
    severe(log).filter(is_complaint).collect()
}

/// The warnings and errors of a log.
fn severe(log: &str) -> impl Iterator<Item = &str> {
    let is_severe = |line: &&str| {
        let line = line.trim_start();
        ["[W]", "[E]", "W ", "E ", "C "].iter().any(|level| line.starts_with(level))
    };
    log.lines().filter(is_severe)
}

/// A line of a log without what is another in every run: times, ids, addresses in memory, the host.
fn kind(line: &str) -> String {
    let mut kind = String::new();
    for word in line.split_inclusive(|letter: char| !letter.is_ascii_alphanumeric()) {
        let name = word.trim_end_matches(|letter: char| !letter.is_ascii_alphanumeric());
        if name.starts_with(|letter: char| letter.is_ascii_digit()) || HOSTS.contains(&name) {
            kind.push('#');
            kind.push_str(&word[name.len()..]);
        } else {
            kind.push_str(word);
        }
    }
    kind
}

/// Starts WirePlumber and the Pulse server, until `is_so` what they are to do. WirePlumber 0.4 has been seen to start and
/// never to choose; then both are started again.
pub(super) fn start_desktop(
    computer: &Host,
    what: &str,
    mut is_so: impl FnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<(Process, Process)> {
    // What systemd has there, and WirePlumber wants to watch.
    let folders = ["seats", "sessions", "users", "machines"].map(|name| format!("/run/systemd/{name}"));
    computer.run("mkdir", ["-p".to_owned()].iter().chain(&folders))?;
    let mut tries = 4;
    loop {
        let mut manager = computer.spawn("wireplumber", [""; 0])?;
        let mut pulse = computer.spawn("pipewire-pulse", [""; 0])?;
        let done = wait::until(what, CHOOSES_WITHIN, || {
            manager.is_alive()?;
            pulse.is_alive()?;
            Ok(is_so()?.then_some(()))
        });
        tries -= 1;
        match done {
            Ok(()) => return Ok((manager, pulse)),
            Err(error) if tries == 0 => return Err(error),
            Err(_) => {}
        }
    }
}

/// What `pactl` says; nothing while the server does not answer yet.
pub(super) fn pactl(host: &Host, arguments: &[&str]) -> anyhow::Result<Option<String>> {
    let output = host.command("pactl").args(arguments).output()?;
    Ok(output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned()))
}

fn links(host: &Host) -> String {
    host.run("pw-link", ["-l"]).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_warning_of_another_object_is_of_the_same_kind() {
        let one = "W 22:50:01.123456 wp-node ../lib/wp/node.c:61:done: <WpNode:0x55ab12> 48 failed";
        let same = "W 23:01:59.000001 wp-node ../lib/wp/node.c:61:done: <WpNode:0x7f0001> 7 failed";
        let other = one.replace("48 failed", "48 vanished");
        assert_eq!(kind(one), "W #:#:#.# wp-node ../lib/wp/node.c:#:done: <WpNode:#> # failed");
        assert_eq!(kind(one), kind(same));
        assert_ne!(kind(one), kind(&other));
        assert_eq!(severe(&format!("I fine\n {one}\n[W][00001.5] x\nno\n")).count(), 2);
        assert!(complaints(one).is_empty());
    }
}
