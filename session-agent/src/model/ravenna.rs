//! RAVENNA sessions: what DNS-SD names and RTSP describes is the same stream as what SAP announces.

use std::net::IpAddr;
use std::sync::Arc;

use wireloom_sdp::{Delivery, Origin as SdpOrigin, Parsed, Reason, Stream, StreamId, for_display, to_text};
use wireloom_units::Nanos;
use wireloom_wanted::Protocol;

use super::known::Origin;
use super::own::WayOut;
use super::{Known, Model, identity};
use crate::ravenna::{Event, Own, Plan};
use crate::request::Flavour;
use crate::store::SavedOwn;
use crate::time::Now;

/// Sessions that are known at a time, as many as announcements.
const MAX_SESSIONS: usize = 1024;
/// Sessions of one server.
const MAX_OF_SERVER: usize = 256;

/// A session as its server described it last.
#[derive(Debug)]
pub struct Session {
    pub server: IpAddr,
    /// Its streams, in the order of the description.
    pub ids: Vec<String>,
    /// Whose description it is, and which version; `None` when it cannot be read.
    origin: Option<SdpOrigin>,
    /// When it was described last.
    pub last: Nanos,
}

impl Model {
    /// What RAVENNA should do: look on the interfaces in use that allow it, publish what leaves by one of them:
    /// that of the first stream.
    pub fn ravenna_plan(&self) -> Plan {
        let mut interfaces = self.joined();
        interfaces.retain(|facts| self.allows_ravenna(facts));
        let mut ways = self.ways_out();
        ways.retain(|(facts, _)| interfaces.iter().any(|it| it.index == facts.index));
        let publishable = || self.saved.own.iter().filter(|own| own.flavour != Flavour::Oat);
        let publish = publishable().find_map(|own| Self::way_of(&ways, own)).or(ways.first()).cloned();
        let index = |way: &WayOut| way.0.index;
        let leaves_there =
            |own: &&SavedOwn| Self::way_of(&ways, own).map(index) == publish.as_ref().map(index);
        let own = publishable().filter(leaves_there).filter_map(|own| {
            let sdp = self.streams.get(&own.id)?.sdp.clone();
            let id = u32::try_from(own.session_id).ok()?; // made of 32 bits
            (!sdp.is_empty()).then(|| Own { id, name: own.name.clone(), sdp })
        });
        let own = if publish.is_some() { own.collect() } else { Vec::new() };
        Plan { interfaces, publish, port: self.settings.rtsp_port, own }
    }

    /// Feeds what was found. Answers whether anything changed that [`Model::settle`] should see.
    pub fn handle_ravenna(&mut self, now: Now, event: Event) -> bool {
        match event {
            Event::Described { session, server, text } => self.take_session(now, &session, server, &text),
            Event::Announced { session, server, text } => {
                let is_of =
                    |name: &String| self.sessions.get(name).is_some_and(|known| known.server == server);
                match self.session_of(server, &text).or(session.filter(is_of)) {
                    Some(session) => self.take_session(now, &session, server, &text),
                    None => false,
                }
            }
            Event::Lost { session } => self.lose_session(now, &session),
            Event::Control { name, host, address } => self.take_control(name, &host, address),
            Event::ControlLost { name } => self.lose_control(&name),
            Event::Trouble(why) => {
                self.ravenna_trouble = why;
                true
            }
        }
    }

    /// Whether a session describes stream `id` at least as new as `announced` does: announcements lag.
    pub(super) fn is_described_better(&self, id: &str, announced: &Stream) -> bool {
        let sessions = self.streams.get(id).into_iter().flat_map(|stream| &stream.sessions);
        let mut origins = sessions.filter_map(|session| self.sessions.get(session)?.origin.as_ref());
        origins.any(|origin| announced.origin.is_newer_than(origin) != Some(true))
    }

    /// Whether the settings allow RAVENNA on an interface.
    pub(super) fn allows_ravenna(&self, facts: &super::InterfaceFacts) -> bool {
        let chosen = &self.settings.ravenna_interfaces;
        self.settings.ravenna && (chosen.is_empty() || chosen.contains(&facts.name))
    }

