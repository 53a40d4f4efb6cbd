//! Receivers and senders of OAT over a network that loses, copies and reorders; senders that restart.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::{Ipv4Addr, SocketAddrV4};

use wireloom_oat::{
    Admission, Offered, SenderConfig, Subscription, SubscriptionConfig, SubscriptionSender, SubscriptionState,
};
use wireloom_sim::Random;
use wireloom_units::{Channels, Nanos, Samples, Ssrc};

const PORT: u16 = 50_000;
const RECEIVERS: usize = 4;
/// The sender of a world sends a packet of each copy so often.
const PACKET: Nanos = Nanos::from_millis(100);

/// A datagram on its way: when it arrives, and a number that keeps the order of equals.
type Flight = Reverse<(Nanos, u64, Packet)>;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Packet {
    ToSender { from: usize, bytes: Vec<u8> },
    ToReceiver { to: usize, bytes: Vec<u8> },
    Audio { to: usize },
}

struct Receiver {
    subscription: Subscription,
    heard_at: Nanos,
    packets: u64,
}

/// One sender of one stream, four receivers, and what is between them.
struct World {
    now: Nanos,
    random: Random,
    loss: f64,
    sender: SubscriptionSender,
    receivers: Vec<Receiver>,
    flights: BinaryHeap<Flight>,
    sent: u64,
    /// Datagrams of the receivers' side and of the sender's.
    asked: u64,
    answered: u64,
}

impl World {
    fn new(seed: u64, loss: f64) -> Self {
        let mut random = Random::new(seed);
        let now = Nanos::from_secs(1);
        let subscribe = |number: usize, random: &mut Random| Receiver {
            subscription: Subscription::new(
                now,
                SubscriptionConfig {
                    sender: SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), PORT),
                    stream: 1,
                    port: 50_064 + number as u16,
                    flags: 0,
                    lease_s: 6,
                    transaction: random.bits() as u32,
                },
            ),
            heard_at: now,
            packets: 0,
        };
        let receivers = (0..RECEIVERS).map(|number| subscribe(number, &mut random)).collect();
        let sender = sender(random.bits());
        Self {
            now,
            random,
            loss,
            sender,
            receivers,
            flights: BinaryHeap::new(),
            sent: 0,
            asked: 0,
            answered: 0,
        }
    }

    /// Loses some, copies some, and lets some be overtaken.
    fn fly(&mut self, packet: &Packet) {
        for copy in 0..2 {
            let wanted = copy == 0 || self.random.chance(self.loss / 4.0);
            if wanted && !self.random.chance(self.loss) {
                let late = if self.random.chance(self.loss) { 300_000.0 } else { 400.0 };
                let delay = Nanos((self.random.between(50.0, late) * 1000.0) as u64);
                self.sent += 1;
                self.flights.push(Reverse((self.now.plus(delay), self.sent, packet.clone())));
            }
        }
    }

    fn run(&mut self, seconds: u64) {
        let end = self.now.plus(Nanos::from_secs(seconds));
        let mut audio_at = self.now;
        while self.now < end {
            for number in 0..RECEIVERS {
                while let Some((_, bytes)) = self.receivers[number].subscription.poll_transmit() {
                    self.asked += 1;
                    self.fly(&Packet::ToSender { from: number, bytes: bytes.to_vec() });
                }
            }
            let dues = self.receivers.iter().filter_map(|receiver| receiver.subscription.poll_timeout());
            let arrival = self.flights.peek().map(|Reverse((at, ..))| *at);
            let next = dues.chain(arrival).chain(self.sender.poll_timeout()).min();
            self.now = next.unwrap_or(end).min(audio_at).max(self.now);
            while self.flights.peek().is_some_and(|Reverse((at, ..))| *at <= self.now) {
                let Some(Reverse((_, _, packet))) = self.flights.pop() else { break };
                self.arrive(packet);
            }
            self.sender.handle_timeout(self.now);
            if audio_at <= self.now {
                audio_at = self.now.plus(PACKET);
                self.send_audio();
            }
            for receiver in &mut self.receivers {
                receiver.subscription.handle_timeout(self.now);
            }
        }
    }

    fn send_audio(&mut self) {
        let to: Vec<_> =
            self.sender.subscribers(1).map(|copy| usize::from(copy.to.port() - 50_064)).collect();
        for to in to {
            self.fly(&Packet::Audio { to });
        }
        let now = self.now;
        for receiver in &mut self.receivers {
            let stalled = now.since(receiver.heard_at) >= Nanos::from_secs(1);
            if stalled && receiver.subscription.state() == SubscriptionState::Active {
                receiver.subscription.handle_stalled(now);
            }
        }
    }

    fn arrive(&mut self, packet: Packet) {
        match packet {
            Packet::ToSender { from, bytes } => {
                let address = SocketAddrV4::new(Ipv4Addr::new(10, 0, 1, from as u8), 40_000);
                let answer = self.sender.handle_datagram(self.now, PORT, address, &bytes).expect("a message");
                if let Some(answer) = answer {
                    self.answered += 1;
                    self.fly(&Packet::ToReceiver { to: from, bytes: answer.to_vec() });
                }
            }
            Packet::ToReceiver { to, bytes } => {
                let from = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), PORT);
                self.receivers[to].subscription.handle_datagram(self.now, from, &bytes).expect("a message");
            }
            Packet::Audio { to } => {
                (self.receivers[to].heard_at, self.receivers[to].packets) =
                    (self.now, self.receivers[to].packets + 1);
            }
        }
    }

    fn states(&self) -> Vec<SubscriptionState> {
        self.receivers.iter().map(|receiver| receiver.subscription.state()).collect()
    }
}

