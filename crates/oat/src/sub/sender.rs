use alloc::{collections::VecDeque, vec::Vec};
use core::fmt;
use core::net::SocketAddrV4;

use wireloom_units::{Channels, Nanos, Rate, Samples, Ssrc};

use super::{
    LONGEST_LEASE_S,
    cookie::Baker,
    granted_lease,
    message::{MESSAGE_BYTES, Message, MessageError, Op, Reason},
    seconds,
    throttle::Throttle,
};
use crate::limits::{PacketTooLarge, check_packet, wire_bits_per_second};

/// Limits of a sender. The least that a device must serve is the default.
#[derive(Debug, Clone, Copy)]
pub struct SenderConfig {
    /// Random, another one at every start.
    pub key: [u8; 16],
    /// Receivers of one stream.
    pub per_stream: usize,
    /// Receivers of all streams.
    pub in_all: usize,
    /// Bits a second that all copies together may take on the port.
    pub budget: u64,
}

impl SenderConfig {
    /// Four receivers a stream, eight in all, 70 of the 100 Mbit/s of a port.
    pub const fn new(key: [u8; 16]) -> Self {
        Self { key, per_stream: 4, in_all: 8, budget: 70_000_000 }
    }
}

/// Who may have a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Who asks.
    Everybody,
    /// Nobody by unicast: it is sent to a group.
    MulticastOnly,
    /// Nobody.
    Nobody,
}

/// A stream that can be subscribed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offered {
    /// Its number, not 0.
    pub stream: u32,
    /// Port of the socket that sends it and hears subscriptions.
    pub port: u16,
    /// Source of its packets.
    pub ssrc: Ssrc,
    /// Frames in a packet.
    pub samples_per_packet: Samples,
    /// Channels in a frame.
    pub channels: Channels,
    /// RTP payload type.
    pub payload_type: u8,
    /// Who may have it.
    pub admission: Admission,
}

/// Why a stream cannot be offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SenderFull {
    /// There are 64 already.
    Streams,
    /// Its packets would be too large.
    Packet(PacketTooLarge),
    /// Its number is 0.
    NoNumber,
}

impl core::error::Error for SenderFull {}

impl fmt::Display for SenderFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Streams => write!(f, "a sender offers at most {MAX_STREAMS} streams"),
            Self::Packet(error) => error.fmt(f),
            Self::NoNumber => f.write_str("a stream that is offered has a number above 0"),
        }
    }
}

/// One copy of a stream on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subscriber {
    /// Number of the stream.
    pub stream: u32,
    /// Where the packets go.
    pub to: SocketAddrV4,
    /// What it asked for: [`crate::FLAG_ANY_PACKET_TIME`], [`crate::FLAG_SEND_SILENCE`].
    pub flags: u16,
    expires: Nanos,
    cookie: u64,
}

/// Why a copy ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It was not renewed.
    Expired,
    /// The receiver said so.
    Unsubscribed,
    /// The receiver's host says that nobody listens there.
    Unreachable,
    /// The stream is no longer offered.
    Withdrawn,
}

/// What a sender has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SenderEvent {
    /// Send copies of the stream there.
    Started(Subscriber),
    /// Stop that.
    Stopped(Subscriber, Why),
}

/// The sending end: answers subscriptions and knows who has a lease. Owns no socket and no clock.
///
/// Nothing is kept of anybody who has not shown a cookie, and no answer is longer than its question, so that neither
/// memory nor network can be filled from an address that is not one's own.
#[derive(Debug)]
pub struct SubscriptionSender {
    baker: Baker,
    per_stream: usize,
    in_all: usize,
    budget: u64,
    offered: Vec<Offered>,
    subscribers: Vec<Subscriber>,
    throttle: Throttle,
    /// Flows that start.
    starts: Throttle,
    events: VecDeque<SenderEvent>,
}

impl SubscriptionSender {
    /// Offers nothing yet.
    pub fn new(config: &SenderConfig) -> Self {
        let in_all = config.in_all.min(MAX_SUBSCRIBERS);
        Self {
            baker: Baker::new(&config.key),
            per_stream: config.per_stream,
            in_all,
            budget: config.budget,
            offered: Vec::new(),
            subscribers: Vec::with_capacity(in_all),
            throttle: Throttle::new(),
            starts: Throttle::new(),
            events: VecDeque::new(),
        }
    }

    /// Offers a stream, or offers it otherwise than before. Its receivers stay unless it is no longer for everybody.
    pub fn offer(&mut self, offered: Offered) -> Result<(), SenderFull> {
        check_packet(offered.channels, offered.samples_per_packet).map_err(SenderFull::Packet)?;
        if offered.stream == 0 {
            return Err(SenderFull::NoNumber);
        }
        if offered.admission != Admission::Everybody {
            self.drop_where(Why::Withdrawn, |subscriber| subscriber.stream == offered.stream);
        }
        let count = self.offered.len();
        match self.offered.iter_mut().find(|known| known.stream == offered.stream) {
            Some(known) => *known = offered,
            None if count < MAX_STREAMS => self.offered.push(offered),
            None => return Err(SenderFull::Streams),
        }
        Ok(())
    }

