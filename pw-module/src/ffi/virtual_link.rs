//! A link that every client sees and no audio goes through: a registry object of the type of links, with no link of
//! PipeWire's scheduler behind it.

use std::cell::{Cell, RefCell, UnsafeCell};
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::NonNull;

use libspa_sys as spa;
use pipewire_sys as pw;

use super::Dictionary;
use super::fence::fence;
use super::interface::{call, empty_hook, remove_hook};
use super::link_rights::{Rights, clients};
use super::pod;
use crate::links::{LinkState, Look};

/// `PW_TYPE_INTERFACE_Link` (pipewire/link.h).
const TYPE: &CStr = c"PipeWire:Interface:Link";
/// `PW_VERSION_LINK`.
const VERSION: u32 = 3;
/// What clients may do with it: see it and destroy it (`PW_LINK_PERM_MASK`).
const PERMISSIONS: u32 = pw::PW_PERM_R | pw::PW_PERM_X;
/// Since this version `pw_global_new` takes a permission mask.
const WITH_MASK: (u32, u32, u32) = (0, 3, 77);

type NewGlobal = unsafe extern "C" fn(
    *mut pw::pw_context,
    *const c_char,
    u32,
    *mut pw::pw_properties,
    pw::pw_global_bind_func_t,
    *mut c_void,
) -> *mut pw::pw_global;
type NewMaskedGlobal = unsafe extern "C" fn(
    *mut pw::pw_context,
    *const c_char,
    u32,
    u32,
    *mut pw::pw_properties,
    pw::pw_global_bind_func_t,
    *mut c_void,
) -> *mut pw::pw_global;

/// Where links are registered: the context, alive as long as the module, and the version of its library.
#[derive(Debug, Clone, Copy)]
pub(super) struct Registry {
    pub context: NonNull<pw::pw_context>,
    pub version: (u32, u32, u32),
}

/// Global ids of what a link joins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends {
    pub output_node: u32,
    pub output_port: u32,
    pub input_node: u32,
    pub input_port: u32,
}

/// A virtual link. Dropping it takes it away. At a fixed address while PipeWire points to it.
pub(super) struct VirtualLink {
    global: Cell<Option<NonNull<pw::pw_global>>>,
    hook: UnsafeCell<spa::spa_hook>,
    rights: Rights,
    ends: Ends,
    look: RefCell<Look>,
    props: RefCell<Dictionary>,
    format: pod::Pod,
    /// Called when a client destroys it.
    destroyed: Box<dyn Fn()>,
}

impl VirtualLink {
    /// Makes and registers a link with the id `route` of its keys. `destroyed` is called when a client destroys it,
    /// from inside of that; it must not drop the link. `rights` say who may. `None`: PipeWire has no memory for it.
    pub(super) fn new(
        registry: Registry,
        ends: Ends,
        route: &str,
        look: &Look,
        rights: Rights,
        destroyed: impl Fn() + 'static,
    ) -> Option<Box<Self>> {
        let mut props = Dictionary::default();
        props.set("link.output.node", &ends.output_node.to_string());
        props.set("link.output.port", &ends.output_port.to_string());
        props.set("link.input.node", &ends.input_node.to_string());
        props.set("link.input.port", &ends.input_port.to_string());
        props.set("object.linger", "true");
        props.set("wireloom.direct", "true");
        props.set("wireloom.route", route);
        let link = Box::new(Self {
            global: Cell::new(None),
            hook: UnsafeCell::new(empty_hook()),
            rights,
            ends,
            look: RefCell::new(look.clone()),
            props: RefCell::new(props),
            format: pod::dsp_format(spa::SPA_PARAM_Format),
            destroyed: Box::new(destroyed),
        });
        let data: *mut c_void = (&raw const *link).cast_mut().cast();
        let global = link.make_global(registry, data)?;
        link.global.set(Some(global));
        {
            let mut props = link.props.borrow_mut();
            // SAFETY: the global was just made and is not registered.
            props.set("object.id", &unsafe { pw::pw_global_get_id(global.as_ptr()) }.to_string());
            // SAFETY: as above.
            props.set("object.serial", &unsafe { pw::pw_global_get_serial(global.as_ptr()) }.to_string());
        }
        let keys = [c"object.serial".as_ptr(), std::ptr::null()];
        // SAFETY: the global is not registered yet, which is when its properties may be set (pipewire/global.h); the
        // keys end with null.
        link.props.borrow().with_raw(|dict| unsafe {
            pw::pw_global_update_keys(global.as_ptr(), dict, keys.as_ptr());
        });
        // SAFETY: hook and data are in a box that outlives the hook's place on the list.
        unsafe { pw::pw_global_add_listener(global.as_ptr(), link.hook.get(), &raw const EVENTS, data) };
        // SAFETY: a complete global.
        if unsafe { pw::pw_global_register(global.as_ptr()) } < 0 {
            return None;
        }
        // Before any client is served: none destroys what it may not.
        clients(registry).into_iter().for_each(|client| link.limit(client));
        Some(link)
    }

