use std::collections::BTreeMap;

use anyhow::{Context, bail};
use wireloom_wanted::Encoding;

use crate::host::Host;
use crate::peers::{RtpStream, ffmpeg, gstreamer};
use crate::pipewire::PipeWireOptions;
use crate::process::Process;
use crate::products::Products;
use crate::scene;
use crate::studio::Studio;
use crate::wait::SOON;

/// Samples in a run that must be without any gap.
const SAMPLES: u64 = 1_000_000;
/// How often a machine that stalls may disturb a run.
const TRIES: usize = 8;
/// Latency class of the streams: ten milliseconds, because a shared machine stalls.
const LATENCY: u32 = 480;

type Sender = fn(&Host, &RtpStream) -> anyhow::Result<Process>;

/// A stream of GStreamer arrives bit-exact in what a PipeWire client records: 2 and 8 channels, every encoding; and one
/// of FFmpeg.
/// Of L32 that is what a float holds: at least 24 bits, correctly rounded.
pub fn run(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let (stage, computer) = (studio.host("stage")?, studio.host("computer")?);
    let mut remarks = Vec::new();
    let runs: [(Sender, usize, Encoding, u64); 6] = [
        (gstreamer::sender, 2, Encoding::L24, SAMPLES),
        (gstreamer::sender, 8, Encoding::L24, SAMPLES),
        (gstreamer::sender, 2, Encoding::L16, SAMPLES / 5),
        (gstreamer::sender, 2, Encoding::L32, SAMPLES / 5),
        (gstreamer::sender, 2, Encoding::AM824, SAMPLES / 5),
        (ffmpeg::sender, 2, Encoding::L24, SAMPLES / 5),
    ];
    for (number, (sender, channels, encoding, samples)) in (1..).zip(runs) {
        let stream = RtpStream { encoding, ..RtpStream::standard(number, channels) };
        let id = format!("lab-{number}.tx");
        let nodes = BTreeMap::from([(id.clone(), scene::receive_node(&stream, "Lab", LATENCY))]);
        let mut graph = scene::start_module(&computer, products, &nodes, PipeWireOptions::default())?;
        let node = graph.wait_for_node(&format!("wireloom.{id}"), channels, 0, SOON)?;
        let _sender = sender(&stage, &stream)?;
        let (mut gaps, mut clean) = (0, false);
        for _ in 0..TRIES {
            let frames = samples / channels as u64;
            let run = scene::record(products, &mut graph, &node, &stream, frames, |_| {})?;
            let found = &run.comparison;
            if run.is_exact().with_context(|| format!("{channels} channels of {encoding:?}"))? {
                remarks.push(format!(
                    "{} samples of {encoding:?} x {channels} at {} frames",
                    found.matched, run.latency
                ));
                clean = true;
                break;
            }
            gaps += found.gaps.len();
        }
        if !clean {
            bail!("the machine disturbed all of {TRIES} runs ({gaps} gaps); there is nothing to judge by");
        }
    }
    Ok(remarks.join(", "))
}
