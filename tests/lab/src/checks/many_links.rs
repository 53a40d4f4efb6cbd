//! Many links at once: as few requests as the protocol allows.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};

use crate::agent::{self, Agent};
use crate::host::Host;
use crate::oat_device::OatDevice;
use crate::pipewire::{PipeWire, PipeWireOptions};
use crate::products::Products;
use crate::scene;
use crate::studio::Studio;
use crate::wait::{self, SOON};

/// Inputs and outputs of 16 channels each: 64 links.
const STREAMS: usize = 4;
const CHANNELS: usize = 16;

/// 64 connections of one channel, wished by `ConnectMany` or drawn by a program in one breath or by as many `pw-link`,
/// tell each of four inputs once what to play; the same again tells nothing; a whole route withdrawn is one request.
pub fn run(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let (stage, desk) = (studio.host("stage")?, studio.host("desk")?);
    let computer = studio.host("computer")?;
    let mut graph = scene::start_module(&computer, products, &BTreeMap::new(), PipeWireOptions::default())?;
    let mut agent = Agent::start(&computer, products, "")?;
    let ports = |option: &str, word: &str| -> Vec<String> {
        let port = |number: usize| [option.to_owned(), format!("{word} {}:{CHANNELS}", letter(number))];
        (0..STREAMS).flat_map(port).collect()
    };
    let start = |host, name, called: &str, ports: Vec<String>| {
        let arguments: Vec<&str> =
            ["--name", called].into_iter().chain(ports.iter().map(String::as_str)).collect();
        OatDevice::start(host, products, name, &arguments)
    };
    let _synth = start(&stage, "syntee-a3f2", "Wall", ports("--output", "Out"))?;
    let main = ["--output".to_owned(), "Main:2".to_owned()];
    let ports_in = ports("--input", "In").into_iter().chain(main).collect();
    let mixer = start(&desk, "mixtee-01b7", "FOH", ports_in)?;
    let (outputs, inputs): (Vec<_>, Vec<_>) = (0..STREAMS)
        .map(|number| (format!("Wall — Out {}", letter(number)), format!("FOH : In {}", letter(number))))
        .unzip();
    let ids = wait::until("all streams and inputs", 2 * SOON, || {
        agent.process.is_alive()?;
        graph.daemon.is_alive()?;
        let listed = agent::ask(&computer, products, &["list"])?;
        let streams = listed["streams"].as_array().context("a list of streams")?.clone();
        let id = |name: &String| {
            let found = streams.iter().find(|stream| stream["name"] == **name)?;
            found["id"].as_str().map(str::to_owned)
        };
        Ok(outputs.iter().chain(&inputs).map(id).collect::<Option<Vec<String>>>())
    })?;
    let mut scene = Scene {
        graph,
        _agent: agent,
        mixer,
        computer: &computer,
        products,
        outputs,
        inputs,
        told: 0,
        stopped: 0,
    };
    scene.wished(&ids)?;
    scene.drawn("a program in one breath", |pairs| {
        let ports = pairs.iter().flatten().map(u64::to_string);
        let arguments = std::iter::once("link-all".to_owned()).chain(ports);
        computer.run(products.program("wireloom-lab-patcher"), arguments).map(drop)
    })?;
    scene.drawn("as many pw-link", |pairs| {
        let each = pairs.iter().map(|[output, input]| format!("pw-link {output} {input} &"));
        let all = each.collect::<Vec<_>>().join("\n") + "\nwait";
        computer.run("timeout", ["60", "sh", "-c", &all]).map(drop)
    })?;
    Ok(format!(
        "{} links by {STREAMS} requests: wished, drawn by one program, drawn by as many; {CHANNELS} of them gone by one",
        STREAMS * CHANNELS
    ))
}

struct Scene<'a> {
    graph: PipeWire<'a>,
    _agent: Agent,
    mixer: OatDevice<'a>,
    computer: &'a Host,
    products: &'a Products,
    /// Names of the streams and of the inputs that they go to.
    outputs: Vec<String>,
    inputs: Vec<String>,
    /// How often the inputs were told what to play, and to stop.
    told: usize,
    stopped: usize,
}

