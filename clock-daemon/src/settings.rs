//! What the administrator and the user decided, and its defaults.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use wireloom_ptp::{Lead, Oscillator, PortConfig};
use wireloom_units::ClockIdentity;

/// Where time comes from. The order in [`Settings::sources`] matters for leading only: the first one that is
/// not `ptp` says what time this computer gives out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    /// The network's PTP clock.
    Ptp,
    /// A PTP hardware clock that another program steers.
    Phc,
    /// The system's clock, as TAI.
    System,
    /// This computer's own oscillator.
    Free,
}

/// Whether to lead, as it is spelled in files and on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum LeadKind {
    /// Only ever follow.
    Never,
    /// Lead when nobody else does.
    LastResort,
    /// Take part in the election.
    Always,
}

impl LeadKind {
    /// The engine's word for it.
    pub const fn lead(self) -> Lead {
        match self {
            Self::Never => Lead::Never,
            Self::LastResort => Lead::LastResort,
            Self::Always => Lead::Always,
        }
    }
}

/// Where the own oscillator's time begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Epoch {
    /// At the system's TAI when the daemon starts; a restart goes on where the last one was.
    System,
    /// At this many seconds, every time.
    Seconds(u32),
}

/// Everything that can be set.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)] // documented for people in clock.conf and wireloom-clock(8)
pub struct Settings {
    pub interfaces: Vec<String>,
    pub sources: Vec<SourceKind>,
    pub domain: u8,
    pub lead: LeadKind,
    pub priority1: u8,
    pub priority2: u8,
    pub preferred: bool,
    pub log_announce: i8,
    pub log_sync: i8,
    pub log_min_delay_req: i8,
    pub announce_receipt_timeout: u8,
    pub dscp_event: u8,
    pub dscp_general: u8,
    pub ttl: u8,
    pub identity: Option<ClockIdentity>,
    pub hardware_timestamps: bool,
    pub oscillator: Oscillator,
    pub page: PathBuf,
    pub socket: PathBuf,
    pub state: PathBuf,
    pub utc_offset: i16,
    pub phc: u8,
    pub trim_ppm: f64,
    pub epoch: Epoch,
    pub constants: BTreeMap<String, PortConfig>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            interfaces: Vec::new(),
            sources: vec![SourceKind::Ptp, SourceKind::Free],
            domain: 0,
            lead: LeadKind::Never,
            priority1: 128,
            priority2: 128,
            preferred: false,
            log_announce: 1,
            log_sync: -3,
            log_min_delay_req: 0,
            announce_receipt_timeout: 3,
            dscp_event: 46,
            dscp_general: 46,
            ttl: 1,
            identity: None,
            hardware_timestamps: true,
            oscillator: Oscillator::Crystal,
            page: PathBuf::from("/run/wireloom/clock"),
            socket: PathBuf::from("/run/wireloom/clock.sock"),
            state: PathBuf::from("/var/lib/wireloom-clock/state.json"),
            utc_offset: 37,
            phc: 0,
            trim_ppm: 0.0,
            epoch: Epoch::System,
            constants: BTreeMap::new(),
        }
    }
}

/// What may be changed while the daemon runs, and is remembered by it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct Changes {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interfaces: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lead: Option<LeadKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preferred: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority1: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority2: Option<u8>,
}

impl Changes {
    /// Puts `later` over these.
    pub fn merge(&mut self, later: Self) {
        let Self { interfaces, domain, lead, preferred, priority1, priority2 } = later;
        self.interfaces = interfaces.or(self.interfaces.take());
        self.domain = domain.or(self.domain);
        self.lead = lead.or(self.lead);
        self.preferred = preferred.or(self.preferred);
        self.priority1 = priority1.or(self.priority1);
        self.priority2 = priority2.or(self.priority2);
    }
}

/// The most interfaces that one clock can have.
pub const MAX_INTERFACES: usize = 8;

impl Settings {
    /// Puts `changes` over these settings; refuses all of them when one is impossible.
    pub fn apply(&mut self, changes: &Changes) -> Result<(), SettingError> {
        if let Some(interfaces) = &changes.interfaces {
            check_interfaces(interfaces)?;
        }
        if let Some(domain) = changes.domain {
            check_range("domain", i64::from(domain), 0, 127)?;
        }
        if let Some(interfaces) = &changes.interfaces {
            self.interfaces.clone_from(interfaces);
        }
        self.domain = changes.domain.unwrap_or(self.domain);
        self.lead = changes.lead.unwrap_or(self.lead);
        self.preferred = changes.preferred.unwrap_or(self.preferred);
        self.priority1 = changes.priority1.unwrap_or(self.priority1);
        self.priority2 = changes.priority2.unwrap_or(self.priority2);
        Ok(())
    }

    /// Whether `source` is one of the sources.
    pub fn uses(&self, source: SourceKind) -> bool {
        self.sources.contains(&source)
    }

    /// priority1 as announced: a preferred clock is one better than the profile's default.
    pub fn effective_priority1(&self) -> u8 {
        if self.preferred { self.priority1.min(127) } else { self.priority1 }
    }

    /// What this computer gives out when it leads: the first source that is not the network.
    pub fn own_source(&self) -> SourceKind {
        self.sources.iter().copied().find(|kind| *kind != SourceKind::Ptp).unwrap_or(SourceKind::Free)
    }

    /// The constants of `interface`.
    pub fn constants_of(&self, interface: &str) -> PortConfig {
        self.constants.get(interface).copied().unwrap_or_default()
    }

    /// Whether PTP sockets are needed.
    pub fn needs_network(&self) -> bool {
        self.uses(SourceKind::Ptp) || self.lead != LeadKind::Never
    }

