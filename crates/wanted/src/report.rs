use serde::{Deserialize, Serialize};

use crate::{Finding, Heard};

/// How a node is. Value of `state.<id>`; changes only when the state changes.
///
/// ```
/// let report: wireloom_wanted::StateReport =
///     serde_json::from_str(wireloom_wanted::StateReport::EXAMPLE).unwrap();
/// assert_eq!(report.state, wireloom_wanted::State::Running);
/// assert_eq!(report.findings, [wireloom_wanted::Finding::Late]);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StateReport {
    /// The state.
    pub state: State,
    /// Why, in one sentence a user can read; empty when there is nothing to say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// How the stream is read; absent while it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// UDP port in use; 0 while there is no socket.
    #[serde(default)]
    pub port: u16,
    /// The latency that is in force, in frames: the class, or more where the quantum asks for it.
    #[serde(default)]
    pub latency: u32,
    /// Links to the node's ports, virtual ones not counted.
    #[serde(default)]
    pub links: u32,
    /// What the packets say about themselves; absent until some came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard: Option<Heard>,
    /// What is odd about what arrives, in the order of [`Finding`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
}

impl StateReport {
    /// A complete example, parsed by a test.
    pub const EXAMPLE: &str = r#"{"state": "running", "mode": "locked", "port": 5004, "latency": 144, "links": 2,
        "heard": {"ssrc": 12648430, "payload_type": 97, "frames": 48}, "findings": ["late"]}"#;
}

/// States of a node (`wireloom.state`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Exists, has no link, listens to nothing.
    Idle,
    /// Linked; no packet has come yet.
    Waiting,
    /// Audio flows.
    Running,
    /// Packets came once and stopped.
    Silent,
    /// The device left.
    Offline,
    /// Cannot work; `error` says why.
    Error,
}

/// How a stream is read (`wireloom.mode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Same clock: sample m plays when the graph is at m + latency.
    Locked,
    /// Same rate, offset unknown and learned from arrivals.
    Learned,
    /// Another clock: resampled.
    Adaptive,
}

/// Counters of a node since it exists. Value of `stats.<id>`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stats {
    /// Packets that were taken (received) or sent.
    pub packets: u64,
    /// Sequence numbers that never came.
    pub lost: u64,
    /// Packets that came after a later one.
    pub reordered: u64,
    /// Packets that came twice (ST 2022-7 copies included).
    pub duplicates: u64,
    /// Packets that came after their samples were due.
    pub late: u64,
    /// Packets too far in the future.
    pub early: u64,
    /// Packets of a size that does not fit the format.
    pub bad_size: u64,
    /// Packets with another payload type.
    pub bad_payload_type: u64,
    /// Datagrams that are not RTP.
    pub not_rtp: u64,
    /// Packets of a sender that is not listened to.
    pub foreign: u64,
    /// Times the sender restarted or jumped.
    pub restarts: u64,
    /// Frames that were played as silence because nothing was there.
    pub gap_frames: u64,
    /// Times playing changed from sound to a gap.
    pub gaps: u64,
    /// Graph cycles processed.
    pub cycles: u64,
    /// Smallest distance between arrival and playing of the last second, in frames; negative is late.
    pub margin: i64,
    /// Largest absolute sample of the last second, in millionths of full scale.
    pub peak: u32,
}
