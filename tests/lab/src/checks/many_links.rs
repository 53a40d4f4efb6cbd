//! Many links at once: as few requests as the protocol allows.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};

use crate::agent::{self, Agent};
use crate::oat_device::OatDevice;
use crate::pipewire::PipeWireOptions;
use crate::products::Products;
use crate::scene;
use crate::studio::Studio;
use crate::wait::{self, SOON};

/// Inputs and outputs of 16 channels each: 64 links.
const STREAMS: usize = 4;
const CHANNELS: usize = 16;

/// `ConnectMany` with 64 connections of one channel tells each of four inputs once what to play; the same again tells
/// nothing; a whole route withdrawn is one request.
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
    let mut mixer = start(&desk, "mixtee-01b7", "FOH", ports_in)?;
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
    let call = |method: &str, arguments: &[&str]| {
        let method = format!("org.wireloom.Wireloom1.Manager.{method}");
        let place = ["call", "--session", "--dest", "org.wireloom.Wireloom1", "--object-path"];
        let whole = ["/org/wireloom/Wireloom1", "--method", &method];
        computer.run("gdbus", [&place[..], &whole, arguments].concat())
    };
    call("ConnectMany", &[&connections, "{}"])?;
    let told = |mixer: &OatDevice<'_>| mixer.process.log().matches("told what to play").count();
    let connected = |count: usize| {
        wait::until(&format!("{count} connected channels"), SOON, || {
            let answer = agent::ask(&computer, products, &["routes"])?;
            let routes = answer["routes"].as_array().context("a list of routes")?;
            // Without a clock no packet is sent, so that nobody confirms audio.
            let told = routes.iter().filter(|route| route["state"] == "degraded" && route["desired"] == true);
            let channels: usize = told.filter_map(|route| Some(route["channels"].as_array()?.len())).sum();
            Ok((channels == count).then_some(()))
        })
    };
    connected(STREAMS * CHANNELS)?;
    ensure!(told(&mixer) == STREAMS, "{} requests: {}", told(&mixer), mixer.process.log());
    call("ConnectMany", &[&connections, "{}"])?;
    connected(STREAMS * CHANNELS)?;
    for number in 0..STREAMS {
        let (output, input) = (&outputs[number], &inputs[number]);
        let links = wait::until("links of all channels", SOON, || {
            let node = |name: &str| graph.node_with("media.name", name);
            let (Some(output), Some(input)) = (node(output)?, node(input)?) else { return Ok(None) };
            let links = graph.links_between(&output, &input)?;
            Ok((links >= CHANNELS).then_some(links))
        })?;
        ensure!(links == CHANNELS, "{links} links from {output} to {input}");
    }
    ensure!(told(&mixer) == STREAMS, "asked again for what is so: {}", mixer.process.log());

    // One channel less is still the same stream; all of an input are one request to stop.
    let disconnect = |map: &[&str]| {
        agent::ask(&computer, products, &[&["disconnect", &outputs[0], &inputs[0]], map].concat())
    };
    disconnect(&["--map", "2:2"])?;
    disconnect(&[])?;
    mixer.process.says("told to stop", SOON)?;
    wait::until("the end of the route", SOON, || {
        let answer = agent::ask(&computer, products, &["routes"])?;
        Ok((answer["routes"].as_array().map(Vec::len) == Some(STREAMS - 1)).then_some(()))
    })?;
    let stops = mixer.process.log().matches("told to stop").count();
    ensure!(stops == 1 && told(&mixer) == STREAMS, "{stops} stops: {}", mixer.process.log());
    Ok(format!("{} links by {STREAMS} requests, {CHANNELS} of them gone by one", STREAMS * CHANNELS))
}

fn letter(number: usize) -> char {
    char::from(b'A' + number as u8)
}
