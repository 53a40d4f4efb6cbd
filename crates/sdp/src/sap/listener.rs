use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    string::String,
    vec::Vec,
};
use core::net::IpAddr;

use wireloom_units::Nanos;

use super::{
    Counters, Gone, Heard, Hearing, SapError, SapEvent, SapPacket, State, StreamId, Unreadable, Via,
    limits::{Bucket, NEW_ENTRIES, Sources},
    session::{Passed, Reading, Session},
};
use crate::{Origin, Reason, document::decode_mixed, read};

/// Learns which streams are announced on the network (SAP, RFC 2974). Owns no socket and no clock.
///
/// Holds at most 1024 entries of at most 8 KiB of text each, 256 of one source; a flood costs the senders of the
/// flood their entries first.
#[derive(Debug)]
pub struct SapListener {
    pub(super) sessions: BTreeMap<u64, Session>,
    /// Which session a text is, by who sent it; spares reading what was read before.
    pub(super) texts: BTreeMap<(IpAddr, u64), u64>,
    pub(super) streams: BTreeMap<StreamId, u64>,
    pub(super) own: BTreeSet<(IpAddr, String)>,
    /// Streams that somebody receives.
    pub(super) in_use: BTreeSet<StreamId>,
    pub(super) down: BTreeSet<u32>,
    pub(super) sources: Sources,
    pub(super) new_entries: Bucket,
    pub(super) events: VecDeque<SapEvent>,
    pub(super) counters: Counters,
    pub(super) next: u64,
    pub(super) deadline: Option<Nanos>,
    pub(super) wall: Option<(Nanos, u64)>,
    pub(super) pipewire_seen: bool,
}

impl Default for SapListener {
    fn default() -> Self {
        Self::new()
    }
}

impl SapListener {
    /// Knows nothing yet.
    pub const fn new() -> Self {
        Self {
            sessions: BTreeMap::new(),
            texts: BTreeMap::new(),
            streams: BTreeMap::new(),
            own: BTreeSet::new(),
            in_use: BTreeSet::new(),
            down: BTreeSet::new(),
            sources: Sources::new(),
            new_entries: Bucket::FULL,
            events: VecDeque::new(),
            counters: Counters::ZERO,
            next: 0,
            deadline: None,
            wall: None,
            pipewire_seen: false,
        }
    }

    /// Feeds one datagram received from `from`. A malformed one changes nothing.
    pub fn handle_datagram(&mut self, now: Nanos, from: IpAddr, bytes: &[u8]) -> Result<(), SapError> {
        self.handle_datagram_via(now, from, Via::default(), bytes)
    }

    /// [`SapListener::handle_datagram`] when interface and group are known.
    pub fn handle_datagram_via(
        &mut self,
        now: Nanos,
        from: IpAddr,
        via: Via,
        bytes: &[u8],
    ) -> Result<(), SapError> {
        self.counters.received += 1;
        let result = self.receive(now, from, via, bytes);
        if let Err(error) = result {
            self.counters.count(error);
        }
        result
    }

    /// Call when `poll_timeout` has passed; forgets streams that fell silent (RFC 2974 §4).
    pub fn handle_timeout(&mut self, now: Nanos) {
        let ntp_now = self.wall.map(|(at, seconds)| seconds + now.since(at).0 / 1_000_000_000);
        let mut gone = Vec::new();
        let mut stale = Vec::new();
        self.deadline = None;
        for (&number, session) in &mut self.sessions {
            let in_use = session.is_used(&self.in_use);
            match session.pass(now, ntp_now, in_use) {
                Passed::Nothing => {}
                Passed::BecameStale => stale.extend(session.ids()),
                Passed::Silent => gone.push((number, Gone::Silent)),
                Passed::Ended => gone.push((number, Gone::Ended)),
                Passed::Withdrawn => gone.push((number, Gone::Deleted)),
            }
            self.deadline = earliest(self.deadline, session.deadline());
        }
        for id in stale {
            self.push(SapEvent::Stale(id));
        }
        for (number, why) in gone {
            self.forget(number, why);
        }
    }

