use anyhow::{Context, ensure};

use crate::comparison::Comparison;
use crate::pipewire::{PipeWire, PipeWireOptions, Recorder};
use crate::products::Products;
use crate::signal::PositionCode;
use crate::studio::Studio;

/// Long enough for many cycles of any length.
const FRAMES: u64 = 48_000;

/// What one client plays arrives bit-exact in what other clients record, ours and PipeWire's own: daemon, links and
/// recorders neither scale nor resample.
pub fn run(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let host = studio.host("a")?;
    let mut graph = PipeWire::start(&host, &PipeWireOptions::default())?;
    let code = PositionCode::new(24, 8);
    let (_process, player) = graph.player(products, "player", &code)?;
    let mut recorders: [Recorder; 2] = [graph.recorder(products, "ours", 8)?, graph.pw_record("theirs", 8)?];
    for recorder in &recorders {
        graph.link(&player, &recorder.node)?;
    }
    for recorder in &mut recorders {
        recorder.record(FRAMES, |_| {})?;
    }
    let mut remarks = Vec::new();
    for (recorder, whose) in recorders.into_iter().zip(["ours", "pw-record"]) {
        let recording = recorder.finish()?;
        let found = Comparison::new(&code, &recording).context("the signal is not in the recording")?;
        // A busy machine may hold up a client; then frames are missed, and pw-record closes up what it missed.
        ensure!(found.wrong == 0 && found.matched > FRAMES, "{whose}: {found}");
        ensure!(whose == "pw-record" || found.slips.is_empty(), "{whose}: {found}");
        remarks.push(format!("{whose}: {found}"));
    }
    Ok(remarks.join("; "))
}
