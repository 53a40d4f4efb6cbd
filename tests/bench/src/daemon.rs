//! A private PipeWire daemon that is measured, with as little else in it as possible.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use wireloom_lab::wait::{self, SOON};
use wireloom_lab::{Host, Process, Products};

use crate::platform::Platform;

/// Channels of one sink; more than 64 a PipeWire node does not have.
pub const SINK_CHANNELS: usize = 64;

/// What is in the daemon.
#[derive(Debug, Default)]
pub struct Contents {
    /// Frames in a cycle; nothing can change it.
    pub quantum: u32,
    /// Channels of each null sink.
    pub sinks: Vec<usize>,
    /// Whether there is a driver for nodes that bring none along.
    pub driver: bool,
    /// What the daemon logs: 1 errors, 3 what it finds worth knowing.
    pub log_level: u32,
    /// Modules: name and arguments.
    pub modules: Vec<(&'static str, String)>,
}

/// A running daemon.
pub struct Daemon<'a> {
    host: &'a Host,
    platform: &'a Platform,
    process: Process,
}

/// A node and its ports, by global id, in the order of their numbers.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its properties.
    pub props: Value,
    /// Output ports.
    pub outputs: Vec<u64>,
    /// Input ports.
    pub inputs: Vec<u64>,
}

impl<'a> Daemon<'a> {
    /// Starts it and waits until it answers.
    pub fn start(
        host: &'a Host,
        platform: &'a Platform,
        products: &Products,
        contents: &Contents,
    ) -> Result<Self> {
        let configuration = host.directory().join("bench.conf");
        std::fs::write(&configuration, contents.configuration())?;
        let mut command = platform.command(host, "pipewire");
        command.arg("-c").arg(&configuration).env("PIPEWIRE_MODULE_DIR", platform.module_path(products)?);
        let process = host.start("pipewire", command)?;
        let mut this = Self { host, platform, process };
        wait::until("an answer of PipeWire", SOON, || {
            this.process.is_alive()?;
            Ok(this.run("pw-cli", &["info", "0"]).ok())
        })?;
        Ok(this)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// What it has said.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Errors: it has ended.
    pub fn is_alive(&mut self) -> Result<()> {
        self.process.is_alive()
    }

    /// Runs one of its version's programs and returns what that printed.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let output =
            self.platform.command(self.host, program).args(arguments).stdin(Stdio::null()).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{program} ended with {}: {}", output.status, said.trim());
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Every node, as one look at the graph shows them.
    pub fn nodes(&self) -> Result<Vec<Node>> {
        let dump: Value = serde_json::from_str(&self.run("pw-dump", &["--no-colors"])?)?;
        let objects = dump.as_array().context("pw-dump prints a list")?;
        let of_type = |kind: &str| {
            let kind = format!("PipeWire:Interface:{kind}");
            objects.iter().filter(move |object| object["type"] == kind)
        };
        let mut ports: Vec<(u64, bool, u64, u64)> = of_type("Port")
            .filter_map(|port| {
                let info = &port["info"];
                let number = |name: &str| info["props"][name].as_u64();
                // What a sink plays can be recorded at its monitor ports; they are in its outputs here.
                Some((
                    number("node.id")?,
                    info["direction"] == "output",
                    number("port.id")?,
                    port["id"].as_u64()?,
                ))
            })
            .collect();
        ports.sort_unstable();
        let side = |node: u64, output: bool| {
            ports.iter().filter(|port| (port.0, port.1) == (node, output)).map(|port| port.3).collect()
        };
        let node = |object: &Value| {
            let id = object["id"].as_u64()?;
            let props = object["info"]["props"].clone();
            Some(Node { props, outputs: side(id, true), inputs: side(id, false) })
        };
        Ok(of_type("Node").filter_map(node).collect())
    }

    /// Waits for one node for each of `names` (`node.name` or the session's name) with that many ports.
    pub fn wait_for(&mut self, names: &[String], outputs: usize, inputs: usize) -> Result<Vec<Node>> {
        wait::until(&format!("the nodes {} ...", names.first().map_or("", |n| n)), SOON, || {
            self.process.is_alive()?;
            let nodes = self.nodes()?;
            let find = |name: &String| {
                let is_it = |node: &&Node| {
                    node.is_called(name) && node.outputs.len() >= outputs && node.inputs.len() >= inputs
                };
                nodes.iter().find(is_it).cloned()
            };
            Ok(names.iter().map(find).collect())
        })
    }

    /// Links ports, by their ids, with one client for all: one process for each would take longer than measuring.
    pub fn link(&self, pairs: &[(u64, u64)]) -> Result<()> {
        let mut client = self
            .platform
            .command(self.host, "pw-cli")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut input = client.stdin.take().context("a piped input")?;
        for (output, port) in pairs {
            writeln!(input, "create-link - {output} - {port} {{ object.linger=true }}")?;
        }
        let done = wait::until(&format!("{} links", pairs.len()), SOON, || {
            let dump: Value = serde_json::from_str(&self.run("pw-dump", &["--no-colors"])?)?;
            let links = dump.as_array().map_or(0, |objects| {
                objects.iter().filter(|object| object["type"] == "PipeWire:Interface:Link").count()
            });
            Ok((links >= pairs.len()).then_some(()))
        });
        drop(input);
        let _ = client.kill();
        client.wait()?;
        done
    }
}

impl Node {
    fn is_called(&self, name: &str) -> bool {
        ["node.name", "rtp.session", "sess.name"].into_iter().any(|key| self.props[key] == name)
    }
}

impl Contents {
    fn configuration(&self) -> String {
        let Self { quantum, log_level, .. } = self;
        let mut text = format!(
            "context.properties = {{\n core.daemon = true\n core.name = pipewire-0\n log.level = {log_level}\n \
             mem.warn-mlock = false\n default.clock.rate = 48000\n default.clock.quantum = {quantum}\n \
             default.clock.min-quantum = {quantum}\n default.clock.max-quantum = {quantum}\n \
             default.clock.power-of-two-quantum = false\n clock.power-of-two-quantum = false\n}}\n\
             context.spa-libs = {{\n audio.convert.* = audioconvert/libspa-audioconvert\n \
             support.* = support/libspa-support\n}}\ncontext.modules = [\n \
             {{ name = libpipewire-module-rt args = {{ rt.prio = 88 rtkit.enabled = false rtportal.enabled = false }} flags = [ ifexists nofail ] }}\n"
        );
        for name in [
            "protocol-native",
            "metadata",
            "spa-node-factory",
            "client-node",
            "access",
            "adapter",
            "link-factory",
            "session-manager",
        ] {
            let _ = writeln!(text, " {{ name = libpipewire-module-{name} }}");
        }
        for (name, arguments) in &self.modules {
            let _ = writeln!(text, " {{ name = {name} args = {arguments} }}");
        }
        text.push_str("]\ncontext.objects = [\n");
        for (number, channels) in self.sinks.iter().enumerate() {
            let labels: Vec<String> = (0..*channels).map(|channel| format!("AUX{channel}")).collect();
            let positions = labels.join(" ");
            // The first way to have ports without a session manager is for 0.3.65, the second for later versions.
            let _ = writeln!(
                text,
                " {{ factory = adapter args = {{ factory.name = support.null-audio-sink node.name = null-{number} \
                 media.class = Audio/Sink audio.channels = {channels} audio.position = [ {positions} ] \
                 monitor.passthrough = true node.group = bench object.linger = true \
                 adapter.auto-port-config = {{ mode = dsp monitor = true position = preserve }} \
                 node.param.PortConfig = {{ direction = Input mode = dsp monitor = true format = {{ \
                 mediaType = audio mediaSubtype = raw format = F32P rate = 48000 channels = {channels} \
                 position = [ {positions} ] }} }} }} }}"
            );
        }
        if self.driver {
            text.push_str(" { factory = spa-node-factory args = { factory.name = support.node.driver node.name = driver priority.driver = 20000 } }\n");
        }
        text.push_str("]\n");
        text
    }
}
