//! What is seen on receivers and in the graph.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use wireloom_units::Nanos;

use crate::engine::Receiver;
use crate::{Answer, Change, DeviceId, Engine, Pair, Port, Source, Takes, Target};

impl Engine {
    /// What the receiver `id` plays now, all of it: input channel, source, and whether audio arrives. To be told after
    /// the device appeared or restarted, after a change of it failed, and whenever it changes, in the order in which
    /// the device was read: what is told after an answer was read after it.
    ///
    /// An input that somebody else changed is theirs: the wish is withdrawn, not fought for.
    pub fn handle_subscriptions(&mut self, now: Nanos, id: &DeviceId, inputs: Vec<(u16, Source, bool)>) {
        let inputs: BTreeMap<_, _> =
            inputs.into_iter().map(|(channel, source, audio)| (channel, (source, audio))).collect();
        // What is just being changed is judged when that is answered.
        let flying = self.flying.get(&Target::Receiver(id.clone()));
        let whole = self.devices.get(id).is_some_and(|device| device.takes == Takes::Streams);
        let moves_all = whole && flying.is_some();
        let flying: BTreeSet<u16> = flying
            .iter()
            .flat_map(|flying| &flying.command.changes)
            .filter_map(Change::input_channel)
            .collect();
        let receiver = self.receivers.entry(id.clone()).or_default();
        let doubts = receiver.doubt.len();
        receiver.doubt.retain(|channel, _| flying.contains(channel));
        if receiver.seen.as_ref() == Some(&inputs) && doubts == receiver.doubt.len() {
            return;
        }
        let differs = |(channel, held): (&u16, &Source)| {
            let other = inputs.get(channel).map(|(source, _)| source) != Some(held);
            (other && !moves_all && !flying.contains(channel)).then_some(*channel)
        };
        let lost: Vec<_> = receiver.held.iter().filter_map(differs).collect();
        receiver.held.retain(|channel, _| !lost.contains(channel));
        receiver.seen = Some(inputs);
        for channel in lost {
            self.yield_input(&Port { device: id.clone(), channel });
        }
        self.touch(id, now);
    }

    /// A link between `pair` is in the graph, or no longer. Links that are only drawn and carry nothing through this
    /// computer are not told. Those that the graph had before it was looked at are told before
    /// [`Engine::handle_graph`]: they are older than every wish.
    pub fn handle_link(&mut self, now: Nanos, pair: &Pair, exists: bool) {
        if exists == self.links.contains_key(pair) {
            return;
        }
        if exists {
            let serial = if self.graph { self.serial() } else { 0 };
            self.links.insert(pair.clone(), serial);
            if let Some(receiver) = self.receivers.get_mut(&pair.input.device) {
                receiver.yielded.remove(&pair.input.channel);
            }
        } else {
            self.links.remove(pair);
        }
        self.touch(&pair.input.device, now);
    }

    /// Somebody else decided about an input.
    fn yield_input(&mut self, input: &Port) {
        let seen = self.receivers.get(&input.device).and_then(|receiver| receiver.seen.as_ref());
        let now_plays = seen.and_then(|seen| seen.get(&input.channel)).map(|(source, _)| source.clone());
        let now_plays = now_plays.as_ref();
        let first = Pair { input: input.clone(), output: Port::new("", 0) };
        let theirs: Vec<_> = self
            .intents
            .range(first..)
            .take_while(|(pair, _)| pair.input == *input)
            .map(|(pair, _)| pair.clone())
            .collect();
        for pair in theirs {
            let direct = matches!(self.can_connect(&pair), Answer::Direct { .. });
            if direct && now_plays == Some(&Source::Port(pair.output.clone())) {
                continue; // what was about to be asked for
            }
            match self.intents.get_mut(&pair) {
                // Our link to it is of no use any more; one that a client drew is the client's.
                Some(intent) if !direct => (intent.wished, intent.cleared) = (false, true),
                _ => drop(self.intents.remove(&pair)),
            }
        }
        let receiver: &mut Receiver = self.receivers.entry(input.device.clone()).or_default();
        receiver.yielded.insert(input.channel);
    }
}
