//! A Device object: what the nodes of one network device have in common. It has no profiles, and one route that is not
//! available: a session manager never makes a node the default device by itself whose part of the device no route leads
//! to (WirePlumber 0.4 `module-default-nodes`, 0.5 `default-nodes/rescan.lua`), however alone it is.

use std::cell::{Cell, UnsafeCell};
use std::ffi::{c_int, c_void};
use std::ptr::NonNull;
use std::rc::Rc;

use libspa_sys as spa;
use pipewire_sys as pw;

use super::fence::fence;
use super::interface::{empty_hook, for_each_hook, interface, remove_hook};
use super::{Context, Dictionary, MainEvent, pod};

/// The part of a device that no route leads to; any other number is a part of which no route says anything.
pub(crate) const NO_ROUTE: u32 = 0;

/// A Device in the registry. Dropping it takes it away.
pub(crate) struct Device {
    watch: Box<Watch>,
    /// Outlives the `pw_impl_device` that points to it.
    object: Box<Object>,
}

/// The SPA device that PipeWire calls.
#[repr(C)]
struct Object {
    interface: spa::spa_interface,
    hooks: UnsafeCell<spa::spa_hook_list>,
    props: Dictionary,
    /// Toggled to have the routes read again.
    serial: Cell<u32>,
}

/// What is seen of it by listening. At a fixed address while the hook points to it.
struct Watch {
    device: Cell<Option<NonNull<pw::pw_impl_device>>>,
    hook: UnsafeCell<spa::spa_hook>,
    signal: Rc<MainEvent>,
}

impl Device {
    /// Makes and registers a device; `changed` is signalled when somebody takes it away.
    ///
    /// Errors: the negative errno that PipeWire gave.
    pub(crate) fn new(context: &Context, props: Dictionary, changed: Rc<MainEvent>) -> Result<Self, i32> {
        // SAFETY: the context lives as long as the module; it takes over the properties.
        let device = unsafe { pw::pw_context_create_device(context.as_ptr(), props.to_properties(), 0) };
        let device = NonNull::new(device).ok_or(-libc::ENOMEM)?;
        let this = Self {
            watch: Box::new(Watch {
                device: Cell::new(Some(device)),
                hook: UnsafeCell::new(empty_hook()),
                signal: changed,
            }),
            object: Object::new(props),
        };
        let data: *mut c_void = (&raw const *this.watch).cast_mut().cast();
        // SAFETY: the hook and the watch live in a box that stays until the hook is removed.
        unsafe {
            pw::pw_impl_device_add_listener(device.as_ptr(), this.watch.hook.get(), &raw const EVENTS, data);
        }
        let implementation: *mut spa::spa_device = (&raw const *this.object).cast_mut().cast();
        // SAFETY: the object outlives the device: `drop` takes the device away first.
        let res = unsafe { pw::pw_impl_device_set_implementation(device.as_ptr(), implementation) };
        if res < 0 {
            return Err(res);
        }
        // SAFETY: a complete device; null means no further properties.
        let res = unsafe { pw::pw_impl_device_register(device.as_ptr(), std::ptr::null_mut()) };
        if res < 0 { Err(res) } else { Ok(this) }
    }

    /// Its global id; `None` once it is gone.
    pub(crate) fn id(&self) -> Option<u32> {
        let device = self.watch.device.get()?;
        // SAFETY: the device is alive while the watch holds it.
        let global = NonNull::new(unsafe { pw::pw_impl_device_get_global(device.as_ptr()) })?;
        // SAFETY: the global is the device's.
        Some(unsafe { pw::pw_global_get_id(global.as_ptr()) })
    }

    /// Sets properties that clients see.
    pub(crate) fn update_properties(&self, changes: &Dictionary) {
        let Some(device) = self.watch.device.get() else { return };
        // SAFETY: the device is alive; the dictionary lives for the call.
        changes.with_raw(|dict| unsafe { pw::pw_impl_device_update_properties(device.as_ptr(), dict) });
    }

    /// Tells clients that the routes have changed. They have not, but what session managers make of them has when
    /// another part of the device became a node's.
    pub(crate) fn tell_routes(&self) {
        if self.watch.device.get().is_some() {
            self.object.serial.set(self.object.serial.get() ^ spa::SPA_PARAM_INFO_SERIAL);
            self.object.emit_info(spa::SPA_DEVICE_CHANGE_MASK_PARAMS);
        }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.watch.forget_hook();
        if let Some(device) = self.watch.device.take() {
            // SAFETY: still alive: its `destroy` event has not come.
            unsafe { pw::pw_impl_device_destroy(device.as_ptr()) };
        }
    }
}

impl Watch {
    fn forget_hook(&self) {
        // SAFETY: the hook is ours; nobody else borrows it on this thread.
        remove_hook(unsafe { &mut *self.hook.get() });
    }
}

impl Object {
    fn new(props: Dictionary) -> Box<Self> {
        let list = spa::spa_list { next: std::ptr::null_mut(), prev: std::ptr::null_mut() };
        let mut object = Box::new(Self {
            interface: interface(
                c"Spa:Pointer:Interface:Device",
                (&raw const METHODS).cast(),
                std::ptr::null_mut(),
            ),
            hooks: UnsafeCell::new(spa::spa_hook_list { list }),
            props,
            serial: Cell::new(0),
        });
        let pointer: *mut Self = &raw mut *object;
        object.interface.cb.data = pointer.cast();
        // SAFETY: the list lives in the box, which does not move.
        unsafe { spa::spa_hook_list_init(object.hooks.get()) };
        object
    }

