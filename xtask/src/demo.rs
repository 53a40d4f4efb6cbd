//! `cargo xtask demo`: a network that exists only for this, with a clock that is 80 ppm off, streams of a sender that
//! we did not write, announced by SAP, heard by the agent, nodes in PipeWire, recorded there by an ordinary client;
//! then the recording against what was sent. Beside them two devices, of which one plays the other because pw-link drew
//! it.

mod devices;

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use comfy_table::{CellAlignment, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use wireloom_lab::isolation::{self, Ending};
use wireloom_lab::peers::gstreamer::{self, PacedSender};
use wireloom_lab::scene::{self, Reception};
use wireloom_lab::wait::{self, SOON};
use wireloom_lab::{
    Agent, Clock, Comparison, GraphNode, LineState, PipeWire, PipeWireOptions, Process, Products, RtpStream,
    Source, Studio, clock_differences,
};

use self::devices::{Devices, Route};
use crate::packages::Use;
use crate::steps::Steps;
use crate::{interruption, lab, products, setup};

/// Samples of each stream that are compared.
const SAMPLES: u64 = 1_000_000;
/// How often a recording is made because the machine stood still during the last one.
const TRIES: usize = 5;
/// Latency class in frames: ten milliseconds instead of the usual three, because a virtual machine stalls.
const LATENCY: u32 = 480;
/// How much faster than this computer the network's clock runs.
const PPM: f64 = 80.0;
/// Long enough to lock with an Announce a second, on a machine that stalls.
const LOCK: Duration = Duration::from_secs(60);
/// Where applications of the studio can play to.
const SPEAKERS: &str = "speakers";

/// Prepares everything and shows the studio. Errors: the audio was not right.
pub fn run(keep: bool) -> anyhow::Result<()> {
    setup::run(Use::Studio)?;
    lab::ask_permission()?;
    let products = products::build(&mut Steps::new())?;
    let mut arguments =
        vec!["demo".as_ref(), "--inside".as_ref(), "--products".as_ref(), products.folder().as_os_str()];
    if keep {
        arguments.push("--keep".as_ref());
    }
    match interruption::studio(|| isolation::run(&arguments))? {
        Ending::Exit { code: 0, .. } => Ok(()),
        // The report is there once the audio was found right; then Ctrl-C is how a kept studio ends.
        Ending::Interrupted { report } if !report.is_empty() => Ok(()),
        Ending::Interrupted { .. } => bail!("interrupted"),
        Ending::Exit { .. } => bail!("the demonstration failed"),
    }
}

/// The demonstration itself; only inside of a studio.
pub fn run_inside(keep: bool, products: PathBuf) -> anyhow::Result<()> {
    let products = Products::new(products);
    let mut studio = Studio::new()?;
    let outcome = demonstrate(keep, &products, &mut studio);
    outcome.map_err(|error| anyhow!("{error:#}\n{}", studio.logs()))
}

fn demonstrate(keep: bool, products: &Products, studio: &mut Studio) -> anyhow::Result<()> {
    let (clockroom, stage) = (studio.host("clockroom")?, studio.host("stage")?);
    let computer = studio.host("computer")?;
    let (synth, mixer) = (studio.host("synth")?, studio.host("mixer")?);

    let waiting =
        spinner("starting a clock, 80 ppm fast, and a computer with PipeWire, agent and clock service");
    let mut leader = Clock::leader(&clockroom, products, 0, 100, PPM)?;
    let options = PipeWireOptions { sinks: vec![SPEAKERS.to_owned()], ..PipeWireOptions::default() };
    let mut graph = scene::start_module(&computer, products, &BTreeMap::new(), options)?;
    let mut follower = Clock::follower(&computer, products, 0)?;
    let mut agent = Agent::start(&computer, products, &format!("latency-frames = {LATENCY}\n"))?;
    let mut devices = Devices::start(&synth, &mixer, products)?;
    waiting.finish_and_clear();
    let waiting = spinner("waiting for the computer to lock to the network's clock");
    leader.wait_for(LineState::Leader, SOON)?;
    let line = follower.wait_for(LineState::Locked, LOCK)?;
    let (output, input) = devices.nodes(&graph, &mut agent)?;
    waiting.finish_and_clear();

    let waiting = spinner("starting GStreamer as sender of two announced streams, waiting for their nodes");
    let streams = [("Stage box", RtpStream::standard(1, 2)), ("Drums", RtpStream::standard(2, 8))];
    let (mut senders, mut announcers) = (Vec::new(), Vec::new());
    for (name, stream) in &streams {
        senders.push(gstreamer::paced_sender(&stage, products, stream, PPM)?);
        let clock = format!("a=ts-refclk:ptp=IEEE1588-2008:{}:0\r\n", line.leader);
        let description = stream.named_description(stage.address(), name, &clock);
        announcers.push(gstreamer::announcer(&stage, name, &description)?);
    }
    let mut found = Vec::new();
    for (name, stream) in &streams {
        found.push(wait::until(&format!("a node for the announced stream {name}"), SOON, || {
            agent.process.is_alive()?;
            Ok(graph.node_with("media.name", name)?.filter(|node| node.outputs.len() == stream.channels))
        })?);
    }
    waiting.finish_and_clear();

    let mut receptions = Vec::new();
    for ((name, stream), node) in streams.iter().zip(&found) {
        receptions.push(record(products, &mut graph, node, name, stream)?);
    }
    senders.iter_mut().try_for_each(PacedSender::is_alive)?;
    announcers.iter_mut().try_for_each(Process::is_alive)?;
    // Beside the route stands a link of one of its streams to a program here.
    let mut beside = graph.recorder(products, "beside", streams[0].1.channels)?;
    let (from, to) = (&found[0], beside.node.clone());
    graph.link(from, &to)?;
    let route = devices.route(&graph, &output, &input)?;
    beside.record(devices::FRAMES, |_| {})?;
    let beside = Comparison::new(&streams[0].1.code(), &beside.finish()?);
    let beside = beside.context("nothing of the stream came to a program beside the route")?;
    println!("{}", table(&streams, &receptions, &route));
    println!("Streams found     {} of {} announced", found.len(), streams.len());
    println!(
        "Route             {} to {}, drawn by pw-link: {} media packets came to this computer",
        devices::OUTPUT,
        devices::INPUT,
        route.packets_here
    );
    println!(
        "Beside it         {} to a program here: {} samples exact, {} wrong",
        streams[0].0, beside.matched, beside.wrong
    );
    println!("Clock             {}", clock_sentence(&follower, &leader)?);
    for ((name, _), reception) in streams.iter().zip(&receptions) {
        let is_exact = reception.is_exact().with_context(|| (*name).to_owned())?;
        ensure!(is_exact, "{name}: {}", reception.comparison);
    }
    let heard = beside.wrong == 0 && beside.slips.is_empty() && beside.matched >= devices::FRAMES;
    ensure!(heard, "beside the route: {beside}");
    ensure!(
        route.comparison.is_exact(devices::FRAMES),
        "the route between the devices: {}",
        route.comparison
    );
    ensure!(route.packets_here == 0, "{} packets of the route came to this computer", route.packets_here);
    println!(
        "\nEvery sample arrived where it belongs, at the network's pace. Next: cargo xtask demo --keep leaves this studio \
         up to look around in; README.md says under \"Use it\" how to install Wireloom."
    );
    isolation::report("the audio was right")?;
    if keep {
        leave_up(&mut graph, &found, products, studio)?;
    }
    Ok(())
}

/// State of the computer's line, and how far it is from the leader's at the same moments.
fn clock_sentence(follower: &Clock, leader: &Clock) -> anyhow::Result<String> {
    let line = follower.line()?.context("the clock service has no line of the network's time")?;
    let (ours, theirs) = (follower.page()?, leader.page()?);
    let missing = "a line vanished from a clock page";
    let values = clock_differences(
        40,
        || ours.line(line.source).context(missing),
        |raw| Ok(theirs.line(line.source).context(missing)?.at(raw).as_nanos()),
    )?;
    let (state, source) = (format!("{:?}", line.state).to_lowercase(), line.source);
    let source = match source {
        Source::PtpV2(domain) => format!("PTPv2 domain {domain}"),
        other => format!("{other:?}"),
    };
    Ok(format!(
        "{state} to {} ({source}), {:+.2} ppm; offset {:.1} us (median of {}), bound {:.1} us",
        line.leader,
        line.frequency().0 as f64 / 65_536.0,
        values[values.len() / 2] as f64 / 1e3,
        values.len(),
        line.error_bound_ns as f64 / 1e3
    ))
}

/// Records one stream; again when there are gaps in it and a bare timer beside it says that the machine stood still.
fn record(
    products: &Products,
    graph: &mut PipeWire<'_>,
    node: &GraphNode,
    name: &str,
    stream: &RtpStream,
) -> anyhow::Result<Reception> {
    let frames = SAMPLES / stream.channels as u64;
    let mut last = None;
    for _ in 0..TRIES {
        let bar = progress(frames, &format!("recording {name}, {} channels", stream.channels));
        let reception = scene::record(products, graph, node, stream, frames, |frame| bar.set_position(frame));
        bar.finish_and_clear();
        let reception = reception.with_context(|| format!("recording {name}"))?;
        let found = &reception.comparison;
        // Errors are said below the table, which shows them too.
        if reception.is_exact().unwrap_or(true) {
            return Ok(reception);
        }
        let milliseconds = |time: Duration| time.as_secs_f32() * 1e3;
        println!(
            "{name}: {found}. A bare timer {} woke up to {:.1} ms late, and the latency leaves {:.1} ms: \
             the machine stood still. Once more.",
            if reception.real_time {
                "with the priority of PipeWire's"
            } else {
                "(this user may have no real-time priority, neither for it nor for PipeWire)"
            },
            milliseconds(reception.worst_timer),
            milliseconds(reception.margin),
        );
        last = Some(reception);
    }
    last.context("at least one try")
}

fn table(streams: &[(&str, RtpStream)], receptions: &[Reception], route: &Route) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["Stream", "Format", "Samples exact", "Wrong", "Gaps", "Latency"]);
    for ((name, stream), reception) in streams.iter().zip(receptions) {
        let found = &reception.comparison;
        table.add_row([
            (*name).to_owned(),
            format!("{:?} x {}", stream.encoding, stream.channels),
            found.matched.to_string(),
            found.wrong.to_string(),
            found.gaps.len().to_string(),
            format!("{} samples, {:.1} ms", reception.latency, f64::from(reception.latency) / 48.0),
        ]);
    }
    let found = &route.comparison;
    table.add_row([
        "Bass Synth to Mixer".to_owned(),
        "L24 x 2".to_owned(),
        found.matched.to_string(),
        found.wrong.to_string(),
        found.gaps.len().to_string(),
        "not through here".to_owned(),
    ]);
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// Links something, says how to look at it, and stays until the outer program ends.
fn leave_up(
    graph: &mut PipeWire<'_>,
    nodes: &[GraphNode],
    products: &Products,
    studio: &Studio,
) -> anyhow::Result<()> {
    let speakers = graph.wait_for_node(SPEAKERS, 0, 2, SOON)?;
    if let Some(first) = nodes.first() {
        graph.link(first, &speakers)?;
    }
    // Where the daemon cannot see a client's process it waits for a session manager to allow it, so clients enter.
    // The whole range of users is mapped where there is no user namespace to enter.
    let is_root = std::fs::read_to_string("/proc/self/uid_map")?.contains("4294967295");
    let user = if is_root { "" } else { " --user --preserve-credentials" };
    println!(
        "\nThe studio stays up until Ctrl-C. In another terminal:\n\
         \n  in=\"nsenter --target $(pgrep -nf 'demo --inside'){user} --mount --pid env XDG_RUNTIME_DIR={} \
         DBUS_SESSION_BUS_ADDRESS={}\"\
         \n  $in {} list\
         \n                      the streams of the network; show NAME, why NAME and clock tell more\
         \n  $in pw-link -l      what is linked\
         \n  $in pw-top          what runs\
         \n  $in helvum          the graph, to draw links in\
         \n\nIts logs are in {}/*/log.",
        graph.host().directory().display(),
        graph.host().bus_address(),
        products.program("wireloom").display(),
        studio.directory().display(),
    );
    loop {
        graph.daemon.is_alive()?;
        std::thread::sleep(Duration::from_secs(1));
    }
}

fn spinner(message: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        println!("{message} ...");
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner().with_message(message.to_owned());
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

fn progress(frames: u64, message: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        println!("{message} ...");
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(frames).with_message(message.to_owned());
    match ProgressStyle::with_template("{msg:<32} {wide_bar} {percent:>3} %  {eta}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
