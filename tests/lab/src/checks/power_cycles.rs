//! Everything is switched off and on again in random order, and every wish comes true again.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use wireloom_clock_page::LineState;

use crate::agent::{self, Agent};
use crate::clock::Clock;
use crate::host::Host;
use crate::oat_device::OatDevice;
use crate::peers::RtpStream;
use crate::pipewire::{PipeWire, PipeWireOptions};
use crate::process::Process;
use crate::products::Products;
use crate::scene;
use crate::studio::Studio;
use crate::wait::{self, SOON};

/// Cycles: one round; and in a thorough studio.
const CYCLES: usize = ROUND;
const THOROUGH_CYCLES: usize = 20;
/// Each party alone once, and all at once.
const ROUND: usize = PARTIES.len() + 1;
/// How often a machine that stalls may disturb what is heard at the end of one way.
const RUNS: usize = 8;
/// Everything that is random comes from this.
const SEED: u64 = 3;
/// A device that is switched off stays so for this long; real ones take longer to start.
const OFF: Duration = Duration::from_secs(3);
/// Within this every wish is honoured again: nodes that are away are looked for every half minute at least.
const HONOURED_WITHIN: Duration = Duration::from_secs(120);
const LATENCY: u32 = 960;
const PPM: f64 = 80.0;
const LOCK: Duration = Duration::from_secs(40);
/// Descriptors that a process may have more than when it had first settled.
const MORE_DESCRIPTORS: usize = 12;
/// Memory that it may have more, in octets.
const MORE_MEMORY: u64 = 24 << 20;

const SYNTH_ONE: &str = "Bass Synth — Out 1-2";
const SYNTH_TWO: &str = "Bass Synth — Out 3-4";
const MIXER_ONE: &str = "FOH : In 1-2";
const MIXER_TWO: &str = "FOH : In 3-4";
const CARD: &str = "speakers";
const SLOT: &str = "Drums";
/// What is wished, the last by a preset.
const WISHES: [(&str, &str); 4] =
    [(SYNTH_ONE, MIXER_ONE), (SYNTH_ONE, CARD), (CARD, SLOT), (SYNTH_TWO, MIXER_TWO)];
/// Channels of each.
const CHANNELS: usize = 2;

/// Two devices, the agent, PipeWire and the clock service lose power alone or all at once, some in the middle of a
/// change of a route: every wish is honoured again, the clock locks, nothing is there twice, nothing leaks, and the
/// sound flows.
pub fn run(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let cycles = if studio.is_thorough() { THOROUGH_CYCLES } else { CYCLES };
    let (leader, stage) = (studio.host("leader")?, studio.host("stage")?);
    let (desk, computer) = (studio.host("desk")?, studio.host("computer")?);
    let mut clock = Clock::leader(&leader, products, 0, 100, PPM)?;
    clock.wait_for(LineState::Leader, SOON)?;
    let mut device_clocks = [Clock::follower(&stage, products, 0)?, Clock::follower(&desk, products, 0)?];
    let mut follower = Clock::follower(&computer, products, 0)?;
    for clock in device_clocks.iter_mut().chain([&mut follower]) {
        clock.wait_for(LineState::Locked, LOCK)?;
    }
    let graph = start_graph(&computer, products)?;
    let Agent { process, bus: _bus } =
        Agent::start(&computer, products, &format!("latency-frames = {LATENCY}\n"))?;
    let mut scene = Scene {
        synth: Some(start_synth(&stage, products)?),
        mixer: Some(start_mixer(&desk, products)?),
        agent: Some(process),
        graph: Some(graph),
        clock: Some(follower),
        stage: &stage,
        desk: &desk,
        computer: &computer,
        products,
        random: Random(SEED),
        due: Vec::new(),
        nodes: 0,
        settled: BTreeMap::new(),
    };
    scene.wish_all()?;
    scene.settle().context("before anything was switched off")?;
    let mut torn = 0;
    for cycle in 1..=cycles {
        let what = scene.cycle(&mut torn)?;
        scene.settle().with_context(|| format!("after cycle {cycle}, of {what}, seed {SEED}"))?;
    }
    let heard = scene.listen()?;
    Ok(format!(
        "{cycles} cycles, {torn} of them in the middle of a change: {} wishes honoured after each, nothing twice; \
         {heard} samples at the end",
        WISHES.len()
    ))
}

