//! Between the core and the protocol tasks that can tell receivers on the network what to play.
//!
//! A protocol task gets its [`Link`] from [`Executors::add`] when it starts. It tells of every receiver that it can
//! control ([`Told::Receiver`]), of what that plays ([`Told::Plays`]: after it appeared, after a change failed, and
//! whenever it changes), and answers every [`Order`] with one outcome per change. What is told after an answer was
//! read from the device after it. Everything else (who wants what, when to try again, links, metadata) is the core's.

use std::sync::Arc;

use tokio::sync::mpsc;
use wireloom_route::{CommandId, Outcome, Takes};
use wireloom_wanted::{Media, Protocol};

/// Orders that a task has not taken yet; more fail and are given again later.
const WAITING: usize = 64;

/// A device's inputs, as its protocol knows them. Told again whenever something in it changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Receiver {
    /// Stable, chosen by the protocol task by the rules of `model::identity`: "s-" and 16 hexadecimal digits. The
    /// node is `wireloom.<id>.rx`.
    pub id: String,
    /// What the network calls it, as "Device : inputs"; sanitised by the core.
    pub name: String,
    /// Address of the device; with it the receiver belongs to the same Device object as the device's streams.
    pub address: String,
    /// What its Device object is known by, where that is not the address.
    pub device: Option<String>,
    /// The protocol that controls it: orders go to its task.
    pub protocol: Protocol,
    /// Label of each input channel.
    pub channels: Vec<String>,
    /// Languages in which it can be told to listen to a transmitter by itself ([`wireloom_wanted::Node::direct`]);
    /// transmitters carry the same tokens.
    pub direct: Vec<String>,
    /// What this computer sends when an application here is linked to it.
    pub media: Media,
    /// Another number after every restart of the device; 0 when that cannot be known.
    pub epoch: u64,
    /// Whether inputs are told one by one or a whole stream at once.
    pub takes: Takes,
    /// The most changes in one order; 0 for any number.
    pub batch: u16,
}

/// What a protocol task tells the core.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// A receiver appeared, returned or changed.
    Receiver(Box<Receiver>),
    /// It left: it stays as an offline node while it is linked or wished.
    ReceiverLeft(String),
    /// Everything that receiver `id` plays now; inputs that play nothing are left out.
    Plays { id: String, inputs: Vec<Playing> },
    /// What became of the changes of an order, in their order. Missing ones count as failed.
    Answer { order: CommandId, outcomes: Vec<Outcome> },
}

/// What one input plays.
#[derive(Debug, Clone, PartialEq)]
pub struct Playing {
    /// Channel of the receiver, from 0.
    pub input: u16,
    /// What, as the device says it.
    pub what: PlayingWhat,
    /// Audio arrives there; false also when the device does not tell.
    pub audio: bool,
}

/// A transmitter as a receiver names it.
#[derive(Debug, Clone, PartialEq)]
pub enum PlayingWhat {
    /// A stream by its id on the bus, and its channel from 0.
    Stream { id: String, channel: u16 },
    /// A stream by where its packets go, or by who is asked for it and is not known; the core finds out whose that is,
    /// also when it is this computer's.
    Address { address: std::net::IpAddr, port: u16, channel: u16 },
}

/// Changes of one receiver, to be made with as few messages as the protocol needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// For the answer.
    pub order: CommandId,
    /// [`Receiver::id`].
    pub receiver: String,
    pub protocol: Protocol,
    pub changes: Vec<Change>,
}

/// One input and what it should play from now on; `None`: nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    pub input: u16,
    pub play: Option<Play>,
}

/// What an input should play.
#[derive(Debug, Clone, PartialEq)]
pub struct Play {
    /// Id of the stream on the bus; empty when this computer sends it to this receiver alone.
    pub stream: String,
    /// Its channel, from 0.
    pub channel: u16,
    /// Its description (SDP).
    pub sdp: Arc<str>,
}

/// A protocol task's end.
#[derive(Debug)]
pub struct Link {
    pub orders: mpsc::Receiver<Order>,
    pub told: mpsc::Sender<Told>,
}

/// The core's end: who carries out orders for which protocol.
#[derive(Debug)]
pub struct Executors {
    tasks: Vec<(Protocol, mpsc::Sender<Order>)>,
    told: mpsc::Sender<Told>,
}

impl Executors {
    /// No task yet; what tasks tell comes out of the receiver.
    pub fn new() -> (Self, mpsc::Receiver<Told>) {
        let (told, receiver) = mpsc::channel(256);
        (Self { tasks: Vec::new(), told }, receiver)
    }

    /// A task that controls receivers of `protocol` starts.
    pub fn add(&mut self, protocol: Protocol) -> Link {
        let (sender, orders) = mpsc::channel(WAITING);
        self.tasks.retain(|(other, _)| *other != protocol);
        self.tasks.push((protocol, sender));
        Link { orders, told: self.told.clone() }
    }

    /// Hands `order` to its task, or says at once why that failed.
    pub fn give(&self, order: Order) -> Result<(), Told> {
        let task = self.tasks.iter().find(|(protocol, _)| *protocol == order.protocol);
        let (id, changes) = (order.order, order.changes.len());
        let given = task.is_some_and(|(_, task)| task.try_send(order).is_ok());
        if given {
            return Ok(());
        }
        let why = if task.is_some() { "Too much is under way." } else { "Nothing here speaks its protocol." };
        Err(Told::Answer { order: id, outcomes: vec![Outcome::Failed(why.to_owned()); changes] })
    }
}
