//! What the agent knows and decides: streams, nodes, announcements. No I/O, no clock; time is an argument.
//!
//! Inputs are `handle_*`; [`Model::settle`] then compares wanted with seen and leaves its wishes in `poll_*`.

mod around;
mod clock;
mod describe;
mod device;
mod device_keys;
mod entry;
mod facts;
mod graph;
mod heard;
mod identity;
mod jobs;
mod known;
mod lives;
mod node;
mod oat;
mod offered;
mod own;
mod ravenna;
mod requests;
mod routes;
mod settle;
mod show;
mod stream_state;
#[cfg(test)]
mod tests;
mod views;
mod why;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use wireloom_sdp::{SapAnnouncer, SapListener, StreamId};
use wireloom_units::Nanos;

pub use clock::line_text;
use entry::Entry;
pub use facts::{ClockFacts, InterfaceFacts};
pub use graph::{GraphEvent, GraphOp};
pub use identity::stable_id;
use known::Known;
pub use lives::DropInState;
pub use routes::{GraphObject, LinkOp};

use crate::settings::Settings;
use crate::stamp::Stamped;
use crate::store::{Saved, SavedStream};
use crate::time::Now;
use crate::view::{Condition, World};

/// Everything the agent knows. One owner: the core task.
pub struct Model {
    /// As configured; what the user changed is in `saved`.
    configured: Settings,
    settings: Stamped<Settings>,
    saved: Saved,
    save_at: Option<Nanos>,
    /// This agent may act on the network and the graph; false while another session does.
    active: bool,
    started: Nanos,
    /// The last settling changed nothing that another one would look at.
    settled: bool,
    condition: Condition,
    streams: BTreeMap<String, Entry>,
    /// Identity text -> id, of the streams in `streams` and in `saved`.
    by_key: HashMap<String, String>,
    listener: Stamped<SapListener>,
    announcer: SapAnnouncer,
    /// Announced stream -> its id.
    heard: BTreeMap<StreamId, String>,
    /// Announced streams that a user removed, and when: the next announcement brings them back.
    removed: BTreeMap<StreamId, Nanos>,
    /// Streams that a user removed before PipeWire told its nodes: those are not adopted.
    not_adopted: BTreeSet<String>,
    told_own: BTreeSet<(IpAddr, String)>,
    /// RAVENNA sessions by DNS-SD instance name.
    sessions: Stamped<BTreeMap<String, ravenna::Session>>,
    /// Why own streams cannot be offered by RAVENNA; empty when they can.
    ravenna_trouble: String,
    /// Why announcements are not heard at all.
    deaf: Option<&'static str>,
    arrivals: u64,
    interfaces: Stamped<Vec<InterfaceFacts>>,
    received: HashMap<u32, u64>,
    clock: ClockFacts,
    clock_conditions: BTreeMap<String, Condition>,
    graph: graph::Mirror,
    /// PipeWire could not be reached, or went, since this agent was started.
    graph_was_missed: bool,
    lives: lives::Lives,
    /// The drop-in that loads the module should be switched off.
    switch_off: bool,
    drop_in: DropInState,
    watch_until: Option<Nanos>,
    jobs: jobs::Jobs,
    around: around::Around,
    routes: routes::Routes,
    oat: oat::Oat,
    offers: offered::Offers,
    /// What this computer is called; may be empty.
    computer: String,
    /// The announcement groups should be left and joined again.
    rejoin: bool,
    world: Arc<World>,
    random: Box<dyn FnMut() -> u32 + Send>,
}

impl Model {
    /// Starts with what was configured and saved. `random` gives session ids, the first automatic
    /// address and the jitter of announcements.
    pub fn new(
        now: Now,
        settings: Settings,
        saved: Saved,
        mut random: impl FnMut() -> u32 + Send + 'static,
    ) -> Self {
        let seed = u64::from(random()) << 32 | u64::from(random());
        let mut model = Self {
            configured: settings.clone(),
            settings: settings.into(),
            saved: Saved { schema: 1, ..saved },
            save_at: None,
            active: false,
            started: now.mono,
            settled: false,
            condition: Condition::default(),
            streams: BTreeMap::new(),
            by_key: HashMap::new(),
            listener: SapListener::new().into(),
            announcer: SapAnnouncer::new(seed),
            heard: BTreeMap::new(),
            removed: BTreeMap::new(),
            not_adopted: BTreeSet::new(),
            told_own: BTreeSet::new(),
            sessions: Stamped::default(),
            ravenna_trouble: String::new(),
            deaf: None,
            arrivals: 0,
            interfaces: Stamped::default(),
            received: HashMap::new(),
            clock: ClockFacts::default(),
            clock_conditions: BTreeMap::new(),
            graph: graph::Mirror::default(),
            graph_was_missed: false,
            lives: lives::Lives::default(),
            switch_off: false,
            drop_in: DropInState::default(),
            watch_until: None,
            jobs: jobs::Jobs::default(),
            around: around::Around::default(),
            routes: routes::Routes::default(),
            oat: oat::Oat::default(),
            offers: offered::Offers::new(&mut random),
            computer: String::new(),
            rejoin: false,
            world: Arc::default(),
            random: Box::new(random),
        };
        model.restore(now);
        model
    }