    /// An interface went down or came up: what was heard only there keeps its age meanwhile.
    pub fn handle_interface(&mut self, now: Nanos, interface: u32, up: bool) {
        if up {
            self.down.remove(&interface);
        } else if self.down.len() < MAX_INTERFACES {
            self.down.insert(interface);
        }
        let down = &self.down;
        for session in self.sessions.values_mut() {
            session.freeze(now, |interface| down.contains(&interface));
            self.deadline = earliest(self.deadline, session.deadline());
        }
    }

    /// Tells the wall clock in NTP seconds (since 1900), for stop times; without it they are ignored.
    pub fn handle_wall_clock(&mut self, now: Nanos, ntp_seconds: u64) {
        self.wall = Some((now, ntp_seconds));
    }

    /// Somebody receives the stream, or no longer does: what is received is not forgotten for lack of announcements.
    pub fn handle_use(&mut self, id: StreamId, in_use: bool) {
        let Some(&number) = self.streams.get(&id) else { return };
        if in_use {
            self.in_use.insert(id);
            return;
        }
        self.in_use.remove(&id);
        let Some(session) = self.sessions.get(&number).filter(|session| !session.is_used(&self.in_use))
        else {
            return;
        };
        match session.state {
            State::Unannounced => self.forget(number, Gone::Silent),
            State::Withdrawn(_) => self.forget(number, Gone::Deleted),
            State::Announced | State::Stale => {}
        }
    }

    /// Which announcements are our own: origin address and session id of each. They are not listed.
    pub fn set_own(&mut self, own: impl IntoIterator<Item = (IpAddr, String)>) {
        self.own = own.into_iter().collect();
        let own = &self.own;
        let is_own = |(_, session): &(&u64, &Session)| is_own(own, &session.origin);
        let numbers: Vec<u64> = self.sessions.iter().filter(is_own).map(|(&number, _)| number).collect();
        for number in numbers {
            self.forget(number, Gone::Replaced);
        }
    }

    /// What happened, oldest first. Drain until `None` after every `handle_*`.
    pub fn poll_event(&mut self) -> Option<SapEvent> {
        self.events.pop_front()
    }

    /// When to call `handle_timeout` next; may be early, is never late.
    pub fn poll_timeout(&self) -> Option<Nanos> {
        self.deadline
    }

