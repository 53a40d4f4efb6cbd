//! What is kept, and what users want of it.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;

use wireloom_units::Nanos;

use crate::{
    Change, Command, CommandId, Device, DeviceId, Outcome, Pair, Port, Presence, Source, Takes, Target,
};

/// Routes that are drawn one by one within this time become one command (`pipewire` 5.5).
const BATCH_WITHIN: Nanos = Nanos::from_millis(50);
/// A command without answer counts as failed after this.
pub(crate) const ANSWER_WITHIN: Nanos = Nanos::from_secs(15);
/// What failed is tried again after this, doubled each time.
const FIRST_RETRY: Nanos = Nanos::from_secs(1);
const LONGEST_RETRY: Nanos = Nanos::from_secs(30);

/// A route that somebody wants, or no longer wants, as it is saved: newest last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Which.
    pub pair: Pair,
    /// False: it was withdrawn, and has to be taken back where it is still seen.
    pub wished: bool,
    /// Withdrawn ones: the receiver has been seen without it; only a link may be left.
    pub cleared: bool,
}

/// The engine. See the crate.
#[derive(Debug, Clone, Default)]
pub struct Engine {
    pub(crate) devices: BTreeMap<DeviceId, Device>,
    pub(crate) intents: BTreeMap<Pair, Intent>,
    pub(crate) receivers: BTreeMap<DeviceId, Receiver>,
    /// Links in the graph, and when they were seen first.
    pub(crate) links: BTreeMap<Pair, u64>,
    /// The graph is there and all its links were told.
    pub(crate) graph: bool,
    /// It was there once: who links what is known since.
    pub(crate) graph_known: bool,
    pub(crate) trouble: BTreeMap<Spot, Trouble>,
    /// Receivers to look at, and when.
    pub(crate) dirty: BTreeMap<DeviceId, Nanos>,
    pub(crate) flying: BTreeMap<Target, Flying>,
    pub(crate) ready: VecDeque<Command>,
    serial: u64,
    revision: u64,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Intent {
    pub wished: bool,
    /// Later ones win where an input takes one source.
    pub serial: u64,
    /// Withdrawn ones: the receiver has been seen without it since. What it plays later is somebody else's doing.
    pub cleared: bool,
}

impl Intent {
    pub const fn new(wished: bool, serial: u64) -> Self {
        Self { wished, serial, cleared: false }
    }
}

/// What is known of a receiver on the network.
#[derive(Debug, Clone, Default)]
pub(crate) struct Receiver {
    /// What it plays, and whether audio arrives; nothing until it was read.
    pub seen: Option<BTreeMap<u16, (Source, bool)>>,
    /// What it was told and has confirmed since it started.
    pub held: BTreeMap<u16, Source>,
    /// What it was told to play, or to play nothing, without a clear answer.
    pub doubt: BTreeMap<u16, Option<Source>>,
    /// Inputs that somebody else took from this computer: left alone until something new is wanted.
    pub yielded: BTreeSet<u16>,
}

/// Where something can go wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Spot {
    Input(Port),
    Link(Pair),
}

#[derive(Debug, Clone)]
pub(crate) struct Trouble {
    /// What was tried on an input; other things may be tried at once. `None`: clearing, or a link.
    pub tried: Option<Source>,
    pub refused: bool,
    pub reason: String,
    pub failures: u32,
    pub retry_at: Nanos,
}

#[derive(Debug, Clone)]
pub(crate) struct Flying {
    pub command: Command,
    pub until: Nanos,
}