    /// Tells every listener what `mask` says. The properties are those that it was made with.
    fn emit_info(&self, mask: u32) {
        let flags = spa::SPA_PARAM_INFO_READ | self.serial.get();
        let mut params = [spa::SPA_PARAM_EnumRoute, spa::SPA_PARAM_Route].map(|id| spa::spa_param_info {
            id,
            flags,
            user: 0,
            seq: 0,
            padding: [0; 4],
        });
        self.props.with_raw(|dict| {
            let info = spa::spa_device_info {
                version: 0,
                change_mask: u64::from(mask),
                flags: 0,
                props: dict,
                params: params.as_mut_ptr(),
                n_params: 2,
            };
            self.for_each_listener(|events, data| {
                if let Some(f) = events.info {
                    // SAFETY: the listener's table and data are valid; `info` lives for the call.
                    unsafe { f(data, &raw const info) };
                }
            });
        });
    }

    fn for_each_listener(&self, mut f: impl FnMut(&spa::spa_device_events, *mut c_void)) {
        // SAFETY: the list belongs to the main loop, which is where devices are called.
        for_each_hook(unsafe { &mut *self.hooks.get() }, |table, data| {
            // SAFETY: listeners of a device have a `spa_device_events` table.
            f(unsafe { &*table.cast::<spa::spa_device_events>() }, data);
        });
    }
}

static EVENTS: pw::pw_impl_device_events = {
    // SAFETY: a table of optional functions may be zero: version 0 and nothing set.
    let mut table: pw::pw_impl_device_events = unsafe { std::mem::zeroed() };
    table.destroy = Some(destroyed);
    table
};

static METHODS: spa::spa_device_methods = spa::spa_device_methods {
    version: 0,
    add_listener: Some(add_listener),
    sync: Some(sync),
    enum_params: Some(enum_params),
    set_param: Some(set_param),
};

unsafe extern "C" fn destroyed(data: *mut c_void) {
    fence((), || {
        // SAFETY: `data` is the watch, alive until its hook is removed.
        let watch = unsafe { &*data.cast::<Watch>() };
        watch.device.set(None);
        watch.forget_hook();
        watch.signal.signal();
    });
}

unsafe extern "C" fn add_listener(
    object: *mut c_void,
    listener: *mut spa::spa_hook,
    events: *const spa::spa_device_events,
    data: *mut c_void,
) -> c_int {
    fence(-libc::EIO, || {
        // SAFETY: PipeWire calls with the `data` of our interface, which outlives its device.
        let device = unsafe { &*object.cast::<Object>() };
        // SAFETY: all-zero is valid for a list that `isolate` initialises.
        let mut saved: spa::spa_hook_list = unsafe { std::mem::zeroed() };
        // SAFETY: listener and events are PipeWire's and valid until the hook is removed (spa/utils/hook.h).
        unsafe {
            spa::spa_hook_list_isolate(device.hooks.get(), &raw mut saved, listener, events.cast(), data)
        };
        device.emit_info(spa::SPA_DEVICE_CHANGE_MASK_PROPS | spa::SPA_DEVICE_CHANGE_MASK_PARAMS);
        // SAFETY: `saved` holds the listeners that `isolate` moved there.
        unsafe { spa::spa_hook_list_join(device.hooks.get(), &raw mut saved) };
        0
    })
}

unsafe extern "C" fn sync(object: *mut c_void, seq: c_int) -> c_int {
    fence(-libc::EIO, || {
        // SAFETY: as in `add_listener`.
        let device = unsafe { &*object.cast::<Object>() };
        device.for_each_listener(|events, data| {
            if let Some(f) = events.result {
                // SAFETY: the listener's table and data are valid; a sync has no result but its number.
                unsafe { f(data, seq, 0, 0, std::ptr::null()) };
            }
        });
        0
    })
}

unsafe extern "C" fn enum_params(
    object: *mut c_void,
    seq: c_int,
    id: u32,
    index: u32,
    max: u32,
    filter: *const spa::spa_pod,
) -> c_int {
    fence(-libc::EIO, || {
        match id {
            spa::SPA_PARAM_EnumRoute => {}
            spa::SPA_PARAM_Route => return 0, // none is in use
            _ => return -libc::ENOENT,
        }
        let route = pod::no_route(NO_ROUTE);
        // SAFETY: PipeWire gives null or a valid pod (spa/monitor/device.h).
        let Some(pod) = (unsafe { route.filtered(filter) }).filter(|_| index == 0 && max > 0) else {
            return 0;
        };
        let result = spa::spa_result_device_params { id, index: 0, next: 1, param: pod.as_ptr() };
        // SAFETY: as in `add_listener`.
        let device = unsafe { &*object.cast::<Object>() };
        device.for_each_listener(|events, data| {
            if let Some(f) = events.result {
                let kind = spa::SPA_RESULT_TYPE_DEVICE_PARAMS;
                // SAFETY: the listener's table and data are valid; the result lives for the call.
                unsafe { f(data, seq, 0, kind, (&raw const result).cast()) };
            }
        });
        0
    })
}

unsafe extern "C" fn set_param(
    _object: *mut c_void,
    _id: u32,
    _flags: u32,
    _param: *const spa::spa_pod,
) -> c_int {
    -libc::ENOTSUP
}