    fn make_global(&self, registry: Registry, data: *mut c_void) -> Option<NonNull<pw::pw_global>> {
        let props = self.props.borrow().to_properties();
        let new = super::context::newer_function(c"pw_global_new")?;
        let global = if registry.version >= WITH_MASK {
            // SAFETY: the signature since 0.3.77 (pipewire/global.h).
            let new = unsafe { std::mem::transmute::<*mut c_void, NewMaskedGlobal>(new) };
            // SAFETY: the context is alive; type and bind function are static; the properties become the global's.
            unsafe {
                new(registry.context.as_ptr(), TYPE.as_ptr(), VERSION, PERMISSIONS, props, Some(bind), data)
            }
        } else {
            // SAFETY: the signature before 0.3.77.
            let new = unsafe { std::mem::transmute::<*mut c_void, NewGlobal>(new) };
            // SAFETY: as above.
            unsafe { new(registry.context.as_ptr(), TYPE.as_ptr(), VERSION, props, Some(bind), data) }
        };
        NonNull::new(global)
    }

    /// Whether a client has destroyed it.
    pub(super) fn is_gone(&self) -> bool {
        self.global.get().is_none()
    }

    /// Lets `client` destroy the link only if it may change the node that the link leads to.
    pub(super) fn limit(&self, client: NonNull<pw::pw_impl_client>) {
        if let Some(global) = self.global.get() {
            self.rights.limit(global, client);
        }
    }

    /// Shows another state to every client.
    pub(super) fn show(&self, look: &Look) {
        *self.look.borrow_mut() = look.clone();
        let Some(global) = self.global.get() else { return };
        // SAFETY: the global is alive while `self` holds it; the data is `self`, alive for the call.
        unsafe {
            pw::pw_global_for_each_resource(
                global.as_ptr(),
                Some(tell_resource),
                (&raw const *self).cast_mut().cast(),
            );
        }
    }

    /// Sends everything to a client.
    fn tell(&self, resource: NonNull<pw::pw_resource>, id: u32) {
        let look = self.look.borrow();
        let mut props = self.props.borrow_mut();
        props.set("wireloom.state", look.route);
        props.set("wireloom.error", &look.error);
        let error = (look.state == LinkState::Error).then_some(look.error.as_str());
        send_info(resource, id, self.ends, look.state, error, Some(&self.format), &props);
    }
}

impl Drop for VirtualLink {
    fn drop(&mut self) {
        // SAFETY: the hook is ours; nobody else borrows it on this thread.
        remove_hook(unsafe { &mut *self.hook.get() });
        if let Some(global) = self.global.take() {
            // SAFETY: alive: its `destroy` event has not come.
            unsafe { pw::pw_global_destroy(global.as_ptr()) };
        }
    }
}

