//! Streams of OpenAudioTools: their names and devices, and the asking for those that are sent to who asks.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

use wireloom_oat::{Liveness, Offer, Presence, RECEIVE_PORTS};
use wireloom_units::Nanos;
use wireloom_wanted::{Keepalive, Leg, Node, State};

use super::known::Origin;
use super::{Entry, InterfaceFacts, Known, Model, identity};
use crate::oat::{Ask, Outgoing, Plan, Subscriptions, Wanted, ask, is_oat, oat_device};
use crate::stamp::Stamped;
use crate::time::Now;

/// Ports of streams that find none free in OAT's own range of sixteen.
const MORE_PORTS: std::ops::RangeInclusive<u16> = 51_000..=51_999;
/// Devices that are controlled at a time; each is asked once a second.
const MAX_DEVICES: usize = 128;
/// A datagram goes this way so often, because firewalls let in what answers one.
const OPEN_WAY_MS: u32 = 15_000;

/// What the model keeps for streams that are asked for.
#[derive(Debug, Default)]
pub struct Oat {
    pub subscriptions: Subscriptions,
    /// Announcements of streams of OAT, by the id of the stream.
    liveness: BTreeMap<String, Followed>,
    /// Ports that the module could not bind.
    taken: BTreeSet<u16>,
    /// Devices that DNS-SD names, by the full name of their service: also those that send no stream.
    named: Stamped<BTreeMap<String, Named>>,
    /// Who is controlled: who claims the name of a device that is there does not come in its place.
    plan: Plan,
}

/// A device that DNS-SD names.
#[derive(Debug)]
struct Named {
    /// What it is known by: its host name, or the device of a stream that came from its address.
    device: String,
    control: SocketAddrV4,
}

/// What an announced stream says of whom to ask.
#[derive(Debug, PartialEq, Hash)]
pub struct Says {
    /// Where the stream is had: who is asked for it, and its number there; or its group.
    had_at: Option<(SocketAddrV4, u32)>,
    /// Where its device is told what to play.
    control: Option<SocketAddrV4>,
}

impl Says {
    /// Nothing, where there is no description or it came by IPv6.
    pub fn of(stream: &Known) -> Option<Self> {
        let described = stream.stream.as_ref()?;
        let address = stream.address.parse::<Ipv4Addr>().ok()?;
        let offer = described.vendor.oat.parse::<Offer>().unwrap_or_default();
        Some(Self {
            had_at: ask(described, address.into())
                .map(|ask| (ask.sender, ask.stream))
                .or_else(|| Some((group(described)?, 0))),
            control: offer.control_port.map(|port| SocketAddrV4::new(address, port)),
        })
    }
}

#[derive(Debug)]
struct Followed {
    liveness: Liveness,
    heard: Nanos,
    judged: Nanos,
}

impl Model {
    /// The leg by which a stream that is asked for comes, and the datagram that opens its way; an error says why it
    /// cannot come.
    pub(super) fn asked_leg(
        &self,
        id: &str,
        ask: &Ask,
        heard_on: Option<&InterfaceFacts>,
    ) -> Result<(Leg, Keepalive), String> {
        let sender = IpAddr::V4(*ask.sender.ip());
        let near = self.interfaces.iter().find(|facts| facts.reaches(sender)).or(heard_on);
        let Some((facts, local)) = near.and_then(|facts| Some((facts, address_near(facts, sender)?))) else {
            return Err("This computer has no address in the network of its sender.".to_owned());
        };
        let leg = Leg {
            source: Some(sender),
            interface: Some(facts.name.clone()),
            ..Leg::to(local.into(), self.port_for(id))
        };
        Ok((leg, open_way(ask.sender)))
    }

