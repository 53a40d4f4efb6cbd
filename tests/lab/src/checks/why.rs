use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;
use wireloom_clock_page::LineState;

use crate::agent::Agent;
use crate::clock::Clock;
use crate::host::Host;
use crate::peers::{RtpStream, gstreamer};
use crate::pipewire::{PipeWire, PipeWireOptions, Recorder};
use crate::products::Products;
use crate::scene;
use crate::studio::Studio;
use crate::wait::{self, SOON};

/// Latency class: twenty milliseconds, because this machine may stall.
const LATENCY: u32 = 960;
/// Long enough to lock with an Announce a second, on a machine that stalls.
const LOCK: Duration = Duration::from_secs(40);
/// Findings are made once a second and kept for some; a stall of the machine makes one too.
const SETTLED: Duration = Duration::from_secs(60);
/// What the stream is called.
const NAME: &str = "Stage box";

/// What follows when nothing can be said of packets.
const NO_PACKETS: [&str; 4] =
    ["payload unknown", "packet-time unknown", "deadline unknown", "samples unknown"];

/// A stream that plays passes every check; then its faults are made one after the other, and each is said for what it
/// is by `wireloom why`: exactly that check fails, and what depends on it is unknown.
pub fn run(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let (leader, sender) = (studio.host("leader")?, studio.host("sender")?);
    let (stranger, computer) = (studio.host("stranger")?, studio.host("computer")?);
    let mut clock = Clock::leader(&leader, products, 0, 100, 80.0)?;
    clock.wait_for(LineState::Leader, SOON)?;
    let mut sender_clock = Clock::follower(&sender, products, 0)?;
    let mut follower = Clock::follower(&computer, products, 0)?;
    sender_clock.wait_for(LineState::Locked, LOCK)?;
    let line = follower.wait_for(LineState::Locked, LOCK)?;

    // One stream with sound, one with nothing linked to it.
    let (stream, silent) = (RtpStream::standard(1, 2), RtpStream::standard(2, 2));
    let sent = BTreeMap::from([
        ("lab-1.rx".to_owned(), scene::transmit_node(&stream, "Lab 1")),
        ("lab-2.rx".to_owned(), scene::transmit_node(&silent, "Lab 2")),
    ]);
    let mut from = scene::start_module(&sender, products, &sent, PipeWireOptions::default())?;
    let input = from.wait_for_node("wireloom.lab-1.rx", 0, 2, SOON)?;
    let (_player, player) = from.player(products, "player", &stream.code())?;
    from.link(&player, &input)?;

    let graph = scene::start_module(&computer, products, &BTreeMap::new(), PipeWireOptions::default())?;
    let agent = Agent::start(&computer, products, &format!("latency-frames = {LATENCY}\n"))?;
    let clocks = format!("a=ts-refclk:ptp=IEEE1588-2008:{}:0\r\na=mediaclk:direct=0\r\n", line.leader);
    let mut scene = Scene { graph, agent, products, computer: &computer, faults: Vec::new() };
    let description = stream.named_description(sender.address(), NAME, &clocks);
    let announcer = gstreamer::announcer(&sender, "stage-box", &description)?;

    // Without a link, with one, and beside a second sender.
    let unlinked = ["joined unknown", "packets unknown", "link failed"];
    scene.expect(NAME, &[&unlinked[..], &NO_PACKETS].concat())?;
    let recorder = scene.listen(NAME)?;
    scene.expect(NAME, &[])?;
    let second = gstreamer::sender(&stranger, &stream)?;
    scene.expect(NAME, &["address failed"])?;
    drop(second);
    scene.expect(NAME, &[])?;

    // Faults of descriptions: the same packets, described otherwise.
    drop(recorder);
    let other = |name: &str, from: &str, to: &str| -> anyhow::Result<String> {
        ensure!(description.contains(from), "{from:?} is in the description");
        let session = format!("o=- {} 1 ", name.len() + 100);
        Ok(description.replace("o=- 1 1 ", &session).replace(NAME, name).replace(from, to))
    };
    // Of each, what is put for what in the description, what is not ok then, and words of the first sentence.
    let leader = format!("{}:0\r\na=mediaclk", line.leader);
    let other_leader = "00-00-5E-FF-FE-00-53-FE:0\r\na=mediaclk";
    let late = &["deadline failed", "samples unknown"][..];
    let described: [(&str, &str, &str, &[&str], &str); 7] = [
        ("Other type", "98", "99", &["payload warning"], "payload type 98, described is 99"),
        (
            "Other source",
            "a=mediaclk",
            "a=ssrc:7 cname:x\r\na=mediaclk",
            &["payload warning"],
            "described is 00000007",
        ),
        ("Other packets", "a=ptime:1\r\n", "a=ptime:0.25\r\n", &["packet-time warning"], "described are 12"),
        (
            "Other domain of PTP",
            ":0\r\na=mediaclk",
            ":7\r\na=mediaclk",
            &["clock warning"],
            "another PTP domain",
        ),
        ("Other grandmaster", &leader, other_leader, &["clock warning"], "Another grandmaster"),
        ("Other offset in time", "direct=0", "direct=9600", late, "after they are due"),
        // Two seconds, modulo 2^32.
        ("Stamped for much later", "direct=0", "direct=4294871296", late, "too far in the future"),
    ];
    for (name, from, to, expected, said) in described {
        scene.described(name, &other(name, from, to)?, expected, said)?;
    }
    let name = "Another stream that is silent";
    let address = (stream.address.to_string(), silent.address.to_string());
    scene.described(name, &other(name, &address.0, &address.1)?, &["samples failed"], "zero")?;

    let noise = RtpStream::standard(3, 2);
    let _noise = gstreamer::noise(&stranger, &noise)?;
    let text = other("Noise instead of RTP", &address.0, &noise.address.to_string())?;
    scene.described(
        "Noise instead of RTP",
        &text,
        &[&["payload failed"], &NO_PACKETS[1..]].concat(),
        "no RTP",
    )?;

    let _occupier = gstreamer::occupier(&computer, 6004)?;
    let text = other("Its port is taken here", "m=audio 5004", "m=audio 6004")?;
    let taken = [&["joined failed", "packets unknown"], &NO_PACKETS[..]].concat();
    scene.described("Its port is taken here", &text, &taken, "port")?;

    // What cannot be read is announced all the same.
    let broken = other("Nothing that we can play", "L24/48000/2", "opus/48000/2")?;
    let _broken = gstreamer::announcer(&sender, "broken", &broken)?;
    let nothing =
        ["description failed", "address unknown", "joined unknown", "packets unknown", "clock unknown"];
    scene.expect("Nothing that we can play", &[&nothing[..], &NO_PACKETS, &["link failed"]].concat())?;

    // The announcement is withdrawn, and then the sender is switched off.
    let _recorder = scene.listen(NAME)?;
    scene.expect(NAME, &[])?;
    drop(announcer);
    gstreamer::withdraw(&sender, "stage-box", &description)?;
    scene.expect(NAME, &["announced warning"])?;
    let announcer = gstreamer::announcer(&sender, "stage-box-again", &description)?;
    scene.expect(NAME, &[])?;
    from.daemon.kill()?;
    scene.expect(NAME, &[&["packets failed"], &NO_PACKETS[..]].concat())?;
    drop(announcer);
    gstreamer::withdraw(&sender, "stage-box", &description)?;
    let left = ["announced failed", "joined unknown", "packets unknown"];
    scene.expect(NAME, &[&left[..], &NO_PACKETS].concat())?;
    Ok(format!("{} faults, each said: {}", scene.faults.len(), scene.faults.join(", ")))
}

