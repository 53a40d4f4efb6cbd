//! The core task: owns the model, feeds it, and carries out its wishes.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, sleep_until};
use tracing::{info, warn};
use wireloom_clock_page::Line;
use wireloom_units::Nanos;

use crate::clock_service::ClockService;
use crate::clock_watch::ClockWatch;
use crate::drop_in::{self, DropIn};
use crate::executor::{Executors, Told};
use crate::interfaces::{self, Bell};
use crate::journal::Journal;
use crate::lock::ActiveLock;
use crate::model::{ClockFacts, DropInState, GraphEvent, Model, line_text};
use crate::oat;
use crate::pipewire_thread::PipeWireOp;
use crate::ravenna::{self, Ravenna};
use crate::request::Request;
use crate::sap_senders::SapSenders;
use crate::sap_sockets::{Datagram, SapSockets};
use crate::store;
use crate::time::{Clock, Now};
use crate::usrvclock;
use crate::view::World;

/// The clock page is looked at so often: a new grandmaster must be announced within a second.
const CLOCK_LOOK: Duration = Duration::from_millis(250);
/// Interfaces are read at least so often, should netlink have missed something.
const INTERFACE_LOOK: Duration = Duration::from_secs(10);
/// The bus gets a new world at most so often.
const WORLD_EVERY: Nanos = Nanos::from_millis(50);
/// What nobody is told of, such as when an announcement was heard last, is at most so old.
const WORLD_AGE: Nanos = Nanos::from_secs(1);
/// After its work the core rests for so many times as long before it listens to the network and the graph again:
/// whoever floods us gets a third of our time, and those who ask on the bus the rest. What comes meanwhile is one
/// batch.
const REST: u64 = 2;
/// At least so long: what one change brings, as the links of a route, comes one after the other.
const LEAST_REST: Nanos = Nanos::from_millis(10);
/// But never longer, so that an announcement is soon a node.
const LONGEST_REST: Nanos = Nanos::from_millis(200);
/// So many inputs of one kind are taken before the model settles.
const BATCH: usize = 256;

/// What the core is connected to.
pub struct Ends {
    pub requests: mpsc::Receiver<Request>,
    pub datagrams: mpsc::Receiver<Datagram>,
    /// From senders of OAT that were asked for a stream.
    pub answers: mpsc::Receiver<oat::Datagram>,
    /// From receivers of OAT that want a stream of ours.
    pub questions: mpsc::Receiver<oat::Question>,
    pub graph: mpsc::Receiver<GraphEvent>,
    pub told: mpsc::Receiver<Told>,
    pub ravenna: mpsc::Receiver<ravenna::Event>,
    pub ops: pipewire::channel::Sender<PipeWireOp>,
    pub worlds: watch::Sender<Arc<World>>,
}

/// The core and what it drives.
pub struct Driver {
    pub clock: Clock,
    pub model: Model,
    pub journal: Journal,
    pub sockets: SapSockets,
    pub subscriptions: oat::Sockets,
    pub questions: oat::Questions,
    pub watch: ClockWatch,
    pub service: ClockService,
    /// Where the clock is served to other programs.
    pub usrvclock: Option<watch::Sender<usrvclock::Facts>>,
    /// Where the user's PipeWire finds the module.
    pub drop_in: Option<DropIn>,
    pub lock: ActiveLock,
    pub state_file: PathBuf,
    pub states: store::StateWriter,
    /// This agent acted when it was looked at last.
    pub active: bool,
    pub senders: SapSenders,
    pub executors: Executors,
    /// Devices of OAT that are to be controlled.
    pub controlled: watch::Sender<oat::Plan>,
    pub ravenna: Ravenna,
    /// Interfaces on which joining failed last time.
    pub failed: BTreeSet<u32>,
    pub clock_seen: Vec<String>,
    pub world_at: Nanos,
    pub world_due: Option<Nanos>,
    /// No other world is made before, unless somebody waits for it.
    pub world_from: Nanos,
    /// Network and graph are not looked at before.
    pub rest_until: Nanos,
}

