//! Orders carried out by devices that lose requests and answers, are slow, refuse and restart, in virtual time.

use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::body::Bytes;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use wireloom_oat::control::{
    Call, Code, Device as Told, Fault, InputState, InputStatus, Reply, Request, Side, Source, Stream,
    Transport,
};
use wireloom_units::Nanos;
use wireloom_wanted::{Link, LinkEnd, Protocol, Route, RouteState, pair_id};

use super::Bench;
use crate::executor::Executors;
use crate::model::GraphEvent;
use crate::oat::{self, Carrier};
use crate::ravenna::Event;
use crate::store::Saved;

const RECEIVERS: u8 = 4;
/// The receiver that refuses everything.
const LOCKED: u8 = 3;
const SENDERS: [u8; 3] = [21, 22, 23];
/// So long the network is bad, and so long all has to come to rest after it.
const BAD: Duration = Duration::from_secs(120);
const REST: Duration = Duration::from_secs(200);
/// Requests that a device may get in ten seconds, and those of them that change something.
const MOST_ASKED: usize = 80;
const MOST_CHANGES: usize = 20;

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (value ^ value >> 31) % bound
    }
}

/// What a device is, and what it was asked.
#[derive(Default)]
struct Device {
    source: Option<Source>,
    /// Switched off until then.
    off_until: Option<Instant>,
    /// When it was asked, and whether that was to change something; of the last ten seconds.
    asked: VecDeque<(Instant, bool)>,
    worst: (usize, usize),
    changes: usize,
}

impl Device {
    fn count(&mut self, changes: bool) {
        let now = Instant::now();
        self.asked.push_back((now, changes));
        while self.asked.front().is_some_and(|(at, _)| now - *at >= Duration::from_secs(10)) {
            self.asked.pop_front();
        }
        let changing = self.asked.iter().filter(|(_, changes)| *changes).count();
        self.worst = (self.worst.0.max(self.asked.len()), self.worst.1.max(changing));
        self.changes += usize::from(changes);
    }

    fn answer(&mut self, number: u8, request: Request) -> Reply {
        let stream = Stream {
            id: format!("mixtee-000{number}/rx/in"),
            device: String::new(),
            name: "In 1-2".into(),
            direction: Side::Rx,
            channels: 2,
            labels: Vec::new(),
            rate: 48_000,
            encoding: "L24".into(),
            ptime_ms: 0.0,
            transport: Transport::Unicast,
            address: String::new(),
            port: 50_064,
            pt: 0,
            sid: 0,
            sdp: None,
        };
        match request {
            Request::Device => {
                Reply::json(200, &Told { id: "x".into(), name: format!("Desk {number}"), ..Told::default() })
            }
            Request::Streams => Reply::json(200, &[stream]),
            Request::Input(_) => {
                let state = if self.source.is_some() { InputState::Active } else { InputState::Idle };
                Reply::json(
                    200,
                    &InputStatus { state, source: self.source.clone(), ..InputStatus::default() },
                )
            }
            Request::Play { .. } if number == LOCKED => {
                Fault::new(Code::Policy, "locked by the front panel").into()
            }
            Request::Play { source, .. } => {
                self.source = Some(source);
                Reply::json(202, &serde_json::json!({ "state": "connecting" }))
            }
            Request::Stop(_) => {
                self.source = None;
                Reply::nothing()
            }
            _ => Fault::new(Code::NotFound, "no").into(),
        }
    }
}

struct Network {
    devices: BTreeMap<u8, Device>,
    dice: Dice,
    bad: bool,
}

#[derive(Clone)]
struct Air(Arc<Mutex<Network>>);

impl Air {
    fn with<T>(&self, look: impl FnOnce(&mut Network) -> T) -> T {
        look(&mut self.0.lock().expect("no test thread panicked"))
    }
}

impl Carrier for Air {
    async fn ask(&self, address: SocketAddrV4, call: Call) -> Result<(u16, Bytes), String> {
        let number = address.ip().octets()[3] - 30;
        let request = Request::parse(call.method, &call.path, None, None, call.body.as_bytes());
        let request = request.map_err(|fault| fault.detail)?;
        // Of bad days a tenth of the requests gets lost, a tenth of the answers, and the rest takes its time.
        let (fate, there, back) = self.with(|network| {
            let device = network.devices.get_mut(&number).expect("a device");
            device.count(call.method != "GET");
            let off = device.off_until.is_some_and(|until| Instant::now() < until);
            let dice = &mut network.dice;
            let fate = match dice.below(10) {
                _ if off => 0,
                fate if network.bad => fate,
                _ => 9,
            };
            let slow = if network.bad { 1400 } else { 5 };
            (fate, Duration::from_millis(dice.below(slow)), Duration::from_millis(dice.below(slow)))
        });
        if fate == 0 {
            sleep(Duration::from_secs(3)).await;
            return Err("it did not answer".into());
        }
        sleep(there).await;
        let reply = self.with(|network| {
            let device = network.devices.get_mut(&number).expect("it is");
            // Switched off while the request was under way.
            let off = device.off_until.is_some_and(|until| Instant::now() < until);
            (!off).then(|| device.answer(number, request))
        });
        let Some(reply) = reply.filter(|_| fate != 1) else {
            sleep(Duration::from_secs(3) - there).await;
            return Err("it did not answer".into());
        };
        sleep(back).await;
        Ok((reply.status, reply.body.into()))
    }
}