/// What can lose its power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Party {
    Synth,
    Mixer,
    Agent,
    Graph,
    Clock,
}

const PARTIES: [Party; 5] = [Party::Synth, Party::Mixer, Party::Agent, Party::Graph, Party::Clock];

struct Scene<'a> {
    synth: Option<OatDevice<'a>>,
    mixer: Option<OatDevice<'a>>,
    agent: Option<Process>,
    graph: Option<PipeWire<'a>>,
    clock: Option<Clock>,
    stage: &'a Host,
    desk: &'a Host,
    computer: &'a Host,
    products: &'a Products,
    random: Random,
    /// What is left of the round, the next at the end.
    due: Vec<Vec<Party>>,
    /// Nodes in the graph, once everything is there.
    nodes: usize,
    /// Descriptors and memory of each process of the computer when it had settled first, by process id.
    settled: BTreeMap<u32, (usize, u64)>,
}

impl Scene<'_> {
    fn wireloom(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        agent::ask(self.computer, self.products, arguments)
    }

    fn wish_all(&mut self) -> anyhow::Result<()> {
        self.wireloom(&["stream", "create", SLOT, "--channels", "2"])?;
        for (source, sink) in WISHES {
            self.connect(source, sink)?;
        }
        let (source, sink) = WISHES[3];
        self.wireloom(&["preset", "save", "Sunday"])?;
        self.wireloom(&["disconnect", source, sink])?;
        self.wireloom(&["preset", "load", "Sunday"])?;
        Ok(())
    }

    /// Wishes the route as soon as both names are known.
    fn connect(&self, source: &str, sink: &str) -> anyhow::Result<()> {
        let mut why = None;
        let done = wait::until(&format!("connect {source} {sink}"), HONOURED_WITHIN, || {
            match self.wireloom(&["connect", source, sink]) {
                Ok(_) => Ok(Some(())),
                Err(error) => {
                    why = Some(error);
                    Ok(None)
                }
            }
        });
        done.with_context(|| format!("the last answer: {why:?}"))
    }

    /// Switches one party or all off and on, and says which.
    fn cycle(&mut self, torn: &mut usize) -> anyhow::Result<String> {
        if self.due.is_empty() {
            self.due = round(&mut self.random);
        }
        let mut off = self.due.pop().context("a round is not empty")?;
        self.random.shuffle(&mut off);
        let change = self.random.below(2) == 0;
        let changed = WISHES[self.random.below(WISHES.len())];
        let mut changing = None;
        if change {
            let (source, sink) = changed;
            changing =
                Some(self.computer.spawn(self.products.program("wireloom"), ["disconnect", source, sink])?);
            *torn += 1;
        }
        for party in &off {
            self.stop(*party)?;
        }
        let mut on = off.clone();
        self.random.shuffle(&mut on);
        for party in &on {
            self.start(*party)?;
        }
        if let Some(mut changing) = changing {
            // It got through or not; from here on the route is wished.
            wait::until("the end of wireloom disconnect", SOON, || Ok(changing.is_alive().err().map(drop)))?;
            self.connect(changed.0, changed.1)?;
        }
        Ok(format!("{off:?} off, {on:?} on, in the middle of a change: {change}"))
    }

    fn stop(&mut self, party: Party) -> anyhow::Result<()> {
        match party {
            Party::Synth => self.synth.take().context("the synth runs")?.process.kill()?,
            Party::Mixer => self.mixer.take().context("the mixer runs")?.process.kill()?,
            Party::Agent => self.agent.take().context("the agent runs")?.kill()?,
            Party::Graph => self.graph.take().context("PipeWire runs")?.daemon.kill()?,
            Party::Clock => self.clock.take().context("the clock service runs")?.process().kill()?,
        }
        Ok(())
    }

    fn start(&mut self, party: Party) -> anyhow::Result<()> {
        match party {
            Party::Synth => {
                std::thread::sleep(OFF);
                self.synth = Some(start_synth(self.stage, self.products)?);
            }
            Party::Mixer => {
                std::thread::sleep(OFF);
                self.mixer = Some(start_mixer(self.desk, self.products)?);
            }
            Party::Agent => {
                let mut agent = self.computer.spawn(self.products.program("wireloom-agent"), [""; 0])?;
                agent.says("ready", SOON)?;
                self.agent = Some(agent);
            }
            Party::Graph => self.graph = Some(start_graph(self.computer, self.products)?),
            Party::Clock => self.clock = Some(Clock::follower(self.computer, self.products, 0)?),
        }
        Ok(())
    }

    /// Waits until every wish is honoured, and looks for what is there twice or grows.
    fn settle(&mut self) -> anyhow::Result<()> {
        let mut last = Value::Null;
        let honoured = wait::until("every wish honoured", HONOURED_WITHIN, || {
            self.is_alive()?;
            last = self.wireloom(&["routes"])?["routes"].take();
            let routes = last.as_array().context("a list of routes")?;
            let honoured = |(source, sink): &(&str, &str)| {
                let fits = |route: &&Value| route["source_name"] == *source && route["sink_name"] == *sink;
                let found: Vec<_> = routes.iter().filter(fits).collect();
                found.len() == 1
                    && found[0]["desired"] == true
                    && found[0]["state"] == "receiving"
                    && found[0]["channels"].as_array().map(Vec::len) == Some(CHANNELS)
            };
            let exactly = routes.len() == WISHES.len() && WISHES.iter().all(honoured);
            Ok((exactly && self.links_are_right()?).then_some(()))
        });
        honoured.with_context(|| format!("routes: {last:#}"))?;
        self.clock()?.wait_for(LineState::Locked, LOCK)?;
        let dump = self.graph()?.dump()?;
        let mut names: Vec<_> = dump
            .as_array()
            .into_iter()
            .flatten()
            .filter(|object| object["type"] == "PipeWire:Interface:Node")
            .filter_map(|object| object["info"]["props"]["node.name"].as_str().map(str::to_owned))
            .collect();
        names.sort();
        let count = names.len();
        names.dedup();
        ensure!(names.len() == count, "a node is there twice: {names:?}");
        if self.nodes == 0 {
            self.nodes = count;
        }
        ensure!(count == self.nodes, "{count} nodes instead of {}: {names:?}", self.nodes);
        self.measure()
    }

    fn is_alive(&mut self) -> anyhow::Result<()> {
        self.synth.as_mut().context("the synth runs")?.process.is_alive()?;
        self.mixer.as_mut().context("the mixer runs")?.process.is_alive()?;
        self.agent.as_mut().context("the agent runs")?.is_alive()?;
        self.clock()?.process().is_alive()?;
        self.graph.as_mut().context("PipeWire runs")?.daemon.is_alive()
    }

    fn clock(&mut self) -> anyhow::Result<&mut Clock> {
        self.clock.as_mut().context("the clock service runs")
    }

    fn graph(&self) -> anyhow::Result<&PipeWire<'_>> {
        self.graph.as_ref().context("PipeWire runs")
    }

    /// Each wish is as many links as it has channels, and there is no other.
    fn links_are_right(&self) -> anyhow::Result<bool> {
        let graph = self.graph()?;
        for (source, sink) in WISHES {
            let node = |name: &str| {
                let key = if name == CARD { "node.name" } else { "media.name" };
                graph.node_with(key, name)
            };
            let (Some(source), Some(sink)) = (node(source)?, node(sink)?) else { return Ok(false) };
            let links = graph.links_between(&source, &sink)?;
            ensure!(links <= CHANNELS, "{links} links between {source:?} and {sink:?}");
            if links != CHANNELS {
                return Ok(false);
            }
        }
        Ok(graph.links()?.len() == WISHES.len() * CHANNELS)
    }

    /// What runs on must not grow.
    fn measure(&mut self) -> anyhow::Result<()> {
        let agent = self.agent.as_ref().context("the agent runs")?;
        let daemon = &self.graph.as_ref().context("PipeWire runs")?.daemon;
        let clock = &*self.clock.as_mut().context("the clock service runs")?.process();
        for (name, process) in [("agent", agent), ("PipeWire", daemon), ("clock service", clock)] {
            let descriptors = std::fs::read_dir(format!("/proc/{}/fd", process.id()))?.count();
            let memory = process.resident()?;
            let first = *self.settled.entry(process.id()).or_insert((descriptors, memory));
            ensure!(
                descriptors <= first.0 + MORE_DESCRIPTORS,
                "{name} had {} descriptors and has {descriptors}",
                first.0
            );
            ensure!(memory <= first.1 + MORE_MEMORY, "{name} had {} octets and has {memory}", first.1);
        }
        Ok(())
    }

    /// The sound at the end of every way; answers how many samples were right.
    fn listen(&mut self) -> anyhow::Result<u64> {
        let mixer = self.mixer.as_mut().context("the mixer runs")?;
        let mut heard = 0;
        for input in ["In 1-2", "In 3-4"] {
            heard += mixer.play_exactly(input, 48_000, RUNS, || Ok(()))?.matched;
        }
        let graph = self.graph.as_mut().context("PipeWire runs")?;
        let node = graph.node(CARD)?.context("the sound card is there")?;
        let stream = RtpStream::standard(1, CHANNELS);
        for _ in 0..RUNS {
            let run = scene::record(self.products, graph, &node, &stream, 48_000, |_| {})?;
            if run.is_exact()? {
                return self.slot_sends().map(|()| heard + run.comparison.matched);
            }
        }
        bail!("the machine disturbed all of {RUNS} runs of the sound card")
    }

    fn slot_sends(&self) -> anyhow::Result<()> {
        let why = self.wireloom(&["why", SLOT])?;
        let checks = why["stream"]["checks"].as_array().context("a list of checks")?;
        let sends = |check: &&Value| check["name"] == "packets" && check["verdict"] == "ok";
        ensure!(checks.iter().any(|check| sends(&check)), "{SLOT} is not sent: {why:#}");
        Ok(())
    }
}