impl Scene<'_> {
    /// All links by one call, given the ids of outputs and inputs; once more; and one route less.
    fn wished(&mut self, ids: &[String]) -> anyhow::Result<()> {
        let (sources, sinks) = ids.split_at(STREAMS);
        let pairs = sources.iter().zip(sinks).flat_map(|(output, input)| {
            (0..CHANNELS).map(move |channel| {
                format!(
                    "{{'source': <'{output}'>, 'sink': <'{input}'>, \
                     'source-channel': <uint32 {channel}>, 'sink-channel': <uint32 {channel}>}}"
                )
            })
        });
        let connections = format!("[{}]", pairs.collect::<Vec<_>>().join(", "));
        let connect = || {
            let place = ["call", "--session", "--dest", "org.wireloom.Wireloom1", "--object-path"];
            let method = "org.wireloom.Wireloom1.Manager.ConnectMany";
            let whole = ["/org/wireloom/Wireloom1", "--method", method, &connections, "{}"];
            self.computer.run("gdbus", [&place[..], &whole].concat())
        };
        connect()?;
        self.connected(STREAMS * CHANNELS)?;
        ensure!(self.tells() == STREAMS, "{} requests: {}", self.tells(), self.mixer.process.log());
        connect()?;
        self.connected(STREAMS * CHANNELS)?;
        self.linked()?;
        ensure!(self.tells() == STREAMS, "asked again for what is so: {}", self.mixer.process.log());

        // One channel less is still the same stream; all of an input are one request to stop.
        self.disconnect(0, &["--map", "2:2"])?;
        self.disconnect(0, &[])?;
        self.mixer.process.says("told to stop", SOON)?;
        self.routes(STREAMS - 1)?;
        let stops = self.stops();
        ensure!(stops == 1 && self.tells() == STREAMS, "{stops} stops: {}", self.mixer.process.log());
        for number in 1..STREAMS {
            self.disconnect(number, &[])?;
        }
        self.over()
    }

    /// All links at once by `draw`, which is given both ports of each.
    fn drawn(&mut self, by: &str, draw: impl Fn(&[[u64; 2]]) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let mut pairs = Vec::new();
        for (output, input) in self.outputs.iter().zip(&self.inputs) {
            let node = |name| self.graph.node_with("media.name", name)?.context("the node vanished");
            let (output, input) = (node(output)?, node(input)?);
            pairs.extend(output.outputs.iter().zip(&input.inputs).map(|((from, _), (to, _))| [*from, *to]));
        }
        ensure!(pairs.len() == STREAMS * CHANNELS, "{} pairs of ports", pairs.len());
        draw(&pairs).with_context(|| format!("drawn by {by}"))?;
        self.connected(STREAMS * CHANNELS).with_context(|| format!("drawn by {by}"))?;
        self.linked()?;
        let new = self.tells() - self.told;
        ensure!(new == STREAMS, "drawn by {by}: {new} requests: {}", self.mixer.process.log());
        for number in 0..STREAMS {
            self.disconnect(number, &[])?;
        }
        self.over()
    }

    /// Waits for the end of all routes; each input must have been told once what to play, and once to stop.
    fn over(&mut self) -> anyhow::Result<()> {
        self.routes(0)?;
        let (told, stopped) = (self.tells() - self.told, self.stops() - self.stopped);
        ensure!(
            (told, stopped) == (STREAMS, STREAMS),
            "{told} requests, {stopped} stops: {}",
            self.mixer.process.log()
        );
        (self.told, self.stopped) = (self.tells(), self.stops());
        Ok(())
    }

    fn tells(&self) -> usize {
        self.mixer.process.log().matches("told what to play").count()
    }

    fn stops(&self) -> usize {
        self.mixer.process.log().matches("told to stop").count()
    }

    fn disconnect(&self, number: usize, map: &[&str]) -> anyhow::Result<()> {
        let route = ["disconnect", &self.outputs[number], &self.inputs[number]];
        agent::ask(self.computer, self.products, &[&route[..], map].concat()).map(drop)
    }

    /// Waits for so many channels that are wished and told.
    fn connected(&self, count: usize) -> anyhow::Result<()> {
        wait::until(&format!("{count} connected channels"), SOON, || {
            let answer = agent::ask(self.computer, self.products, &["routes"])?;
            let routes = answer["routes"].as_array().context("a list of routes")?;
            // Without a clock no packet is sent, so that nobody confirms audio.
            let told = routes.iter().filter(|route| route["state"] == "degraded" && route["desired"] == true);
            let channels: usize = told.filter_map(|route| Some(route["channels"].as_array()?.len())).sum();
            Ok((channels == count).then_some(()))
        })
    }

    /// Waits for a link of every channel, and no more.
    fn linked(&self) -> anyhow::Result<()> {
        for (output, input) in self.outputs.iter().zip(&self.inputs) {
            let links = wait::until("links of all channels", SOON, || {
                let node = |name: &str| self.graph.node_with("media.name", name);
                let (Some(output), Some(input)) = (node(output)?, node(input)?) else { return Ok(None) };
                let links = self.graph.links_between(&output, &input)?;
                Ok((links >= CHANNELS).then_some(links))
            })?;
            ensure!(links == CHANNELS, "{links} links from {output} to {input}");
        }
        Ok(())
    }

    /// Waits until there are so many routes.
    fn routes(&self, count: usize) -> anyhow::Result<()> {
        wait::until(&format!("{count} routes"), SOON, || {
            let answer = agent::ask(self.computer, self.products, &["routes"])?;
            Ok((answer["routes"].as_array().map(Vec::len) == Some(count)).then_some(()))
        })
    }
}

fn letter(number: usize) -> char {
    char::from(b'A' + number as u8)
}
