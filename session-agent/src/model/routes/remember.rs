//! Wishes and what is needed for them, in the saved state.

use std::collections::{BTreeMap, BTreeSet};

use wireloom_route::{Pair, Port, Wish};
use wireloom_units::Nanos;
use wireloom_wanted::Node;

use super::super::Model;
use super::super::known::{Known, Origin};
use super::devices::stream_id;
use crate::store::SavedWish;
use crate::time::Now;

impl Model {
    /// Puts wishes back, and the nodes that they need, as offline ones until their devices are heard.
    pub(in super::super) fn restore_routes(&mut self, now: Now) {
        let wishes: Vec<_> = self.saved.wishes.iter().map(wish_of).collect();
        self.routes.engine.restore(now.mono, wishes);
        self.routes.saved_revision = self.routes.engine.revision();
        self.roll_back_unconfirmed(now);
        for (id, node) in self.saved.remembered.clone() {
            if self.streams.contains_key(&id) || node.check().is_err() || !id.starts_with("s-") {
                continue;
            }
            let arrival = self.arrival();
            let mut kept = Known::new(Origin::Kept, node.text.name.clone(), arrival);
            kept.shown = true;
            kept.show = node.show;
            kept.leaves_at = Some(now.mono);
            kept.node = Some(Node { offline: true, legs: Vec::new(), ..node });
            self.streams.insert(id, kept.into());
        }
        self.find_needed();
    }

    /// Saves wishes at once when they changed.
    pub(super) fn remember(&mut self, now: Now) {
        if self.routes.engine.revision() == self.routes.saved_revision {
            return;
        }
        self.routes.saved_revision = self.routes.engine.revision();
        self.find_needed();
        let wishes: Vec<_> = self.routes.engine.saved().iter().map(saved_of).collect();
        let mut remembered = BTreeMap::new();
        for id in &self.routes.needed {
            let node =
                self.streams.get(id).filter(|stream| !stream.is_own()).and_then(|stream| stream.node.clone());
            let node = node.map(|node| Node { offline: true, ..node });
            let node = node.or_else(|| self.saved.remembered.get(id).cloned());
            remembered.extend(node.map(|node| (id.clone(), node)));
        }
        if wishes != self.saved.wishes || remembered != self.saved.remembered {
            self.saved.wishes = wishes;
            self.saved.remembered = remembered;
            self.save_within(now, Nanos::ZERO);
        }
    }

    /// Finds the streams that wishes need, when wishes may have changed since.
    pub(in super::super) fn follow_wishes(&mut self) {
        if self.routes.needed_revision != Some(self.routes.engine.revision()) {
            self.find_needed();
        }
    }

    fn find_needed(&mut self) {
        self.routes.needed_revision = Some(self.routes.engine.revision());
        let saved = self.routes.engine.saved();
        let ports =
            saved.iter().filter(|wish| wish.wished).flat_map(|wish| [&wish.pair.output, &wish.pair.input]);
        let needed: BTreeSet<_> =
            ports.filter_map(|port| stream_id(&port.device)).map(str::to_owned).collect();
        if self.routes.needed != needed {
            self.routes.needed = needed;
            self.routes.needed_changes += 1;
        }
    }
}

fn wish_of(saved: &SavedWish) -> Wish {
    let pair = Pair::new(end_of(&saved.output), end_of(&saved.input));
    Wish { pair, wished: !saved.withdrawn, cleared: saved.cleared }
}

/// An end of a route as it is saved.
pub(super) fn saved_end(port: &Port) -> (String, u16) {
    (port.device.as_str().to_owned(), port.channel)
}

/// An end of a route that was saved.
pub(super) fn end_of((device, channel): &(String, u16)) -> Port {
    Port::new(device.as_str(), *channel)
}

fn saved_of(wish: &Wish) -> SavedWish {
    SavedWish {
        output: saved_end(&wish.pair.output),
        input: saved_end(&wish.pair.input),
        withdrawn: !wish.wished,
        cleared: wish.cleared,
    }
}
