use core::net::SocketAddrV4;

use wireloom_units::{Channels, Nanos, Samples, Ssrc};

use super::{
    granted_lease,
    message::{MESSAGE_BYTES, Message, MessageError, Op, Reason},
    seconds,
};

/// What is wanted of a sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubscriptionConfig {
    /// Address of `c=` and port of `m=`.
    pub sender: SocketAddrV4,
    /// Number of the stream, `sid` of the announcement; 0 is the stream of the port.
    pub stream: u32,
    /// UDP port that the audio shall come to; 0 is the one that the messages leave from.
    pub port: u16,
    /// [`crate::FLAG_ANY_PACKET_TIME`], [`crate::FLAG_SEND_SILENCE`].
    pub flags: u16,
    /// Lease to ask for, in seconds; 0 is the default.
    pub lease_s: u16,
    /// Random: answers to anything else are not ours.
    pub transaction: u32,
}

/// How a subscription is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubscriptionState {
    /// Asked, not answered yet.
    Asking,
    /// The audio is on its way.
    Active,
    /// The sender said no; asked again every 10 s.
    Refused(Reason),
    /// The sender did not answer; asked again every 10 s.
    Unreachable,
    /// On its way out: what remains is to say so.
    Ending,
    /// Over.
    Ended,
}

/// What happened to a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubscriptionEvent {
    /// The sender sends. Told once for each flow, not for renewals.
    Granted {
        /// Source of the packets.
        ssrc: Ssrc,
        /// Frames in a packet.
        samples_per_packet: Samples,
        /// Channels; absent when the sender says a number that makes no sense.
        channels: Option<Channels>,
        /// RTP payload type.
        payload_type: u8,
    },
    /// The sender said no.
    Refused(Reason),
    /// The sender does not answer.
    Unreachable,
}

/// The receiving end of one stream: asks, renews, asks again, ends. Owns no socket and no clock.
///
/// However a sender answers, at most a handful of datagrams leave for each series of attempts.
#[derive(Debug)]
pub struct Subscription {
    config: SubscriptionConfig,
    state: SubscriptionState,
    cookie: u64,
    /// Attempts of this series that have left.
    attempts: usize,
    /// Answers of the sender that may still make us speak at once in this series.
    prompt: u8,
    /// When the next attempt is due, or the retry, or the renewal.
    due: Option<Nanos>,
    /// The lease ends.
    expires: Nanos,
    granted_at: Nanos,
    outgoing: Option<Message>,
    event: Option<SubscriptionEvent>,
    told: bool,
}

impl Subscription {
    /// Asks at once.
    pub fn new(now: Nanos, config: SubscriptionConfig) -> Self {
        let mut subscription = Self {
            config,
            state: SubscriptionState::Asking,
            cookie: 0,
            attempts: 0,
            prompt: PROMPT,
            due: None,
            expires: now,
            granted_at: now,
            outgoing: None,
            event: None,
            told: false,
        };
        subscription.start(now, SubscriptionState::Asking);
        subscription
    }

    /// Takes a datagram that came to the socket the messages leave from. What is not an answer to the last question
    /// changes nothing.
    pub fn handle_datagram(
        &mut self,
        now: Nanos,
        from: SocketAddrV4,
        bytes: &[u8],
    ) -> Result<(), MessageError> {
        let message = Message::parse(bytes)?;
        let awaited = from == self.config.sender
            && message.transaction == self.config.transaction
            // Who is asked for the stream of its port may say which one that is.
            && (message.stream == self.config.stream || self.config.stream == 0)
            && !self.is_over()
            && self.attempts > 0;
        if !awaited {
            return Ok(());
        }
        match message.op {
            Op::Challenge if message.cookie != 0 && message.cookie != self.cookie => {
                self.cookie = message.cookie;
                self.speak_promptly();
            }
            Op::Ack if message.cookie == self.cookie && self.cookie != 0 => self.grant(now, &message),
            Op::Nak => match Reason::from_wire(message.reason) {
                Reason::BadCookie if self.cookie != 0 => {
                    // Another question from here on: copies of this answer that are on their way mean nothing to it.
                    self.config.transaction = self.config.transaction.wrapping_add(1);
                    self.cookie = 0;
                    self.speak_promptly();
                }
                reason => {
                    self.rest(now, SubscriptionState::Refused(reason), SubscriptionEvent::Refused(reason))
                }
            },
            _ => {}
        }
        Ok(())
    }

    /// The audio stopped: the sender may have restarted and knows nothing of us. Asks again from the beginning, at most
    /// once a second.
    pub fn handle_stalled(&mut self, now: Nanos) {
        if self.state == SubscriptionState::Active
            && self.attempts == 0
            && now.since(self.granted_at) >= STALLED
        {
            self.start(now, SubscriptionState::Asking);
        }
    }

    /// Ends the flow: says so three times, unless there is nothing to end.
    pub fn handle_end(&mut self, now: Nanos) {
        if self.is_over() {
            return;
        }
        (self.attempts, self.due, self.outgoing) = (0, None, None);
        if self.cookie == 0 {
            self.state = SubscriptionState::Ended;
            return;
        }
        self.config.transaction = self.config.transaction.wrapping_add(1);
        self.state = SubscriptionState::Ending;
        self.due = Some(now);
        self.handle_timeout(now);
    }

