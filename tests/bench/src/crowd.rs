//! What a network of a hundred devices costs the agent: its answer to "what is there", a change of a route, its memory.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use wireloom_dbus::{BUS_NAME, ManagerProxy, ROOT_PATH, Snapshot};
use wireloom_lab::peers::announcer::Announcer;
use wireloom_lab::wait::{self, SOON};
use wireloom_lab::{Agent, GraphNode, Host, PipeWire, PipeWireOptions, Products, Studio, scene};
use zbus::Connection;

use crate::cpu;

/// Devices on the network, and channels that each transmits.
const DEVICES: usize = 100;
const CHANNELS: usize = 64;
/// Streams of a device: one of all channels, or as many as most devices make of them.
const STREAMS: [usize; 2] = [1, 8];
/// Times that the agent is asked for everything.
const QUESTIONS: usize = 20;
/// Routes that are made, and withdrawn again.
const ROUTES: usize = 10;
/// What the agent gets to bring everything in step after a change.
const REST: Duration = Duration::from_millis(600);
/// For how long it is watched while nothing changes.
const IDLE: Duration = Duration::from_secs(4);
const APPLICATION: &str = "application";

/// What came out for one kind of device.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Crowd {
    /// Devices.
    pub devices: usize,
    /// Streams, of all devices together.
    pub streams: usize,
    /// Channels of each.
    pub channels: usize,
    /// Octets of the answer to `GetManagedObjects`.
    pub answer_bytes: usize,
    /// Milliseconds until that answer, each time.
    pub answer_ms: Vec<f64>,
    /// CPU milliseconds that the agent used for each route made and withdrawn, less what it uses when idle.
    pub route_cpu_ms: Vec<f64>,
    /// CPU milliseconds of the idle agent in a second.
    pub idle_cpu_ms: f64,
    /// Octets of memory that the agent holds.
    pub resident: u64,
}

/// Measures both kinds of devices; for the inner program of a studio of its own.
pub fn run(products: &Products, progress: impl Fn(&str)) -> Result<Vec<Crowd>> {
    let mut studio = Studio::new()?;
    let stage = studio.host("stage")?;
    let mut crowds = Vec::new();
    for streams in STREAMS {
        progress(&format!("{DEVICES} devices with {streams} streams of {} channels", CHANNELS / streams));
        let computer = studio.host(&format!("agent-{streams}"))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        crowds.push(runtime.block_on(measure(&stage, &computer, products, streams))?);
    }
    Ok(crowds)
}

async fn measure(stage: &Host, computer: &Host, products: &Products, streams: usize) -> Result<Crowd> {
    let mut graph = scene::start_module(computer, products, &BTreeMap::new(), PipeWireOptions::default())?;
    let agent = Agent::start(computer, products, "")?;
    let channels = CHANNELS / streams;
    let recorder = graph.recorder(products, APPLICATION, channels.min(8))?; // ends when it is dropped
    let bus = zbus::connection::Builder::address(computer.bus_address().as_str()).build().await?;
    let manager =
        ManagerProxy::builder(&bus).cache_properties(zbus::proxy::CacheProperties::No).build().await?;
    let mut announcer = Announcer::start(stage)?;
    let all = DEVICES * streams;
    let start = Instant::now();
    while (manager.stream_count().await? as usize) < all {
        ensure!(start.elapsed() < 6 * SOON, "{} of {all} streams are known", manager.stream_count().await?);
        announce(&mut announcer, streams, channels)?;
        tokio::time::sleep(REST).await;
    }
    tokio::time::sleep(IDLE).await; // nodes are made
    let known = Snapshot::read(&bus).await?;
    ensure!(known.streams.len() == all, "{} streams, not {all}", known.streams.len());
    ensure!(known.devices.len() >= DEVICES, "{} devices, not {DEVICES}", known.devices.len());

    let pid = agent.process.id();
    let (mut answer_ms, mut answer_bytes) = (Vec::new(), 0);
    for _ in 0..QUESTIONS {
        let start = Instant::now();
        let interface = Some("org.freedesktop.DBus.ObjectManager");
        let answer = bus.call_method(Some(BUS_NAME), ROOT_PATH, interface, "GetManagedObjects", &()).await?;
        answer_ms.push(start.elapsed().as_secs_f64() * 1e3);
        answer_bytes = answer.data().len();
    }
    let idle_cpu_ms = cpu::milliseconds_a_second(pid, IDLE)?;
    let sources: Vec<&str> =
        known.streams.iter().step_by(all / ROUTES).map(|stream| stream.id.as_str()).take(ROUTES).collect();
    let route_cpu_ms =
        change_routes(&bus, &manager, &mut graph, &recorder.node, &sources, pid, idle_cpu_ms).await?;
    let resident = agent.process.resident()?;
    Ok(Crowd {
        devices: DEVICES,
        streams: all,
        channels,
        answer_bytes,
        answer_ms,
        route_cpu_ms,
        idle_cpu_ms,
        resident,
    })
}

