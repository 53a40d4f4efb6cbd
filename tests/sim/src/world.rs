use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{IpAddr, Ipv4Addr};

use wireloom_ptp::{Config, Engine, Event, PortConfig, Token};
use wireloom_units::TaiTime;

use crate::{Link, Oscillator, Random, ScriptedLeader, Stamper, True, Watch, us};

/// Names a node of a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeId(usize);

/// A clock under test with its crystal.
struct EngineNode {
    engine: Box<Engine>,
    clock: Oscillator,
    stamper: Stamper,
    events: Vec<(True, Event)>,
    wake: Option<True>,
    watch: Watch,
}

enum Node {
    Engine(EngineNode),
    Leader(ScriptedLeader),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Arrival { node: NodeId, port: u16, bytes: Vec<u8> },
    Sent { node: NodeId, port: u16, token: u32, stamp: i64 },
    Wake { node: NodeId },
    Announce { node: NodeId },
    Sync { node: NodeId },
}

/// A network segment: who hears whom on which port.
struct Segment {
    link: Link,
    members: Vec<(NodeId, u16)>,
}

/// How one engine stands to one leader at one instant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// How far the estimate is ahead of the leader's time, in nanoseconds; `None` without one.
    pub estimate: Option<f64>,
    /// How far the published line is ahead of it, in nanoseconds; `None` without one.
    pub line: Option<i64>,
}

/// Changes a message on its way.
pub type Tamper = Box<dyn FnMut(&mut Vec<u8>)>;

/// Nodes, segments, and what will happen next.
pub struct World {
    tamper: Option<Tamper>,
    now: True,
    random: Random,
    nodes: Vec<Node>,
    segments: Vec<Segment>,
    agenda: BinaryHeap<Reverse<(True, u64, Happening)>>,
    count: u64,
}

