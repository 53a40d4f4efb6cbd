//! A test's eye on our real-time code: tells an interposed library, if one is loaded, when such code runs.
//!
//! `tests/interop/rt-guard.c` is such a library: it aborts when memory is allocated, a lock is taken or a system call
//! is made that real-time code must not make. Without one this costs a load and a branch.

use std::ffi::{CStr, c_void};
use std::sync::atomic::{AtomicPtr, Ordering};

static ENTER: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
static LEAVE: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());

/// Looks for the library; called once, when the module is loaded.
pub(crate) fn find() {
    for (slot, name) in [(&ENTER, c"wireloom_rt_enter"), (&LEAVE, c"wireloom_rt_leave")] {
        slot.store(symbol(name), Ordering::Relaxed);
    }
}

fn symbol(name: &CStr) -> *mut c_void {
    // SAFETY: a NUL-terminated name.
    unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) }
}

fn call(slot: &AtomicPtr<c_void>) {
    let function = slot.load(Ordering::Relaxed);
    if !function.is_null() {
        // SAFETY: both functions of the library take nothing and return nothing (rt-guard.c).
        unsafe { std::mem::transmute::<*mut c_void, unsafe extern "C" fn()>(function)() };
    }
}

/// Real-time code runs as long as this lives. Dropped also when it panics.
pub(super) struct Watched(());

impl Watched {
    pub(super) fn begin() -> Self {
        call(&ENTER);
        Self(())
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        call(&LEAVE);
    }
}
