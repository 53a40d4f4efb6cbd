use alloc::{collections::BTreeSet, vec::Vec};
use core::net::IpAddr;

use wireloom_units::Nanos;

use crate::{Origin, Refusal, Stream, Warning};

/// Names a stream (or an unreadable announcement) as long as the listener lives; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

/// The way a datagram came. An interface of 0 is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Via {
    /// Index of the interface that received it.
    pub interface: u32,
    /// The group that it was sent to.
    pub group: Option<IpAddr>,
}

/// One way by which an announcement is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hearing {
    /// The sender of the datagrams.
    pub source: IpAddr,
    /// The announcer that the datagrams name.
    pub origin: IpAddr,
    /// Message id hash of the last one.
    pub hash: u16,
    /// Interface and group.
    pub via: Via,
    /// When the last one came.
    pub last: Nanos,
    pub(crate) digest: u64,
}

/// How sure it is that an announced stream is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Heard within three periods.
    Announced,
    /// Not heard for three periods.
    Stale,
    /// Silent for so long that it would be forgotten if it were not in use.
    Unannounced,
    /// Deleted by its sender and still in use; forgotten 60 s after this instant.
    Withdrawn(Nanos),
}

/// One announced description, however often and by whatever ways it is heard.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) raw: Vec<u8>,
    pub(crate) origin: Origin,
    pub(crate) reading: Reading,
    pub(crate) warnings: Vec<Warning>,
    pub(crate) hearings: Vec<Hearing>,
    pub(crate) state: State,
    pub(crate) last: Nanos,
    pub(crate) repeated: bool,
    /// When the host that its origin names announced it last.
    owner_heard: Option<Nanos>,
    gaps: [Nanos; GAPS],
    /// How many of the gaps were measured, the newest ones; the others are a guess.
    measured: usize,
    frozen: Option<Nanos>,
}

/// What a session's description says.
#[derive(Debug)]
pub(crate) enum Reading {
    Streams(Vec<(StreamId, Stream)>),
    Unreadable(StreamId, Refusal),
}

/// What became of a session when time passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passed {
    Nothing,
    BecameStale,
    Silent,
    Ended,
    Withdrawn,
}

impl Session {
    pub(crate) fn new(now: Nanos, origin: Origin, reading: Reading) -> Self {
        Self {
            raw: Vec::new(),
            origin,
            reading,
            warnings: Vec::new(),
            hearings: Vec::new(),
            state: State::Announced,
            last: now,
            repeated: false,
            owner_heard: None,
            gaps: [FIRST_GUESS; GAPS],
            measured: 0,
            frozen: None,
        }
    }

    pub(crate) fn streams(&self) -> &[(StreamId, Stream)] {
        match &self.reading {
            Reading::Streams(streams) => streams,
            Reading::Unreadable(..) => &[],
        }
    }

    /// The ids of everything in it.
    pub(crate) fn ids(&self) -> Vec<StreamId> {
        match &self.reading {
            Reading::Streams(streams) => streams.iter().map(|&(id, _)| id).collect(),
            Reading::Unreadable(id, _) => [*id].into(),
        }
    }

    /// How many entries it counts as.
    pub(crate) fn weight(&self) -> usize {
        self.streams().len().max(1)
    }

    /// Notes one more datagram; gives the digest that is no longer heard by that way.
    /// True when the state went back to announced.
    pub(crate) fn hear(&mut self, hearing: Hearing) -> (Option<(IpAddr, u64)>, bool) {
        let now = hearing.last;
        let revived = self.state != State::Announced;
        self.state = State::Announced;
        self.last = now;
        if self.origin.ip() == Some(hearing.source) {
            self.owner_heard = Some(now);
        }
        let way = |known: &&mut Hearing| known.source == hearing.source && known.via == hearing.via;
        let replaced = if let Some(known) = self.hearings.iter_mut().find(way) {
            let gap = now.since(known.last);
            if known.digest == hearing.digest && gap >= SHORTEST_GAP {
                self.gaps.rotate_left(1);
                if let Some(newest) = self.gaps.last_mut() {
                    *newest = gap;
                }
                self.measured = (self.measured + 1).min(GAPS);
                self.repeated = true;
            }
            Some(core::mem::replace(known, hearing))
        } else {
            let oldest = self.hearings.iter().enumerate().min_by_key(|(_, known)| known.last);
            let dropped = oldest.map(|(at, _)| at).filter(|_| self.hearings.len() >= MAX_HEARINGS);
            let dropped = dropped.map(|at| self.hearings.swap_remove(at));
            self.hearings.push(hearing);
            dropped
        };
        let unheard = replaced.map(|old| (old.source, old.digest)).filter(|&old| !self.is_heard_as(old));
        (unheard, revived)
    }

