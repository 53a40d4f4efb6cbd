//! Checkpoints: what was wished comes back unless its client confirms in time.

use tracing::info;
use wireloom_route::{Checkpoint, Pair};
use wireloom_units::Nanos;

use super::super::Model;
use super::remember::{end_of, saved_end};
use crate::request::{Answer, Refused};
use crate::time::Now;
use crate::view::CheckpointView;

/// Checkpoints that may be open at the same time.
const MAX_OPEN: usize = 16;

/// An open checkpoint.
#[derive(Debug)]
pub struct Open {
    wished: Checkpoint,
    client: String,
    due: Nanos,
    created_us: u64,
    expires_us: u64,
}

impl Model {
    pub(super) fn create_checkpoint(&mut self, now: Now, client: &str, timeout_s: u32) -> Answer {
        if !(1..=3600).contains(&timeout_s) {
            return Err(Refused::Invalid(format!("a timeout is 1 to 3600 seconds, not {timeout_s}")));
        }
        if self.routes.checkpoints.len() >= MAX_OPEN {
            return Err(Refused::Limit(format!("{MAX_OPEN} checkpoints are open already")));
        }
        self.routes.next_checkpoint += 1;
        let span = Nanos::from_secs(u64::from(timeout_s));
        let open = Open {
            wished: self.routes.engine.checkpoint(),
            client: client.to_owned(),
            due: now.mono.plus(span),
            created_us: now.wall_us,
            expires_us: now.wall_us.saturating_add(span.0 / 1000),
        };
        self.routes.checkpoints.insert(self.routes.next_checkpoint, open);
        self.save_unconfirmed(now);
        Ok(vec![self.routes.next_checkpoint.to_string()])
    }

    /// Ends the checkpoint `id`. Rolling back one ends those that were made after it: what they remember never was.
    pub(super) fn end_checkpoint(&mut self, now: Now, id: &str, rollback: bool) -> Answer {
        let number = id.parse::<u64>().ok().filter(|number| self.routes.checkpoints.contains_key(number));
        let number = number.ok_or_else(|| Refused::NotFound(format!("no checkpoint {id}")))?;
        let Some(open) = self.routes.checkpoints.remove(&number) else { return Ok(Vec::new()) };
        if rollback {
            self.routes.checkpoints.retain(|other, _| *other < number);
            let edits = self.routes.engine.edits_to(&open.wished);
            self.routes.engine.edit(now.mono, &edits);
        }
        self.remember(now); // in one piece with what follows
        self.save_unconfirmed(now);
        Ok(Vec::new())
    }

    /// Saves what the oldest checkpoint goes back to, for an agent that comes after one that was killed.
    fn save_unconfirmed(&mut self, now: Now) {
        let oldest = self.routes.checkpoints.values().next();
        let pairs = oldest.map(|open| {
            let pairs = open.wished.pairs();
            pairs.map(|pair| [&pair.output, &pair.input].map(saved_end)).collect::<Vec<_>>()
        });
        if pairs != self.saved.unconfirmed {
            self.saved.unconfirmed = pairs;
            self.save_within(now, Nanos::ZERO);
        }
    }

    /// Goes back to what was wished before an agent died whose clients had not confirmed: they cannot any more.
    pub(super) fn roll_back_unconfirmed(&mut self, now: Now) {
        let Some(pairs) = self.saved.unconfirmed.take() else { return };
        let wished: Checkpoint =
            pairs.iter().map(|[output, input]| Pair::new(end_of(output), end_of(input))).collect();
        let edits = self.routes.engine.edits_to(&wished);
        info!(
            "nobody confirmed the changes of routes before the agent ended: {} are taken back",
            edits.len()
        );
        self.routes.engine.edit(now.mono, &edits);
        self.save_within(now, Nanos::ZERO);
    }

    /// The client left the bus without confirming.
    pub(super) fn roll_back_of(&mut self, now: Now, client: &str) {
        while let Some(id) = self.oldest(|open| open.client == client) {
            let _ = self.end_checkpoint(now, &id.to_string(), true); // it exists: found one line up
        }
    }

    /// Rolls back what nobody confirmed in time.
    pub(super) fn settle_checkpoints(&mut self, now: Now) {
        while let Some(id) = self.oldest(|open| open.due <= now.mono) {
            let _ = self.end_checkpoint(now, &id.to_string(), true); // it exists: found one line up
        }
    }

    fn oldest(&self, pick: impl Fn(&Open) -> bool) -> Option<u64> {
        self.routes.checkpoints.iter().find(|(_, open)| pick(open)).map(|(id, _)| *id)
    }

    pub(in super::super) fn checkpoints_timeout(&self) -> Option<Nanos> {
        self.routes.checkpoints.values().map(|open| open.due).min()
    }

    pub(in super::super) fn checkpoint_views(&self) -> impl Iterator<Item = (String, CheckpointView)> {
        self.routes.checkpoints.iter().map(|(id, open)| {
            let view = CheckpointView {
                id: id.to_string(),
                client: open.client.clone(),
                created_us: open.created_us,
                expires_us: open.expires_us,
            };
            (id.to_string(), view)
        })
    }
}
