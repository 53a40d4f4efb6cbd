//! Announcements and added descriptions: from what was heard to what is known.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use wireloom_sdp::{SapError, SapEvent, State, Stream, StreamId, Via, for_display, to_text};
use wireloom_units::Nanos;

use super::known::Origin;
use super::{Known, Model, identity, node};
use crate::oat;
use crate::store::SavedStream;
use crate::time::Now;

/// What is only discovered is saved after this quiet time; losing it costs nothing but a look at the network.
const DISCOVERY_SAVE: Nanos = Nanos::from_secs(20);
/// Streams remembered while they are away.
const MAX_SAVED: usize = 4096;
/// Identities remembered of one stream.
const MAX_KEYS: usize = 8;
/// Seconds from the NTP epoch to the Unix epoch.
const NTP_TO_UNIX: u64 = 2_208_988_800;

impl Model {
    /// Feeds one announcement datagram. Answers whether anything changed that [`Model::settle`] should see.
    pub fn handle_datagram(
        &mut self,
        now: Now,
        from: IpAddr,
        via: Via,
        bytes: &[u8],
    ) -> Result<bool, SapError> {
        *self.received.entry(via.interface).or_default() += 1;
        let result = self.listener.handle_datagram_via(now.mono, from, via, bytes);
        let changed = self.take_heard(now);
        result.map(|()| self.bring_back(now) || changed)
    }

    /// Lets the listener notice what did not come.
    pub(super) fn listen_timeout(&mut self, now: Now) {
        self.listener.quietly().handle_wall_clock(now.mono, now.wall_us / 1_000_000 + NTP_TO_UNIX);
        if self.listener.poll_timeout().is_some_and(|at| at <= now.mono) {
            self.listener.handle_timeout(now.mono);
        }
        // What is received is not forgotten for lack of announcements.
        let is_news = self.streams.values().any(|stream| stream.told_use != stream.runs());
        for (&entry, id) in self.heard.iter().filter(|_| is_news) {
            if let Some(stream) = self.streams.get_mut(id)
                && stream.told_use != stream.runs()
            {
                stream.told_use = stream.runs();
                // One that is used is not seen otherwise for it; one that no longer is may go.
                match stream.told_use {
                    true => self.listener.quietly().handle_use(entry, true),
                    false => self.listener.handle_use(entry, false),
                }
            }
        }
        self.take_heard(now);
    }

    fn take_heard(&mut self, now: Now) -> bool {
        let mut changed = false;
        while let Some(event) = self.listener.quietly().poll_event() {
            changed = true;
            match event {
                SapEvent::Found(entry) | SapEvent::Changed { id: entry, .. } => self.learn_heard(now, entry),
                SapEvent::Unreadable(entry) => self.learn_unreadable(entry),
                SapEvent::Stale(entry) | SapEvent::Back(entry) | SapEvent::Withdrawn(entry) => {
                    self.learn_state(entry);
                }
                SapEvent::Gone(entry, _) => {
                    self.removed.remove(&entry);
                    if let Some(id) = self.heard.remove(&entry) {
                        self.leave(&id, now.mono);
                    }
                }
                _ => self.compare_heard(now),
            }
        }
        changed
    }

    /// Learns again what a user removed and the network goes on announcing.
    fn bring_back(&mut self, now: Now) -> bool {
        let back: Vec<_> = self
            .removed
            .iter()
            .filter(|(entry, at)| match self.listener.stream(**entry) {
                Some(heard) => heard.via.iter().any(|hearing| hearing.last > **at),
                None => true,
            })
            .map(|(entry, _)| *entry)
            .collect();
        for entry in &back {
            self.removed.remove(entry);
            self.learn_heard(now, *entry);
        }
        !back.is_empty()
    }

    /// Events were lost: takes over everything that the listener knows.
    pub(super) fn compare_heard(&mut self, now: Now) {
        let entries: Vec<_> = self.listener.streams().map(|heard| heard.id).collect();
        let unreadable: Vec<_> = self.listener.unreadable().map(|unreadable| unreadable.id).collect();
        let gone: Vec<_> = self
            .heard
            .iter()
            .filter(|(entry, _)| !entries.contains(entry) && !unreadable.contains(entry))
            .map(|(&entry, id)| (entry, id.clone()))
            .collect();
        for (entry, id) in gone {
            self.heard.remove(&entry);
            self.leave(&id, now.mono);
        }
        for entry in entries {
            self.learn_heard(now, entry);
        }
        for entry in unreadable {
            self.learn_unreadable(entry);
        }
    }

    pub(super) fn learn_heard(&mut self, now: Now, entry: StreamId) {
        let Some(heard) = self.listener.stream(entry) else { return };
        let Some(hearing) = heard.via.first().copied() else { return };
        let stream = heard.stream.clone();
        let warnings: Vec<_> = heard.warnings.iter().map(ToString::to_string).collect();
        let sdp: Arc<str> = to_text(heard.raw).into();
        let hint = self.heard.get(&entry).cloned();
        let id = self.identify(now, &stream, hint);
        if oat::device_key(&stream).is_some() {
            self.replace_heard(now, &id, entry, &stream);
        }
        if !self.is_described_better(&id, &stream) {
            self.learn(&id, stream, &warnings, &sdp, hearing.source, Some(hearing.via.interface));
        }
        self.heard.insert(entry, id);
        self.learn_state(entry);
    }

