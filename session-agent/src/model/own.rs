//! Transmit streams of this computer: their address, their description, their announcement.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use wireloom_sdp::{Outgoing, for_display};
use wireloom_units::{Channels, Nanos};
use wireloom_wanted::{
    ClockRelation, Copies, Direction, Encoding, Leg, Media, Node, NodeText, Protocol, Show,
};

use super::describe::Speaker;
use super::known::Origin;
use super::{InterfaceFacts, Known, Model, clock, describe, identity, offered};
use crate::request::{Answer, Flavour, NewStream, Refused};
use crate::store::SavedOwn;
use crate::time::Now;

/// The most own streams: 64 announcements in 30 s are a load that small devices bear.
const MAX_OWN: usize = 64;
/// The most payload octets of a packet that AES67 asks receivers to take.
const MAX_PAYLOAD: usize = 1440;
/// An interface that streams leave by, and its address.
pub(super) type WayOut = (InterfaceFacts, Ipv4Addr);

const RATES: [u32; 6] = [44_100, 48_000, 88_200, 96_000, 176_400, 192_000];

impl Model {
    /// Makes a transmit stream, or says why not.
    pub(super) fn create(&mut self, now: Now, new: &NewStream) -> Answer {
        let own = self.plan(new)?;
        if new.dry_run {
            return Ok(Vec::new());
        }
        self.insert_own(now, &own);
        let id = own.id.clone();
        self.saved.own.push(own);
        self.save_within(now, Nanos::ZERO);
        Ok(vec![id])
    }

