use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::host::Host;
use crate::process::Process;
use crate::products::Products;
use crate::recording::Recording;
use crate::signal::PositionCode;
use crate::wait::{self, SOON};

/// Priority of the data loop, and of what is compared with it (`SCHED_FIFO`, where this user may have that).
pub const REAL_TIME_PRIORITY: u32 = 88;

/// Name and group of what stands for a sound card.
pub const SOUND_CARD: &str = "sound-card";

/// How a private PipeWire daemon differs from the lab's usual one.
#[derive(Debug, Clone)]
pub struct PipeWireOptions {
    /// Frames a second.
    pub rate: u32,
    /// Frames in a cycle when nobody asks for another number.
    pub quantum: u32,
    /// Folders with modules that are looked into before the system's.
    pub module_folders: Vec<PathBuf>,
    /// Modules loaded last: name and arguments (the text of an object in SPA-JSON, of which JSON is a part).
    pub modules: Vec<(String, String)>,
    /// Stereo sinks that lead nowhere, by name: something for people to link to.
    pub sinks: Vec<String>,
    /// Whether there is a driver for nodes that have none of their own.
    pub dummy_driver: bool,
    /// Whether there is a driver on the machine's own clock, as that of a sound card would be, which drives what is
    /// linked to a client in its group, [`SOUND_CARD`], the network's nodes too.
    pub sound_card: bool,
    /// Variables of the daemon's environment.
    pub environment: Vec<(String, OsString)>,
    /// File descriptors that the daemon may have; as many as this program may when not said.
    pub descriptors: Option<u64>,
}

impl Default for PipeWireOptions {
    fn default() -> Self {
        Self {
            rate: 48_000,
            quantum: 256,
            module_folders: Vec::new(),
            modules: Vec::new(),
            sinks: Vec::new(),
            dummy_driver: true,
            sound_card: false,
            environment: Vec::new(),
            descriptors: None,
        }
    }
}

/// A PipeWire daemon of a host's own.
#[derive(Debug)]
pub struct PipeWire<'a> {
    host: &'a Host,
    quantum: u32,
    /// The daemon.
    pub daemon: Process,
}

/// What `pw-dump` printed as one list. When the graph changes under it, it prints a further list with what changed; of
/// an object the last state counts, and one without info has gone.
fn merged_dump(text: &str) -> anyhow::Result<Value> {
    let mut objects: Vec<Value> = Vec::new();
    for list in serde_json::Deserializer::from_str(text).into_iter::<Vec<Value>>() {
        for object in list? {
            objects.retain(|known| known["id"] != object["id"]);
            if !object["info"].is_null() || !object["props"].is_null() {
                objects.push(object);
            }
        }
    }
    Ok(Value::Array(objects))
}

/// What pw-link calls the port `info` of a node. pw-dump prints what looks like a number as one.
fn port_name(node: &str, info: &Value) -> String {
    let name = &info["props"]["port.name"];
    format!("{node}:{}", name.as_str().map_or_else(|| name.to_string(), str::to_owned))
}

/// A node of the graph, as `pw-dump` shows it.
#[derive(Debug, Clone)]
pub struct GraphNode {
    /// Its global id.
    pub id: u64,
    /// Its info: state, properties, parameters.
    pub info: Value,
    /// Output ports in the order of their port ids: global id and info.
    pub outputs: Vec<(u64, Value)>,
    /// Input ports likewise.
    pub inputs: Vec<(u64, Value)>,
}

impl<'a> PipeWire<'a> {
    /// Starts the daemon of `host` and waits until it answers.
    pub fn start(host: &'a Host, options: &PipeWireOptions) -> anyhow::Result<Self> {
        let configuration = host.directory().join("pipewire.conf");
        std::fs::write(&configuration, options.configuration())?;
        let mut command = match options.descriptors {
            None => host.command("pipewire"),
            Some(limit) => {
                let mut command = host.command("prlimit");
                command.arg(format!("--nofile={limit}:{limit}")).arg("pipewire");
                command
            }
        };
        command.arg("-c").arg(&configuration).envs(options.environment.iter().cloned());
        if !options.module_folders.is_empty() {
            let system = host.run("pkg-config", ["--variable=moduledir", "libpipewire-0.3"])?;
            let folders = options.module_folders.iter().cloned().chain([PathBuf::from(system.trim())]);
            command.env("PIPEWIRE_MODULE_DIR", std::env::join_paths(folders)?);
        }
        let mut daemon = host.start("pipewire", command)?;
        wait::until("an answer of PipeWire", SOON, || {
            daemon.is_alive()?;
            Ok(host.run("pw-cli", ["info", "0"]).ok())
        })?;
        Ok(Self { host, quantum: options.quantum, daemon })
    }

