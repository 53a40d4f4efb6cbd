//! Who gets a node, and where it shows itself.

use std::collections::BTreeSet;

use wireloom_wanted::Show as Class;

use super::Model;
use crate::settings::Show;

/// Under `auto`, so many nodes at most are devices of the desktop; with more, those only that are pinned, linked or
/// wished (DESIGN section 5).
const DESKTOP_NODES: usize = 16;

impl Model {
    /// Chooses who is shown: own, linked, pinned, then those that have a node, then who came first.
    pub(super) fn choose_shown(&mut self) {
        let limit = self.node_limit();
        let mut order: Vec<_> = self
            .streams
            .iter()
            .filter(|(_, stream)| stream.node.is_some())
            .map(|(id, stream)| {
                let pinned = self.saved.streams.get(id).is_some_and(|saved| saved.pinned);
                let rank = (
                    !stream.is_own(),
                    stream.links() == 0,
                    !self.is_wished(id),
                    !pinned,
                    !stream.shown,
                    stream.arrival,
                );
                (rank, id.clone())
            })
            .collect();
        order.sort();
        order.truncate(limit);
        let chosen: BTreeSet<&str> = order.iter().map(|(_, id)| id.as_str()).collect();
        for (id, stream) in &mut self.streams {
            let shown = chosen.contains(id.as_str());
            if stream.shown != shown {
                stream.shown = shown;
            }
        }
    }

    /// For how many streams nodes are made at the most.
    pub(super) fn node_limit(&self) -> usize {
        usize::try_from(self.settings.node_limit).unwrap_or(usize::MAX)
    }

    /// Decides for every node whether it is a device of the desktop. A linked node keeps what it has.
    pub(super) fn choose_class(&mut self) {
        for transmit in [false, true] {
            let nodes = self.streams.values().filter(|s| s.shown && s.is_transmit() == transmit).count();
            let others = if transmit { self.graph.sinks } else { self.graph.sources };
            let ready = self.graph_ready();
            let wished: BTreeSet<String> =
                self.streams.keys().filter(|id| self.is_wished(id)).cloned().collect();
            for (id, stream) in
                self.streams.iter_mut().filter(|(_, s)| s.shown && s.is_transmit() == transmit)
            {
                let saved = self.saved.streams.get(id);
                let own = saved.and_then(|saved| Show::parse(&saved.show));
                let kept = saved.is_some_and(|saved| saved.pinned) || wished.contains(id);
                let class = match own.unwrap_or(self.settings.show) {
                    Show::Desktop => Class::Desktop,
                    Show::Patchbay => Class::Patchbay,
                    Show::Auto if others > 0 && (nodes <= DESKTOP_NODES || kept) => Class::Desktop,
                    Show::Auto => Class::Patchbay,
                };
                if ready && stream.links() == 0 && stream.show != class {
                    stream.show = class;
                }
            }
        }
    }
}