impl Engine {
    /// An engine that knows nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Somebody wants `pair`: a user, a preset, a link that was drawn. Wishes stay until they are withdrawn, whatever
    /// becomes of the devices; where an input takes one source, the newest wish replaces the others.
    pub fn wish(&mut self, now: Nanos, pair: Pair) {
        let serial = self.serial();
        let spot = Spot::Input(pair.input.clone());
        if self.trouble.get(&spot).is_some_and(|trouble| trouble.refused) {
            self.trouble.remove(&spot); // asked again
        }
        self.trouble.remove(&Spot::Link(pair.clone()));
        if let Some(receiver) = self.receivers.get_mut(&pair.input.device) {
            receiver.yielded.remove(&pair.input.channel);
        }
        self.touch(&pair.input.device, now.plus(BATCH_WITHIN));
        let id = pair.input.device.clone();
        self.intents.insert(pair, Intent::new(true, serial));
        // What it replaces is withdrawn now: what others do from here on is not taken for that.
        self.resolve(&id);
        self.finish_withdrawals(&id);
    }

    /// Nobody wants `pair` any more: it is taken back where it is seen, also when that is only possible later.
    pub fn withdraw(&mut self, now: Nanos, pair: &Pair) {
        let serial = self.serial();
        self.touch(&pair.input.device, now.plus(BATCH_WITHIN));
        self.intents.insert(pair.clone(), Intent::new(false, serial));
        self.finish_withdrawals(&pair.input.device); // perhaps there is nothing to take back
    }

    /// Whether `pair` is wished.
    pub fn is_wished(&self, pair: &Pair) -> bool {
        self.intents.get(pair).is_some_and(|intent| intent.wished)
    }

    /// Whether `pair` was withdrawn and may still be there.
    pub fn is_withdrawn(&self, pair: &Pair) -> bool {
        self.intents.get(pair).is_some_and(|intent| !intent.wished)
    }

    /// Wishes and withdrawals as they are to be saved, oldest first.
    pub fn saved(&self) -> Vec<Wish> {
        let mut all: Vec<_> = self.intents.iter().collect();
        all.sort_by_key(|(_, intent)| intent.serial);
        let wish = |(pair, intent): (&Pair, &Intent)| Wish {
            pair: pair.clone(),
            wished: intent.wished,
            cleared: intent.cleared,
        };
        all.into_iter().map(wish).collect()
    }

    /// Puts saved wishes and withdrawals back, oldest first.
    pub fn restore(&mut self, now: Nanos, saved: impl IntoIterator<Item = Wish>) {
        for Wish { pair, wished, cleared } in saved {
            let serial = self.serial();
            self.touch(&pair.input.device, now);
            self.intents.insert(pair, Intent { wished, serial, cleared });
        }
    }

    /// A device appeared, changed, left ([`Presence::Away`]) or returned.
    pub fn handle_device(&mut self, now: Nanos, id: &DeviceId, device: Device) {
        let before = self.devices.get(id);
        if before == Some(&device) {
            return;
        }
        self.touch_around(now, id);
        let before = self.devices.get(id);
        let restarted = before.is_some_and(|before| before.presence != device.presence);
        if restarted || !device.is_there() {
            self.receivers.remove(id); // nothing that was known of it holds
            self.flying.remove(&Target::Receiver(id.clone())); // nor what an answer would say
            self.trouble.retain(|spot, _| spot.device() != id);
        }
        if !device.is_there() {
            self.links.retain(|pair, _| pair.input.device != *id && pair.output.device != *id);
        }
        self.devices.insert(id.clone(), device);
    }

    /// A device is of no more interest: as if it had never been there. Wishes for it stay.
    pub fn forget_device(&mut self, now: Nanos, id: &DeviceId) {
        self.touch_around(now, id);
        if self.devices.remove(id).is_some() {
            self.receivers.remove(id);
            self.flying.remove(&Target::Receiver(id.clone())); // an answer would say something of nobody
            self.trouble.retain(|spot, _| spot.device() != id);
            self.links.retain(|pair, _| pair.input.device != *id && pair.output.device != *id);
        }
    }

    /// The device called `id`.
    pub fn device(&self, id: &DeviceId) -> Option<&Device> {
        self.devices.get(id)
    }

