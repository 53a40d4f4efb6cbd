//! PipeWire's event loops.

use std::ffi::{CStr, c_int, c_void};
use std::ptr::NonNull;

use libspa_sys::{spa_loop, spa_loop_methods, spa_source};
use pipewire_sys::pw_loop;

use super::interface::call;

/// One of PipeWire's event loops: the main loop or a data loop. Alive as long as the context is.
#[derive(Clone, Copy)]
pub(crate) struct Loop(NonNull<pw_loop>);

type Trampoline = unsafe extern "C" fn(*mut spa_loop, bool, u32, *const c_void, usize, *mut c_void) -> c_int;

/// `pw_loop` as of 1.2, which appended the name.
#[repr(C)]
struct NamedLoop {
    old: pw_loop,
    name: *const std::ffi::c_char,
}

impl Loop {
    pub(super) fn from_raw(pointer: *mut pw_loop) -> Option<Self> {
        NonNull::new(pointer).map(Self)
    }

    pub(super) fn as_ptr(self) -> *mut pw_loop {
        self.0.as_ptr()
    }

    /// The name of a loop that `pw_context_acquire_loop` gave (PipeWire 1.2 and later have the field).
    pub(super) fn name(self) -> Option<String> {
        // SAFETY: called only for loops from `pw_context_acquire_loop`, whose struct ends with the name.
        let name = unsafe { (*self.0.as_ptr().cast::<NamedLoop>()).name };
        if name.is_null() {
            return None;
        }
        // SAFETY: the loop's name is NUL-terminated and lives as long as the loop.
        Some(unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned())
    }

    fn interface(self) -> *mut spa_loop {
        // SAFETY: a `pw_loop` is alive as long as its context, and so is the `spa_loop` in it.
        unsafe { (*self.0.as_ptr()).loop_ }
    }

    /// Runs `f` on this loop's thread and waits for its result. On that thread itself, and when the loop has been
    /// stopped, `f` runs at once.
    pub(crate) fn run<R>(self, f: impl FnOnce() -> R) -> R {
        struct Job<F, R> {
            f: Option<F>,
            result: Option<R>,
        }
        unsafe extern "C" fn trampoline<F: FnOnce() -> R, R>(
            _: *mut spa_loop,
            _: bool,
            _: u32,
            _: *const c_void,
            _: usize,
            job: *mut c_void,
        ) -> c_int {
            // SAFETY: `job` is the `Job` below; its owner waits for this call, so nobody else touches it.
            let job = unsafe { &mut *job.cast::<Job<F, R>>() };
            if let Some(f) = job.f.take() {
                // The fence comes first: the first use of a thread's own variables allocates them, once, and the first
                // closure that runs on the data loop does so when the module is loaded, not in a cycle.
                job.result = super::fence::fence(None, || {
                    let _watched = super::rt_watch::Watched::begin();
                    Some(f())
                });
            }
            0
        }
        /// The trampoline for this kind of job; closures have no name by which to ask for it.
        fn trampoline_of<F: FnOnce() -> R, R>(_: &Job<F, R>) -> Trampoline {
            trampoline::<F, R>
        }
        let mut job = Job { f: Some(f), result: None };
        let trampoline = trampoline_of(&job);
        let pointer: *mut c_void = (&raw mut job).cast();
        call!(
            self.interface(),
            spa_loop_methods,
            -libc::ENOTSUP,
            invoke(Some(trampoline), 0, std::ptr::null(), 0, true, pointer)
        );
        match (job.result, job.f) {
            (Some(result), _) => result,
            // The loop refused the job without running it (it is being torn down): nothing else runs there any more.
            (None, Some(f)) => f(),
            (None, None) => panic!("a closure on the data loop panicked"),
        }
    }

    /// Adds `source` to the loop; it must stay where it is until [`Loop::remove_source`].
    pub(super) fn add_source(self, source: *mut spa_source) -> c_int {
        call!(self.interface(), spa_loop_methods, -libc::ENOTSUP, add_source(source))
    }

    /// Takes `source` off the loop; to be called on the loop's own thread (inside [`Loop::run`]).
    pub(super) fn remove_source(self, source: *mut spa_source) {
        call!(self.interface(), spa_loop_methods, -libc::ENOTSUP, remove_source(source));
    }
}
