use super::{Change, Hearing, SapError, State, StreamId};
use crate::{Origin, Refusal, Stream, Warning};

/// What happened. Ids lead to the stream with [`crate::SapListener::stream`] until `Gone` was polled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SapEvent {
    /// A stream that was not known.
    Found(StreamId),
    /// A known stream is described otherwise.
    Changed {
        /// Which.
        id: StreamId,
        /// How much.
        change: Change,
        /// Its sender changed its address.
        moved: bool,
    },
    /// Not heard for three periods.
    Stale(StreamId),
    /// Heard again, after it was stale, unannounced or withdrawn.
    Back(StreamId),
    /// Deleted by its sender while in use; it goes when it is no longer used, at the latest after 60 s.
    Withdrawn(StreamId),
    /// Forgotten.
    Gone(StreamId, Gone),
    /// An announcement that nothing can be played of, or another reason for one: see
    /// [`crate::SapListener::unreadable`].
    Unreadable(StreamId),
    /// Events were lost because nobody polled: compare with [`crate::SapListener::streams`].
    Overflow,
}

/// Why a stream was forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// Its sender deleted it.
    Deleted,
    /// Nothing was heard for ten periods.
    Silent,
    /// Its stop time passed.
    Ended,
    /// Its session is described without it now, or can be read now.
    Replaced,
    /// Others needed the room.
    Evicted,
}

/// How many datagrams had which fate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Received in all.
    pub received: u64,
    /// Heard again without a change.
    pub refreshed: u64,
    /// Our own.
    pub own: u64,
    /// Of version 0.
    pub version_0: u64,
    /// Truncated.
    pub short: u64,
    /// Of an unknown version.
    pub version: u64,
    /// Encrypted.
    pub encrypted: u64,
    /// Not to be unpacked.
    pub compressed: u64,
    /// Not SDP.
    pub payload_type: u64,
    /// Described nothing playable.
    pub unreadable: u64,
    /// Deletions by another host than the announcer.
    pub forged: u64,
    /// Deletions of nothing known.
    pub unknown_deletion: u64,
    /// Over a rate limit.
    pub too_fast: u64,
    /// No room.
    pub full: u64,
    /// Entries that made room for others.
    pub evicted: u64,
}

/// A stream and how it is heard.
#[derive(Debug, Clone, Copy)]
pub struct Heard<'a> {
    /// Its name here.
    pub id: StreamId,
    /// Its latest description.
    pub stream: &'a Stream,
    /// What is not as it should be in its description.
    pub warnings: &'a [Warning],
    /// How sure it is.
    pub state: State,
    /// By which ways.
    pub via: &'a [Hearing],
    /// The description as received.
    pub raw: &'a [u8],
}

/// An announcement of which nothing can be played: there is a device, and its description is broken.
#[derive(Debug, Clone, Copy)]
pub struct Unreadable<'a> {
    /// Its name here.
    pub id: StreamId,
    /// Why.
    pub refusal: &'a Refusal,
    /// Who announced it.
    pub origin: &'a Origin,
    /// By which ways it is heard.
    pub via: &'a [Hearing],
    /// The description as received.
    pub raw: &'a [u8],
}

impl Counters {
    pub(super) const ZERO: Self = Self {
        received: 0,
        refreshed: 0,
        own: 0,
        version_0: 0,
        short: 0,
        version: 0,
        encrypted: 0,
        compressed: 0,
        payload_type: 0,
        unreadable: 0,
        forged: 0,
        unknown_deletion: 0,
        too_fast: 0,
        full: 0,
        evicted: 0,
    };

    pub(super) fn count(&mut self, error: SapError) {
        let counter = match error {
            SapError::Short { .. } => &mut self.short,
            SapError::Version(_) => &mut self.version,
            SapError::Encrypted => &mut self.encrypted,
            SapError::Compressed => &mut self.compressed,
            SapError::PayloadType => &mut self.payload_type,
            SapError::Forged => &mut self.forged,
            SapError::UnknownDeletion => &mut self.unknown_deletion,
            SapError::TooFast => &mut self.too_fast,
            SapError::Full => &mut self.full,
        };
        *counter += 1;
    }
}