    /// Every device that is known, also those that are away.
    pub fn devices(&self) -> impl Iterator<Item = (&DeviceId, &Device)> {
        self.devices.iter()
    }

    /// Whether anybody wishes, or withdrew and still has to take back, a route of `id`.
    pub fn is_of_interest(&self, id: &DeviceId) -> bool {
        self.intents.keys().any(|pair| pair.input.device == *id || pair.output.device == *id)
    }

    /// Whether this computer has to send to the receiver `id`, or may have to, as what that plays was not read yet.
    pub fn is_fed(&self, id: &DeviceId) -> bool {
        let plays = self.receivers.get(id).is_none_or(|receiver| {
            let is_ours = |(source, _): &(Source, bool)| *source == Source::ThisComputer;
            let seen = receiver.seen.as_ref().is_none_or(|seen| seen.values().any(is_ours));
            seen || receiver.doubt.values().flatten().any(|source| *source == Source::ThisComputer)
        });
        plays || self.wants(id).iter().any(|(_, source, _)| *source == Source::ThisComputer)
    }

    /// What is behind `source` is had otherwise now: every input of `id` that plays it is told again.
    pub fn retell(&mut self, now: Nanos, id: &DeviceId, source: &Source) {
        if self.flying.contains_key(&Target::Receiver(id.clone())) {
            return; // asked again after the answer
        }
        let Some(receiver) = self.receivers.get_mut(id) else { return };
        let playing: Vec<_> = receiver
            .seen
            .iter()
            .flatten()
            .filter(|(channel, (seen, _))| seen == source && !receiver.doubt.contains_key(channel))
            .map(|(channel, _)| *channel)
            .collect();
        if playing.is_empty() {
            return;
        }
        receiver.doubt.extend(playing.into_iter().map(|channel| (channel, Some(source.clone()))));
        self.touch(id, now);
    }

    /// Ports of `id` appeared in the graph: links that failed are tried again at once.
    pub fn handle_ports(&mut self, now: Nanos, id: &DeviceId) {
        let waits = |spot: &Spot| match spot {
            Spot::Link(pair) => pair.input.device == *id || pair.output.device == *id,
            Spot::Input(_) => false,
        };
        let mut touched = Vec::new();
        self.trouble.retain(|spot, trouble| {
            let again = waits(spot) && !trouble.refused;
            if again {
                touched.push(spot.device().clone());
            }
            !again
        });
        touched.iter().for_each(|id| self.touch(id, now));
    }

    /// The graph is there, with all its links told; or it is gone, and its links with it.
    pub fn handle_graph(&mut self, now: Nanos, present: bool) {
        if self.graph == present {
            return;
        }
        self.graph = present;
        self.graph_known |= present;
        if !present {
            self.links.clear();
            self.flying.remove(&Target::Graph);
            self.trouble.retain(|spot, _| !matches!(spot, Spot::Link(_)));
        }
        self.touch_all(now);
    }

    /// What became of the changes of a command, in their order; what is missing at the end counts as failed.
    pub fn handle_result(&mut self, now: Nanos, id: CommandId, outcomes: Vec<Outcome>) {
        let found = self.flying.iter().find(|(_, flying)| flying.command.id == id);
        let Some(target) = found.map(|(target, _)| target.clone()) else { return };
        let Some(Flying { command, .. }) = self.flying.remove(&target) else { return };
        let mut outcomes = outcomes.into_iter();
        for change in command.changes {
            let outcome = outcomes.next().unwrap_or_else(|| Outcome::Failed("there was no answer".into()));
            self.touch(&change.receiver().clone(), now);
            self.conclude(now, change, outcome);
        }
        if target == Target::Graph {
            self.touch_all(now);
        }
    }

    /// Whoever carried out the commands of `target` has gone and answers nothing any more.
    pub fn handle_executor_lost(&mut self, now: Nanos, target: &Target) {
        if let Some(flying) = self.flying.get(target) {
            self.handle_result(now, flying.command.id, Vec::new());
        }
    }