    /// Everything in the graph.
    pub fn dump(&self) -> anyhow::Result<Value> {
        let text = self.host.run("pw-dump", ["--no-colors"])?;
        merged_dump(&text).context("reading what pw-dump printed")
    }

    /// The node with this `node.name`, if there is one.
    pub fn node(&self, name: &str) -> anyhow::Result<Option<GraphNode>> {
        self.node_with("node.name", name)
    }

    /// The first node whose property `key` is `value`.
    pub fn node_with(&self, key: &str, value: &str) -> anyhow::Result<Option<GraphNode>> {
        let dump = self.dump()?;
        let objects = dump.as_array().context("pw-dump prints a list")?;
        let of_type = |kind: &str| {
            let kind = format!("PipeWire:Interface:{kind}");
            objects.iter().filter(move |object| object["type"] == kind)
        };
        let Some(node) = of_type("Node").find(|object| object["info"]["props"][key] == value) else {
            return Ok(None);
        };
        let id = node["id"].as_u64().context("a node has an id")?;
        let ports = |direction: &str| {
            let mut ports: Vec<(u64, Value)> = of_type("Port")
                .filter(|port| {
                    port["info"]["props"]["node.id"] == id && port["info"]["direction"] == direction
                })
                .filter_map(|port| Some((port["id"].as_u64()?, port["info"].clone())))
                .collect();
            ports.sort_by_key(|(_, info)| info["props"]["port.id"].as_u64());
            ports
        };
        Ok(Some(GraphNode {
            id,
            info: node["info"].clone(),
            outputs: ports("output"),
            inputs: ports("input"),
        }))
    }

    /// All links, as `pw-dump` shows them.
    pub fn links(&self) -> anyhow::Result<Vec<Value>> {
        let dump = self.dump()?;
        let objects = dump.as_array().context("pw-dump prints a list")?;
        Ok(objects.iter().filter(|object| object["type"] == "PipeWire:Interface:Link").cloned().collect())
    }

    /// How many links lead from one node to another, of whichever kind.
    pub fn links_between(&self, output: &GraphNode, input: &GraphNode) -> anyhow::Result<usize> {
        let joins = |link: &Value| {
            link["info"]["output-node-id"] == output.id && link["info"]["input-node-id"] == input.id
        };
        Ok(self.links()?.iter().filter(|link| joins(link)).count())
    }

    /// Waits for the node with this `node.name` and at least `outputs` and `inputs` ports.
    pub fn wait_for_node(
        &mut self,
        name: &str,
        outputs: usize,
        inputs: usize,
        limit: Duration,
    ) -> anyhow::Result<GraphNode> {
        wait::until(&format!("node {name} with {outputs} outputs and {inputs} inputs"), limit, || {
            self.daemon.is_alive()?;
            Ok(self.node(name)?.filter(|node| node.outputs.len() >= outputs && node.inputs.len() >= inputs))
        })
    }

    /// Links the outputs of one node to the inputs of another, first to first.
    pub fn link(&self, from: &GraphNode, to: &GraphNode) -> anyhow::Result<()> {
        for ((output, _), (input, _)) in from.outputs.iter().zip(&to.inputs) {
            self.host.run("pw-link", [output.to_string(), input.to_string()])?;
        }
        Ok(())
    }

    /// The same by the names of nodes and ports. A session manager may withdraw ports at any moment and give them back
    /// with each other's ids.
    pub fn link_named(&self, from: &str, to: &str) -> anyhow::Result<()> {
        let mut last = String::new();
        let linked = wait::until(&format!("a link from {from} to {to}"), SOON, || {
            let (Some(output), Some(input)) = (self.node(from)?, self.node(to)?) else { return Ok(None) };
            let pairs: Vec<_> = output.outputs.iter().zip(&input.inputs).collect();
            for ((_, output), (_, input)) in &pairs {
                let ports = [port_name(from, output), port_name(to, input)];
                match self.host.run("pw-link", ports) {
                    Err(error) if !format!("{error:#}").contains("File exists") => {
                        last = format!("{error:#}");
                        return Ok(None);
                    }
                    _ => {}
                }
            }
            Ok((!pairs.is_empty()).then_some(()))
        });
        linked.with_context(|| last)
    }

