use std::collections::BTreeMap;

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::host::Host;
use crate::pipewire::PipeWireOptions;
use crate::products::Products;
use crate::scene;
use crate::studio::Studio;
use crate::timer::BareTimer;

/// How often a machine that stalls may disturb a run.
const TRIES: usize = 6;
/// A stall that may cost a packet: half of the latency that the quantum of the test makes.
const STALL: std::time::Duration = std::time::Duration::from_millis(16);
/// Frames in a cycle that the test asks for.
const QUANTUM: u64 = 512;

/// `wireloom selftest` hears every sample by loopback and by the network interface, says how late, and says what is
/// wrong when the module is not there.
pub fn run(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let computer = studio.host("computer")?;
    let mut graph = scene::start_module(&computer, products, &BTreeMap::new(), PipeWireOptions::default())?;
    let mut remarks = Vec::new();
    for (way, arguments) in [
        ("loopback", &["--channels=2", "--duration=2", "--quantum=512"][..]),
        ("eth0", &["--channels=8", "--duration=2", "--quantum=512", "--interface=eth0"]),
    ] {
        remarks.push(clean(&computer, products, way, arguments)?);
    }
    // Nothing of the test stays.
    for id in ["wireloom.selftest.rx", "wireloom.selftest.tx"] {
        crate::wait::until(&format!("the end of {id}"), crate::wait::SOON, || {
            Ok(graph.node(id)?.is_none().then_some(()))
        })?;
    }
    graph.daemon.kill()?;
    let (status, document, said) = selftest(&computer, products, &["--duration=1"])?;
    ensure!(status == Some(1) && document.is_null(), "{status:?}: {document}");
    ensure!(said.contains("PipeWire cannot be reached"), "it said {said}");
    Ok(remarks.join(", "))
}

/// Runs until the machine lets one pass.
fn clean(computer: &Host, products: &Products, way: &str, arguments: &[&str]) -> anyhow::Result<String> {
    for _ in 0..TRIES {
        let timer = BareTimer::start()?;
        let (status, document, said) = selftest(computer, products, arguments)?;
        let number =
            |key: &str| document[key].as_u64().with_context(|| format!("{key} of {document}; {said}"));
        let (frames, latency) = (number("frames")?, number("latency_frames")?);
        let bad = number("lost")? + number("wrong")?;
        ensure!(frames >= 96_000, "{document}");
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
