//! Values that tell whether they may have changed, so that what was made of them is made anew only then.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

static NEXT: AtomicU64 = AtomicU64::new(1);

/// A moment in the life of a value: no other moment of any value has the same one, not even that of its successor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp(u64);

impl Stamp {
    /// The moment now.
    pub fn new() -> Self {
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl Default for Stamp {
    fn default() -> Self {
        Self::new()
    }
}

/// A value with the moment at which it may have changed last. Whoever may change it is taken to have changed it.
#[derive(Debug, Clone, Default)]
pub struct Stamped<T> {
    value: T,
    stamp: Stamp,
}

impl<T> Stamped<T> {
    /// When it may have changed last.
    pub const fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// To change what nobody makes anything of.
    pub const fn quietly(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T> From<T> for Stamped<T> {
    fn from(value: T) -> Self {
        Self { value, stamp: Stamp::new() }
    }
}

impl<T> Deref for Stamped<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Stamped<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.stamp = Stamp::new();
        &mut self.value
    }
}

/// Alike are those of the same value, whenever that changed.
impl<T: PartialEq> PartialEq for Stamped<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Serialize> Serialize for Stamped<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Stamped<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_and_a_successor_have_stamps_of_their_own() {
        let mut value = Stamped::from(vec![1]);
        let first = value.stamp();
        assert_eq!((value.len(), value.stamp()), (1, first), "reading changes nothing");
        value.push(2);
        let second = value.stamp();
        assert_ne!(second, first);
        value.quietly().push(3);
        assert_eq!(value.stamp(), second);
        value = vec![1].into();
        assert!(value.stamp() != first && value.stamp() != second);
    }

    #[test]
    fn it_is_written_and_read_as_what_it_holds() {
        let value = Stamped::from(vec![1, 2]);
        let text = serde_json::to_string(&value).expect("can be written");
        assert_eq!(text, "[1,2]");
        assert_eq!(serde_json::from_str::<Stamped<Vec<i32>>>(&text).expect("can be read"), value);
    }
}