    /// The announcement `entry` of `stream` takes the place of others of stream `id` that its sender made before it
    /// started again: that they fall silent says nothing of it.
    fn replace_heard(&mut self, now: Now, id: &str, entry: StreamId, stream: &Stream) {
        let origin = &stream.origin;
        let is_before = |other: StreamId| {
            let before = self.listener.stream(other).map(|heard| &heard.stream.origin);
            before.is_some_and(|it| it.address == origin.address && it.session_id != origin.session_id)
        };
        let others = self.heard.iter().filter(|(other, known)| **other != entry && *known == id);
        let before: Vec<_> = others.map(|(other, _)| *other).filter(|other| is_before(*other)).collect();
        for other in before {
            self.heard.remove(&other);
            self.removed.insert(other, now.mono); // it counts again when it is heard again
        }
    }

    fn learn_unreadable(&mut self, entry: StreamId) {
        let Some(found) = self.listener.unreadable().find(|unreadable| unreadable.id == entry) else {
            return;
        };
        let source = found.via.first().map(|hearing| hearing.source.to_string()).unwrap_or_default();
        let name = for_display(&found.refusal.name);
        let (why, sdp) = (found.refusal.to_string(), Arc::<str>::from(to_text(found.raw)));
        let key = format!("unreadable\t{source}\t{}\t{}", found.origin.session_id, found.origin.address);
        let id = self.heard.get(&entry).cloned().unwrap_or_else(|| self.new_id(&key));
        let arrival = self.arrival();
        let known = self.streams.entry(id.clone()).or_insert_with(|| {
            Known::new(Origin::Announced, if name.is_empty() { source.clone() } else { name }, arrival).into()
        });
        known.address = source;
        known.entry = Some(entry);
        known.unreadable = Some(why);
        known.sdp = sdp;
        known.leaves_at = None;
        self.heard.insert(entry, id);
    }

    pub(super) fn learn_state(&mut self, entry: StreamId) {
        let Some(state) = self.listener.stream(entry).map(|heard| heard.state) else { return };
        let Some(stream) = self.heard.get(&entry).and_then(|id| self.streams.get_mut(id)) else { return };
        stream.entry = Some(entry);
        stream.leaves_at = None;
        if let Some(node) = &mut stream.node {
            node.offline = false;
        }
        if stream.origin != Origin::File {
            stream.origin = match state {
                _ if !stream.sessions.is_empty() => Origin::Announced,
                State::Announced => Origin::Announced,
                State::Stale | State::Unannounced => Origin::Stale,
                State::Withdrawn(_) => Origin::Withdrawn,
            };
        }
    }

    /// Adds a description that the user gave; answers the ids of its streams.
    pub(super) fn insert_added(&mut self, now: Now, text: &str) -> Result<Vec<String>, String> {
        let parsed = wireloom_sdp::read(text.as_bytes()).map_err(|refusal| refusal.to_string())?;
        let warnings: Vec<_> = parsed.warnings.iter().map(ToString::to_string).collect();
        let sdp: Arc<str> = text.replace('\0', "").into();
        let mut ids = Vec::new();
        for stream in parsed.streams {
            let source = stream.origin.ip().unwrap_or(IpAddr::from([0, 0, 0, 0]));
            let id = self.identify(now, &stream, None);
            self.learn(&id, stream, &warnings, &sdp, source, None);
            if let Some(known) = self.streams.get_mut(&id) {
                known.origin = Origin::File;
            }
            ids.push(id);
        }
        Ok(ids)
    }

    /// The id of `stream`: the one that its identity, or the entry it came in, or its move from another address
    /// says; else a new one.
    pub(super) fn identify(&mut self, now: Now, stream: &Stream, hint: Option<String>) -> String {
        let key = match oat::device_key(stream) {
            Some(_) => identity::oat_key(stream),
            None => identity::key_text(&stream.key()),
        };
        let mark = identity::moving_mark(stream);
        let known = self.by_key.get(&key).cloned();
        let id = known.or(hint).or_else(|| self.moved(mark.as_deref()));
        let id = id.or_else(|| self.restarted(stream, &key)).unwrap_or_else(|| self.new_id(&key));
        let today = u32::try_from(now.wall_us / 86_400_000_000).unwrap_or(u32::MAX);
        let saved = self.saved.streams.entry(id.clone()).or_default();
        let mark = mark.unwrap_or_default();
        if saved.day != today || saved.mark != mark || saved.keys.last() != Some(&key) {
            (saved.day, saved.mark) = (today, mark);
            saved.keys.retain(|old| *old != key);
            saved.keys.push(key.clone());
            if saved.keys.len() > MAX_KEYS {
                self.by_key.remove(&saved.keys.remove(0));
            }
            self.by_key.insert(key, id.clone());
            self.forget_oldest();
            self.save_within(now, DISCOVERY_SAVE);
        }
        id
    }