    /// What this computer is called among devices.
    pub fn handle_computer_name(&mut self, name: String) {
        self.computer = name;
    }

    /// Whether this session is the one that acts.
    pub fn handle_active(&mut self, active: bool) {
        self.active = active;
    }

    /// This agent begins to act, after another one that left `saved` behind: what was read at the start may be old.
    pub fn handle_takeover(&mut self, now: Now, saved: Saved) {
        self.streams.retain(|_, stream| !matches!(stream.origin, known::Origin::Own | known::Origin::File));
        self.by_key.clear();
        self.settings = self.configured.clone().into();
        self.saved = Saved { schema: 1, ..saved };
        self.restore(now);
    }

    /// The network interfaces of this computer, all of them.
    pub fn handle_interfaces(&mut self, now: Now, interfaces: Vec<InterfaceFacts>) {
        let addresses = |interfaces: &[InterfaceFacts]| -> BTreeSet<IpAddr> {
            interfaces.iter().flat_map(|facts| &facts.addresses).map(|(address, _)| *address).collect()
        };
        let moved = addresses(&self.interfaces) != addresses(&interfaces);
        let before: BTreeSet<u32> = self.joined().iter().map(|facts| facts.index).collect();
        if *self.interfaces != interfaces {
            self.interfaces = interfaces.into();
        }
        let after: BTreeSet<u32> = self.joined().iter().map(|facts| facts.index).collect();
        for index in before.symmetric_difference(&after) {
            self.listener.handle_interface(now.mono, *index, after.contains(index));
        }
        self.received.retain(|index, _| self.interfaces.iter().any(|facts| facts.index == *index));
        self.tell_own();
        if moved {
            self.compare_heard(now); // what was sent to others may be sent to us, and the other way round
        }
    }

    /// Whether the announcement groups should be left and joined again; asks once.
    pub fn poll_rejoin(&mut self) -> bool {
        std::mem::take(&mut self.rejoin)
    }

    /// The state to write, once it has been quiet for a while or a user waits for it.
    pub fn poll_save(&mut self, now: Now) -> Option<Saved> {
        self.save_at.filter(|at| *at <= now.mono)?;
        self.save_at = None;
        Some(self.saved.clone())
    }

    /// The state if anything is unsaved, for the end of the process.
    pub fn unsaved(&mut self) -> Option<Saved> {
        self.save_at.take().map(|_| self.saved.clone())
    }

    /// Interfaces that announcements should be heard and sent on; none while another session is active.
    pub fn joined(&self) -> Vec<InterfaceFacts> {
        self.interfaces.iter().filter(|facts| self.use_of(facts).is_ok()).cloned().collect()
    }

    /// Whether announcements can be heard, and if not why. Answers whether that is news.
    pub fn handle_deaf(&mut self, why: Option<&'static str>) -> bool {
        std::mem::replace(&mut self.deaf, why) != why
    }

    fn save_within(&mut self, now: Now, delay: Nanos) {
        let at = now.mono.plus(delay);
        self.save_at = Some(self.save_at.map_or(at, |before| before.min(at)));
    }

    fn saved_stream(&mut self, id: &str) -> &mut SavedStream {
        self.saved.streams.entry(id.to_owned()).or_default()
    }

    /// Puts back what the user made: settings, own streams, added descriptions.
    fn restore(&mut self, now: Now) {
        self.restore_settings();
        for (id, stream) in &*self.saved.streams {
            for key in &stream.keys {
                self.by_key.insert(key.clone(), id.clone());
            }
        }
        for own in self.saved.own.clone() {
            self.insert_own(now, &own);
        }
        for text in self.saved.added.clone() {
            let _ = self.insert_added(now, &text); // what was playable when it was added
        }
        self.restore_routes(now);
        self.condition.become_("starting", "none", String::new(), now.wall_us);
    }
}
