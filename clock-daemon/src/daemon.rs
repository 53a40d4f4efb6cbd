//! The one loop: waits for packets, requests, changes and timers, and hands each to whom it concerns.

mod lines;
mod ports;
mod requests;

use std::fs;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};
use wireloom_clock_page::{Line, Reader, Source, raw_now, realtime_raw_pair};
use wireloom_ptp::Event;

use crate::clocks::Clocks;
use crate::control::Control;
use crate::departures::Departure;
use crate::memory::Memory;
use crate::passed::{Notifier, Passed};
use crate::port::{BUFFER_BYTES, Port};
use crate::ptp_clock::PtpClock;
use crate::publisher::Publisher;
use crate::settings::{Changes, MAX_INTERFACES, Settings, SourceKind};
use crate::status;
use crate::sys::{self, PollEntry};
use lines::{free_line, is_wanted};

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
        daemon.every_second(now);
        daemon.rescan(now);
        // The line of the run before is on the page before the page lives: from a living page that lacks the line in
        // use readers go to another one, and what plays jumps.
        daemon.publish_if_due();
        daemon.publisher.beat(raw_now());
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
            // After a stall much waits. What a leader announces comes first, lest the leader be given up with the first
            // other message while a sign of life lies unread beside it.
            for is_event in [false, true] {
                for index in 0..MAX_INTERFACES {
                    let descriptors = self.ports.get(index).and_then(Option::as_ref).map(Port::descriptors);
                    let Some([event, general]) = descriptors else { continue };
                    if ready(if is_event { event } else { general }) {
                        self.serve_socket(index, is_event);
                    }
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

    /// Handles what waits on the event socket of one port or on the general one.
    fn serve_socket(&mut self, index: usize, is_event: bool) {
        if is_event {
            while let Some(departure) = self.port_mut(index).and_then(Port::receive_departure) {
                self.handle_departure(index, departure);
            }
        }
        let mut buffer = [0; BUFFER_BYTES];
        for _ in 0..MAX_PACKETS_A_TURN {
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