    /// Forgets that `source` announces it; the digests that go with it.
    pub(crate) fn unhear(&mut self, source: IpAddr) -> Vec<u64> {
        let digests =
            self.hearings.iter().filter(|known| known.source == source).map(|known| known.digest).collect();
        self.hearings.retain(|known| known.source != source);
        digests
    }

    pub(crate) fn is_heard_from(&self, source: IpAddr) -> bool {
        self.hearings.iter().any(|known| known.source == source)
    }

    /// Whether the host that its origin names announced it itself, not so long ago that it would be forgotten. A
    /// deletion in its name does not change that: it may be forged, and what is forged next must not pass for the
    /// stream; nor does a flood that drowns a few of its announcements.
    pub(crate) fn hears_owner(&self, now: Nanos) -> bool {
        self.owner_heard.is_some_and(|heard| now.since(heard) <= self.patience())
    }

    fn is_heard_as(&self, (source, digest): (IpAddr, u64)) -> bool {
        self.hearings.iter().any(|known| (known.source, known.digest) == (source, digest))
    }

    /// The usual time between two announcements: the median of the last five gaps.
    pub(crate) fn period(&self) -> Nanos {
        let mut gaps = self.gaps;
        gaps.sort_unstable();
        let [_, _, median, _, _] = gaps;
        median
    }

    pub(crate) fn is_quiet(&self, now: Nanos) -> bool {
        self.frozen.is_none() && now.since(self.last) > self.period()
    }

    /// Silence after which it is forgotten: ten periods, and long enough to see the slow rhythm of RFC 2974 before
    /// the median of the gaps shows it.
    fn patience(&self) -> Nanos {
        let measured = self.gaps.iter().rev().take(self.measured);
        let slow = measured.max().map_or(FIRST_PATIENCE, |longest| Nanos(longest.0.saturating_mul(3)));
        let patience = self.period().0.saturating_mul(10).max(slow.0);
        Nanos(patience.clamp(LEAST_PATIENCE.0, MOST_PATIENCE.0))
    }

    /// When `pass` has something to do.
    pub(crate) fn deadline(&self) -> Option<Nanos> {
        if self.frozen.is_some() {
            return None;
        }
        let after = |span| Some(self.last.plus(span));
        match self.state {
            State::Announced => after(Nanos(self.period().0.saturating_mul(3).min(self.patience().0))),
            State::Stale => after(self.patience()),
            State::Unannounced => None,
            State::Withdrawn(since) => Some(since.plus(WITHDRAWN)),
        }
    }

    /// Whether somebody receives one of its streams.
    pub(crate) fn is_used(&self, in_use: &BTreeSet<StreamId>) -> bool {
        self.streams().iter().any(|(id, _)| in_use.contains(id))
    }

    /// Lets time pass; `ntp_now` is the wall clock in NTP seconds when it is known.
    pub(crate) fn pass(&mut self, now: Nanos, ntp_now: Option<u64>, in_use: bool) -> Passed {
        if self.deadline().is_none_or(|deadline| deadline > now) {
            return Passed::Nothing;
        }
        match self.state {
            State::Announced if self.has_ended(ntp_now) && !in_use => Passed::Ended,
            State::Announced => {
                self.state = State::Stale;
                Passed::BecameStale
            }
            State::Stale if !in_use => Passed::Silent,
            State::Stale => {
                self.state = State::Unannounced;
                Passed::Nothing
            }
            State::Unannounced => Passed::Nothing,
            State::Withdrawn(_) => Passed::Withdrawn,
        }
    }

    /// Whether its stop time passed more than one period ago.
    fn has_ended(&self, ntp_now: Option<u64>) -> bool {
        let period = self.period().0 / 1_000_000_000;
        let ended = |stop: u64| stop != 0 && ntp_now.is_some_and(|now| now > stop.saturating_add(period));
        !self.streams().is_empty() && self.streams().iter().all(|(_, stream)| ended(stream.stop_time))
    }

