//! What clients ask of the core, and how it answers.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot, watch};

/// Why a request is refused: becomes a D-Bus error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    Invalid(String),
    NotReady(String),
    NotFound(String),
    InProgress(String),
    Mismatch(String),
    Conflict(String),
    Limit(String),
    NotPossible(String),
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Invalid(text)
            | Self::NotReady(text)
            | Self::NotFound(text)
            | Self::InProgress(text)
            | Self::Mismatch(text)
            | Self::Conflict(text)
            | Self::Limit(text)
            | Self::NotPossible(text) => f.write_str(text),
        }
    }
}

/// Whose habits the description of an own stream follows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Flavour {
    #[default]
    Aes67,
    Dante,
    Ravenna,
    St2110,
    /// Sent to who asks (OpenAudioTools), not to a group.
    Oat,
}

impl Flavour {
    pub fn parse(word: &str) -> Option<Self> {
        let words = [
            ("aes67", Self::Aes67),
            ("dante", Self::Dante),
            ("ravenna", Self::Ravenna),
            ("st2110", Self::St2110),
            ("oat", Self::Oat),
        ];
        words.into_iter().find_map(|(known, flavour)| (known == word).then_some(flavour))
    }

    /// The time to live that its makers use.
    pub const fn ttl(self) -> u8 {
        if matches!(self, Self::Ravenna) { 15 } else { 32 }
    }

    /// The port that it has by default; 0 is a free one.
    pub const fn port(self) -> u16 {
        if matches!(self, Self::Oat) { 0 } else { 5004 }
    }
}

/// What a new transmit stream is to be; every field is checked by the core.
#[derive(Debug, Clone, PartialEq)]
pub struct NewStream {
    pub name: String,
    pub channels: u32,
    /// `None`: from the pool.
    pub address: Option<Ipv4Addr>,
    /// [`Flavour::port`] when nobody says.
    pub port: u16,
    pub labels: Option<Vec<String>>,
    pub encoding: String,
    pub rate: u32,
    pub packet_frames: Option<u32>,
    pub ttl: u8,
    pub dscp: u8,
    pub flavour: Flavour,
    /// Name of the network interface that it leaves by; `None`: the first in use.
    pub interface: Option<String>,
    pub dry_run: bool,
}

/// A settable property of the Manager with its new value.
#[derive(Debug, Clone, PartialEq)]
pub enum Setting {
    NetworkInterfaces(Vec<String>),
    NodeLimit(u32),
    Show(String),
    LatencyFrames(u32),
    AddressPool(String),
}

/// A settable property of a Stream.
#[derive(Debug, Clone, PartialEq)]
pub enum StreamSetting {
    Alias(String),
    Pinned(bool),
    Show(String),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Ask {
    Set(Setting),
    SetStream {
        id: String,
        setting: StreamSetting,
    },
    SetDeviceAlias {
        id: String,
        alias: String,
    },
    /// Answers the id of the stream, empty after a dry run.
    Create(NewStream),
    /// Answers the ids of the streams.
    AddSdp {
        text: String,
        dry_run: bool,
    },
    Remove {
        id: String,
        dry_run: bool,
    },
    /// Answers the id of the job.
    Discover {
        timeout_ms: u32,
    },
    CancelJob {
        id: String,
    },
    /// Answers ids of routes or checkpoints, or the commands of a dry run.
    Route(RouteAsk),
    /// Somebody reads counters: keep them coming for a while.
    Watch,
}

/// What is asked about routes. Channels count from 0.
#[derive(Debug, Clone, PartialEq)]
pub enum RouteAsk {
    Connect {
        connections: Vec<Connection>,
        dry_run: bool,
    },
    /// `channels`: which; all when empty.
    Disconnect {
        route: String,
        channels: Vec<(u32, u32)>,
        dry_run: bool,
    },
    /// Answers the words of a [`Possible`].
    CanConnect(Connection),
    SavePreset {
        name: String,
    },
    RemovePreset {
        name: String,
    },
    ApplyPreset {
        name: String,
        roles: Vec<(String, String)>,
        exactly: bool,
        dry_run: bool,
    },
    CreateCheckpoint {
        client: String,
        timeout_s: u32,
    },
    EndCheckpoint {
        id: String,
        rollback: bool,
    },
    ClientLeft {
        client: String,
    },
}

/// Two ends as clients name them, and which channels of them; the first to the first and so on when empty.
#[derive(Debug, Clone, PartialEq)]
pub struct Connection {
    pub source: String,
    pub sink: String,
    pub map: Vec<(u32, u32)>,
}

/// Whether and how two ends can be connected.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Possible {
    pub possible: bool,
    pub reason: String,
    pub text: String,
    pub way: String,
    pub token: String,
    pub added_latency_ns: u64,
}

impl Possible {
    pub fn to_words(&self) -> Vec<String> {
        let latency = self.added_latency_ns.to_string();
        let texts = [&self.reason, &self.text, &self.way, &self.token, &latency];
        std::iter::once(self.possible.to_string()).chain(texts.into_iter().cloned()).collect()
    }

    pub fn from_words(words: Vec<String>) -> Self {
        let mut words = words.into_iter();
        let possible = words.next().as_deref() == Some("true");
        let mut next = || words.next().unwrap_or_default();
        let (reason, text, way, token) = (next(), next(), next(), next());
        Self { possible, reason, text, way, token, added_latency_ns: next().parse().unwrap_or(0) }
    }
}

/// What the core answers: ids, or why not.
pub type Answer = Result<Vec<String>, Refused>;

/// One request on its way to the core. The answer comes with the serial of the world that shows its effect.
#[derive(Debug)]
pub struct Request {
    pub ask: Ask,
    pub reply: oneshot::Sender<(Answer, u64)>,
}

/// How the bus adapter reaches the core.
#[derive(Debug, Clone)]
pub struct Core {
    requests: mpsc::Sender<Request>,
    /// Serial of the world that is on the bus.
    applied: watch::Receiver<u64>,
}

impl Core {
    /// A handle that follows `applied`, and the end that the core reads.
    pub fn channel(applied: watch::Receiver<u64>) -> (Self, mpsc::Receiver<Request>) {
        let (requests, receiver) = mpsc::channel(64); // more callers than that wait for their turn
        (Self { requests, applied }, receiver)
    }

    /// Asks and waits for the answer.
    pub async fn ask(&self, ask: Ask) -> Answer {
        self.send(ask).await.map_err(|_| stopping())?.0
    }

    /// Asks, and waits until the objects that were made can be seen.
    ///
    /// Not for setters of objects that are published: they hold what the publisher may wait for. The Manager has a
    /// publisher of its own.
    pub async fn ask_visible(&self, ask: Ask) -> Answer {
        let (answer, serial) = self.send(ask).await.map_err(|_| stopping())?;
        let answer = answer?;
        // Bounded: the publisher may wait for the very object whose method waits here.
        let mut applied = self.applied.clone();
        let seen = applied.wait_for(|applied| *applied >= serial);
        let _ = tokio::time::timeout(std::time::Duration::from_secs(1), seen).await;
        Ok(answer)
    }

    /// Asks without waiting; dropped when the core is busy (for requests that are repeated anyway).
    pub fn hint(&self, ask: Ask) {
        let (reply, _) = oneshot::channel();
        let _ = self.requests.try_send(Request { ask, reply });
    }

    async fn send(&self, ask: Ask) -> Result<(Answer, u64), ()> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request { ask, reply }).await.map_err(|_| ())?;
        answer.await.map_err(|_| ())
    }
}

fn stopping() -> Refused {
    Refused::NotReady("the agent is stopping".to_owned())
}
