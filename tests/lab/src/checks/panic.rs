use std::collections::BTreeMap;

use anyhow::{Context, ensure};

use crate::comparison::{Comparison, describe};
use crate::peers::{RtpStream, gstreamer};
use crate::pipewire::{PipeWire, PipeWireOptions};
use crate::products::Products;
use crate::recording::Recording;
use crate::scene::{self, MODULE};
use crate::studio::Studio;
use crate::wait::{self, SOON};

/// The node cycle in which our code panics: some seconds after the start.
const CYCLE: u64 = 2000;
/// Frames that are recorded of both nodes afterwards.
const FRAMES: u64 = 48_000;

/// Latency class: ten milliseconds, because a shared machine stalls.
const LATENCY: u32 = 480;

/// Our own code panics on the data loop while two nodes are heard: one falls silent and says why, the other goes on
/// exactly, and so does the daemon.
pub fn run(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let (stage, computer) = (studio.host("stage")?, studio.host("computer")?);
    let stream = RtpStream::standard(1, 2);
    let ids = ["one.tx", "two.tx"];
    let nodes = BTreeMap::from(ids.map(|id| (id, scene::receive_node(&stream, id, LATENCY))));
    let arguments = serde_json::json!({ "nodes": nodes, "test.panic-cycle": CYCLE });
    let options = PipeWireOptions {
        module_folders: vec![products.module_folder()],
        modules: vec![(MODULE.to_owned(), arguments.to_string())],
        ..PipeWireOptions::default()
    };
    let mut graph = PipeWire::start(&computer, &options)?;
    let _sender = gstreamer::sender(&stage, &stream)?;
    let names = ids.map(|id| format!("wireloom.{id}"));
    let mut recorders = Vec::new();
    for name in &names {
        let output = graph.wait_for_node(name, 2, 0, SOON)?;
        let recorder = graph.recorder(products, &name.replace("wireloom", "ear"), 2)?;
        graph.link(&output, &recorder.node.clone())?;
        recorders.push(recorder);
    }

    let failed = wait::until("the node that panicked saying so", 2 * SOON, || {
        graph.daemon.is_alive()?;
        for (index, name) in names.iter().enumerate() {
            let node = graph.node(name)?.with_context(|| format!("{name} vanished"))?;
            if node.info["props"]["wireloom.state"] == "error" {
                return Ok(Some(index));
            }
        }
        Ok(None)
    })?;
    for recorder in &mut recorders {
        let now = recorder.frames()?;
        recorder.record(now + FRAMES, |_| {})?;
    }
    graph.daemon.is_alive()?;
    let other = &names[1 - failed];
    let node = graph.node(other)?.with_context(|| format!("{other} vanished"))?;
    let state = &node.info["props"]["wireloom.state"];
    ensure!(state == "running", "{other} is {state}");
    let mut silent = Vec::new();
    for (name, recorder) in names.iter().zip(recorders) {
        let mut recording = recorder.finish()?;
        let end = silent_end(&recording);
        recording.truncate(recording.frames() - end);
        let found = Comparison::new(&stream.code(), &recording)
            .with_context(|| format!("{name}: {}", describe(&stream.code(), &recording)))?;
        // Where the recorder itself was not called, the graph's clock may have jumped.
        ensure!(found.wrong == 0 && (found.slips.is_empty() || found.missed > 0), "{name}: {found}");
        ensure!(found.gap_frames() * 4 <= recording.frames(), "{name}: {found}");
        silent.push(end as u64);
    }
    let (muted, other_silent) = (silent[failed], silent[1 - failed]);
    ensure!(muted >= FRAMES / 2, "the node that failed is heard until {muted} frames before the end");
    ensure!(other_silent < FRAMES / 2, "{other} is silent for the last {other_silent} frames");
    let failed = &names[failed];
    Ok(format!("{failed} is silent for {muted} frames, {other} goes on exactly"))
}

/// How many frames at the end are silent, or were missed by the recorder.
fn silent_end(recording: &Recording) -> usize {
    let is_heard = |at: &usize| recording.frame(*at).iter().any(|sample| *sample != 0.0 && !sample.is_nan());
    let frames = recording.frames();
    (0..frames).rev().find(is_heard).map_or(frames, |last| frames - 1 - last)
}