    /// Does what is due; call when [`Subscription::poll_timeout`] has passed.
    pub fn handle_timeout(&mut self, now: Nanos) {
        if self.due.is_none_or(|due| due > now) {
            return;
        }
        match self.state {
            SubscriptionState::Ended => self.due = None,
            SubscriptionState::Ending => {
                self.outgoing = Some(self.farewell());
                self.attempts += 1;
                self.due = (self.attempts < FAREWELLS).then(|| now.plus(FAREWELL_PAUSE));
                if self.due.is_none() {
                    self.state = SubscriptionState::Ended;
                }
            }
            _ if self.attempts > 0 => self.attempt(now),
            SubscriptionState::Active if now < self.expires => self.begin(now),
            SubscriptionState::Active => self.start(now, SubscriptionState::Asking),
            state => self.start(now, state),
        }
    }

    /// When [`Subscription::handle_timeout`] is due.
    pub const fn poll_timeout(&self) -> Option<Nanos> {
        self.due
    }

    /// The next datagram for the sender.
    pub fn poll_transmit(&mut self) -> Option<(SocketAddrV4, [u8; MESSAGE_BYTES])> {
        self.outgoing.take().map(|message| (self.config.sender, message.emit()))
    }

    /// What happened last.
    pub const fn poll_event(&mut self) -> Option<SubscriptionEvent> {
        self.event.take()
    }

    /// How it is.
    pub const fn state(&self) -> SubscriptionState {
        self.state
    }

    /// What was asked for.
    pub const fn config(&self) -> &SubscriptionConfig {
        &self.config
    }

    const fn is_over(&self) -> bool {
        matches!(self.state, SubscriptionState::Ending | SubscriptionState::Ended)
    }

    /// From the very beginning: nothing that the sender said before counts.
    fn start(&mut self, now: Nanos, state: SubscriptionState) {
        (self.cookie, self.state, self.told) = (0, state, false);
        self.begin(now);
    }

    /// A series of attempts, for a first time or to renew.
    fn begin(&mut self, now: Nanos) {
        self.config.transaction = self.config.transaction.wrapping_add(1);
        (self.attempts, self.prompt) = (0, PROMPT);
        self.attempt(now);
    }

    fn attempt(&mut self, now: Nanos) {
        match PAUSES.get(self.attempts) {
            Some(pause) => {
                self.attempts += 1;
                self.outgoing = Some(self.question());
                self.due = Some(now.plus(*pause));
            }
            // A lease that cannot be renewed may still run; the flow goes on until it ends.
            None if self.state == SubscriptionState::Active => {
                self.attempts = 0;
                self.due = Some(self.expires.max(now));
            }
            None => self.rest(now, SubscriptionState::Unreachable, SubscriptionEvent::Unreachable),
        }
    }

    /// Answers the sender at once, so many times in a series that nobody can make us talk for ever.
    fn speak_promptly(&mut self) {
        if self.prompt > 0 {
            self.prompt -= 1;
            self.outgoing = Some(self.question());
        }
    }

    fn grant(&mut self, now: Nanos, message: &Message) {
        let lease = seconds(granted_lease(message.lease_s));
        (self.state, self.attempts) = (SubscriptionState::Active, 0);
        (self.granted_at, self.expires) = (now, now.plus(lease));
        self.due = Some(now.plus(Nanos(lease.0 / 3)));
        self.outgoing = None;
        if !core::mem::replace(&mut self.told, true) {
            self.event = Some(SubscriptionEvent::Granted {
                ssrc: message.ssrc,
                samples_per_packet: Samples(u32::from(message.samples_per_packet)),
                channels: Channels::new(u16::from(message.channels)),
                payload_type: message.payload_type & 0x7f,
            });
        }
    }

    fn rest(&mut self, now: Nanos, state: SubscriptionState, event: SubscriptionEvent) {
        if self.state != state {
            self.event = Some(event);
        }
        (self.state, self.attempts, self.cookie, self.outgoing) = (state, 0, 0, None);
        self.due = Some(now.plus(RETRY));
    }

    const fn question(&self) -> Message {
        let SubscriptionConfig { stream, port, flags, lease_s, transaction, .. } = self.config;
        let lease_s = if lease_s == 0 { super::DEFAULT_LEASE_S } else { lease_s };
        Message {
            flags,
            stream,
            transaction,
            cookie: self.cookie,
            lease_s,
            port,
            ..Message::new(Op::Subscribe)
        }
    }

    const fn farewell(&self) -> Message {
        let SubscriptionConfig { stream, port, transaction, .. } = self.config;
        Message { stream, transaction, cookie: self.cookie, port, ..Message::new(Op::Unsubscribe) }
    }
}

/// What is waited for an answer, attempt by attempt.
const PAUSES: [Nanos; 5] = [
    Nanos::from_millis(250),
    Nanos::from_millis(500),
    Nanos::from_millis(1000),
    Nanos::from_millis(2000),
    Nanos::from_millis(2000),
];
const RETRY: Nanos = Nanos::from_secs(10);
const STALLED: Nanos = Nanos::from_secs(1);
const FAREWELLS: usize = 3;
const FAREWELL_PAUSE: Nanos = Nanos::from_millis(20);
/// Challenge and refused cookie, and once more for one that was on its way.
const PROMPT: u8 = 3;
