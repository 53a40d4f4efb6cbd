//! The difference between what is wanted and what is seen, as commands.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use wireloom_units::Nanos;

use crate::engine::{ANSWER_WITHIN, Flying, Intent, Spot, first_pair};
use crate::{Answer, Change, Command, DeviceId, Engine, Pair, Place, Port, Source, Takes, Target};

impl Engine {
    /// Looks at every receiver that is due, and leaves commands for [`Engine::poll_command`]. To be called after
    /// anything came in, and at [`Engine::poll_timeout`].
    pub fn handle_timeout(&mut self, now: Nanos) {
        let late: Vec<_> = self.flying.iter().filter(|(_, flying)| flying.until <= now).collect();
        let late: Vec<_> = late.into_iter().map(|(target, _)| target.clone()).collect();
        late.iter().for_each(|target| self.handle_executor_lost(now, target));
        let due: Vec<_> = self.dirty.iter().filter(|(_, at)| **at <= now).map(|(id, _)| id.clone()).collect();
        let mut links = Vec::new();
        for id in &due {
            self.dirty.remove(id);
            self.resolve(id);
            self.decide_links(now, id, &mut links);
            let changes = self.decide_inputs(now, id);
            self.finish_withdrawals(id);
            if !changes.is_empty() {
                self.issue(now, Target::Receiver(id.clone()), changes);
            }
        }
        if !links.is_empty() {
            self.issue(now, Target::Graph, links);
        }
    }

    fn issue(&mut self, now: Nanos, target: Target, changes: Vec<Change>) {
        let command = Command { id: self.next_id(), target: target.clone(), changes };
        self.ready.push_back(command.clone());
        self.flying.insert(target, Flying { command, until: now.plus(ANSWER_WITHIN) });
    }

    /// Where inputs of `id` take one source, the newest want replaces the others.
    pub(crate) fn resolve(&mut self, id: &DeviceId) {
        let Some(device) = self.devices.get(id).filter(|device| device.place == Place::Remote) else {
            return;
        };
        let whole = device.takes == Takes::Streams;
        let mut newest: BTreeMap<u16, (u64, Source)> = BTreeMap::new();
        let wants = self.wants(id);
        for (pair, source, serial) in &wants {
            let slot = newest.entry(if whole { 0 } else { pair.input.channel });
            let best = slot.or_insert((*serial, source.clone()));
            if best.0 < *serial {
                *best = (*serial, source.clone());
            }
        }
        for (pair, source, _) in wants {
            let slot = if whole { 0 } else { pair.input.channel };
            let Some((_, best)) = newest.get(&slot) else { continue };
            let fits = match (best, &source) {
                (Source::Port(best), Source::Port(other)) if whole => best.device == other.device,
                (best, other) => best == other,
            };
            if !fits {
                if let Some(intent) = self.intents.get_mut(&pair) {
                    intent.wished = false;
                } else {
                    // A link that a client drew, now in the way of something newer: as if it were withdrawn.
                    let serial = self.serial();
                    self.intents.insert(pair, Intent::new(false, serial));
                }
            }
        }
    }

    /// Everything that wants an input of the remote receiver `id`: wishes, and links that are in the graph.
    pub(crate) fn wants(&self, id: &DeviceId) -> Vec<(Pair, Source, u64)> {
        let mut wants = Vec::new();
        for (pair, intent) in
            self.intents.range(first_pair(id)..).take_while(|(pair, _)| pair.input.device == *id)
        {
            if !intent.wished {
                continue;
            }
            let source = match self.can_connect(pair) {
                Answer::Direct { .. } => Source::Port(pair.output.clone()),
                Answer::Here | Answer::Relayed => Source::ThisComputer,
                Answer::Impossible(_) => continue,
            };
            wants.push((pair.clone(), source, intent.serial));
        }
        let links = self.links.range(first_pair(id)..).take_while(|(pair, _)| pair.input.device == *id);
        for (pair, serial) in links.filter(|(pair, _)| !self.intents.contains_key(*pair)) {
            wants.push((pair.clone(), Source::ThisComputer, *serial));
        }
        wants
    }

    fn decide_links(&mut self, now: Nanos, id: &DeviceId, changes: &mut Vec<Change>) {
        if !self.graph {
            return;
        }
        let mut wanted = Vec::new();
        for (pair, intent) in
            self.intents.range(first_pair(id)..).take_while(|(pair, _)| pair.input.device == *id)
        {
            let linked = self.links.contains_key(pair);
            let answer = intent.wished.then(|| self.can_connect(pair));
            match answer {
                Some(Answer::Here | Answer::Relayed) if !linked && self.are_there(pair) => {
                    wanted.push(Change::Link(pair.clone()));
                }
                None | Some(Answer::Direct { .. }) if linked => wanted.push(Change::Unlink(pair.clone())),
                _ => {}
            }
        }
        if wanted.is_empty() {
            return;
        }
        if let Some(flying) = self.flying.get(&Target::Graph) {
            let until = flying.until;
            return self.touch(id, until); // looked at again as soon as it is answered
        }
        for change in wanted {
            let (Change::Link(pair) | Change::Unlink(pair)) = &change else { continue };
            match self.trouble.get(&Spot::Link(pair.clone())) {
                Some(trouble) if trouble.refused => {}
                Some(trouble) if trouble.retry_at > now => {
                    let retry_at = trouble.retry_at;
                    self.touch(id, retry_at);
                }
                _ => changes.push(change),
            }
        }
    }

