//! The lines of this computer: which are published, what the engine counts in, what is given out when leading.

use std::hash::{BuildHasher as _, RandomState};

use wireloom_clock_page::{Line, LineState, Source, raw_now, realtime_raw_pair};
use wireloom_units::{ClockIdentity, TaiTime};

use super::{Daemon, PUBLISH_NS, SECOND_NS};
use crate::base::{Base, rate_of_ppm};
use crate::clocks::Clocks;
use crate::ptp_clock::{Own, PtpClock};
use crate::settings::{Epoch, Settings, SourceKind};

impl Daemon {
    /// Reads clocks, moves held and slewing lines on, remembers the path delay.
    pub(super) fn every_second(&mut self, now: i64) {
        self.clocks.read();
        let published: Vec<Line> = self.clocks.lines().copied().collect();
        for line in published.iter().filter(|line| is_wanted(&self.settings, line.source)) {
            self.publisher.publish(now, line);
        }
        self.follow_base(now);
        self.line_changed = true;
        self.remember_path_delay(now);
        self.tell_summary();
    }

    pub(super) fn publish_if_due(&mut self) {
        let now = raw_now();
        if !self.line_changed || now < self.next_publish {
            return;
        }
        self.line_changed = false;
        self.next_publish = now + PUBLISH_NS;
        let source = Source::PtpV2(self.settings.domain);
        match self.ptp.as_ref().and_then(PtpClock::line) {
            Some(line) => {
                self.publisher.publish(now, &line);
            }
            None => self.publisher.hold(now, source),
        }
    }

    /// Where the base is the line of another clock: follows it, and starts the engine anew when it jumped.
    fn follow_base(&mut self, now: i64) {
        let Some(line) = self.reference_line() else { return };
        match (&mut self.ptp, self.base_generation) {
            (Some(ptp), Some(generation)) if generation == line.generation => ptp.set_base(Base::line(line)),
            (Some(_), Some(_)) => {
                tracing::info!("this computer's reference was stepped: PTP starts anew");
                self.rebuild_ptp(now);
            }
            _ => {}
        }
    }

    /// The line that the engine's base is made of; `None` when the base is this computer's oscillator.
    fn reference_line(&self) -> Option<Line> {
        if self.settings.uses(SourceKind::Ptp) {
            return None;
        }
        match self.settings.own_source() {
            SourceKind::System => self.publisher.line(Source::System).copied(),
            SourceKind::Phc => self.publisher.line(Source::Phc(self.settings.phc)).copied(),
            SourceKind::Ptp | SourceKind::Free => None,
        }
    }

    /// Makes an engine by the present settings, with all ports that are open.
    pub(super) fn rebuild_ptp(&mut self, now: i64) {
        if let Some(old) = self.ptp.take() {
            self.publisher.source_replaced(old.source());
        }
        if !self.settings.needs_network() || self.ports.iter().all(Option::is_none) {
            return;
        }
        let mac = self.ports.iter().flatten().find_map(|port| port.interface.mac);
        let address = self.ports.iter().flatten().map(|port| port.interface.address.octets()).next();
        let [a, b, c, d] = address.unwrap_or_default();
        let made = mac.map_or(ClockIdentity::from_mac([2, 0, a, b, c, d]), ClockIdentity::from_mac);
        let identity = self.settings.identity.unwrap_or(made);
        let reference = self.reference_line();
        self.base_generation = reference.map(|line| line.generation);
        let base = reference.map_or(Base::trimmed(now, self.settings.trim_ppm), Base::line);
        // Hashing with random keys is the standard library's random number.
        let seed = RandomState::new().hash_one(now);
        let mut ptp = PtpClock::new(&self.settings, identity, base, self.own_time(now, reference), seed);
        tracing::info!(%identity, domain = self.settings.domain, "PTP starts");
        for (leader, delay) in self.memory.latest_path_delays() {
            ptp.handle_known_delay(leader, delay);
        }
        for (index, port) in self.ports.iter().enumerate() {
            if let Some(port) = port {
                ptp.enable_port(now, index as u16, self.settings.constants_of(&port.interface.name));
            }
        }
        self.ptp = Some(ptp);
        self.drain_engine();
    }

    /// What this computer gives out when it leads.
    fn own_time(&self, now: i64, reference: Option<Line>) -> Own {
        let (pair, known) = self.clocks.system_tai();
        let utc_offset =
            known.then(|| (pair.clock - realtime_raw_pair().offset() - pair.raw + 500_000_000) / SECOND_NS);
        let utc_offset = utc_offset.and_then(|seconds| i16::try_from(seconds).ok());
        let kind = self.settings.own_source();
        let phc = self.clocks.lines().find(|line| line.source == Source::Phc(self.settings.phc));
        let line = match kind {
            SourceKind::Free | SourceKind::Ptp => Some(&self.free),
            SourceKind::Phc => reference.as_ref().or(phc),
            SourceKind::System => reference.as_ref(),
        };
        let time = match line {
            Some(line) => line.at(now),
            None => TaiTime::from_nanos(pair.clock.saturating_add(now.saturating_sub(pair.raw))),
        };
        let is_tai = kind != SourceKind::Free || self.settings.epoch == Epoch::System;
        Own { raw: now, time, is_tai, utc_offset: utc_offset.filter(|_| is_tai) }
    }

    /// The computer slept: every line that counts in CLOCK_MONOTONIC_RAW is now elsewhere.
    pub(super) fn resume(&mut self, now: i64, slept: i64) {
        tracing::info!(milliseconds = slept / 1_000_000, "the computer slept");
        self.clocks.converter.forget();
        self.free.time = self.free.time.offset_by(slept);
        self.free.generation = self.free.generation.wrapping_add(1);
        if self.settings.uses(SourceKind::Free) {
            self.publisher.publish_exact(&self.free);
        }
        self.clocks.read(); // what was read before is late by the sleep
        let own = self.own_time(now, self.reference_line());
        if let Some(ptp) = &mut self.ptp {
            ptp.handle_resume(now, own);
            self.drain_engine();
        }
    }

