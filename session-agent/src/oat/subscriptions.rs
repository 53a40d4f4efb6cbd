//! The streams that are asked for: one subscription each, for as long as somebody listens.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};

use wireloom_oat::{
    FLAG_ANY_PACKET_TIME, FLAG_SEND_SILENCE, Subscription, SubscriptionConfig, SubscriptionEvent,
    SubscriptionState,
};
use wireloom_units::Nanos;

/// Why a stream does not come whose sender is silent.
pub const NO_ANSWER: &str = "Its sender does not answer when it is asked for the stream.";

/// What is asked of a sender for one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Address of this computer that the audio shall come to.
    pub local: Ipv4Addr,
    /// Port of it.
    pub port: u16,
    /// The sender.
    pub sender: SocketAddrV4,
    /// Number of the stream there; 0 is the stream of the port.
    pub stream: u32,
}

/// A datagram to be sent from an address of this computer, always from the same port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outgoing {
    pub local: Ipv4Addr,
    pub to: SocketAddrV4,
    pub bytes: [u8; wireloom_oat::MESSAGE_BYTES],
}

/// All subscriptions of this computer, by the id of their stream.
#[derive(Debug, Default)]
pub struct Subscriptions {
    of: BTreeMap<String, One>,
    /// Those that say goodbye.
    leaving: Vec<One>,
    changed: bool,
}

#[derive(Debug)]
struct One {
    local: Ipv4Addr,
    subscription: Subscription,
    trouble: Option<String>,
}

impl Subscriptions {
    /// Asks for the stream `id`, or goes on asking. The number of a stream alone is no reason to begin anew while the
    /// sender is content: an agent that just started knows it only once the stream was announced.
    pub fn want(&mut self, now: Nanos, id: &str, wanted: Wanted, transaction: impl FnOnce() -> u32) {
        if let Some(one) = self.of.get(id) {
            let config = one.subscription.config();
            let same = (one.local, config.sender, config.port) == (wanted.local, wanted.sender, wanted.port);
            let state = one.subscription.state();
            let content = matches!(state, SubscriptionState::Active | SubscriptionState::Asking);
            if same && (content || config.stream == wanted.stream) {
                return;
            }
            self.end(now, id);
        }
        // What remains to be said of the same flow before would end this one.
        self.leaving.retain(|one| {
            let config = one.subscription.config();
            (one.local, config.sender, config.port) != (wanted.local, wanted.sender, wanted.port)
        });
        let config = SubscriptionConfig {
            sender: wanted.sender,
            stream: wanted.stream,
            port: wanted.port,
            // A flow that stops has stopped, and is asked for again: it must not stop for want of sound.
            flags: FLAG_ANY_PACKET_TIME | FLAG_SEND_SILENCE,
            lease_s: 0,
            transaction: transaction(),
        };
        let subscription = Subscription::new(now, config);
        self.of.insert(id.to_owned(), One { local: wanted.local, subscription, trouble: None });
        self.changed = true;
    }

    /// Ends every subscription whose stream is not `wanted` any more.
    pub fn retain(&mut self, now: Nanos, wanted: impl Fn(&str) -> bool) {
        let over: Vec<_> = self.of.keys().filter(|id| !wanted(id)).cloned().collect();
        over.iter().for_each(|id| self.end(now, id));
    }

    /// Forgets everything without a word: the leases go on until somebody renews them or they end.
    pub fn drop_all(&mut self) {
        self.of.clear();
        self.leaving.clear();
    }

    /// A datagram came to the socket of `local`. What is no answer to a question of ours changes nothing.
    pub fn handle_datagram(&mut self, now: Nanos, local: Ipv4Addr, from: SocketAddrV4, bytes: &[u8]) {
        for one in self.of.values_mut() {
            if one.local == local && one.subscription.config().sender == from {
                let _ = one.subscription.handle_datagram(now, from, bytes); // strangers may send anything
                self.changed |= one.learn();
            }
        }
    }

    /// The audio of stream `id` stopped.
    pub fn handle_silence(&mut self, now: Nanos, id: &str) {
        if let Some(one) = self.of.get_mut(id) {
            one.subscription.handle_stalled(now);
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Nanos) {
        for one in self.of.values_mut().chain(&mut self.leaving) {
            one.subscription.handle_timeout(now);
            self.changed |= one.learn();
        }
    }

    /// When [`Subscriptions::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Nanos> {
        self.of.values().chain(&self.leaving).filter_map(|one| one.subscription.poll_timeout()).min()
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Outgoing> {
        let next = self.of.values_mut().chain(&mut self.leaving).find_map(|one| {
            let (to, bytes) = one.subscription.poll_transmit()?;
            Some(Outgoing { local: one.local, to, bytes })
        });
        if next.is_none() {
            self.leaving.retain(|one| one.subscription.state() != SubscriptionState::Ended);
        }
        next
    }

    /// Why stream `id` does not come, in words.
    pub fn trouble(&self, id: &str) -> Option<&str> {
        self.of.get(id)?.trouble.as_deref()
    }

    /// Whether something that people see has changed since this was asked last.
    pub fn poll_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    fn end(&mut self, now: Nanos, id: &str) {
        if let Some(mut one) = self.of.remove(id) {
            one.subscription.handle_end(now);
            self.leaving.push(one);
            self.changed = true;
        }
    }
}

impl One {
    fn learn(&mut self) -> bool {
        let Some(event) = self.subscription.poll_event() else { return false };
        self.trouble = match event {
            SubscriptionEvent::Granted { .. } => None,
            SubscriptionEvent::Refused(reason) => Some(format!("{}.", capital(&reason.to_string()))),
            SubscriptionEvent::Unreachable => Some(NO_ANSWER.to_owned()),
        };
        true
    }
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    first + characters.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wireloom_oat::{Message, Op, Reason};