impl Driver {
    /// Runs until `stop` ends.
    pub async fn run(mut self, mut ends: Ends, stop: impl Future<Output = ()>) {
        let bell = Bell::new().inspect_err(|error| warn!("network changes are noticed late: {error}")).ok();
        let mut clock_look = interval(CLOCK_LOOK);
        let mut interface_look = interval(INTERFACE_LOOK);
        clock_look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        interface_look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tokio::pin!(stop);
        self.read_interfaces();
        self.look_at_drop_in();
        let mut unsettled = false;
        loop {
            let (due, resting) = (self.due(), self.rest_until > self.clock.now().mono);
            let due = if resting { due.min(self.rest_until) } else { due };
            // Whether nothing came since the model settled last, as a request is settled at once.
            let mut quiet = false;
            let (mut changed, mut heard) = (true, false);
            tokio::select! {
                () = &mut stop => break,
                Some(request) = ends.requests.recv() => {
                    (changed, quiet) = (false, true); // what is asked is settled and shown at once
                    self.answer(request, &ends);
                    for _ in 1..BATCH {
                        let Ok(request) = ends.requests.try_recv() else { break };
                        self.answer(request, &ends);
                    }
                }
                Some(event) = ends.graph.recv(), if !resting => {
                    heard = true;
                    let now = self.clock.now();
                    self.model.handle_graph(now, event);
                    for _ in 1..BATCH {
                        let Ok(event) = ends.graph.try_recv() else { break };
                        self.model.handle_graph(now, event);
                    }
                }
                Some(datagram) = ends.datagrams.recv(), if !resting => {
                    heard = true;
                    changed = self.hear(&datagram);
                    for _ in 1..BATCH {
                        let Ok(datagram) = ends.datagrams.try_recv() else { break };
                        changed |= self.hear(&datagram);
                    }
                }
                Some(told) = ends.told.recv(), if !resting => {
                    heard = true;
                    let now = self.clock.now();
                    self.model.handle_told(now, told);
                    for _ in 1..BATCH {
                        let Ok(told) = ends.told.try_recv() else { break };
                        self.model.handle_told(now, told);
                    }
                }
                Some(event) = ends.ravenna.recv(), if !resting => {
                    heard = true;
                    let now = self.clock.now();
                    changed = self.model.handle_ravenna(now, event);
                    for _ in 1..BATCH {
                        let Ok(event) = ends.ravenna.try_recv() else { break };
                        changed |= self.model.handle_ravenna(now, event);
                    }
                }
                Some(answer) = ends.answers.recv(), if !resting => {
                    heard = true;
                    changed = self.take_answer(&answer);
                    for _ in 1..BATCH {
                        let Ok(answer) = ends.answers.try_recv() else { break };
                        changed |= self.take_answer(&answer);
                    }
                }
                Some(question) = ends.questions.recv(), if !resting => {
                    heard = true;
                    changed = self.answer_question(&question);
                    for _ in 1..BATCH {
                        let Ok(question) = ends.questions.try_recv() else { break };
                        changed |= self.answer_question(&question);
                    }
                }
                _ = clock_look.tick() => {
                    changed = self.look_at_clock();
                    quiet = !changed;
                }
                _ = interface_look.tick() => {
                    self.read_interfaces();
                    self.look_at_drop_in();
                }
                () = rung(bell.as_ref()) => {
                    // Several messages belong to one change: let them come.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    self.read_interfaces();
                }
                () = sleep_until(self.clock.instant(due)) => {
                    if resting && due == self.rest_until {
                        continue; // nothing is due but to listen again
                    }
                    (changed, quiet) = (false, true);
                }
            }
            let begun = self.clock.now().mono;
            unsettled = self.settle(&ends, changed, quiet && !unsettled);
            if self.model.poll_switch_off() && !drop_in::is_restarted_in_order().await {
                self.switch_off();
                unsettled = true;
            }
            if heard {
                self.rest_until = after_rest(begun, self.clock.now().mono);
            }
            tokio::task::yield_now().await; // whatever comes so fast that we never wait: the bus has its turn
        }
        if let Some(saved) = self.model.unsaved() {
            self.states.write(saved);
        }
        self.ravenna.stop().await;
    }

