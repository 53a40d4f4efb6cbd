//! The lucky packets: queueing only ever adds, so the least delayed message of a second tells most.

use super::model::{Model, seconds_between};
use super::sample::Sample;

/// Windows whose luckiest delay exchange is remembered, for leaders that rarely answer.
const REMEMBERED: usize = 4;

/// Syncs that a window needs to be worth anything.
pub(super) const NEEDED_SYNCS: u32 = 3;

/// What the exchanges of about one second say.
#[derive(Debug, Clone)]
pub(super) struct Window {
    syncs: u32,
    /// Samples refused for being too far from the prediction.
    far: u32,
    best_sync: Option<(f64, Sample)>,
    best_delay: Option<(f64, Sample)>,
    remembered: [Option<Sample>; REMEMBERED],
}

/// A window's measurement of the model's error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Measurement {
    /// How far the model is ahead of the leader, in nanoseconds.
    pub(super) error: f64,
    /// Path delay in nanoseconds, when both directions were measured.
    pub(super) delay: Option<f64>,
    /// Base time that the error belongs to.
    pub(super) at: i64,
    /// The forward direction alone: delay plus error, and when.
    pub(super) forward: (f64, i64),
}

impl Window {
    pub(super) const fn new() -> Self {
        Self { syncs: 0, far: 0, best_sync: None, best_delay: None, remembered: [None; REMEMBERED] }
    }

    pub(super) const fn add_far(&mut self) {
        self.far = self.far.saturating_add(1);
    }

    pub(super) const fn far(&self) -> u32 {
        self.far
    }

    pub(super) fn add_sync(&mut self, sample: Sample, model: &Model) {
        self.syncs = self.syncs.saturating_add(1);
        let excess = model.ahead_of(&sample);
        if self.best_sync.is_none_or(|(best, _)| excess < best) {
            self.best_sync = Some((excess, sample));
        }
    }

    pub(super) fn add_delay(&mut self, sample: Sample, model: &Model) {
        let excess = -model.ahead_of(&sample);
        if self.best_delay.is_none_or(|(best, _)| excess < best) {
            self.best_delay = Some((excess, sample));
        }
    }

    /// Ends the window at `now` and begins the next one; `None` if too few Syncs came.
    ///
    /// Without any delay exchange in the last four windows the path is taken to delay by `held_delay`.
    pub(super) fn close(&mut self, now: i64, model: &Model, held_delay: f64) -> Option<Measurement> {
        self.remembered.rotate_right(1);
        self.remembered[0] = self.best_delay.take().map(|(_, sample)| sample);
        let best_sync = self.best_sync.take();
        let enough = self.syncs >= NEEDED_SYNCS;
        (self.syncs, self.far) = (0, 0);
        let (forward, sync) = best_sync.filter(|_| enough)?;
        let sigma = model.belief.sigma_frequency();
        // An old exchange is worth less by what the frequency may have added since.
        let aged =
            |sample: &Sample| sigma * seconds_between(sample.at, now).max(0.0) - model.ahead_of(sample);
        let luckiest = self.remembered.iter().flatten().min_by(|a, b| aged(a).total_cmp(&aged(b)));
        Some(match luckiest {
            Some(delay) => {
                let backward = -model.ahead_of(delay);
                Measurement {
                    error: (forward - backward) / 2.0,
                    delay: Some((forward + backward) / 2.0),
                    at: sync.at / 2 + delay.at / 2,
                    forward: (forward, sync.at),
                }
            }
            None => Measurement {
                error: forward - held_delay,
                delay: None,
                at: sync.at,
                forward: (forward, sync.at),
            },
        })
    }
}
