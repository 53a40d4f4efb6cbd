//! The metadata object that agent and module share.

use std::cell::{Cell, RefCell, UnsafeCell};
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::NonNull;

use libspa_sys as spa;
use pipewire_sys as pw;

use super::interface::{empty_hook, remove_hook};
use super::{Context, Dictionary};

type Changed = Box<dyn FnMut(&str, Option<&str>)>;

/// A metadata object of ours. Dropping it takes it away.
pub(crate) struct Metadata {
    shared: Box<Shared>,
}

struct Shared {
    metadata: Cell<Option<NonNull<pw::pw_impl_metadata>>>,
    hook: UnsafeCell<spa::spa_hook>,
    changed: RefCell<Changed>,
    writing: Cell<bool>,
    value_type: CString,
}

impl Metadata {
    /// Makes and registers the object `name`. `changed(key, value)` is called for every change a client makes to
    /// subject 0 (`None`: removed; an empty key: all are), but not for our own; it must not call back into this object.
    pub(crate) fn new(
        context: &Context,
        name: &CStr,
        value_type: &str,
        changed: impl FnMut(&str, Option<&str>) + 'static,
    ) -> Option<Self> {
        let mut props = Dictionary::default();
        props.set("metadata.name", &name.to_string_lossy());
        // SAFETY: the context is alive and takes over the properties; the name is NUL-terminated.
        let metadata = unsafe {
            pw::pw_context_create_metadata(context.as_ptr(), name.as_ptr(), props.to_properties(), 0)
        };
        let metadata = NonNull::new(metadata)?;
        let shared = Box::new(Shared {
            metadata: Cell::new(Some(metadata)),
            hook: UnsafeCell::new(empty_hook()),
            changed: RefCell::new(Box::new(changed)),
            writing: Cell::new(false),
            value_type: CString::new(value_type).unwrap_or_default(),
        });
        let data: *const Shared = &raw const *shared;
        // SAFETY: hook and data are in a box that outlives the hook's place on the list.
        unsafe {
            pw::pw_impl_metadata_add_listener(
                metadata.as_ptr(),
                shared.hook.get(),
                &raw const EVENTS,
                data.cast_mut().cast(),
            );
        }
        let this = Self { shared };
        // SAFETY: a complete object; null means no further properties.
        if unsafe { pw::pw_impl_metadata_register(metadata.as_ptr(), std::ptr::null_mut()) } < 0 {
            return None;
        }
        Some(this)
    }

    /// Sets `key` of subject 0, or removes it.
    pub(crate) fn set(&self, key: &str, value: Option<&str>) {
        let Some(metadata) = self.shared.metadata.get() else { return };
        let Ok(key) = CString::new(key) else { return };
        let value = value.and_then(|v| CString::new(v).ok());
        let (kind, value) = match &value {
            Some(value) => (self.shared.value_type.as_ptr(), value.as_ptr()),
            None => (std::ptr::null(), std::ptr::null()),
        };
        self.shared.writing.set(true);
        // SAFETY: the object is alive while `shared` holds it; the strings live for the call and are copied.
        unsafe { pw::pw_impl_metadata_set_property(metadata.as_ptr(), 0, key.as_ptr(), kind, value) };
        self.shared.writing.set(false);
    }
}

impl Drop for Metadata {
    fn drop(&mut self) {
        // SAFETY: the hook is ours; nobody else borrows it on this thread.
        remove_hook(unsafe { &mut *self.shared.hook.get() });
        if let Some(metadata) = self.shared.metadata.take() {
            // SAFETY: alive: its `destroy` event has not come.
            unsafe { pw::pw_impl_metadata_destroy(metadata.as_ptr()) };
        }
    }
}

static EVENTS: pw::pw_impl_metadata_events = {
    // SAFETY: a table of optional functions may be zero: version 0 and nothing set.
    let mut table: pw::pw_impl_metadata_events = unsafe { std::mem::zeroed() };
    table.destroy = Some(destroyed);
    table.property = Some(property);
    table
};

unsafe extern "C" fn destroyed(data: *mut c_void) {
    super::fence::fence((), || {
        // SAFETY: `data` is the `Shared`, alive until its hook is removed.
        let shared = unsafe { &*data.cast::<Shared>() };
        shared.metadata.set(None);
        // SAFETY: as in `drop`.
        remove_hook(unsafe { &mut *shared.hook.get() });
    });
}

unsafe extern "C" fn property(
    data: *mut c_void,
    subject: u32,
    key: *const c_char,
    _kind: *const c_char,
    value: *const c_char,
) -> c_int {
    super::fence::fence(0, || {
        // SAFETY: as in `destroyed`.
        let shared = unsafe { &*data.cast::<Shared>() };
        if subject != 0 || shared.writing.get() {
            return 0;
        }
        if key.is_null() {
            // Every key of the subject was removed.
            if let Ok(mut changed) = shared.changed.try_borrow_mut() {
                changed("", None);
            }
            return 0;
        }
        // SAFETY: key and value are null or NUL-terminated (pipewire/extensions/metadata.h).
        let key = unsafe { CStr::from_ptr(key) };
        // SAFETY: as above.
        let value = (!value.is_null()).then(|| unsafe { CStr::from_ptr(value) });
        let (Ok(key), Ok(value)) = (key.to_str(), value.map(CStr::to_str).transpose()) else { return 0 };
        if let Ok(mut changed) = shared.changed.try_borrow_mut() {
            changed(key, value);
        }
        0
    })
}
