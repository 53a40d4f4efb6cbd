//! A node that sends what is linked to it: samples go to the pacer, which owns the stream.

use wireloom_units::{MediaIndex, Samples};

use super::World;
use crate::ffi::{Ports, Position};

/// The cycle side of a transmit node.
pub(crate) struct Transmit {
    slot: Option<usize>,
}

impl Transmit {
    /// A node that sends nothing yet.
    pub(crate) fn new() -> Self {
        Self { slot: None }
    }

    /// Sends by the pacer's place `slot` from now on; `None`: not at all. Returns the place used before.
    pub(crate) fn set_slot(&mut self, slot: Option<usize>) -> Option<usize> {
        std::mem::replace(&mut self.slot, slot)
    }

    /// One cycle.
    pub(crate) fn process(&mut self, world: &mut World, position: &Position, ports: &mut Ports<'_>) {
        let Some(slot) = self.slot else { return };
        world.transmit(slot, MediaIndex(position.index), Samples(position.frames), ports);
    }
}