    /// Stops the clock while every interface it was heard on is down, and shifts its times afterwards.
    pub(crate) fn freeze(&mut self, now: Nanos, is_down: impl Fn(u32) -> bool) {
        let silent =
            !self.hearings.is_empty() && self.hearings.iter().all(|heard| is_down(heard.via.interface));
        match self.frozen {
            None if silent => self.frozen = Some(now),
            Some(since) if !silent => {
                self.frozen = None;
                let pause = now.since(since);
                self.last = self.last.plus(pause);
                for heard in &mut self.hearings {
                    heard.last = heard.last.plus(pause);
                }
            }
            _ => {}
        }
    }
}

/// Silence after which an announcement that was heard once is forgotten: longer than the 300 s, and a third more at
/// random, that the RFC lets pass between two (RFC 2974 §3.1).
pub const FIRST_PATIENCE: Nanos = Nanos::from_secs(450);

const GAPS: usize = 5;
const FIRST_GUESS: Nanos = Nanos::from_secs(30); // what most senders do
const SHORTEST_GAP: Nanos = Nanos::from_millis(100); // closer ones are copies of one announcement
const LEAST_PATIENCE: Nanos = Nanos::from_secs(60);
const MOST_PATIENCE: Nanos = Nanos::from_secs(3600); // RFC 2974 §4
const WITHDRAWN: Nanos = Nanos::from_secs(60);
const MAX_HEARINGS: usize = 8; // two networks, two groups, two proxies

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Session {
        Session::new(Nanos::ZERO, Origin::default(), Reading::Streams(Vec::new()))
    }

    fn heard(at: Nanos, interface: u32) -> Hearing {
        let source = IpAddr::from([192, 0, 2, 1]);
        Hearing { source, origin: source, hash: 1, via: Via { interface, group: None }, last: at, digest: 5 }
    }

    #[test]
    fn the_period_is_learned_and_bounds_the_silence() {
        let mut session = session();
        for n in 0..6 {
            session.hear(heard(Nanos::from_secs(5 * n), 1));
            session.hear(heard(Nanos::from_secs(5 * n), 2));
        }
        assert_eq!(session.period(), Nanos::from_secs(5));
        assert_eq!(session.deadline(), Some(Nanos::from_secs(25 + 15)));
        assert_eq!(session.pass(Nanos::from_secs(39), None, false), Passed::Nothing);
        assert_eq!(session.pass(Nanos::from_secs(40), None, false), Passed::BecameStale);
        assert_eq!(session.deadline(), Some(Nanos::from_secs(25 + 60)));
        assert_eq!(session.pass(Nanos::from_secs(85), None, false), Passed::Silent);
    }

    #[test]
    fn our_own_rhythm_is_not_taken_for_silence() {
        let mut session = session();
        for at in [0, 1, 3, 33] {
            session.hear(heard(Nanos::from_secs(at), 1));
        }
        assert_eq!(session.period(), Nanos::from_secs(30));
    }

    #[test]
    fn the_slow_rhythm_of_the_rfc_is_no_silence() {
        let mut session = session();
        let mut at = 0;
        // 300 s and up to a third more or less: announced, stale at times, never forgotten.
        for gap in [400, 200, 400, 380, 210, 390, 400] {
            session.hear(heard(Nanos::from_secs(at), 1));
            at += gap;
            for s in at - gap..at {
                let passed = session.pass(Nanos::from_secs(s), None, false);
                assert!(matches!(passed, Passed::Nothing | Passed::BecameStale), "{passed:?} at {s} s");
            }
        }
        assert_eq!(session.period(), Nanos::from_secs(380));
    }

    #[test]
    fn time_stands_still_while_the_interface_is_down() {
        let mut session = session();
        session.hear(heard(Nanos::from_secs(0), 1));
        session.freeze(Nanos::from_secs(10), |interface| interface == 1);
        assert_eq!(session.deadline(), None);
        session.freeze(Nanos::from_secs(1010), |_| false);
        assert_eq!(session.deadline(), Some(Nanos::from_secs(1000 + 90)));
        session.hear(heard(Nanos::from_secs(1011), 2));
        session.freeze(Nanos::from_secs(1012), |interface| interface == 1);
        assert!(session.deadline().is_some(), "still heard on the other interface");
    }

    #[test]
    fn what_is_in_use_stays() {
        let mut session = session();
        assert_eq!(session.pass(Nanos::from_secs(90), None, true), Passed::BecameStale);
        assert_eq!(session.pass(FIRST_PATIENCE, None, true), Passed::Nothing);
        assert_eq!((session.state, session.deadline()), (State::Unannounced, None));
    }
}
