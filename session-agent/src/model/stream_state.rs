//! How a stream is, in a word, a reason and a sentence.

use wireloom_wanted::{ClockRelation, State};

use super::why::{self, Facts};
use super::{Entry, Known, Model, clock};
use crate::oat::NO_ANSWER;
use crate::time::Now;

impl Model {
    /// Decides the states of streams.
    pub(super) fn judge_streams(&mut self, now: Now) {
        self.look_around(now);
        let mut decided = Vec::new();
        for (id, stream) in &self.streams {
            let since = self.since(stream);
            if stream.rests(&stream.judged, since) {
                continue;
            }
            let facts = self.facts_of(id, stream);
            match &stream.judged {
                Some(judged) if stream.still(&stream.judged, &facts).is_some() => judged.keep(since),
                _ => decided.push((id.clone(), state_of(stream, &facts), facts)),
            }
        }
        for (id, (state, reason, text), facts) in decided {
            let Some(stream) = self.streams.get_mut(&id) else { continue };
            let before = &stream.condition;
            if (before.state, before.reason, &before.text) != (state, reason, &text) {
                stream.condition.become_(state, reason, text, now.wall_us);
            }
            stream.judged = Some(stream.made(facts, ()));
        }
    }

    /// What the checks of `stream` need to know beside it, as [`Model::look_around`] found it last.
    pub(super) fn facts_of(&self, id: &str, stream: &Entry) -> Facts {
        let (active, connected, ready) = (self.active, self.graph.connected, self.graph_ready());
        let (relation, clock_text) = self.clock_of(stream);
        let same_clock = match &stream.stream {
            Some(description) if !stream.is_transmit() => {
                clock::agrees(description, self.our_clock().as_ref())
            }
            _ => relation == ClockRelation::Same,
        };
        Facts {
            active,
            connected,
            ready,
            same_clock,
            clock_text,
            same_address: self.other_user(id, stream),
            heard_on: self.heard_on(stream),
            without_ipv6: self.without_ipv6(stream),
            no_way: stream.is_own().then(|| self.no_way(id)).flatten(),
            refused: self.refused(id, stream),
        }
    }

    /// Why the sender of a stream that is asked for does not send it.
    fn refused(&self, id: &str, stream: &Known) -> Option<String> {
        let trouble = self.oat.subscriptions.trouble(id)?;
        let offers = stream.stream.as_ref().is_none_or(|described| !described.vendor.oat.is_empty());
        if offers || trouble != NO_ANSWER {
            return Some(trouble.to_owned());
        }
        Some("Its sender offers no subscription, and does not answer when it is asked for one.".to_owned())
    }

    /// The interface by which `stream` comes over IPv6, if that has no address of IPv6.
    fn without_ipv6(&self, stream: &Known) -> Option<String> {
        let leg = stream.node.as_ref()?.legs.first().filter(|leg| leg.address.is_ipv6())?;
        let facts = self.interfaces.iter().find(|facts| Some(&facts.name) == leg.interface.as_ref())?;
        let has = facts.addresses.iter().any(|(address, _)| address.is_ipv6());
        (!has).then(|| facts.name.clone())
    }

    /// How the clock of `stream` relates to ours, with a sentence for people.
    pub(super) fn clock_of(&self, stream: &Known) -> (ClockRelation, &'static str) {
        match &stream.stream {
            Some(description) if stream.is_own() => {
                let (relation, _) = clock::relate(description, self.our_clock().as_ref());
                let text = if relation == ClockRelation::Same {
                    "Sent on this computer's PTP clock."
                } else {
                    "Sent on this computer's own clock: no PTP grandmaster is followed."
                };
                (relation, text)
            }
            Some(description) => clock::relate(description, self.our_clock().as_ref()),
            None => (stream.node.as_ref().map_or(ClockRelation::Unknown, |node| node.clock), ""),
        }
    }

    /// Names of the interfaces on which `stream` is announced.
    fn heard_on(&self, stream: &Known) -> Vec<String> {
        let heard = stream.entry.and_then(|entry| self.listener.stream(entry));
        let mut names: Vec<_> = heard
            .map(|heard| heard.via)
            .unwrap_or_default()
            .iter()
            .filter_map(|hearing| self.interfaces.iter().find(|facts| facts.index == hearing.via.interface))
            .map(|facts| facts.name.clone())
            .collect();
        for session in self.sessions_of(stream) {
            let reached = self.interfaces.iter().filter(|facts| facts.reaches(session.server));
            names.extend(reached.map(|facts| facts.name.clone()));
        }
        names.sort();
        names.dedup();
        names
    }

    /// The name of another stream with an address of `stream`. An own stream wants its address for itself; two of
    /// others disturb each other when they share the port too, unless one device says the same twice.
    fn other_user(&self, id: &str, stream: &Entry) -> Option<String> {
        let legs = stream.node.iter().flat_map(|node| &node.legs);
        let mut others = legs.flat_map(|leg| {
            let users = self.around.users.get(&leg.address).into_iter().flatten();
            users.filter(|(port, other)| *other != id && (stream.is_transmit() || *port == leg.port))
        });
        let disturbs = |other: &&Entry| stream.is_transmit() || other.device_id() != stream.device_id();
        others.find_map(|(_, other)| self.streams.get(other).filter(disturbs).map(|known| known.name.clone()))
    }
}

/// State, reason and sentence of `stream`.
pub(super) fn state_of(stream: &Known, facts: &Facts) -> (&'static str, &'static str, String) {
    let word = state_word(stream);
    if word == "idle" {
        return (word, "none", String::new()); // nothing is wrong; the checks say that nothing is linked
    }
    let checks = why::checks(stream, facts);
    if let Some(failed) = why::first_failed(&checks) {
        return (word, failed.reason, failed.text.clone());
    }
    // Not a failure, but worth a word: what the module says, or what is waited for.
    let error = stream.report.as_ref().map(|report| wireloom_sdp::for_display(&report.error));
    match error.filter(|error| !error.is_empty()) {
        Some(error) => (word, "module", error),
        None => (word, "none", String::new()),
    }
}

fn state_word(stream: &Known) -> &'static str {
    if stream.node.is_none() && stream.unreadable.is_some() {
        return "error";
    }
    match (&stream.report, stream.shown) {
        (_, false) => "hidden",
        (None, true) => "pending",
        (Some(report), true) => match report.state {
            State::Idle => "idle",
            State::Waiting => "waiting",
            State::Running => "running",
            State::Silent => "silent",
            State::Offline => "offline",
            State::Error => "error",
        },
    }
}
