//! The two clocks of the agent. Nothing else reads a clock.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use wireloom_units::Nanos;

/// A moment: monotonic for what must happen, wall clock for what people read.
#[derive(Debug, Clone, Copy, Default)]
pub struct Now {
    pub mono: Nanos,
    pub wall_us: u64,
}

/// Where monotonic time begins for this process.
#[derive(Debug, Clone, Copy)]
pub struct Clock(Instant);

impl Clock {
    pub fn start() -> Self {
        Self(Instant::now())
    }

    pub fn now(self) -> Now {
        let mono = Nanos(u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX));
        Now { mono, wall_us: wall_us() }
    }

    /// The instant of `mono`, for tokio's timers.
    pub fn instant(self, mono: Nanos) -> tokio::time::Instant {
        let far = std::time::Duration::from_secs(24 * 3600);
        (self.0 + std::time::Duration::from_nanos(mono.0).min(self.0.elapsed() + far)).into()
    }
}

/// CLOCK_REALTIME in microseconds.
pub fn wall_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
