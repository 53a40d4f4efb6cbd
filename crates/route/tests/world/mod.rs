//! A small studio that does what the engine says, or not.
#![allow(dead_code)] // each test binary uses its part

use std::collections::{BTreeMap, BTreeSet};

use wireloom_route::{
    Answer, Change, Checkpoint, Command, Device, DeviceId, Edit, Engine, Outcome, Pair, Place, Port,
    Presence, Side, Source, Takes, Target, Wish,
};
use wireloom_units::Nanos;

/// Output ports: two channels of each transmitter.
pub const OUTPUTS: usize = 8;
/// Input ports: two channels of each receiver.
pub const INPUTS: usize = 10;
pub const DEVICES: usize = 9;
/// The engine gives up a command after this.
const PATIENCE: Nanos = Nanos::from_secs(15);

#[derive(Debug, Clone)]
pub enum Op {
    Wish {
        output: usize,
        input: usize,
    },
    Withdraw {
        output: usize,
        input: usize,
    },
    /// One of what is wished.
    WithdrawSome(usize),
    Leave(usize),
    Return {
        device: usize,
        forgets: bool,
    },
    /// Another controller tells a receiver.
    Elsewhere {
        output: Option<usize>,
        input: usize,
    },
    Refuse {
        input: usize,
        refuses: bool,
    },
    /// The next command has no clear answer; it was carried out all the same, or not.
    FailNext {
        applied: bool,
    },
    /// A client draws a link that has an end in this computer.
    Draw {
        output: usize,
        input: usize,
    },
    /// A client removes one of the links.
    Erase(usize),
    GraphStops,
    GraphStarts,
    /// The agent dies and comes back with what it saved; commands on their way are carried out or not.
    Restart {
        applied: bool,
    },
    /// Everything on its way is carried out and answered.
    Answer,
    /// Milliseconds pass.
    Pass(u64),
    Checkpoint,
    Rollback,
}

pub struct World {
    pub engine: Engine,
    pub now: Nanos,
    devices: BTreeMap<DeviceId, Device>,
    /// What receivers really play.
    plays: BTreeMap<Port, Source>,
    /// Inputs that another controller set last.
    theirs: BTreeSet<Port>,
    links: BTreeSet<Pair>,
    drawn: BTreeSet<Pair>,
    graph: bool,
    refusing: BTreeSet<Port>,
    /// Inputs that refused once: not asked again by themselves.
    refused: BTreeSet<Port>,
    fail_next: Option<bool>,
    /// When it was sent, and what.
    pub under_way: Vec<(Nanos, Command)>,
    /// Wishes that must not get lost.
    kept: BTreeSet<Pair>,
    checkpoint: Option<Checkpoint>,
    /// Receivers that did not answer and are read again.
    unread: BTreeSet<DeviceId>,
    pub commands: usize,
}

