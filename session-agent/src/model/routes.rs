//! Routes: what is wished and seen goes into the engine, its commands come out as orders and links.

mod checkpoints;
mod devices;
mod keys;
mod links;
mod receivers;
mod remember;
mod requests;
#[cfg(test)]
mod tests;
mod views;
mod why;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use wireloom_route::{Command, Engine, Pair, Target};
use wireloom_units::Nanos;

pub use devices::Control;
#[cfg(test)]
pub use devices::device_of;
pub use links::{GraphObject, LinkOp};

use super::Model;
use crate::executor::{Order, Receiver};
use crate::stamp::Stamped;
use crate::time::Now;

/// What has to do with routes.
#[derive(Debug, Default)]
pub struct Routes {
    pub(super) engine: Engine,
    /// Receivers that protocol tasks control.
    receivers: Stamped<BTreeMap<String, Receiver>>,
    orders: VecDeque<Order>,
    graph: links::GraphMap,
    /// Virtual links as the module keeps them, by the id of their pair.
    drawn: BTreeMap<String, wireloom_wanted::Link>,
    /// Pairs of failed routes whose link the module took away: not shown again before they get better.
    dismissed: BTreeSet<String>,
    /// Ids of streams that a wish needs.
    needed: BTreeSet<String>,
    /// Revision of the engine that they were found at, and how often they were others than before.
    needed_revision: Option<u64>,
    pub(super) needed_changes: u64,
    /// Revision of the engine that is saved, and that is shown.
    saved_revision: u64,
    viewed_revision: Option<u64>,
    views: BTreeMap<String, crate::view::RouteView>,
    checkpoints: BTreeMap<u64, checkpoints::Open>,
    next_checkpoint: u64,
}

impl Model {
    /// Brings commands, links and metadata in line with what is wished and seen.
    pub(super) fn settle_routes(&mut self, now: Now) {
        self.follow_slots(now);
        self.tell_devices(now);
        self.settle_checkpoints(now);
        if !self.active {
            return;
        }
        self.routes.engine.handle_timeout(now.mono);
        while let Some(command) = self.routes.engine.poll_command() {
            match &command.target {
                Target::Graph => self.link(now, command),
                Target::Receiver(_) => self.order(now, command),
            }
        }
        self.free_slots(now);
        if self.graph_ready() {
            self.write_routes(now);
        }
        self.remember(now);
    }

    pub(super) fn routes_timeout(&self) -> Option<Nanos> {
        self.routes.engine.poll_timeout().filter(|_| self.active)
    }

    /// The next order for a protocol task.
    pub fn poll_order(&mut self) -> Option<Order> {
        self.routes.orders.pop_front()
    }

    /// The next thing to do to links of the graph.
    pub fn poll_link(&mut self) -> Option<LinkOp> {
        self.routes.graph.poll()
    }

    /// Somebody wants `pair`.
    pub(super) fn wish(&mut self, now: Now, pair: Pair) {
        self.routes.dismissed.remove(&keys::id_of(&pair));
        self.routes.engine.wish(now.mono, pair);
    }

    /// Whether a wish or a route needs the node of stream `id`, also when the stream is away.
    pub(super) fn is_wished(&self, id: &str) -> bool {
        self.routes.is_wished(id)
    }
}

impl Routes {
    /// Whether a wish or a route needs the node of stream `id`.
    pub(super) fn is_wished(&self, id: &str) -> bool {
        self.needed.contains(id)
    }
}

/// Everything of a command answered alike.
fn all(command: &Command, outcome: &wireloom_route::Outcome) -> Vec<wireloom_route::Outcome> {
    vec![outcome.clone(); command.changes.len()]
}
