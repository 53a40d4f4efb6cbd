//! What a leading port sends: Announce, two-step Sync, Follow_Up, Delay_Resp.

use core::net::IpAddr;

use wireloom_units::TaiTime;

use super::{Engine, Packet, Token, Transmit};
use crate::config::OwnTime;
use crate::foreign::interval_of;
use crate::line::ClockState;
use crate::status::{Leader, PortState};
use crate::v2::{
    Announce, Body, Correction, Flags, Header, LOG_INTERVAL_UNUSED, Message, PortIdentity, Timestamp, Tlvs,
};

/// timeSource of a clock that nobody sets.
const INTERNAL_OSCILLATOR: u8 = 0xa0;
/// Seconds since 2017, said without the flag that it is valid.
const TAI_AHEAD_OF_UTC: i16 = 37;

/// A message that waits to be written: small, so that many can wait.
#[derive(Debug, Clone, Copy)]
pub(super) enum Intent {
    Announce { port: u16, sequence: u16 },
    Sync { port: u16, sequence: u16, token: Token },
    FollowUp { port: u16, sequence: u16, origin: TaiTime },
    DelayReq { port: u16, sequence: u16, token: Token },
    DelayResp { port: u16, answer: Answer },
}

/// The answer to a delay request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer {
    sequence: u16,
    requester: PortIdentity,
    receipt: TaiTime,
    correction: Correction,
    to: Option<IpAddr>,
}

/// What a leader says of its time besides its quality.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timescale {
    is_ptp: bool,
    utc_offset: Option<i16>,
}

impl Timescale {
    pub(super) const fn of(leader: &Leader) -> Self {
        Self { is_ptp: leader.ptp_timescale, utc_offset: leader.utc_offset }
    }

    fn flags(self) -> Flags {
        Flags::default()
            .with(Flags::UTC_OFFSET_VALID, self.utc_offset.is_some())
            .with(Flags::PTP_TIMESCALE, self.is_ptp)
    }

    /// currentUtcOffset, which has a value also where none is valid (IEEE 1588-2008 §8.2.4.2).
    fn announced_utc_offset(self) -> i16 {
        self.utc_offset.unwrap_or(if self.is_ptp { TAI_AHEAD_OF_UTC } else { 0 })
    }
}

impl<const PORTS: usize> Engine<PORTS> {
    /// Sends what the leading ports owe at `now`.
    pub(super) fn lead_ports(&mut self, now: i64) {
        let (announce, sync) = (interval_of(self.config.log_announce), interval_of(self.config.log_sync));
        let has_time = self.has_time();
        for number in 0..PORTS as u16 {
            let token = Token(self.next_token);
            let Some(port) = self.ports.get_mut(usize::from(number)) else { continue };
            if port.state != PortState::Master {
                continue;
            }
            let announcing = port.next_announce <= now;
            let syncing = port.next_sync <= now;
            let (announce_sequence, sync_sequence) = (port.announce_sequence, port.sync_sequence);
            if announcing {
                port.next_announce = next(port.next_announce, announce, now);
                port.announce_sequence = announce_sequence.wrapping_add(1);
            }
            let mut missing = false;
            if syncing {
                port.next_sync = next(port.next_sync, sync, now);
                if has_time {
                    port.sync_sequence = sync_sequence.wrapping_add(1);
                    missing = port.expect_sent(token, sync_sequence);
                    self.next_token = self.next_token.wrapping_add(1);
                }
            }
            if announcing {
                self.send(Intent::Announce { port: number, sequence: announce_sequence });
            }
            if syncing && has_time {
                self.counters.transmit_timestamp_missing += u64::from(missing);
                self.send(Intent::Sync { port: number, sequence: sync_sequence, token });
            }
        }
    }

    /// A Sync left: its Follow_Up says when.
    pub(super) fn sync_sent(&mut self, port: u16, token: Token, sent: i64) {
        let Some(sequence) = self.ports.get_mut(usize::from(port)).and_then(|port| port.take_sent(token))
        else {
            return;
        };
        let sent = sent.saturating_add(self.constants(port).egress_latency_ns.into());
        if let Some(line) = self.line().filter(|_| self.port_state(port) == PortState::Master) {
            self.send(Intent::FollowUp { port, sequence, origin: line.at(sent) });
        }
    }

    pub(super) fn heard_delay_req(&mut self, port: u16, header: &Header, received: i64, from: IpAddr) {
        let line = self.line().filter(|_| self.port_state(port) == PortState::Master && self.has_time());
        let Some(line) = line else {
            self.counters.not_leading += 1;
            return;
        };
        let received = received.saturating_sub(self.constants(port).ingress_latency_ns.into());
        self.counters.delay_requests_answered += 1;
        let answer = Answer {
            sequence: header.sequence,
            requester: header.source,
            receipt: line.at(received),
            correction: header.correction,
            to: header.flags.has(Flags::UNICAST).then_some(from),
        };
        self.send(Intent::DelayResp { port, answer });
    }

