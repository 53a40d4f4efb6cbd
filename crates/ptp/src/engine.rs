//! One PTPv2 clock with its ports.

use core::net::IpAddr;
use core::ops::Deref;

use wireloom_units::ClockIdentity;

use crate::config::{Config, PortConfig};
use crate::line::Line;
use crate::status::{Counters, Event, PortState, Status};

/// The longest message that an engine sends.
pub const MAX_PACKET: usize = 64;

/// The octets of one message to send.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    octets: [u8; MAX_PACKET],
    length: usize,
}

impl Deref for Packet {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.octets.get(..self.length).unwrap_or_default()
    }
}

/// Names one sent event message, so that its transmit timestamp finds it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token(pub u32);

/// A message to send.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Transmit {
    /// The port to send from.
    pub port: u16,
    /// To UDP 319 with a transmit timestamp fed back through [`Engine::handle_sent`]; else to UDP 320.
    pub event: bool,
    /// The message.
    pub bytes: Packet,
    /// To be handed to [`Engine::handle_sent`] with the timestamp of an event message.
    pub token: Token,
    /// Where to; `None` is the group 224.0.1.129.
    pub to: Option<IpAddr>,
}

/// One PTPv2 clock: election, follower on at most one port, leader on the others. Owns no socket and no clock.
///
/// `PORTS` is how many interfaces it can have; ports are numbered from 0 here and from 1 on the wire.
pub struct Engine<const PORTS: usize = 8> {
    config: Config,
    counters: Counters,
}

impl<const PORTS: usize> Engine<PORTS> {
    /// A clock without enabled ports. `seed` feeds the random waits that the standard asks for.
    pub fn new(config: Config, seed: u64) -> Self {
        let _ = seed;
        Self { config, counters: Counters::default() }
    }

    /// Starts to listen on `port`, or changes its constants. A port that does not exist is ignored.
    pub fn enable_port(&mut self, now: i64, port: u16, constants: PortConfig) {
        let _ = (now, port, constants);
    }

    /// Stops using `port`: its interface went away.
    pub fn disable_port(&mut self, now: i64, port: u16) {
        let _ = (now, port);
    }

    /// Feeds one datagram of the event socket (UDP 319), received from `from` at `received` ns of base B.
    pub fn handle_event(&mut self, now: i64, port: u16, bytes: &[u8], received: i64, from: IpAddr) {
        let _ = (now, port, bytes, received, from);
    }

    /// Feeds one datagram of the general socket (UDP 320), received from `from`.
    pub fn handle_general(&mut self, now: i64, port: u16, bytes: &[u8], from: IpAddr) {
        let _ = (now, port, bytes, from);
    }

    /// Tells when the event message `token` left `port`, in nanoseconds of base B.
    pub fn handle_sent(&mut self, now: i64, port: u16, token: Token, sent: i64) {
        let _ = (now, port, token, sent);
    }

    /// Tells that base B stood still for a while (suspend): the next mapping is a new generation.
    pub fn handle_resume(&mut self, now: i64) {
        let _ = now;
    }

    /// Takes the path delay last known for the leader `grandmaster`, used until its first Delay_Resp.
    pub fn handle_known_delay(&mut self, grandmaster: ClockIdentity, path_delay_ns: u32) {
        let _ = (grandmaster, path_delay_ns);
    }

    /// Call when [`Engine::poll_timeout`] has passed; calling it earlier does nothing.
    pub fn handle_timeout(&mut self, now: i64) {
        let _ = now;
    }

    /// The next message to send. Drain until `None` after every `handle_*`.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        None
    }

    /// What happened, oldest first. Drain until `None` after every `handle_*`.
    pub fn poll_event(&mut self) -> Option<Event> {
        None
    }

    /// When to call [`Engine::handle_timeout`] next, in nanoseconds of base B.
    pub fn poll_timeout(&self) -> Option<i64> {
        None
    }

    /// The published mapping; `None` until there is a first one.
    pub fn line(&self) -> Option<Line> {
        None
    }

    /// The state of `port`.
    pub fn port_state(&self, port: u16) -> PortState {
        let _ = port;
        PortState::Disabled
    }

    /// The state of everything at `now`.
    pub fn status(&self, now: i64) -> Status {
        let _ = (now, &self.config);
        Status {
            state: Default::default(),
            leader: None,
            offset_ns: 0.0,
            sigma_ns: 0.0,
            path_delay_ns: None,
            frequency_ppb: 0.0,
            output_offset_ns: 0.0,
            no_delay_responses: false,
            locked_for_ns: None,
            counters: self.counters,
        }
    }
}
