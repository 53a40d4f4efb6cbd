//! The PTP engine, with every moment in CLOCK_MONOTONIC_RAW.

use std::net::IpAddr;

use wireloom_clock_page::{Line, LineState, Source};
use wireloom_ptp::v2::ClockQuality;
use wireloom_ptp::{
    ClockState, Config, Engine, Event, OwnTime, PortConfig, PortState, Status, Token, Transmit,
};
use wireloom_units::{ClockIdentity, TaiTime};

use crate::base::Base;
use crate::settings::{MAX_INTERFACES, Settings};

/// One PTPv2 clock over a [`Base`].
pub struct PtpClock {
    engine: Box<Engine<MAX_INTERFACES>>,
    base: Base,
    domain: u8,
    identity: ClockIdentity,
}

/// What this clock gives out when it leads.
#[derive(Debug, Clone, Copy)]
pub struct Own {
    /// CLOCK_MONOTONIC_RAW at which it is `time`.
    pub raw: i64,
    /// The time.
    pub time: TaiTime,
    /// Whether that is TAI, as far as this computer knows.
    pub is_tai: bool,
    /// TAI − UTC in seconds, when the kernel knows it.
    pub utc_offset: Option<i16>,
}

impl Own {
    fn over(&self, base: &Base) -> OwnTime {
        let Self { raw, time, is_tai, utc_offset } = *self;
        OwnTime { base: base.at(raw), time, ptp_timescale: is_tai, utc_offset }
    }
}

impl PtpClock {
    /// A clock without ports.
    pub fn new(settings: &Settings, identity: ClockIdentity, base: Base, own: Own, seed: u64) -> Self {
        let config = Config {
            domain: settings.domain,
            lead: settings.lead.lead(),
            priority1: settings.effective_priority1(),
            priority2: settings.priority2,
            quality: ClockQuality { class: 248, accuracy: 0xfe, variance: 0xffff },
            log_announce: settings.log_announce,
            log_sync: settings.log_sync,
            log_min_delay_req: settings.log_min_delay_req,
            announce_receipt_timeout: settings.announce_receipt_timeout,
            own_time: own.over(&base),
            oscillator: settings.oscillator,
            ..Config::follower(identity)
        };
        Self { engine: Box::new(Engine::new(config, seed)), base, domain: settings.domain, identity }
    }

    /// The line's name on the page.
    pub const fn source(&self) -> Source {
        Source::PtpV2(self.domain)
    }

    /// The clock's identity.
    pub const fn identity(&self) -> ClockIdentity {
        self.identity
    }

    /// Replaces the base by one that agrees with it at present: the reference that it is made of moved on.
    pub fn set_base(&mut self, base: Base) {
        self.base = base;
    }

    /// Begins to use `port`.
    pub fn enable_port(&mut self, raw: i64, port: u16, constants: PortConfig) {
        self.engine.enable_port(self.base.at(raw), port, constants);
    }

    /// Stops using `port`.
    pub fn disable_port(&mut self, raw: i64, port: u16) {
        self.engine.disable_port(self.base.at(raw), port);
    }

    /// Feeds an event message that came at `received`.
    pub fn handle_event(&mut self, raw: i64, port: u16, bytes: &[u8], received: i64, from: IpAddr) {
        self.engine.handle_event(self.base.at(raw), port, bytes, self.base.at(received), from);
    }

    /// Feeds a general message.
    pub fn handle_general(&mut self, raw: i64, port: u16, bytes: &[u8], from: IpAddr) {
        self.engine.handle_general(self.base.at(raw), port, bytes, from);
    }

    /// Tells when an event message left.
    pub fn handle_sent(&mut self, raw: i64, port: u16, token: Token, sent: i64) {
        self.engine.handle_sent(self.base.at(raw), port, token, self.base.at(sent));
    }

    /// Tells that the computer slept; `own` is what it gives out from now on.
    pub fn handle_resume(&mut self, raw: i64, own: Own) {
        self.engine.handle_resume(self.base.at(raw), own.over(&self.base));
    }

    /// Tells the path delay that `leader` had when it was last followed.
    pub fn handle_known_delay(&mut self, leader: ClockIdentity, nanoseconds: u32) {
        self.engine.handle_known_delay(leader, nanoseconds);
    }

    /// Does what is due at `raw`.
    pub fn handle_timeout(&mut self, raw: i64) {
        let now = self.base.at(raw);
        if self.engine.poll_timeout().is_some_and(|due| due <= now) {
            self.engine.handle_timeout(now);
        }
    }

    /// When something is due next.
    pub fn poll_timeout(&self) -> Option<i64> {
        // A nanosecond late, because rounding may make it one early, and early is for nothing.
        self.engine.poll_timeout().map(|due| self.base.raw_of(due).saturating_add(1))
    }

    /// The next message to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.engine.poll_transmit()
    }

    /// What happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.engine.poll_event()
    }

    /// The clock's line over CLOCK_MONOTONIC_RAW.
    pub fn line(&self) -> Option<Line> {
        let line = self.engine.line()?;
        Some(self.base.compose(&Line {
            source: self.source(),
            state: line_state(line.state),
            generation: line.generation,
            base: line.base,
            time: line.time,
            rate: line.rate,
            error_bound_ns: line.error_bound_ns,
            leader: line.leader,
        }))
    }

    /// The state of `port`.
    pub fn port_state(&self, port: u16) -> PortState {
        self.engine.port_state(port)
    }

    /// The state of everything; the frequency is over CLOCK_MONOTONIC_RAW.
    pub fn status(&self, raw: i64) -> Status {
        let mut status = self.engine.status(self.base.at(raw));
        let base = self.base.rate() as f64 / (1_u64 << 40) as f64;
        status.frequency_ppb += base * (1e9 + status.frequency_ppb);
        status
    }
}

/// The page's word for the engine's state.
const fn line_state(state: ClockState) -> LineState {
    match state {
        ClockState::Disabled => LineState::Disabled,
        ClockState::Listening => LineState::Listening,
        ClockState::Acquiring => LineState::Acquiring,
        ClockState::Tracking => LineState::Tracking,
        ClockState::Locked => LineState::Locked,
        ClockState::Holdover => LineState::Holdover,
        ClockState::Lost => LineState::Lost,
        ClockState::Leader => LineState::Leader,
    }
}
