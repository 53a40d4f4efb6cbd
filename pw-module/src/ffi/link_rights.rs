//! Who may destroy a virtual link: whoever may change the node that it leads to. PipeWire itself asks only whether a
//! client may call methods of the link, which programs in a sandbox may of everything that they see.
//!
//! Every client that may not has an entry of its own for the link, without that right. It is made before the client is
//! served for the first time, so that what a session manager grants of everything does not reach the link. What it may
//! after that follows a little later, never from inside of a change: PipeWire goes on with pointers into the list of
//! entries there (pipewire/impl-client.c), which a new entry may move. A client that loses rights may use them until then.

use std::cell::UnsafeCell;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::NonNull;

use libspa_sys as spa;
use pipewire_sys as pw;

use super::Patch;
use super::fence::fence;
use super::interface::{empty_hook, remove_hook};
use super::virtual_link::Registry;

/// `PW_TYPE_INTERFACE_Client` (pipewire/client.h).
const CLIENT: &CStr = c"PipeWire:Interface:Client";

/// What clients may do with the node that a link leads to, watched. At a fixed address while PipeWire points to it.
pub(super) struct Rights(Box<Watch>);

struct Watch {
    hook: UnsafeCell<spa::spa_hook>,
    /// Alive as long as its ports and so as the link.
    node: NonNull<pw::pw_global>,
    patch: *const Patch,
}

impl Rights {
    /// Watches `node`, which outlives this, for `patch`, which does too.
    pub(super) fn new(node: NonNull<pw::pw_global>, patch: &Patch) -> Self {
        let watch = Box::new(Watch { hook: UnsafeCell::new(empty_hook()), node, patch });
        let data: *mut c_void = (&raw const *watch).cast_mut().cast();
        // SAFETY: the node is alive; the hook stays in its box until it is removed.
        unsafe { pw::pw_global_add_listener(node.as_ptr(), watch.hook.get(), &raw const EVENTS, data) };
        Self(watch)
    }

    /// Gives `client` its entry for `link`, or sees that it has no need of one.
    pub(super) fn limit(&self, link: NonNull<pw::pw_global>, client: NonNull<pw::pw_impl_client>) {
        // SAFETY: both are alive: the node as long as `self`, the client for this call.
        let node = unsafe { pw::pw_global_get_permissions(self.0.node.as_ptr(), client.as_ptr()) };
        // SAFETY: the link is alive for this call.
        let now = unsafe { pw::pw_global_get_permissions(link.as_ptr(), client.as_ptr()) };
        let may = node & pw::PW_PERM_W != 0;
        if may && now & pw::PW_PERM_X != 0 {
            return;
        }
        let permissions = if may { node } else { node & !pw::PW_PERM_X };
        // SAFETY: the link is alive for this call.
        let entry = pw::pw_permission { id: unsafe { pw::pw_global_get_id(link.as_ptr()) }, permissions };
        // SAFETY: the client is alive; the one entry is read during the call.
        unsafe { pw::pw_impl_client_update_permissions(client.as_ptr(), 1, &raw const entry) };
    }
}

impl Drop for Rights {
    fn drop(&mut self) {
        // SAFETY: the hook is ours; nobody else borrows it on this thread.
        remove_hook(unsafe { &mut *self.0.hook.get() });
    }
}

/// All clients.
pub(super) fn clients(registry: Registry) -> Vec<NonNull<pw::pw_impl_client>> {
    unsafe extern "C" fn collect(found: *mut c_void, global: *mut pw::pw_global) -> c_int {
        // SAFETY: `found` is the list below, borrowed by nobody else during the visit.
        let found = unsafe { &mut *found.cast::<Vec<NonNull<pw::pw_impl_client>>>() };
        // SAFETY: a global that is visited is alive, and its type is text that ends in NUL.
        if unsafe { pw::pw_global_is_type(global, CLIENT.as_ptr().cast::<c_char>()) } {
            // SAFETY: as above; the object of a global of this type is the client (pipewire/impl-client.c).
            found.extend(NonNull::new(unsafe { pw::pw_global_get_object(global) }.cast()));
        }
        0
    }
    let mut found = Vec::new();
    // SAFETY: the context is alive; the list outlives the visit.
    unsafe {
        pw::pw_context_for_each_global(registry.context.as_ptr(), Some(collect), (&raw mut found).cast());
    }
    found
}

static EVENTS: pw::pw_global_events = {
    // SAFETY: a table of optional functions may be zero: version 0 and nothing set.
    let mut table: pw::pw_global_events = unsafe { std::mem::zeroed() };
    table.permissions_changed = Some(permissions_changed);
    table
};

unsafe extern "C" fn permissions_changed(
    watch: *mut c_void,
    _client: *mut pw::pw_impl_client,
    _old: u32,
    _new: u32,
) {
    fence((), || {
        // SAFETY: the watch removes its hook before it goes, and the patch outlives it.
        unsafe { &*(*watch.cast::<Watch>()).patch }.limit_soon();
    });
}