    /// The next command to carry out.
    pub fn poll_command(&mut self) -> Option<Command> {
        self.ready.pop_front()
    }

    /// When [`Engine::handle_timeout`] is due next.
    pub fn poll_timeout(&self) -> Option<Nanos> {
        let dirty = self.dirty.values().copied();
        dirty.chain(self.flying.values().map(|flying| flying.until)).min()
    }

    /// Grows with everything that can change an answer of [`Engine::routes`].
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// A receiver of whole streams was told on one channel to play `source`, or nothing: so do all its channels, or
    /// perhaps not, when it gave no clear answer.
    fn move_all(&mut self, input: &Port, source: Option<&Source>, is_sure: bool) {
        let device = self.devices.get(&input.device).filter(|device| device.takes == Takes::Streams);
        let Some(channels) = device.map(|device| 0..device.channels) else { return };
        let Some(receiver) = self.receivers.get_mut(&input.device) else { return };
        let stays = |other: &Source| source.is_some_and(|source| source.is_of_same_stream(other));
        receiver.held.retain(|_, held| stays(held));
        let Some(seen) = &mut receiver.seen else { return };
        if is_sure {
            receiver.doubt.clear();
            seen.retain(|_, (seen, _)| stays(seen));
        }
        for channel in channels.filter(|channel| *channel != input.channel) {
            match source.map(|source| source.on(channel)) {
                Some(source) if is_sure => drop(seen.entry(channel).or_insert((source, false))),
                None if is_sure => {}
                source => drop(receiver.doubt.entry(channel).or_insert(source)),
            }
        }
    }

    fn conclude(&mut self, now: Nanos, change: Change, outcome: Outcome) {
        match (&change, &outcome) {
            (Change::Subscribe { input, source }, Outcome::Done | Outcome::Failed(_)) => {
                self.move_all(input, Some(source), outcome == Outcome::Done);
            }
            (Change::Clear(input), Outcome::Done | Outcome::Failed(_)) => {
                self.move_all(input, None, outcome == Outcome::Done);
            }
            _ => {}
        }
        match (change, outcome) {
            (Change::Subscribe { input, source }, Outcome::Done) => {
                self.trouble.remove(&Spot::Input(input.clone()));
                let receiver = self.receivers.entry(input.device).or_default();
                receiver.doubt.remove(&input.channel);
                receiver.held.insert(input.channel, source.clone());
                if let Some(seen) = &mut receiver.seen {
                    seen.insert(input.channel, (source, false));
                }
            }
            (Change::Clear(input), Outcome::Done) => {
                self.trouble.remove(&Spot::Input(input.clone()));
                let receiver = self.receivers.entry(input.device).or_default();
                receiver.doubt.remove(&input.channel);
                receiver.held.remove(&input.channel);
                if let Some(seen) = &mut receiver.seen {
                    seen.remove(&input.channel);
                }
            }
            (Change::Link(pair), Outcome::Done) => {
                self.trouble.remove(&Spot::Link(pair.clone()));
                let serial = self.serial();
                if self.graph && self.are_there(&pair) {
                    self.links.entry(pair).or_insert(serial);
                }
            }
            (Change::Unlink(pair), Outcome::Done) => {
                self.links.remove(&pair);
            }
            (Change::Subscribe { input, source }, Outcome::Failed(reason)) => {
                let receiver = self.receivers.entry(input.device.clone()).or_default();
                receiver.held.remove(&input.channel);
                receiver.doubt.insert(input.channel, Some(source.clone()));
                self.fail(now, Spot::Input(input), Some(source), reason, false);
            }
            (Change::Subscribe { input, source }, Outcome::Refused(reason)) => {
                self.fail(now, Spot::Input(input), Some(source), reason, true);
            }
            (Change::Clear(input), Outcome::Failed(reason)) => {
                let receiver = self.receivers.entry(input.device.clone()).or_default();
                receiver.held.remove(&input.channel);
                receiver.doubt.entry(input.channel).or_insert(None);
                self.fail(now, Spot::Input(input), None, reason, false);
            }
            (Change::Clear(input), Outcome::Refused(reason)) => {
                self.fail(now, Spot::Input(input), None, reason, true);
            }
            (Change::Link(pair) | Change::Unlink(pair), Outcome::Failed(reason)) => {
                self.fail(now, Spot::Link(pair), None, reason, false);
            }
            (Change::Link(pair) | Change::Unlink(pair), Outcome::Refused(reason)) => {
                self.fail(now, Spot::Link(pair), None, reason, true);
            }
        }
    }

