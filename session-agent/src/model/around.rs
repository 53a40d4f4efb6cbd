//! What counts for a stream beside itself, and since when: as long as nothing of that changed, what was made of a stream
//! that did not change either is as it would be made now, and nobody has to look.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;

use wireloom_sdp::OurClock;

use super::known::Origin;
use super::{Entry, Model, device};
use crate::stamp::Stamp;
use crate::time::Now;

/// Who is said to use which address: ports and ids of streams.
pub type AddressUsers = HashMap<IpAddr, Vec<(u16, String)>>;

/// What counts for streams beside each itself, when it was looked at last.
#[derive(Debug, Default)]
pub struct Around {
    rules: Option<Rules>,
    /// What streams are to others, and how many there were.
    pub roll: Stamp,
    count: usize,
    /// Keys of nodes and devices in the graph.
    keys: Stamp,
    /// What states and views are made of.
    pub states: Stamp,
    /// What keys of nodes and devices are made of.
    pub nodes: Stamp,
    /// [`Around::nodes`] when the keys of devices were written last, and those that nobody needs deleted.
    pub written: Option<Stamp>,
    /// What the views of devices were made of last.
    pub viewed: Option<[Stamp; 2]>,
    /// What the plan of whom to control was made of last, and the dates of what was heard.
    pub planned: Option<(bool, [Stamp; 3])>,
    pub dated: Option<[Stamp; 3]>,
    /// What is sent to receivers is what they were told, made of this.
    pub slots: Option<[Stamp; 3]>,
    /// All addresses of all streams.
    pub users: AddressUsers,
}

/// What is the same for all streams.
#[derive(Debug, Clone, PartialEq)]
struct Rules {
    active: bool,
    connected: bool,
    ready: bool,
    clock: Option<OurClock>,
    settings: Stamp,
    chosen: [Option<String>; 2],
    announcements: Stamp,
    sessions: Stamp,
    interfaces: Stamp,
    /// Names and wishes of the user, for streams and for devices.
    saved: [Stamp; 2],
}

impl Model {
    /// Looks whether anything counts that did not before. Call it before [`Model::around`] is asked.
    pub(super) fn look_around(&mut self, now: Now) {
        let rules = self.rules();
        let is_like = self.around.rules.as_ref() == Some(&rules);
        self.around.rules = Some(rules);
        let mut others = self.streams.len() != self.around.count;
        for stream in self.streams.values_mut() {
            others |= stream.enrol();
        }
        if others {
            (self.around.roll, self.around.count) = (Stamp::new(), self.streams.len());
            self.around.users = self.address_users();
        }
        let keys = self.graph.node_keys();
        let overdue = self.graph.timeout().is_some_and(|at| at <= now.mono);
        if !is_like || others {
            self.around.states = Stamp::new();
        }
        if !is_like || others || overdue || keys != self.around.keys {
            (self.around.keys, self.around.nodes) = (keys, Stamp::new());
        }
    }

    fn rules(&self) -> Rules {
        Rules {
            active: self.active,
            connected: self.graph.connected,
            ready: self.graph_ready(),
            clock: self.our_clock(),
            settings: self.settings.stamp(),
            chosen: self.graph.chosen.clone(),
            announcements: self.listener.stamp(),
            sessions: self.sessions.stamp(),
            interfaces: self.interfaces.stamp(),
            saved: [self.saved.streams.stamp(), self.saved.devices.stamp()],
        }
    }

    /// The moment since which nothing has counted for the state of `stream` that was not looked at; `None` where what
    /// counts is not all known here.
    pub(super) fn since(&self, stream: &Entry) -> Option<Stamp> {
        let asks = stream.node.as_ref().is_some_and(|node| node.keepalive.is_some());
        (!asks && !stream.is_own()).then_some(self.around.states)
    }

    /// All addresses of all streams.
    pub(super) fn address_users(&self) -> AddressUsers {
        let mut users = AddressUsers::new();
        for (id, stream) in &self.streams {
            for leg in stream.node.iter().flat_map(|node| &node.legs) {
                users.entry(leg.address).or_default().push((leg.port, id.clone()));
            }
        }
        users
    }
}

/// A fingerprint of what `stream` is to others: its device, its sender, whoever uses its address.
pub fn fingerprint(stream: &Entry) -> u64 {
    let mut hasher = DefaultHasher::new();
    let node = stream.node.as_ref();
    (&stream.name, &stream.address, stream.device_id(), stream.device_name()).hash(&mut hasher);
    (&stream.device_key, &stream.entry, &stream.sessions, stream.says()).hash(&mut hasher);
    (stream.is_transmit(), stream.shown, stream.origin == Origin::Kept).hash(&mut hasher);
    node.map(|node| (&node.device, device::protocol_word(node.protocol), node.offline)).hash(&mut hasher);
    for leg in node.iter().flat_map(|node| &node.legs) {
        (leg.address, leg.port).hash(&mut hasher);
    }
    hasher.finish()
}
