//! Messages that belong together: Sync with its Follow_Up, Delay_Req with its departure and its answer.

use wireloom_units::TaiTime;

use crate::engine::Token;
use crate::v2::Correction;

/// Halves of Syncs and delay requests that wait for the rest.
const PENDING: usize = 4;
/// How long they wait.
const PATIENCE: i64 = 1_000_000_000;

/// When a Sync came, and what corrects it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) received: i64,
    pub(crate) correction: Correction,
}

/// When a Sync left, as its Follow_Up says, and what corrects it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Departure {
    pub(crate) origin: TaiTime,
    pub(crate) correction: Correction,
}

#[derive(Debug, Clone, Copy)]
enum Half {
    Sync(Arrival),
    FollowUp(Departure),
}

/// Two-step Syncs and Follow_Ups, in either order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pairs {
    pending: [Option<(u16, i64, Half)>; PENDING],
    /// Halves whose other half never came.
    pub(crate) unmatched: u64,
}

impl Pairs {
    pub(crate) const fn new() -> Self {
        Self { pending: [None; PENDING], unmatched: 0 }
    }

    /// Takes a two-step Sync; completes a Follow_Up that came before.
    pub(crate) fn handle_sync(
        &mut self,
        now: i64,
        sequence: u16,
        arrival: Arrival,
    ) -> Option<(Arrival, Departure)> {
        match self.take(now, sequence, |half| matches!(half, Half::FollowUp(_))) {
            Some(Half::FollowUp(departure)) => Some((arrival, departure)),
            _ => {
                self.keep(now, sequence, Half::Sync(arrival));
                None
            }
        }
    }

    /// Takes a Follow_Up; completes a Sync that came before.
    pub(crate) fn handle_follow_up(
        &mut self,
        now: i64,
        sequence: u16,
        departure: Departure,
    ) -> Option<(Arrival, Departure)> {
        match self.take(now, sequence, |half| matches!(half, Half::Sync(_))) {
            Some(Half::Sync(arrival)) => Some((arrival, departure)),
            _ => {
                self.keep(now, sequence, Half::FollowUp(departure));
                None
            }
        }
    }

    fn take(&mut self, now: i64, sequence: u16, fits: impl Fn(&Half) -> bool) -> Option<Half> {
        let place = self.pending.iter_mut().find(|place| {
            place.is_some_and(|(other, since, half)| {
                other == sequence && now.saturating_sub(since) <= PATIENCE && fits(&half)
            })
        })?;
        place.take().map(|(_, _, half)| half)
    }

    fn keep(&mut self, now: i64, sequence: u16, half: Half) {
        let same = |place: &Option<(u16, i64, Half)>| {
            place.is_some_and(|(other, since, kept)| {
                other == sequence
                    && now.saturating_sub(since) <= PATIENCE
                    && core::mem::discriminant(&kept) == core::mem::discriminant(&half)
            })
        };
        if self.pending.iter().any(same) {
            return; // a duplicate; the first one was delayed less
        }
        // An empty place, else the oldest.
        if let Some(place) = self.pending.iter_mut().min_by_key(|place| place.map(|(_, since, _)| since)) {
            self.unmatched += u64::from(place.is_some());
            *place = Some((sequence, now, half));
        }
    }
}

/// A delay request that waits for its transmit timestamp, its answer, or both.
#[derive(Debug, Clone, Copy)]
struct Request {
    sequence: u16,
    token: Token,
    asked: i64,
    sent: Option<i64>,
    answer: Option<Departure>,
}

/// Our delay requests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Requests {
    pending: [Option<Request>; PENDING],
    /// Requests whose transmit timestamp never came.
    pub(crate) timestamp_missing: u64,
}

impl Requests {
    pub(crate) const fn new() -> Self {
        Self { pending: [None; PENDING], timestamp_missing: 0 }
    }

    /// Remembers a request; the oldest one gives way.
    pub(crate) fn ask(&mut self, now: i64, sequence: u16, token: Token) {
        if let Some(place) = self.pending.iter_mut().min_by_key(|place| place.map(|request| request.asked)) {
            let missing = place.is_some_and(|request| request.sent.is_none());
            self.timestamp_missing += u64::from(missing);
            *place = Some(Request { sequence, token, asked: now, sent: None, answer: None });
        }
    }