    /// Stream `id` is no longer known.
    pub(super) fn forget_sessions_of(&mut self, id: &str) {
        for session in self.sessions.values_mut() {
            session.ids.retain(|known| known != id);
        }
    }

    /// How many sessions were found in the networks of an interface.
    pub(super) fn sessions_on(&self, facts: &super::InterfaceFacts) -> usize {
        self.sessions.values().filter(|session| facts.reaches(session.server)).count()
    }

    /// The sessions that describe a stream.
    pub(super) fn sessions_of<'a>(&'a self, stream: &'a Known) -> impl Iterator<Item = &'a Session> {
        stream.sessions.iter().filter_map(|session| self.sessions.get(session))
    }

    fn take_session(&mut self, now: Now, session: &str, server: IpAddr, text: &[u8]) -> bool {
        let of_server = self.sessions.values().filter(|known| known.server == server).count();
        let is_new = !self.sessions.contains_key(session);
        if is_new && (self.sessions.len() >= MAX_SESSIONS || of_server >= MAX_OF_SERVER) {
            return false;
        }
        let shows_nothing = self.sessions.get(session).is_none_or(|known| known.ids.is_empty());
        match wireloom_sdp::read(text) {
            Ok(parsed) => self.take_described(now, session, server, text, parsed),
            // Video and the like are no concern of ours, and no fault of anybody's.
            Err(refusal) if shows_nothing && refusal.reason == Reason::OtherMedia => {
                let found = Session { server, ids: Vec::new(), origin: None, last: now.mono };
                self.sessions.insert(session.to_owned(), found);
                false
            }
            Err(refusal) if shows_nothing => {
                let name = for_display(&refusal.name);
                let name = if name.is_empty() { for_display(session) } else { name };
                let id = self.new_id(&identity::session_key(session, server));
                let arrival = self.arrival();
                let known = self
                    .streams
                    .entry(id.clone())
                    .or_insert_with(|| Known::new(Origin::Announced, name, arrival).into());
                known.address = server.to_string();
                known.unreadable = Some(refusal.to_string());
                known.sdp = to_text(text).into();
                known.sessions.insert(session.to_owned());
                known.leaves_at = None;
                let found = Session { server, ids: vec![id], origin: None, last: now.mono };
                self.sessions.insert(session.to_owned(), found);
                true
            }
            // What could be read goes on; a device that is being configured says strange things for a moment.
            Err(_) => {
                if let Some(known) = self.sessions.get_mut(session) {
                    known.last = now.mono;
                }
                false
            }
        }
    }

    fn take_described(
        &mut self,
        now: Now,
        session: &str,
        server: IpAddr,
        text: &[u8],
        parsed: Parsed,
    ) -> bool {
        let Some(origin) = parsed.streams.first().map(|stream| stream.origin.clone()) else { return false };
        let address = origin.ip();
        if address.is_some_and(|address| self.told_own.contains(&(address, origin.session_id.clone()))) {
            return false; // by way of somebody else's server, our own
        }
        let before = self.sessions.get(session).map(|known| known.ids.clone()).unwrap_or_default();
        let warnings: Vec<_> = parsed.warnings.iter().map(ToString::to_string).collect();
        let sdp: Arc<str> = to_text(text).into();
        let same_count = before.len() == parsed.streams.len();
        let mut ids = Vec::new();
        for (at, mut stream) in parsed.streams.into_iter().enumerate() {
            let destination = stream.legs.first().map(|leg| leg.address);
            if stream.delivery == Delivery::Unicast && destination == Some(server) {
                stream.delivery = Delivery::SenderAddress(server);
            }
            let hint = before.get(at).filter(|_| same_count).cloned();
            let id = self.identify(now, &stream, hint);
            if self.is_forged(&id, &stream, server, session) {
                continue;
            }
            if !self.is_announced_newer(&id, &stream) {
                let fresh = self.streams.get(&id).is_none_or(|known| known.node.is_none());
                self.learn(&id, stream, &warnings, &sdp, server, self.interface_of(server));
                let node = self.streams.get_mut(&id).and_then(|known| known.node.as_mut());
                if let Some(node) = node.filter(|node| fresh && node.protocol == Protocol::Aes67) {
                    node.protocol = Protocol::Ravenna;
                }
            }
            self.hold(&id, session);
            ids.push(id);
        }
        for id in before.into_iter().filter(|id| !ids.contains(id)) {
            self.release(now, &id, session);
        }
        let found = Session { server, ids, origin: Some(origin), last: now.mono };
        self.sessions.insert(session.to_owned(), found);
        true
    }

