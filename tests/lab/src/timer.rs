use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A bare loop that wants to wake up every millisecond: how badly the machine itself disturbs a run.
#[derive(Debug)]
pub struct BareTimer {
    stop: Arc<AtomicBool>,
    worst_ns: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl BareTimer {
    /// Starts the loop.
    pub fn start() -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let worst_ns = Arc::new(AtomicU64::new(0));
        let shared = (Arc::clone(&stop), Arc::clone(&worst_ns));
        let thread = std::thread::Builder::new().name("bare-timer".into()).spawn(move || {
            let (stop, worst_ns) = shared;
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
        Ok(Self { stop, worst_ns, thread: Some(thread) })
    }

    /// The worst lateness so far.
    pub fn worst(&self) -> Duration {
        Duration::from_nanos(self.worst_ns.load(Ordering::Relaxed))
    }
}

impl Drop for BareTimer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
