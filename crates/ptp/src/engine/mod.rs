//! One PTPv2 clock with its ports.

mod election;
mod follower;
mod leading;
mod port;
mod queue;
mod receive;
mod transmit;

use core::net::IpAddr;

use wireloom_units::ClockIdentity;

use crate::config::{Config, OwnTime, PortConfig};
use crate::estimator::{Estimator, Settings};
use crate::line::{ClockState, Line};
use crate::random::Random;
use crate::status::{Counters, Event, PortState, Status};
use crate::v2::PortIdentity;
use follower::Follower;
use leading::{Intent, Timescale};
use port::Port;
use queue::Queue;
pub use transmit::{MAX_PACKET, Packet, Token, Transmit};

/// Messages that wait to be sent between two drains; few, so that an engine fits into 4 KiB.
const TRANSMITS: usize = 8;
/// Events that wait to be told.
const EVENTS: usize = 12;
/// Leaders whose path delay is remembered from before.
const KNOWN_DELAYS: usize = 4;

/// One PTPv2 clock: election, follower on at most one port, leader on the others. Owns no socket and no clock.
///
/// `PORTS` is how many interfaces it can have; ports are numbered from 0 here and from 1 on the wire.
///
/// ```
/// use wireloom_ptp::{Config, Engine, PortConfig};
/// use wireloom_units::ClockIdentity;
///
/// let identity = ClockIdentity::from_mac([0x02, 0, 0, 0, 0, 1]);
/// let mut engine: Engine = Engine::new(Config::follower(identity), 7);
/// engine.enable_port(0, 0, PortConfig::default());
/// engine.handle_general(5, 0, &[0; 64], [192, 0, 2, 1].into());
/// assert_eq!(engine.status(5).counters.other_version, 1);
/// assert_eq!(engine.line(), None);
/// ```
#[derive(Debug, Clone)]
pub struct Engine<const PORTS: usize = 8> {
    config: Config,
    counters: Counters,
    random: Random,
    ports: [Port; PORTS],
    follower: Option<Follower>,
    /// Port and parent that the estimator's model belongs to.
    last_parent: Option<(u16, PortIdentity)>,
    grandmaster: ClockIdentity,
    /// The timescale of the last leader's time, which this clock goes on with when it leads after it.
    heritage: Option<Timescale>,
    /// Where somebody else leads.
    elsewhere: Option<u8>,
    known_delays: [Option<(ClockIdentity, u32)>; KNOWN_DELAYS],
    estimator: Estimator,
    request_sequence: u16,
    next_token: u32,
    transmits: Queue<Intent, TRANSMITS>,
    events: Queue<Event, EVENTS>,
    told_state: ClockState,
    told_line: Option<Line>,
}

impl<const PORTS: usize> Engine<PORTS> {
    /// A clock without enabled ports. `seed` feeds the random waits that the standard asks for.
    pub fn new(config: Config, seed: u64) -> Self {
        let settings = Settings {
            process_noise: config.oscillator.process_noise(),
            lock_threshold: f64::from(config.lock_threshold_ns),
        };
        Self {
            config,
            counters: Counters::default(),
            random: Random::new(seed),
            ports: [const { Port::new() }; PORTS],
            follower: None,
            last_parent: None,
            grandmaster: ClockIdentity::default(),
            heritage: None,
            elsewhere: None,
            known_delays: [None; KNOWN_DELAYS],
            estimator: Estimator::new(settings),
            request_sequence: 0,
            next_token: 1,
            transmits: Queue::new(),
            events: Queue::new(),
            told_state: ClockState::Disabled,
            told_line: None,
        }
    }

    /// Starts to listen on `port`, or changes its constants. A port that does not exist is ignored.
    pub fn enable_port(&mut self, now: i64, port: u16, constants: PortConfig) {
        let wait_until = now.saturating_add(self.announce_receipt_timeout());
        let Some(place) = self.ports.get_mut(usize::from(port)) else { return };
        place.constants = constants;
        if !place.is_enabled() {
            place.wait_until = wait_until;
            self.set_state(port, PortState::Listening);
            self.elect(now);
        }
        self.note();
    }

    /// Stops using `port`: its interface went away.
    pub fn disable_port(&mut self, now: i64, port: u16) {
        let Some(place) = self.ports.get_mut(usize::from(port)).filter(|port| port.is_enabled()) else {
            return;
        };
        place.reset();
        self.tell(Event::PortStateChanged { port, to: PortState::Disabled });
        self.elect(now);
        self.note();
    }

    /// Feeds one datagram of the event socket (UDP 319), received from `from` at `received` ns of base B.
    pub fn handle_event(&mut self, now: i64, port: u16, bytes: &[u8], received: i64, from: IpAddr) {
        self.receive(now, port, bytes, Some(received), from);
        self.work(now);
    }

    /// Feeds one datagram of the general socket (UDP 320), received from `from`.
    pub fn handle_general(&mut self, now: i64, port: u16, bytes: &[u8], from: IpAddr) {
        self.receive(now, port, bytes, None, from);
        self.work(now);
    }

    /// Tells when the event message `token` left `port`, in nanoseconds of base B.
    pub fn handle_sent(&mut self, now: i64, port: u16, token: Token, sent: i64) {
        if !self.request_sent(port, token, sent) {
            self.sync_sent(port, token, sent);
        }
        self.work(now);
    }

    /// Tells that base B stood still for a while (suspend): the next mapping is a new generation.
    ///
    /// `own_time` is this clock's own time from now on; when it leads, the new generation reads it.
    pub fn handle_resume(&mut self, now: i64, own_time: OwnTime) {
        self.config.own_time = own_time;
        self.estimator.resume(now, own_time.base, own_time.time);
        if self.estimator.state() == ClockState::Leader {
            self.heritage = None;
        }
        self.work(now);
    }

