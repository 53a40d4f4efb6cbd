//! Timers of the data loop: one-shot timerfds on CLOCK_MONOTONIC, armed for an absolute time.

use std::ffi::c_void;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use libspa_sys::spa_source;

use super::fence::fence;
use super::rt_watch::Watched;
use super::{Loop, WorldCell};

/// A timerfd on CLOCK_MONOTONIC. Arming and reading it are allowed on the data loop.
pub(crate) struct TimerFd(OwnedFd);

impl TimerFd {
    /// A timer that is off.
    pub(crate) fn new() -> std::io::Result<Self> {
        // SAFETY: no pointers; the result is checked.
        let fd =
            unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC | libc::TFD_NONBLOCK) };
        if fd < 0 {
            return Err(std::io::Error::last_os_error());
        }
        // SAFETY: a fresh descriptor that nobody else owns.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Fires once when CLOCK_MONOTONIC reads `nanos`, at once when that is past. 0 and less count as 1.
    pub(crate) fn arm(&self, nanos: i64) {
        let nanos = nanos.max(1);
        self.set(libc::timespec { tv_sec: nanos / 1_000_000_000, tv_nsec: nanos % 1_000_000_000 });
    }

    /// Switches the timer off.
    pub(crate) fn disarm(&self) {
        self.set(libc::timespec { tv_sec: 0, tv_nsec: 0 });
    }

    fn set(&self, value: libc::timespec) {
        let zero = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let setting = libc::itimerspec { it_interval: zero, it_value: value };
        // SAFETY: a live descriptor and a valid setting; the old one is not asked for.
        unsafe {
            libc::timerfd_settime(
                self.0.as_raw_fd(),
                libc::TFD_TIMER_ABSTIME,
                &raw const setting,
                std::ptr::null_mut(),
            )
        };
    }

    /// Takes note that it fired, so that the loop does not call again. To set it anew does the same.
    pub(super) fn acknowledge(&self) {
        let mut count = 0_u64;
        // SAFETY: eight bytes are read into eight bytes; the descriptor does not block.
        unsafe { libc::read(self.0.as_raw_fd(), (&raw mut count).cast::<c_void>(), 8) };
    }
}

/// The timer that sends packets when they are due: calls [`crate::rt::World::send_due`] on the data loop.
pub(crate) struct Pacemaker {
    data: Loop,
    inner: Box<PacemakerSource>,
}

struct PacemakerSource {
    source: spa_source,
    world: *const WorldCell,
}

impl Pacemaker {
    /// Puts the pacer's timer of `world` on the data loop. `world` outlives the result (both are owned by the module,
    /// which drops this first).
    pub(crate) fn new(data: Loop, world: &WorldCell) -> Self {
        unsafe extern "C" fn fired(source: *mut spa_source) {
            // SAFETY: `data` is the `PacemakerSource` that holds this source, alive while it is on the loop.
            let inner = unsafe { &*(*source).data.cast::<PacemakerSource>() };
            let done = fence(false, || {
                let _watched = Watched::begin();
                // SAFETY: this is the data loop, and nothing that holds the world calls into the loop.
                unsafe { (*inner.world).on_data_loop() }.send_due();
                true
            });
            if !done {
                // It was not set anew, and would fire for ever.
                // SAFETY: as above.
                unsafe { (*inner.world).on_data_loop() }.pacer_timer().acknowledge();
            }
        }
        // SAFETY: all-zero is valid for `spa_source`; the fields that matter are set below.
        let source = unsafe { std::mem::zeroed::<spa_source>() };
        let mut inner = Box::new(PacemakerSource { source, world });
        let pointer: *mut PacemakerSource = &raw mut *inner;
        inner.source.func = Some(fired);
        inner.source.data = pointer.cast();
        inner.source.mask = libspa_sys::SPA_IO_IN;
        // SAFETY: on the data loop inside `run`, so nothing else uses the world.
        inner.source.fd = data.run(|| unsafe { world.on_data_loop().pacer_timer().0.as_raw_fd() });
        // SAFETY: the source stays in its box until `drop` takes it off the loop.
        data.add_source(unsafe { &raw mut (*pointer).source });
        Self { data, inner }
    }
}

impl Drop for Pacemaker {
    fn drop(&mut self) {
        let source: *mut spa_source = &raw mut self.inner.source;
        self.data.run(|| self.data.remove_source(source));
    }
}

impl TimerFd {
    pub(super) fn descriptor(&self) -> std::ffi::c_int {
        self.0.as_raw_fd()
    }
}
