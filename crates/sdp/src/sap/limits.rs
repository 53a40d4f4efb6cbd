use alloc::collections::BTreeMap;
use core::net::IpAddr;

use wireloom_units::Nanos;

/// Lets `burst` packets pass at once and one more every `interval`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    /// When the bucket will be full again.
    full_at: Nanos,
}

impl Bucket {
    pub(crate) const FULL: Self = Self { full_at: Nanos::ZERO };

    /// Takes one out; false when there is none.
    pub(crate) fn take(&mut self, now: Nanos, limit: Limit) -> bool {
        let after = Nanos(self.full_at.0.max(now.0)).plus(limit.interval);
        let passes = after.since(now).0 <= limit.interval.0.saturating_mul(limit.burst);
        if passes {
            self.full_at = after;
        }
        passes
    }

    /// Whether one could be taken.
    pub(crate) fn has_one(self, now: Nanos, limit: Limit) -> bool {
        let mut copy = self;
        copy.take(now, limit)
    }
}

/// How fast a [`Bucket`] fills and how much it holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    interval: Nanos,
    burst: u64,
}

/// Packets of one source: 50 a second, 300 at once.
pub(crate) const PACKETS: Limit = Limit { interval: Nanos::from_millis(20), burst: 300 };
/// New entries of all sources: 256 a second.
pub(crate) const NEW_ENTRIES: Limit = Limit { interval: Nanos(1_000_000_000 / 256), burst: 256 };

/// One bucket for each source; sources that find no room share one.
#[derive(Debug)]
pub(crate) struct Sources {
    buckets: BTreeMap<IpAddr, Bucket>,
    shared: Bucket,
    swept: Nanos,
}

impl Sources {
    pub(crate) const fn new() -> Self {
        Self { buckets: BTreeMap::new(), shared: Bucket::FULL, swept: Nanos::ZERO }
    }

    /// Whether a packet from `source` may pass. A source that announced something always has its own bucket.
    pub(crate) fn take(&mut self, now: Nanos, source: IpAddr, is_known: bool) -> bool {
        if let Some(bucket) = self.buckets.get_mut(&source) {
            return bucket.take(now, PACKETS);
        }
        if self.buckets.len() >= MAX_SOURCES && now.since(self.swept) >= SWEEP {
            self.swept = now;
            self.buckets.retain(|_, bucket| bucket.full_at > now);
        }
        if self.buckets.len() < MAX_SOURCES || is_known && self.buckets.len() < 2 * MAX_SOURCES {
            return self.buckets.entry(source).or_insert(Bucket::FULL).take(now, PACKETS);
        }
        self.shared.take(now, PACKETS)
    }
}

const MAX_SOURCES: usize = 1024; // as many as there may be entries
const SWEEP: Nanos = Nanos::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_sends_a_burst_and_then_fifty_a_second() {
        let mut sources = Sources::new();
        let source = IpAddr::from([192, 0, 2, 1]);
        let mut passed = |now| (0..1000).filter(|_| sources.take(now, source, false)).count();
        assert_eq!(passed(Nanos::ZERO), 300);
        assert_eq!(passed(Nanos::from_secs(1)), 50);
        assert_eq!(passed(Nanos::from_secs(100)), 300);
    }

    #[test]
    fn many_sources_share_what_is_left() {
        let mut sources = Sources::new();
        let passed =
            (0..100_000_u32).filter(|&n| sources.take(Nanos(1), n.to_be_bytes().into(), false)).count();
        assert_eq!(passed, MAX_SOURCES + 300);
        assert!(sources.take(Nanos(1), [250, 0, 0, 1].into(), true), "a known source is heard");
        assert!(sources.buckets.len() <= 2 * MAX_SOURCES);
    }
}
