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
    best_sync: Best,
    delays: u32,
    best_delay: Best,
    /// The luckiest delay exchange of each of the last windows, newest first, and among how many it was.
    remembered: [Option<(u32, Sample)>; REMEMBERED],
}

/// The luckiest sample of a window, its delay against the model, and that of the second luckiest.
#[derive(Debug, Clone, Copy)]
struct Best {
    least: Option<(f64, Sample)>,
    second: f64,
}

impl Best {
    const NONE: Self = Self { least: None, second: f64::INFINITY };

    fn add(&mut self, excess: f64, sample: Sample) {
        match self.least {
            Some((least, _)) if least <= excess => self.second = self.second.min(excess),
            before => {
                self.second = before.map_or(f64::INFINITY, |(least, _)| least);
                self.least = Some((excess, sample));
            }
        }
    }

    /// How far the two luckiest are apart: about as far as the luckiest is from having met no queue at all.
    fn spread(&self) -> f64 {
        self.least.map_or(0.0, |(least, _)| self.second - least)
    }
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
    /// How uncertain the luckiest messages alone make the error, in nanoseconds.
    pub(super) spread: f64,
}

impl Window {
    pub(super) const fn new() -> Self {
        Self {
            syncs: 0,
            far: 0,
            best_sync: Best::NONE,
            delays: 0,
            best_delay: Best::NONE,
            remembered: [None; REMEMBERED],
        }
    }

    pub(super) const fn add_far(&mut self) {
        self.far = self.far.saturating_add(1);
    }

    pub(super) const fn far(&self) -> u32 {
        self.far
    }

    pub(super) fn add_sync(&mut self, sample: Sample, model: &Model) {
        self.syncs = self.syncs.saturating_add(1);
        self.best_sync.add(model.ahead_of(&sample), sample);
    }

    pub(super) fn add_delay(&mut self, sample: Sample, model: &Model) {
        self.delays = self.delays.saturating_add(1);
        self.best_delay.add(-model.ahead_of(&sample), sample);
    }

    /// Ends the window at `now` and begins the next one; `None` if too few Syncs came.
    ///
    /// Without any delay exchange in the last four windows the path is taken to delay by `held_delay`.
    pub(super) fn close(&mut self, now: i64, model: &Model, held_delay: f64) -> Option<Measurement> {
        let delays = core::mem::take(&mut self.delays);
        let best_sync = core::mem::replace(&mut self.best_sync, Best::NONE);
        let best_delay = core::mem::replace(&mut self.best_delay, Best::NONE);
        self.remembered.rotate_right(1);
        self.remembered[0] = best_delay.least.map(|(_, sample)| (delays, sample));
        let syncs = core::mem::take(&mut self.syncs);
        self.far = 0;
        let (forward, sync) = best_sync.least.filter(|_| syncs >= NEEDED_SYNCS)?;
        let luckiest = self.luckiest_delay(now, syncs, model);
        // With a single exchange there is nothing to compare it with; the Syncs tell how busy the path is.
        let back = best_delay.spread();
        let spread = 0.5 * best_sync.spread().max(if back.is_finite() { back } else { 0.0 });
        Some(match luckiest {
            Some(delay) => {
                let backward = -model.ahead_of(&delay);
                Measurement {
                    error: (forward - backward) / 2.0,
                    delay: Some((forward + backward) / 2.0),
                    at: sync.at / 2 + delay.at / 2,
                    spread,
                }
            }
            None => Measurement { error: forward - held_delay, delay: None, at: sync.at, spread },
        })
    }

    /// The luckiest delay exchange of as many windows as it takes to choose among about as many as there are Syncs.
    ///
    /// The least of many is lower than the least of few: an unequal choice would move the estimate to one side.
    fn luckiest_delay(&self, now: i64, syncs: u32, model: &Model) -> Option<Sample> {
        let sigma = model.belief.sigma_frequency();
        let (mut chosen_among, mut luckiest) = (0_u32, None);
        for &(count, sample) in self.remembered.iter().flatten() {
            // An old exchange is worth less by what the frequency may have added since.
            let aged = sigma * seconds_between(sample.at, now).max(0.0) - model.ahead_of(&sample);
            if luckiest.is_none_or(|(least, _)| aged < least) {
                luckiest = Some((aged, sample));
            }
            chosen_among = chosen_among.saturating_add(count);
            if 2 * chosen_among >= syncs {
                break;
            }
        }
        luckiest.map(|(_, sample)| sample)
    }
}
