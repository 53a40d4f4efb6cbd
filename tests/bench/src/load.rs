//! CPU time of a daemon that receives or sends so many streams: with our module, or with PipeWire's own.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wireloom_lab::scene::{MODULE, receive_node};
use wireloom_lab::{Host, Process, Products, RtpStream};
use wireloom_wanted::{ClockRelation, Direction, Node};

use crate::cpu;
use crate::daemon::{Contents, Daemon, SINK_CHANNELS};
use crate::datagrams::Datagrams;
use crate::platform::Platform;
use crate::streams::{CHANNELS, FRAMES, PAYLOAD_TYPE, PER_LISTENER, PORT, StreamPlan};

/// What carries the streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// Our module on the network's clock: no resampling.
    Ours,
    /// Our module with streams of another clock: resampled, as PipeWire's own always does.
    OursResampled,
    /// `rtp-source` and `rtp-sink`.
    Theirs,
}

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)] // the names say it
pub enum Way {
    Receive,
    Transmit,
}

/// One thing to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // the names say it
pub struct Load {
    pub side: Side,
    pub way: Way,
    pub streams: usize,
    pub quantum: u32,
}

/// What came out.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Measured {
    /// CPU milliseconds of the daemon in a second.
    pub cpu_ms: f64,
    /// Datagrams that it took from or gave to the kernel in a second.
    pub packets: f64,
    /// Datagrams that the kernel dropped because nobody took them in time.
    pub dropped: u64,
}

/// Interface that a daemon sends to while its CPU time is measured: a cable that ends in nothing. On the studio's own
/// cable the kernel would carry every packet through the switch to all hosts, and count that as the sender's work.
pub const WIRE: &str = "wire0";

/// Our address there.
pub const WIRE_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 1);

/// Where measurements are made: a computer that sends, and one that is measured.
pub struct Bench<'a> {
    /// The sender, also the studio's clock.
    pub desk: &'a Host,
    /// The computer whose daemon is measured.
    pub computer: &'a Host,
    /// PipeWire there.
    pub platform: &'a Platform,
    /// What we built.
    pub products: &'a Products,
}

impl Bench<'_> {
    /// Lays the cable that ends in nothing.
    pub fn prepare(&self) -> Result<()> {
        self.computer.run("ip", ["link", "add", WIRE, "type", "veth", "peer", "name", "nowhere"])?;
        for end in [WIRE, "nowhere"] {
            self.computer.run("ip", ["link", "set", end, "up"])?;
        }
        self.computer.run("ip", ["address", "add", &format!("{WIRE_ADDRESS}/24"), "dev", WIRE])?;
        Ok(())
    }

    /// Sets it all up, waits `settle`, measures for `window`, and takes it down.
    pub fn measure(&self, load: &Load, settle: Duration, window: Duration) -> Result<Measured> {
        let page = self.computer.directory().join("clock");
        let sending = if load.way == Way::Receive { load.streams } else { 0 };
        let mut sender = self.start_sender(sending, &page)?;
        let contents = self.contents(load, &page);
        let mut daemon = Daemon::start(self.computer, self.platform, self.products, &contents)?;
        self.connect(load, &mut daemon).with_context(|| format!("{load:?}: {}", daemon.log()))?;
        std::thread::sleep(settle);
        let before = Datagrams::of(daemon.pid())?;
        let cpu_ms = cpu::milliseconds_a_second(daemon.pid(), window)?;
        let after = Datagrams::of(daemon.pid())?;
        daemon.is_alive()?;
        sender.is_alive()?;
        let count = match load.way {
            Way::Receive => after.taken - before.taken,
            Way::Transmit => after.given - before.given,
        };
        let packets = count as f64 / window.as_secs_f64();
        Ok(Measured { cpu_ms, packets, dropped: after.dropped - before.dropped })
    }

    /// Starts the light sender; with no streams it is only the clock.
    pub fn start_sender(&self, streams: usize, page: &Path) -> Result<Process> {
        // It must not wait for whatever else this computer does: late packets would be the sender's fault.
        let mut command = self.desk.command("sh");
        command.args([
            "-c",
            "chrt --fifo 80 true 2>/dev/null && exec chrt --fifo 80 \"$@\"; exec \"$@\"",
            "sh",
        ]);
        command.arg(self.products.program("bench-sender"));
        command.arg(streams.to_string()).arg(self.desk.address().to_string()).arg(page);
        let mut sender = self.desk.start("bench-sender", command)?;
        wireloom_lab::wait::until("the clock page", wireloom_lab::wait::SOON, || {
            sender.is_alive()?;
            Ok(page.exists().then_some(()))
        })?;
        Ok(sender)
    }

    pub(crate) fn contents(&self, load: &Load, page: &Path) -> Contents {
        let sinks = match load.way {
            Way::Receive => {
                let channels = load.streams * CHANNELS;
                (0..channels)
                    .step_by(SINK_CHANNELS)
                    .map(|first| (channels - first).min(SINK_CHANNELS))
                    .collect()
            }
            // One source for all: the monitor of a sink that nobody plays into.
            Way::Transmit => vec![CHANNELS],
        };
        let plans: Vec<StreamPlan> = (0..load.streams).map(StreamPlan::new).collect();
        let modules = match (load.side, load.way) {
            (Side::Ours | Side::OursResampled, _) => vec![(MODULE, ours(load, &plans, page))],
            (Side::Theirs, Way::Transmit) => {
                let arguments = plans.iter().map(|plan| rtp_sink(plan, WIRE_ADDRESS, WIRE, load.quantum));
                arguments.map(|arguments| ("libpipewire-module-rtp-sink", arguments)).collect()
            }
            (Side::Theirs, Way::Receive) if self.platform.has_static_source() => {
                let arguments = plans.iter().map(|plan| rtp_source(plan, None));
                arguments.map(|arguments| ("libpipewire-module-rtp-source", arguments)).collect()
            }
            (Side::Theirs, Way::Receive) => plans
                .iter()
                .step_by(PER_LISTENER)
                .map(|plan| ("libpipewire-module-rtp-source", announced_rtp_source(plan)))
                .collect(),
        };
        Contents { quantum: load.quantum, sinks, modules, driver: false, log_level: 1 }
    }

    pub(crate) fn connect(&self, load: &Load, daemon: &mut Daemon<'_>) -> Result<()> {
        let prefix = if load.side == Side::Theirs { "" } else { "wireloom." };
        let names: Vec<String> =
            (0..load.streams).map(|n| format!("{prefix}{}", StreamPlan::new(n).name())).collect();
        let (outputs, inputs) = if load.way == Way::Receive { (CHANNELS, 0) } else { (0, CHANNELS) };
        let nodes = daemon.wait_for(&names, outputs, inputs)?;
        let sinks: Vec<String> =
            (0..load.streams.div_ceil(SINK_CHANNELS / CHANNELS)).map(|n| format!("null-{n}")).collect();
        let pairs: Vec<(u64, u64)> = match load.way {
            Way::Receive => {
                let sinks = daemon.wait_for(&sinks, 0, CHANNELS)?;
                let from = nodes.iter().flat_map(|node| node.outputs.iter().take(CHANNELS).copied());
                from.zip(sinks.iter().flat_map(|sink| sink.inputs.iter().copied())).collect()
            }
            Way::Transmit => {
                let source = daemon.wait_for(&sinks[..1], CHANNELS, 0)?;
                let source = source.first().context("the source of everything")?;
                let to = nodes.iter().flat_map(|node| node.inputs.iter().take(CHANNELS).copied());
                source.outputs.iter().copied().cycle().zip(to).collect()
            }
        };
        daemon.link(&pairs)
    }
}