    /// The port that stream `id` comes to: the one it has, else a free one, the same after a restart unless others
    /// have it meanwhile.
    fn port_for(&self, id: &str) -> u16 {
        let port_of = |stream: &Entry| Some(asked_node(stream)?.legs.first()?.port);
        if let Some(port) = self.streams.get(id).and_then(port_of)
            && !self.oat.taken.contains(&port)
        {
            return port;
        }
        let others = self.streams.iter().filter(|(other, _)| *other != id);
        let used: BTreeSet<u16> = others.filter_map(|(_, stream)| port_of(stream)).collect();
        let start = identity::hash(id) as usize;
        let from = |range: std::ops::RangeInclusive<u16>| {
            let length = range.len();
            let ports: Vec<u16> = range.collect();
            (0..length).filter_map(move |step| ports.get((start % length + step) % length).copied())
        };
        let mut ports = from(RECEIVE_PORTS).chain(from(MORE_PORTS));
        let free = ports.find(|port| !used.contains(port) && !self.oat.taken.contains(port));
        free.unwrap_or(*MORE_PORTS.end())
    }

    /// Takes over the port of a node that an agent before us made: its stream runs there.
    pub(super) fn adopt_port(&mut self, id: &str, found: &Node) {
        let Some(found) = found.keepalive.as_ref().and(found.legs.first()) else { return };
        let in_use = |(other, stream): (&String, &Entry)| {
            other != id
                && asked_node(stream).is_some_and(|node| node.legs.iter().any(|leg| leg.port == found.port))
        };
        if self.streams.iter().any(in_use) {
            return;
        }
        let node = self.streams.get_mut(id).and_then(|stream| stream.node.as_mut());
        if let Some(leg) = node.filter(|node| node.keepalive.is_some()).and_then(|node| node.legs.first_mut())
        {
            leg.port = found.port;
        }
    }

    /// Asks for every stream that somebody listens to, ends what nobody does, and follows who is still announced.
    pub(super) fn settle_oat(&mut self, now: Now) {
        self.mend_legs();
        self.name_devices();
        let wanted = self.wanted_subscriptions();
        if !self.active {
            self.oat.subscriptions.drop_all(); // whoever is active goes on
        }
        let mut random = std::mem::replace(&mut self.random, Box::new(|| 0));
        for (id, wanted, silent) in &wanted {
            self.oat.subscriptions.want(now.mono, id, *wanted, &mut random);
            if *silent {
                self.oat.subscriptions.handle_silence(now.mono, id);
            }
        }
        self.random = random;
        self.oat.subscriptions.retain(now.mono, |id| wanted.iter().any(|(wanted, ..)| wanted == id));
        self.oat.subscriptions.handle_timeout(now.mono);
        self.follow_oat(now);
    }

    /// When [`Model::settle_oat`] is due.
    pub(super) fn oat_timeout(&self) -> Option<Nanos> {
        let presence =
            self.oat.liveness.values().filter_map(|followed| followed.liveness.poll_timeout(followed.judged));
        presence.chain(self.oat.subscriptions.poll_timeout()).min()
    }

    /// The next question to a sender.
    pub fn poll_subscription(&mut self) -> Option<Outgoing> {
        self.oat.subscriptions.poll_transmit()
    }

    /// An answer of a sender, or what somebody wants us to take for one. Answers whether people see a change.
    pub fn handle_subscription(
        &mut self,
        now: Now,
        local: Ipv4Addr,
        from: SocketAddrV4,
        bytes: &[u8],
    ) -> bool {
        self.oat.subscriptions.handle_datagram(now.mono, local, from, bytes);
        self.oat.subscriptions.poll_changed()
    }

    /// Who can be told what to play, and which stream is whose, since the model settled.
    pub fn oat_plan(&self) -> &Plan {
        &self.oat.plan
    }