    /// Offers `stream` no more.
    pub fn withdraw(&mut self, stream: u32) {
        self.offered.retain(|offered| offered.stream != stream);
        self.drop_where(Why::Withdrawn, |subscriber| subscriber.stream == stream);
    }

    /// Takes a datagram that came from `from` to the socket of port `port`; gives the one answer, if any, to send back
    /// from that socket. `now` is the uptime. What is no message of ours is an error and changes nothing.
    pub fn handle_datagram(
        &mut self,
        now: Nanos,
        port: u16,
        from: SocketAddrV4,
        bytes: &[u8],
    ) -> Result<Option<[u8; MESSAGE_BYTES]>, MessageError> {
        self.handle_timeout(now);
        if from.port() == 0
            || from.ip().is_unspecified()
            || from.ip().is_multicast()
            || from.ip().is_broadcast()
        {
            return Ok(None);
        }
        let message = match Message::parse(bytes) {
            Ok(message) => message,
            Err(MessageError::Version { transaction, stream, .. }) => {
                let asked = Message { transaction, stream, ..Message::new(Op::Subscribe) };
                return Ok(self.refuse(now, from, &asked, Reason::Version));
            }
            Err(error) => return Err(error),
        };
        let to = SocketAddrV4::new(*from.ip(), if message.port == 0 { from.port() } else { message.port });
        Ok(match message.op {
            Op::Subscribe => self.subscribe(now, port, from, to, &message),
            Op::Unsubscribe => {
                self.unsubscribe(now, port, from, to, &message);
                None
            }
            // Answers of a sender mean nothing here, and answering them would make two senders talk for ever.
            Op::Ack | Op::Nak | Op::Challenge => None,
        })
    }

    /// Goes on serving `to`, which a sender before this one served: until it renews by a cookie of this one, or for
    /// half of the longest lease, of which a third is between renewals. Does nothing for a stream that is not offered
    /// to everybody, or when there is no room.
    pub fn adopt(&mut self, now: Nanos, stream: u32, to: SocketAddrV4) {
        let offered = self.offered.iter().find(|offered| offered.stream == stream).copied();
        let Some(offered) = offered.filter(|offered| offered.admission == Admission::Everybody) else {
            return;
        };
        let known = self.subscribers(stream).any(|known| known.to == to);
        if known || self.room_for(&offered).is_err() {
            return;
        }
        let expires = now.plus(seconds(LONGEST_LEASE_S / 2));
        // No cookie is 0: who knows none ends nothing.
        let adopted = Subscriber { stream, to, flags: 0, expires, cookie: 0 };
        self.subscribers.push(adopted);
        self.tell(SenderEvent::Started(adopted));
    }

    /// The host of a receiver says that nobody listens at `to` (ICMP port unreachable).
    pub fn handle_unreachable(&mut self, to: SocketAddrV4) {
        self.drop_where(Why::Unreachable, |subscriber| subscriber.to == to);
    }

    /// Ends the leases that are over; call when [`SubscriptionSender::poll_timeout`] has passed.
    pub fn handle_timeout(&mut self, now: Nanos) {
        self.drop_where(Why::Expired, |subscriber| subscriber.expires <= now);
    }

    /// When the next lease ends.
    pub fn poll_timeout(&self) -> Option<Nanos> {
        self.subscribers.iter().map(|subscriber| subscriber.expires).min()
    }

    /// What is to be done, oldest first.
    pub fn poll_event(&mut self) -> Option<SenderEvent> {
        self.events.pop_front()
    }

    /// Everybody who gets a copy of `stream`.
    pub fn subscribers(&self, stream: u32) -> impl Iterator<Item = &Subscriber> {
        self.subscribers.iter().filter(move |subscriber| subscriber.stream == stream)
    }

