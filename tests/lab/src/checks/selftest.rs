use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::host::Host;
use crate::peers::RtpStream;
use crate::pipewire::{PipeWire, PipeWireOptions};
use crate::products::Products;
use crate::scene;
use crate::studio::Studio;
use crate::timer::BareTimer;
use crate::wait::{self, SOON};

/// How often a machine that stalls may disturb a run.
const TRIES: usize = 6;
/// A stall that may cost a packet: half of the latency that the quantum of the test makes.
const STALL: Duration = Duration::from_millis(16);
/// Frames in a cycle that the test asks for.
const QUANTUM: u64 = 512;
/// Frames of a packet of two channels.
const PACKET: u64 = 48;
/// Every so manieth packet is lost where some are, told by its RTP sequence number.
const LOST_EVERY: u64 = 512;
/// What is not waited for takes less, on a machine that stalls too.
const AT_ONCE: Duration = Duration::from_secs(10);
/// Sender and receiver of the test, as nodes.
const NODES: [&str; 2] = ["wireloom.selftest.rx", "wireloom.selftest.tx"];
/// Its stream, and those packets of it: the number begins 16 bits after the header of UDP.
const LOSS: &str = "add table inet lab; add chain inet lab in { type filter hook input priority 0; policy accept; }; \
                    add rule inet lab in ip daddr 239.255.77.77 udp dport 5018 @th,80,16 & 0x01ff == 7 drop";

/// `wireloom selftest` hears every sample by loopback and by the network interface, also at twice the rate, and says
/// how late; where packets are lost it says how many frames, and which was the first; it says at once what is wrong when
/// the graph has another rate, or nothing can be reached; and however it ends, nothing of it stays.
pub fn run(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let computer = studio.host("computer")?;
    let mut graph = scene::start_module(&computer, products, &BTreeMap::new(), PipeWireOptions::default())?;
    let mut remarks = Vec::new();
    for (way, arguments) in [
        ("loopback", &["--channels=2", "--duration=2", "--quantum=512"][..]),
        ("eth0", &["--channels=8", "--duration=2", "--quantum=512", "--interface=eth0"]),
    ] {
        remarks.push(clean(&computer, products, way, arguments, 48_000)?);
    }
    computer.run("nft", [LOSS])?;
    remarks.push(lossy(&computer, products)?);
    computer.run("nft", ["delete table inet lab"])?;
    clean(&computer, products, "loopback", &["--duration=1", "--quantum=512"], 48_000)
        .context("after the loss")?;
    nothing_stays(&graph)?;
    interrupted(&computer, &mut graph, products)?;
    shows_a_bar(&computer, products)?;
    clean(&computer, products, "loopback", &["--duration=1", "--quantum=512"], 48_000)
        .context("after the interruptions")?;
    graph.daemon.kill()?;
    let (status, document, said) = selftest(&computer, products, &["--duration=1"])?;
    ensure!(status == Some(1) && document.is_null(), "{status:?}: {document}");
    ensure!(said.contains("PipeWire cannot be reached"), "it said {said}");

    let options = PipeWireOptions { rate: 96_000, ..PipeWireOptions::default() };
    let nodes =
        BTreeMap::from([("lab.rx".to_owned(), scene::transmit_node(&RtpStream::standard(1, 2), "Lab"))]);
    let mut graph = scene::start_module(&computer, products, &nodes, options)?;
    let arguments = ["--channels=2", "--duration=2", "--quantum=512", "--rate=96000"];
    remarks.push(clean(&computer, products, "loopback at 96 kHz", &arguments, 96_000)?);
    // At a rate that the graph never takes nothing is tried; at one that it could take, but for others that play, it is.
    refused(&computer, products)?;
    ensure!(graph.node("wireloom-selftest.player")?.is_none(), "the test that was refused still plays");
    let (_player, player) = graph.tone(products, "player", 2, 440)?;
    let sent = graph.wait_for_node("wireloom.lab.rx", 0, 2, SOON)?;
    graph.link(&player, &sent)?;
    computer.run("pw-metadata", ["-n", "settings", "0", "clock.allowed-rates", "[ 48000 96000 ]"])?;
    refused(&computer, products)?;
    nothing_stays(&graph)?;
    Ok(remarks.join(", "))
}

/// The default of 48 kHz, in a graph that runs at 96 kHz.
fn refused(computer: &Host, products: &Products) -> anyhow::Result<()> {
    let begun = Instant::now();
    let (status, document, said) = selftest(computer, products, &["--duration=1"])?;
    ensure!(status == Some(1), "48 kHz in a graph of 96 kHz: {status:?}: {document}");
    ensure!(said.contains("the graph runs at 96000 Hz"), "it said {said}");
    ensure!(begun.elapsed() < AT_ONCE, "it said so only after {:?}", begun.elapsed());
    Ok(())
}

/// Nothing of the test is in the graph.
fn nothing_stays(graph: &PipeWire<'_>) -> anyhow::Result<()> {
    for id in NODES {
        wait::until(&format!("the end of {id}"), SOON, || Ok(graph.node(id)?.is_none().then_some(())))?;
    }
    Ok(())
}

