//! When the membership of a leg that brings nothing is renewed (pure: time is an argument).

use std::time::{Duration, Instant};

/// Without a packet for so long a membership is renewed: switches forget (`aes67` 3.7).
const FIRST_AFTER: Duration = Duration::from_secs(3);
/// Each renewal is waited for twice as long as the one before, and so long at most: a device that is off is no reason
/// for leaving and joining all the time, but a switch may forget again, and a cable be plugged in.
const LONGEST_WAIT: Duration = Duration::from_secs(12);
/// A source-specific membership that brought nothing for so long is made an ordinary one (IGMPv2 networks).
const ANY_SOURCE_AFTER: Duration = Duration::from_secs(2);

/// How a group is to be left and joined again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Renewal {
    /// For the source, or any, that it was joined for.
    AsBefore,
    /// For any source from now on.
    AnySource,
}

/// How long nothing has come over one leg, and what was done about it.
#[derive(Debug)]
pub(crate) struct Silence {
    packets: u64,
    heard: bool,
    /// The last packet, or the last renewal after it.
    since: Instant,
    wait: Duration,
}

impl Silence {
    /// The group was joined at `now`, when the stream had `packets` packets.
    pub(crate) fn new(now: Instant, packets: u64) -> Self {
        Self { packets, heard: false, since: now, wait: FIRST_AFTER }
    }

    /// What is to be done at `now`, when the stream has `packets` packets and the membership names its source, or not.
    pub(crate) fn poll(&mut self, now: Instant, packets: u64, source_specific: bool) -> Option<Renewal> {
        if packets != self.packets {
            *self = Self { heard: true, ..Self::new(now, packets) };
            return None;
        }
        let quiet = now.duration_since(self.since);
        if source_specific && !self.heard && quiet >= ANY_SOURCE_AFTER {
            self.since = now;
            return Some(Renewal::AnySource);
        }
        if quiet < self.wait {
            return None;
        }
        self.since = now;
        self.wait = (2 * self.wait).min(LONGEST_WAIT);
        Some(Renewal::AsBefore)
    }

    /// The renewal was refused, for want of the network adapter perhaps: it is tried again soon.
    pub(crate) fn handle_refusal(&mut self) {
        self.wait = FIRST_AFTER;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As often as nodes are looked after.
    const TICK_MS: u64 = 200;

    /// What is done in the seconds of `time` after `start`, at which the stream has `packets` packets.
    fn renewals(
        silence: &mut Silence,
        start: Instant,
        time: std::ops::Range<u64>,
        packets: u64,
        source_specific: bool,
    ) -> Vec<(u64, Renewal)> {
        let ticks = (time.start * 1000..time.end * 1000).step_by(TICK_MS as usize);
        let mut still_specific = source_specific;
        let poll = |ms| {
            let renewal = silence.poll(start + Duration::from_millis(ms), packets, still_specific)?;
            still_specific &= renewal != Renewal::AnySource;
            assert_eq!(ms % 1000, 0, "every whole second is a tick");
            Some((ms / 1000, renewal))
        };
        ticks.filter_map(poll).collect()
    }

    fn as_before(seconds: &[u64]) -> Vec<(u64, Renewal)> {
        seconds.iter().map(|second| (*second, Renewal::AsBefore)).collect()
    }

    #[test]
    fn silence_renews_a_membership_ever_less_often_but_never_stops() {
        let start = Instant::now();
        let mut silence = Silence::new(start, 7);
        let done = renewals(&mut silence, start, 0..80, 7, false);
        assert_eq!(done, as_before(&[3, 9, 21, 33, 45, 57, 69]));
        // Packets again, once: everything begins anew.
        let done = renewals(&mut silence, start, 300..340, 8, true);
        assert_eq!(done, as_before(&[303, 309, 321, 333]), "also for one source, which has been heard");
    }

    #[test]
    fn a_source_that_was_never_heard_is_given_up_once_and_that_is_no_renewal() {
        let start = Instant::now();
        let mut silence = Silence::new(start, 0);
        let mut done = renewals(&mut silence, start, 0..60, 0, true);
        assert_eq!(done.remove(0), (2, Renewal::AnySource));
        assert_eq!(done, as_before(&[5, 11, 23, 35, 47, 59]));
    }

    #[test]
    fn what_is_refused_is_tried_again_soon() {
        let start = Instant::now();
        let mut silence = Silence::new(start, 0);
        assert_eq!(renewals(&mut silence, start, 0..34, 0, false), as_before(&[3, 9, 21, 33]));
        assert_eq!(renewals(&mut silence, start, 34..46, 0, false), as_before(&[45]));
        silence.handle_refusal();
        assert_eq!(renewals(&mut silence, start, 46..49, 0, false), as_before(&[48]));
        silence.handle_refusal();
        assert_eq!(renewals(&mut silence, start, 49..75, 0, false), as_before(&[51, 57, 69]));
    }
}
