//! `spa_io_clock` and `spa_io_position`: what a driver writes and what a node reads every cycle.

use libspa_sys::{spa_io_clock, spa_io_position};

/// Bit 4 of `spa_io_clock.flags`: the position jumped (named in PipeWire 1.5.81; harmless before).
const FLAG_DISCONT: u32 = 1 << 4;

/// `spa_io_clock` as of 0.3.68, which gave names to what 0.3.65 calls padding.
#[repr(C)]
struct TargetClock {
    old: [u8; 128],
    target_rate_num: u32,
    target_rate_denom: u32,
    target_duration: u64,
    target_seq: u32,
    cycle: u32,
    xrun: u64,
}

const _: () = assert!(size_of::<TargetClock>() == size_of::<spa_io_clock>());

/// What a node knows of the cycle it is in.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Position {
    /// Id of the clock that drives the graph: the driver's node id.
    pub clock_id: u32,
    /// First sample of the cycle, on the driver's count.
    pub index: u64,
    /// Samples of the cycle.
    pub frames: u32,
    /// Samples a second.
    pub rate: u32,
    /// Scheduled start of the cycle, CLOCK_MONOTONIC nanoseconds.
    pub nsec: u64,
    /// Samples of the driver's clock in a nominal sample of CLOCK_MONOTONIC.
    pub rate_diff: f64,
}

/// The clock area that PipeWire gave to a driver, written once a cycle.
pub(crate) struct ClockArea {
    clock: *mut spa_io_clock,
    position: *mut spa_io_position,
    has_targets: bool,
}

// SAFETY: the areas are shared memory that PipeWire keeps mapped until it calls `set_io` again; the pointers are
// swapped only on the data loop, and read only there.
unsafe impl Send for ClockArea {}

impl ClockArea {
    /// An area that is not there yet; `has_targets` from 0.3.68 on.
    pub(super) const fn empty(has_targets: bool) -> Self {
        Self { clock: std::ptr::null_mut(), position: std::ptr::null_mut(), has_targets }
    }

    pub(super) fn set_clock(&mut self, clock: *mut spa_io_clock) {
        self.clock = clock;
    }

    pub(super) fn set_position(&mut self, position: *mut spa_io_position) {
        self.position = position;
    }

    /// Whether this node drives the graph: it has both areas and the position is its own clock's.
    pub(crate) fn is_driving(&self) -> bool {
        // SAFETY: non-null areas stay mapped until replaced, which happens on this same loop.
        !self.clock.is_null()
            && !self.position.is_null()
            && unsafe { (*self.position).clock.id == (*self.clock).id }
    }

    /// Id of this node's clock; 0 before PipeWire has given one.
    pub(crate) fn id(&self) -> u32 {
        // SAFETY: as above.
        if self.clock.is_null() { 0 } else { unsafe { (*self.clock).id } }
    }

    /// Samples of the coming cycle and samples a second, as the graph wants them. 0 while unknown.
    pub(crate) fn wanted(&self) -> (u32, u32) {
        if self.position.is_null() {
            return (0, 0);
        }
        let found = if self.has_targets {
            self.targets()
        } else {
            // SAFETY: as above.
            unsafe { ((*self.position).clock.duration, (*self.position).clock.rate.denom) }
        };
        (u32::try_from(found.0).unwrap_or(0), found.1)
    }

    /// Reads target duration and rate, which the main loop writes under a sequence counter (odd while writing).
    fn targets(&self) -> (u64, u32) {
        let area = self.position.cast::<TargetClock>();
        for _ in 0..16 {
            // SAFETY: the position begins with its clock; volatile because another thread writes it.
            let before = unsafe { (&raw const (*area).target_seq).read_volatile() };
            // SAFETY: as above.
            let duration = unsafe { (&raw const (*area).target_duration).read_volatile() };
            // SAFETY: as above.
            let rate = unsafe { (&raw const (*area).target_rate_denom).read_volatile() };
            std::sync::atomic::fence(std::sync::atomic::Ordering::Acquire);
            // SAFETY: as above.
            let after = unsafe { (&raw const (*area).target_seq).read_volatile() };
            if before == after && before % 2 == 0 {
                return (duration, rate);
            }
        }
        // SAFETY: as above; the running cycle's values are the best guess while the others keep changing.
        unsafe { ((*self.position).clock.duration, (*self.position).clock.rate.denom) }
    }

    /// Samples of the cycle that has just been started; 0.3.65 changes them while it starts.
    pub(crate) fn duration(&self) -> u32 {
        if self.position.is_null() {
            return 0;
        }
        // SAFETY: as above.
        u32::try_from(unsafe { (*self.position).clock.duration }).unwrap_or(0)
    }

    /// Writes the cycle that is about to start.
    pub(crate) fn write(&mut self, cycle: &Cycle) {
        if self.clock.is_null() {
            return;
        }
        // SAFETY: the clock area is ours to write on the data loop while we drive; nothing else borrows it.
        let clock = unsafe { &mut *self.clock };
        if cycle.discontinuity {
            clock.flags |= FLAG_DISCONT;
        } else {
            clock.flags &= !FLAG_DISCONT;
        }
        clock.nsec = cycle.nsec;
        clock.position = cycle.index;
        clock.delay = 0;
        clock.rate_diff = cycle.rate_diff;
        clock.next_nsec = cycle.next_nsec;
        if self.has_targets {
            clock.duration = u64::from(cycle.frames);
            clock.rate = libspa_sys::spa_fraction { num: 1, denom: cycle.rate };
            if cycle.skipped > 0 {
                // SAFETY: same memory, later layout; checked by the size assertion above.
                unsafe { (*self.clock.cast::<TargetClock>()).xrun += cycle.skipped };
            }
        }
    }

    /// Writes the name by which followers see that they share this clock.
    pub(super) fn write_name(&mut self, name: &str) {
        if self.clock.is_null() {
            return;
        }
        // SAFETY: as in `write`; called on the data loop.
        let field = unsafe { &mut (*self.clock).name };
        let last = field.len() - 1;
        for (slot, byte) in field.iter_mut().take(last).zip(name.bytes().chain(std::iter::repeat(0))) {
            *slot = byte as std::ffi::c_char;
        }
    }
}

/// A cycle as the driver starts it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Cycle {
    /// First sample.
    pub index: u64,
    /// Samples.
    pub frames: u32,
    /// Samples a second.
    pub rate: u32,
    /// Scheduled start, CLOCK_MONOTONIC nanoseconds.
    pub nsec: u64,
    /// Scheduled start of the next cycle.
    pub next_nsec: u64,
    /// Seconds of the network's clock in a second of CLOCK_MONOTONIC.
    pub rate_diff: f64,
    /// The index does not follow on the last cycle's.
    pub discontinuity: bool,
    /// Samples that were left out before this cycle.
    pub skipped: u64,
}

/// Reads what a node needs to know of the running cycle; `None` while there is no position area.
pub(super) fn read_position(position: *const spa_io_position) -> Option<Position> {
    if position.is_null() {
        return None;
    }
    // SAFETY: non-null areas stay mapped until replaced on this same loop; the driver wrote them before this cycle.
    let clock = unsafe { &(*position).clock };
    Some(Position {
        clock_id: clock.id,
        index: clock.position,
        frames: u32::try_from(clock.duration).unwrap_or(0),
        rate: clock.rate.denom,
        nsec: clock.nsec,
        rate_diff: clock.rate_diff,
    })
}
