//! How routes are, for people.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::engine::Spot;
use crate::{Answer, DeviceId, Engine, Pair, Place, Source, Target};

/// How a route is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RouteState {
    /// Audio arrives, as far as the receiver tells.
    Receiving,
    /// The receiver was told and has no audio yet.
    Degraded,
    /// Somebody is being asked.
    Connecting,
    /// Nothing was asked yet, or it is tried again later.
    Pending,
    /// A device is not there.
    Offline,
    /// It was refused, or cannot be.
    Failed,
}

/// A route of one channel that is wished or seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Which.
    pub pair: Pair,
    /// Somebody wants it; else it is only seen.
    pub wished: bool,
    /// How it goes.
    pub way: Answer,
    /// How it is.
    pub state: RouteState,
    /// Why: one lower-case, dash-separated word; "none" when there is nothing to say.
    pub reason: &'static str,
    /// The same as one English sentence; may be empty.
    pub text: String,
}

/// How one step of a route is: the state, and why as a word and as a sentence, as in [`Route`].
pub type Step = (RouteState, &'static str, String);

/// What a route needs besides its devices; `None` is what this one does without.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Steps {
    /// The link in the graph of this computer.
    pub link: Option<Step>,
    /// What the receiver plays.
    pub input: Option<Step>,
}

impl Engine {
    /// Every route that is wished or seen, by where it ends.
    pub fn routes(&self) -> impl Iterator<Item = Route> {
        let mut pairs: BTreeSet<Pair> = self.links.keys().cloned().collect();
        pairs.extend(self.intents.iter().filter(|(_, intent)| intent.wished).map(|(pair, _)| pair.clone()));
        for (id, receiver) in &self.receivers {
            for (channel, (source, _)) in receiver.seen.iter().flatten() {
                if let Source::Port(output) = source {
                    pairs.insert(Pair::new(
                        output.clone(),
                        crate::Port { device: id.clone(), channel: *channel },
                    ));
                }
            }
        }
        pairs.into_iter().map(|pair| self.route(pair))
    }

    /// How `pair` is.
    pub fn route(&self, pair: Pair) -> Route {
        let way = self.can_connect(&pair);
        let (state, reason, text) = self.judge(&pair, &way);
        Route { wished: self.is_wished(&pair), way, state, reason, text, pair }
    }

    fn judge(&self, pair: &Pair, way: &Answer) -> Step {
        let away: Vec<&DeviceId> = [&pair.output.device, &pair.input.device]
            .into_iter()
            .filter(|id| !self.devices.get(*id).is_some_and(crate::Device::is_there))
            .collect();
        if let Some(id) = away.first() {
            return (RouteState::Offline, "device-away", format!("{id} is not there."));
        }
        if let Answer::Impossible(obstacle) = way {
            return (RouteState::Failed, obstacle.word(), format!("{}.", capital(&obstacle.to_string())));
        }
        let Steps { link, input } = self.steps(pair, way);
        let worst = link.into_iter().chain(input).max_by_key(|(state, ..)| *state);
        worst.unwrap_or((RouteState::Pending, "none", String::new()))
    }

    /// How the steps of `pair` are when it goes by `way`, whether its devices are there or away.
    pub fn steps(&self, pair: &Pair, way: &Answer) -> Steps {
        let links = match way {
            Answer::Impossible(_) => return Steps::default(),
            Answer::Direct { .. } => false,
            Answer::Here | Answer::Relayed => true,
        };
        let remote = self.devices.get(&pair.input.device).is_some_and(|device| device.place == Place::Remote);
        let source = if links { Source::ThisComputer } else { Source::Port(pair.output.clone()) };
        Steps {
            link: links.then(|| self.judge_link(pair)),
            input: remote.then(|| self.judge_input(pair, &source)),
        }
    }

    fn judge_link(&self, pair: &Pair) -> Step {
        if self.links.contains_key(pair) {
            return (RouteState::Receiving, "none", String::new());
        }
        if !self.graph {
            return (RouteState::Pending, "no-graph", "PipeWire cannot be reached.".to_string());
        }
        let flying = self.flying.get(&Target::Graph);
        if flying.is_some_and(|flying| flying.command.changes.contains(&crate::Change::Link(pair.clone()))) {
            return (RouteState::Connecting, "none", String::new());
        }
        self.judge_trouble(&Spot::Link(pair.clone()))
    }

    fn judge_input(&self, pair: &Pair, source: &Source) -> Step {
        let Some(receiver) = self.receivers.get(&pair.input.device) else {
            return (
                RouteState::Pending,
                "not-read",
                "The receiver has not said yet what it plays.".to_string(),
            );
        };
        let seen = receiver.seen.as_ref().and_then(|seen| seen.get(&pair.input.channel));
        if receiver.yielded.contains(&pair.input.channel) && seen.is_none_or(|(seen, _)| seen != source) {
            return (RouteState::Failed, "taken", "Another controller changed this input.".to_string());
        }
        match seen {
            Some((seen, true)) if seen == source => (RouteState::Receiving, "none", String::new()),
            Some((seen, false)) if seen == source => {
                (RouteState::Degraded, "no-audio", "The receiver has no audio yet.".to_string())
            }
            _ => {
                let wanted = crate::Change::Subscribe { input: pair.input.clone(), source: source.clone() };
                let flying = self.flying.get(&Target::Receiver(pair.input.device.clone()));
                if flying.is_some_and(|flying| flying.command.changes.contains(&wanted)) {
                    return (RouteState::Connecting, "none", String::new());
                }
                self.judge_trouble(&Spot::Input(pair.input.clone()))
            }
        }
    }

    fn judge_trouble(&self, spot: &Spot) -> Step {
        match self.trouble.get(spot) {
            Some(trouble) if trouble.refused => (RouteState::Failed, "refused", trouble.reason.clone()),
            Some(trouble) => (RouteState::Pending, "retrying", trouble.reason.clone()),
            None => (RouteState::Pending, "none", String::new()),
        }
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