    /// Finds who can be told what to play. A device is asked only where its streams come from, in a network of this
    /// computer, so that no announcement makes us ask anybody else.
    pub(super) fn plan_oat(&mut self, now: Now) {
        self.look_around(now);
        let of = (self.active, [self.around.roll, self.interfaces.stamp(), self.oat.named.stamp()]);
        if self.around.planned.replace(of) == Some(of) {
            return;
        }
        let mut plan = Plan::default();
        let mut found: Vec<(String, SocketAddrV4)> = Vec::new();
        let ours = |address: IpAddr| {
            self.interfaces.iter().any(|facts| facts.addresses.iter().any(|(own, _)| *own == address))
        };
        for (id, stream) in self.streams.iter().filter(|(_, stream)| self.active && !stream.is_transmit()) {
            let Some(says) = stream.says() else { continue };
            if let Some(place) = says.had_at {
                plan.streams.insert(place, id.clone());
            }
            let (Some(control), false) =
                (says.control, stream.node.as_ref().is_some_and(|node| node.offline))
            else {
                continue;
            };
            let address = IpAddr::V4(*control.ip());
            let near = self.interfaces.iter().any(|facts| !facts.loopback && facts.reaches(address));
            if near && !ours(address) {
                let device = stream.device_key.clone().unwrap_or_else(|| stream.address.clone());
                found.push((device, control));
            }
        }
        for named in self.oat.named.values().filter(|_| self.active) {
            if !found.iter().any(|(_, control)| control.ip() == named.control.ip()) {
                found.push((named.device.clone(), named.control));
            }
        }
        // What is controlled already goes before what was found since.
        found.sort_by_key(|(device, control)| self.oat.plan.devices.get(device) != Some(control));
        for (device, control) in found {
            if plan.devices.len() < MAX_DEVICES {
                plan.devices.entry(device).or_insert(control);
            }
        }
        self.oat.plan = plan;
    }

    /// DNS-SD names a device that can be controlled. Answers that something changed.
    pub(super) fn take_control(&mut self, name: String, host: &str, control: SocketAddrV4) -> bool {
        let host = host.split('.').next().unwrap_or_default();
        let device =
            if wireloom_oat::is_host_name(host) { oat_device(host) } else { control.ip().to_string() };
        self.oat.named.insert(name, Named { device, control });
        true
    }

    /// A device withdrew its name: it is going, and so are its streams unless they are announced again.
    pub(super) fn lose_control(&mut self, name: &str) -> bool {
        let Some(named) = self.oat.named.remove(name) else { return false };
        for (id, followed) in &mut self.oat.liveness {
            let stream = self.streams.get(id);
            if stream.and_then(|stream| stream.device_key.as_ref()) == Some(&named.device) {
                followed.liveness.handle_goodbye();
            }
        }
        true
    }

    /// A device that is known by its address, and then by a stream that came from there, stays the one of the stream:
    /// also when that goes.
    fn name_devices(&mut self) {
        let mut renamed = Vec::new();
        for (name, named) in &*self.oat.named {
            let address = named.control.ip().to_string();
            let of_stream = self.streams.values().find(|stream| {
                stream.address == address && stream.stream.is_some() && stream.device_key.is_some()
            });
            let device = of_stream.and_then(|stream| stream.device_key.as_ref());
            if let Some(device) = device.filter(|device| **device != named.device) {
                renamed.push((name.clone(), device.clone()));
            }
        }
        for (name, device) in renamed {
            if let Some(named) = self.oat.named.get_mut(&name) {
                named.device = device;
            }
        }
    }

    fn wanted_subscriptions(&self) -> Vec<(String, Wanted, bool)> {
        let want = |(id, stream): (&String, &Entry)| {
            let node = asked_node(stream)?;
            let (leg, report) = (node.legs.first()?, stream.report.as_ref()?);
            let listens = matches!(report.state, State::Waiting | State::Running | State::Silent);
            if !self.active || node.offline || report.links == 0 || report.port == 0 || !listens {
                return None;
            }
            let (IpAddr::V4(local), SocketAddr::V4(sender)) = (leg.address, node.keepalive.as_ref()?.to)
            else {
                return None;
            };
            let described = stream.stream.as_ref().and_then(|stream| ask(stream, IpAddr::V4(*sender.ip())));
            let number = described.map_or(0, |ask| ask.stream);
            let wanted = Wanted { local, port: report.port, sender, stream: number };
            Some((id.clone(), wanted, report.state == State::Silent))
        };
        self.streams.iter().filter_map(want).collect()
    }