impl World {
    /// An empty world whose every random number comes from `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            tamper: None,
            now: 0,
            random: Random::new(seed),
            nodes: Vec::new(),
            segments: Vec::new(),
            agenda: BinaryHeap::new(),
            count: 0,
        }
    }

    /// True time.
    pub const fn now(&self) -> True {
        self.now
    }

    /// Adds a grandmaster that holds no election.
    pub fn add_leader(&mut self, leader: ScriptedLeader) -> NodeId {
        let node = NodeId(self.nodes.len());
        self.nodes.push(Node::Leader(leader));
        // Nobody is in step with anybody.
        let (announce, sync) =
            (self.random.between(0.0, 1e11) as True, self.random.between(0.0, 1e11) as True);
        self.plan(self.now + announce, Happening::Announce { node });
        self.plan(self.now + sync, Happening::Sync { node });
        node
    }

    /// Adds a clock under test.
    pub fn add_engine(&mut self, config: Config, clock: Oscillator, stamper: Stamper) -> NodeId {
        let node = NodeId(self.nodes.len());
        let engine = Box::new(Engine::new(config, self.random.bits()));
        self.nodes.push(Node::Engine(EngineNode {
            engine,
            clock,
            stamper,
            events: Vec::new(),
            wake: None,
            watch: Watch::default(),
        }));
        node
    }

    /// Joins `members` by one segment, each with one more port; gives the segment's number.
    pub fn wire(&mut self, members: &[NodeId], link: Link) -> usize {
        let mut joined = Vec::new();
        for &node in members {
            let port = self.segments.iter().flat_map(|segment| &segment.members);
            let port = port.filter(|(member, _)| *member == node).count() as u16;
            joined.push((node, port));
        }
        self.segments.push(Segment { link, members: joined.clone() });
        for (node, port) in joined {
            if let Node::Engine(_) = &self.nodes[node.0] {
                self.with_engine(node, |engine, now| engine.enable_port(now, port, PortConfig::default()));
            }
        }
        self.segments.len() - 1
    }

    /// Changes what the segment does to messages.
    pub fn link(&mut self, segment: usize) -> &mut Link {
        &mut self.segments[segment].link
    }

    /// Lets `tamper` change every message that arrives.
    pub fn on_the_way(&mut self, tamper: Tamper) {
        self.tamper = Some(tamper);
    }

    /// The scripted leader `node`.
    pub fn leader(&mut self, node: NodeId) -> &mut ScriptedLeader {
        match &mut self.nodes[node.0] {
            Node::Leader(leader) => leader,
            Node::Engine(_) => panic!("{node:?} is an engine"),
        }
    }

    /// The engine `node`.
    pub fn engine(&self, node: NodeId) -> &Engine {
        &self.engine_node(node).engine
    }

    /// What the engine `node` told, and when.
    pub fn events(&self, node: NodeId) -> &[(True, Event)] {
        &self.engine_node(node).events
    }

    /// What the lines published by the engine `node` were like.
    pub fn watch(&self, node: NodeId) -> &Watch {
        &self.engine_node(node).watch
    }

    /// The crystal of the engine `node`.
    pub fn clock(&mut self, node: NodeId) -> &mut Oscillator {
        match &mut self.nodes[node.0] {
            Node::Engine(engine) => &mut engine.clock,
            Node::Leader(leader) => &mut leader.clock,
        }
    }

    /// Does something to an engine at its own time, and lets it send what follows.
    pub fn with_engine(&mut self, node: NodeId, act: impl FnOnce(&mut Engine, i64)) {
        let now = self.now;
        if let Node::Engine(member) = &mut self.nodes[node.0] {
            let base = member.clock.read(now).0;
            act(&mut member.engine, base);
        }
        self.drain(node);
    }

    /// Lets the scripted leader `node` be on all its segments at once, as one port.
    pub fn bridge(&mut self, node: NodeId) {
        for segment in &mut self.segments {
            for (_, port) in segment.members.iter_mut().filter(|(member, _)| *member == node) {
                *port = 0;
            }
        }
    }

    /// What the clock of `node` reads now, in nanoseconds.
    pub fn reading(&mut self, node: NodeId) -> i64 {
        let now = self.now;
        self.clock(node).read(now).0
    }

    /// How the engine `node` sees the time of `leader` now.
    pub fn seen(&mut self, node: NodeId, leader: NodeId) -> Seen {
        let (time, base) = (TaiTime::from_nanos(self.reading(leader)), self.reading(node));
        let engine = self.engine(node);
        Seen {
            estimate: engine.estimator().estimate_ahead_of(base, time),
            line: engine.line().map(|line| line.at(base).since(time)),
        }
    }

    /// Lets `span` of true time pass.
    pub fn run_for(&mut self, span: True) {
        let end = self.now + span;
        while let Some(Reverse((at, _, _))) = self.agenda.peek()
            && *at <= end
        {
            let Some(Reverse((at, _, happening))) = self.agenda.pop() else { break };
            self.now = at;
            self.happen(happening);
        }
        self.now = end;
    }

    fn engine_node(&self, node: NodeId) -> &EngineNode {
        match &self.nodes[node.0] {
            Node::Engine(engine) => engine,
            Node::Leader(_) => panic!("{node:?} is a scripted leader"),
        }
    }

    fn plan(&mut self, at: True, happening: Happening) {
        self.count += 1;
        self.agenda.push(Reverse((at.max(self.now), self.count, happening)));
    }

    fn happen(&mut self, happening: Happening) {
        let now = self.now;
        match happening {
            Happening::Arrival { node, port, bytes } => self.arrive(node, port, &bytes),
            Happening::Sent { node, port, token, stamp } => {
                self.with_engine(node, |engine, now| engine.handle_sent(now, port, Token(token), stamp));
            }
            Happening::Wake { node } => {
                if let Node::Engine(member) = &mut self.nodes[node.0] {
                    if member.wake != Some(now) {
                        return; // overtaken by an earlier one
                    }
                    member.wake = None;
                }
                self.with_engine(node, |engine, now| {
                    if engine.poll_timeout().is_some_and(|due| due <= now) {
                        engine.handle_timeout(now);
                        assert!(engine.poll_timeout().is_none_or(|next| next > now), "it would spin");
                    }
                });
            }
            Happening::Announce { node } => {
                let leader = self.leader(node);
                let (alive, bytes) = (leader.alive, leader.announce());
                let next = interval(leader.log_announce);
                self.plan(now + next, Happening::Announce { node });
                if alive {
                    self.broadcast(node, 0, &bytes);
                }
            }
            Happening::Sync { node } => {
                let mut random = self.random.clone();
                let leader = self.leader(node);
                let (alive, next) = (leader.alive, interval(leader.log_sync));
                let (sync, follow_up) = leader.sync(now, &mut random);
                self.random = random;
                self.plan(now + next, Happening::Sync { node });
                if alive {
                    self.broadcast(node, 0, &sync);
                    if let Some(follow_up) = follow_up {
                        self.broadcast(node, 0, &follow_up);
                    }
                }
            }
        }
    }

    fn arrive(&mut self, node: NodeId, port: u16, bytes: &[u8]) {
        let now = self.now;
        let event = bytes.first().is_some_and(|first| first & 0x0f < 8);
        match &mut self.nodes[node.0] {
            Node::Engine(member) => {
                let reading = member.clock.read(now);
                let stamp = member.stamper.stamp(reading, &mut self.random);
                let base = reading.0.max(stamp);
                let from = IpAddr::V4(Ipv4Addr::LOCALHOST);
                if event {
                    member.engine.handle_event(base, port, bytes, stamp, from);
                } else {
                    member.engine.handle_general(base, port, bytes, from);
                }
                self.drain(node);
            }
            Node::Leader(leader) => {
                if let Some(answer) = leader.answer(now, bytes, &mut self.random) {
                    self.broadcast(node, port, &answer);
                }
            }
        }
    }

    /// Sends what the engine has to send, hears what it tells, and plans its next awakening.
    fn drain(&mut self, node: NodeId) {
        let now = self.now;
        let Node::Engine(member) = &mut self.nodes[node.0] else { return };
        while let Some(event) = member.engine.poll_event() {
            match event {
                Event::LineChanged => {} // one a second, for a hundred hours
                _ => member.events.push((now, event)),
            }
        }
        if let Some(line) = member.engine.line() {
            member.watch.see(line);
        }
        let reading = member.clock.read(now).0;
        if let Some(due) = member.engine.poll_timeout() {
            let wake = now + member.clock.true_span(due.saturating_sub(reading).clamp(0, 1 << 40)).max(1000);
            if member.wake.is_none_or(|planned| wake < planned || planned < now) {
                member.wake = Some(wake);
                self.plan(wake, Happening::Wake { node });
            }
        }
        let mut outgoing = Vec::new();
        let Node::Engine(member) = &mut self.nodes[node.0] else { return };
        while let Some(transmit) = member.engine.poll_transmit() {
            let stamp =
                transmit.event.then(|| member.stamper.stamp(member.clock.read(now), &mut self.random));
            outgoing.push((transmit, stamp));
        }
        for (transmit, stamp) in outgoing {
            self.broadcast(node, transmit.port, &transmit.bytes);
            if let Some(stamp) = stamp {
                let (port, token) = (transmit.port, transmit.token.0);
                self.plan(now + us(50), Happening::Sent { node, port, token, stamp });
            }
        }
    }

    fn broadcast(&mut self, from: NodeId, port: u16, bytes: &[u8]) {
        let kind = bytes.first().map_or(0, |first| first & 0x0f);
        let mut arrivals = Vec::new();
        for segment in &self.segments {
            if !segment.members.contains(&(from, port)) {
                continue;
            }
            for &(node, port) in segment.members.iter().filter(|(node, _)| *node != from) {
                for at in segment.link.carry(self.now, kind, &mut self.random).into_iter().flatten() {
                    let mut bytes = bytes.to_vec();
                    if let Some(tamper) = &mut self.tamper {
                        tamper(&mut bytes);
                    }
                    arrivals.push((at, Happening::Arrival { node, port, bytes }));
                }
            }
        }
        for (at, arrival) in arrivals {
            self.plan(at, arrival);
        }
    }
}

fn interval(log: i8) -> True {
    (2.0_f64.powi(log.into()) * 1e12) as True
}