    /// A stream that is known.
    pub fn stream(&self, id: StreamId) -> Option<Heard<'_>> {
        let session = self.sessions.get(self.streams.get(&id)?)?;
        let (_, stream) = session.streams().iter().find(|&&(known, _)| known == id)?;
        let Session { state, warnings, hearings, raw, .. } = session;
        Some(Heard { id, stream, warnings, state: *state, via: hearings, raw })
    }

    /// Every stream that is known, by id.
    pub fn streams(&self) -> impl Iterator<Item = Heard<'_>> {
        self.streams.keys().filter_map(|&id| self.stream(id))
    }

    /// Every announcement that nothing can be played of.
    pub fn unreadable(&self) -> impl Iterator<Item = Unreadable<'_>> {
        self.sessions.values().filter_map(|session| {
            let Reading::Unreadable(id, refusal) = &session.reading else { return None };
            let (origin, via, raw) = (&session.origin, &*session.hearings, &*session.raw);
            Some(Unreadable { id: *id, refusal, origin, via, raw })
        })
    }

    /// What became of the datagrams.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Whether a PipeWire announcer was heard: it understands only deletions that repeat the description.
    pub const fn pipewire_seen(&self) -> bool {
        self.pipewire_seen
    }

    fn receive(&mut self, now: Nanos, from: IpAddr, via: Via, bytes: &[u8]) -> Result<(), SapError> {
        let is_known = self.texts.range((from, 0)..=(from, u64::MAX)).next().is_some();
        if !self.sources.take(now, from, is_known) {
            return Err(SapError::TooFast);
        }
        let packet = SapPacket::parse(bytes)?;
        self.counters.version_0 += u64::from(packet.is_version_0);
        let text = packet.payload.get(..MAX_TEXT).unwrap_or(&packet.payload);
        let hearing = Hearing {
            source: from,
            origin: packet.origin,
            hash: packet.hash,
            via,
            last: now,
            digest: digest(text),
        };
        if packet.delete {
            return self.delete(now, &hearing, text);
        }
        if let Some(&number) = self.texts.get(&(from, hearing.digest)) {
            self.counters.refreshed += 1;
            self.hear(number, hearing);
            return Ok(());
        }
        let origin = find_origin(text);
        if is_own(&self.own, &origin) {
            self.counters.own += 1;
            return Ok(());
        }
        // Only what may be another version of something this source announced is worth reading then.
        if !self.new_entries.has_one(now, NEW_ENTRIES) && !self.has_announced(from, &origin) {
            return Err(SapError::TooFast);
        }
        // All of it: the reading stops at a whole line and says so.
        match read(&packet.payload) {
            Ok(parsed) => self.adopt(hearing, text, parsed),
            // Video and the like are no concern of ours, and no fault of anybody's; a flood of them is one.
            Err(refusal) if refusal.reason == Reason::OtherMedia => {
                self.new_entries.take(now, NEW_ENTRIES).then_some(()).ok_or(SapError::TooFast)
            }
            Err(refusal) => {
                self.counters.unreadable += 1;
                self.adopt_unreadable(hearing, text, origin, refusal)
            }
        }
    }

    /// Whether `source` announces a session of that origin.
    fn has_announced(&self, source: IpAddr, origin: &Origin) -> bool {
        let sessions = self.texts.range((source, 0)..=(source, u64::MAX)).map(|(_, number)| number);
        let mut origins = sessions.filter_map(|number| Some(&self.sessions.get(number)?.origin));
        origins.any(|known| same_session(known, origin))
    }

    /// Notes that a session was heard, and keeps the index of texts and the next deadline right.
    pub(super) fn hear(&mut self, number: u64, hearing: Hearing) {
        let Some(session) = self.sessions.get_mut(&number) else { return };
        let (unheard, revived) = session.hear(hearing);
        let revived = if revived { session.ids() } else { Vec::new() };
        self.deadline = earliest(self.deadline, session.deadline());
        if let Some(text) = unheard {
            self.texts.remove(&text);
        }
        self.texts.insert((hearing.source, hearing.digest), number);
        for id in revived {
            self.push(SapEvent::Back(id));
        }
    }

    pub(super) fn forget(&mut self, number: u64, why: Gone) {
        let Some(session) = self.sessions.remove(&number) else { return };
        for heard in &session.hearings {
            self.texts.remove(&(heard.source, heard.digest));
        }
        for id in session.ids() {
            self.drop_stream(id, why);
        }
    }

    pub(super) fn drop_stream(&mut self, id: StreamId, why: Gone) {
        self.streams.remove(&id);
        self.in_use.remove(&id);
        self.push(SapEvent::Gone(id, why));
    }

    pub(super) fn push(&mut self, event: SapEvent) {
        if self.events.len() >= MAX_EVENTS {
            self.events.clear();
            self.events.push_back(SapEvent::Overflow);
        }
        self.events.push_back(event);
    }

    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

/// The `o=` line of a description or of the payload of a deletion; empty when there is none.
pub(super) fn find_origin(text: &[u8]) -> Origin {
    let mut lines = text.split(|&octet| octet == b'\n' || octet == b'\r').map(<[u8]>::trim_ascii);
    let value = lines.find_map(|line| line.strip_prefix(b"o")?.trim_ascii_start().strip_prefix(b"="));
    value.and_then(|value| Origin::parse(&decode_mixed(value).0)).unwrap_or_default()
}

fn is_own(own: &BTreeSet<(IpAddr, String)>, origin: &Origin) -> bool {
    let Some(address) = origin.ip().filter(|_| !own.is_empty()) else { return false };
    own.contains(&(address, origin.session_id.clone()))
}

pub(super) fn same_session(one: &Origin, other: &Origin) -> bool {
    (&one.user, &one.session_id, &one.address) == (&other.user, &other.session_id, &other.address)
}

pub(super) fn earliest(one: Option<Nanos>, other: Option<Nanos>) -> Option<Nanos> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// FNV-1a. Two texts of one source that collide only make the second one pass for the first.
fn digest(text: &[u8]) -> u64 {
    text.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &octet| {
        (hash ^ u64::from(octet)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

const MAX_TEXT: usize = 8192; // as much of a description as is read
const MAX_EVENTS: usize = 4096; // four for each entry
const MAX_INTERFACES: usize = 64;
