use alloc::{collections::BTreeSet, vec::Vec};
use core::net::IpAddr;

use wireloom_units::Nanos;

use super::{
    Change, Gone, Hearing, Known, SapError, SapEvent, SapListener, StreamId, Verdict, judge,
    limits::NEW_ENTRIES,
    listener::same_session,
    session::{Reading, Session},
};
use crate::{Delivery, Origin, Parsed, Refusal, Stream, for_display};

/// Taking in what an announcement describes.
impl SapListener {
    /// Takes a description that can be played: new, or another version of something known.
    pub(super) fn adopt(&mut self, hearing: Hearing, text: &[u8], parsed: Parsed) -> Result<(), SapError> {
        let now = hearing.last;
        let Parsed { mut streams, warnings } = parsed;
        for stream in &mut streams {
            let (address, _) = stream.destination();
            if stream.delivery == Delivery::Unicast && [hearing.source, hearing.origin].contains(&address) {
                stream.delivery = Delivery::SenderAddress(address);
            }
            self.pipewire_seen |= stream.vendor.tool.starts_with("PipeWire");
        }
        let matches = self.match_streams(now, &streams);
        let target = matches.iter().find_map(|verdict| Some(*self.streams.get(&verdict.id()?)?));
        if let Some(number) = self.find_newer(target, &hearing, &streams) {
            self.hear(number, hearing);
            return Ok(());
        }
        if target.is_some_and(|number| self.is_forged(number, &hearing, text)) {
            return Err(SapError::Forged);
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
        session.origin = origin;
        session.raw = text.to_vec();
        session.reading = Reading::Streams(named);
        session.warnings = warnings;
        for id in ids {
            self.streams.insert(id, number);
        }
        for id in dropped {
            self.drop_stream(id, Gone::Replaced);
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

    /// The session that the description is an older version of, if it comes from another announcer that lags
    /// behind; such a copy says only that the session lives.
    fn find_newer(&self, target: Option<u64>, hearing: &Hearing, streams: &[Stream]) -> Option<u64> {
        let copy = streams.first().filter(|copy| copy.origin.ip() != Some(hearing.source))?;
        let is_newer = |(_, session): &(&u64, &Session)| {
            session.origin.is_newer_than(&copy.origin) == Some(true)
                && session.hearings.iter().any(|known| known.source != hearing.source)
                && !session.is_quiet(hearing.last)
        };
        let is_version = |(number, session): &(&u64, &Session)| {
            let has_name = || session.streams().iter().any(|(_, known)| known.raw_name == copy.raw_name);
            Some(**number) == target || same_session(&session.origin, &copy.origin) && has_name()
        };
        self.sessions.iter().filter(is_version).find(is_newer).map(|(&number, _)| number)
    }

    /// Whether somebody else says anew what is in the session of a host that announces it itself: nobody but the owner
    /// decides that. A faithful copy is a proxy's, and legal.
    fn is_forged(&self, number: u64, hearing: &Hearing, text: &[u8]) -> bool {
        self.sessions.get(&number).is_some_and(|session| {
            session.origin.ip() != Some(hearing.source)
                && session.raw != text
                && session.hears_owner(hearing.last)
        })
    }

    /// Gives the stream its id, tells what changed, and takes it out of another session if it was there.
    fn settle(&mut self, verdict: Verdict<StreamId>, number: u64) -> StreamId {
        // Making room may have cost a stream of another session.
        let Some(id) = verdict.id().filter(|id| self.streams.contains_key(id)) else {
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
            if session.streams().is_empty() {
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

    pub(super) fn adopt_unreadable(
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
        self.replace_outdated(&hearing, text, &origin, &refusal.name);
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

    /// A stream whose sender describes it in a later version as nothing that can be played is gone: switched off,
    /// encrypted, or of another codec. An equal version is another stream of a unit with one origin for all.
    fn replace_outdated(&mut self, hearing: &Hearing, text: &[u8], origin: &Origin, name: &str) {
        let is_it = |(_, session): &(&u64, &Session)| {
            session.is_heard_from(hearing.source)
                && same_session(&session.origin, origin)
                && origin.is_newer_than(&session.origin) == Some(true)
                && session.streams().iter().any(|(_, known)| for_display(&known.raw_name) == name)
        };
        let number = self.sessions.iter().find(is_it).map(|(&number, _)| number);
        if let Some(number) = number.filter(|&number| !self.is_forged(number, hearing, text)) {
            self.forget(number, Gone::Replaced);
        }
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
            let idle = |(number, session): &(&u64, &Session)| {
                Some(**number) != keep && !session.is_used(&self.in_use)
            };
            let least =
                self.sessions.iter().filter(idle).min_by_key(|(_, session)| (session.repeated, session.last));
            let number = least.map(|(&number, _)| number).ok_or(SapError::Full)?;
            self.counters.evicted += 1;
            self.forget(number, Gone::Evicted);
        }
    }
}

const MAX_ENTRIES: usize = 1024; // with their texts 8 MiB at most; the largest studios have some hundreds
const MAX_ENTRIES_OF_SOURCE: usize = 256; // a 128-flow device twice