    /// Stream `id` is there as long as `session` is.
    fn hold(&mut self, id: &str, session: &str) {
        let Some(stream) = self.streams.get_mut(id) else { return };
        stream.sessions.insert(session.to_owned());
        stream.leaves_at = None;
        if let Some(node) = &mut stream.node {
            node.offline = false;
        }
        if stream.origin != Origin::File {
            stream.origin = Origin::Announced;
        }
    }

    fn release(&mut self, now: Now, id: &str, session: &str) {
        let Some(stream) = self.streams.get_mut(id) else { return };
        if !stream.sessions.remove(session) {
            return;
        }
        let entry = self.heard.iter().find(|(_, other)| *other == id).map(|(entry, _)| *entry);
        match entry {
            Some(entry) => self.learn_heard(now, entry), // what is announced counts again
            None => self.leave(id, now.mono),
        }
    }

    fn lose_session(&mut self, now: Now, session: &str) -> bool {
        let Some(lost) = self.sessions.remove(session) else { return false };
        for id in lost.ids {
            self.release(now, &id, session);
        }
        true
    }

    /// Which session of `server` a pushed description is of: the origin says it, and the name where several share one.
    fn session_of(&self, server: IpAddr, text: &[u8]) -> Option<String> {
        let parsed = wireloom_sdp::read(text).ok()?;
        let stream = parsed.streams.first()?;
        let same_origin = |session: &Session| {
            session.server == server
                && session.origin.as_ref().is_some_and(|origin| {
                    (&origin.user, &origin.session_id, &origin.address)
                        == (&stream.origin.user, &stream.origin.session_id, &stream.origin.address)
                })
        };
        let candidates: Vec<_> = self.sessions.iter().filter(|(_, session)| same_origin(session)).collect();
        let has_name = |session: &Session| {
            let streams = session.ids.iter().filter_map(|id| self.streams.get(id)?.stream.as_ref());
            streams.into_iter().any(|known| known.raw_name == stream.raw_name || known.has_key_of(stream))
        };
        match candidates[..] {
            [(name, _)] => Some(name.clone()),
            _ => candidates.iter().find(|(_, session)| has_name(session)).map(|(name, _)| (*name).clone()),
        }
    }

    /// Whether another host says what is in a session whose owner speaks for itself.
    fn is_forged(&self, id: &str, stream: &Stream, server: IpAddr, session: &str) -> bool {
        let Some(owner) = stream.origin.ip().filter(|owner| *owner != server) else { return false };
        let Some(known) = self.streams.get(id) else { return false };
        let by_session = known.sessions.iter().filter(|other| *other != session);
        let by_session = by_session.filter_map(|other| self.sessions.get(other)).any(|it| it.server == owner);
        by_session || self.entries_of(id).any(|entry| self.hears_from(entry, owner))
    }

    fn is_announced_newer(&self, id: &str, stream: &Stream) -> bool {
        self.entries_of(id).any(|entry| {
            let heard = self.listener.stream(entry);
            heard.is_some_and(|heard| heard.stream.origin.is_newer_than(&stream.origin) == Some(true))
        })
    }

    fn entries_of<'a>(&'a self, id: &'a str) -> impl Iterator<Item = StreamId> + 'a {
        self.heard.iter().filter(move |(_, other)| *other == id).map(|(entry, _)| *entry)
    }

    fn hears_from(&self, entry: StreamId, host: IpAddr) -> bool {
        self.listener.stream(entry).is_some_and(|heard| heard.via.iter().any(|it| it.source == host))
    }

    fn interface_of(&self, server: IpAddr) -> Option<u32> {
        self.interfaces.iter().find(|facts| facts.reaches(server)).map(|facts| facts.index)
    }
}