    fn plan(&mut self, new: &NewStream) -> Result<SavedOwn, Refused> {
        let invalid = |text: String| Err(Refused::Invalid(text));
        let name = for_display(&new.name);
        if name.is_empty() || new.name.chars().count() > 128 {
            return invalid("a name has 1 to 128 characters".to_owned());
        }
        let channels = match usize::try_from(new.channels) {
            Ok(channels @ 1..=64) => channels,
            _ => return invalid(format!("a stream has 1 to 64 channels, not {}", new.channels)),
        };
        let labels = match &new.labels {
            None => (1..=channels).map(|number| number.to_string()).collect(),
            Some(labels) if labels.len() == channels => {
                labels.iter().map(|label| for_display(label).replace(',', ";")).collect()
            }
            Some(labels) => {
                return invalid(format!("{} labels do not fit {channels} channels", labels.len()));
            }
        };
        let encoding = match new.encoding.as_str() {
            "L16" => Encoding::L16,
            "L24" => Encoding::L24,
            "L32" => Encoding::L32,
            other => return invalid(format!("encoding is L16, L24 or L32, not {other:?}")),
        };
        if !RATES.contains(&new.rate) {
            return invalid(format!("rate is one of {RATES:?}, not {}", new.rate));
        }
        if new.flavour == Flavour::Oat {
            self.check_offer(new, channels, encoding)?;
        } else if new.port == 0 || new.port % 2 == 1 {
            return invalid(format!("port is an even number from 2 to 65534, not {}", new.port));
        }
        if new.ttl == 0 {
            return invalid("ttl is 1 to 255, not 0".to_owned());
        }
        if new.dscp > 63 {
            return invalid(format!("dscp is 0 to 63, not {}", new.dscp));
        }
        let packet_frames = match new.packet_frames {
            None if new.flavour == Flavour::Oat => offered::default_frames(channels),
            None => default_frames(channels, encoding, new.rate)
                .ok_or_else(|| Refused::Invalid(format!("{channels} channels do not fit into a packet")))?,
            Some(frames @ 1..=384) if octets(frames, channels, encoding) <= MAX_PAYLOAD => frames,
            Some(frames @ 1..=384) => {
                let octets = octets(frames, channels, encoding);
                return invalid(format!("a packet of {octets} octets is longer than {MAX_PAYLOAD}"));
            }
            Some(frames) => return invalid(format!("packet-frames is 1 to 384, not {frames}")),
        };
        if new.flavour == Flavour::Dante
            && (channels > 8 || new.rate != 48_000 || new.encoding != "L24" || packet_frames != 48)
        {
            return invalid(
                "devices of Dante take 1 to 8 channels of L24 at 48000 Hz in packets of 48 frames; the flavour aes67 \
                 describes any other"
                    .to_owned(),
            );
        }
        if let Some(name) = &new.interface {
            let facts = self.interfaces.iter().find(|facts| facts.name == *name);
            let facts = facts.ok_or_else(|| {
                Refused::NotFound(format!("no network interface is called \"{}\"", for_display(name)))
            })?;
            if self.joined().iter().all(|joined| joined.index != facts.index) {
                return invalid(format!("{name} is not used for audio; wireloom interface says why"));
            }
        }
        if self.saved.own.len() >= MAX_OWN {
            return Err(Refused::Limit(format!("this computer transmits {MAX_OWN} streams already")));
        }
        let address = match new.address {
            None if new.flavour == Flavour::Oat => Ipv4Addr::UNSPECIFIED,
            Some(address) if !address.is_multicast() || address.octets()[0] == 232 => {
                return invalid(format!("{address} is not a multicast address that can be transmitted to"));
            }
            Some(address) if address.octets()[..3] == [224, 0, 0] => {
                return invalid(format!("{address} is reserved for the network itself"));
            }
            Some(address) if self.used_addresses().contains(&address) => {
                return Err(Refused::Conflict(format!("{address} is used by another stream")));
            }
            Some(address) => address,
            None => self.free_address()?,
        };
        let port = match new.flavour {
            Flavour::Oat => self.offered_port(new.port)?,
            _ => new.port,
        };
        let session_id = self.free_session_id();
        let id = identity::stream_id(&format!("own\t{session_id}\t{name}"), 0);
        let mut own = SavedOwn {
            id,
            name,
            labels,
            address,
            port,
            encoding,
            rate: new.rate,
            packet_frames,
            payload_type: 0,
            ttl: new.ttl,
            dscp: new.dscp,
            flavour: new.flavour,
            interface: new.interface.clone(),
            ssrc: (self.random)(),
            session_id,
            version: session_id,
            announced: 0,
        };
        let flavour = describe::flavour(&own);
        let count = u16::try_from(channels).ok().and_then(Channels::new);
        own.payload_type = match new.flavour {
            Flavour::Oat => offered::PAYLOAD_TYPE,
            _ => count.map_or(98, |count| flavour.payload_type(count)),
        };
        let refclk = wireloom_sdp::RefClk::LocalMac([2, 0, 0, 0, 0, 0]);
        let longest = Some(Ipv4Addr::new(192, 168, 100, 100));
        describe::own(&own, &Speaker { address: longest, ..self.speaker(None) }, refclk)
            .and_then(|description| wireloom_sdp::write(&description, flavour))
            .map_err(|why| Refused::Invalid(format!("it cannot be announced: {why}")))?;
        Ok(own)
    }

    /// A session id of four digits or more, a mark of its own: the announcer knows the stream by it.
    pub(super) fn free_session_id(&mut self) -> u64 {
        let first = u64::from((self.random)().max(1000));
        let is_free = |id: &u64| self.saved.own.iter().all(|own| own.session_id != *id);
        (first..).find(is_free).unwrap_or(first)
    }

    fn used_addresses(&self) -> BTreeSet<Ipv4Addr> {
        let nodes = self.streams.values().filter_map(|stream| stream.node.as_ref());
        let v4 = nodes.flat_map(|node| &node.legs).filter_map(|leg| match leg.address {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        });
        let unplayable = self.streams.values().filter(|stream| stream.node.is_none());
        let described = unplayable.flat_map(|stream| stream.sdp.lines().filter_map(connection));
        let ours = self.saved.own.iter().chain(self.saved.slots.values());
        v4.chain(described).chain(ours.map(|own| own.address)).collect()
    }