    /// Takes the path delay last known for the leader `grandmaster`, used until its first Delay_Resp.
    ///
    /// Those of the four latest leaders are kept.
    pub fn handle_known_delay(&mut self, grandmaster: ClockIdentity, path_delay_ns: u32) {
        let known =
            |place: &Option<(ClockIdentity, u32)>| place.is_some_and(|(other, _)| other == grandmaster);
        let oldest = self.known_delays.iter().position(known).unwrap_or(KNOWN_DELAYS - 1);
        if let Some(newer) = self.known_delays.get_mut(..=oldest) {
            newer.rotate_right(1);
        }
        self.known_delays[0] = Some((grandmaster, path_delay_ns));
    }

    /// Call when [`Engine::poll_timeout`] has passed; calling it earlier does nothing.
    pub fn handle_timeout(&mut self, now: i64) {
        self.work(now);
    }

    /// The next message to send. Drain until `None` after every `handle_*`.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        let intent = self.transmits.pop()?;
        self.write(intent)
    }

    /// What happened, oldest first. Drain until `None` after every `handle_*`.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop()
    }

    /// When to call [`Engine::handle_timeout`] next, in nanoseconds of base B.
    pub fn poll_timeout(&self) -> Option<i64> {
        let ports = self.ports.iter().filter_map(Port::next_timeout);
        let request = self.follower.as_ref().and_then(Follower::next_request);
        ports.chain(request).chain(self.estimator.poll_timeout()).min().filter(|&due| due < i64::MAX)
    }

    /// The published mapping; `None` until there is a first one.
    pub fn line(&self) -> Option<Line> {
        let published = self.estimator.published()?;
        Some(Line {
            state: self.state(),
            generation: published.generation,
            base: published.base,
            time: published.time,
            rate: published.rate,
            error_bound_ns: published.error_bound_ns,
            leader: self.grandmaster,
        })
    }

    /// The state of `port`; a port that does not exist is disabled.
    pub fn port_state(&self, port: u16) -> PortState {
        self.ports.get(usize::from(port)).map_or(PortState::Disabled, |port| port.state)
    }

    /// The identity of `port` on the wire.
    pub const fn port_identity(&self, port: u16) -> PortIdentity {
        PortIdentity { clock: self.config.identity, port: port.wrapping_add(1) }
    }

    /// The state of everything at `now`.
    pub fn status(&self, now: i64) -> Status {
        let windows = self.estimator.window_counts();
        let mut counters = self.counters;
        (counters.windows_used, counters.windows_gated) = (windows.used, windows.gated);
        counters.windows_empty = windows.empty;
        let locked_for = |since| now.saturating_sub(since).max(0).unsigned_abs();
        Status {
            state: self.state(),
            leader: self.follower.as_ref().map(|follower| follower.leader),
            other_domain: self.elsewhere,
            offset_ns: self.estimator.last_error(),
            sigma_ns: self.estimator.sigma(),
            path_delay_ns: self.estimator.path_delay(),
            frequency_ppb: self.estimator.frequency_ppb(),
            output_offset_ns: self.estimator.output_offset(now),
            no_delay_responses: self.follower.as_ref().is_some_and(Follower::no_delay_responses),
            locked_for_ns: self.estimator.locked_since().map(locked_for),
            counters,
        }
    }

    /// The estimator, for simulations and measurements.
    pub const fn estimator(&self) -> &Estimator {
        &self.estimator
    }

    fn state(&self) -> ClockState {
        match self.estimator.state() {
            ClockState::Listening if !self.ports.iter().any(Port::is_enabled) => ClockState::Disabled,
            state => state,
        }
    }

    /// Does everything that is due at `now`.
    fn work(&mut self, now: i64) {
        let due = |port: &Port| {
            let waits = matches!(port.state, PortState::Listening | PortState::PreMaster);
            waits && port.wait_until <= now
        };
        let mut elect = self.ports.iter().any(due);
        for port in &mut self.ports {
            elect |= port.foreign.expire(now);
        }
        if elect {
            self.elect(now);
        }
        self.estimator.handle_timeout(now);
        self.calibrate();
        self.ask_for_delay(now);
        self.lead_ports(now);
        self.note();
    }

    /// Tells what changed since the last time.
    fn note(&mut self) {
        let (line, to) = (self.line(), self.state());
        let before = core::mem::replace(&mut self.told_line, line);
        if line == before && to == self.told_state {
            return;
        }
        let from = core::mem::replace(&mut self.told_state, to);
        if from != to {
            self.tell(Event::StateChanged { from, to });
        }
        if let Some(line) =
            line.filter(|line| before.is_none_or(|before| before.generation != line.generation))
        {
            self.counters.steps += 1;
            self.tell(Event::Stepped { generation: line.generation });
        }
        if line != before {
            self.tell(Event::LineChanged);
        }
    }

    fn set_state(&mut self, port: u16, to: PortState) {
        if let Some(place) = self.ports.get_mut(usize::from(port)).filter(|place| place.state != to) {
            place.state = to;
            self.tell(Event::PortStateChanged { port, to });
        }
    }

    fn constants(&self, port: u16) -> PortConfig {
        self.ports.get(usize::from(port)).map_or_else(PortConfig::default, |port| port.constants)
    }

    fn tell(&mut self, event: Event) {
        self.counters.queue_full += u64::from(!self.events.push(event));
    }

    fn send(&mut self, intent: Intent) {
        self.counters.queue_full += u64::from(!self.transmits.push(intent));
    }
}
