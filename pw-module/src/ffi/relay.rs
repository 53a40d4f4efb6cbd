//! Links between two other devices that carry audio through this computer, because the devices share no language.

use std::cell::UnsafeCell;
use std::ffi::c_void;

use libspa_sys as spa;
use pipewire_sys as pw;

use super::fence::fence;
use super::interface::{empty_hook, remove_hook};
use super::{Dictionary, Patch};

/// A real link that is marked in the registry. At a fixed address while PipeWire points to it.
pub(super) struct Relay {
    hook: UnsafeCell<spa::spa_hook>,
    link: *mut pw::pw_impl_link,
    patch: *const Patch,
}

impl Relay {
    /// Watches `link`, which is not registered yet, for `patch`, which outlives this.
    pub(super) fn new(link: *mut pw::pw_impl_link, patch: &Patch) -> Box<Self> {
        let relay = Box::new(Self { hook: UnsafeCell::new(empty_hook()), link, patch });
        let data: *mut c_void = (&raw const *relay).cast_mut().cast();
        // SAFETY: the link is alive: it is being made; the hook stays in its box until it is removed.
        unsafe { pw::pw_impl_link_add_listener(link, relay.hook.get(), &raw const EVENTS, data) };
        relay
    }

    /// Which link it is.
    pub(super) fn link(&self) -> *mut pw::pw_impl_link {
        self.link
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // SAFETY: the hook is ours; nobody else borrows it on this thread.
        remove_hook(unsafe { &mut *self.hook.get() });
    }
}

static EVENTS: pw::pw_impl_link_events = {
    // SAFETY: a table of optional functions may be zero: version 0 and nothing set.
    let mut table: pw::pw_impl_link_events = unsafe { std::mem::zeroed() };
    table.destroy = Some(destroyed);
    table.initialized = Some(initialized);
    table
};

/// The link's global has been made and is about to be registered: its properties may still be set.
unsafe extern "C" fn initialized(data: *mut c_void) {
    fence((), || {
        // SAFETY: `data` is the relay, alive until its hook is removed; its link is alive.
        let global = unsafe { pw::pw_impl_link_get_global((*data.cast::<Relay>()).link) };
        if global.is_null() {
            return;
        }
        let mut mark = Dictionary::default();
        mark.set("wireloom.relay", "true");
        let keys = [c"wireloom.relay".as_ptr(), std::ptr::null()];
        // SAFETY: the global is not registered yet; the keys end with null.
        mark.with_raw(|dict| unsafe { pw::pw_global_update_keys(global, dict, keys.as_ptr()) });
    });
}

unsafe extern "C" fn destroyed(data: *mut c_void) {
    fence((), || {
        // SAFETY: as in `initialized`; both fields are copied before the relay is dropped.
        let (patch, link) = unsafe { ((*data.cast::<Relay>()).patch, (*data.cast::<Relay>()).link) };
        // SAFETY: the patch owns its relays and so outlives them.
        unsafe { &*patch }.link_removed(link);
    });
}
