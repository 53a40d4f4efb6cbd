//! What clients draw between other devices, and what becomes of it: joins [`Links`] with PipeWire and the metadata.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Instant;

use wireloom_wanted::{Key, Link, LinkEnd, Node, Route};

use crate::ffi::{self, Level, Patch, PatchEvent, Refusal, Verdict};
use crate::links::{Links, Look, Order, Pair};

/// All nodes that are wanted, by `node.name`: what links between them are judged by.
#[derive(Clone, Default)]
pub(crate) struct Known(Rc<RefCell<BTreeMap<String, Node>>>);

impl Known {
    /// What a link between two of our ports is to be.
    pub(crate) fn judge(&self, output: &LinkEnd, input: &LinkEnd) -> Verdict {
        let nodes = self.0.borrow();
        match (nodes.get(&output.node), nodes.get(&input.node)) {
            (Some(output), Some(input)) if output.speaks_with(input) => Verdict::Virtual,
            (Some(output), Some(input)) if output.relays_to(input) => Verdict::Relay,
            _ => Verdict::Real,
        }
    }
}

/// The state of all links between other devices.
pub(crate) struct Patching {
    links: Links,
    known: Known,
}

impl Patching {
    /// `known` is shared with whoever judges links.
    pub(crate) fn new(known: Known) -> Self {
        Self { links: Links::default(), known }
    }

    /// A node is wanted as `node` from now on.
    pub(crate) fn set_node(&self, name: String, node: &Node, patch: &Patch) {
        let before = self.known.0.borrow_mut().insert(name, node.clone());
        if before.is_some_and(|old| (old.remote, &old.direct) != (node.remote, &node.direct)) {
            patch.reconsider();
        }
    }

    /// A node is not wanted any more.
    pub(crate) fn forget_node(&self, name: &str) {
        self.known.0.borrow_mut().remove(name);
    }

    /// The metadata was cleared.
    pub(crate) fn clear(&mut self) {
        self.links.clear();
    }

    /// Whether something is to happen by itself, after a time.
    pub(crate) fn is_waiting(&self) -> bool {
        self.links.is_waiting()
    }

    /// The key `route.<id>` has changed.
    pub(crate) fn set_route(&mut self, id: &str, route: Option<Route>) {
        if !self.links.set_route(Instant::now(), id, route) {
            ffi::log(Level::Warn, &format!("route {id}: the id is not that of the ends; ignored"));
        }
    }

    /// A client draws a link between two other devices that speak with each other, and `may` do so or not.
    pub(crate) fn client_draws(&mut self, pair: &Pair, may: bool, patch: &Patch) -> Result<Look, Refusal> {
        if !may {
            let text = "a sandboxed program may not make routes on the network";
            return Err(Refusal { code: libc::EPERM, text });
        }
        let now = Instant::now();
        self.hear(now, patch);
        self.links.draw(now, pair).ok_or(Refusal { code: libc::EEXIST, text: "File exists" })
    }

    /// Brings virtual links in step, and tells `write` what keys are to hold.
    pub(crate) fn settle(&mut self, patch: &Patch, write: impl Fn(&Key, Option<&Link>)) {
        let now = Instant::now();
        self.hear(now, patch);
        for order in self.links.settle(now, |end| patch.exists(end)) {
            match order {
                Order::Draw(pair, look) => patch.draw(&pair, &look),
                Order::Show(pair, look) => patch.show(&pair, &look),
                Order::Erase(pair) => patch.erase(&pair),
                Order::Write(pair, want) => {
                    let key = Key::Link(pair.id());
                    let Pair { output, input } = pair;
                    write(&key, want.map(|want| Link { output, input, want }).as_ref());
                }
                Order::Say(text) => ffi::log(Level::Warn, &text),
            }
        }
    }

    /// Takes note of what became of virtual links. Their ports are looked at now, not when it happened: what came along
    /// with it, a node that was taken away or a program that ended, has been seen to in the meantime. To be called
    /// before nodes that went are made again.
    pub(crate) fn hear(&mut self, now: Instant, patch: &Patch) {
        for event in patch.take_events() {
            match event {
                PatchEvent::Destroyed(pair) if patch.exists(&pair.output) && patch.exists(&pair.input) => {
                    self.links.destroyed(now, &pair);
                }
                PatchEvent::Destroyed(pair) | PatchEvent::Vanished(pair) => self.links.vanished(&pair),
            }
        }
    }
}