/// Whoever interrupts the test, the command or what it runs, or ends the command without letting it do anything.
fn interrupted(computer: &Host, graph: &mut PipeWire<'_>, products: &Products) -> anyhow::Result<()> {
    let options = ["--channels=2", "--duration=300", "--quantum=512"];
    let helper = [&options[..], &["--rate=48000", "--interface=lo"]].concat();
    let command = [&["selftest"], &options[..]].concat();
    for (program, arguments, kill) in
        [("wireloom-selftest", &helper, false), ("wireloom", &command, false), ("wireloom", &command, true)]
    {
        let mut process = computer.spawn(products.program(program), arguments)?;
        graph.wait_for_node(NODES[0], 0, 2, SOON)?;
        graph.wait_for_node(NODES[1], 2, 0, SOON)?;
        if kill {
            process.kill()?
        } else {
            process.interrupt().map(drop)?
        }
        nothing_stays(graph).with_context(|| format!("{program} that was ended, killed: {kill}"))?;
    }
    Ok(())
}

/// Who waits at a terminal sees that something happens.
fn shows_a_bar(computer: &Host, products: &Products) -> anyhow::Result<()> {
    let command = format!("{} selftest --duration=1 --quantum=512", products.program("wireloom").display());
    let mut terminal = computer.command("script");
    let output = terminal.args(["-qec", &command, "/dev/null"]).env("TERM", "xterm").output()?;
    let shown = String::from_utf8_lossy(&output.stdout);
    ensure!(shown.contains("Listening to the signal"), "a terminal shows {shown:?}");

    Ok(())
}

/// Runs until the machine lets one pass of a second at least.
fn clean(
    computer: &Host,
    products: &Products,
    way: &str,
    arguments: &[&str],
    rate: u64,
) -> anyhow::Result<String> {
    for _ in 0..TRIES {
        let timer = BareTimer::start()?;
        let (status, document, said) = selftest(computer, products, arguments)?;
        let number =
            |key: &str| document[key].as_u64().with_context(|| format!("{key} of {document}; {said}"));
        let (frames, latency) = (number("frames")?, number("latency_frames")?);
        let bad = number("lost")? + number("wrong")?;
        ensure!(frames >= rate && number("rate_hz")? == rate, "{document}");
        ensure!((bad == 0) == (status == Some(0)), "{status:?} of {document}");
        ensure!((bad == 0) == document["first_bad"].is_null(), "{document}");
        // The graph does as it was asked, and the latency is three cycles.
        ensure!(number("quantum")? == QUANTUM && latency == 3 * QUANTUM, "{document}");
        if bad == 0 {
            return Ok(format!("{frames} frames by {way}, {latency} late"));
        }
        ensure!(timer.worst() > STALL, "a run that nothing disturbed: {document}");
    }
    bail!("the machine disturbed all of {TRIES} runs; there is nothing to judge by")
}

/// Runs where packets are lost, until the machine adds nothing to that.
fn lossy(computer: &Host, products: &Products) -> anyhow::Result<String> {
    for _ in 0..TRIES {
        let timer = BareTimer::start()?;
        let arguments = ["--channels=2", "--duration=2", "--quantum=512"];
        let (status, document, said) = selftest(computer, products, &arguments)?;
        let number = |value: &Value| value.as_u64().with_context(|| format!("{document}; {said}"));
        let (frames, lost, wrong) =
            (number(&document["frames"])?, number(&document["lost"])?, number(&document["wrong"])?);
        let (first, channel) =
            (number(&document["first_bad"]["frame"])?, number(&document["first_bad"]["channel"])?);
        ensure!(status == Some(1), "{status:?} of {document}");
        let says = format!(
            "the first bad sample is in frame {first} of channel {}; {lost} frames were silent, {wrong} wrong",
            channel + 1
        );
        ensure!(said.contains(&says), "{document}, but it said {said}");
        // One packet of each stretch is lost, and it is silence in every channel.
        let stretch = LOST_EVERY * PACKET;
        let stretches = frames / stretch..=frames.div_ceil(stretch);
        let expected = stretches.start() * PACKET..=stretches.end() * PACKET;
        if expected.contains(&lost) && wrong == 0 && channel == 0 && first < stretch {
            return Ok(format!("{lost} frames lost of {frames}, the first is number {first}"));
        }
        ensure!(timer.worst() > STALL, "a run that nothing else disturbed: {document}");
    }
    bail!("the machine disturbed all of {TRIES} runs with loss; there is nothing to judge by")
}

fn selftest(
    computer: &Host,
    products: &Products,
    arguments: &[&str],
) -> anyhow::Result<(Option<i32>, Value, String)> {
    // As an application with real-time priority: what is judged is the network stack.
    let mut command = computer.device_command(products.program("wireloom"));
    let output = command.args(["--json", "selftest"]).args(arguments).output()?;
    let document = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    Ok((output.status.code(), document, String::from_utf8_lossy(&output.stderr).into_owned()))
}
