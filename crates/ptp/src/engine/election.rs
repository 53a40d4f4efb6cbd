//! Who leads: the best master clock algorithm over all ports, and what follows from its decisions.

use wireloom_units::ClockIdentity;

use super::Engine;
use super::follower::Follower;
use crate::bmca::{DataSet, Decision, decide};
use crate::config::{Config, Lead};
use crate::foreign::{Habits, Record, interval_of};
use crate::line::ClockState;
use crate::status::{Event, Leader, PortState};
use crate::v2::{Announce, ClockQuality, Flags, Header, PortIdentity};

/// priority1 of a clock that leads only when nobody else does.
const LAST_RESORT_PRIORITY1: u8 = 250;
/// clockClass of a clock that may lead but has no reference.
const DEFAULT_CLASS: u8 = 248;
/// What a clock that never leads thinks of itself: whoever offers to lead is better, even a last resort.
const SLAVE_ONLY: ClockQuality = ClockQuality { class: 255, accuracy: 0xff, variance: 0xffff };

impl<const PORTS: usize> Engine<PORTS> {
    pub(super) fn habits(&self) -> Habits {
        Habits {
            log_announce: self.config.log_announce,
            receipt_timeout: self.config.announce_receipt_timeout.clamp(2, 10),
        }
    }

    /// How long a port listens before it may lead, or how long a silent leader is believed in.
    pub(super) fn announce_receipt_timeout(&mut self) -> i64 {
        let interval = interval_of(self.config.log_announce);
        interval * i64::from(self.habits().receipt_timeout) + self.random.up_to(interval)
    }

    /// This clock's own data set, D0.
    pub(super) fn own_data_set(&self) -> DataSet {
        let own = PortIdentity { clock: self.config.identity, port: 0 };
        let Config { quality, priority1, priority2, .. } = self.config;
        let (priority1, quality, priority2) = match self.config.lead {
            Lead::Never => (u8::MAX, SLAVE_ONLY, u8::MAX),
            Lead::LastResort => {
                (LAST_RESORT_PRIORITY1, ClockQuality { class: DEFAULT_CLASS, ..quality }, priority2)
            }
            Lead::Always => (priority1, quality, priority2),
        };
        DataSet {
            priority1,
            quality,
            priority2,
            grandmaster: self.config.identity,
            steps_removed: 0,
            sender: own,
            receiver: own,
        }
    }

    pub(super) fn heard_announce(&mut self, now: i64, port: u16, header: &Header, announce: Announce) {
        if announce.steps_removed >= 255 {
            self.counters.steps_removed += 1;
            return;
        }
        let habits = self.habits();
        let Some(foreign) = self.ports.get_mut(usize::from(port)).map(|port| &mut port.foreign) else {
            return;
        };
        if foreign.handle_announce(now, header, &announce, &habits, &mut self.random) {
            self.counters.announces += 1;
        } else {
            self.counters.foreign_full += 1;
        }
        self.elect(now);
    }

    /// Runs the election and gives every port its state.
    pub(super) fn elect(&mut self, now: i64) {
        let own = self.own_data_set();
        let mut best: Option<(u16, DataSet)> = None;
        for number in 0..PORTS as u16 {
            let Some(heard) = self.heard_by(number) else { continue };
            if best.is_none_or(|(_, best)| heard.compare(&best).is_better()) {
                best = Some((number, heard));
            }
        }
        let best = best.map(|(_, set)| set);
        let mut leader = None;
        for number in 0..PORTS as u16 {
            let Some(port) = self.ports.get(usize::from(number)).filter(|port| port.is_enabled()) else {
                continue;
            };
            let waiting = port.state == PortState::Listening && now < port.wait_until;
            let heard = self.heard_by(number);
            let decision = match decide(&own, heard.as_ref(), best.as_ref(), waiting) {
                // A last resort brings no network the clock of another one.
                Decision::BoundaryMaster if heard.is_some() && self.config.lead == Lead::LastResort => {
                    Decision::Passive2
                }
                decision => decision,
            };
            if decision == Decision::Slave {
                leader = self.record_of(number).map(|record| describe(number, record));
            }
            let steps = best.map_or(0, |best| best.steps_removed);
            self.obey(now, number, decision, steps);
        }
        self.follow(now, leader);
    }

    fn record_of(&self, number: u16) -> Option<&Record> {
        let port = self.ports.get(usize::from(number)).filter(|port| port.is_enabled())?;
        port.foreign.best(self.port_identity(number))
    }

    fn heard_by(&self, number: u16) -> Option<DataSet> {
        Some(self.record_of(number)?.data_set(self.port_identity(number)))
    }

