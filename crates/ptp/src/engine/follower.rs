//! The one port that follows: Syncs and delay exchanges become samples of the estimator.

use super::{Engine, Intent, Timescale, Token};
use crate::estimator::Refusal;
use crate::exchange::{Arrival, Departure, Pairs, Requests};
use crate::foreign::{Cadence, interval_of};
use crate::line::ClockState;
use crate::status::{Event, Leader, PortState};
use crate::v2::{Correction, Flags, Header, PortIdentity, Timestamp};

/// Requests without answer after which the leader is said not to answer.
const UNANSWERED: u8 = 10;
/// How long a new leader is asked often, from its first Sync on.
const EAGER: i64 = 4_000_000_000;
/// The mean interval of eager requests, and the shortest that is ever used, as log2 of seconds.
const LOG_EAGER: i8 = -3;
/// Between two requests, in nanoseconds.
const SHORTEST_WAIT: i64 = 1_000_000;
/// The longest interval that a leader may ask for.
const LOG_SLOWEST: i8 = 5;

/// What is going on with the leader.
#[derive(Debug, Clone)]
pub(super) struct Follower {
    pub(super) leader: Leader,
    pairs: Pairs,
    requests: Requests,
    cadence: Option<Cadence>,
    eager_until: i64,
    /// `None` until the first Sync: before it there is nothing to measure.
    next_request: Option<i64>,
    log_delay_req: i8,
    unanswered: u8,
}

impl Follower {
    pub(super) const fn new(leader: Leader) -> Self {
        Self {
            leader,
            pairs: Pairs::new(),
            requests: Requests::new(),
            cadence: None,
            eager_until: 0,
            next_request: None,
            log_delay_req: 0,
            unanswered: 0,
        }
    }

    pub(super) const fn next_request(&self) -> Option<i64> {
        self.next_request
    }

    pub(super) const fn no_delay_responses(&self) -> bool {
        self.unanswered >= UNANSWERED
    }
}

impl<const PORTS: usize> Engine<PORTS> {
    /// The follower, if `port` hears its leader in `source`.
    fn follower_of(&mut self, port: u16, source: PortIdentity) -> Option<&mut Follower> {
        let fits =
            |follower: &&mut Follower| follower.leader.port == port && follower.leader.parent == source;
        let follower = self.follower.as_mut().filter(fits);
        if follower.is_none() {
            self.counters.not_parent += 1;
        }
        follower
    }

    pub(super) fn heard_sync(
        &mut self,
        now: i64,
        port: u16,
        header: &Header,
        origin: Timestamp,
        received: i64,
    ) {
        let (usual, until) = (self.config.log_sync, now.saturating_add(EAGER));
        let Some(follower) = self.follower_of(port, header.source) else { return };
        let cadence = match &mut follower.cadence {
            Some(cadence) => {
                cadence.heard(now, header.log_interval, usual);
                *cadence
            }
            None => {
                (follower.eager_until, follower.next_request) = (until, Some(now));
                *follower.cadence.insert(Cadence::new(now, header.log_interval, usual))
            }
        };
        self.estimator.expect_sync_interval(cadence.pace());
        if header.correction.is_absurd() {
            self.counters.correction_range += 1;
            return;
        }
        let arrival = Arrival { received, correction: header.correction };
        let whole = if header.flags.has(Flags::TWO_STEP) {
            self.matched(port, header, |pairs| pairs.handle_sync(now, header.sequence, arrival))
        } else {
            match origin.to_tai() {
                Some(origin) => Some((arrival, Departure { origin, correction: Correction::ZERO })),
                None => {
                    self.counters.malformed += 1;
                    None
                }
            }
        };
        self.use_sync(port, whole);
    }

    pub(super) fn heard_follow_up(&mut self, now: i64, port: u16, header: &Header, origin: Timestamp) {
        if self.follower_of(port, header.source).is_none() {
            return;
        }
        let Some(departure) = self.departure(header, origin) else { return };
        let whole =
            self.matched(port, header, |pairs| pairs.handle_follow_up(now, header.sequence, departure));
        self.use_sync(port, whole);
    }

    pub(super) fn heard_delay_resp(
        &mut self,
        now: i64,
        port: u16,
        header: &Header,
        receipt: Timestamp,
        requester: PortIdentity,
    ) {
        if requester != self.port_identity(port) {
            self.counters.other_requester += 1;
            return;
        }
        let Some(answer) = self.departure(header, receipt) else { return };
        let Some(follower) = self.follower_of(port, header.source) else { return };
        let Some(whole) = follower.requests.handle_answer(now, header.sequence, answer) else {
            self.counters.unrequested += 1;
            return;
        };
        if (-7..=LOG_SLOWEST).contains(&header.log_interval) {
            follower.log_delay_req = header.log_interval;
        }
        if core::mem::take(&mut follower.unanswered) >= UNANSWERED {
            self.tell(Event::DelayResponses { answered: true });
        }
        self.use_delay(port, whole);
    }