    fn fail(&mut self, now: Nanos, spot: Spot, tried: Option<Source>, reason: String, refused: bool) {
        let before = self.trouble.get(&spot).filter(|before| before.tried == tried);
        let failures = before.map_or(0, |before| before.failures).saturating_add(1);
        let wait = FIRST_RETRY.0.saturating_mul(1 << failures.saturating_sub(1).min(10));
        let retry_at = now.plus(Nanos(wait.min(LONGEST_RETRY.0)));
        self.trouble.insert(spot, Trouble { tried, refused, reason, failures, retry_at });
    }

    pub(crate) fn serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    pub(crate) fn next_id(&mut self) -> CommandId {
        CommandId(self.serial())
    }

    pub(crate) fn are_there(&self, pair: &Pair) -> bool {
        let there = |id: &DeviceId| self.devices.get(id).is_some_and(Device::is_there);
        there(&pair.output.device) && there(&pair.input.device)
    }

    /// The receiver `id` is to be looked at, at `due`.
    pub(crate) fn touch(&mut self, id: &DeviceId, due: Nanos) {
        self.revision += 1;
        let at = self.dirty.entry(id.clone()).or_insert(due);
        *at = due.min(*at);
    }

    /// Every receiver that has to do with `id` is to be looked at.
    fn touch_around(&mut self, now: Nanos, id: &DeviceId) {
        let pairs = self.intents.keys().chain(self.links.keys());
        let others: BTreeSet<_> =
            pairs.filter(|pair| pair.output.device == *id).map(|pair| pair.input.device.clone()).collect();
        others.iter().chain([id]).for_each(|id| self.touch(id, now));
    }

    fn touch_all(&mut self, now: Nanos) {
        let pairs = self.intents.keys().chain(self.links.keys());
        let all: BTreeSet<_> = pairs.map(|pair| pair.input.device.clone()).collect();
        let all: BTreeSet<_> = all.into_iter().chain(self.receivers.keys().cloned()).collect();
        all.iter().for_each(|id| self.touch(id, now));
    }
}

impl Change {
    /// The input of a receiver on the network that it changes.
    pub(crate) fn input_channel(&self) -> Option<u16> {
        match self {
            Self::Subscribe { input, .. } | Self::Clear(input) => Some(input.channel),
            Self::Link(_) | Self::Unlink(_) => None,
        }
    }

    /// The receiving end of what it changes.
    pub fn receiver(&self) -> &DeviceId {
        match self {
            Self::Subscribe { input, .. } | Self::Clear(input) => &input.device,
            Self::Link(pair) | Self::Unlink(pair) => &pair.input.device,
        }
    }
}

impl Spot {
    pub(crate) fn device(&self) -> &DeviceId {
        match self {
            Self::Input(port) => &port.device,
            Self::Link(pair) => &pair.input.device,
        }
    }
}

/// The smallest pair of a receiver, to begin a range at.
pub(crate) fn first_pair(id: &DeviceId) -> Pair {
    Pair::new(Port::new("", 0), Port { device: id.clone(), channel: 0 })
}

impl Default for Presence {
    fn default() -> Self {
        Self::There { epoch: 0 }
    }
}
