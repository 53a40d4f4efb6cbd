//! Why does a route carry no sound?

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;
use wireloom_clock_page::LineState;

use crate::agent::Agent;
use crate::clock::Clock;
use crate::host::Host;
use crate::oat_device::OatDevice;
use crate::pipewire::{PipeWire, PipeWireOptions};
use crate::products::Products;
use crate::scene;
use crate::studio::Studio;
use crate::wait::{self, SOON};

const LOCK: Duration = Duration::from_secs(40);
/// A device counts as gone when it has not answered for some seconds, an announcement of it much later.
const SETTLED: Duration = Duration::from_secs(90);
const SOURCE: &str = "Bass Synth — Out 1-2";
const WIDE: &str = "Bass Synth — Out 1-8";
const SINK: &str = "FOH : In 1-2";
const LOCKED: &str = "Stage : In 1-2";

/// A route between two devices passes every check of `wireloom why`; one to a device that refuses, one whose
/// transmitter falls silent, one whose receiver is gone each fail exactly theirs, in words and in JSON.
pub fn run(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let (leader, stage) = (studio.host("leader")?, studio.host("stage")?);
    let (desk, rack, computer) = (studio.host("desk")?, studio.host("rack")?, studio.host("computer")?);
    let mut clock = Clock::leader(&leader, products, 0, 100, 80.0)?;
    clock.wait_for(LineState::Leader, SOON)?;
    let mut followers = Vec::new();
    for host in [&stage, &desk, &computer] {
        followers.push(Clock::follower(host, products, 0)?);
    }
    let graph = scene::start_module(&computer, products, &BTreeMap::new(), PipeWireOptions::default())?;
    let agent = Agent::start(&computer, products, "latency-frames = 960\n")?;
    for follower in &mut followers {
        follower.wait_for(LineState::Locked, LOCK)?;
    }
    let outputs = ["--name", "Bass Synth", "--output", "Out 1-2:2", "--output", "Out 1-8:8"];
    let mut synth = OatDevice::start(&stage, products, "syntee-a3f2", &outputs)?;
    let mixer = ["--name", "FOH", "--output", "Main:2", "--input", "In 1-2:2"];
    let mut mixer = OatDevice::start(&desk, products, "mixtee-01b7", &mixer)?;
    let locked = ["--name", "Stage", "--output", "Main:2", "--input", "In 1-2:2", "--locked"];
    let _locked = OatDevice::start(&rack, products, "mixtee-02c8", &locked)?;
    let mut scene = Scene { graph, agent, computer: &computer, products, said: Vec::new() };

    scene.connect(SOURCE, SINK, &[])?;
    scene.expect(SOURCE, SINK, &[])?;
    scene.connect(SOURCE, LOCKED, &[])?;
    let refused = ["ordered failed", "confirmed unknown"];
    let text = scene.expect(SOURCE, LOCKED, &refused)?;
    ensure!(text.contains("locked"), "the device's own words are missing: {text}");
    scene.disconnect(SOURCE, LOCKED)?;
    // Devices without a common language: linked here, and the receiver refuses what this computer would send.
    scene.connect(WIDE, LOCKED, &["--map", "1:1,2:2"])?;
    scene.expect(WIDE, LOCKED, &refused)?;
    scene.disconnect(WIDE, LOCKED)?;

    synth.process.kill()?;
    scene.expect(SOURCE, SINK, &["confirmed failed"])?;
    let outputs = ["--name", "Bass Synth", "--output", "Out 1-2:2", "--output", "Out 1-8:8"];
    let _synth = OatDevice::start(&stage, products, "syntee-a3f2", &outputs)?;
    scene.expect(SOURCE, SINK, &[])?;
    mixer.process.kill()?;
    let gone = ["present failed", "way unknown", "link unknown", "ordered unknown", "confirmed unknown"];
    scene.expect(SOURCE, SINK, &gone)?;
    Ok(format!("a healthy route and {} faults: {}", scene.said.len(), scene.said.join(" ")))
}

struct Scene<'a> {
    graph: PipeWire<'a>,
    agent: Agent,
    computer: &'a Host,
    products: &'a Products,
    /// The sentences of what failed.
    said: Vec<String>,
}

impl Scene<'_> {
    fn connect(&self, source: &str, sink: &str, map: &[&str]) -> anyhow::Result<()> {
        let arguments = [&["connect", source, sink], map].concat();
        let done = wait::until(&format!("connect {source} {sink}"), SOON, || {
            Ok(self.computer.run(self.products.program("wireloom"), &arguments).ok())
        });
        done.map(drop)
    }

    fn disconnect(&self, source: &str, sink: &str) -> anyhow::Result<()> {
        self.computer.run(self.products.program("wireloom"), ["disconnect", source, sink]).map(drop)
    }

    /// Waits until what is not ok of the route is exactly this, and says why; people are told the same as scripts.
    fn expect(&mut self, source: &str, sink: &str, expected: &[&str]) -> anyhow::Result<String> {
        let mut last = Vec::new();
        let found = wait::until(&format!("{expected:?} of {source} to {sink}"), SETTLED, || {
            self.agent.process.is_alive()?;
            self.graph.daemon.is_alive()?;
            let program = self.products.program("wireloom");
            let output = self.computer.command(program).args(["--json", "why", source, sink]).output()?;
            if !matches!(output.status.code(), Some(0 | 1)) || output.stdout.is_empty() {
                return Ok(None);
            }
            let document: Value = serde_json::from_slice(&output.stdout).context("JSON of wireloom why")?;
            ensure!(document["sound"] == output.status.success(), "{:?} of {document}", output.status);
            let checks = document["route"]["checks"].as_array().context("a list of checks")?.clone();
            let text = |check: &Value, key: &str| check[key].as_str().unwrap_or_default().to_owned();
            let odd = checks.iter().filter(|check| check["verdict"] != "ok");
            last = odd.map(|check| format!("{} {}", text(check, "name"), text(check, "verdict"))).collect();
            Ok((last == expected).then_some(checks))
        });
        let checks = found.with_context(|| format!("last seen: {last:?}"))?;
        let program = self.products.program("wireloom");
        let plain = self.computer.command(program).args(["why", source, sink]).output()?;
        let plain = String::from_utf8_lossy(&plain.stdout).into_owned();
        for check in &checks {
            let text = check["text"].as_str().context("a check says something")?;
            ensure!(!text.is_empty() && plain.contains(text), "{text:?} is not in:\n{plain}");
        }
        let failed = checks.iter().find(|check| check["verdict"] == "failed");
        let text = failed.and_then(|check| check["text"].as_str()).unwrap_or_default().to_owned();
        ensure!(text.is_empty() == expected.is_empty(), "{expected:?}: {text:?}");
        if !text.is_empty() {
            self.said.push(text.clone());
        }
        Ok(text)
    }
}