/// Makes a route from each of `sources` to the application and withdraws it; answers what each change cost.
async fn change_routes(
    bus: &Connection,
    manager: &ManagerProxy<'_>,
    graph: &mut PipeWire<'_>,
    application: &GraphNode,
    sources: &[&str],
    pid: u32,
    idle_cpu_ms: f64,
) -> Result<Vec<f64>> {
    let sink = application.info["props"]["node.name"].as_str().context("a node has a name")?.to_owned();
    let (mut costs, none) = (Vec::new(), Vec::new);
    for source in sources {
        let (start, before) = (Instant::now(), cpu::milliseconds(pid)?);
        let cost = |before: f64, start: Instant| -> Result<f64> {
            Ok(cpu::milliseconds(pid)? - before - idle_cpu_ms * start.elapsed().as_secs_f64())
        };
        let (route, _) = manager.connect(source, &sink, none(), Default::default()).await?;
        tokio::time::sleep(REST).await;
        costs.push(cost(before, start)?);
        if costs.len() == 1 {
            // The graph is looked at once: a program that reads all of it costs the agent something too.
            wait::until("the links of the route", SOON, || Ok((!graph.links()?.is_empty()).then_some(())))?;
        }
        let (start, before) = (Instant::now(), cpu::milliseconds(pid)?);
        manager.disconnect(&route, none(), Default::default()).await?;
        tokio::time::sleep(REST).await;
        costs.push(cost(before, start)?);
    }
    let left = Snapshot::read(bus).await?.routes.len();
    ensure!(left == 0, "{left} routes were not withdrawn");
    Ok(costs)
}

fn announce(announcer: &mut Announcer, streams: usize, channels: usize) -> Result<()> {
    for device in 0..DEVICES {
        let source = Ipv4Addr::new(10, 77, 1, u8::try_from(device + 1)?);
        for stream in 0..streams {
            announcer.announce_from(source, &description(device, stream, channels, source))?;
        }
    }
    Ok(())
}

/// A stream as devices describe it: packets of 1 ms, or of 125 us where those would be too long.
fn description(device: usize, stream: usize, channels: usize, source: Ipv4Addr) -> String {
    let first = stream * channels + 1;
    let ptime = if channels > 8 { "0.125" } else { "1" };
    format!(
        "v=0\r\no=- {} 1 IN IP4 {source}\r\ns=Stage box {device} : {first}-{}\r\nc=IN IP4 239.67.{device}.{}/32\r\n\
         t=0 0\r\nm=audio 5004 RTP/AVP 98\r\na=rtpmap:98 L24/48000/{channels}\r\na=ptime:{ptime}\r\n\
         a=ts-refclk:ptp=IEEE1588-2008:00-00-5E-FF-FE-00-53-01:0\r\na=mediaclk:direct=0\r\n",
        40_000 + device * 64 + stream,
        first + channels - 1,
        stream + 1,
    )
}
