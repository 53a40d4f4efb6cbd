use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use wireloom_wanted::ClockRelation;

use crate::peers::RtpStream;
use crate::pipewire::{PipeWire, PipeWireOptions};
use crate::products::Products;
use crate::scene::{self, MODULE};
use crate::studio::Studio;
use crate::wait::{self, SOON};

/// The node cycle in which our code panics: some seconds after the start.
const CYCLE: u64 = 2000;
/// Frames that the node beside it must go on with afterwards.
const FRAMES: u64 = 48_000;

/// Our own code panics on the data loop: one node falls silent and says why, the daemon and the others go on.
pub fn run(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let computer = studio.host("computer")?;
    let stream = RtpStream::standard(1, 2);
    let mut heard = scene::receive_node(&stream, "Lab", 480);
    (heard.clock, heard.media.offset) = (ClockRelation::Same, Some(0));
    let nodes = BTreeMap::from([("lab.tx", heard), ("lab.rx", scene::transmit_node(&stream, "Lab"))]);
    let arguments = serde_json::json!({ "nodes": nodes, "test.panic-cycle": CYCLE });
    let options = PipeWireOptions {
        module_folders: vec![products.module_folder()],
        modules: vec![(MODULE.to_owned(), arguments.to_string())],
        ..PipeWireOptions::default()
    };
    let mut graph = PipeWire::start(&computer, &options)?;
    let output = graph.wait_for_node("wireloom.lab.tx", 2, 0, SOON)?;
    let mut recorder = graph.recorder(products, "recorder", 2)?;
    graph.link(&output, &recorder.node.clone())?;

    let names = ["wireloom.lab.tx", "wireloom.lab.rx"];
    let failed = wait::until("the node that panicked saying so", SOON, || {
        graph.daemon.is_alive()?;
        for name in names {
            let node = graph.node(name)?.with_context(|| format!("{name} vanished"))?;
            if node.info["props"]["wireloom.state"] == "error" {
                return Ok(Some(name));
            }
        }
        Ok(None)
    })?;
    let now = recorder.frames()?;
    recorder.record(now + FRAMES, |_| {})?;
    graph.daemon.is_alive()?;
    let other = names.iter().find(|name| **name != failed).context("two nodes")?;
    let node = graph.node(other)?.with_context(|| format!("{other} vanished"))?;
    let state = &node.info["props"]["wireloom.state"];
    ensure!(state != "error", "{other} failed with {failed}");
    recorder.finish()?;
    Ok(format!("{failed} is muted, {other} is {state}, {FRAMES} frames more were recorded"))
}
