use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::thread::{CpuSet, gettid, sched_getaffinity, sched_setaffinity};

use crate::pipewire::REAL_TIME_PRIORITY;

/// What a machine may oversleep without a cycle of PipeWire or a packet of a device being lost.
pub const STALL: Duration = Duration::from_millis(3);

/// A bare loop on each processor that wants to wake up every millisecond: how badly the machine itself disturbs a run.
///
/// They are scheduled as PipeWire's data loop is, first in first out before all ordinary programs, where this user may
/// have that. So what merely keeps a processor busy is no excuse for a gap; a machine that stands still is, also one of
/// whose processors only one does.
#[derive(Debug)]
pub struct BareTimer {
    stop: Arc<AtomicBool>,
    worst_ns: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
    real_time: bool,
}

impl BareTimer {
    /// Starts the loops.
    pub fn start() -> anyhow::Result<Self> {
        let mut this =
            Self { stop: Arc::default(), worst_ns: Arc::default(), threads: Vec::new(), real_time: true };
        let allowed = sched_getaffinity(None).context("asking which processors are ours")?;
        for processor in (0..CpuSet::MAX_CPU).filter(|processor| allowed.is_set(*processor)) {
            this.start_on(processor)?;
        }
        Ok(this)
    }

    fn start_on(&mut self, processor: usize) -> anyhow::Result<()> {
        let (stop, worst_ns) = (Arc::clone(&self.stop), Arc::clone(&self.worst_ns));
        let (tell, told) = mpsc::channel();
        let (go, wait) = mpsc::channel();
        let thread = std::thread::Builder::new().name("bare-timer".into()).spawn(move || {
            let mut only = CpuSet::new();
            only.set(processor);
            let pinned = sched_setaffinity(None, &only);
            if tell.send(pinned.map(|()| gettid())).is_err() || wait.recv().is_err() {
                return;
            }
            let mut due = Instant::now();
            while !stop.load(Ordering::Relaxed) {
                due += Duration::from_millis(1);
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                let late = due.elapsed();
                worst_ns.fetch_max(u64::try_from(late.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
                if late > Duration::from_millis(1) {
                    due = Instant::now(); // One stall counts once.
                }
            }
        })?;
        self.threads.push(thread);
        let id = told.recv().context("the timer's thread has ended")?;
        let id = id.with_context(|| format!("staying on processor {processor}"))?;
        let (id, priority) = (id.as_raw_nonzero().to_string(), REAL_TIME_PRIORITY.to_string());
        let output = Command::new("chrt").args(["--fifo", "--pid", &priority, &id]).output();
        self.real_time &= output.context("running chrt")?.status.success();
        go.send(()).context("the timer's thread has ended")
    }

    /// Whether they are scheduled as PipeWire's data loop is; an ordinary user may have neither.
    pub fn is_real_time(&self) -> bool {
        self.real_time
    }

    /// The worst lateness of any so far.
    pub fn worst(&self) -> Duration {
        Duration::from_nanos(self.worst_ns.load(Ordering::Relaxed))
    }
}

impl Drop for BareTimer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_and_ends() -> anyhow::Result<()> {
        let timer = BareTimer::start()?;
        crate::wait::until("a wake-up", crate::wait::SOON, || {
            Ok((timer.worst() > Duration::ZERO).then_some(()))
        })?;
        drop(timer);
        Ok(())
    }
}