fn page(host: u8) -> String {
    format!(
        "v=0\r\no=syntee-00{host} 1 1 IN IP4 192.0.2.{host}\r\ns=Synth {host} — Out 1-2\r\nc=IN IP4 192.0.2.{host}\r\n\
         t=0 0\r\nm=audio 50000 RTP/AVP 97\r\na=rtpmap:97 L24/48000/2\r\na=ptime:1\r\n\
         a=ts-refclk:ptp=IEEE1588-2008\r\na=mediaclk:direct=0\r\n"
    )
}

/// Model, executor and devices.
struct World {
    bench: Bench,
    executors: Executors,
    told: tokio::sync::mpsc::Receiver<crate::executor::Told>,
    plan: watch::Sender<oat::Plan>,
    air: Air,
    base: Nanos,
    begun: Instant,
    announced: Instant,
    /// What each receiver shall play: the sender.
    wished: BTreeMap<u8, u8>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut bench = Bench::new(Saved::default());
        bench.connect();
        let devices = (0..RECEIVERS).map(|number| (number, Device::default())).collect();
        let air = Air(Arc::new(Mutex::new(Network { devices, dice: Dice(seed), bad: true })));
        let (mut executors, told) = Executors::new();
        let (plan, plans) = watch::channel(oat::Plan::default());
        tokio::spawn(oat::control(air.clone(), executors.add(Protocol::Oat), plans));
        for number in 0..RECEIVERS {
            let host = format!("mixtee-000{number}.local.");
            let address = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 30 + number), 80);
            bench.model.handle_ravenna(bench.now, Event::Control { name: host.clone(), host, address });
        }
        let (base, begun) = (bench.now.mono, Instant::now());
        let announced = begun - Duration::from_secs(60);
        Self { bench, executors, told, plan, air, base, begun, announced, wished: BTreeMap::new() }
    }

    async fn run(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.turn();
            tokio::select! {
                biased; // the same seed is the same world
                Some(told) = self.told.recv() => self.bench.model.handle_told(self.bench.now, told),
                () = sleep(Duration::from_millis(50)) => {}
            }
        }
    }

    fn turn(&mut self) {
        let passed = u64::try_from(self.begun.elapsed().as_nanos()).expect("minutes");
        self.bench.now.mono = self.base.plus(Nanos(passed));
        if self.announced.elapsed() >= Duration::from_secs(20) {
            self.announced = Instant::now();
            SENDERS.iter().for_each(|host| self.bench.hear_from(*host, &page(*host)));
        }
        self.bench.settle();
        while let Some(order) = self.bench.model.poll_order() {
            if let Err(answer) = self.executors.give(order) {
                self.bench.model.handle_told(self.bench.now, answer);
            }
        }
        self.forget_destroyed();
        let plan = self.bench.model.oat_plan();
        self.plan.send_if_modified(|known| std::mem::replace(known, plan.clone()) != *plan);
    }

    /// As the module does: what was destroyed is forgotten when the route has gone.
    fn forget_destroyed(&mut self) {
        let gone = |(key, value): (&String, &String)| {
            let id = key.strip_prefix("link.")?;
            let link: Link = serde_json::from_str(value).expect("a link");
            let over = !link.want && !self.bench.object.contains_key(&format!("route.{id}"));
            over.then(|| key.clone())
        };
        let gone: Vec<String> = self.bench.object.iter().filter_map(gone).collect();
        for key in gone {
            self.bench.object.remove(&key);
            self.bench.event(GraphEvent::Property { key: Some(key), value: None });
        }
    }

    /// The node that is called so.
    fn node(&self, name: &str) -> Option<String> {
        let nodes = self.bench.nodes();
        nodes.iter().find(|(_, node)| node.text.name.contains(name)).map(|(id, _)| format!("wireloom.{id}"))
    }

    fn ends(&self, sender: u8, receiver: u8, channel: u32) -> Option<(LinkEnd, LinkEnd)> {
        let output = LinkEnd { node: self.node(&format!("Synth {sender} "))?, channel };
        Some((output, LinkEnd { node: self.node(&format!("Desk {receiver} "))?, channel }))
    }

    /// A client draws or destroys both links; answers whether their nodes are there.
    fn draw(&mut self, sender: u8, receiver: u8, want: bool) -> bool {
        for channel in 0..2 {
            let Some((output, input)) = self.ends(sender, receiver, channel) else { return false };
            let key = format!("link.{}", pair_id(&output, &input));
            let value = serde_json::to_string(&Link { output, input, want }).expect("serialises");
            self.bench.object.insert(key.clone(), value.clone());
            self.bench.event(GraphEvent::Property { key: Some(key), value: Some(value) });
        }
        true
    }

    fn route(&self, sender: u8, receiver: u8) -> Option<Route> {
        let (output, input) = self.ends(sender, receiver, 0)?;
        let value = self.bench.object.get(&format!("route.{}", pair_id(&output, &input)))?;
        Some(serde_json::from_str(value).expect("a route"))
    }

    /// Somebody changes his mind, or a device is switched off and on.
    fn happen(&mut self) {
        let (what, receiver, sender, seconds) = self.air.with(|network| {
            let dice = &mut network.dice;
            (
                dice.below(4),
                dice.below(RECEIVERS.into()) as u8,
                SENDERS[dice.below(3) as usize],
                dice.below(20),
            )
        });
        match what {
            0 => self.air.with(|network| {
                let device = network.devices.get_mut(&receiver).expect("a device");
                device.source = None;
                // No device starts in less than the pause between two looks.
                device.off_until = Some(Instant::now() + Duration::from_secs(4 + seconds));
            }),
            1 => {
                if let Some(before) = self.wished.remove(&receiver)
                    && !self.draw(before, receiver, false)
                {
                    self.wished.insert(receiver, before);
                }
            }
            _ => {
                let before = self.wished.get(&receiver).copied();
                if before == Some(sender) || before.is_some_and(|before| !self.draw(before, receiver, false))
                {
                    return;
                }
                self.wished.remove(&receiver);
                if self.draw(sender, receiver, true) {
                    self.wished.insert(receiver, sender);
                }
            }
        }
    }
}

