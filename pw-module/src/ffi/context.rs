//! The context of the daemon, and our place in it.

use std::ffi::{CStr, c_char, c_void};
use std::ptr::NonNull;
use std::{cell::UnsafeCell, rc::Rc};

use libspa_sys as spa;
use pipewire_sys as pw;

use super::interface::{empty_hook, remove_hook};
use super::{Dictionary, Loop};

/// The daemon's context: where nodes are made. Alive as long as the module.
pub(crate) struct Context {
    pointer: NonNull<pw::pw_context>,
    main: Loop,
    data: Loop,
    data_name: Option<String>,
    version: (u32, u32, u32),
}

type AcquireLoop = unsafe extern "C" fn(*mut pw::pw_context, *const spa::spa_dict) -> *mut pw::pw_loop;

impl Context {
    pub(super) fn from_raw(pointer: NonNull<pw::pw_context>) -> Option<Self> {
        // SAFETY: the context is alive: it is loading this module.
        let main = Loop::from_raw(unsafe { pw::pw_context_get_main_loop(pointer.as_ptr()) })?;
        // From 1.1.81 on there can be several data loops, and the one to use is asked for.
        let acquire = newer_function(c"pw_context_acquire_loop").map(|f| {
            // SAFETY: the symbol has had this signature since it appeared (pipewire/context.h, 1.1.81).
            unsafe { std::mem::transmute::<*mut c_void, AcquireLoop>(f) }
        });
        let (data, data_name) = match acquire {
            Some(acquire) => {
                // SAFETY: the context is alive, null asks for the default.
                let data = Loop::from_raw(
                    Dictionary::default().with_raw(|d| unsafe { acquire(pointer.as_ptr(), d) }),
                )?;
                (data, data.name())
            }
            None => {
                // SAFETY: the context is alive and has one data loop.
                let data =
                    unsafe { pw::pw_data_loop_get_loop(pw::pw_context_get_data_loop(pointer.as_ptr())) };
                (Loop::from_raw(data)?, None)
            }
        };
        Some(Self { pointer, main, data, data_name, version: library_version() })
    }

    pub(super) fn as_ptr(&self) -> *mut pw::pw_context {
        self.pointer.as_ptr()
    }

    /// The loop on which everything but the audio runs.
    pub(crate) fn main_loop(&self) -> Loop {
        self.main
    }

    /// The loop on which all nodes of this module run.
    pub(crate) fn data_loop(&self) -> Loop {
        self.data
    }

    /// Name of the data loop, to be set as `node.loop.name`, where PipeWire knows more than one.
    pub(crate) fn data_loop_name(&self) -> Option<&str> {
        self.data_name.as_deref()
    }

    /// Version of libpipewire.
    pub(crate) fn version(&self) -> (u32, u32, u32) {
        self.version
    }

    /// The settings of the configuration section `module.<name>.args`, which override a module's arguments.
    pub(crate) fn configured_arguments(&self, section: &CStr) -> Dictionary {
        let props = Dictionary::default().to_properties();
        if props.is_null() {
            return Dictionary::default();
        }
        // SAFETY: context and properties are alive; the section name is NUL-terminated.
        unsafe { pw::pw_context_conf_update_props(self.as_ptr(), section.as_ptr(), props) };
        // SAFETY: `props` begins with its dictionary.
        let found = unsafe { Dictionary::from_raw(&raw const (*props).dict) };
        // SAFETY: made above, used no more.
        unsafe { pw::pw_properties_free(props) };
        found
    }
}

/// Address of a function that older libraries lack, or know with another signature.
pub(super) fn newer_function(name: &CStr) -> Option<*mut c_void> {
    // SAFETY: a NUL-terminated name; libpipewire is mapped by the daemon that loads us.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!found.is_null()).then_some(found)
}

fn library_version() -> (u32, u32, u32) {
    // SAFETY: returns a static NUL-terminated string.
    let text = unsafe { CStr::from_ptr(pw::pw_get_library_version()) }.to_string_lossy().into_owned();
    let mut parts = text.split(['.', '-']).map(|part| part.parse().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    (next(), next(), next())
}

/// Our entry in the daemon's list of modules.
pub(crate) struct ModuleHandle {
    module: NonNull<pw::pw_impl_module>,
    listener: Box<Listener>,
}

struct Listener {
    hook: UnsafeCell<spa::spa_hook>,
    on_destroy: std::cell::RefCell<Option<Box<dyn FnOnce()>>>,
}

impl ModuleHandle {
    /// The module and its context, from the pointer that the entry function got.
    pub(crate) fn new(module: NonNull<pw::pw_impl_module>) -> Option<(Rc<Self>, Context)> {
        // SAFETY: the module is alive: it is being initialised.
        let context = NonNull::new(unsafe { pw::pw_impl_module_get_context(module.as_ptr()) })?;
        let context = Context::from_raw(context)?;
        let listener =
            Box::new(Listener { hook: UnsafeCell::new(empty_hook()), on_destroy: Default::default() });
        Some((Rc::new(Self { module, listener }), context))
    }

    /// Sets the module's properties, as `pw-dump` shows them.
    pub(crate) fn describe(&self, props: &Dictionary) {
        // SAFETY: the module is alive until its `destroy` event.
        props.with_raw(|dict| unsafe { pw::pw_impl_module_update_properties(self.module.as_ptr(), dict) });
    }

    /// Calls `f` once, when the module is unloaded or the daemon stops.
    pub(crate) fn on_destroy(&self, f: impl FnOnce() + 'static) {
        *self.listener.on_destroy.borrow_mut() = Some(Box::new(f));
        let data: *const Listener = &raw const *self.listener;
        // SAFETY: hook and listener are in a box that outlives the hook's place on the list.
        unsafe {
            pw::pw_impl_module_add_listener(
                self.module.as_ptr(),
                self.listener.hook.get(),
                &raw const MODULE_EVENTS,
                data.cast_mut().cast(),
            );
        }
    }
}

impl Drop for ModuleHandle {
    fn drop(&mut self) {
        // SAFETY: the hook is ours; nobody else borrows it on this thread.
        remove_hook(unsafe { &mut *self.listener.hook.get() });
    }
}

static MODULE_EVENTS: pw::pw_impl_module_events = {
    // SAFETY: a table of optional functions may be zero: version 0 and nothing set.
    let mut table: pw::pw_impl_module_events = unsafe { std::mem::zeroed() };
    table.destroy = Some(module_destroyed);
    table
};

unsafe extern "C" fn module_destroyed(data: *mut c_void) {
    super::fence::fence((), || {
        // SAFETY: `data` is the listener; it is alive until the closure below has dropped it.
        let f = unsafe { &*data.cast::<Listener>() }.on_destroy.borrow_mut().take();
        if let Some(f) = f {
            f();
        }
    });
}

/// The text of `args` as the entry function got it; empty when there is none. `None` when it is not UTF-8.
///
/// # Safety
/// `args` is null or NUL-terminated and outlives the result.
pub(crate) unsafe fn arguments<'a>(args: *const c_char) -> Option<&'a str> {
    if args.is_null() {
        return Some("");
    }
    // SAFETY: as the caller promised (pipewire/impl-module.h, `pw_impl_module_init_func_t`).
    unsafe { CStr::from_ptr(args) }.to_str().ok()
}
