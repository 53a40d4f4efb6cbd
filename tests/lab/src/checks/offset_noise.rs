use std::time::Duration;

use anyhow::{Context, ensure};
use wireloom_clock_page::{LineState, realtime_raw_pair};

use crate::clock::{Clock, differences};
use crate::host::Host;
use crate::peers::ptp4l::{self, Role};
use crate::products::Products;
use crate::studio::Studio;
use crate::wait::{self, SOON};

/// Runs of each in a thorough studio; otherwise one.
const RUNS: usize = 5;
/// One run differs from the next tenfold; where so many say too little, as many more are judged with them.
const SERIES: usize = 2;
/// Offsets that a run of ptp4l has; it prints the last of each second.
const OFFSETS: usize = 15;
/// Offsets of ptp4l before these, which come while it still looks for the path's delay.
const FIRST_OFFSETS: usize = 3;
/// Values that a run of ours has: fifteen seconds.
const VALUES: usize = 300;
/// Long enough to lock with an Announce a second, on a machine that stalls.
const LOCK: Duration = Duration::from_secs(40);
/// How many times noisier than ptp4l's ours may be, by the medians of all runs.
const CLASS: f64 = 3.0;
/// The same where there is one run: on a machine that stalls it says little.
const CLASS_OF_ONE: f64 = 20.0;

/// A follower of ours and one of linuxptp's take turns on one cable to a ptp4l leader. Ours is judged by how the time
/// that it gives out scatters around the leader's, ptp4l by the offsets that it reports: it has no clock that it may
/// steer here, so these scatter as its stamps do. Half of all values lie within what is compared.
pub fn run(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let (leader, follower) = (studio.host("leader")?, studio.host("follower")?);
    let mut leading = ptp4l::start(&leader, 0, Role::Leader { priority: 100 })?;
    leading.says("assuming the grand master role", SOON)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let (runs, class) = if studio.is_thorough() { (RUNS, CLASS) } else { (1, CLASS_OF_ONE) };
    let spreads = |runs: &[Noise]| runs.iter().map(|run| run.spread).collect::<Vec<f64>>();
    let mut ratio = f64::INFINITY;
    for _ in 0..SERIES {
        for _ in 0..runs {
            ours.push(run_of_ours(&follower, products)?);
            theirs.push(run_of_ptp4l(&follower)?);
        }
        ratio = median(spreads(&ours)) / median(spreads(&theirs));
        if ratio <= class {
            break;
        }
    }
    let listed = |runs: &[Noise]| runs.iter().map(Noise::to_string).collect::<Vec<_>>().join(", ");
    let found = format!("ours {}; ptp4l {}; ratio {ratio:.2}", listed(&ours), listed(&theirs));
    ensure!(ratio <= class, "{found}");
    Ok(found)
}

/// How the offsets of one run lie, in nanoseconds.
struct Noise {
    /// The middle one.
    bias: f64,
    /// Half of all are no further from that.
    spread: f64,
}

impl Noise {
    fn new(offsets: &[f64]) -> Self {
        let bias = median(offsets.to_vec());
        Self { bias, spread: median(offsets.iter().map(|offset| (offset - bias).abs()).collect()) }
    }
}

impl std::fmt::Display for Noise {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.0} ns (at {:+.0})", self.spread, self.bias)
    }
}

fn run_of_ours(host: &Host, products: &Products) -> anyhow::Result<Noise> {
    let mut clock = Clock::follower(host, products, 0)?;
    let line = clock.wait_for(LineState::Locked, LOCK)?;
    let page = clock.page()?;
    let values = differences(
        VALUES,
        || page.line(line.source).context("the follower's line vanished"),
        |raw| Ok(raw + realtime_raw_pair().offset()),
    )?;
    clock.wait_for(LineState::Locked, LOCK)?;
    // The leader's timescale is whole seconds from the machine's.
    let whole_seconds = (values[VALUES / 2] as f64 / 1e9).round() as i64 * 1_000_000_000;
    Ok(Noise::new(&values.iter().map(|value| (value - whole_seconds) as f64).collect::<Vec<_>>()))
}

fn run_of_ptp4l(host: &Host) -> anyhow::Result<Noise> {
    let mut process = ptp4l::start(host, 0, Role::Follower)?;
    let offsets = wait::until("offsets of ptp4l", LOCK, || {
        process.is_alive()?;
        let offsets = ptp4l::offsets(&process.log());
        Ok((offsets.len() >= FIRST_OFFSETS + OFFSETS).then_some(offsets))
    })?;
    Ok(Noise::new(&offsets[FIRST_OFFSETS..]))
}

/// The middle value, the upper one of two.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
