//! Two cursors: received octets are taken, never indexed; emitted ones are put into a checked buffer.

use super::WireError;

/// What is left of a received message.
pub(super) struct Taker<'a> {
    rest: &'a [u8],
    total: usize,
}

impl<'a> Taker<'a> {
    pub(super) const fn new(octets: &'a [u8]) -> Self {
        Self { rest: octets, total: octets.len() }
    }

    pub(super) fn take<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let needed = self.total - self.rest.len() + N;
        let (head, rest) =
            self.rest.split_first_chunk::<N>().ok_or(WireError::Truncated { needed, got: self.total })?;
        self.rest = rest;
        Ok(*head)
    }

    pub(super) fn u8(&mut self) -> Result<u8, WireError> {
        self.take::<1>().map(|[octet]| octet)
    }

    pub(super) fn u16(&mut self) -> Result<u16, WireError> {
        self.take().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, WireError> {
        self.take().map(u32::from_be_bytes)
    }

    pub(super) const fn rest(self) -> &'a [u8] {
        self.rest
    }
}

/// A buffer being filled. Running over its end loses octets, so its size is checked before.
pub(super) struct Putter<'a> {
    octets: &'a mut [u8],
    length: usize,
}

impl<'a> Putter<'a> {
    pub(super) const fn new(octets: &'a mut [u8]) -> Self {
        Self { octets, length: 0 }
    }

    pub(super) fn put(&mut self, octets: &[u8]) {
        let end = self.length.saturating_add(octets.len());
        if let Some(place) = self.octets.get_mut(self.length..end) {
            place.copy_from_slice(octets);
            self.length = end;
        }
    }
}