    pub(super) fn remember_path_delay(&mut self, now: i64) {
        let Some(status) = self.ptp.as_ref().map(|ptp| ptp.status(now)) else { return };
        let (Some(leader), Some(delay)) = (status.leader, status.path_delay_ns) else { return };
        if status.locked_for_ns.is_none() || !delay.is_finite() {
            return;
        }
        let delay = delay.clamp(0.0, 1e9) as u32;
        // Noise is not worth a write to a disk.
        let differs = |known: u32| known.abs_diff(delay) > 500 + known / 8;
        if self.memory.path_delay(leader.grandmaster).is_none_or(differs) {
            self.memory.remember_path_delay(leader.grandmaster, delay);
            if let Some(ptp) = &mut self.ptp {
                ptp.handle_known_delay(leader.grandmaster, delay);
            }
        }
    }

    pub(super) fn save(&mut self) {
        if let Err(error) = self.memory.save() {
            tracing::debug!(%error, "path delays are not remembered");
        }
    }
}

/// Whether the page should carry a line of `source`.
pub(super) fn is_wanted(settings: &Settings, source: Source) -> bool {
    match source {
        Source::PtpV2(domain) => settings.needs_network() && domain == settings.domain,
        Source::PtpV1(_) => false,
        Source::FreeRunning => settings.uses(SourceKind::Free),
        Source::Phc(number) => settings.uses(SourceKind::Phc) && number == settings.phc,
        Source::System => settings.uses(SourceKind::System),
    }
}

/// The oscillator's own time: that of the run before if it went on from the system's, else a new one.
pub(super) fn free_line(settings: &Settings, clocks: &Clocks, earlier: Option<&Line>) -> Line {
    let now = raw_now();
    let (time, generation) = match (settings.epoch, earlier) {
        (Epoch::System, Some(earlier)) => (earlier.at(now), earlier.generation),
        (Epoch::System, None) => {
            let pair = clocks.system_tai().0;
            (TaiTime::from_nanos(pair.clock.saturating_add(now.saturating_sub(pair.raw))), 1)
        }
        (Epoch::Seconds(seconds), earlier) => {
            let generation = earlier.map_or(1, |line| line.generation.wrapping_add(1));
            (TaiTime::from_nanos(i64::from(seconds) * SECOND_NS), generation)
        }
    };
    Line {
        source: Source::FreeRunning,
        state: LineState::FreeRunning,
        generation,
        base: now,
        time,
        rate: rate_of_ppm(settings.trim_ppm),
        error_bound_ns: u64::MAX, // there is nothing to be wrong against
        leader: ClockIdentity::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::passed::Passed;
    use crate::phc::simulated::{SimulatedCard, card};
    use crate::settings::Changes;
    use tempfile::TempDir;
    use wireloom_clock_page::Reader;

    /// No computer has so many; the daemon finds no such device and goes on.
    const NUMBER: u8 = 250;

    /// A daemon whose only source is a card that it has read eight times, the last time at the moment returned.
    fn daemon_on_a_card(folder: &TempDir) -> (Daemon, SimulatedCard, i64) {
        let file = Settings {
            sources: vec![SourceKind::Phc],
            phc: NUMBER,
            epoch: Epoch::Seconds(5), // or every source would count as TAI
            page: folder.path().join("clock"),
            socket: folder.path().join("clock.sock"),
            state: folder.path().join("state.json"),
            ..Settings::default()
        };
        let mut daemon = Daemon::start(file, Changes::default(), Passed::default()).expect("starts");
        let now = raw_now();
        let card = SimulatedCard { raw: now - 8 * SECOND_NS, ..card() };
        daemon.clocks.follow(NUMBER, Box::new(card.clone()));
        for _ in 0..7 {
            daemon.clocks.read();
        }
        daemon.every_second(now);
        (daemon, card, now)
    }

    #[test]
    fn source_phc_puts_the_cards_time_on_the_page() {
        let folder = tempfile::tempdir().expect("temporary directory");
        let (_daemon, card, now) = daemon_on_a_card(&folder);
        let page = Reader::open(folder.path().join("clock")).expect("made");
        let line = page.line(Source::Phc(NUMBER)).expect("published");
        assert_eq!((page.best(), line.state), (Some(line), LineState::Locked));
        for raw in [now, now + SECOND_NS / 2, now + 10 * SECOND_NS] {
            let difference = line.at(raw).as_nanos() - card.time_at(raw);
            assert!(difference.abs() <= 2, "{difference} ns at {raw}");
        }
    }

    #[test]
    fn a_leader_with_source_phc_gives_out_the_cards_time() {
        let folder = tempfile::tempdir().expect("temporary directory");
        let (mut daemon, card, now) = daemon_on_a_card(&folder);
        let later = now + SECOND_NS / 2;
        // Alone, the card is what the engine counts in; beside PTP, it only says what time it is.
        for (sources, counts_in_it) in
            [(vec![SourceKind::Phc], true), (vec![SourceKind::Ptp, SourceKind::Phc, SourceKind::Free], false)]
        {
            daemon.settings.sources = sources;
            let reference = daemon.reference_line();
            assert_eq!(reference.map(|line| line.source), counts_in_it.then_some(Source::Phc(NUMBER)));
            let own = daemon.own_time(later, reference);
            let difference = own.time.as_nanos() - card.time_at(later);
            assert!(difference.abs() <= 2, "{difference} ns");
            assert_eq!((own.raw, own.is_tai), (later, true));
        }
    }
}