/// Sends the `info` event of a link to a client.
pub(super) fn send_info(
    resource: NonNull<pw::pw_resource>,
    id: u32,
    ends: Ends,
    state: LinkState,
    error: Option<&str>,
    format: Option<&pod::Pod>,
    props: &Dictionary,
) {
    let error = error.and_then(|text| CString::new(text).ok());
    props.with_raw(|dict| {
        let info = pw::pw_link_info {
            id,
            output_node_id: ends.output_node,
            output_port_id: ends.output_port,
            input_node_id: ends.input_node,
            input_port_id: ends.input_port,
            change_mask: u64::from(
                pw::PW_LINK_CHANGE_MASK_STATE
                    | pw::PW_LINK_CHANGE_MASK_FORMAT
                    | pw::PW_LINK_CHANGE_MASK_PROPS,
            ),
            state: match state {
                LinkState::Error => pw::pw_link_state_PW_LINK_STATE_ERROR,
                LinkState::Negotiating => pw::pw_link_state_PW_LINK_STATE_NEGOTIATING,
                LinkState::Paused => pw::pw_link_state_PW_LINK_STATE_PAUSED,
                LinkState::Active => pw::pw_link_state_PW_LINK_STATE_ACTIVE,
            },
            error: error.as_ref().map_or(std::ptr::null(), |text| text.as_ptr()),
            format: format.map_or(std::ptr::null_mut(), pod::Pod::as_ptr),
            props: std::ptr::from_ref(dict).cast_mut(),
        };
        // A resource begins with the interface that sends its events (pipewire/resource.h, `pw_resource_call`).
        call!(resource.as_ptr(), pw::pw_link_events, (), info(&raw const info));
    });
}

static EVENTS: pw::pw_global_events = {
    // SAFETY: a table of optional functions may be zero: version 0 and nothing set.
    let mut table: pw::pw_global_events = unsafe { std::mem::zeroed() };
    table.destroy = Some(destroyed);
    table
};

unsafe extern "C" fn destroyed(data: *mut c_void) {
    fence((), || {
        // SAFETY: `data` is the link, alive until its hook is removed.
        let link = unsafe { &*data.cast::<VirtualLink>() };
        link.global.set(None);
        // SAFETY: the hook is ours; nobody else borrows it on this thread.
        remove_hook(unsafe { &mut *link.hook.get() });
        (link.destroyed)();
    });
}

/// A client wants to know about the link (pipewire/global.h, `pw_global_bind_func_t`).
unsafe extern "C" fn bind(
    object: *mut c_void,
    client: *mut pw::pw_impl_client,
    permissions: u32,
    version: u32,
    id: u32,
) -> c_int {
    fence(-libc::EIO, || {
        // SAFETY: `object` is the link that the global was made with, and lives as long as the global.
        let link = unsafe { &*object.cast::<VirtualLink>() };
        let Some(global) = link.global.get() else { return -libc::ENOENT };
        // SAFETY: the client is alive: it is asking; the type is static.
        let resource = unsafe { pw::pw_resource_new(client, id, permissions, TYPE.as_ptr(), version, 0) };
        let Some(resource) = NonNull::new(resource) else { return -libc::ENOMEM };
        // SAFETY: both are alive; from now on the resource is the global's.
        unsafe { pw::pw_global_add_resource(global.as_ptr(), resource.as_ptr()) };
        // SAFETY: the global is alive.
        link.tell(resource, unsafe { pw::pw_global_get_id(global.as_ptr()) });
        0
    })
}

unsafe extern "C" fn tell_resource(data: *mut c_void, resource: *mut pw::pw_resource) -> c_int {
    fence(0, || {
        // SAFETY: `data` is the link whose resources are visited, alive for the visit.
        let link = unsafe { &*data.cast::<VirtualLink>() };
        if let (Some(resource), Some(global)) = (NonNull::new(resource), link.global.get()) {
            // SAFETY: the global is alive while the link holds it.
            link.tell(resource, unsafe { pw::pw_global_get_id(global.as_ptr()) });
        }
        0
    })
}
