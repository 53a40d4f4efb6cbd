//! The one loop: waits for packets, requests, changes and timers, and hands each to whom it concerns.

use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use wireloom_clock_page::{Line, LineState, Reader, Source, raw_now, realtime_raw_pair};
use wireloom_ptp::{Event, PortState};
use wireloom_units::{ClockIdentity, TaiTime};

use crate::base::{Base, rate_of_ppm};
use crate::clocks::Clocks;
use crate::control::{Control, Request, refusal, success};
use crate::departures::Departure;
use crate::interfaces::{Interface, usable};
use crate::memory::Memory;
use crate::passed::{Notifier, Passed};
use crate::phc::Stamping;
use crate::port::{BUFFER_BYTES, Port};
use crate::ptp_clock::{Own, PtpClock};
use crate::publisher::Publisher;
use crate::settings::{Changes, Epoch, MAX_INTERFACES, Settings, SourceKind};
use crate::status;
use crate::sys::{self, PollEntry};

/// The page's heartbeat; also the watch for steps of CLOCK_REALTIME between packets.
const BEAT_NS: i64 = 250_000_000;
/// Reading clocks, moving held lines on.
const SECOND_NS: i64 = 1_000_000_000;
/// Lines change at most eight times a second.
const PUBLISH_NS: i64 = 125_000_000;
/// Writing what is remembered of leaders; opening again what could not be opened.
const MINUTE_NS: i64 = 60 * SECOND_NS;
const RETRY_NS: i64 = 5 * SECOND_NS;
/// Packets of one socket that are handled before others get their turn: a flood stalls nobody.
const MAX_PACKETS_A_TURN: usize = 32;
/// Answers to one packet, and theirs; an engine sends fewer.
const MAX_TRANSMITS: usize = 64;

/// The whole program.
pub struct Daemon {
    /// From the settings file and options about files.
    file: Settings,
    /// From the command line.
    options: Changes,
    /// What counts: the above and what was changed while running.
    settings: Settings,
    passed: Passed,
    memory: Memory,
    control: Option<Control>,
    publisher: Publisher,
    notifier: Notifier,
    signals: OwnedFd,
    network: OwnedFd,
    clocks: Clocks,
    ptp: Option<PtpClock>,
    ports: [Option<Port>; MAX_INTERFACES],
    free: Line,
    /// Generation of the line that the base is made of, when it is made of one.
    base_generation: Option<u32>,
    /// What is wrong with interfaces, in words.
    problems: Vec<String>,
    line_changed: bool,
    next_publish: i64,
    summary: String,
}

