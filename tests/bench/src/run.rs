//! The order in which things are measured, for one version of PipeWire.

use std::time::Duration;

use anyhow::Result;
use wireloom_lab::{Products, Studio};

use crate::load::{Bench, Load, Side, Way};
use crate::platform::Platform;
use crate::results::OnPlatform;

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Under three minutes in all: an impression.
    Quick,
    /// Under twenty minutes.
    Full,
}

/// What the daemon gets before it is measured.
const SETTLE: Duration = Duration::from_millis(1500);
/// The usual cycle of a desktop that records, and one of a live computer.
const QUANTA: [u32; 2] = [256, 64];

impl Extent {
    /// The version that is not the distribution's own is measured with less, to stay under twenty minutes.
    fn streams(self, installed: bool) -> &'static [usize] {
        match (self, installed) {
            (Self::Quick, _) => &[1, 16],
            (Self::Full, true) => &[1, 4, 16, 64],
            (Self::Full, false) => &[1, 16, 64],
        }
    }

    fn repetitions(self) -> usize {
        if self == Self::Quick { 1 } else { 3 }
    }

    fn window(self) -> Duration {
        Duration::from_secs(if self == Self::Quick { 2 } else { 3 })
    }

    fn sustained(self) -> Duration {
        Duration::from_secs(if self == Self::Quick { 10 } else { 60 })
    }

    /// What is measured side by side, each with the sides that are compared.
    fn loads(self, installed: bool) -> Vec<(Load, Vec<Side>)> {
        let mut loads = Vec::new();
        for way in [Way::Receive, Way::Transmit] {
            for &streams in self.streams(installed) {
                let load = Load { side: Side::Ours, way, streams, quantum: QUANTA[0] };
                loads.push((load, vec![Side::Ours, Side::Theirs]));
                if self == Self::Full && installed && streams == 16 {
                    let quantum = QUANTA[1];
                    loads.push((Load { quantum, ..load }, vec![Side::Ours, Side::Theirs]));
                }
            }
        }
        for (load, sides) in &mut loads {
            if self == Self::Full
                && installed
                && load.way == Way::Receive
                && load.streams == 16
                && load.quantum == QUANTA[0]
            {
                sides.push(Side::OursResampled);
            }
        }
        loads
    }
}

/// Measures everything with `platform`; for the inner program of a studio. What cannot be measured is said in the
/// results. Errors: there is no studio.
pub fn run(
    platform: &Platform,
    products: &Products,
    extent: Extent,
    progress: impl Fn(&str),
) -> Result<OnPlatform> {
    let mut studio = Studio::new()?;
    platform.enter(products)?;
    let (desk, computer) = (studio.host("desk")?, studio.host("computer")?);
    let bench = Bench { desk: &desk, computer: &computer, platform, products };
    bench.prepare()?;
    let mut results = OnPlatform {
        version: platform.version.clone(),
        loads: Vec::new(),
        latencies: Vec::new(),
        sustained: Vec::new(),
        not_measured: Vec::new(),
    };
    for repetition in 0..extent.repetitions() {
        for (load, sides) in extent.loads(platform.is_installed()) {
            let mut sides: Vec<Side> = sides;
            if repetition % 2 == 1 {
                sides.reverse();
            }
            for side in sides {
                let load = Load { side, ..load };
                progress(&format!("cpu, {side:?}, {:?}, {} streams", load.way, load.streams));
                match bench.measure(&load, SETTLE, extent.window()) {
                    Ok(measured) => results.loads.push((load, measured)),
                    Err(error) => results.not_measured.push(format!("{load:?}: {error:#}")),
                }
            }
        }
    }
    for &quantum in if extent == Extent::Quick { &[64][..] } else { &[48, 64, 128, 256] } {
        progress(&format!("latency at quantum {quantum}"));
        let mut add = |found: Result<_>| match found {
            Ok(found) => results.latencies.push(found),
            Err(error) => results.not_measured.push(format!("latency at quantum {quantum}: {error:#}")),
        };
        add(bench.our_latency(quantum));
        if platform.has_static_source() {
            add(bench.their_latency(quantum));
        }
    }
    if !platform.has_static_source() {
        let why = "latency of PipeWire's own: this version has no mode without resampling (sess.ts-direct)";
        results.not_measured.push(why.to_owned());
    }
    let sustained = if platform.is_installed() { &[Side::Ours, Side::Theirs][..] } else { &[] };
    for &side in sustained {
        progress(&format!("64 streams for {} s, {side:?}", extent.sustained().as_secs()));
        let load = Load { side, way: Way::Receive, streams: 64, quantum: QUANTA[0] };
        match bench.sustain(&load, extent.sustained()) {
            Ok(found) => results.sustained.push(found),
            Err(error) => results.not_measured.push(format!("{load:?} sustained: {error:#}")),
        }
    }
    Ok(results)
}