    /// Starts the lab's own client, which records in the graph's cycle and links nothing by itself.
    pub fn recorder(&mut self, products: &Products, name: &str, channels: usize) -> anyhow::Result<Recorder> {
        self.recorder_in(products, name, channels, None)
    }

    /// The same in a `node.group`.
    pub fn recorder_in(
        &mut self,
        products: &Products,
        name: &str,
        channels: usize,
        group: Option<&str>,
    ) -> anyhow::Result<Recorder> {
        let file = self.host.directory().join(format!("{name}.f32"));
        let group = group.map(|group| format!("--group={group}"));
        let role = ["record".as_ref(), file.as_os_str()];
        let arguments: Vec<&OsStr> = group.iter().map(AsRef::as_ref).chain(role).collect();
        let process = self.client(products, name, channels, &arguments)?;
        let node = self.wait_for_node(name, 0, channels, SOON)?;
        Ok(Recorder { process, node, file, channels, recorded: 0 })
    }

    /// Starts the lab's own client, which plays `code` from its frame 0 on and links nothing by itself.
    pub fn player(
        &mut self,
        products: &Products,
        name: &str,
        code: &PositionCode,
    ) -> anyhow::Result<(Process, GraphNode)> {
        let bits = format!("--bits={}", code.bits());
        let process = self.client(products, name, code.channels(), &["play".as_ref(), OsStr::new(&bits)])?;
        let node = self.wait_for_node(name, code.channels(), 0, SOON)?;
        Ok((process, node))
    }

    /// The same with a tone of `hz` hertz at half of full scale on every channel.
    pub fn tone(
        &mut self,
        products: &Products,
        name: &str,
        channels: usize,
        hz: u32,
    ) -> anyhow::Result<(Process, GraphNode)> {
        let tone = format!("--tone={hz}");
        let process = self.client(products, name, channels, &["play".as_ref(), OsStr::new(&tone)])?;
        let node = self.wait_for_node(name, channels, 0, SOON)?;
        Ok((process, node))
    }

    fn client(
        &self,
        products: &Products,
        name: &str,
        channels: usize,
        arguments: &[&OsStr],
    ) -> anyhow::Result<Process> {
        let mut command = self.host.device_command(products.program("wireloom-lab-client"));
        command.args(["--name", name, "--channels", &channels.to_string()]).args(arguments);
        self.host.start(name, command)
    }

    /// Starts `pw-record`, which writes `file` (WAV, 32-bit floats) and links nothing by itself.
    pub fn pw_record(&mut self, name: &str, channels: usize) -> anyhow::Result<Recorder> {
        let file = self.host.directory().join(format!("{name}.wav"));
        let labels: Vec<String> = (0..channels).map(|channel| format!("AUX{channel}")).collect();
        let mut command = self.host.command("pw-record");
        command
            .args([
                "--target",
                "0",
                "--format",
                "f32",
                "--rate",
                "48000",
                "--channels",
                &channels.to_string(),
            ])
            .args(["--channel-map", &labels.join(","), "-P", &stream_properties(name), "--latency", "256"])
            .arg(&file);
        let process = self.host.start(name, command)?;
        let node = self.wait_for_node(name, 0, channels, SOON)?;
        Ok(Recorder { process, node, file, channels, recorded: 0 })
    }

    /// Frames in a cycle when nobody asks for another number.
    pub fn quantum(&self) -> u32 {
        self.quantum
    }

    /// The daemon's host.
    pub fn host(&self) -> &'a Host {
        self.host
    }
}