impl Daemon {
    /// Makes page and socket, opens what can be opened. `options` win over what is remembered.
    pub fn start(file: Settings, options: Changes, passed: Passed) -> anyhow::Result<Self> {
        for path in [&file.page, &file.socket] {
            if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
                fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
            }
        }
        let memory = Memory::load(&file.state);
        let mut settings = file.clone();
        if let Err(error) = settings.apply(memory.changes()) {
            tracing::warn!(%error, "a remembered setting is left out");
        }
        settings.apply(&options)?;
        let signals = sys::termination_signals().context("waiting for signals")?;
        let network = sys::network_changes().context("listening for changes of the network (netlink)")?;
        let control = Control::bind(&settings.socket)?;
        if is_published(&settings.page) {
            bail!("another wireloom-clock publishes {}", settings.page.display());
        }
        let mut publisher = Publisher::create(&settings.page)?;
        let mut clocks = Clocks::new(settings.utc_offset, settings.uses(SourceKind::System));
        if settings.uses(SourceKind::Phc) {
            clocks.follow_phc(settings.phc);
        }
        let free = free_line(&settings, &clocks, publisher.line(Source::FreeRunning));
        if settings.uses(SourceKind::Free) {
            publisher.publish_exact(&free);
        }
        let wanted = settings.clone();
        publisher.retain(|source| is_wanted(&wanted, source));
        let mut daemon = Self {
            file,
            options,
            settings,
            passed,
            memory,
            control: Some(control),
            publisher,
            notifier: Notifier::from_environment(),
            signals,
            network,
            clocks,
            ptp: None,
            ports: Default::default(),
            free,
            base_generation: None,
            problems: Vec::new(),
            line_changed: false,
            next_publish: 0,
            summary: String::new(),
        };
        let now = raw_now();
        daemon.publisher.beat(now);
        daemon.every_second(now);
        daemon.rescan(now);
        Ok(daemon)
    }

    /// Runs until a signal asks to end; leaves the page to hold over on and no socket.
    pub fn run(mut self) -> anyhow::Result<()> {
        self.notifier.send("READY=1");
        tracing::info!(page = %self.settings.page.display(), socket = %self.settings.socket.display(), "serving");
        let now = raw_now();
        let (mut beat, mut second, mut minute, mut retry) = (now, now, now + MINUTE_NS, now + RETRY_NS);
        let mut entries = Vec::new();
        loop {
            self.wait(&mut entries, beat.min(second))?;
            let now = raw_now();
            let ready =
                |fd: i32| entries.iter().any(|entry: &PollEntry| entry.fd == fd && entry.revents != 0);
            if ready(self.signals.as_raw_fd()) {
                break;
            }
            if let Some(slept) = self.clocks.slept() {
                self.resume(now, slept);
            }
            if ready(self.network.as_raw_fd()) {
                // Level-triggered: whatever the messages said, the list is read anew.
                while sys::discard(&self.network).is_ok() {}
                self.rescan(now);
            }
            for index in 0..MAX_INTERFACES {
                let descriptors = self.ports.get(index).and_then(Option::as_ref).map(Port::descriptors);
                if let Some([event, general]) = descriptors {
                    self.serve_port(index, ready(event), ready(general));
                }
            }
            let interested = self
                .control
                .as_ref()
                .is_some_and(|control| control.has_backlog() || control.interests().any(|(fd, _)| ready(fd)));
            if interested {
                self.serve_control(now);
            }
            self.serve_timers();
            if now >= beat {
                beat = now + BEAT_NS;
                self.publisher.beat(now);
                self.clocks.converter.observe(realtime_raw_pair());
                if self.notifier.wants_watchdog() {
                    self.notifier.send("WATCHDOG=1");
                }
            }
            if now >= second {
                second = now + SECOND_NS;
                self.every_second(now);
            }
            if now >= retry {
                retry = now + RETRY_NS;
                if !self.problems.is_empty() {
                    self.rescan(now);
                }
            }
            if now >= minute {
                minute = now + MINUTE_NS;
                self.save();
            }
            self.publish_if_due();
        }
        self.notifier.send("STOPPING=1");
        self.save();
        self.publisher.stop();
        Ok(())
    }

    /// Waits until something is ready or due; `at_latest` is CLOCK_MONOTONIC_RAW.
    fn wait(&self, entries: &mut Vec<PollEntry>, at_latest: i64) -> anyhow::Result<()> {
        entries.clear();
        entries.push(sys::poll_entry(self.signals.as_raw_fd(), libc::POLLIN));
        entries.push(sys::poll_entry(self.network.as_raw_fd(), libc::POLLIN));
        let control = self.control.iter().flat_map(Control::interests);
        entries.extend(control.map(|(fd, events)| sys::poll_entry(fd, events)));
        let mut due = at_latest;
        for port in self.ports.iter().flatten() {
            // Transmit time stamps announce themselves as POLLERR, which is always waited for.
            entries.extend(port.descriptors().map(|fd| sys::poll_entry(fd, libc::POLLIN)));
            due = due.min(port.next_deadline().unwrap_or(due));
        }
        due = due.min(self.ptp.as_ref().and_then(PtpClock::poll_timeout).unwrap_or(due));
        if self.line_changed {
            due = due.min(self.next_publish);
        }
        let backlog = self.control.as_ref().is_some_and(Control::has_backlog);
        let timeout = if backlog { 0 } else { due.saturating_sub(raw_now()).max(0).cast_unsigned() };
        sys::poll(entries, timeout).context("waiting for something to happen")
    }

    /// Handles what waits on the sockets of one port.
    fn serve_port(&mut self, index: usize, event: bool, general: bool) {
        if event {
            while let Some(departure) = self.port_mut(index).and_then(Port::receive_departure) {
                self.handle_departure(index, departure);
            }
        }
        for (ready, is_event) in [(event, true), (general, false)] {
            let mut buffer = [0; BUFFER_BYTES];
            for _ in 0..if ready { MAX_PACKETS_A_TURN } else { 0 } {
                let Some(port) = self.ports.get_mut(index).and_then(Option::as_mut) else { return };
                let Some(datagram) = port.receive(is_event, &mut buffer) else { break };
                let bytes = buffer.get(..datagram.length).unwrap_or_default();
                let Some(ptp) = &mut self.ptp else { continue };
                let now = raw_now();
                tracing::trace!(interface = %port.interface.name, from = %datagram.from, event = is_event, length = datagram.length, "received");
                if is_event {
                    match self.clocks.moment(port.stamping, datagram.stamps) {
                        Some(moment) => ptp.handle_event(now, index as u16, bytes, moment, datagram.from),
                        None => port.counters.unstamped += 1,
                    }
                } else {
                    ptp.handle_general(now, index as u16, bytes, datagram.from);
                }
                self.drain_engine();
            }
        }
    }

    fn handle_departure(&mut self, index: usize, departure: Departure) {
        let Some(port) = self.ports.get_mut(index).and_then(Option::as_mut) else { return };
        let (token, moment) = match departure {
            Departure::Stamped(token, stamps) => (token, self.clocks.moment(port.stamping, stamps)),
            Departure::Assumed(token, midpoint) => (token, Some(midpoint)),
        };
        let (Some(ptp), Some(moment)) = (&mut self.ptp, moment) else { return };
        ptp.handle_sent(raw_now(), index as u16, token, moment);
        self.drain_engine();
    }

    /// What is due: the engine's timers, stamps that never came.
    fn serve_timers(&mut self) {
        let now = raw_now();
        for index in 0..MAX_INTERFACES {
            while let Some(departure) = self.port_mut(index).and_then(|port| port.give_up(now)) {
                self.handle_departure(index, departure);
            }
        }
        if let Some(ptp) = &mut self.ptp {
            ptp.handle_timeout(now);
            self.drain_engine();
        }
    }

    /// Sends what the engine wants to send, and hears what it has to say.
    fn drain_engine(&mut self) {
        let Some(ptp) = &mut self.ptp else { return };
        for _ in 0..MAX_TRANSMITS {
            let Some(message) = ptp.poll_transmit() else { break };
            let Some(port) = self.ports.get_mut(usize::from(message.port)).and_then(Option::as_mut) else {
                continue;
            };
            if let Some(Departure::Assumed(token, midpoint)) = port.send(&message) {
                ptp.handle_sent(raw_now(), message.port, token, midpoint);
            }
        }
        while let Some(event) = ptp.poll_event() {
            match event {
                Event::LineChanged => self.line_changed = true,
                Event::StateChanged { from, to } => {
                    self.line_changed = true;
                    self.next_publish = 0; // readers want to know at once
                    tracing::info!(from = from.name(), to = to.name(), "clock state");
                }
                Event::LeaderChanged(Some(parent)) => tracing::info!(%parent, "following"),
                Event::LeaderChanged(None) => tracing::info!("no leader"),
                Event::Stepped { generation } => tracing::info!(generation, "the network's time was stepped"),
                Event::DelayResponses { answered } => tracing::info!(answered, "delay requests"),
                Event::PortStateChanged { port, to } => {
                    tracing::debug!(port, state = status::port_state(to), "port state");
                }
                _ => {}
            }
        }
    }

    /// Reads clocks, moves held and slewing lines on, remembers the path delay.
    fn every_second(&mut self, now: i64) {
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

    fn publish_if_due(&mut self) {
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
    fn rebuild_ptp(&mut self, now: i64) {
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

    /// Compares the interfaces that are wanted with those in use, and acts on the difference.
    fn rescan(&mut self, now: i64) {
        let mut problems = Vec::new();
        let mut wanted = match sys::interface_rows() {
            Ok(rows) if self.settings.needs_network() => usable(&rows, &self.settings.interfaces),
            Ok(_) => Vec::new(),
            Err(error) => {
                tracing::warn!(%error, "cannot list the network interfaces");
                return;
            }
        };
        for name in &self.settings.interfaces {
            if self.settings.needs_network() && !wanted.iter().any(|interface| interface.name == *name) {
                problems.push(format!("{name}: no such interface, or it is down or has no IPv4 address"));
            }
        }
        for left_out in wanted.iter().skip(MAX_INTERFACES) {
            problems
                .push(format!("{}: not used, a clock can have {MAX_INTERFACES} interfaces", left_out.name));
        }
        wanted.truncate(MAX_INTERFACES);
        for index in 0..MAX_INTERFACES {
            let gone = self.port_mut(index).is_some_and(|port| !wanted.contains(&port.interface));
            if gone {
                self.close_port(now, index, &wanted);
            }
        }
        for interface in wanted {
            if self.ports.iter().flatten().any(|port| port.interface == interface) {
                continue;
            }
            if let Err(error) = self.open_port(now, &interface) {
                problems.push(format!("{}: {error:#}", interface.name));
            }
        }
        for problem in problems.iter().filter(|problem| !self.problems.contains(problem)) {
            tracing::warn!("{problem}");
        }
        self.problems = problems;
        self.drain_engine();
    }

    fn close_port(&mut self, now: i64, index: usize, wanted: &[Interface]) {
        let Some(port) = self.ports.get_mut(index).and_then(Option::take) else { return };
        // Another address or number of the same interface only needs other sockets, which come right after.
        let name = &port.interface.name;
        if !wanted.iter().any(|interface| interface.name == *name) {
            tracing::info!(interface = %name, "no longer used");
        }
        if let Some(ptp) = &mut self.ptp {
            ptp.disable_port(now, index as u16);
        }
    }

    fn open_port(&mut self, now: i64, interface: &Interface) -> anyhow::Result<()> {
        let Some(index) = self.ports.iter().position(Option::is_none) else { return Ok(()) };
        let port = Port::open(interface, &self.settings, &self.passed)?;
        let (stamps, why) = match port.stamping {
            Stamping::Hardware(number) => {
                self.clocks.follow_phc(number);
                ("hardware", "")
            }
            Stamping::Software(why) => ("software", why.words()),
        };
        tracing::info!(interface = %interface.name, address = %interface.address, stamps, why, "in use");
        if Path::new("/sys/class/net").join(&interface.name).join("wireless").exists() {
            let name = &interface.name;
            tracing::warn!(interface = %name, "Wi-Fi delays packets by milliseconds: expect no sample accuracy");
        }
        if let Some(slot) = self.ports.get_mut(index) {
            *slot = Some(port);
        }
        let constants = self.settings.constants_of(&interface.name);
        match &mut self.ptp {
            Some(ptp) => ptp.enable_port(now, index as u16, constants),
            None => self.rebuild_ptp(now),
        }
        Ok(())
    }

    /// The computer slept: every line that counts in CLOCK_MONOTONIC_RAW is now elsewhere.
    fn resume(&mut self, now: i64, slept: i64) {
        tracing::info!(milliseconds = slept / 1_000_000, "the computer slept");
        self.clocks.converter.forget();
        self.free.time = self.free.time.offset_by(slept);
        self.free.generation = self.free.generation.wrapping_add(1);
        if self.settings.uses(SourceKind::Free) {
            self.publisher.publish_exact(&self.free);
        }
        let own = self.own_time(now, self.reference_line());
        if let Some(ptp) = &mut self.ptp {
            ptp.handle_resume(now, own);
            self.drain_engine();
        }
    }

    fn serve_control(&mut self, now: i64) {
        let Some(mut control) = self.control.take() else { return };
        control.serve(now, |request| self.answer(request));
        self.control = Some(control);
    }

    fn answer(&mut self, request: Request) -> Value {
        let (changes, remembered) = match request {
            Request::Status => return success(self.status()),
            Request::Set(changes) => {
                let mut remembered = self.memory.changes().clone();
                remembered.merge(changes.clone());
                (Some(changes), remembered)
            }
            Request::Reset => (None, Changes::default()),
        };
        let mut settings = if changes.is_some() { self.settings.clone() } else { self.file.clone() };
        if let Err(error) = settings.apply(changes.as_ref().unwrap_or(&self.options)) {
            return refusal(&error.to_string());
        }
        let is_preferred = changes.is_some_and(|changes| changes.preferred == Some(true));
        if is_preferred && settings.lead == crate::settings::LeadKind::Never {
            return refusal("preferred means nothing while lead is \"never\"");
        }
        self.change_settings(settings);
        match self.memory.remember_changes(remembered) {
            Ok(()) => success(self.status()),
            Err(error) => {
                tracing::warn!(%error, "not remembered for later runs");
                success(self.status())
            }
        }
    }

    fn change_settings(&mut self, settings: Settings) {
        let now = raw_now();
        let old = std::mem::replace(&mut self.settings, settings);
        let only_interfaces = Settings { interfaces: old.interfaces.clone(), ..self.settings.clone() };
        if only_interfaces != old {
            self.rebuild_ptp(now);
            let settings = self.settings.clone();
            self.publisher.retain(|source| is_wanted(&settings, source));
        }
        self.rescan(now);
        self.line_changed = true;
        tracing::info!("settings changed");
    }

    fn status(&self) -> Value {
        let now = raw_now();
        let status = self.ptp.as_ref().map(|ptp| (ptp.identity().to_string(), ptp.status(now)));
        let clock = status
            .as_ref()
            .map(|(identity, status)| status::clock(identity, status, self.leader_interface()));
        let port_state =
            |index: usize| self.ptp.as_ref().map_or(PortState::Disabled, |ptp| ptp.port_state(index as u16));
        let ports = self.ports.iter().enumerate();
        let ports = ports.filter_map(|(index, port)| Some(status::port(port.as_ref()?, port_state(index))));
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "page": self.settings.page,
            "summary": self.present_summary(),
            "settings": status::settings(&self.settings),
            "clock": clock,
            "lines": self.publisher.lines().map(status::line).collect::<Vec<_>>(),
            "interfaces": ports.collect::<Vec<_>>(),
            "problems": self.problems,
            "realtime_steps": self.clocks.converter.steps,
            "stamps_rejected": self.clocks.converter.rejected,
        })
    }

    fn leader_port(&self) -> Option<&Port> {
        let leader = self.ptp.as_ref()?.status(raw_now()).leader?;
        self.ports.get(usize::from(leader.port))?.as_ref()
    }

    fn leader_interface(&self) -> Option<&str> {
        self.leader_port().map(|port| port.interface.name.as_str())
    }

    fn present_summary(&self) -> String {
        let mut best: Option<&Line> = None;
        for line in self.publisher.lines() {
            let better = |other: &Line| line.rung() < other.rung();
            if line.rung().is_some() && best.is_none_or(better) {
                best = Some(line);
            }
        }
        let hardware = self.leader_port().is_some_and(|port| matches!(port.stamping, Stamping::Hardware(_)));
        status::summary(best, self.leader_interface(), hardware)
    }

    fn tell_summary(&mut self) {
        let summary = self.present_summary();
        if summary != self.summary {
            tracing::info!("{summary}");
            self.notifier.send(&format!("STATUS={summary}"));
            self.summary = summary;
        }
    }

    fn remember_path_delay(&mut self, now: i64) {
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

    fn save(&mut self) {
        if let Err(error) = self.memory.save() {
            tracing::debug!(%error, "path delays are not remembered");
        }
    }

    fn port_mut(&mut self, index: usize) -> Option<&mut Port> {
        self.ports.get_mut(index)?.as_mut()
    }
}

/// Whether a living process publishes the page at `path`: its heart beats while we look.
fn is_published(path: &Path) -> bool {
    let Ok(reader) = Reader::open(path) else { return false };
    let beat = reader.heartbeat();
    if !reader.is_alive(raw_now()) {
        return false;
    }
    thread::sleep(Duration::from_nanos(2 * BEAT_NS.unsigned_abs()));
    reader.heartbeat() != beat
}

/// Whether the page should carry a line of `source`.
fn is_wanted(settings: &Settings, source: Source) -> bool {
    match source {
        Source::PtpV2(domain) => settings.needs_network() && domain == settings.domain,
        Source::PtpV1(_) => false,
        Source::FreeRunning => settings.uses(SourceKind::Free),
        Source::Phc(number) => settings.uses(SourceKind::Phc) && number == settings.phc,
        Source::System => settings.uses(SourceKind::System),
    }
}

/// The oscillator's own time: that of the run before if it went on from the system's, else a new one.
fn free_line(settings: &Settings, clocks: &Clocks, earlier: Option<&Line>) -> Line {
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
