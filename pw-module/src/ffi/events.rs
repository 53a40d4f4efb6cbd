//! Main loop sources: an event that any thread may signal, and a repeating timer.

use std::ffi::{c_int, c_void};
use std::ptr::NonNull;

use libspa_sys::{spa_loop_utils, spa_loop_utils_methods, spa_source, timespec};

use super::interface::call;
use super::{Loop, fence::fence};

type Callback = Box<dyn FnMut()>;

fn utils(main: Loop) -> *mut spa_loop_utils {
    // SAFETY: the main loop lives as long as the context.
    unsafe { (*main.as_ptr()).utils }
}

/// A wake-up of the main loop; signalled from any thread, coalesced until it has run.
pub(crate) struct MainEvent {
    main: Loop,
    source: NonNull<spa_source>,
    callback: *mut Callback,
}

impl MainEvent {
    /// An event that runs `callback` on the main loop after every signal. `None` when descriptors are used up.
    pub(crate) fn new(main: Loop, callback: impl FnMut() + 'static) -> Option<Self> {
        unsafe extern "C" fn run(data: *mut c_void, _count: u64) {
            // SAFETY: `data` is the callback below, alive until the source is destroyed.
            fence((), || unsafe { (*data.cast::<Callback>())() });
        }
        let callback: *mut Callback = Box::into_raw(Box::new(Box::new(callback) as Callback));
        let source = call!(
            utils(main),
            spa_loop_utils_methods,
            std::ptr::null_mut(),
            add_event(Some(run), callback.cast())
        );
        match NonNull::new(source) {
            Some(source) => Some(Self { main, source, callback }),
            None => {
                // SAFETY: made by `into_raw` above and given to nobody.
                drop(unsafe { Box::from_raw(callback) });
                None
            }
        }
    }

    /// Runs the callback soon; never from inside this call.
    pub(crate) fn signal(&self) {
        call!(utils(self.main), spa_loop_utils_methods, -libc::ENOTSUP, signal_event(self.source.as_ptr()));
    }
}

impl Drop for MainEvent {
    fn drop(&mut self) {
        call!(utils(self.main), spa_loop_utils_methods, (), destroy_source(self.source.as_ptr()));
        // SAFETY: made by `into_raw`; the source that used it is gone.
        drop(unsafe { Box::from_raw(self.callback) });
    }
}

/// A repeating timer of the main loop, off until it is set.
pub(crate) struct MainTimer {
    main: Loop,
    source: NonNull<spa_source>,
    callback: *mut Callback,
}

impl MainTimer {
    /// A timer that runs `callback` on the main loop. `None` when descriptors are used up.
    pub(crate) fn new(main: Loop, callback: impl FnMut() + 'static) -> Option<Self> {
        unsafe extern "C" fn run(data: *mut c_void, _expirations: u64) {
            // SAFETY: `data` is the callback below, alive until the source is destroyed.
            fence((), || unsafe { (*data.cast::<Callback>())() });
        }
        let callback: *mut Callback = Box::into_raw(Box::new(Box::new(callback) as Callback));
        let source = call!(
            utils(main),
            spa_loop_utils_methods,
            std::ptr::null_mut(),
            add_timer(Some(run), callback.cast())
        );
        match NonNull::new(source) {
            Some(source) => Some(Self { main, source, callback }),
            None => {
                // SAFETY: made by `into_raw` above and given to nobody.
                drop(unsafe { Box::from_raw(callback) });
                None
            }
        }
    }

    /// Fires every `millis` milliseconds from now on; 0 switches the timer off.
    pub(crate) fn set_interval_ms(&self, millis: u32) {
        let mut span =
            timespec { tv_sec: i64::from(millis / 1000), tv_nsec: i64::from(millis % 1000) * 1_000_000 };
        let mut interval = span;
        let _: c_int = call!(
            utils(self.main),
            spa_loop_utils_methods,
            -libc::ENOTSUP,
            update_timer(self.source.as_ptr(), &raw mut span, &raw mut interval, false)
        );
    }
}

impl Drop for MainTimer {
    fn drop(&mut self) {
        call!(utils(self.main), spa_loop_utils_methods, (), destroy_source(self.source.as_ptr()));
        // SAFETY: made by `into_raw`; the source that used it is gone.
        drop(unsafe { Box::from_raw(self.callback) });
    }
}