fn sender(key: u64) -> SubscriptionSender {
    let mut octets = [0; 16];
    octets[..8].copy_from_slice(&key.to_be_bytes());
    let mut sender = SubscriptionSender::new(&SenderConfig::new(octets));
    let stream = Offered {
        stream: 1,
        port: PORT,
        ssrc: Ssrc(1),
        samples_per_packet: Samples(48),
        channels: Channels::new(2).expect("in range"),
        payload_type: 97,
        admission: Admission::Everybody,
    };
    sender.offer(stream).expect("there is room");
    sender
}

#[test]
fn leases_hold_through_loss_copies_and_reordering() {
    for seed in 0..100 {
        let mut world = World::new(seed, 0.2);
        world.run(300);
        let active = world.states().iter().filter(|state| **state == SubscriptionState::Active).count();
        assert!(active >= RECEIVERS - 1, "seed {seed}: {:?}", world.states());
        let mut to = BTreeMap::new();
        world.sender.subscribers(1).for_each(|copy| *to.entry(copy.to).or_insert(0) += 1);
        assert!(to.values().all(|copies| *copies == 1), "seed {seed}: a flow was doubled: {to:?}");
        // 3000 packets each were sent to everybody who had a lease all the time; a fifth is lost on the way.
        for (number, receiver) in world.receivers.iter().enumerate() {
            assert!(receiver.packets > 1900, "seed {seed}: receiver {number} heard {}", receiver.packets);
        }
        assert!(world.answered <= world.asked * 2, "seed {seed}: copies are answered, nothing else");
        assert!(world.asked < 2500, "seed {seed}: {} datagrams asked", world.asked);
    }
}

#[test]
fn a_sender_that_restarts_is_heard_again_by_everybody() {
    for seed in 0..50 {
        let mut world = World::new(seed, 0.05);
        world.run(20);
        for restart in 0..3 {
            world.sender = sender(seed * 10 + restart);
            let before: Vec<_> = world.receivers.iter().map(|receiver| receiver.packets).collect();
            world.run(25);
            for (receiver, before) in world.receivers.iter().zip(before) {
                assert!(receiver.packets > before + 50, "seed {seed}: restart {restart} was not noticed");
            }
        }
        assert_eq!(world.states(), vec![SubscriptionState::Active; RECEIVERS], "seed {seed}");
    }
}

#[test]
fn who_leaves_is_sent_nothing_more() {
    for seed in 0..50 {
        let mut world = World::new(seed, 0.1);
        world.run(10);
        let now = world.now;
        world.receivers.iter_mut().for_each(|receiver| receiver.subscription.handle_end(now));
        world.run(8); // the lease has six seconds, should all three farewells be lost
        assert_eq!(world.sender.subscribers(1).count(), 0, "seed {seed}");
        assert_eq!(world.states(), vec![SubscriptionState::Ended; RECEIVERS], "seed {seed}");
    }
}
