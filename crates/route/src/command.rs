use alloc::string::String;
use alloc::vec::Vec;

use crate::{DeviceId, Pair, Port};

/// Number of a command, never used twice by one engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(pub u64);

/// Who carries a command out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// The graph of this computer.
    Graph,
    /// Whoever can tell this receiver what to play.
    Receiver(DeviceId),
}

/// Where an input of a receiver on the network gets its audio from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// A transmitter on the network.
    Port(Port),
    /// What this computer sends to that very input from its node in the graph: a transmit slot is taken for it.
    ThisComputer,
}

impl Source {
    /// Whether both are channels of one transmitter.
    pub(crate) fn is_of_same_stream(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Port(one), Self::Port(other)) => one.device == other.device,
            (one, other) => one == other,
        }
    }

    /// What channel `channel` plays when another plays this one of a whole stream.
    pub(crate) fn on(&self, channel: u16) -> Self {
        match self {
            Self::Port(output) => Self::Port(Port { channel, ..output.clone() }),
            Self::ThisComputer => Self::ThisComputer,
        }
    }
}

/// One thing to change.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    /// The receiver plays `source` on `input`, whatever it played there before.
    Subscribe {
        /// An input of the receiver that the command goes to.
        input: Port,
        /// What it should play.
        source: Source,
    },
    /// The receiver plays nothing on this input.
    Clear(Port),
    /// A link is made in the graph.
    Link(Pair),
    /// A link is removed from the graph.
    Unlink(Pair),
}

/// Changes for one target, to be carried out together as far as its protocol can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// For the answer.
    pub id: CommandId,
    /// Who carries it out.
    pub target: Target,
    /// What: at least one, each input or pair at most once.
    pub changes: Vec<Change>,
}

/// What became of one change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is so.
    Done,
    /// The other side said no; the reason is for people. It is not asked again until it restarts or the user asks.
    Refused(String),
    /// It may or may not have happened: no answer, or a broken one. Tried again after a while.
    Failed(String),
}