    /// Whether the published time is good enough to give it to others.
    fn has_time(&self) -> bool {
        matches!(
            self.estimator.state(),
            ClockState::Leader | ClockState::Tracking | ClockState::Locked | ClockState::Holdover
        )
    }

    /// Writes the message that `intent` stands for.
    pub(super) fn write(&self, intent: Intent) -> Option<Transmit> {
        let mut to = None;
        let (port, sequence, log_interval, token, body) = match intent {
            Intent::Announce { port, sequence } => {
                (port, sequence, self.config.log_announce, None, Body::Announce(self.announce()))
            }
            Intent::Sync { port, sequence, token } => {
                let body = Body::Sync { origin: Timestamp::default() };
                (port, sequence, self.config.log_sync, Some(token), body)
            }
            Intent::FollowUp { port, sequence, origin } => {
                let body = Body::FollowUp { origin: Timestamp::from_tai(origin) };
                (port, sequence, self.config.log_sync, None, body)
            }
            Intent::DelayReq { port, sequence, token } => {
                let body = Body::DelayReq { origin: Timestamp::default() };
                (port, sequence, LOG_INTERVAL_UNUSED, Some(token), body)
            }
            Intent::DelayResp { port, answer } => {
                to = answer.to;
                let log = if to.is_some() { LOG_INTERVAL_UNUSED } else { self.config.log_min_delay_req };
                let receipt = Timestamp::from_tai(answer.receipt);
                let body = Body::DelayResp { receipt, requester: answer.requester };
                (port, answer.sequence, log, None, body)
            }
        };
        let flags = match intent {
            Intent::Announce { .. } => self.announce_flags(),
            Intent::Sync { .. } => Flags::TWO_STEP,
            Intent::DelayResp { .. } => Flags::default().with(Flags::UNICAST, to.is_some()),
            Intent::FollowUp { .. } | Intent::DelayReq { .. } => Flags::default(),
        };
        let correction = match intent {
            Intent::DelayResp { answer, .. } => answer.correction,
            _ => Correction::ZERO,
        };
        let header = Header {
            domain: self.config.domain,
            flags,
            correction,
            source: self.port_identity(port),
            sequence,
            control: body.kind().control(),
            log_interval,
            ..Header::default()
        };
        let event = body.kind().is_event();
        let bytes = Packet::new(&Message { header, body, tlvs: Tlvs::default() }).ok()?;
        Some(Transmit { port, event, bytes, token: token.unwrap_or(Token(0)), to })
    }

    /// Our own data, or the leader's with one step more when this clock is a boundary.
    fn announce(&self) -> Announce {
        let own = self.own_data_set();
        let (origin, reserved) = (Timestamp::default(), 0);
        match self.follower.as_ref().map(|follower| &follower.leader) {
            Some(leader) => Announce {
                origin,
                utc_offset: self.timescale().announced_utc_offset(),
                reserved,
                priority1: leader.priority1,
                quality: leader.quality,
                priority2: leader.priority2,
                grandmaster: leader.grandmaster,
                steps_removed: leader.steps_removed.saturating_add(1),
                time_source: leader.time_source,
            },
            None => Announce {
                origin,
                utc_offset: self.timescale().announced_utc_offset(),
                reserved,
                priority1: own.priority1,
                quality: own.quality,
                priority2: own.priority2,
                grandmaster: own.grandmaster,
                steps_removed: 0,
                time_source: INTERNAL_OSCILLATOR,
            },
        }
    }

    /// The timescale that is given out: the leader's, that of the last one whose time goes on here, or our own.
    fn timescale(&self) -> Timescale {
        let OwnTime { ptp_timescale, utc_offset, .. } = self.config.own_time;
        let leader = self.follower.as_ref().map(|follower| Timescale::of(&follower.leader));
        leader.or(self.heritage).unwrap_or(Timescale { is_ptp: ptp_timescale, utc_offset })
    }

    fn announce_flags(&self) -> Flags {
        let flags = self.timescale().flags();
        match self.follower.as_ref().map(|follower| &follower.leader) {
            Some(leader) => flags
                .with(Flags::LEAP61, leader.leap61)
                .with(Flags::LEAP59, leader.leap59)
                .with(Flags::TIME_TRACEABLE, leader.time_traceable)
                .with(Flags::FREQUENCY_TRACEABLE, leader.frequency_traceable),
            None => flags,
        }
    }
}

/// The next beat after `due` and `now`, in rhythm also where some were slept through: ports keep their turns.
const fn next(due: i64, interval: i64, now: i64) -> i64 {
    let slept = now.saturating_sub(due);
    let beats = if slept > 0 { slept / interval } else { 0 };
    due.saturating_add(interval.saturating_mul(beats + 1))
}
