use alloc::{borrow::ToOwned, collections::BTreeMap, string::String};

use wireloom_units::Nanos;

use crate::Backoff;

/// When to connect again to a server that describes sessions, and when to believe that it has left.
///
/// A server that describes nothing is tried less and less often. One that closes every connection after its answer is
/// asked for what is left at once, and for everything again after a minute; one whose connection was cut after a while
/// is tried again after a second, because it may have been restarted. One that described something, and then nothing
/// for 60 s of attempts, has left.
#[derive(Debug, Default)]
pub struct Reconnect {
    backoff: Backoff,
    described: BTreeMap<String, Nanos>,
    failing: Option<Nanos>,
}

impl Reconnect {
    /// The server described a session.
    pub fn handle_described(&mut self, now: Nanos, name: &str) {
        self.described.insert(name.to_owned(), now);
        self.failing = None;
        self.backoff.succeeded();
    }

    /// Only what `is_wanted` names is asked for from now on.
    pub fn handle_wanted(&mut self, is_wanted: impl Fn(&str) -> bool) {
        self.described.retain(|name, _| is_wanted(name));
    }

    /// A connection that began, or was tried, at `begun` ended: gives the time to wait before the next one, for which
    /// the sessions `wanted` are left.
    pub fn handle_end<'a>(
        &mut self,
        now: Nanos,
        begun: Nanos,
        wanted: impl Iterator<Item = &'a str>,
    ) -> Nanos {
        if !self.described.values().any(|at| *at >= begun) {
            self.failing.get_or_insert(now);
            return self.backoff.failed();
        }
        if now.since(begun) > HABIT {
            return CUT;
        }
        let left = wanted.map(|name| match self.described.get(name) {
            Some(at) => Nanos(at.plus(REFRESH).0.saturating_sub(now.0)),
            None => PAUSE,
        });
        left.min().unwrap_or(REFRESH).max(PAUSE)
    }

    /// Whether the server has left: says so once, until it describes something again.
    pub fn poll_gone(&mut self, now: Nanos) -> bool {
        let gone =
            self.failing.is_some_and(|since| now.since(since) >= GIVE_UP) && !self.described.is_empty();
        if gone {
            self.described.clear();
        }
        gone
    }

    /// When a session was described last.
    pub fn described(&self, name: &str) -> Option<Nanos> {
        self.described.get(name).copied()
    }
}

const PAUSE: Nanos = Nanos::from_millis(100);
const CUT: Nanos = Nanos::from_secs(1);
const HABIT: Nanos = Nanos::from_secs(5); // who closes by habit does so with the answer
const REFRESH: Nanos = Nanos::from_secs(60);
const GIVE_UP: Nanos = Nanos::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Nanos {
        Nanos::from_secs(seconds)
    }

    #[test]
    fn a_server_that_falls_silent_has_left_after_a_minute_and_is_still_tried() {
        let mut reconnect = Reconnect::default();
        reconnect.handle_described(at(0), "A");
        // Cut after ten minutes: tried at once, then less and less often.
        let mut now = at(600);
        assert_eq!(reconnect.handle_end(now, at(0), ["A"].into_iter()), CUT);
        let (mut waits, mut gone_at) = (0, None);
        for _ in 0..20 {
            now = now.plus(reconnect.handle_end(now, now, ["A"].into_iter()));
            waits += 1;
            if reconnect.poll_gone(now) {
                assert_eq!(gone_at.replace((now, waits)), None, "is said once");
            }
        }
        assert_eq!(gone_at, Some((at(600 + 1 + 2 + 4 + 8 + 16 + 32), 6)));
        // It is back, and leaves again.
        reconnect.handle_described(now, "A");
        assert!(!reconnect.poll_gone(now));
        assert_eq!(reconnect.handle_end(now.plus(at(1)), now.plus(at(1)), ["A"].into_iter()), at(1));
        assert!(reconnect.poll_gone(now.plus(at(62))));
    }

    #[test]
    fn a_server_that_never_described_anything_never_left() {
        let mut reconnect = Reconnect::default();
        let mut now = at(0);
        for _ in 0..100 {
            now = now.plus(reconnect.handle_end(now, now, ["A"].into_iter()));
            assert!(!reconnect.poll_gone(now));
        }
    }

    #[test]
    fn what_closes_after_every_answer_is_asked_for_the_rest_at_once() {
        let mut reconnect = Reconnect::default();
        let wanted = || ["A", "B"].into_iter();
        reconnect.handle_described(at(10), "A");
        assert_eq!(reconnect.handle_end(at(10), at(10), wanted()), PAUSE);
        reconnect.handle_described(at(11), "B");
        // Both are known: until the older one is a minute old.
        assert_eq!(reconnect.handle_end(at(11), at(11), wanted()), at(59));
        assert!(!reconnect.poll_gone(at(500)), "closing by habit is no failure");
        reconnect.handle_wanted(|name| name == "B");
        assert_eq!((reconnect.described("A"), reconnect.described("B")), (None, Some(at(11))));
    }
}
