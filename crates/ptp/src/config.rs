//! What the owner of an engine decides.

use wireloom_units::{ClockIdentity, TaiTime};

use crate::v2::ClockQuality;

/// Whether this clock may become grandmaster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Lead {
    /// Slave-only (class 255): listens when there is nobody to follow. The default; a laptop must not take over a
    /// venue.
    #[default]
    Never,
    /// Leads only when nobody else does: priority1 250, class 248. Where somebody else leads it is no boundary clock of
    /// a better leader either.
    LastResort,
    /// Takes part in the election with the configured priority1 and quality.
    Always,
}

/// How steady the local oscillator is: the process noise of its frequency, in ns²/s³ (`ptp` section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Oscillator {
    /// Temperature compensated: 1.
    Compensated,
    /// A computer's crystal: 10.
    #[default]
    Crystal,
    /// A microcontroller's crystal near its own heat: 30.
    Microcontroller,
}

impl Oscillator {
    /// The process noise q_f in ns²/s³.
    pub const fn process_noise(self) -> f64 {
        match self {
            Self::Compensated => 1.0,
            Self::Crystal => 10.0,
            Self::Microcontroller => 30.0,
        }
    }
}

/// The time that this clock gives out when it leads and has followed nobody before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnTime {
    /// Nanoseconds of base B at which the network's time is `time`.
    pub base: i64,
    /// The network's time at `base`.
    pub time: TaiTime,
    /// Whether `time` is the PTP timescale (TAI); else an arbitrary one is announced.
    pub ptp_timescale: bool,
    /// TAI − UTC in seconds, announced as valid when known.
    pub utc_offset: Option<i16>,
}

/// What one engine is: its identity, domain, election data and intervals (IEEE 1588-2008, default data set).
///
/// Intervals are log2 of seconds. The defaults are those of the AES67 media profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// The clock's identity, usually made from a MAC address.
    pub identity: ClockIdentity,
    /// The only domain that is heard.
    pub domain: u8,
    /// Whether to lead.
    pub lead: Lead,
    /// priority1 with [`Lead::Always`]; the other choices have their own.
    pub priority1: u8,
    /// priority2.
    pub priority2: u8,
    /// Class, accuracy and variance with [`Lead::Always`]; never announced as traceable.
    pub quality: ClockQuality,
    /// Interval of our Announce messages, −3 to 4.
    pub log_announce: i8,
    /// Interval of our Sync messages, −7 to 1.
    pub log_sync: i8,
    /// The shortest interval between requests that we allow our followers, −7 to 5.
    pub log_min_delay_req: i8,
    /// Announce intervals of silence after which a leader is given up, 2 to 10.
    pub announce_receipt_timeout: u8,
    /// Our own time, for leading.
    pub own_time: OwnTime,
    /// The local oscillator.
    pub oscillator: Oscillator,
    /// σ below which the clock may be LOCKED, in nanoseconds: 20 000 on a host, 100 000 on a microcontroller.
    pub lock_threshold_ns: u32,
}

impl Config {
    /// A slave-only clock `identity` in domain 0 with the intervals of the AES67 media profile.
    pub const fn follower(identity: ClockIdentity) -> Self {
        Self {
            identity,
            domain: 0,
            lead: Lead::Never,
            priority1: 128,
            priority2: 128,
            quality: ClockQuality { class: 248, accuracy: 0xfe, variance: 0xffff },
            log_announce: 1,
            log_sync: -3,
            log_min_delay_req: 0,
            announce_receipt_timeout: 3,
            own_time: OwnTime { base: 0, time: TaiTime::EPOCH, ptp_timescale: false, utc_offset: None },
            oscillator: Oscillator::Crystal,
            lock_threshold_ns: 20_000,
        }
    }
}

/// Constants of one port's interface, in nanoseconds, taken off before anything is estimated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PortConfig {
    /// From the cable to the receive timestamp.
    pub ingress_latency_ns: i32,
    /// From the transmit timestamp to the cable.
    pub egress_latency_ns: i32,
    /// How much longer the path from the leader is than the mean of both directions (IEEE 1588-2008 §7.4.2).
    pub delay_asymmetry_ns: i32,
}