    /// Moves one port to the state that was decided for it; the best clock is `steps` boundary clocks away.
    fn obey(&mut self, now: i64, number: u16, decision: Decision, steps: u16) {
        let state = self.port_state(number);
        let never = self.config.lead == Lead::Never;
        let wanted = match decision {
            Decision::Listening => PortState::Listening,
            Decision::Slave if matches!(state, PortState::Slave | PortState::Uncalibrated) => state,
            Decision::Slave => PortState::Uncalibrated,
            _ if never => PortState::Listening,
            Decision::Passive1 | Decision::Passive2 => PortState::Passive,
            Decision::Master => PortState::Master,
            Decision::BoundaryMaster => match state {
                PortState::Master => state,
                PortState::PreMaster if self.wait_of(number) <= now => PortState::Master,
                _ => PortState::PreMaster,
            },
        };
        // A slave-only port has nothing to wait for but an Announce.
        let listened_out = never && wanted == PortState::Listening && self.wait_of(number) <= now;
        if wanted == state && !listened_out {
            return;
        }
        let wait = match wanted {
            PortState::Listening if never => i64::MAX,
            PortState::Listening => now.saturating_add(self.announce_receipt_timeout()),
            PortState::PreMaster => {
                // Our own stepsRemoved is one more, and the wait is one interval longer than that (§9.2.6.10).
                let intervals = i64::from(steps) + 2;
                now.saturating_add(interval_of(self.config.log_announce).saturating_mul(intervals))
            }
            _ => now,
        };
        // Ports that begin together take turns: what all would send at once does not fit into the queue.
        let turn = interval_of(self.config.log_sync) / PORTS.max(1) as i64 * i64::from(number);
        if let Some(port) = self.ports.get_mut(usize::from(number)) {
            port.wait_until = wait;
            if wanted == PortState::Master {
                let first = now.saturating_add(turn);
                (port.next_announce, port.next_sync) = (first, first);
            }
        }
        self.set_state(number, wanted);
    }

    fn wait_of(&self, number: u16) -> i64 {
        self.ports.get(usize::from(number)).map_or(i64::MAX, |port| port.wait_until)
    }

    /// Follows `leader`, or leads, or holds over.
    fn follow(&mut self, now: i64, leader: Option<Leader>) {
        let parent = |leader: &Leader| (leader.port, leader.parent);
        let followed = self.follower.as_ref().map(|follower| parent(&follower.leader));
        match leader {
            Some(leader) if followed == Some(parent(&leader)) => {
                // It may describe its grandmaster differently today, or have found another one.
                let before =
                    self.follower.as_mut().map(|follower| core::mem::replace(&mut follower.leader, leader));
                if before.is_some_and(|before| before.grandmaster != leader.grandmaster) {
                    self.tell(Event::LeaderChanged(Some(leader.parent)));
                }
            }
            Some(leader) => {
                let same = self.last_parent == Some(parent(&leader));
                self.last_parent = Some(parent(&leader));
                self.follower = Some(Follower::new(leader));
                self.estimator.follow(now, same, self.known_delay_of(leader.grandmaster));
                self.tell(Event::LeaderChanged(Some(leader.parent)));
            }
            None if self.follower.take().is_some() => self.tell(Event::LeaderChanged(None)),
            None => {}
        }
        let leading =
            self.follower.is_none() && self.ports.iter().any(|port| port.state == PortState::Master);
        let state = self.estimator.state();
        if leading && state != ClockState::Leader {
            self.last_parent = None;
            let own = self.config.own_time;
            if !self.estimator.lead(now, own.base, own.time) {
                self.heritage = None;
            }
        } else if !leading && self.follower.is_none() && (followed.is_some() || state == ClockState::Leader) {
            self.estimator.lose(now);
        }
        match &self.follower {
            Some(follower) => self.grandmaster = follower.leader.grandmaster,
            None if leading => self.grandmaster = self.config.identity,
            None => {}
        }
    }

    fn known_delay_of(&self, grandmaster: ClockIdentity) -> Option<f64> {
        let known = self.known_delays.iter().flatten().find(|(identity, _)| *identity == grandmaster);
        known.map(|&(_, delay)| f64::from(delay))
    }
}

const fn describe(port: u16, record: &Record) -> Leader {
    let Record { sender, said, .. } = record;
    Leader {
        grandmaster: said.grandmaster,
        parent: *sender,
        port,
        priority1: said.priority1,
        quality: said.quality,
        priority2: said.priority2,
        steps_removed: said.steps_removed,
        utc_offset: if said.flags.has(Flags::UTC_OFFSET_VALID) { Some(said.utc_offset) } else { None },
        ptp_timescale: said.flags.has(Flags::PTP_TIMESCALE),
        leap61: said.flags.has(Flags::LEAP61),
        leap59: said.flags.has(Flags::LEAP59),
        time_traceable: said.flags.has(Flags::TIME_TRACEABLE),
        frequency_traceable: said.flags.has(Flags::FREQUENCY_TRACEABLE),
        time_source: said.time_source,
    }
}