/// The arguments of our module.
fn ours(load: &Load, plans: &[StreamPlan], page: &Path) -> String {
    let nodes: serde_json::Map<String, Value> = plans
        .iter()
        .map(|plan| {
            let mut node = our_node(plan, load.way, WIRE);
            if load.side == Side::OursResampled {
                node.clock = ClockRelation::Other;
            }
            (plan.name(), json!(node))
        })
        .collect();
    json!({ "clock.page": page, "nodes": nodes }).to_string()
}

/// One node of ours; `interface` is what it sends to.
pub fn our_node(plan: &StreamPlan, way: Way, interface: &str) -> Node {
    let stream = RtpStream {
        address: (*plan.address.ip()).into(),
        port: PORT,
        payload_type: PAYLOAD_TYPE,
        samples_per_packet: FRAMES,
        ..RtpStream::standard(0, CHANNELS)
    };
    let mut node = receive_node(&stream, &plan.name(), 144);
    node.media.offset = Some(0);
    node.clock = ClockRelation::Same;
    if way == Way::Transmit {
        node.direction = Direction::Transmit;
        node.announced = true;
        for leg in &mut node.legs {
            leg.interface = Some(interface.to_owned());
        }
    }
    node
}

/// The properties that give a stream its ports without a session manager.
fn stream_props(name: &str, class: &str) -> String {
    format!(
        "{{ node.name = {name} media.class = {class} \
         adapter.auto-port-config = {{ mode = dsp position = preserve }} }}"
    )
}

fn format() -> String {
    let labels: Vec<String> = (0..CHANNELS).map(|channel| format!("AUX{channel}")).collect();
    format!(
        "audio.format = S24BE audio.rate = 48000 audio.channels = {CHANNELS} audio.position = [ {} ]",
        labels.join(" ")
    )
}

/// PipeWire's receiver of one stream (since 0.3.67). With `direct_ms` it does not
/// resample but plays at the graph's own position, so many milliseconds later.
pub fn rtp_source(plan: &StreamPlan, direct_ms: Option<u32>) -> String {
    let latency =
        direct_ms.map_or(String::new(), |ms| format!("sess.latency.msec = {ms} sess.ts-direct = true"));
    format!(
        "{{ local.ifname = eth0 source.ip = {} source.port = {PORT} {latency} sess.ignore-ssrc = true {} stream.props = {} }}",
        plan.address.ip(),
        format(),
        stream_props(&plan.name(), "Audio/Source")
    )
}

/// PipeWire 0.3.65's receiver of every stream that is announced where `plan` is.
fn announced_rtp_source(plan: &StreamPlan) -> String {
    format!(
        "{{ local.ifname = eth0 sap.ip = {} sap.port = {} stream.props = {{ \
         adapter.auto-port-config = {{ mode = dsp position = preserve }} }} }}",
        plan.announced_to.ip(),
        plan.announced_to.port()
    )
}

/// PipeWire's sender of one stream, in packets of 1 ms. It leaves by the interface that has the address
/// `from`; 0.3.65 makes nothing of `local.ifname` (seen: its packets crossed the studio's switch).
pub fn rtp_sink(plan: &StreamPlan, from: Ipv4Addr, interface: &str, quantum: u32) -> String {
    format!(
        "{{ local.ifname = {interface} source.ip = {} destination.ip = {} destination.port = {PORT} net.ttl = 32 net.loop = true \
         sess.name = {} sess.min-ptime = 1 sess.max-ptime = 1 rtp.ptime = 1 sess.ts-offset = 0 \
         sess.latency.msec = {} {} stream.props = {} }}",
        from,
        plan.address.ip(),
        plan.name(),
        quantum.div_ceil(FRAMES),
        format(),
        stream_props(&plan.name(), "Audio/Sink")
    )
}
