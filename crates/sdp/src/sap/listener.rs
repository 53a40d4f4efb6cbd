use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    string::String,
    vec::Vec,
};
use core::net::IpAddr;

use wireloom_units::Nanos;

use super::{
    Change, Hearing, Known, SapError, SapPacket, State, StreamId, Verdict, Via, judge,
    limits::{Bucket, NEW_ENTRIES, Sources},
    session::{Passed, Reading, Session},
};
use crate::{Delivery, Origin, Parsed, Refusal, Stream, read};

/// Learns which streams are announced on the network (SAP, RFC 2974). Owns no socket and no clock.
///
/// Holds at most 1024 entries of at most 8 KiB of text each, 256 of one source; a flood costs the senders of the
/// flood their entries first.
#[derive(Debug)]
pub struct SapListener {
    sessions: BTreeMap<u64, Session>,
    /// Which session a text is, by who sent it; spares reading what was read before.
    texts: BTreeMap<(IpAddr, u64), u64>,
    streams: BTreeMap<StreamId, u64>,
    own: BTreeSet<(IpAddr, String)>,
    down: BTreeSet<u32>,
    sources: Sources,
    new_entries: Bucket,
    events: VecDeque<SapEvent>,
    counters: Counters,
    next: u64,
    deadline: Option<Nanos>,
    wall: Option<(Nanos, u64)>,
    pipewire_seen: bool,
}

/// What happened. Ids lead to the stream with [`SapListener::stream`] until `Gone` was polled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SapEvent {
    /// A stream that was not known.
    Found(StreamId),
    /// A known stream is described otherwise.
    Changed {
        /// Which.
        id: StreamId,
        /// How much.
        change: Change,
        /// Its sender changed its address.
        moved: bool,
    },
    /// Not heard for three periods.
    Stale(StreamId),
    /// Heard again, after it was stale, unannounced or withdrawn.
    Back(StreamId),
    /// Deleted by its sender while in use; it goes when it is no longer used, at the latest after 60 s.
    Withdrawn(StreamId),
    /// Forgotten.
    Gone(StreamId, Gone),
    /// An announcement that nothing can be played of, or another reason for one: see [`SapListener::unreadable`].
    Unreadable(StreamId),
    /// Events were lost because nobody polled: compare with [`SapListener::streams`].
    Overflow,
}

/// Why a stream was forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// Its sender deleted it.
    Deleted,
    /// Nothing was heard for ten periods.
    Silent,
    /// Its stop time passed.
    Ended,
    /// Its session is described without it now, or can be read now.
    Replaced,
    /// Others needed the room.
    Evicted,
}

/// How many datagrams had which fate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Received in all.
    pub received: u64,
    /// Heard again without a change.
    pub refreshed: u64,
    /// Our own.
    pub own: u64,
    /// Of version 0.
    pub version_0: u64,
    /// Truncated.
    pub short: u64,
    /// Of an unknown version.
    pub version: u64,
    /// Encrypted.
    pub encrypted: u64,
    /// Not to be unpacked.
    pub compressed: u64,
    /// Not SDP.
    pub payload_type: u64,
    /// Described nothing playable.
    pub unreadable: u64,
    /// Deletions by another host than the announcer.
    pub forged: u64,
    /// Deletions of nothing known.
    pub unknown_deletion: u64,
    /// Over a rate limit.
    pub too_fast: u64,
    /// No room.
    pub full: u64,
    /// Entries that made room for others.
    pub evicted: u64,
}

/// A stream and how it is heard.
#[derive(Debug, Clone, Copy)]
pub struct Heard<'a> {
    /// Its name here.
    pub id: StreamId,
    /// Its latest description.
    pub stream: &'a Stream,
    /// How sure it is.
    pub state: State,
    /// By which ways.
    pub via: &'a [Hearing],
    /// The description as received.
    pub raw: &'a [u8],
}

