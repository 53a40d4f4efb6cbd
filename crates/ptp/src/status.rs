//! What the engine tells about itself.

use wireloom_units::ClockIdentity;

use crate::line::ClockState;
use crate::v2::{ClockQuality, PortIdentity};

/// The state of a port (IEEE 1588-2008 table 10), with its number on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum PortState {
    /// Not enabled.
    #[default]
    Disabled = 3,
    /// Waits for a leader, or for the announce receipt timeout.
    Listening = 4,
    /// Will lead when the qualification time has passed.
    PreMaster = 5,
    /// Sends Announce and Sync.
    Master = 6,
    /// Silent, because another port or clock leads here.
    Passive = 7,
    /// Follows a leader that is still being acquired.
    Uncalibrated = 8,
    /// Follows a leader.
    Slave = 9,
}

/// The grandmaster that is followed, as its Announce messages describe it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leader {
    /// The grandmaster.
    pub grandmaster: ClockIdentity,
    /// The port whose messages we follow: the grandmaster itself or a boundary clock.
    pub parent: PortIdentity,
    /// The port of ours that hears it.
    pub port: u16,
    /// Its priority1.
    pub priority1: u8,
    /// Its class, accuracy and variance.
    pub quality: ClockQuality,
    /// Its priority2.
    pub priority2: u8,
    /// Boundary clocks between the grandmaster and us.
    pub steps_removed: u16,
    /// TAI − UTC in seconds, when announced as valid.
    pub utc_offset: Option<i16>,
    /// Whether its time is the PTP timescale.
    pub ptp_timescale: bool,
    /// Whether the last minute of this UTC day has 61 seconds.
    pub leap61: bool,
    /// Whether it has 59.
    pub leap59: bool,
    /// Whether its time is traceable to a primary reference.
    pub time_traceable: bool,
    /// Whether its frequency is traceable to a primary reference.
    pub frequency_traceable: bool,
    /// Where its time comes from: 0x20 GNSS, 0x40 PTP, 0xa0 internal oscillator …
    pub time_source: u8,
}

/// A snapshot of the engine for people and for the control socket.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Status {
    /// What the line is worth.
    pub state: ClockState,
    /// The grandmaster that is followed; `None` while listening, in holdover without one, or leading.
    pub leader: Option<Leader>,
    /// The other domain in which a clock was announced last; `None` when none was.
    pub other_domain: Option<u8>,
    /// Last measured distance of the prediction from the leader's time, in nanoseconds.
    pub offset_ns: f64,
    /// Standard deviation of the estimated phase, in nanoseconds.
    pub sigma_ns: f64,
    /// Mean path delay to the leader in nanoseconds; `None` before the first Delay_Resp.
    pub path_delay_ns: Option<f64>,
    /// Estimated rate of the leader against base B, in parts per billion.
    pub frequency_ppb: f64,
    /// Distance of the published line from the estimate, in nanoseconds; it is slewed away.
    pub output_offset_ns: f64,
    /// Ten requests in a row stayed without answer.
    pub no_delay_responses: bool,
    /// Nanoseconds since the clock became LOCKED; `None` when it is not.
    pub locked_for_ns: Option<u64>,
    /// Counts of everything heard and ignored.
    pub counters: Counters,
}

/// Counts since the engine was made. Each ignored message is counted in exactly one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Announce messages used.
    pub announces: u64,
    /// Sync messages used, with their Follow_Up where there is one.
    pub syncs: u64,
    /// Delay exchanges used.
    pub delay_responses: u64,
    /// Delay requests sent.
    pub delay_requests_sent: u64,
    /// Delay requests answered.
    pub delay_requests_answered: u64,
    /// Windows whose measurement was used.
    pub windows_used: u64,
    /// Windows whose measurement the gate refused.
    pub windows_gated: u64,
    /// Windows with too few messages.
    pub windows_empty: u64,
    /// New generations.
    pub steps: u64,
    /// Not PTP: too short, lying about its length, impossible timestamp.
    pub malformed: u64,
    /// PTPv1 messages: a Dante-style clock is on the network.
    pub version1: u64,
    /// Other versions.
    pub other_version: u64,
    /// Message types this engine has no use for.
    pub unhandled_type: u64,
    /// Another profile's messages (sdoId not 0, gPTP for instance).
    pub other_sdo: u64,
    /// Messages of another domain.
    pub other_domain: u64,
    /// Our own messages, looped back.
    pub own: u64,
    /// Messages with the alternate-master flag.
    pub alternate_master: u64,
    /// Messages with the unicast flag.
    pub unicast: u64,
    /// Event messages on the general socket or the reverse.
    pub wrong_socket: u64,
    /// Messages on a port that is not enabled or does not exist.
    pub port_disabled: u64,
    /// Announce messages with stepsRemoved of 255 or more.
    pub steps_removed: u64,
    /// Announce messages that found the table full of better records.
    pub foreign_full: u64,
    /// Sync, Follow_Up or Delay_Resp of somebody who is not our leader.
    pub not_parent: u64,
    /// Follow_Up or two-step Sync whose other half never came.
    pub unmatched: u64,
    /// Delay_Resp for other requesters.
    pub other_requester: u64,
    /// Delay_Resp of ours that nobody asked for, or too late.
    pub unrequested: u64,
    /// Delay_Req heard while not leading.
    pub not_leading: u64,
    /// A correction of more than a second.
    pub correction_range: u64,
    /// Sync received not later than the previous one.
    pub receipt_not_rising: u64,
    /// Sync sent not later than the previous one.
    pub origin_not_rising: u64,
    /// Exchanges further than 10 ms from the prediction.
    pub outliers: u64,
    /// Exchanges before there was anything to compare them with.
    pub too_early: u64,
    /// Timestamps of our own transmissions that never came.
    pub transmit_timestamp_missing: u64,
    /// Messages or events that found our own queue full.
    pub queue_full: u64,
}

/// What happened; drain with [`crate::Engine::poll_event`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// [`crate::Engine::line`] differs from before: copy it to the clock page.
    LineChanged,
    /// The clock's state changed.
    StateChanged {
        /// Before.
        from: ClockState,
        /// Now.
        to: ClockState,
    },
    /// A port's state changed.
    PortStateChanged {
        /// Our port.
        port: u16,
        /// Now.
        to: PortState,
    },
    /// Another grandmaster or another parent is followed, or none.
    LeaderChanged(Option<PortIdentity>),
    /// The published time jumped: a new generation.
    Stepped {
        /// The new generation.
        generation: u32,
    },
    /// The leader stopped or resumed answering delay requests.
    DelayResponses {
        /// Whether they come.
        answered: bool,
    },
}
