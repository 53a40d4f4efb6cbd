//! When a server that was not asked before is connected to.

use std::time::Duration;

use wireloom_units::Nanos;

/// Paces connections to new servers: who changes names and ports all the time makes us knock at strange doors no faster.
#[derive(Debug, Default)]
pub struct Starts {
    /// When the last one would start if none had gone at once.
    last: Nanos,
}

impl Starts {
    /// How long the next one waits. Call once for each.
    pub fn next(&mut self, now: Nanos) -> Duration {
        let unpaced = now.plus(AT_ONCE);
        self.last = self.last.max(now).plus(EVERY).min(unpaced.plus(LONGEST));
        Duration::from_nanos(self.last.0.saturating_sub(unpaced.0))
    }
}

const EVERY: Nanos = Nanos::from_millis(100);
/// A whole studio that is switched on.
const AT_ONCE: Nanos = Nanos::from_millis(100 * 128);
const LONGEST: Nanos = Nanos::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_studio_starts_at_once_and_a_flood_does_not() {
        let mut starts = Starts::default();
        let at = Nanos::from_secs(1000);
        for _ in 0..128 {
            assert_eq!(starts.next(at), Duration::ZERO);
        }
        assert_eq!(starts.next(at), Duration::from_millis(100));
        let waits: Vec<_> = (0..10_000).map(|_| starts.next(at)).collect();
        assert_eq!(waits.iter().max(), Some(&Duration::from_secs(10)), "and never longer");
        assert_eq!(starts.next(at.plus(Nanos::from_secs(30))), Duration::ZERO, "it is over");
    }
}
