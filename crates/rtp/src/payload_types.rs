use wireloom_units::{MediaIndex, Rate};

use crate::MAX_LEGS;

/// Which payload type is taken (`aes67` 3.1), on each leg for itself: each has a description of its own, and some
/// senders number them differently (as the examples of RFC 7104 §4 do).
pub(crate) struct PayloadTypes {
    wanted: [u8; MAX_LEGS],
    /// Another type, and since when it alone has come.
    other: [Option<(u8, MediaIndex)>; MAX_LEGS],
}

impl PayloadTypes {
    pub const fn new(wanted: u8) -> Self {
        Self { wanted: [wanted; MAX_LEGS], other: [None; MAX_LEGS] }
    }

    /// The type that is taken on `leg`.
    pub fn wanted(&self, leg: usize) -> u8 {
        let [first, ..] = self.wanted;
        self.wanted.get(leg).copied().unwrap_or(first)
    }

    pub fn admit(&mut self, now: MediaIndex, leg: usize, payload_type: u8, rate: Rate) -> bool {
        let (Some(wanted), Some(other)) = (self.wanted.get_mut(leg), self.other.get_mut(leg)) else {
            return false;
        };
        if payload_type == *wanted {
            *other = None;
            return true;
        }
        let since = match *other {
            Some((known, since)) if known == payload_type && since <= now => since,
            _ => now,
        };
        *other = Some((payload_type, since));
        if now.since(since) < i64::from(rate.hz()) {
            return false;
        }
        *wanted = payload_type;
        *other = None;
        true
    }
}