/// An announcement of which nothing can be played: there is a device, and its description is broken.
#[derive(Debug, Clone, Copy)]
pub struct Unreadable<'a> {
    /// Its name here.
    pub id: StreamId,
    /// Why.
    pub refusal: &'a Refusal,
    /// Who announced it.
    pub origin: &'a Origin,
    /// By which ways it is heard.
    pub via: &'a [Hearing],
    /// The description as received.
    pub raw: &'a [u8],
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
            down: BTreeSet::new(),
            sources: Sources::new(),
            new_entries: Bucket::FULL,
            events: VecDeque::new(),
            counters: Counters {
                received: 0,
                refreshed: 0,
                own: 0,
                version_0: 0,
                short: 0,
                version: 0,
                encrypted: 0,
                compressed: 0,
                payload_type: 0,
                unreadable: 0,
                forged: 0,
                unknown_deletion: 0,
                too_fast: 0,
                full: 0,
                evicted: 0,
            },
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
            self.count(error);
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
            match session.pass(now, ntp_now) {
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
        let Some(session) = self.sessions.get_mut(&number) else { return };
        session.in_use.retain(|&known| known != id);
        if in_use {
            session.in_use.push(id);
        } else if session.in_use.is_empty() {
            match session.state {
                State::Unannounced => self.forget(number, Gone::Silent),
                State::Withdrawn(_) => self.forget(number, Gone::Deleted),
                State::Announced | State::Stale => {}
            }
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
        Some(Heard { id, stream, state: session.state, via: &session.hearings, raw: &session.raw })
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
        if !is_known && !self.new_entries.has_one(now, NEW_ENTRIES) {
            return Err(SapError::TooFast);
        }
        match read(text) {
            Ok(parsed) => self.adopt(hearing, text, parsed),
            Err(refusal) => {
                self.counters.unreadable += 1;
                self.adopt_unreadable(hearing, text, origin, refusal)
            }
        }
    }

    /// Takes a description that can be played: new, or another version of something known.
    fn adopt(&mut self, hearing: Hearing, text: &[u8], parsed: Parsed) -> Result<(), SapError> {
        let now = hearing.last;
        let mut streams = parsed.streams;
        for stream in &mut streams {
            let (address, _) = stream.destination();
            if stream.delivery == Delivery::Unicast && [hearing.source, hearing.origin].contains(&address) {
                stream.delivery = Delivery::SenderAddress(address);
            }
            self.pipewire_seen |= stream.vendor.tool.starts_with("PipeWire");
        }
        let matches = self.match_streams(now, &streams);
        let target = matches.iter().find_map(|verdict| Some(*self.streams.get(&verdict.id()?)?));
        if let Some(number) = target.filter(|&number| self.is_older_copy(number, &hearing, &streams)) {
            self.hear(number, hearing);
            return Ok(());
        }
        let added = matches.iter().filter(|verdict| verdict.id().is_none()).count();
        if target.is_none() && !self.new_entries.take(now, NEW_ENTRIES) {
            return Err(SapError::TooFast);
        }
        self.make_room(hearing.source, added, target)?;
        let origin = streams.first().map(|stream| stream.origin.clone()).unwrap_or_default();
        self.replace_unreadable(&hearing, &origin);
        let number = target.unwrap_or_else(|| self.number());
        let mut named = Vec::with_capacity(streams.len());
        for (verdict, stream) in matches.into_iter().zip(streams) {
            named.push((self.settle(verdict, number), stream));
        }
        let ids: Vec<StreamId> = named.iter().map(|&(id, _)| id).collect();
        let session = self
            .sessions
            .entry(number)
            .or_insert_with(|| Session::new(now, Origin::default(), Reading::Streams(Vec::new())));
        let dropped: Vec<StreamId> = session.ids().into_iter().filter(|id| !ids.contains(id)).collect();
        session.in_use.retain(|id| ids.contains(id));
        session.origin = origin;
        session.raw = text.to_vec();
        session.reading = Reading::Streams(named);
        for id in ids {
            self.streams.insert(id, number);
        }
        for id in dropped {
            self.streams.remove(&id);
            self.push(SapEvent::Gone(id, Gone::Replaced));
        }
        self.hear(number, hearing);
        Ok(())
    }

    /// Tells for each stream of a description which known one it is; no known one is taken twice.
    fn match_streams(&self, now: Nanos, streams: &[Stream]) -> Vec<Verdict<StreamId>> {
        let mut taken: BTreeSet<StreamId> = BTreeSet::new();
        let mut verdicts = Vec::with_capacity(streams.len());
        let known = || {
            self.sessions.values().flat_map(move |session| {
                let quiet = session.is_quiet(now);
                session.streams().iter().map(move |(id, stream)| Known { id: *id, stream, quiet })
            })
        };
        // What is described as it was before is settled first, so that it cannot be taken for what moved.
        for stream in streams {
            let same = judge(known().filter(|known| known.stream.has_key_of(stream)), stream);
            let same = if same.id().is_some_and(|id| !taken.insert(id)) { Verdict::New } else { same };
            verdicts.push(same);
        }
        for (verdict, stream) in verdicts.iter_mut().zip(streams) {
            if verdict.id().is_none() {
                *verdict = judge(known().filter(|known| !taken.contains(&known.id)), stream);
                taken.extend(verdict.id());
            }
        }
        verdicts
    }

    /// A copy by another announcer that lags behind what is known: says only that the session lives.
    fn is_older_copy(&self, number: u64, hearing: &Hearing, streams: &[Stream]) -> bool {
        let Some(session) = self.sessions.get(&number) else { return false };
        let newer = |stream: &Stream| session.origin.is_newer_than(&stream.origin) == Some(true);
        !session.is_heard_from(hearing.source)
            && !session.is_quiet(hearing.last)
            && streams.first().is_some_and(newer)
    }

    /// Gives the stream its id, tells what changed, and takes it out of another session if it was there.
    fn settle(&mut self, verdict: Verdict<StreamId>, number: u64) -> StreamId {
        let Some(id) = verdict.id() else {
            let id = StreamId(self.number());
            self.push(SapEvent::Found(id));
            return id;
        };
        let before = self.streams.get(&id).copied().filter(|&before| before != number);
        if let Some(before) = before
            && let Some(session) = self.sessions.get_mut(&before)
        {
            if let Reading::Streams(streams) = &mut session.reading {
                streams.retain(|&(known, _)| known != id);
            }
            session.in_use.retain(|&known| known != id);
            if session.streams().is_empty() {
                self.streams.remove(&id);
                self.forget(before, Gone::Replaced);
            }
        }
        let (change, moved) = match verdict {
            Verdict::Same(_, change) | Verdict::OtherGroup(_, change) => (change, false),
            Verdict::Moved(_, change) => (change, true),
            Verdict::New => (Change::Nothing, false),
        };
        if change != Change::Nothing || moved {
            self.push(SapEvent::Changed { id, change, moved });
        }
        id
    }

    fn adopt_unreadable(
        &mut self,
        hearing: Hearing,
        text: &[u8],
        origin: Origin,
        refusal: Refusal,
    ) -> Result<(), SapError> {
        let is_same = |session: &Session| {
            matches!(&session.reading, Reading::Unreadable(_, known) if known.name == refusal.name)
                && session.is_heard_from(hearing.source)
                && same_session(&session.origin, &origin)
        };
        let known = self.sessions.iter().find(|(_, session)| is_same(session)).map(|(&number, _)| number);
        let number = match known {
            Some(number) => number,
            None => {
                if !self.new_entries.take(hearing.last, NEW_ENTRIES) {
                    return Err(SapError::TooFast);
                }
                self.make_room(hearing.source, 1, None)?;
                self.number()
            }
        };
        let now = hearing.last;
        let fresh = StreamId(self.number());
        let session = self.sessions.entry(number).or_insert_with(|| {
            Session::new(now, Origin::default(), Reading::Unreadable(fresh, refusal.clone()))
        });
        session.origin = origin;
        session.raw = text.to_vec();
        let id = session.ids().first().copied().unwrap_or(fresh);
        session.reading = Reading::Unreadable(id, refusal);
        self.push(SapEvent::Unreadable(id));
        self.hear(number, hearing);
        Ok(())
    }

    /// What can be read now is no longer listed as unreadable.
    fn replace_unreadable(&mut self, hearing: &Hearing, origin: &Origin) {
        let is_it = |(_, session): &(&u64, &Session)| {
            matches!(session.reading, Reading::Unreadable(..))
                && session.is_heard_from(hearing.source)
                && same_session(&session.origin, origin)
        };
        let number = self.sessions.iter().find(is_it).map(|(&number, _)| number);
        if let Some(number) = number {
            self.forget(number, Gone::Replaced);
        }
    }

    fn delete(&mut self, now: Nanos, hearing: &Hearing, text: &[u8]) -> Result<(), SapError> {
        let origin = find_origin(text);
        let named = !origin.session_id.is_empty();
        let fits = |session: &Session| !named || same_session(&session.origin, &origin);
        let by_hash = |session: &Session| {
            hearing.hash != 0
                && session
                    .hearings
                    .iter()
                    .any(|known| known.hash == hearing.hash && known.origin == hearing.origin)
        };
        let candidates = |wanted: &dyn Fn(&Session) -> bool| -> Vec<u64> {
            let fitting = self.sessions.iter().filter(|(_, session)| wanted(session));
            fitting.map(|(&number, _)| number).collect()
        };
        let from_source = |session: &Session| session.is_heard_from(hearing.source);
        let whole_text = self.texts.get(&(hearing.source, hearing.digest)).copied();
        let hashed = candidates(&|session| from_source(session) && by_hash(session) && fits(session));
        let named_only = || candidates(&|session| named && from_source(session) && fits(session));
        let found = match (whole_text, &*hashed) {
            (Some(number), _) => Some(number),
            (None, &[number]) => Some(number),
            // A hash that several sessions share, or none has: only an origin that is theirs alone tells.
            (None, _) => match *named_only() {
                [number] => Some(number),
                _ => None,
            },
        };
        let Some(number) = found else {
            let of_others =
                |session: &Session| !from_source(session) && fits(session) && (named || by_hash(session));
            return Err(if candidates(&of_others).is_empty() {
                SapError::UnknownDeletion
            } else {
                SapError::Forged
            });
        };
        let Some(session) = self.sessions.get_mut(&number) else { return Err(SapError::UnknownDeletion) };
        if !session.hearings.iter().any(|known| known.source != hearing.source) {
            if session.in_use.is_empty() {
                self.forget(number, Gone::Deleted);
            } else if !matches!(session.state, State::Withdrawn(_)) {
                session.state = State::Withdrawn(now);
                self.deadline = earliest(self.deadline, session.deadline());
                for id in session.ids() {
                    self.push(SapEvent::Withdrawn(id));
                }
            }
            return Ok(());
        }
        for digest in session.unhear(hearing.source) {
            self.texts.remove(&(hearing.source, digest));
        }
        Ok(())
    }

    /// Notes that a session was heard, and keeps the index of texts and the next deadline right.
    fn hear(&mut self, number: u64, hearing: Hearing) {
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

    /// Makes room for `added` entries of `source`: first those heard once go, then the longest silent.
    fn make_room(&mut self, source: IpAddr, added: usize, keep: Option<u64>) -> Result<(), SapError> {
        if added == 0 {
            return Ok(());
        }
        let of_source = |session: &&Session| session.is_heard_from(source);
        let held: usize = self.sessions.values().filter(of_source).map(Session::weight).sum();
        if held + added > MAX_ENTRIES_OF_SOURCE {
            return Err(SapError::Full);
        }
        loop {
            let held: usize = self.sessions.values().map(Session::weight).sum();
            if held + added <= MAX_ENTRIES {
                return Ok(());
            }
            let idle =
                |(number, session): &(&u64, &Session)| Some(**number) != keep && session.in_use.is_empty();
            let least =
                self.sessions.iter().filter(idle).min_by_key(|(_, session)| (session.repeated, session.last));
            let number = least.map(|(&number, _)| number).ok_or(SapError::Full)?;
            self.counters.evicted += 1;
            self.forget(number, Gone::Evicted);
        }
    }

    fn forget(&mut self, number: u64, why: Gone) {
        let Some(session) = self.sessions.remove(&number) else { return };
        for heard in &session.hearings {
            self.texts.remove(&(heard.source, heard.digest));
        }
        for id in session.ids() {
            self.streams.remove(&id);
            self.push(SapEvent::Gone(id, why));
        }
    }

    fn push(&mut self, event: SapEvent) {
        if self.events.len() >= MAX_EVENTS {
            self.events.clear();
            self.events.push_back(SapEvent::Overflow);
        }
        self.events.push_back(event);
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn count(&mut self, error: SapError) {
        let counter = match error {
            SapError::Short { .. } => &mut self.counters.short,
            SapError::Version(_) => &mut self.counters.version,
            SapError::Encrypted => &mut self.counters.encrypted,
            SapError::Compressed => &mut self.counters.compressed,
            SapError::PayloadType => &mut self.counters.payload_type,
            SapError::Forged => &mut self.counters.forged,
            SapError::UnknownDeletion => &mut self.counters.unknown_deletion,
            SapError::TooFast => &mut self.counters.too_fast,
            SapError::Full => &mut self.counters.full,
        };
        *counter += 1;
    }
}

/// The `o=` line of a description or of the payload of a deletion; empty when there is none.
fn find_origin(text: &[u8]) -> Origin {
    let mut lines = text.split(|&octet| octet == b'\n' || octet == b'\r').map(<[u8]>::trim_ascii);
    let value = lines.find_map(|line| line.strip_prefix(b"o")?.trim_ascii_start().strip_prefix(b"="));
    let decode = |value: &[u8]| match core::str::from_utf8(value) {
        Ok(text) => Origin::parse(text),
        Err(_) => Origin::parse(&value.iter().copied().map(char::from).collect::<String>()),
    };
    value.and_then(decode).unwrap_or_default()
}

fn is_own(own: &BTreeSet<(IpAddr, String)>, origin: &Origin) -> bool {
    let Some(address) = origin.ip().filter(|_| !own.is_empty()) else { return false };
    own.contains(&(address, origin.session_id.clone()))
}

fn same_session(one: &Origin, other: &Origin) -> bool {
    (&one.user, &one.session_id, &one.address) == (&other.user, &other.session_id, &other.address)
}

fn earliest(one: Option<Nanos>, other: Option<Nanos>) -> Option<Nanos> {
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
const MAX_ENTRIES: usize = 1024; // with their texts 8 MiB at most; the largest studios have some hundreds
const MAX_ENTRIES_OF_SOURCE: usize = 256; // a 128-flow device twice
const MAX_EVENTS: usize = 4096; // four for each entry
const MAX_INTERFACES: usize = 64;