impl PipeWireOptions {
    fn configuration(&self) -> String {
        let Self { rate, quantum, .. } = self;
        let mut text = format!(
            r#"context.properties = {{
    core.daemon = true
    core.name = pipewire-0
    log.level = 2
    mem.warn-mlock = false
    default.clock.rate = {rate}
    default.clock.quantum = {quantum}
    default.clock.min-quantum = 32
    default.clock.max-quantum = 8192
    default.clock.power-of-two-quantum = false
}}
context.spa-libs = {{
    audio.convert.* = audioconvert/libspa-audioconvert
    support.* = support/libspa-support
}}
context.modules = [
    {{ name = libpipewire-module-rt args = {{ rt.prio = {REAL_TIME_PRIORITY} rtkit.enabled = false rtportal.enabled = false }} flags = [ ifexists nofail ] }}
    {{ name = libpipewire-module-protocol-native }}
    {{ name = libpipewire-module-profiler }}
    {{ name = libpipewire-module-metadata }}
    {{ name = libpipewire-module-spa-node-factory }}
    {{ name = libpipewire-module-client-node }}
    {{ name = libpipewire-module-access }}
    {{ name = libpipewire-module-adapter }}
    {{ name = libpipewire-module-link-factory }}
    {{ name = libpipewire-module-session-manager }}
"#
        );
        for (name, arguments) in &self.modules {
            let _ = writeln!(text, "    {{ name = {name} args = {arguments} }}");
        }
        text.push_str(
            "]\ncontext.objects = [\n    { factory = metadata args = { metadata.name = default } }\n",
        );
        for name in &self.sinks {
            let _ = writeln!(
                text,
                "    {{ factory = adapter args = {{ factory.name = support.null-audio-sink node.name = {name} \
                 media.class = Audio/Sink audio.position = [ FL FR ] object.linger = true \
                 adapter.auto-port-config = {{ mode = dsp monitor = true position = preserve }} }} }}"
            );
        }
        if self.dummy_driver {
            text.push_str(
                "    { factory = spa-node-factory args = { factory.name = support.node.driver node.name = Dummy-Driver \
                 node.group = pipewire.dummy priority.driver = 20000 } }\n",
            );
        }
        if self.sound_card {
            // Above ours, which has 100000.
            let _ = writeln!(
                text,
                "    {{ factory = spa-node-factory args = {{ factory.name = support.node.driver \
                 node.name = {SOUND_CARD} node.group = {SOUND_CARD} priority.driver = 200000 }} }}"
            );
        }
        text.push_str("]\n");
        text
    }
}

/// Ports come from the session manager, or from the stream itself when told so.
fn stream_properties(name: &str) -> String {
    format!("{{ node.name = {name} adapter.auto-port-config = {{ mode = dsp position = preserve }} }}")
}

/// A client that records.
#[derive(Debug)]
pub struct Recorder {
    process: Process,
    /// Its node.
    pub node: GraphNode,
    file: PathBuf,
    channels: usize,
    /// Frames that were recorded when its record was last looked at.
    recorded: u64,
}

impl Recorder {
    /// How many frames are in the file so far.
    pub fn frames(&mut self) -> anyhow::Result<u64> {
        self.process.is_alive()?;
        let bytes = std::fs::metadata(&self.file).map_or(0, |file| file.len());
        Ok(bytes / (4 * self.channels as u64))
    }

    /// Waits until `frames` frames are recorded, telling `progress` how many there are. Errors: it does not go on.
    pub fn record(&mut self, frames: u64, mut progress: impl FnMut(u64)) -> anyhow::Result<()> {
        self.record_until(|frame| {
            progress(frame.min(frames));
            Ok(frame >= frames)
        })
    }

    /// Waits until `done`, which is told how many frames are recorded. Errors: it does not go on, or `done` fails.
    pub fn record_until(&mut self, mut done: impl FnMut(u64) -> anyhow::Result<bool>) -> anyhow::Result<()> {
        let mut last = 0;
        loop {
            last = wait::until(&format!("recording beyond frame {last}"), SOON, || {
                let now = self.frames()?;
                Ok((now > last).then_some(now))
            })?;
            self.recorded = last;
            if done(last)? {
                return Ok(());
            }
        }
    }

    /// Ends the recording and reads it, as far as it was waited for: the end itself is not judged.
    pub fn finish(mut self) -> anyhow::Result<Recording> {
        let status = self.process.interrupt()?;
        let mut recording = if self.file.extension().is_some_and(|extension| extension == "wav") {
            Recording::from_wav(&self.file)?
        } else {
            ensure!(status.success(), "the recorder ended with {status}: {}", self.process.log());
            Recording::from_floats(&self.file, self.channels)?
        };
        ensure!(recording.frames() > 0, "nothing was recorded: {}", self.process.log());
        recording.truncate(usize::try_from(self.recorded)?);
        std::fs::remove_file(&self.file)?;
        Ok(recording)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_of_a_changing_graph_is_one_list() -> anyhow::Result<()> {
        let text = r#"[{"id": 1, "info": {"a": 1}}, {"id": 2, "info": {}}] [{"id": 1, "info": {"a": 2}}, {"id": 2, "info": null}]"#;
        let dump = merged_dump(text)?;
        ensure!(dump == serde_json::json!([{"id": 1, "info": {"a": 2}}]), "{dump}");
        Ok(())
    }
}