    /// Takes the transmit timestamp of a delay request; says whether it was one.
    pub(super) fn request_sent(&mut self, port: u16, token: Token, sent: i64) -> bool {
        let follower = self.follower.as_mut().filter(|follower| follower.leader.port == port);
        let Some(whole) = follower.and_then(|follower| follower.requests.handle_sent(token, sent)) else {
            return false;
        };
        self.use_delay(port, whole);
        true
    }

    /// Asks for the path delay when it is time (`ptp` section 6).
    pub(super) fn ask_for_delay(&mut self, now: i64) {
        let Some(follower) = &mut self.follower else { return };
        if follower.next_request.is_none_or(|due| due > now) {
            return;
        }
        let log = if now < follower.eager_until { LOG_EAGER } else { follower.log_delay_req.max(LOG_EAGER) };
        // Uniform from nothing to twice the mean (IEEE 1588-2008 §9.5.11.2).
        let wait = self.random.up_to(2 * interval_of(log)).max(SHORTEST_WAIT);
        follower.next_request = Some(now.saturating_add(wait));
        let (port, sequence) = (follower.leader.port, self.request_sequence);
        let token = Token(self.next_token);
        follower.requests.ask(now, sequence, token);
        self.counters.transmit_timestamp_missing += core::mem::take(&mut follower.requests.timestamp_missing);
        follower.unanswered = follower.unanswered.saturating_add(1);
        let silent = follower.unanswered == UNANSWERED;
        self.request_sequence = sequence.wrapping_add(1);
        self.next_token = self.next_token.wrapping_add(1);
        self.counters.delay_requests_sent += 1;
        self.send(Intent::DelayReq { port, sequence, token });
        if silent {
            self.tell(Event::DelayResponses { answered: false });
        }
    }

    /// UNCALIBRATED until the estimator tracks the leader.
    pub(super) fn calibrate(&mut self) {
        let Some(leader) = self.follower.as_ref().map(|follower| follower.leader) else { return };
        let port = leader.port;
        let acquired = matches!(self.estimator.state(), ClockState::Tracking | ClockState::Locked);
        if acquired {
            self.heritage = Some(Timescale::of(&leader));
        }
        let state = self.port_state(port);
        match (state, acquired) {
            (PortState::Uncalibrated, true) => self.set_state(port, PortState::Slave),
            (PortState::Slave, false) if self.estimator.state() == ClockState::Acquiring => {
                self.set_state(port, PortState::Uncalibrated);
            }
            _ => {}
        }
    }

    fn matched(
        &mut self,
        port: u16,
        header: &Header,
        pair: impl FnOnce(&mut Pairs) -> Option<(Arrival, Departure)>,
    ) -> Option<(Arrival, Departure)> {
        let pairs = &mut self.follower_of(port, header.source)?.pairs;
        let whole = pair(pairs);
        let unmatched = core::mem::take(&mut pairs.unmatched);
        self.counters.unmatched += unmatched;
        whole
    }

    fn departure(&mut self, header: &Header, time: Timestamp) -> Option<Departure> {
        if header.correction.is_absurd() {
            self.counters.correction_range += 1;
            return None;
        }
        let origin = time.to_tai();
        if origin.is_none() {
            self.counters.malformed += 1;
        }
        Some(Departure { origin: origin?, correction: header.correction })
    }

    fn use_sync(&mut self, port: u16, whole: Option<(Arrival, Departure)>) {
        let Some((arrival, departure)) = whole else { return };
        let constants = self.constants(port);
        let correction = arrival.correction.nanos()
            + departure.correction.nanos()
            + f64::from(constants.delay_asymmetry_ns);
        let received = arrival.received.saturating_sub(constants.ingress_latency_ns.into());
        match self.estimator.handle_sync(departure.origin, correction, received) {
            Ok(()) => self.counters.syncs += 1,
            Err(refusal) => self.count(refusal),
        }
    }

    fn use_delay(&mut self, port: u16, whole: Option<(i64, Departure)>) {
        let Some((sent, answer)) = whole else { return };
        let constants = self.constants(port);
        let sent = sent.saturating_add(constants.egress_latency_ns.into());
        let correction = f64::from(constants.delay_asymmetry_ns) - answer.correction.nanos();
        match self.estimator.handle_delay(sent, answer.origin, correction) {
            Ok(()) => self.counters.delay_responses += 1,
            Err(refusal) => self.count(refusal),
        }
    }

    const fn count(&mut self, refusal: Refusal) {
        match refusal {
            Refusal::ReceiptNotRising => self.counters.receipt_not_rising += 1,
            Refusal::OriginNotRising => self.counters.origin_not_rising += 1,
            Refusal::Outlier => self.counters.outliers += 1,
            Refusal::TooEarly => self.counters.too_early += 1,
        }
    }
}
