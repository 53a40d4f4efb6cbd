//! Whether so many streams are received without a loss for a minute.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use wireloom_lab::BareTimer;
use wireloom_wanted::Stats;

use crate::cpu;
use crate::daemon::Daemon;
use crate::datagrams::Datagrams;
use crate::load::{Bench, Load, Side};
use crate::streams::StreamPlan;

/// What came out.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sustained {
    /// What was run.
    pub load: Load,
    /// For how long.
    pub seconds: f64,
    /// CPU milliseconds of the daemon in a second.
    pub cpu_ms: f64,
    /// Datagrams that the daemon took.
    pub taken: u64,
    /// Datagrams that the kernel dropped because the daemon did not take them.
    pub dropped: u64,
    /// What our module counted, all streams together; `None` for PipeWire's own, which counts nothing.
    pub counted: Option<Counted>,
    /// Lines of its log that tell of too much or too little data.
    pub complaints: usize,
    /// How late a bare timer loop beside it woke at worst: what the machine itself did to it.
    pub worst_timer_ms: f64,
}

/// Sums of our counters over all streams.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[allow(missing_docs)] // documented by `wireloom_wanted::Stats`
pub struct Counted {
    pub packets: u64,
    pub lost: u64,
    pub late: u64,
    pub gaps: u64,
    pub gap_frames: u64,
}

impl Bench<'_> {
    /// Runs `load` for so long and reads the counters before and after.
    pub fn sustain(&self, load: &Load, length: Duration) -> Result<Sustained> {
        let page = self.computer.directory().join("clock");
        let _sender = self.start_sender(load.streams, &page)?;
        let mut contents = self.contents(load, &page);
        contents.log_level = 3;
        let mut daemon = Daemon::start(self.computer, self.platform, self.products, &contents)?;
        self.connect(load, &mut daemon).with_context(|| format!("{load:?}"))?;
        let ours = load.side != Side::Theirs;
        if ours {
            daemon.run("pw-metadata", &["-n", "wireloom", "0", "watch", "1"])?;
        }
        std::thread::sleep(Duration::from_secs(4));
        let counted = |daemon: &Daemon<'_>| {
            if ours { counters(daemon, load.streams).map(Some) } else { Ok(None) }
        };
        let (before, said) = (counted(&daemon)?, complaints(&daemon.log()));
        let datagrams = Datagrams::of(daemon.pid())?;
        let (timer, start) = (BareTimer::start()?, Instant::now());
        let cpu_ms = cpu::milliseconds_a_second(daemon.pid(), length)?;
        let (seconds, worst) = (start.elapsed().as_secs_f64(), timer.worst());
        let now = Datagrams::of(daemon.pid())?;
        daemon.is_alive()?;
        // Published once a second: what happened until now is told in the next one.
        std::thread::sleep(Duration::from_millis(1100));
        let after = counted(&daemon)?;
        Ok(Sustained {
            load: *load,
            seconds,
            cpu_ms,
            taken: now.taken - datagrams.taken,
            dropped: now.dropped - datagrams.dropped,
            counted: before.zip(after).map(|(before, after)| after.since(&before)),
            complaints: complaints(&daemon.log()) - said,
            worst_timer_ms: worst.as_secs_f64() * 1e3,
        })
    }
}

impl Counted {
    fn since(&self, before: &Self) -> Self {
        Self {
            packets: self.packets - before.packets,
            lost: self.lost - before.lost,
            late: self.late - before.late,
            gaps: self.gaps - before.gaps,
            gap_frames: self.gap_frames - before.gap_frames,
        }
    }
}

fn complaints(log: &str) -> usize {
    log.lines().filter(|line| line.contains("underrun") || line.contains("overrun")).count()
}

/// Reads what our module publishes about all streams. Errors: it publishes nothing about one of them.
fn counters(daemon: &Daemon<'_>, streams: usize) -> Result<Counted> {
    let text = daemon.run("pw-metadata", &["-n", "wireloom"])?;
    let mut sum = Counted::default();
    for number in 0..streams {
        let key = format!("key:'stats.{}' value:'", StreamPlan::new(number).name());
        let value = text.lines().find_map(|line| line.split_once(&key)?.1.split_once('\''));
        let (json, _) = value.with_context(|| format!("no statistics of stream {number}"))?;
        let stats: Stats = serde_json::from_str(json)?;
        sum.packets += stats.packets;
        sum.lost += stats.lost;
        sum.late += stats.late;
        sum.gaps += stats.gaps;
        sum.gap_frames += stats.gap_frames;
    }
    Ok(sum)
}
