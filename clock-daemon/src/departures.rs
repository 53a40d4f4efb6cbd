//! Sent event messages that wait for their transmit time stamp.

use std::collections::VecDeque;

use wireloom_ptp::Token;

use crate::control_message::Stamps;

/// A time stamp that has not come by then will not come (`ptp` section 12).
const PATIENCE_NS: i64 = 100_000_000;
/// After this many stamps missing in a row, and none ever seen, the interface has none.
const MISSES_TO_GIVE_UP: u32 = 3;
/// Messages that may wait; at 128 a second fewer do within the patience.
pub const MAX_PENDING: usize = 64;

/// When an event message left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Departure {
    /// By a time stamp.
    Stamped(Token, Stamps),
    /// In CLOCK_MONOTONIC_RAW, in the middle of the system call that sent it, for want of a stamp. That is earlier
    /// than the truth, never later, so to the estimator it looks like a delayed packet.
    Assumed(Token, i64),
}

/// The messages of one socket, in the order of the numbers that the kernel gives them (SOF_TIMESTAMPING_OPT_ID).
#[derive(Debug, Default)]
pub struct Departures {
    pending: VecDeque<Pending>,
    next_id: u32,
    misses: u32,
    stamps_seen: bool,
    /// Stamps that never came.
    pub missing: u64,
}

#[derive(Debug)]
struct Pending {
    id: u32,
    token: Token,
    midpoint: i64,
}

impl Departures {
    /// Takes note of a sent message. Tells its departure at once where stamps never come.
    pub fn handle_sent(&mut self, token: Token, midpoint: i64) -> Option<Departure> {
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        if self.has_no_stamps() {
            return Some(Departure::Assumed(token, midpoint));
        }
        if self.pending.len() >= MAX_PENDING {
            self.pending.pop_front();
            self.missing += 1;
        }
        self.pending.push_back(Pending { id, token, midpoint });
        None
    }

    /// Takes a stamp for message number `id`; `None` when nobody waits for it.
    pub fn handle_stamp(&mut self, id: u32, stamps: Stamps) -> Option<Departure> {
        let position = self.pending.iter().position(|sent| sent.id == id)?;
        let sent = self.pending.remove(position)?;
        (self.misses, self.stamps_seen) = (0, true);
        Some(Departure::Stamped(sent.token, stamps))
    }

    /// Forgets everything: the kernel begins to count anew.
    pub fn restart(&mut self) {
        self.missing += self.pending.len() as u64;
        self.pending.clear();
        self.next_id = 0;
    }

    /// Gives up, at `now`, on the oldest message whose stamp is late. Call until `None`.
    pub fn give_up(&mut self, now: i64) -> Option<Departure> {
        if self.next_deadline()? > now {
            return None;
        }
        let late = self.pending.pop_front()?;
        self.missing += 1;
        self.misses = self.misses.saturating_add(1);
        Some(Departure::Assumed(late.token, late.midpoint))
    }

    /// When [`Departures::give_up`] is due next, in CLOCK_MONOTONIC_RAW.
    pub fn next_deadline(&self) -> Option<i64> {
        self.pending.front().map(|sent| sent.midpoint.saturating_add(PATIENCE_NS))
    }

    /// Whether so many stamps stayed away, and none ever came, that none is waited for any more.
    pub const fn has_no_stamps(&self) -> bool {
        self.misses >= MISSES_TO_GIVE_UP && !self.stamps_seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMPS: Stamps = Stamps { software: Some(5), hardware: None };

    #[test]
    fn stamps_find_their_message_by_number_in_any_order() {
        let mut departures = Departures::default();
        for n in 0..4 {
            assert_eq!(departures.handle_sent(Token(100 + n), i64::from(n)), None);
        }
        assert_eq!(departures.handle_stamp(2, STAMPS), Some(Departure::Stamped(Token(102), STAMPS)));
        assert_eq!(departures.handle_stamp(0, STAMPS), Some(Departure::Stamped(Token(100), STAMPS)));
        assert_eq!(departures.handle_stamp(2, STAMPS), None, "twice");
        assert_eq!(departures.handle_stamp(77, STAMPS), None, "nobody's");
        assert_eq!(departures.next_deadline(), Some(1 + PATIENCE_NS));
    }

    #[test]
    fn a_late_stamp_is_given_up_and_its_message_assumed() {
        let mut departures = Departures::default();
        departures.handle_sent(Token(1), 1_000);
        assert_eq!(departures.give_up(PATIENCE_NS + 999), None);
        assert_eq!(departures.give_up(PATIENCE_NS + 1_000), Some(Departure::Assumed(Token(1), 1_000)));
        assert_eq!(departures.give_up(i64::MAX), None);
        assert_eq!(departures.handle_stamp(0, STAMPS), None, "too late");
        assert_eq!(departures.missing, 1);
    }

    #[test]
    fn an_interface_without_stamps_is_not_waited_for() {
        let mut departures = Departures::default();
        for n in 0..MISSES_TO_GIVE_UP {
            assert_eq!(departures.handle_sent(Token(n), 0), None);
            assert!(departures.give_up(i64::MAX).is_some());
        }
        assert!(departures.has_no_stamps());
        assert_eq!(departures.handle_sent(Token(9), 7), Some(Departure::Assumed(Token(9), 7)));
        // One that has stamps is waited for, however often it misses some.
        let mut departures = Departures::default();
        departures.handle_sent(Token(0), 0);
        departures.handle_stamp(0, STAMPS);
        for n in 1..100 {
            assert_eq!(departures.handle_sent(Token(n), 0), None);
            departures.give_up(i64::MAX);
        }
    }

    #[test]
    fn waiting_messages_are_bounded_and_a_restart_counts_from_zero() {
        let mut departures = Departures::default();
        for n in 0..1_000 {
            departures.handle_sent(Token(n), 0);
        }
        assert_eq!(departures.pending.len(), MAX_PENDING);
        departures.restart();
        assert_eq!(departures.missing, 1_000);
        departures.handle_sent(Token(7), 0);
        assert_eq!(departures.handle_stamp(0, STAMPS), Some(Departure::Stamped(Token(7), STAMPS)));
    }
}
