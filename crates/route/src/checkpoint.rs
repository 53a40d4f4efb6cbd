use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use wireloom_units::Nanos;

use crate::{Command, Engine, Pair};

/// What was wished at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint(BTreeSet<Pair>);

/// One change of what is wished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// It is wanted.
    Wish(Pair),
    /// It is no longer wanted.
    Withdraw(Pair),
}

impl Checkpoint {
    /// The pairs that were wished.
    pub fn pairs(&self) -> impl Iterator<Item = &Pair> {
        self.0.iter()
    }
}

impl FromIterator<Pair> for Checkpoint {
    fn from_iter<I: IntoIterator<Item = Pair>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

impl Engine {
    /// Remembers what is wished now.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint(
            self.intents.iter().filter(|(_, intent)| intent.wished).map(|(pair, _)| pair.clone()).collect(),
        )
    }

    /// What leads from what is wished now back to `checkpoint`.
    pub fn edits_to(&self, checkpoint: &Checkpoint) -> Vec<Edit> {
        let now = self.checkpoint().0;
        let withdrawn = now.difference(&checkpoint.0).cloned().map(Edit::Withdraw);
        // What is wished again wins over what is withdrawn, so it comes last.
        withdrawn.chain(checkpoint.0.difference(&now).cloned().map(Edit::Wish)).collect()
    }

    /// Makes all of `edits`, in their order.
    pub fn edit(&mut self, now: Nanos, edits: &[Edit]) {
        for edit in edits {
            match edit {
                Edit::Wish(pair) => self.wish(now, pair.clone()),
                Edit::Withdraw(pair) => self.withdraw(now, pair),
            }
        }
    }

    /// The commands that `edits` would cause now, if they were made; nothing changes. What waits for an answer, for a
    /// device or for a retry is not among them.
    pub fn dry_run(&self, now: Nanos, edits: &[Edit]) -> Vec<Command> {
        let mut trial = self.clone();
        trial.ready.clear();
        trial.edit(now, edits);
        trial.dirty.values_mut().for_each(|due| *due = now);
        trial.handle_timeout(now);
        trial.ready.into_iter().collect()
    }
}