    fn due(&self) -> Nanos {
        let idle = self.world_at.plus(WORLD_AGE);
        let dues = [self.model.poll_timeout(), self.world_due];
        dues.into_iter().flatten().fold(idle, Nanos::min)
    }

    fn hear(&mut self, datagram: &Datagram) -> bool {
        let now = self.clock.now();
        let heard = self.model.handle_datagram(now, datagram.from, datagram.via, &datagram.bytes);
        heard.unwrap_or_else(|error| {
            tracing::trace!("announcement from {}: {error}", datagram.from);
            false
        })
    }

    fn take_answer(&mut self, answer: &oat::Datagram) -> bool {
        self.model.handle_subscription(self.clock.now(), answer.local, answer.from, &answer.bytes)
    }

    fn answer_question(&mut self, question: &oat::Question) -> bool {
        let (now, port) = (self.clock.now(), question.local.port());
        let (answer, changed) = self.model.handle_question(now, port, question.from, &question.bytes);
        if let Some(answer) = answer {
            self.questions.answer(question, &answer);
        }
        changed
    }

    fn answer(&mut self, request: Request, ends: &Ends) {
        let now = self.clock.now();
        let answer = self.model.handle_ask(now, request.ask);
        self.model.settle(now);
        self.save(now);
        let serial = self.publish(now, ends);
        let _ = request.reply.send((answer, serial)); // a caller that went away needs no answer
    }

    /// Settles, unless it is `quiet`: nothing came since that was done, nothing is due, and not much time has passed.
    /// Carries out what is wished. Says whether that told the model something.
    fn settle(&mut self, ends: &Ends, mut changed: bool, quiet: bool) -> bool {
        let (now, active) = (self.clock.now(), self.active);
        self.look_at_lock(now);
        self.save(now);
        let old = self.world_at.plus(WORLD_AGE) <= now.mono;
        let due = old || self.model.poll_timeout().is_some_and(|due| due <= now.mono);
        if !quiet || due || !self.model.is_settled() || self.active != active {
            self.model.settle(now);
            changed |= quiet;
        }
        while let Some(op) = self.model.poll_graph() {
            let _ = ends.ops.send(PipeWireOp::Write(op)); // the thread lives as long as the process
        }
        while let Some(op) = self.model.poll_link() {
            let _ = ends.ops.send(PipeWireOp::Link(op));
        }
        let mut told = false;
        while let Some(order) = self.model.poll_order() {
            if let Err(answer) = self.executors.give(order) {
                self.model.handle_told(now, answer);
                told = true;
            }
        }
        if self.model.poll_rejoin() {
            self.sockets.leave_all();
            self.failed.clear();
        }
        self.failed = self.sockets.join(&self.model.joined());
        told |= self.model.handle_deaf(self.sockets.trouble());
        while let Some(announcement) = self.model.poll_transmit() {
            self.senders.send(&announcement);
        }
        self.ravenna.follow(self.model.ravenna_plan());
        let plan = self.model.oat_plan();
        self.controlled.send_if_modified(|known| {
            let differs = known != plan;
            if differs {
                known.clone_from(plan);
            }
            differs
        });
        while let Some(outgoing) = self.model.poll_subscription() {
            self.subscriptions.send(&outgoing);
        }
        for port in self.questions.follow(&self.model.offer_sockets()) {
            self.model.handle_port_taken(now, port);
            told = true;
        }
        if changed || told {
            let from = self.world_at.plus(WORLD_EVERY).max(self.world_from).max(now.mono);
            self.world_due = self.world_due.or(Some(from));
        }
        if old || self.world_due.is_some_and(|due| due <= now.mono) {
            self.publish(now, ends);
        }
        told
    }

    /// Hands over the state to be written, if it is due.
    fn save(&mut self, now: Now) {
        if let Some(saved) = self.model.poll_save(now) {
            self.states.write(saved);
        }
    }

