//! Two maps walked together, since most of what they hold is the same.

use std::collections::{BTreeMap, btree_map};
use std::iter::Peekable;
use std::sync::Arc;

/// Every id that `left` or `right` has, in order, with what each has.
pub fn side_by_side<'a, L, R>(
    left: &'a BTreeMap<String, L>,
    right: &'a BTreeMap<String, R>,
) -> SideBySide<'a, L, R> {
    SideBySide { left: left.iter().peekable(), right: right.iter().peekable() }
}

/// What is not shared between `old` and `new`, with what was and what is.
pub fn differing<'a, T>(
    old: &'a BTreeMap<String, Arc<T>>,
    new: &'a BTreeMap<String, Arc<T>>,
) -> impl Iterator<Item = (&'a str, Option<&'a Arc<T>>, Option<&'a Arc<T>>)> {
    side_by_side(old, new).filter(|(_, old, new)| match (old, new) {
        (Some(old), Some(new)) => !Arc::ptr_eq(old, new),
        _ => true,
    })
}

/// See [`side_by_side`].
pub struct SideBySide<'a, L, R> {
    left: Peekable<btree_map::Iter<'a, String, L>>,
    right: Peekable<btree_map::Iter<'a, String, R>>,
}

impl<'a, L, R> Iterator for SideBySide<'a, L, R> {
    type Item = (&'a str, Option<&'a L>, Option<&'a R>);

    fn next(&mut self) -> Option<Self::Item> {
        let id = match (self.left.peek(), self.right.peek()) {
            (Some((left, _)), Some((right, _))) => (*left).min(*right),
            (Some((id, _)), None) | (None, Some((id, _))) => *id,
            (None, None) => return None,
        };
        let left = self.left.next_if(|(left, _)| *left == id).map(|(_, value)| value);
        let right = self.right.next_if(|(right, _)| *right == id).map(|(_, value)| value);
        Some((id, left, right))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(text: &str) -> BTreeMap<String, Arc<char>> {
        text.chars().map(|id| (id.to_string(), Arc::new(id))).collect()
    }

    #[test]
    fn every_id_comes_once_with_what_each_side_has() {
        let (old, new) = (map("abdf"), map("bcdg"));
        let seen: Vec<_> =
            side_by_side(&old, &new).map(|(id, old, new)| (id, old.is_some(), new.is_some())).collect();
        let expected = [("a", true, false), ("b", true, true), ("c", false, true), ("d", true, true)];
        assert_eq!(seen[..4], expected);
        assert_eq!(seen[4..], [("f", true, false), ("g", false, true)]);
    }

    #[test]
    fn what_is_shared_does_not_differ() {
        let old = map("abc");
        let mut new = old.clone();
        new.insert("b".to_owned(), Arc::new('b'));
        new.remove("c");
        let seen: Vec<_> = differing(&old, &new).map(|(id, ..)| id).collect();
        assert_eq!(seen, ["b", "c"]);
    }
}
