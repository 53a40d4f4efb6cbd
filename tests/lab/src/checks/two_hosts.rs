use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::ensure;
use wireloom_clock_page::{LineState, monotonic_raw_pair};

use crate::clock::Clock;
use crate::peers::RtpStream;
use crate::pipewire::{PipeWire, PipeWireOptions};
use crate::products::Products;
use crate::scene::{self, Reception};
use crate::studio::Studio;
use crate::wait::SOON;

/// Frames of a run: half a million, of two channels.
const FRAMES: u64 = 536_000;
/// How often a machine that stalls may disturb a run.
const TRIES: usize = 6;
/// Latency class: ten milliseconds, because a shared machine stalls.
const LATENCY: u32 = 480;
/// Long enough to lock with an Announce a second, on a machine that stalls.
const LOCK: Duration = Duration::from_secs(40);

/// An application on one computer to an application on another, both on the clock of a third that is 80 ppm off: both
/// graphs run at the network's rate and not a sample is touched.
pub fn run(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let mut remarks = Vec::new();
    for ppm in [80.0, -80.0] {
        let (leader, sender) = (studio.host("leader")?, studio.host("sender")?);
        let receiver = studio.host("receiver")?;
        let mut clock = Clock::leader(&leader, products, 0, 100, ppm)?;
        clock.wait_for(LineState::Leader, SOON)?;
        let mut followers =
            [Clock::follower(&sender, products, 0)?, Clock::follower(&receiver, products, 0)?];
        for follower in &mut followers {
            follower.wait_for(LineState::Locked, LOCK)?;
        }

        let stream = RtpStream::standard(1, 2);
        let _playing = scene::play(&sender, products, &stream)?;
        let node = scene::same_clock_node(&stream, "Lab", LATENCY);
        let heard = BTreeMap::from([("lab.tx".to_owned(), node)]);
        let mut to = scene::start_module(&receiver, products, &heard, PipeWireOptions::default())?;

        let run = exact_run(products, &mut to, &stream)?;
        // The leader is off against CLOCK_MONOTONIC_RAW; CLOCK_MONOTONIC may be disciplined.
        let rate = (run.rate / 48_000.0 - 1.0) * 1e6 - monotonic_against_raw()?;
        ensure!((rate - ppm).abs() < 3.0, "at {ppm:+} ppm the graph runs at {rate:+.2} ppm");
        remarks.push(format!(
            "{} samples at {rate:+.2} ppm, {} frames late",
            run.comparison.matched, run.latency
        ));
    }
    Ok(remarks.join("; "))
}

fn exact_run(products: &Products, to: &mut PipeWire<'_>, stream: &RtpStream) -> anyhow::Result<Reception> {
    let node = to.wait_for_node("wireloom.lab.tx", stream.channels, 0, SOON)?;
    for _ in 0..TRIES {
        let run = scene::record(products, to, &node, stream, FRAMES, |_| {})?;
        if run.is_exact_of_graph()? {
            return Ok(run);
        }
    }
    anyhow::bail!("the machine disturbed all of {TRIES} runs; there is nothing to judge by")
}

/// By how many ppm CLOCK_MONOTONIC runs fast against the oscillator, over two seconds.
fn monotonic_against_raw() -> anyhow::Result<f64> {
    let first = monotonic_raw_pair();
    std::thread::sleep(Duration::from_secs(2));
    let last = monotonic_raw_pair();
    Ok((last.offset() - first.offset()) as f64 * 1e6 / (last.raw - first.raw) as f64)
}