    fn publish(&mut self, now: Now, ends: &Ends) -> u64 {
        (self.world_at, self.world_due) = (now.mono, None);
        let world = self.model.refresh_world(now);
        self.world_from = after_rest(now.mono, self.clock.now().mono);
        self.journal.tell(now.mono, &ends.worlds.borrow(), &world);
        let serial = world.serial;
        ends.worlds.send_replace(world);
        serial
    }

    /// Looks whether this agent may act. One that takes over goes on from what its predecessor, which may have been of
    /// the same account, wrote last.
    fn look_at_lock(&mut self, now: Now) {
        let active = self.lock.hold();
        if active && !self.active {
            info!("this agent takes over");
            let (saved, trouble) = store::load(&self.state_file, now.wall_us);
            trouble.iter().for_each(|trouble| warn!("{trouble}"));
            self.model.handle_takeover(now, saved);
        }
        self.active = active;
        self.model.handle_active(active);
    }

    /// Keeps PipeWire alive without the module, since it does not live with it.
    fn switch_off(&mut self) {
        let why = match self.drop_in.as_ref().map(DropIn::switch_off) {
            Some(Ok(())) => return self.look_at_drop_in(),
            Some(Err(error)) => error.to_string(),
            None => "this user has no home".to_owned(),
        };
        self.tell_drop_in(DropInState::Stuck { why });
    }

    fn look_at_drop_in(&mut self) {
        match self.drop_in.as_ref().and_then(DropIn::remedy) {
            Some(remedy) => self.tell_drop_in(DropInState::Off { remedy }),
            None if matches!(self.model.drop_in(), DropInState::Off { .. }) => {
                info!("the drop-in is on again");
                self.model.handle_drop_in(DropInState::On);
            }
            None => {}
        }
    }

    fn tell_drop_in(&mut self, state: DropInState) {
        let text = state.text();
        if self.model.handle_drop_in(state) {
            warn!("{text}");
        }
    }

    fn read_interfaces(&mut self) {
        match interfaces::read() {
            Ok(mut interfaces) => {
                for facts in &mut interfaces {
                    facts.join_failed = self.failed.contains(&facts.index);
                }
                self.model.handle_interfaces(self.clock.now(), interfaces);
            }
            Err(error) => warn!("cannot read the network interfaces: {error}"),
        }
    }

    /// Answers whether anything changed but the line itself, which always moves.
    fn look_at_clock(&mut self) -> bool {
        let mut facts = self.watch.look();
        let service = self.service.facts();
        facts.traceable_domains = service.traceable.into_iter().collect();
        facts.service = service.text;
        let seen = essence(&facts);
        let is_news = seen != self.clock_seen;
        if is_news {
            info!("clock: {}", if seen.is_empty() { "none".to_owned() } else { seen.join(", ") });
            self.clock_seen = seen;
        }
        let of_service = self.model.clock_service() != facts.service;
        self.model.handle_clock(facts);
        if let Some(server) = &self.usrvclock {
            let facts = usrvclock::Facts { active: self.active, line: self.model.living_line().copied() };
            server.send_if_modified(|known| known.follow(facts));
        }
        is_news || of_service
    }
}

fn essence(facts: &ClockFacts) -> Vec<String> {
    let alive = if facts.alive { "" } else { " (not updated)" };
    let text = |line: &Line| line_text(line) + alive;
    let traceable = facts.traceable_domains.iter().map(|domain| format!("domain {domain} is traceable"));
    facts.lines.iter().map(text).chain(traceable).collect()
}

/// When the core may do again what it began at `begun` and ended at `ended`.
fn after_rest(begun: Nanos, ended: Nanos) -> Nanos {
    ended.plus(Nanos(ended.since(begun).0.saturating_mul(REST)).clamp(LEAST_REST, LONGEST_REST))
}

async fn rung(bell: Option<&Bell>) {
    match bell {
        Some(bell) => {
            if bell.rung().await.is_err() {
                std::future::pending().await
            }
        }
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