    /// The one stream with the same session id and name that is quiet or away.
    fn moved(&self, mark: Option<&str>) -> Option<String> {
        let mark = mark?;
        self.only(|id, saved| saved.mark == mark && self.is_quiet(id))
    }

    /// The one stream that is the same but for its session, and quiet or away: its sender started again. A device of
    /// OAT has one stream of a name at a port: there a new session takes the place of the one before at once.
    fn restarted(&self, stream: &Stream, key: &str) -> Option<String> {
        let address = stream.origin.ip().filter(|_| oat::device_key(stream).is_some());
        let address = address.map(|address| address.to_string());
        let is_there = |id: &str| {
            address.is_some() && self.streams.get(id).map(|stream| &stream.address) == address.as_ref()
        };
        let same = identity::ButForSession::new(key)?;
        self.only(|id, saved| {
            saved.keys.last().is_some_and(|last| same.is(last)) && (self.is_quiet(id) || is_there(id))
        })
    }

    /// The saved stream that `is_it`, if it is the only one.
    fn only(&self, is_it: impl Fn(&str, &SavedStream) -> bool) -> Option<String> {
        let mut candidates = self.saved.streams.iter().filter(|(id, saved)| is_it(id, saved));
        let (only, _) = candidates.next()?;
        candidates.next().is_none().then(|| only.clone())
    }

    fn is_quiet(&self, id: &str) -> bool {
        self.streams.get(id).is_none_or(|stream| {
            matches!(stream.origin, Origin::Stale | Origin::Kept | Origin::Withdrawn)
                || stream.leaves_at.is_some()
        })
    }

    pub(super) fn new_id(&self, key: &str) -> String {
        // A kept node of which nothing was saved can only be known by this very hash.
        let free = |id: &String| {
            let kept = self.streams.get(id).is_none_or(|stream| stream.origin == Origin::Kept);
            kept && !self.saved.streams.contains_key(id)
        };
        let tries = (0..16).map(|attempt| identity::stream_id(key, attempt));
        tries.clone().find(free).unwrap_or_else(|| identity::stream_id(key, 0))
    }

    pub(super) fn learn(
        &mut self,
        id: &str,
        mut stream: Stream,
        warnings: &[String],
        sdp: &Arc<str>,
        source: IpAddr,
        interface: Option<u32>,
    ) {
        let arrival = self.arrival();
        let address = stream.origin.ip().unwrap_or(source).to_string();
        if stream.name.is_empty()
            && let Some(leg) = stream.legs.first()
        {
            stream.name = SocketAddr::new(leg.address, leg.port).to_string(); // something to call it by
        }
        let heard_on = interface.and_then(|index| self.interfaces.iter().find(|facts| facts.index == index));
        let asked = oat::ask(&stream, source).map(|ask| self.asked_leg(id, &ask, heard_on)).transpose();
        let node =
            asked.and_then(|asked| node::of_stream(&stream, &address, heard_on, &self.interfaces, asked));
        let known = self
            .streams
            .entry(id.to_owned())
            .or_insert_with(|| Known::new(Origin::Announced, String::new(), arrival).into());
        known.leaves_at = None;
        known.name = stream.name.clone();
        known.device_key = oat::device_key(&stream);
        known.address = address;
        known.warnings = warnings.to_vec();
        known.sdp = sdp.clone();
        known.stream = Some(stream);
        match node {
            Ok(mut node) => {
                if let Some(key) = &known.device_key {
                    node.device = identity::device_id(key);
                }
                if let Some(before) = &known.node {
                    node.protocol = before.protocol; // the one it was first heard by
                }
                (known.node, known.unreadable) = (Some(node), None);
            }
            Err(why) => (known.node, known.unreadable) = (None, Some(why)),
        }
    }

    /// Lets `id` go when nobody announces or uses it; a description that the user added stays.
    pub(super) fn leave(&mut self, id: &str, at: Nanos) {
        let heard = self.heard.iter().find(|(_, other)| *other == id).map(|(entry, _)| *entry);
        if let Some(stream) = self.streams.get_mut(id) {
            stream.entry = heard;
            if stream.origin != Origin::File && heard.is_none() && stream.sessions.is_empty() {
                stream.leaves_at = Some(at);
            }
        }
    }

    pub(super) fn arrival(&mut self) -> u64 {
        self.arrivals += 1;
        self.arrivals
    }

    fn forget_oldest(&mut self) {
        while self.saved.streams.len() > MAX_SAVED {
            let forgettable = |(id, saved): &(&String, &SavedStream)| {
                !self.streams.contains_key(*id) && saved.alias.is_empty() && !saved.pinned
            };
            let oldest = self.saved.streams.iter().filter(forgettable).min_by_key(|(_, saved)| saved.day);
            let Some(id) = oldest.map(|(id, _)| id.clone()) else { return };
            for key in self.saved.streams.remove(&id).map(|saved| saved.keys).unwrap_or_default() {
                self.by_key.remove(&key);
            }
        }
    }
}
