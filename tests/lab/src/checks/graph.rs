use anyhow::{Context, ensure};

use crate::comparison::Comparison;
use crate::pipewire::{PipeWire, PipeWireOptions};
use crate::products::Products;
use crate::signal::PositionCode;
use crate::studio::Studio;
use crate::wait::SOON;

/// Long enough for many cycles of any length.
const FRAMES: u64 = 48_000;

/// A file that one client plays arrives bit-exact in what another client records: daemon, links and recorder neither
/// scale nor resample.
pub fn run(studio: &mut Studio, _: &Products) -> anyhow::Result<String> {
    let host = studio.host("a")?;
    let mut graph = PipeWire::start(&host, &PipeWireOptions::default())?;
    let code = PositionCode::new(24, 2);
    let mut recorder = graph.recorder("recorder", 2, SOON)?;
    let (_player, player) = graph.player("player", &code, 20 * FRAMES)?;
    graph.link(&player, &recorder.node.clone())?;
    recorder.record(FRAMES, |_| {})?;
    let found = Comparison::new(&code, &recorder.finish()?).context("the signal is not in the recording")?;
    // The daemon itself drops cycles on a machine that stalls; what it passes on is exact.
    ensure!(found.wrong == 0, "{found}");
    Ok(found.to_string())
}
