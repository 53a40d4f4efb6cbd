//! Methods of SPA interfaces and lists of listeners: macros in C, so written out here.

use libspa_sys::{spa_hook, spa_hook_list, spa_interface, spa_list};

/// Calls a method of a SPA object: `call!(object, table type, method(arguments))`, giving the method's result or
/// `$missing` when the table has no such method (spa/utils/hook.h, `spa_interface_call_res`).
macro_rules! call {
    ($object:expr, $table:ty, $missing:expr, $method:ident($($argument:expr),*)) => {{
        let interface = $object.cast::<libspa_sys::spa_interface>();
        // SAFETY: every SPA object begins with its `spa_interface` (spa/utils/hook.h); the caller holds it alive.
        let callbacks = unsafe { (*interface).cb };
        // SAFETY: `funcs` of an interface points to the method table of its type for the object's whole life.
        match unsafe { (*callbacks.funcs.cast::<$table>()).$method } {
            // SAFETY: the table's methods take the interface's `data` as their object.
            Some(method) => unsafe { method(callbacks.data, $($argument),*) },
            None => $missing,
        }
    }};
}
pub(super) use call;

/// Calls `f` with table and data of every listener of `list`, first to last. A listener may remove itself.
pub(super) fn for_each_hook(
    list: &mut spa_hook_list,
    mut f: impl FnMut(*const core::ffi::c_void, *mut core::ffi::c_void),
) {
    let end: *mut spa_list = &raw mut list.list;
    let mut link = list.list.next;
    while link != end && !link.is_null() {
        // A `spa_hook` begins with its list node (spa/utils/hook.h).
        let hook = link.cast::<spa_hook>();
        // SAFETY: the list links live hooks only, as spa/utils/hook.h keeps it.
        let (next, callbacks) = unsafe { ((*link).next, (*hook).cb) };
        if !callbacks.funcs.is_null() {
            f(callbacks.funcs, callbacks.data);
        }
        link = next;
    }
}

/// A hook that links to nothing, ready to be given to an `add_listener`.
pub(super) fn empty_hook() -> spa_hook {
    // SAFETY: all of `spa_hook` may be zero: pointers and an optional function.
    unsafe { core::mem::zeroed() }
}

/// Takes a hook off its list, if it is on one; does nothing the second time.
pub(super) fn remove_hook(hook: &mut spa_hook) {
    if hook.link.next.is_null() {
        return;
    }
    // SAFETY: the hook is linked, and its list and neighbours are alive as long as it is.
    unsafe { libspa_sys::spa_hook_remove(hook) };
    *hook = empty_hook();
}

/// An interface of type `kind` (NUL-terminated) whose methods are `table` and whose object is `data`.
pub(super) fn interface(
    kind: &'static core::ffi::CStr,
    table: *const core::ffi::c_void,
    data: *mut core::ffi::c_void,
) -> spa_interface {
    spa_interface { type_: kind.as_ptr(), version: 0, cb: libspa_sys::spa_callbacks { funcs: table, data } }
}
