//! A stream with what was made of it, so that it is made anew only after the stream, or what counts beside it, changed.

use std::cell::{Cell, OnceCell};
use std::ops::{Deref, DerefMut};

use super::Known;
use super::around::fingerprint;
use super::device_keys::Named;
use super::oat::Says;
use super::routes::Control;
use super::settle::{Rules, Written};
use super::views::Beside;
use super::why::Facts;
use crate::stamp::Stamp;

/// A stream with what was made of it.
#[derive(Debug)]
pub struct Entry {
    known: Known,
    changes: u64,
    /// The id of its device, once somebody asked.
    device: OnceCell<String>,
    /// What it says of whom to ask, likewise.
    says: OnceCell<Option<Says>>,
    /// What it is to others, and after which change.
    roll: Option<(u64, u64)>,
    /// Its node as it was written last.
    pub written: Option<Made<Rules, Written>>,
    /// The key of its device, and what the user called that.
    pub named: Option<Made<Option<String>, Named>>,
    /// The engine was told of it, and of how it is controlled.
    pub told: Option<Made<Option<Control>>>,
    /// Its state was decided.
    pub judged: Option<Made<Facts>>,
    /// It was shown.
    pub viewed: Option<Made<Beside>>,
}

/// What was made of a stream after one of its changes, and of `beside`.
#[derive(Debug, Clone)]
pub struct Made<B, T = ()> {
    change: u64,
    beside: B,
    /// When `beside` was last found to be still so.
    since: Cell<Option<Stamp>>,
    /// What was made.
    pub it: T,
}

impl<B, T> Made<B, T> {
    /// What it was made of beside the stream was found to be still so, looked at as it is `since` then.
    pub fn keep(&self, since: Option<Stamp>) {
        self.since.set(since);
    }
}

impl Entry {
    /// How often it may have changed.
    pub const fn changes(&self) -> u64 {
        self.changes
    }

    /// The id of the device that it belongs to.
    pub fn device_id(&self) -> &str {
        self.device.get_or_init(|| self.known.device())
    }

    /// What it says of whom to ask.
    pub fn says(&self) -> Option<&Says> {
        self.says.get_or_init(|| Says::of(&self.known)).as_ref()
    }

    /// `it` was made of what the stream is now, and of `beside`.
    pub const fn made<B, T>(&self, beside: B, it: T) -> Made<B, T> {
        Made { change: self.changes, beside, since: Cell::new(None), it }
    }

    /// Notes what it is to others. Answers whether it was something else before.
    pub fn enrol(&mut self) -> bool {
        if self.roll.is_some_and(|(change, _)| change == self.changes) {
            return false;
        }
        let before = self.roll.map(|(_, before)| before);
        let now = fingerprint(self);
        self.roll = Some((self.changes, now));
        before != Some(now)
    }

    /// Whether `made` was kept `since` then, and the stream has not changed either: nobody has to look.
    pub fn rests<B, T>(&self, made: &Option<Made<B, T>>, since: Option<Stamp>) -> bool {
        let made = made.as_ref().filter(|made| made.change == self.changes);
        since.is_some() && made.is_some_and(|made| made.since.get() == since)
    }

    /// What was made, when it would be made alike of what the stream is now and of `beside`.
    pub fn still<'a, B: PartialEq, T>(&self, made: &'a Option<Made<B, T>>, beside: &B) -> Option<&'a T> {
        let made = made.as_ref().filter(|made| made.change == self.changes && made.beside == *beside);
        made.map(|made| &made.it)
    }
}

impl From<Known> for Entry {
    fn from(known: Known) -> Self {
        Self {
            known,
            changes: 0,
            device: OnceCell::new(),
            says: OnceCell::new(),
            roll: None,
            written: None,
            named: None,
            told: None,
            judged: None,
            viewed: None,
        }
    }
}

impl Deref for Entry {
    type Target = Known;

    fn deref(&self) -> &Known {
        &self.known
    }
}

/// Whoever may change it is taken to have changed it.
impl DerefMut for Entry {
    fn deref_mut(&mut self) -> &mut Known {
        self.changes += 1;
        (self.device, self.says) = (OnceCell::new(), OnceCell::new());
        &mut self.known
    }
}