struct Scene<'a> {
    graph: PipeWire<'a>,
    agent: Agent,
    products: &'a Products,
    computer: &'a Host,
    /// What was found, in order.
    faults: Vec<String>,
}

impl Scene<'_> {
    /// An application that is linked to the stream `name`, until it is dropped.
    fn listen(&mut self, name: &str) -> anyhow::Result<Recorder> {
        let what = format!("the node of {name}");
        let node = wait::until(&what, SOON, || {
            self.agent.process.is_alive()?;
            Ok(self.graph.node_with("media.name", name)?.filter(|node| node.outputs.len() == 2))
        })?;
        let recorder = self.graph.recorder(self.products, "recorder", 2)?;
        self.graph.link(&node, &recorder.node)?;
        Ok(recorder)
    }

    /// Adds a description by hand, listens to it, and expects this, the first of it `said` in these words.
    fn described(
        &mut self,
        name: &str,
        description: &str,
        expected: &[&str],
        said: &str,
    ) -> anyhow::Result<()> {
        let file = self.computer.directory().join("added.sdp");
        std::fs::write(&file, description)?;
        let wireloom = self.products.program("wireloom");
        let file = file.to_string_lossy().into_owned();
        self.computer.run(&wireloom, ["stream", "add-sdp", &file])?;
        let recorder = self.listen(name)?;
        let found = self.expect(name, expected)?;
        let checks = found["stream"]["checks"].as_array().into_iter().flatten();
        let first = checks.into_iter().find(|check| check["verdict"] != "ok");
        let text = first.and_then(|check| check["text"].as_str()).unwrap_or_default();
        ensure!(text.contains(said), "{name}: {text:?} does not say {said:?}");
        drop(recorder);
        self.computer.run(&wireloom, ["stream", "remove", name])?;
        Ok(())
    }

    /// Waits until what is not ok of `name` is exactly this; the exit status says whether anything fails.
    fn expect(&mut self, name: &str, expected: &[&str]) -> anyhow::Result<Value> {
        let mut last = Vec::new();
        let found = wait::until(&format!("{expected:?} of {name}"), SETTLED, || {
            self.agent.process.is_alive()?;
            self.graph.daemon.is_alive()?;
            let mut command = self.computer.command(self.products.program("wireloom"));
            let output = command.args(["--json", "why", name]).output()?;
            if !matches!(output.status.code(), Some(0 | 1)) || output.stdout.is_empty() {
                return Ok(None); // it is not known yet
            }
            let document: Value = serde_json::from_slice(&output.stdout).context("JSON of wireloom why")?;
            let (odd, fails) = odd(&document);
            ensure!(output.status.success() != fails, "{:?} of {document}", output.status);
            let wanted =
                odd.len() == expected.len() && expected.iter().all(|one| odd.contains(&(*one).into()));
            last = odd;
            Ok(wanted.then_some(document))
        });
        let document = found.with_context(|| format!("last seen: {last:?}"))?;
        let stream = &document["stream"];
        let first = last.iter().find(|one| one.ends_with("failed") && stream["state"] != "idle");
        let sentence = stream["checks"].as_array().into_iter().flatten().find(|c| c["verdict"] == "failed");
        if let (Some(_), Some(check)) = (first, sentence) {
            ensure!(stream["state_text"] == check["text"], "the state's sentence is another: {stream}");
        }
        let said = last.iter().find(|one| !one.ends_with("unknown"));
        self.faults.extend(said.filter(|said| !self.faults.contains(said)).cloned());
        Ok(document)
    }
}

/// The checks that are not ok, as "name verdict", and whether one fails.
fn odd(document: &Value) -> (Vec<String>, bool) {
    let checks = document["stream"]["checks"].as_array().cloned().unwrap_or_default();
    let text = |check: &Value, key: &str| check[key].as_str().unwrap_or_default().to_owned();
    let odd: Vec<String> = checks
        .iter()
        .filter(|check| check["verdict"] != "ok")
        .map(|check| format!("{} {}", text(check, "name"), text(check, "verdict")))
        .collect();
    (odd, checks.iter().any(|check| check["verdict"] == "failed"))
}
