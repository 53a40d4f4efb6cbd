use std::collections::BTreeSet;
use std::sync::Arc;

use wireloom_sdp::{Stream, StreamId};
use wireloom_units::Nanos;
use wireloom_wanted::{Node, Show, StateReport, Stats};

use crate::view::Condition;

/// Why a stream is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    Announced,
    Stale,
    /// From before the agent started; not heard since.
    Kept,
    /// Its sender deleted it.
    Withdrawn,
    /// The user added its description.
    File,
    /// Transmitted by this computer.
    Own,
    /// Inputs of a device on the network that can be told what to play.
    Receiver,
}

impl Origin {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Announced => "announced",
            Self::Stale => "stale",
            Self::Kept => "kept",
            Self::Withdrawn => "withdrawn",
            Self::File => "file",
            Self::Own => "own",
            Self::Receiver => "receiver",
        }
    }
}

/// A stream that the agent knows.
#[derive(Debug, Clone)]
pub struct Known {
    pub origin: Origin,
    /// Its description; absent for own streams, kept ones, and what cannot be read.
    pub stream: Option<Stream>,
    /// The node it would get, without what depends on policy; absent when it cannot be played.
    pub node: Option<Node>,
    /// Why it cannot be played.
    pub unreadable: Option<String>,
    pub name: String,
    pub warnings: Vec<String>,
    pub sdp: Arc<str>,
    /// Address of the device it belongs to, or of who announced it.
    pub address: String,
    /// What its device is known by, where that is not the address.
    pub device_key: Option<String>,
    /// Its announcement, while one is heard.
    pub entry: Option<StreamId>,
    /// When it was heard last, and what the wall clock said then.
    pub last_heard: Option<(Nanos, u64)>,
    /// RAVENNA sessions that describe it, by DNS-SD instance name.
    pub sessions: BTreeSet<String>,
    /// What the listener was told last about its being received.
    pub told_use: bool,
    /// Order of arrival: who came first keeps a node when there are too many.
    pub arrival: u64,
    pub shown: bool,
    pub show: Show,
    /// When it should go if nothing is heard and nobody uses it.
    pub leaves_at: Option<Nanos>,
    pub report: Option<StateReport>,
    pub stats: Option<(Stats, u64)>,
    pub condition: Condition,
}

impl Known {
    pub fn new(origin: Origin, name: String, arrival: u64) -> Self {
        Self {
            origin,
            stream: None,
            node: None,
            unreadable: None,
            name,
            warnings: Vec::new(),
            sdp: Arc::from(""),
            address: String::new(),
            device_key: None,
            entry: None,
            last_heard: None,
            sessions: BTreeSet::new(),
            told_use: false,
            arrival,
            shown: false,
            show: Show::Patchbay,
            leaves_at: None,
            report: None,
            stats: None,
            condition: Condition::default(),
        }
    }

    pub fn is_transmit(&self) -> bool {
        self.node.as_ref().is_some_and(|node| node.direction == wireloom_wanted::Direction::Transmit)
    }

    /// Transmitted by this computer for anybody; not the inputs of another device.
    pub fn is_own(&self) -> bool {
        self.is_transmit() && self.node.as_ref().is_some_and(|node| !node.remote)
    }

    pub fn links(&self) -> u32 {
        self.report.as_ref().map_or(0, |report| report.links)
    }

    /// Audio arrives right now.
    pub fn runs(&self) -> bool {
        self.report.as_ref().is_some_and(|report| report.state == wireloom_wanted::State::Running)
    }
}

/// Id of the node of stream `id`: a node with output ports is a transmitter seen from the graph, `.tx`.
pub fn node_id(id: &str, transmit: bool) -> String {
    format!("{id}.{}", if transmit { "rx" } else { "tx" })
}

/// Stream and transmission of the node `id`: the inverse of [`node_id`].
pub fn stream_of(id: &str) -> Option<(&str, bool)> {
    let receives = id.strip_suffix(".tx").map(|stream| (stream, false));
    receives.or_else(|| Some((id.strip_suffix(".rx")?, true)))
}
