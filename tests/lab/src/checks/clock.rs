use std::time::Duration;

use anyhow::{Context, ensure};
use wireloom_clock_page::{LineState, realtime_raw_pair};

use crate::clock::{Clock, differences};
use crate::peers::ptp4l::{self, Role};
use crate::products::Products;
use crate::studio::Studio;
use crate::wait::{self, SOON};

/// Long enough to lock with an Announce a second, on a machine that stalls.
const LOCK: Duration = Duration::from_secs(40);
/// Values per comparison: ten seconds.
const VALUES: usize = 200;
/// How far half of all values may lie from their own middle: less than a sample at 48 kHz, on a machine that stalls.
const SPREAD_NS: i64 = 20_000;
/// How far that middle may lie from the truth. No follower can see that one direction of a wire is slower than the
/// other, and a bridge in software is slower on the way that wakes a sleeping processor: tens of microseconds.
const BIAS_NS: i64 = 100_000;

/// Our follower locks to our leader, which runs 80 ppm fast and then 80 ppm slow, and reads the same time.
pub fn ours(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let mut remarks = Vec::new();
    for ppm in [80.0, -80.0] {
        let (a, b) = (studio.host("leader")?, studio.host("follower")?);
        let mut leader = Clock::leader(&a, products, 0, 100, ppm)?;
        leader.wait_for(LineState::Leader, SOON)?;
        let mut follower = Clock::follower(&b, products, 0)?;
        let line = follower.wait_for(LineState::Locked, LOCK)?;
        let (ours, theirs) = (follower.page()?, leader.page()?);
        let source = line.source;
        let values = differences(
            VALUES,
            || ours.line(source).context("the follower's line vanished"),
            |raw| Ok(theirs.line(source).context("the leader's line vanished")?.at(raw).as_nanos()),
        )?;
        let line = follower.wait_for(LineState::Locked, LOCK)?;
        let frequency = line.frequency().0 as f64 / 65_536.0;
        // Twenty seconds after the first Sync the slope still leans on its first seconds: a few parts per million.
        ensure!((frequency - ppm).abs() < 5.0, "a follower of {ppm:+} ppm runs at {frequency:+.3} ppm");
        remarks.push(format!("{ppm:+} ppm: reads {frequency:+.2} ppm, {}", judge(&values)?));
    }
    Ok(remarks.join("; "))
}

/// Our follower locks to ptp4l and reads the time that ptp4l gives out, the machine's own.
pub fn follows_ptp4l(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let (a, b) = (studio.host("a")?, studio.host("b")?);
    let _leader = ptp4l::start(&a, 0, Role::Leader { priority: 100 })?;
    let mut follower = Clock::follower(&b, products, 0)?;
    let line = follower.wait_for(LineState::Locked, LOCK)?;
    let page = follower.page()?;
    let values = differences(
        VALUES,
        || page.line(line.source).context("the follower's line vanished"),
        |raw| Ok(raw + realtime_raw_pair().offset()),
    )?;
    // ptp4l without hardware gives out UTC under an arbitrary timescale, or TAI when it was told the difference.
    let whole_seconds = (values[VALUES / 2] as f64 / 1e9).round() as i64 * 1_000_000_000;
    let values: Vec<i64> = values.iter().map(|value| value - whole_seconds).collect();
    Ok(format!("{} ({} s apart)", judge(&values)?, whole_seconds / 1_000_000_000))
}

/// ptp4l followers choose our leader and measure their offset from it, one with delay exchanges of its own.
pub fn leads_ptp4l(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let (a, b, c) = (studio.host("a")?, studio.host("b")?, studio.host("c")?);
    let mut leader = Clock::leader(&a, products, 0, 100, 0.0)?;
    let line = leader.wait_for(LineState::Leader, SOON)?;
    let (all, one) = (ptp4l::start(&b, 0, Role::Follower)?, ptp4l::start(&c, 0, Role::HybridFollower)?);
    for mut follower in [all, one] {
        follower.says("selected best master clock 00005e.fffe.005301", SOON)?;
        // Its offsets are 0 until a delay request of its own is answered.
        wait::until("an offset", LOCK, || {
            Ok(ptp4l::offsets(&follower.log()).into_iter().find(|&ns| ns != 0.0))
        })?;
    }
    Ok(format!("{:?}", line.leader))
}

fn judge(values: &[i64]) -> anyhow::Result<String> {
    let bias = median(values.iter().copied());
    let spread = median(values.iter().map(|value| (value - bias).abs()));
    let worst = values.iter().map(|value| (value - bias).abs()).max().unwrap_or(0);
    let found = format!(
        "{bias} ns beside it by the wire's asymmetry, half within {spread} ns of that, worst {worst} ns"
    );
    ensure!(spread < SPREAD_NS && bias.abs() < BIAS_NS, "the times differ: {found}");
    Ok(found)
}

/// The middle value, the upper one of two.
fn median(values: impl Iterator<Item = i64>) -> i64 {
    let mut sorted: Vec<i64> = values.collect();
    sorted.sort_unstable();
    sorted[sorted.len() / 2]
}
