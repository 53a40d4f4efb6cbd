//! Links between other devices: which are shown, as what, and what is told about them. Knows nothing of PipeWire.
//!
//! For every pair of ports there are three things: what clients left ([`Link::want`]), what the network says
//! ([`Route`]), and what is shown. [`Links::settle`] brings the last in step with the first two.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use wireloom_wanted::{LinkEnd, Route, RouteOrigin, RouteState, pair_id};

/// How long a refused link shows why before it is taken away.
const REFUSED_FOR: Duration = Duration::from_secs(1);
/// A reaction that comes faster was made by a program: a patchbay that keeps a saved state.
const REFLEX: Duration = Duration::from_secs(1);
/// A route that is deleted so soon after its link was drawn again was deleted for the link that went before.
const ANSWER: Duration = Duration::from_secs(5);
/// So often a program's reflex is answered; then it has its way, without a fight.
const MAX_REFLEXES: u8 = 1;
/// Reflexes are forgotten after this.
const MEMORY: Duration = Duration::from_secs(60);

/// The two ends of a link.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pair {
    /// Where the audio comes from.
    pub output: LinkEnd,
    /// Where it goes.
    pub input: LinkEnd,
}

impl Pair {
    /// The id of its keys in the metadata.
    pub(crate) fn id(&self) -> String {
        pair_id(&self.output, &self.input)
    }
}

/// States of a link as patchbays know them (`pw_link_state`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkState {
    /// On the way.
    Negotiating,
    /// Agreed, no audio.
    Paused,
    /// Audio flows.
    Active,
    /// Refused.
    Error,
}

/// How a link is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Look {
    /// For every patchbay.
    pub state: LinkState,
    /// State of the route, in the words of the D-Bus Route object; empty while the agent has not answered.
    pub route: &'static str,
    /// Why it is not better; empty when there is nothing to say.
    pub error: String,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Order {
    /// Show a link that is not there.
    Draw(Pair, Look),
    /// Show another state.
    Show(Pair, Look),
    /// Take the link away.
    Erase(Pair),
    /// Set `link.<id>` to this `want`, or remove the key.
    Write(Pair, Option<bool>),
    /// Tell the user.
    Say(String),
}

/// Everything about one pair.
#[derive(Debug, Default)]
struct Entry {
    want: Option<bool>,
    /// What `link.<id>` holds.
    written: Option<bool>,
    route: Option<Route>,
    /// The route was refused before the link was drawn again.
    stale: bool,
    shown: Option<Look>,
    /// When we drew it because of a route, or took it away because of one.
    moved_at: Option<Instant>,
    /// When a client drew it over a route whose deletion we wait for.
    redrawn_at: Option<Instant>,
    /// When a refused link is taken away.
    leaves_at: Option<Instant>,
    reflexes: u8,
    reflex_at: Option<Instant>,
    /// A program keeps destroying it: it is not shown, and its route on the network is let be.
    hidden: bool,
    /// It was hidden, and nobody was told yet.
    untold: bool,
}

/// All links between other devices.
#[derive(Debug, Default)]
pub(crate) struct Links {
    pairs: BTreeMap<Pair, Entry>,
    /// The same pairs by the id of their keys.
    ids: BTreeMap<String, Pair>,
}

impl Links {
    /// A client draws the link. `None`: it is there already. Otherwise it is shown so from now on.
    pub(crate) fn draw(&mut self, now: Instant, pair: &Pair) -> Option<Look> {
        let entry = self.entry(pair);
        if entry.shown.is_some() {
            return None;
        }
        if entry.want == Some(false) && entry.route.is_some() {
            entry.redrawn_at = Some(now);
        }
        entry.count_reflex(now);
        entry.want = Some(true);
        entry.hidden = false;
        entry.leaves_at = None;
        if entry.is_refused() {
            entry.stale = true;
            entry.leaves_at = Some(now + ANSWER);
        }
        let look = entry.look();
        entry.shown = Some(look.clone());
        Some(look)
    }

    /// A client destroyed the link while both ports went on.
    pub(crate) fn destroyed(&mut self, now: Instant, pair: &Pair) {
        let Some(entry) = self.pairs.get_mut(pair) else { return };
        entry.shown = None;
        entry.leaves_at = None;
        entry.count_reflex(now);
        let found = entry.route.as_ref().is_some_and(|route| route.origin == RouteOrigin::Network);
        if found && entry.reflexes > MAX_REFLEXES {
            (entry.hidden, entry.untold) = (true, true);
        } else {
            entry.want = Some(false);
        }
    }

    /// The link went because a port did. That withdraws nothing.
    pub(crate) fn vanished(&mut self, pair: &Pair) {
        if let Some(entry) = self.pairs.get_mut(pair) {
            entry.shown = None;
            entry.moved_at = None;
        }
    }

    /// The network's view of the route with this id changed; `None`: the agent deleted it. Returns false for a route
    /// whose ends do not belong to the id.
    pub(crate) fn set_route(&mut self, now: Instant, id: &str, route: Option<Route>) -> bool {
        let Some(route) = route else {
            if let Some(entry) = self.ids.get(id).and_then(|pair| self.pairs.get_mut(pair)) {
                entry.route_deleted(now);
            }
            return true;
        };
        let pair = Pair { output: route.output.clone(), input: route.input.clone() };
        if pair.id() != id {
            return false;
        }
        let entry = self.entry(&pair);
        if entry.route.is_none() && entry.is_calm(now) {
            (entry.hidden, entry.reflexes) = (false, 0);
        }
        let refused_before = entry.is_refused() && !entry.stale;
        entry.route = Some(route);
        (entry.stale, entry.redrawn_at) = (false, None);
        if !entry.is_refused() {
            entry.leaves_at = None;
        } else if !refused_before {
            entry.leaves_at = Some(now + REFUSED_FOR);
        }
        true
    }