    /// A free address of the pool, from a random one on, so that two computers seldom choose the same.
    pub(super) fn free_address(&mut self) -> Result<Ipv4Addr, Refused> {
        let (used, pool) = (self.used_addresses(), self.settings.address_pool);
        let first = (self.random)() % pool.size();
        (0..pool.size())
            .filter_map(|step| pool.address(first.wrapping_add(step)))
            .find(|address| !used.contains(address))
            .ok_or_else(|| Refused::Limit(format!("every address of {pool} is in use")))
    }

    pub(super) fn insert_own(&mut self, now: Now, own: &SavedOwn) {
        let arrival = self.arrival();
        let mut known = Known::new(Origin::Own, own.name.clone(), arrival);
        known.condition.since_us = now.wall_us;
        known.node = Some(node_of(own));
        self.streams.insert(own.id.clone(), known.into());
    }

    /// Interfaces that own streams can leave by, and the address there: all in use that have IPv4, the first first.
    pub(super) fn ways_out(&self) -> Vec<WayOut> {
        let joined = self.joined().into_iter();
        joined.filter_map(|facts| facts.ipv4().map(|address| (facts, address))).collect()
    }

    /// The one of `ways` that `own` leaves by: that of the interface it was made for, while there is one; the first if it
    /// was made for none.
    pub(super) fn way_of<'a>(ways: &'a [WayOut], own: &SavedOwn) -> Option<&'a WayOut> {
        match &own.interface {
            None => ways.first(),
            Some(name) => ways.iter().find(|(facts, _)| facts.name == *name),
        }
    }

    /// Why the own stream `id` cannot leave, in a sentence.
    pub(super) fn no_way(&self, id: &str) -> Option<String> {
        let own = self.saved.own.iter().find(|own| own.id == id)?;
        if Self::way_of(&self.ways_out(), own).is_some() {
            return None;
        }
        let Some(name) = &own.interface else {
            return Some("No network interface in use has an IPv4 address to send it from.".to_owned());
        };
        let name = for_display(name);
        Some(match self.interfaces.iter().find(|facts| facts.name == name) {
            None => format!("It leaves by {name}, and there is no such network interface now."),
            Some(facts) if self.use_of(facts).is_err() => {
                format!("It leaves by {name}, which is not used for audio now (wireloom interface says why).")
            }
            Some(_) => format!("It leaves by {name}, which has no IPv4 address now."),
        })
    }

    /// This computer as its announcements name it, leaving by `way`.
    pub(super) fn speaker(&self, way: Option<&WayOut>) -> Speaker {
        Speaker {
            address: way.map(|(_, address)| *address),
            mac: way.and_then(|(facts, _)| facts.mac),
            name: self.computer.clone(),
        }
    }

    /// Announces what is new, and again what the network must hear otherwise: another grandmaster, another address.
    pub(super) fn announce_own(&mut self, now: Now) {
        if !self.active {
            return;
        }
        self.announcer.handle_pipewire(self.listener.pipewire_seen());
        self.announcer.handle_timeout(now.mono);
        let ways = self.ways_out();
        let ours = self.our_clock();
        let mut own = std::mem::take(&mut self.saved.own);
        for stream in &mut own {
            let way = Self::way_of(&ways, stream);
            let speaker = self.speaker(way);
            let Some(known) = self.streams.get_mut(&stream.id) else { continue };
            if let Some(leg) = known.node.as_mut().and_then(|node| node.legs.first_mut()) {
                leg.interface = way.map(|(facts, _)| facts.name.clone()).or_else(|| stream.interface.clone());
            }
            let Some((facts, address)) = way else { continue };
            let refclk = clock::announced(ours.as_ref(), facts.mac.unwrap_or([2, 0, 0, 0, 0, 0]));
            let Ok(mut description) = describe::own(stream, &speaker, refclk) else { continue };
            let flavour = describe::flavour(stream);
            if let Some(announced) = self.announcer.announced(stream.session_id) {
                description.version = announced.version;
                if *announced == description {
                    continue;
                }
            }
            // What is said, without its version: the same after a restart is no news for the network.
            description.version = 0;
            let Ok(text) = wireloom_sdp::write(&description, flavour) else { continue };
            let fingerprint = identity::hash(&text);
            if stream.announced != fingerprint {
                (stream.announced, stream.version) = (fingerprint, stream.version.saturating_add(1));
                self.save_at = Some(now.mono);
            }
            description.version = stream.version;
            let change =
                self.announcer.handle_change(now.mono, stream.session_id, description.clone(), flavour);
            let Ok(version) = change else { continue }; // what was announced before stays
            (stream.version, description.version) = (version, version);
            let Ok(sdp) = wireloom_sdp::write(&description, flavour) else { continue };
            known.address = address.to_string();
            known.stream =
                wireloom_sdp::read(sdp.as_bytes()).ok().and_then(|read| read.streams.into_iter().next());
            known.sdp = Arc::from(sdp);
        }
        self.saved.own = own;
        self.tell_own();
    }

    /// The next announcement datagram to send, from the address that it names.
    pub fn poll_transmit(&mut self) -> Option<Outgoing> {
        self.announcer.poll_transmit()
    }

    /// Tells the listener which announcements are ours.
    pub(super) fn tell_own(&mut self) {
        let addresses: Vec<_> = self
            .interfaces
            .iter()
            .flat_map(|facts| facts.addresses.iter().map(|(address, _)| *address))
            .collect();
        let own: BTreeSet<_> = self
            .saved
            .own
            .iter()
            .flat_map(|own| addresses.iter().map(|address| (*address, own.session_id.to_string())))
            .collect();
        if own != self.told_own {
            self.listener.set_own(own.iter().cloned());
            self.told_own = own;
        }
    }
}

