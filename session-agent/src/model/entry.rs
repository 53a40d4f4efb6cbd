//! A stream with what was made of it, so that it is made anew only after the stream, or what counts beside it, changed.

use std::cell::OnceCell;
use std::ops::{Deref, DerefMut};

use super::Known;
use super::device_keys::Named;
use super::oat::Says;
use super::routes::Control;
use super::settle::{Rules, Written};
use super::views::Beside;
use super::why::Facts;

/// A stream with what was made of it.
#[derive(Debug)]
pub struct Entry {
    known: Known,
    changes: u64,
    /// The id of its device, once somebody asked.
    device: OnceCell<String>,
    /// What it says of whom to ask, likewise.
    says: OnceCell<Option<Says>>,
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
    /// What was made.
    pub it: T,
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
        Made { change: self.changes, beside, it }
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