fn transmitters() -> [(&'static str, Device); 4] {
    [
        ("mic", Device::remote(Side::Transmits, 2, &["a"])),
        ("desk", Device::remote(Side::Transmits, 2, &["b"])),
        ("box", Device::remote(Side::Transmits, 2, &["a", "b"])),
        ("player", Device::here(Side::Transmits, 2)),
    ]
}

fn receivers() -> [(&'static str, Device); 5] {
    let dumb = Device { controlled: false, ..Device::remote(Side::Receives, 2, &["a"]) };
    [
        ("monitor", Device::remote(Side::Receives, 2, &["a"])),
        ("amp", Device { batch: 1, ..Device::remote(Side::Receives, 2, &["b", "a"]) }),
        ("hub", Device { takes: Takes::Streams, ..Device::remote(Side::Receives, 2, &["b"]) }),
        ("recorder", Device::here(Side::Receives, 2)),
        ("dumb", dumb),
    ]
}

pub fn output(index: usize) -> Port {
    Port::new(transmitters()[index / 2].0, (index % 2) as u16)
}

pub fn input(index: usize) -> Port {
    Port::new(receivers()[index / 2].0, (index % 2) as u16)
}

fn device(index: usize) -> DeviceId {
    let names = transmitters().map(|(name, _)| name).into_iter().chain(receivers().map(|(name, _)| name));
    names.into_iter().nth(index).expect("one of DEVICES").into()
}

impl World {
    pub fn new() -> Self {
        let devices = transmitters().into_iter().chain(receivers());
        let mut world = Self {
            engine: Engine::new(),
            now: Nanos::from_secs(100),
            devices: devices.map(|(name, device)| (DeviceId::from(name), device)).collect(),
            plays: BTreeMap::new(),
            theirs: BTreeSet::new(),
            links: BTreeSet::new(),
            drawn: BTreeSet::new(),
            graph: true,
            refusing: BTreeSet::new(),
            refused: BTreeSet::new(),
            fail_next: None,
            under_way: Vec::new(),
            kept: BTreeSet::new(),
            checkpoint: None,
            unread: BTreeSet::new(),
            commands: 0,
        };
        world.introduce();
        world.settle();
        world
    }

    /// Tells a new engine what there is.
    fn introduce(&mut self) {
        for (id, device) in self.devices.clone() {
            self.engine.handle_device(self.now, &id, device);
            self.tell(&id);
        }
        for pair in self.links.clone() {
            self.engine.handle_link(self.now, &pair, true);
        }
        self.engine.handle_graph(self.now, self.graph);
    }

    /// Tells what a receiver plays, if it can be asked.
    fn tell(&mut self, id: &DeviceId) {
        let device = &self.devices[id];
        if device.place == Place::Remote && device.controlled && device.is_there() {
            let plays = self.plays.iter().filter(|(port, _)| port.device == *id);
            let inputs = plays.map(|(port, source)| (port.channel, source.clone(), true)).collect();
            self.engine.handle_subscriptions(self.now, id, inputs);
        }
    }

    pub fn apply(&mut self, op: Op) {
        match op {
            Op::Wish { output: from, input: to } => {
                let pair = Pair::new(output(from), input(to));
                self.compete(&pair);
                self.kept.insert(pair.clone());
                self.engine.wish(self.now, pair);
            }
            Op::Withdraw { output: from, input: to } => self.withdraw(&Pair::new(output(from), input(to))),
            Op::WithdrawSome(which) => {
                let wished: Vec<_> = self.wished();
                if let Some(pair) = wished.get(which % wished.len().max(1)).cloned() {
                    self.withdraw(&pair);
                }
            }
            Op::Leave(which) => {
                let id = device(which);
                self.devices.get_mut(&id).expect("exists").presence = Presence::Away;
                self.links.retain(|pair| pair.input.device != id && pair.output.device != id);
                self.drawn.retain(|pair| pair.input.device != id && pair.output.device != id);
                self.engine.handle_device(self.now, &id, self.devices[&id].clone());
            }
            Op::Return { device: which, forgets } => self.arrive(&device(which), forgets),
            Op::Elsewhere { output: from, input: to } => {
                let to = input(to);
                let device = &self.devices[&to.device];
                if device.place == Place::Here || !device.is_there() || !device.controlled {
                    return;
                }
                // Whoever is on the way is overtaken; what is seen then is what the other controller did.
                self.answer();
                self.read_again();
                let from = from.map(output).filter(|port| self.devices[&port.device].place == Place::Remote);
                let source = from.map(Source::Port);
                for to in self.moved_with(&to) {
                    let source = source.as_ref().map(|source| self.straight(source, &to));
                    self.set_elsewhere(&to, source);
                }
                let moved = self.moved_with(&to);
                self.kept.retain(|pair| !moved.contains(&pair.input));
                self.tell(&to.device);
            }
            Op::Refuse { input: which, refuses: true } => drop(self.refusing.insert(input(which))),
            Op::Refuse { input: which, refuses: false } => drop(self.refusing.remove(&input(which))),
            Op::FailNext { applied } => self.fail_next = Some(applied),
            Op::Draw { output: from, input: to } => {
                let pair = Pair::new(output(from), input(to));
                let ends = [&pair.output.device, &pair.input.device].map(|id| &self.devices[id]);
                let here = ends.iter().any(|device| device.place == Place::Here);
                let controlled = ends[1].place == Place::Here || ends[1].controlled;
                if self.graph && here && controlled && ends.iter().all(|device| device.is_there()) {
                    self.compete(&pair);
                    self.links.insert(pair.clone());
                    self.drawn.insert(pair.clone());
                    self.engine.handle_link(self.now, &pair, true);
                }
            }
            Op::Erase(which) => {
                let links: Vec<_> = self.links.iter().cloned().collect();
                if let Some(pair) = links.get(which % links.len().max(1)) {
                    self.links.remove(pair);
                    self.drawn.remove(pair);
                    self.engine.handle_link(self.now, pair, false);
                    self.withdraw(pair); // both ends are there: the user meant it
                }
            }
            Op::GraphStops => {
                self.graph = false;
                self.links.clear();
                self.drawn.clear();
                self.under_way.retain(|(_, command)| command.target != Target::Graph);
                self.engine.handle_graph(self.now, false);
            }
            Op::GraphStarts => {
                self.graph = true;
                self.engine.handle_graph(self.now, true);
            }
            Op::Restart { applied } => {
                for (_, command) in std::mem::take(&mut self.under_way) {
                    if applied {
                        self.carry_out(&command);
                    }
                }
                let saved = self.engine.saved();
                self.engine = Engine::new();
                self.engine.restore(self.now, saved);
                self.introduce();
            }
            Op::Answer => self.answer(),
            Op::Pass(ms) => self.pass(Nanos::from_millis(ms)),
            Op::Checkpoint => self.checkpoint = Some(self.engine.checkpoint()),
            Op::Rollback => {
                if let Some(checkpoint) = self.checkpoint.take() {
                    let edits = self.engine.edits_to(&checkpoint);
                    for edit in &edits {
                        match edit {
                            Edit::Wish(pair) => {
                                self.compete(pair);
                                self.kept.insert(pair.clone());
                            }
                            Edit::Withdraw(pair) => self.disown(pair),
                        }
                    }
                    self.engine.edit(self.now, &edits);
                }
            }
        }
        self.settle();
    }

    fn withdraw(&mut self, pair: &Pair) {
        self.disown(pair);
        self.engine.withdraw(self.now, pair);
    }

    /// The inputs that play something else when `input` does: all of a receiver that takes whole streams.
    fn moved_with(&self, input: &Port) -> Vec<Port> {
        if self.takes_streams(&input.device) {
            (0..2).map(|channel| Port { channel, ..input.clone() }).collect()
        } else {
            vec![input.clone()]
        }
    }

    /// What `input` plays when it, or another input that is moved with it, is told to play `source`.
    fn straight(&self, source: &Source, input: &Port) -> Source {
        match source {
            Source::Port(output) if self.takes_streams(&input.device) => {
                Source::Port(Port { channel: input.channel, ..output.clone() })
            }
            source => source.clone(),
        }
    }

    fn takes_streams(&self, id: &DeviceId) -> bool {
        self.devices[id].takes == Takes::Streams
    }

    /// Another controller makes `to` play `source`.
    fn set_elsewhere(&mut self, to: &Port, source: Option<Source>) {
        let Some(source) = source else {
            self.plays.remove(to);
            self.theirs.remove(to);
            return;
        };
        let wished = match &source {
            Source::Port(output) => {
                let pair = Pair::new(output.clone(), to.clone());
                let direct = matches!(self.engine.can_connect(&pair), Answer::Direct { .. });
                // What was withdrawn and may have been told nevertheless looks the same.
                let withdrawn = |wish: &Wish| wish.pair == pair && !wish.wished && !wish.cleared;
                direct && self.engine.is_wished(&pair) || self.engine.saved().iter().any(withdrawn)
            }
            Source::ThisComputer => false,
        };
        // Saying what is so already changes nothing that anybody could see.
        if self.plays.insert(to.clone(), source.clone()) != Some(source) && !wished {
            self.theirs.insert(to.clone());
        }
    }

    /// Nobody wants `pair` any more.
    fn disown(&mut self, pair: &Pair) {
        self.kept.remove(pair);
        if self.plays.get(&pair.input) == Some(&Source::Port(pair.output.clone())) {
            // A user may take away what another controller made, of a stream all of it.
            for input in self.moved_with(&pair.input) {
                self.theirs.remove(&input);
            }
        }
    }

    /// Older wishes that `pair` may replace.
    fn compete(&mut self, pair: &Pair) {
        if self.plays.get(&pair.input) == Some(&Source::Port(pair.output.clone())) {
            self.theirs.remove(&pair.input); // what another controller made is wished here too now
        }
        let device = &self.devices[&pair.input.device];
        if device.place == Place::Remote {
            let whole = device.takes == Takes::Streams;
            let same = |other: &Pair| {
                other.input.device == pair.input.device && (whole || other.input == pair.input)
            };
            for other in self.wished().iter().filter(|other| same(other)) {
                if self.plays.get(&other.input) == Some(&Source::Port(other.output.clone())) {
                    self.theirs.remove(&other.input); // replaced with the wish that it was, too
                }
            }
            self.kept.retain(|other| !same(other));
        }
    }

    fn wished(&self) -> Vec<Pair> {
        self.engine.saved().into_iter().filter(|wish| wish.wished).map(|wish| wish.pair).collect()
    }

    pub fn arrive(&mut self, id: &DeviceId, forgets: bool) {
        let device = self.devices.get_mut(id).expect("exists");
        if device.is_there() && !forgets {
            return;
        }
        let epoch = match device.presence {
            Presence::There { epoch } => epoch + 1,
            Presence::Away => 1000 + self.now.0,
        };
        device.presence = Presence::There { epoch };
        if forgets {
            self.plays.retain(|port, _| port.device != *id);
            self.theirs.retain(|port| port.device != *id);
        }
        self.under_way.retain(|(_, command)| command.target != Target::Receiver(id.clone()));
        self.engine.handle_device(self.now, id, self.devices[id].clone());
        self.tell(id);
    }

    /// What becomes of each change of `command`.
    fn carry_out(&mut self, command: &Command) -> Vec<Outcome> {
        match &command.target {
            // One request that makes all changes: a stream to play, or nothing.
            Target::Receiver(id) if self.takes_streams(id) => {
                let play = |change: &&Change| matches!(change, Change::Subscribe { .. });
                let change =
                    command.changes.iter().find(play).or(command.changes.first()).expect("not empty");
                vec![self.carry_out_one(change); command.changes.len()]
            }
            _ => command.changes.iter().map(|change| self.carry_out_one(change)).collect(),
        }
    }

    fn carry_out_one(&mut self, change: &Change) -> Outcome {
        match change {
            Change::Subscribe { input, .. } | Change::Clear(input) => {
                let inputs = self.moved_with(input);
                if inputs.iter().any(|input| self.refusing.contains(input)) {
                    self.refused.extend(inputs);
                    return Outcome::Refused("The input is locked.".into());
                }
                if !self.devices[&input.device].is_there() {
                    return Outcome::Failed("It does not answer.".into());
                }
                for input in inputs {
                    match change {
                        Change::Subscribe { source, .. } => {
                            let source = self.straight(source, &input);
                            self.plays.insert(input.clone(), source);
                        }
                        _ => drop(self.plays.remove(&input)),
                    }
                    self.theirs.remove(&input);
                }
            }
            Change::Link(pair) => {
                let there = |id: &DeviceId| self.devices[id].is_there();
                if !self.graph || !there(&pair.input.device) || !there(&pair.output.device) {
                    return Outcome::Failed("A port is not there.".into());
                }
                self.links.insert(pair.clone());
            }
            Change::Unlink(pair) => {
                self.links.remove(pair);
                self.drawn.remove(pair);
            }
        }
        Outcome::Done
    }

    pub fn answer(&mut self) {
        for (_, command) in std::mem::take(&mut self.under_way) {
            let failing = self.fail_next.take();
            let mut outcomes = if failing == Some(false) { Vec::new() } else { self.carry_out(&command) };
            if failing.is_some() {
                outcomes = vec![Outcome::Failed("There was no answer.".into()); command.changes.len()];
            }
            self.engine.handle_result(self.now, command.id, outcomes);
            if let Target::Receiver(id) = &command.target {
                if failing.is_some() {
                    self.unread.insert(id.clone());
                } else if self.takes_streams(id) {
                    self.settle();
                    self.tell(id); // more than what was ordered may have changed
                }
            }
            // The graph tells of its links by itself.
            for change in &command.changes {
                if let Change::Link(pair) | Change::Unlink(pair) = change {
                    self.engine.handle_link(self.now, pair, self.links.contains(pair));
                }
            }
        }
        self.settle();
    }

    pub fn settle(&mut self) {
        self.engine.handle_timeout(self.now);
        while let Some(command) = self.engine.poll_command() {
            assert!(!command.changes.is_empty(), "a command without changes");
            // One that was not answered for long is lost; until then there is no other for the same target.
            let (now, target) = (self.now, &command.target);
            self.under_way.retain(|(sent, other)| other.target != *target || now.since(*sent) < PATIENCE);
            let same = self.under_way.iter().any(|(_, other)| other.target == *target);
            assert!(!same, "two commands on the way to {target:?}");
            let unique: BTreeSet<_> = command.changes.iter().collect();
            assert_eq!(unique.len(), command.changes.len(), "twice in one command: {command:?}");
            if let Target::Receiver(id) = &command.target {
                let batch = self.devices[id].batch;
                assert!(batch == 0 || command.changes.len() <= usize::from(batch), "too long: {command:?}");
            }
            command.changes.iter().for_each(|change| self.judge(change));
            if let Target::Receiver(id) = &command.target
                && self.takes_streams(id)
            {
                let plays = |change: &&Change| matches!(change, Change::Subscribe { .. });
                let plays = command.changes.iter().filter(plays).count();
                assert!(plays == 0 || plays == command.changes.len(), "play and stop at once: {command:?}");
            }
            self.commands += 1;
            self.under_way.push((self.now, command));
        }
    }

    /// No change without a wish or an observation behind it.
    fn judge(&self, change: &Change) {
        let wished = self.wished();
        match change {
            Change::Subscribe { input, source: Source::Port(output) } => {
                assert!(
                    wished.contains(&Pair::new(output.clone(), input.clone())),
                    "nobody wants {change:?}"
                );
            }
            Change::Subscribe { input, source: Source::ThisComputer } => {
                let wants = |pair: &Pair| pair.input == *input;
                assert!(wished.iter().any(wants) || self.links.iter().any(wants), "nobody wants {change:?}");
            }
            Change::Clear(input) => {
                assert!(!self.theirs.contains(input), "{change:?} takes away what another controller set");
                // What a receiver plays without having said so cannot be known.
                for input in self.moved_with(input).iter().filter(|_| !self.unread.contains(&input.device)) {
                    let plays = self.plays.get(input);
                    assert!(
                        plays.is_none_or(|source| !wished.iter().any(|pair| self.wants(pair, input, source))),
                        "{change:?} takes away what is wished on {input}"
                    );
                }
            }
            Change::Link(pair) => assert!(wished.contains(pair), "nobody wants {change:?}"),
            Change::Unlink(pair) => {
                let virtual_now = matches!(self.engine.can_connect(pair), Answer::Direct { .. });
                assert!(!wished.contains(pair) || virtual_now, "{change:?} is wished");
            }
        }
    }

    /// Receivers that did not answer are read.
    fn read_again(&mut self) {
        for id in std::mem::take(&mut self.unread) {
            self.tell(&id);
        }
        self.settle();
    }

    pub fn pass(&mut self, span: Nanos) {
        self.read_again();
        let end = self.now.plus(span);
        while let Some(due) = self.engine.poll_timeout().filter(|due| *due <= end) {
            self.now = due.max(self.now.plus(Nanos(1)));
            self.settle();
        }
        self.now = self.now.max(end);
        self.settle();
    }

    pub fn verify_invariants(&self) {
        let wished = self.wished();
        for pair in &self.kept {
            assert!(wished.contains(pair), "the wish for {pair:?} got lost");
        }
    }

    /// Everything comes back; nobody interferes any more.
    pub fn heal(&mut self) {
        self.fail_next = None;
        for index in 0..DEVICES {
            if !self.devices[&device(index)].is_there() {
                self.arrive(&device(index), false);
            }
        }
        self.apply(Op::GraphStarts);
        for _ in 0..40 {
            self.answer();
            self.pass(Nanos::from_secs(31));
        }
    }

    /// At rest: nothing more to do, every wish honoured, nothing there that nobody wants.
    pub fn verify_rest(&mut self) {
        let before = self.commands;
        self.pass(Nanos::from_secs(600));
        assert_eq!(self.commands, before, "it does not come to rest: {:?}", self.under_way);
        let wished = self.wished();
        for pair in &wished {
            let refused = self.refused.contains(&pair.input);
            let receives = |source: &Source| self.plays.get(&pair.input) == Some(source);
            let remote = self.devices[&pair.input.device].place == Place::Remote;
            match self.engine.can_connect(pair) {
                Answer::Direct { .. } => {
                    assert!(
                        refused || receives(&Source::Port(pair.output.clone())),
                        "not honoured: {pair:?}"
                    );
                    assert!(!self.links.contains(pair), "a direct route passes through this host: {pair:?}");
                }
                Answer::Here | Answer::Relayed => {
                    assert!(self.links.contains(pair), "not linked: {pair:?}");
                    assert!(!remote || refused || receives(&Source::ThisComputer), "not fed: {pair:?}");
                }
                Answer::Impossible(_) => assert!(!self.links.contains(pair)),
            }
        }
        for pair in &self.links {
            assert!(wished.contains(pair) || self.drawn.contains(pair), "a link that nobody wants: {pair:?}");
        }
        for (input, source) in &self.plays {
            if self.theirs.contains(input) || self.refused.contains(input) {
                continue;
            }
            assert!(self.is_wanted(input, source), "{input} still plays {source:?}, which nobody wants");
        }
        for wish in self.engine.saved() {
            // Of a whole stream, what is withdrawn goes with the last channel that is wanted.
            let input = &wish.pair.input;
            let source = Source::Port(wish.pair.output.clone());
            let waits = self.takes_streams(&input.device)
                && self.plays.get(input) == Some(&source)
                && self.is_wanted(input, &source);
            assert!(
                wish.wished || waits || self.refused.contains(&wish.pair.input),
                "never finished: {wish:?}"
            );
        }
    }

    /// Whether anybody wants that `input` plays `source`, or another channel of the same stream where it plays streams.
    fn is_wanted(&self, input: &Port, source: &Source) -> bool {
        let wished = self.wished();
        self.moved_with(input).iter().any(|input| match self.straight(source, input) {
            source @ Source::Port(_) => wished.iter().any(|pair| self.wants(pair, input, &source)),
            Source::ThisComputer => wished.iter().chain(&self.links).any(|pair| pair.input == *input),
        })
    }

    /// Whether `pair` comes true when `input` plays `source`.
    fn wants(&self, pair: &Pair, input: &Port, source: &Source) -> bool {
        let direct = matches!(self.engine.can_connect(pair), Answer::Direct { .. });
        direct && pair.input == *input && *source == Source::Port(pair.output.clone())
    }
}