    /// The settings as a file that gives these settings.
    pub fn to_toml(&self) -> String {
        let names = |values: &mut dyn Iterator<Item = String>| {
            values.map(|value| format!("{value:?}")).collect::<Vec<_>>().join(", ")
        };
        let sources = names(&mut self.sources.iter().map(|kind| word(*kind)));
        let interfaces = names(&mut self.interfaces.iter().cloned());
        let mut text = String::new();
        let mut line = |key: &str, value: &dyn fmt::Display| {
            let _ = writeln!(text, "{key} = {value}");
        };
        line("interfaces", &format!("[{interfaces}]"));
        line("sources", &format!("[{sources}]"));
        line("domain", &self.domain);
        line("lead", &format!("{:?}", word(self.lead)));
        line("priority1", &self.priority1);
        line("priority2", &self.priority2);
        line("preferred", &self.preferred);
        line("log-announce-interval", &self.log_announce);
        line("log-sync-interval", &self.log_sync);
        line("log-min-delay-req-interval", &self.log_min_delay_req);
        line("announce-receipt-timeout", &self.announce_receipt_timeout);
        line("dscp-event", &self.dscp_event);
        line("dscp-general", &self.dscp_general);
        line("ttl", &self.ttl);
        if let Some(identity) = self.identity {
            line("identity", &format!("{:?}", identity.to_string()));
        }
        line("hardware-timestamps", &if self.hardware_timestamps { "\"auto\"" } else { "\"off\"" });
        line("oscillator", &format!("{:?}", oscillator_word(self.oscillator)));
        for (key, path) in [("page", &self.page), ("socket", &self.socket), ("state", &self.state)] {
            line(key, &format!("{:?}", path.to_string_lossy()));
        }
        let _ =
            write!(text, "\n[system]\nutc-offset = {}\n\n[phc]\ndevice = {}\n", self.utc_offset, self.phc);
        let _ = write!(text, "\n[free]\nfrequency-offset-ppm = {:?}\n", self.trim_ppm);
        let _ = match self.epoch {
            Epoch::System => writeln!(text, "epoch = \"system\""),
            Epoch::Seconds(seconds) => writeln!(text, "epoch = {seconds}"),
        };
        for (name, constants) in &self.constants {
            let _ = write!(
                text,
                "\n[interface.{name:?}]\ningress-latency-ns = {}\negress-latency-ns = {}\ndelay-asymmetry-ns = {}\n",
                constants.ingress_latency_ns, constants.egress_latency_ns, constants.delay_asymmetry_ns
            );
        }
        text
    }
}

/// The word for a value that has words, as files and JSON spell it.
pub fn word(value: impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

/// The word for a kind of oscillator.
pub const fn oscillator_word(oscillator: Oscillator) -> &'static str {
    match oscillator {
        Oscillator::Compensated => "compensated",
        Oscillator::Crystal => "crystal",
        Oscillator::Microcontroller => "microcontroller",
    }
}

/// Refuses more interfaces than a clock can have, and names that no interface can have.
pub fn check_interfaces(names: &[String]) -> Result<(), SettingError> {
    if names.len() > MAX_INTERFACES {
        return Err(SettingError::TooManyInterfaces(names.len()));
    }
    for name in names {
        let possible = (1..libc::IFNAMSIZ).contains(&name.len())
            && name.bytes().all(|octet| octet.is_ascii_graphic() && octet != b'/');
        if !possible {
            return Err(SettingError::InterfaceName(name.clone()));
        }
    }
    Ok(())
}

/// Refuses `value` outside `low..=high`.
pub fn check_range(key: &'static str, value: i64, low: i64, high: i64) -> Result<i64, SettingError> {
    if (low..=high).contains(&value) { Ok(value) } else { Err(SettingError::Range { key, value, low, high }) }
}

/// Why a setting is impossible.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettingError {
    /// A number outside its range.
    Range {
        /// The key.
        key: &'static str,
        /// What was given.
        value: i64,
        /// The smallest possible.
        low: i64,
        /// The largest possible.
        high: i64,
    },
    /// More interfaces than one clock can have.
    TooManyInterfaces(usize),
    /// Not a name that an interface can have.
    InterfaceName(String),
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range { key, value, low, high } => {
                write!(f, "{key} is {value}, it can be {low} to {high}")
            }
            Self::TooManyInterfaces(count) => {
                write!(f, "{count} interfaces are too many, a clock can have {MAX_INTERFACES}")
            }
            Self::InterfaceName(name) => write!(f, "{name:?} is not the name of a network interface"),
        }
    }
}

impl std::error::Error for SettingError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_applied_whole_or_not_at_all() {
        let mut settings = Settings::default();
        let bad = Changes { priority1: Some(3), domain: Some(128), ..Changes::default() };
        let error = settings.apply(&bad).expect_err("no such domain");
        assert_eq!(error.to_string(), "domain is 128, it can be 0 to 127");
        assert_eq!(settings, Settings::default());
        let bad = Changes { interfaces: Some(vec!["../eth0".to_owned()]), ..Changes::default() };
        assert_eq!(
            settings.apply(&bad).expect_err("no such name").to_string(),
            "\"../eth0\" is not the name of a network interface"
        );
        let good = Changes { preferred: Some(true), domain: Some(5), ..Changes::default() };
        settings.apply(&good).expect("possible");
        assert_eq!((settings.domain, settings.effective_priority1()), (5, 127));
    }

    #[test]
    fn later_changes_win() {
        let mut changes = Changes { domain: Some(1), priority1: Some(2), ..Changes::default() };
        changes.merge(Changes { domain: Some(3), lead: Some(LeadKind::Always), ..Changes::default() });
        let expected = Changes {
            domain: Some(3),
            priority1: Some(2),
            lead: Some(LeadKind::Always),
            ..Changes::default()
        };
        assert_eq!(changes, expected);
    }
}