/// Each party alone once and all at once, in random order.
fn round(random: &mut Random) -> Vec<Vec<Party>> {
    let mut round: Vec<_> = PARTIES.iter().map(|party| vec![*party]).collect();
    round.push(PARTIES.to_vec());
    random.shuffle(&mut round);
    round
}

fn start_graph<'a>(host: &'a Host, products: &Products) -> anyhow::Result<PipeWire<'a>> {
    let options = PipeWireOptions { sinks: vec![CARD.to_owned()], ..PipeWireOptions::default() };
    scene::start_module(host, products, &BTreeMap::new(), options)
}

fn start_synth<'a>(host: &'a Host, products: &Products) -> anyhow::Result<OatDevice<'a>> {
    let ports = ["--name", "Bass Synth", "--output", "Out 1-2:2", "--output", "Out 3-4:2"];
    OatDevice::start(host, products, "syntee-a3f2", &ports)
}

fn start_mixer<'a>(host: &'a Host, products: &Products) -> anyhow::Result<OatDevice<'a>> {
    let ports = ["--name", "FOH", "--output", "Main:2", "--input", "In 1-2:2", "--input", "In 3-4:2"];
    OatDevice::start(host, products, "mixtee-01b7", &ports)
}

/// The same numbers in every run.
struct Random(u64);

impl Random {
    /// One of the numbers below `end` (SplitMix64).
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((word ^ (word >> 31)) % end as u64) as usize
    }

    fn shuffle<T>(&mut self, list: &mut [T]) {
        for at in (1..list.len()).rev() {
            list.swap(at, self.below(at + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_takes_each_party_alone_and_all_at_once() {
        for seed in 0..100 {
            let mut round = round(&mut Random(seed));
            assert_eq!(round.len(), CYCLES);
            for party in PARTIES {
                assert!(round.contains(&vec![party]), "{party:?}, seed {seed}");
            }
            round.sort_by_key(Vec::len);
            assert_eq!(round[ROUND - 1], PARTIES);
        }
        let order = |seed| round(&mut Random(seed));
        assert_eq!(order(SEED), order(SEED));
        assert!((0..10).any(|seed| order(seed) != order(SEED)));
    }
}