    /// This computer's address changed, or the module cannot have the port: legs follow.
    fn mend_legs(&mut self) {
        let refused = |stream: &Entry| {
            let report = stream.report.as_ref()?;
            let port = asked_node(stream)?.legs.first()?.port;
            (report.state == State::Error && report.error.starts_with("binding the port")).then_some(port)
        };
        let refused: Vec<u16> = self.streams.values().filter_map(refused).collect();
        self.oat.taken.extend(refused);
        let changed: Vec<_> = self
            .streams
            .iter()
            .filter_map(|(id, stream)| {
                let node = asked_node(stream)?;
                let SocketAddr::V4(sender) = node.keepalive.as_ref()?.to else { return None };
                let (leg, _) = self.asked_leg(id, &Ask { sender, stream: 0 }, None).ok()?;
                (node.legs.first() != Some(&leg)).then(|| (id.clone(), leg))
            })
            .collect();
        for (id, leg) in changed {
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.report = None; // of the socket that was
                if let Some(node) = &mut stream.node {
                    node.legs = vec![leg];
                }
            }
        }
    }

    /// Streams of OAT are suspect and offline by their own rule, sooner than others.
    fn follow_oat(&mut self, now: Now) {
        let heard = |(id, stream): (&String, &Entry)| {
            stream.stream.as_ref().filter(|stream| is_oat(stream))?;
            let entry = stream.entry?;
            let heard = self.listener.stream(entry)?;
            let last = heard.via.iter().map(|hearing| hearing.last).max()?;
            Some((id.clone(), entry, last, stream.runs()))
        };
        let heard: Vec<_> = self.streams.iter().filter_map(heard).collect();
        self.oat.liveness.retain(|id, _| heard.iter().any(|(other, ..)| other == id));
        let (mut gone, mut back) = (Vec::new(), Vec::new());
        for (id, entry, last, runs) in heard {
            let followed = self.oat.liveness.entry(id.clone()).or_insert_with(|| Followed {
                liveness: Liveness::new(last),
                heard: last,
                judged: now.mono,
            });
            followed.judged = now.mono;
            if followed.heard != last {
                followed.liveness.handle_announcement(last);
                followed.heard = last;
                back.push(entry);
            }
            if runs {
                followed.liveness.handle_audio(now.mono);
            }
            match (followed.liveness.presence(now.mono), self.streams.get_mut(&id)) {
                (Presence::Suspect, Some(stream)) if stream.origin == Origin::Announced => {
                    stream.origin = Origin::Stale;
                }
                (Presence::Offline, _) => gone.push((id, entry)),
                _ => {}
            }
        }
        back.into_iter().for_each(|entry| self.learn_state(entry));
        for (id, entry) in gone {
            self.heard.remove(&entry);
            self.removed.insert(entry, now.mono); // the next announcement brings it back
            self.leave(&id, now.mono);
        }
    }
}

/// The node of a stream that has to be asked for.
fn asked_node(stream: &Known) -> Option<&Node> {
    stream.node.as_ref().filter(|node| node.keepalive.is_some())
}

/// The group of a stream that has one.
fn group(stream: &wireloom_sdp::Stream) -> Option<SocketAddrV4> {
    let leg = stream.legs.first()?;
    match leg.address {
        IpAddr::V4(group) if group.is_multicast() => Some(SocketAddrV4::new(group, leg.port)),
        _ => None,
    }
}

/// The address of `facts` in the network of `sender`; else any that it has.
fn address_near(facts: &InterfaceFacts, sender: IpAddr) -> Option<Ipv4Addr> {
    let near = facts.addresses.iter().find_map(|(address, bits)| {
        let only = InterfaceFacts { addresses: vec![(*address, *bits)], ..InterfaceFacts::default() };
        match address {
            IpAddr::V4(address) if only.reaches(sender) => Some(*address),
            _ => None,
        }
    });
    near.or_else(|| facts.ipv4())
}

/// A datagram to `sender` that it need not answer, from the socket that its audio comes to.
fn open_way(sender: SocketAddrV4) -> Keepalive {
    let bytes = wireloom_oat::OPEN_WAY.iter().map(|octet| format!("{octet:02x}")).collect();
    Keepalive { bytes, to: sender.into(), interval_ms: OPEN_WAY_MS }
}