#[test]
fn every_wish_is_reached_or_refused_with_a_reason_and_no_device_is_flooded() {
    let (mut reached, mut refused, mut worst) = (0, 0, (0, 0));
    for seed in 0..6 {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("one");
        runtime.block_on(async {
            let mut world = World::new(seed);
            let end = Instant::now() + BAD;
            while Instant::now() < end {
                world.run(Duration::from_secs(3)).await;
                world.happen();
            }
            world.air.with(|network| network.bad = false);
            world.run(REST).await;
            for receiver in 0..RECEIVERS {
                let wished = world.wished.get(&receiver).copied();
                let (source, changes, most) = world.air.with(|network| {
                    let device = network.devices.get_mut(&receiver).expect("a device");
                    (device.source.clone(), device.changes, device.worst)
                });
                let plays = source.map(|source| match source {
                    Source::Described { sdp } => sdp,
                    Source::Stream { host, .. } => host,
                });
                worst = (worst.0.max(most.0), worst.1.max(most.1));
                assert!(
                    most.0 <= MOST_ASKED && most.1 <= MOST_CHANGES,
                    "seed {seed}: {most:?} in ten seconds"
                );
                let route = wished.and_then(|sender| world.route(sender, receiver));
                match wished {
                    Some(_) if receiver == LOCKED => {
                        let route = route.unwrap_or_else(|| panic!("seed {seed}: no word of the refusal"));
                        assert_eq!(route.state, RouteState::Failed, "seed {seed}: {route:?}");
                        assert!(route.error.contains("locked by the front panel"), "seed {seed}: {route:?}");
                        assert!(changes <= 60, "seed {seed}: asked {changes} times although it refuses");
                        refused += 1;
                    }
                    Some(sender) => {
                        let expected = format!("o=syntee-00{sender} ");
                        assert!(
                            plays.as_ref().is_some_and(|sdp| sdp.contains(&expected)),
                            "seed {seed}: desk {receiver} plays {plays:?}, not {sender}; {route:?}"
                        );
                        reached += 1;
                    }
                    None => assert_eq!(plays, None, "seed {seed}: desk {receiver} plays what nobody wants"),
                }
            }
        });
    }
    assert!(
        reached > 6 && refused > 1,
        "{reached} reached, {refused} refused, at most {worst:?} in ten seconds"
    );
    println!("{reached} reached, {refused} refused, at most {worst:?} requests and changes in ten seconds");
}
