use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use wireloom_tone::{BLOCK, Judge, Purity};

use crate::peers::{RtpStream, gstreamer};
use crate::pipewire::{PipeWireOptions, SOUND_CARD};
use crate::products::Products;
use crate::recording::Recording;
use crate::scene;
use crate::studio::Studio;
use crate::timer::BareTimer;
use crate::wait::SOON;

/// Frames that are judged: a minute, ten of a thorough studio.
const FRAMES: u64 = 60 * 48_000;
/// Frames before these: the position is drawn in, the rate is found.
const SETTLING: usize = 20 * 48_000;
/// Frames after a hole that are not judged: the filter fills, the position may be drawn in again. No hole may be longer.
const AFTER_A_HOLE: usize = 2 * 48_000;
/// The tone.
const HZ: u32 = 1000;
/// Latency class: twenty milliseconds, because a shared machine stalls.
const LATENCY: u32 = 960;
/// How far the senders' clocks are off against the sound card's.
const PPM: f64 = 100.0;
/// Distortion and noise of the worst tenth of a second, in decibels. A sample left out or doubled would be -24 dB.
const WORST_DB: f64 = -70.0;

/// Two senders play a tone, one 100 ppm faster than this machine, one as much slower. The driver of the graph that
/// hears them is not ours and on the machine's own clock, as a sound card's would be: both are resampled, and stay
/// pure.
pub fn run(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let (stage, computer) = (studio.host("stage")?, studio.host("computer")?);
    let clocks = [("fast", PPM, RtpStream::standard(1, 1)), ("slow", -PPM, RtpStream::standard(2, 1))];
    let nodes = clocks
        .iter()
        .map(|(name, _, stream)| (format!("{name}.tx"), scene::receive_node(stream, name, LATENCY)));
    let options = PipeWireOptions { sound_card: true, ..PipeWireOptions::default() };
    let mut graph = scene::start_module(&computer, products, &nodes.collect::<BTreeMap<_, _>>(), options)?;
    let (mut senders, mut recorders) = (Vec::new(), Vec::new());
    for (name, ppm, stream) in &clocks {
        senders.push(gstreamer::paced_tone(&stage, products, stream, *ppm, HZ)?);
        let node = graph.wait_for_node(&format!("wireloom.{name}.tx"), 1, 0, SOON)?;
        let recorder = graph.recorder_in(products, name, 1, Some(SOUND_CARD))?;
        graph.link(&node, &recorder.node.clone())?;
        recorders.push(recorder);
    }

    let wanted = SETTLING as u64 + if studio.is_thorough() { 10 * FRAMES } else { FRAMES };
    let timer = BareTimer::start()?;
    for recorder in &mut recorders {
        recorder.record(wanted, |_| {})?;
    }
    let worst_timer = timer.worst();
    let mut remarks = Vec::new();
    for ((name, ppm, _), recorder) in clocks.iter().zip(recorders) {
        let node = graph.wait_for_node(&format!("wireloom.{name}.tx"), 1, 0, SOON)?;
        let mode = &node.info["props"]["wireloom.mode"];
        ensure!(mode == "adaptive", "{name}: the read mode is {mode}");
        let recording = recorder.finish()?;
        let rate = recording.rate().context("the recorder noted no cycles")?;
        ensure!((rate / 48_000.0 - 1.0).abs() < 20e-6, "the sound card's graph runs at {rate} Hz");
        let (found, holes) = judge(&recording, f64::from(HZ) * (1.0 + ppm * 1e-6))
            .with_context(|| format!("{name}: there is no tone"))?;
        let count = holes.len();
        let longest = holes.iter().map(|hole| hole.frames).max().unwrap_or(0);
        // Silence takes a stall that the latency does not cover; a recorder misses the cycle that it is late for.
        let silent = holes.iter().filter(|hole| !hole.missed).count();
        let least = if silent > 0 { LATENCY / 2 } else { graph.quantum() };
        ensure!(
            count == 0 || worst_timer > Duration::from_secs(u64::from(least)) / 48_000,
            "{name}: {count} holes, {silent} of them silent, in a run that nothing disturbed \
             (a bare timer was {worst_timer:?} late)"
        );
        ensure!(longest <= AFTER_A_HOLE, "{name}: a hole of {longest} frames");
        let judged = found.blocks * BLOCK / 2;
        let least = (wanted as usize - SETTLING) / 2;
        ensure!(judged >= least, "{name}: only {judged} frames were judged, {count} holes");
        ensure!(found.worst_db < WORST_DB, "{name}: {found}");
        remarks.push(format!("{ppm:+} ppm: {found}, {count} holes"));
    }
    Ok(remarks.join("; "))
}

/// Frames without the tone.
struct Hole {
    frames: usize,
    /// The recorder missed a cycle: nothing says what was in it.
    missed: bool,
}

/// Judges what is between holes, and measures these in frames. A hole is silence, or a cycle that the recorder missed.
fn judge(recording: &Recording, hz: f64) -> Option<(Purity, Vec<Hole>)> {
    let mut judge = Judge::new(hz, 48_000);
    let samples: Vec<f32> = (0..recording.frames()).map(|at| recording.frame(at)[0]).collect();
    // The tone itself is exactly zero in one sample at most.
    let missing = |at: usize| {
        samples[at].is_nan() || samples[at] == 0.0 && samples.get(at + 1).is_none_or(|next| *next == 0.0)
    };
    let (mut holes, mut at) = (Vec::new(), SETTLING);
    while at < samples.len() {
        let end = (at..samples.len()).find(|at| missing(*at)).unwrap_or(samples.len());
        judge.push(&samples[at..end]);
        judge.part();
        at = (end..samples.len()).find(|at| !missing(*at)).unwrap_or(samples.len());
        if at > end {
            holes.push(Hole {
                frames: at - end,
                missed: samples[end..at].iter().any(|sample| sample.is_nan()),
            });
            at = (at + AFTER_A_HOLE).min(samples.len());
        }
    }
    Some((judge.finish()?, holes))
}