/// The address in a line of a description like "c=IN IP4 239.69.1.1/32" (RFC 8866 section 5.7).
fn connection(line: &str) -> Option<Ipv4Addr> {
    line.trim().strip_prefix("c=IN IP4 ")?.split('/').next()?.trim().parse().ok()
}

fn octets(frames: u32, channels: usize, encoding: Encoding) -> usize {
    usize::try_from(frames).unwrap_or(usize::MAX).saturating_mul(channels * encoding.bytes())
}

/// The most frames of 1 ms and its usual parts that fit into a packet.
fn default_frames(channels: usize, encoding: Encoding, rate: u32) -> Option<u32> {
    let scale = (rate / 44_100).max(1); // 1, 2 or 4: frames of one packet time grow with the rate
    [48, 24, 16, 12, 8, 6]
        .map(|frames| frames * scale)
        .into_iter()
        .find(|frames| octets(*frames, channels, encoding) <= MAX_PAYLOAD)
}

fn node_of(own: &SavedOwn) -> Node {
    Node {
        direction: Direction::Transmit,
        protocol: match own.flavour {
            Flavour::Dante => Protocol::Dante,
            Flavour::Ravenna => Protocol::Ravenna,
            Flavour::Oat => Protocol::Oat,
            Flavour::Aes67 | Flavour::St2110 => Protocol::Aes67,
        },
        text: NodeText { description: own.name.clone(), nick: String::new(), name: own.name.clone() },
        device: super::device::local_id(),
        channels: own.labels.clone(),
        media: Media {
            encoding: own.encoding,
            rate: own.rate,
            samples_per_packet: own.packet_frames,
            payload_type: own.payload_type,
            offset: Some(0),
            ssrc: Some(own.ssrc),
        },
        legs: match own.flavour {
            Flavour::Oat => Vec::new(),
            _ => vec![Leg { ttl: Some(own.ttl), ..Leg::to(own.address.into(), own.port) }],
        },
        clock: ClockRelation::Other, // as an announcement without a grandmaster says
        latency: 144,
        show: Show::Patchbay,
        chosen: false,
        announced: true,
        dscp: own.dscp,
        offline: false,
        remote: false,
        direct: Vec::new(),
        keepalive: None,
        copies: (own.flavour == Flavour::Oat).then(|| Copies { port: own.port, to: Vec::new() }),
    }
}
