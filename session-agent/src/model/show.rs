//! Who gets a node, and where it shows itself.

use wireloom_wanted::Show as Class;

use super::Model;
use crate::settings::Show;

/// Under `auto`, so many nodes at most are devices of the desktop; with more, those only that are pinned, linked or
/// wished (DESIGN section 5).
const DESKTOP_NODES: usize = 16;

impl Model {
    /// Chooses who is shown: own, linked, pinned, then those that have a node, then who came first.
    pub(super) fn choose_shown(&mut self) {
        let mut chosen: Vec<bool> = self.streams.values().map(|stream| stream.node.is_some()).collect();
        let limit = self.node_limit();
        if chosen.iter().filter(|chosen| **chosen).count() > limit {
            let mut order: Vec<_> = self.ranks().zip(&mut chosen).filter(|(_, chosen)| **chosen).collect();
            order.sort_unstable_by_key(|(rank, _)| *rank);
            for (_, chosen) in order.into_iter().skip(limit) {
                *chosen = false;
            }
        }
        for (stream, shown) in self.streams.values_mut().zip(chosen) {
            if stream.shown != shown {
                stream.shown = shown;
            }
        }
    }

    /// For each stream, who goes before whom.
    fn ranks(&self) -> impl Iterator<Item = (bool, bool, bool, bool, bool, u64)> {
        self.streams.iter().map(|(id, stream)| {
            let pinned = self.saved.streams.get(id).is_some_and(|saved| saved.pinned);
            let wished = self.is_wished(id);
            (!stream.is_own(), stream.links() == 0, !wished, !pinned, !stream.shown, stream.arrival)
        })
    }

    /// For how many streams nodes are made at the most.
    pub(super) fn node_limit(&self) -> usize {
        usize::try_from(self.settings.node_limit).unwrap_or(usize::MAX)
    }

    /// Decides for every node whether it is a device of the desktop. A linked node keeps what it has.
    pub(super) fn choose_class(&mut self) {
        if !self.graph_ready() {
            return;
        }
        let shown = || self.streams.values().filter(|stream| stream.shown);
        let sinks = shown().filter(|stream| stream.is_transmit()).count();
        let sources = shown().count() - sinks;
        for (id, stream) in self.streams.iter_mut().filter(|(_, s)| s.shown && s.links() == 0) {
            let (nodes, others) = match stream.is_transmit() {
                false => (sources, self.graph.sources),
                true => (sinks, self.graph.sinks),
            };
            let saved = self.saved.streams.get(id);
            let own = saved.and_then(|saved| Show::parse(&saved.show));
            let kept = saved.is_some_and(|saved| saved.pinned) || self.routes.is_wished(id);
            let class = match own.unwrap_or(self.settings.show) {
                Show::Desktop => Class::Desktop,
                Show::Patchbay => Class::Patchbay,
                Show::Auto if others > 0 && (nodes <= DESKTOP_NODES || kept) => Class::Desktop,
                Show::Auto => Class::Patchbay,
            };
            if stream.show != class {
                stream.show = class;
            }
        }
    }
}