    fn subscribe(
        &mut self,
        now: Nanos,
        port: u16,
        from: SocketAddrV4,
        to: SocketAddrV4,
        message: &Message,
    ) -> Option<[u8; MESSAGE_BYTES]> {
        if message.cookie == 0 {
            return self.challenge(now, from, message);
        }
        if !self.baker.knows(message.cookie, now, from, message.port, message.stream) {
            return self.refuse(now, from, message, Reason::BadCookie);
        }
        let offered = match self.find(port, message.stream) {
            Ok(offered) => offered,
            Err(reason) => return self.refuse(now, from, message, reason),
        };
        let lease_s = granted_lease(message.lease_s);
        let renewed = Subscriber {
            stream: offered.stream,
            to,
            flags: message.flags,
            expires: now.plus(seconds(lease_s)),
            cookie: message.cookie,
        };
        let is_same = |known: &&mut Subscriber| known.stream == offered.stream && known.to == to;
        match self.subscribers.iter_mut().find(is_same) {
            Some(known) => *known = renewed,
            None => {
                if let Err(reason) = self.room_for(&offered) {
                    return self.refuse(now, from, message, reason);
                }
                if !self.starts.admits(now, *from.ip()) {
                    return None; // who comes and goes all the time; others ask again in a moment
                }
                self.subscribers.push(renewed);
                self.tell(SenderEvent::Started(renewed));
            }
        }
        let ack = Message {
            op: Op::Ack,
            flags: 0,
            lease_s,
            ssrc: offered.ssrc,
            samples_per_packet: u16::try_from(offered.samples_per_packet.0).unwrap_or(u16::MAX),
            channels: u8::try_from(offered.channels.count()).unwrap_or(u8::MAX),
            payload_type: offered.payload_type,
            reason: 0,
            ..*message
        };
        Some(ack.emit())
    }

    /// Only who knows the cookie of the flow, or a fresh one, ends it.
    fn unsubscribe(
        &mut self,
        now: Nanos,
        port: u16,
        from: SocketAddrV4,
        to: SocketAddrV4,
        message: &Message,
    ) {
        let Ok(offered) = self.find(port, message.stream) else { return };
        let fresh = self.baker.knows(message.cookie, now, from, message.port, message.stream);
        self.drop_where(Why::Unsubscribed, |subscriber| {
            subscriber.stream == offered.stream
                && subscriber.to == to
                && (fresh || message.cookie != 0 && subscriber.cookie == message.cookie)
        });
    }

    fn find(&self, port: u16, stream: u32) -> Result<Offered, Reason> {
        let is_meant = |offered: &&Offered| match stream {
            0 => offered.port == port,
            number => offered.stream == number,
        };
        let offered = self.offered.iter().find(is_meant).ok_or(Reason::UnknownStream)?;
        match offered.admission {
            Admission::Everybody => Ok(*offered),
            Admission::MulticastOnly => Err(Reason::MulticastOnly),
            Admission::Nobody => Err(Reason::Policy),
        }
    }

    fn room_for(&self, offered: &Offered) -> Result<(), Reason> {
        if self.subscribers.len() >= self.in_all
            || self.subscribers(offered.stream).count() >= self.per_stream
        {
            return Err(Reason::NoSlot);
        }
        let bits = |offered: &Offered| {
            wire_bits_per_second(offered.channels, offered.samples_per_packet, Rate::HZ_48000)
        };
        let of_subscriber = |subscriber: &Subscriber| {
            self.offered.iter().find(|known| known.stream == subscriber.stream).map_or(0, bits)
        };
        let taken: u64 = self.subscribers.iter().map(of_subscriber).sum();
        if taken + bits(offered) > self.budget { Err(Reason::NoBandwidth) } else { Ok(()) }
    }

    fn challenge(
        &mut self,
        now: Nanos,
        from: SocketAddrV4,
        message: &Message,
    ) -> Option<[u8; MESSAGE_BYTES]> {
        if !self.throttle.admits(now, *from.ip()) {
            return None;
        }
        let cookie = self.baker.bake(now, from, message.port, message.stream);
        let Message { stream, transaction, .. } = *message;
        Some(Message { stream, transaction, cookie, ..Message::new(Op::Challenge) }.emit())
    }

    fn refuse(
        &mut self,
        now: Nanos,
        from: SocketAddrV4,
        message: &Message,
        reason: Reason,
    ) -> Option<[u8; MESSAGE_BYTES]> {
        if !self.throttle.admits(now, *from.ip()) {
            return None;
        }
        let Message { stream, transaction, .. } = *message;
        Some(Message { stream, transaction, reason: reason.to_wire(), ..Message::new(Op::Nak) }.emit())
    }

    fn drop_where(&mut self, why: Why, is_over: impl Fn(&Subscriber) -> bool) {
        let mut index = 0;
        while let Some(subscriber) = self.subscribers.get(index).copied() {
            if is_over(&subscriber) {
                self.subscribers.swap_remove(index);
                self.tell(SenderEvent::Stopped(subscriber, why));
            } else {
                index += 1;
            }
        }
    }

    /// Who never polls loses the oldest: [`SubscriptionSender::subscribers`] is what holds.
    fn tell(&mut self, event: SenderEvent) {
        if self.events.len() >= MAX_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }
}

/// As many ports as OAT has for them.
const MAX_STREAMS: usize = 64;
/// 128 × 40 octets.
const MAX_SUBSCRIBERS: usize = 128;
const MAX_EVENTS: usize = 256;