    /// Every key of the metadata was removed: nothing is known any more, and nothing wished.
    pub(crate) fn clear(&mut self) {
        for entry in self.pairs.values_mut() {
            *entry = Entry { shown: entry.shown.take(), ..Entry::default() };
        }
    }

    /// Whether something is to happen by itself, after a time.
    pub(crate) fn is_waiting(&self) -> bool {
        self.pairs.values().any(|entry| entry.leaves_at.is_some())
    }

    /// Brings what is shown and written in step. `exists` tells whether there is such a port.
    pub(crate) fn settle(&mut self, now: Instant, exists: impl Fn(&LinkEnd) -> bool) -> Vec<Order> {
        let mut orders = Vec::new();
        for (pair, entry) in &mut self.pairs {
            if entry.leaves_at.is_some_and(|at| now >= at) {
                orders.extend(entry.leave(now, pair));
            }
            if std::mem::take(&mut entry.untold) {
                orders.push(Order::Say(format!(
                    "{} to {}: a program keeps removing this link; the route, which others made, stays without it",
                    pair.output.node, pair.input.node
                )));
            }
            let look = entry.look();
            let is_there = exists(&pair.output) && exists(&pair.input);
            match (&entry.shown, is_there && entry.is_to_be_shown()) {
                (None, true) => {
                    entry.moved_at = Some(now);
                    entry.shown = Some(look.clone());
                    orders.push(Order::Draw(pair.clone(), look));
                }
                (Some(shown), true) if *shown != look => {
                    entry.shown = Some(look.clone());
                    orders.push(Order::Show(pair.clone(), look));
                }
                (Some(_), false) => {
                    entry.shown = None;
                    orders.push(Order::Erase(pair.clone()));
                }
                _ => {}
            }
            if entry.written != entry.want {
                entry.written = entry.want;
                orders.push(Order::Write(pair.clone(), entry.want));
            }
        }
        self.pairs.retain(|pair, entry| {
            let forgotten = entry.is_forgotten(now);
            if forgotten {
                self.ids.remove(&pair.id());
            }
            !forgotten
        });
        orders
    }

    fn entry(&mut self, pair: &Pair) -> &mut Entry {
        self.pairs.entry(pair.clone()).or_insert_with(|| {
            self.ids.insert(pair.id(), pair.clone());
            Entry::default()
        })
    }
}

impl Entry {
    /// Counts what clients do right after we did something; a person's doing starts the count anew.
    fn count_reflex(&mut self, now: Instant) {
        let reflex = self.moved_at.take().is_some_and(|at| now.duration_since(at) < REFLEX);
        self.reflexes = if reflex { self.reflexes.saturating_add(1) } else { 0 };
        self.reflex_at = reflex.then_some(now);
    }

    /// Whether no program has meddled for a while.
    fn is_calm(&self, now: Instant) -> bool {
        self.reflex_at.is_none_or(|at| now.duration_since(at) >= MEMORY)
    }

    /// Refused for good, and a wish of this computer.
    fn is_refused(&self) -> bool {
        self.route.as_ref().is_some_and(|route| {
            route.state == RouteState::Failed
                && (route.origin == RouteOrigin::Graph || self.want == Some(true))
        })
    }

    fn is_to_be_shown(&self) -> bool {
        match self.want {
            Some(want) => want,
            // A wish of this computer that was refused before there was a link has none to show it.
            None => self.route.is_some() && !self.hidden && !self.is_refused(),
        }
    }

    fn route_deleted(&mut self, now: Instant) {
        self.route = None;
        self.stale = false;
        self.leaves_at = None;
        let answers_older = self.redrawn_at.take().is_some_and(|at| now.duration_since(at) < ANSWER);
        if !(self.want == Some(true) && answers_older) {
            self.want = None;
        }
    }

    /// Takes a refused link away; keeps it, in error, where a program has put it back already.
    fn leave(&mut self, now: Instant, pair: &Pair) -> Option<Order> {
        self.leaves_at = None;
        if self.reflexes >= MAX_REFLEXES {
            self.stale = false; // the answer to the link before holds for this one: there was no other
            return Some(Order::Say(format!(
                "{} to {}: refused, but a program keeps drawing this link; it stays, without sound",
                pair.output.node, pair.input.node
            )));
        }
        self.want = Some(false);
        self.moved_at = Some(now);
        None
    }

    fn look(&self) -> Look {
        let Some(route) = self.route.as_ref().filter(|_| !self.stale) else {
            return Look { state: LinkState::Negotiating, route: "", error: String::new() };
        };
        let (state, name) = match route.state {
            RouteState::Pending => (LinkState::Negotiating, "pending"),
            RouteState::Connecting => (LinkState::Negotiating, "connecting"),
            RouteState::Receiving => (LinkState::Active, "receiving"),
            RouteState::Degraded => (LinkState::Paused, "degraded"),
            RouteState::Offline => (LinkState::Paused, "offline"),
            RouteState::Failed if self.is_refused() => (LinkState::Error, "failed"),
            RouteState::Failed => (LinkState::Paused, "failed"),
        };
        Look { state, route: name, error: route.error.clone() }
    }

    fn is_forgotten(&self, now: Instant) -> bool {
        let recent = self.moved_at.is_some_and(|at| now.duration_since(at) < REFLEX);
        let idle = self.want.is_none() && self.route.is_none() && self.shown.is_none();
        idle && !recent && self.is_calm(now)
    }
}

#[cfg(test)]
mod tests;
