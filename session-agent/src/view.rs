//! What the bus shows, as plain values: the core makes them, the bus adapter only hands them out.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

/// Everything that is on the bus at one moment. Unchanged entries are shared with the one before.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct World {
    /// Grows with every world.
    pub serial: u64,
    pub manager: Arc<ManagerView>,
    pub interfaces: BTreeMap<String, Arc<InterfaceView>>,
    pub clocks: BTreeMap<String, Arc<ClockView>>,
    pub devices: BTreeMap<String, Arc<DeviceView>>,
    pub streams: BTreeMap<String, Arc<StreamView>>,
    pub routes: BTreeMap<String, Arc<RouteView>>,
    pub checkpoints: BTreeMap<String, Arc<CheckpointView>>,
    pub jobs: BTreeMap<String, Arc<JobView>>,
}

/// A state with its reason and the moment it began.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Condition {
    pub state: &'static str,
    pub reason: &'static str,
    pub text: String,
    pub since_us: u64,
}

impl Condition {
    /// Takes over `next`; the beginning stays unless the state changed.
    pub fn become_(&mut self, state: &'static str, reason: &'static str, text: String, wall_us: u64) {
        if self.state != state {
            self.since_us = wall_us;
        }
        (self.state, self.reason, self.text) = (state, reason, text);
    }
}

/// One thing that sound depends on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    pub name: &'static str,
    pub verdict: Verdict,
    /// The word for `StateReason` while it fails.
    #[serde(skip)]
    pub reason: &'static str,
    pub text: String,
}

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Ok,
    /// Not as it should be, but sound comes.
    Warning,
    /// No sound, or damaged sound, because of it.
    Failed,
    /// Something before it must come right first.
    Unknown,
}

impl Verdict {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ManagerView {
    pub condition: Condition,
    pub network_interfaces: Vec<String>,
    pub node_limit: u32,
    pub show: &'static str,
    pub latency_frames: u32,
    pub address_pool: String,
    pub stream_count: u32,
    pub shown_count: u32,
    pub active_clock: Option<String>,
    /// Roles of each preset, with the node that had the role.
    pub presets: BTreeMap<String, BTreeMap<String, String>>,
    pub clock_service_text: String,
    pub counters: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct InterfaceView {
    pub name: String,
    pub index: u32,
    pub state: &'static str,
    pub state_reason: &'static str,
    pub used: bool,
    pub addresses: Vec<String>,
    pub hardware_address: String,
    pub announcements_received: u64,
    pub ravenna: bool,
    pub sessions_found: u32,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ClockView {
    pub id: String,
    pub source: &'static str,
    pub domain: u32,
    pub condition: Condition,
    pub grandmaster: String,
    pub active: bool,
    pub error_bound_ns: u64,
    pub frequency_ppb: f64,
    pub generation: u32,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct DeviceView {
    pub id: String,
    pub protocol: &'static str,
    pub local: bool,
    pub name: String,
    pub alias: String,
    pub address: String,
    pub streams: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct StreamView {
    pub id: String,
    pub device: String,
    pub protocol: &'static str,
    pub direction: &'static str,
    pub origin: &'static str,
    pub name: String,
    pub alias: String,
    pub condition: Condition,
    pub shown: bool,
    pub hidden_reason: &'static str,
    pub pinned: bool,
    pub show: &'static str,
    pub node_name: String,
    pub channels: Vec<String>,
    pub encoding: &'static str,
    pub rate_hz: u32,
    pub packet_frames: u32,
    pub payload_type: u8,
    pub legs: Vec<LegView>,
    pub reference_clock: String,
    pub clock_relation: &'static str,
    pub clock_text: String,
    pub media_offset: Option<u32>,
    pub mode: &'static str,
    pub latency_frames: u32,
    pub links: u32,
    pub heard_on: Vec<String>,
    pub found_by: Vec<&'static str>,
    pub last_heard_us: u64,
    pub warnings: Vec<String>,
    pub checks: Vec<Check>,
    #[serde(skip)]
    pub sdp: Arc<str>,
    /// Counters as the module wrote them last, and when.
    #[serde(skip)]
    pub statistics: Option<(wireloom_wanted::Stats, u64)>,
}

impl StreamView {
    /// Whether it is as `other`, but for when it was heard and what was counted.
    pub fn is_like(&self, other: &Self) -> bool {
        let (last_heard_us, statistics) = (other.last_heard_us, other.statistics.clone());
        Self { last_heard_us, statistics, ..self.clone() } == *other
    }
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct LegView {
    pub address: String,
    pub port: u16,
    pub source: Option<String>,
    pub interface: Option<String>,
    pub ttl: Option<u8>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct JobView {
    pub operation: &'static str,
    pub progress: f64,
    /// Set once, when it ended: success, error name, message.
    pub outcome: Option<(bool, &'static str, String)>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct RouteView {
    pub id: String,
    pub source: String,
    pub sink: String,
    pub source_stream: String,
    pub sink_stream: String,
    pub source_name: String,
    pub sink_name: String,
    pub channels: Vec<RouteChannelView>,
    pub desired: bool,
    pub way: &'static str,
    pub relay_latency_ns: u64,
    pub condition: Condition,
    pub checks: Vec<Check>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct RouteChannelView {
    pub source: u32,
    pub sink: u32,
    pub desired: bool,
    pub state: &'static str,
    pub reason: &'static str,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct CheckpointView {
    pub id: String,
    pub client: String,
    pub created_us: u64,
    pub expires_us: u64,
}