    fn decide_inputs(&mut self, now: Nanos, id: &DeviceId) -> Vec<Change> {
        let Some(device) = self.devices.get(id) else { return Vec::new() };
        if device.place != Place::Remote || !device.controlled || !device.is_there() {
            return Vec::new();
        }
        let batch = if device.batch == 0 { usize::MAX } else { usize::from(device.batch) };
        let Some(receiver) = self.receivers.get(id) else { return Vec::new() };
        let Some(seen) = &receiver.seen else { return Vec::new() };
        let mut wanted: BTreeMap<u16, Source> = BTreeMap::new();
        for (pair, source, _) in self.wants(id) {
            let yielded = receiver.yielded.contains(&pair.input.channel);
            let transmits = match &source {
                Source::ThisComputer => self.graph && !yielded,
                Source::Port(output) => self.devices.get(&output.device).is_some_and(crate::Device::is_there),
            };
            if transmits || seen.get(&pair.input.channel).is_some_and(|(seen, _)| *seen == source) {
                wanted.insert(pair.input.channel, source);
            }
        }
        let held: Vec<_> = wanted
            .iter()
            .filter(|(channel, source)| seen.get(channel).is_some_and(|(seen, _)| seen == *source))
            .filter(|(channel, _)| !receiver.doubt.contains_key(channel))
            .map(|(channel, source)| (*channel, source.clone()))
            .collect();
        let mut changes = Vec::new();
        let channels: BTreeSet<u16> =
            wanted.keys().chain(seen.keys()).chain(receiver.doubt.keys()).copied().collect();
        for channel in channels {
            let input = Port { device: id.clone(), channel };
            let now_seen = seen.get(&channel).map(|(source, _)| source);
            let doubt = receiver.doubt.get(&channel);
            match wanted.get(&channel) {
                Some(source) if now_seen == Some(source) && doubt.is_none() => {}
                Some(source) => changes.push(Change::Subscribe { input, source: source.clone() }),
                // A doubt where somebody else's source was seen last waits until it is read again.
                None if now_seen
                    .or(doubt.and_then(Option::as_ref))
                    .is_some_and(|source| self.is_ours(&input, source)) =>
                {
                    changes.push(Change::Clear(input));
                }
                None => {}
            }
        }
        if device.takes == Takes::Streams && !wanted.is_empty() {
            // One channel cannot be cleared alone: it goes with the last one that is wanted.
            changes.retain(|change| !matches!(change, Change::Clear(_)));
        }
        if let Some(receiver) = self.receivers.get_mut(id) {
            receiver.held.extend(held); // from now on, a change of it is somebody else's
        }
        self.due_changes(now, id, changes, batch)
    }

    /// Whether `input` plays `source` because this computer said so once, and nobody wants it any more.
    fn is_ours(&self, input: &Port, source: &Source) -> bool {
        match source {
            // Before the links are known for the first time, nobody knows who wants it.
            Source::ThisComputer => {
                let receiver = self.receivers.get(&input.device);
                self.graph_known && receiver.is_none_or(|receiver| !receiver.yielded.contains(&input.channel))
            }
            Source::Port(output) => {
                let intent = self.intents.get(&Pair::new(output.clone(), input.clone()));
                intent.is_some_and(|intent| !intent.wished && !intent.cleared)
            }
        }
    }

    /// Of `changes`, those that may go out now.
    fn due_changes(&mut self, now: Nanos, id: &DeviceId, changes: Vec<Change>, batch: usize) -> Vec<Change> {
        if changes.is_empty() {
            return changes;
        }
        if let Some(flying) = self.flying.get(&Target::Receiver(id.clone())) {
            let until = flying.until;
            self.touch(id, until); // looked at again as soon as it is answered
            return Vec::new();
        }
        let mut due = Vec::new();
        for change in changes {
            let (input, tried) = match &change {
                Change::Subscribe { input, source } => (input, Some(source)),
                Change::Clear(input) => (input, None),
                Change::Link(_) | Change::Unlink(_) => continue,
            };
            match self.trouble.get(&Spot::Input(input.clone())) {
                Some(trouble) if trouble.tried.as_ref() != tried => due.push(change),
                Some(trouble) if trouble.refused => {}
                Some(trouble) if trouble.retry_at > now => {
                    let retry_at = trouble.retry_at;
                    self.touch(id, retry_at);
                }
                _ => due.push(change),
            }
        }
        due.truncate(batch); // the rest follows when these are answered
        due
    }

    /// Drops withdrawals that have come true.
    pub(crate) fn finish_withdrawals(&mut self, id: &DeviceId) {
        let Some(device) = self.devices.get(id) else { return };
        let quiet_graph = self.graph && !self.flying.contains_key(&Target::Graph);
        let flying = self.flying.get(&Target::Receiver(id.clone()));
        let flying: BTreeSet<u16> = flying
            .iter()
            .flat_map(|flying| &flying.command.changes)
            .filter_map(Change::input_channel)
            .collect();
        let whole = device.takes == Takes::Streams;
        let remote = device.place == Place::Remote && device.controlled;
        let receiver = self.receivers.get(id);
        let mut done = Vec::new();
        let intents =
            self.intents.range_mut(first_pair(id)..).take_while(|(pair, _)| pair.input.device == *id);
        for (pair, intent) in intents.filter(|(_, intent)| !intent.wished) {
            let plays = |source: &Source| *source == Source::Port(pair.output.clone());
            let channel = &pair.input.channel;
            let gone = receiver.is_some_and(|receiver| {
                let seen = receiver.seen.as_ref();
                seen.is_some_and(|seen| !seen.get(channel).is_some_and(|(source, _)| plays(source)))
                    && !receiver.doubt.contains_key(channel)
            });
            let quiet = if whole { flying.is_empty() } else { !flying.contains(channel) };
            intent.cleared |= !remote || gone && quiet;
            if intent.cleared && quiet_graph && !self.links.contains_key(pair) {
                done.push(pair.clone());
            }
        }
        for pair in done {
            self.intents.remove(&pair);
        }
    }
}