    /// Whether the request `token` is ours, and the whole exchange if its answer came before this timestamp.
    pub(crate) fn handle_sent(&mut self, token: Token, sent: i64) -> Option<Option<(i64, Departure)>> {
        let place =
            self.pending.iter_mut().find(|place| place.is_some_and(|request| request.token == token))?;
        let request = place.as_mut()?;
        request.sent = Some(sent);
        let whole = request.answer.map(|answer| (sent, answer));
        if whole.is_some() {
            *place = None;
        }
        Some(whole)
    }

    /// Whether the answer was asked for, and the whole exchange if its timestamp came before.
    pub(crate) fn handle_answer(
        &mut self,
        now: i64,
        sequence: u16,
        answer: Departure,
    ) -> Option<Option<(i64, Departure)>> {
        let place = self.pending.iter_mut().find(|place| {
            place.is_some_and(|request| {
                request.sequence == sequence
                    && request.answer.is_none()
                    && now.saturating_sub(request.asked) <= PATIENCE
            })
        })?;
        let request = place.as_mut()?;
        request.answer = Some(answer);
        let whole = request.sent.map(|sent| (sent, answer));
        if whole.is_some() {
            *place = None;
        }
        Some(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    fn arrival(received: i64) -> Arrival {
        Arrival { received, correction: Correction::ZERO }
    }

    fn departure(origin: i64) -> Departure {
        Departure { origin: TaiTime::from_nanos(origin), correction: Correction::ZERO }
    }

    #[test]
    fn halves_match_in_either_order_and_only_once() {
        let mut pairs = Pairs::new();
        assert_eq!(pairs.handle_sync(0, 7, arrival(1)), None);
        assert_eq!(pairs.handle_sync(MS, 7, arrival(2)), None, "a duplicate");
        assert_eq!(pairs.handle_follow_up(2 * MS, 7, departure(3)), Some((arrival(1), departure(3))));
        assert_eq!(pairs.handle_follow_up(3 * MS, 7, departure(3)), None);
        assert_eq!(pairs.handle_follow_up(3 * MS, 8, departure(4)), None);
        assert_eq!(pairs.handle_sync(4 * MS, 8, arrival(5)), Some((arrival(5), departure(4))));
    }

    #[test]
    fn a_follow_up_of_the_previous_sync_may_come_after_the_next_sync() {
        let mut pairs = Pairs::new();
        for sequence in 0..4 {
            assert_eq!(pairs.handle_sync(MS, sequence, arrival(sequence.into())), None);
        }
        for sequence in (0..4).rev() {
            let whole = (arrival(sequence.into()), departure(9));
            assert_eq!(pairs.handle_follow_up(MS, sequence, departure(9)), Some(whole));
        }
    }

    #[test]
    fn halves_wait_a_second_and_four_at_most() {
        let mut pairs = Pairs::new();
        assert_eq!(pairs.handle_sync(0, 1, arrival(1)), None);
        assert_eq!(pairs.handle_follow_up(PATIENCE + 1, 1, departure(1)), None);
        for sequence in 10..20 {
            assert_eq!(pairs.handle_sync(2 * PATIENCE, sequence, arrival(1)), None);
        }
        assert_eq!(pairs.unmatched, 8);
        assert_eq!(pairs.handle_follow_up(2 * PATIENCE, 15, departure(1)), None);
    }

    #[test]
    fn an_answer_may_come_before_the_transmit_timestamp() {
        let mut requests = Requests::new();
        requests.ask(0, 3, Token(30));
        assert_eq!(requests.handle_answer(MS, 3, departure(5)), Some(None));
        assert_eq!(requests.handle_answer(MS, 3, departure(6)), None, "a duplicate");
        assert_eq!(requests.handle_sent(Token(30), 4), Some(Some((4, departure(5)))));
        assert_eq!(requests.handle_sent(Token(30), 4), None);
        requests.ask(0, 4, Token(31));
        assert_eq!(requests.handle_sent(Token(31), 4), Some(None));
        assert_eq!(requests.handle_answer(2 * PATIENCE, 4, departure(5)), None, "too late");
        (5..12).for_each(|sequence| requests.ask(0, sequence, Token(sequence.into())));
        assert_eq!(requests.timestamp_missing, 3);
    }
}
