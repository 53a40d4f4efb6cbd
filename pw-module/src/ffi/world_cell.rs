//! The one place where what belongs to the data loop is kept.

use std::cell::UnsafeCell;

use super::Loop;
use crate::rt::World;

/// Holds the [`World`] of the data loop at a fixed address.
pub(crate) struct WorldCell(UnsafeCell<World>);

impl WorldCell {
    /// Boxes `world`, so that callbacks can point to it.
    pub(crate) fn new(world: World) -> Box<Self> {
        Box::new(Self(UnsafeCell::new(world)))
    }

    /// The world, for code that runs on the data loop.
    ///
    /// # Safety
    /// Only on the data loop (or inside [`Loop::run`] of it), and the result is given up before anything is called
    /// that could come back here (`ready` of a driver runs other nodes on the spot in PipeWire 0.3.65).
    #[expect(clippy::mut_from_ref, reason = "one thread, one borrow at a time: see Safety")]
    pub(super) unsafe fn on_data_loop(&self) -> &mut World {
        // SAFETY: the caller keeps to one borrow on one thread.
        unsafe { &mut *self.0.get() }
    }

    /// Runs `f` with the world on the data loop and waits for it.
    pub(crate) fn with<R>(&self, data: Loop, f: impl FnOnce(&mut World) -> R) -> R {
        // SAFETY: on the data loop between two callbacks; `f` gets the only borrow and cannot keep it.
        data.run(|| f(unsafe { self.on_data_loop() }))
    }
}