    const WANTED: Wanted = Wanted {
        local: Ipv4Addr::new(192, 0, 2, 9),
        port: 50_064,
        sender: SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 50_000),
        stream: 1,
    };

    fn ms(millis: u64) -> Nanos {
        Nanos::from_millis(millis)
    }

    fn answer(question: &Outgoing, answer: Message) -> [u8; 48] {
        let asked = Message::parse(&question.bytes).expect("a question");
        Message { stream: asked.stream, transaction: asked.transaction, ..answer }.emit()
    }

    #[test]
    fn a_refusal_is_told_in_words_and_a_grant_takes_it_back() {
        let mut all = Subscriptions::default();
        all.want(ms(0), "s", WANTED, || 7);
        let question = all.poll_transmit().expect("asked");
        assert_eq!((question.local, question.to), (WANTED.local, WANTED.sender));
        let flags = Message::parse(&question.bytes).expect("a question").flags;
        assert_eq!(flags, FLAG_ANY_PACKET_TIME | FLAG_SEND_SILENCE);
        let nak = Message { reason: Reason::NoSlot.to_wire(), ..Message::new(Op::Nak) };
        all.handle_datagram(ms(1), WANTED.local, WANTED.sender, &answer(&question, nak));
        assert_eq!(all.trouble("s"), Some("The sender serves as many receivers as it can."));

        let due = all.poll_timeout().expect("asked again");
        all.handle_timeout(due);
        let question = all.poll_transmit().expect("asked");
        let challenge = Message { cookie: 5, ..Message::new(Op::Challenge) };
        all.handle_datagram(due, WANTED.local, WANTED.sender, &answer(&question, challenge));
        let question = all.poll_transmit().expect("with the cookie");
        let ack = Message { cookie: 5, lease_s: 30, ..Message::new(Op::Ack) };
        let elsewhere = Ipv4Addr::new(192, 0, 2, 10);
        all.handle_datagram(due, elsewhere, WANTED.sender, &answer(&question, ack));
        assert!(all.trouble("s").is_some(), "another address of ours asked nothing");
        all.handle_datagram(due, WANTED.local, WANTED.sender, &answer(&question, ack));
        assert_eq!(all.trouble("s"), None);
    }

    /// One stream, of which the sender knows by now that we are who asks.
    fn asked_with_a_cookie() -> Subscriptions {
        let mut all = Subscriptions::default();
        all.want(ms(0), "s", WANTED, || 7);
        let question = all.poll_transmit().expect("asked");
        let challenge = Message { cookie: 5, ..Message::new(Op::Challenge) };
        all.handle_datagram(ms(1), WANTED.local, WANTED.sender, &answer(&question, challenge));
        all.poll_transmit().expect("with the cookie");
        all
    }

    #[test]
    fn what_is_wanted_again_at_once_is_not_given_back_any_more() {
        let mut all = asked_with_a_cookie();
        let op = |outgoing: Outgoing| Message::parse(&outgoing.bytes).expect("ours").op;
        all.retain(ms(2), |_| false);
        assert_eq!(all.poll_transmit().map(op), Some(Op::Unsubscribe));
        all.want(ms(10), "s", WANTED, || 8);
        for at in [10, 22, 42, 300] {
            all.handle_timeout(ms(at));
            let said: Vec<_> = std::iter::from_fn(|| all.poll_transmit()).map(op).collect();
            assert!(said.iter().all(|op| *op == Op::Subscribe), "after {at} ms: {said:?}");
        }
    }

    #[test]
    fn a_sender_that_numbers_its_streams_anew_is_asked_by_the_new_number() {
        let mut all = Subscriptions::default();
        all.want(ms(0), "s", WANTED, || 7);
        let question = all.poll_transmit().expect("asked");
        all.want(ms(1), "s", Wanted { stream: 9, ..WANTED }, || 8);
        assert_eq!(all.poll_transmit(), None, "it may still be content");
        let nak = Message { reason: Reason::UnknownStream.to_wire(), ..Message::new(Op::Nak) };
        all.handle_datagram(ms(2), WANTED.local, WANTED.sender, &answer(&question, nak));
        all.want(ms(3), "s", WANTED, || 8);
        assert_eq!(all.poll_transmit(), None, "the same question is answered");
        all.want(ms(4), "s", Wanted { stream: 9, ..WANTED }, || 8);
        let question = Message::parse(&all.poll_transmit().expect("asked").bytes).expect("a question");
        assert_eq!((question.op, question.stream), (Op::Subscribe, 9));
    }

    #[test]
    fn what_is_not_wanted_is_given_back_and_what_moved_is_asked_anew() {
        let mut all = asked_with_a_cookie();
        all.want(ms(2), "s", Wanted { stream: 0, ..WANTED }, || 8);
        assert_eq!(all.poll_transmit(), None, "the same stream by its other name");

        all.want(ms(3), "s", Wanted { port: 50_070, ..WANTED }, || 9);
        let said: Vec<_> = std::iter::from_fn(|| all.poll_transmit())
            .map(|outgoing| Message::parse(&outgoing.bytes).expect("ours"))
            .map(|message| (message.op, message.port))
            .collect();
        assert_eq!(said, [(Op::Subscribe, 50_070), (Op::Unsubscribe, 50_064)]);

        all.retain(ms(4), |_| false);
        let mut farewells = 0;
        while let Some(due) = all.poll_timeout() {
            all.handle_timeout(due);
            farewells += std::iter::from_fn(|| all.poll_transmit()).count();
        }
        assert_eq!(farewells, 2, "two more of the flow; what was never granted has nothing to end");
        assert_eq!(all.poll_timeout(), None);
    }
}
