use anyhow::{Context, bail};

use crate::comparison::{Comparison, LEAD_IN, describe};
use crate::pipewire::{PipeWire, PipeWireOptions, Recorder};
use crate::products::Products;
use crate::signal::PositionCode;
use crate::studio::Studio;

/// Long enough for many cycles of any length.
const FRAMES: u64 = 48_000;

/// How often a busy machine may disturb a run.
const TRIES: usize = 6;

/// What one client plays arrives bit-exact in what other clients record, ours and PipeWire's own: daemon, links and
/// recorders neither scale nor resample.
pub fn run(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let host = studio.host("a")?;
    let mut graph = PipeWire::start(&host, &PipeWireOptions::default())?;
    let code = PositionCode::new(24, 8);
    let (_process, player) = graph.player(products, "player", &code)?;
    let mut exact = [None, None];
    let mut last = String::new();
    for _ in 0..TRIES {
        let mut recorders: [Recorder; 2] =
            [graph.recorder(products, "ours", 8)?, graph.pw_record("theirs", 8)?];
        for recorder in &recorders {
            graph.link(&player, &recorder.node)?;
        }
        for recorder in &mut recorders {
            recorder.record(FRAMES + LEAD_IN as u64, |_| {})?;
        }
        for ((recorder, exact), is_ours) in recorders.into_iter().zip(&mut exact).zip([true, false]) {
            let recording = recorder.finish()?;
            let found = Comparison::new(&code, &recording).with_context(|| describe(&code, &recording))?;
            last = found.to_string();
            // A daemon that is held up repeats or drops cycles on the way to a client; nothing of that scales samples.
            // pw-record moreover writes on a thread of ordinary priority and closes up what that one misses.
            if found.is_exact(FRAMES) || (!is_ours && found.matched > FRAMES) {
                exact.get_or_insert(found.matched);
            }
        }
        if let [Some(ours), Some(theirs)] = exact {
            return Ok(format!("{ours} samples in our client, {theirs} in pw-record"));
        }
    }
    bail!("the machine disturbed all of {TRIES} runs, the last: {last}")
}
