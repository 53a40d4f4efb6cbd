//! A node of ours in the graph: what the module's main loop code holds of it.

use std::cell::{Cell, RefCell, UnsafeCell};
use std::ffi::c_void;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use libspa_sys as spa;
use pipewire_sys as pw;
use wireloom_wanted::LinkEnd;

use super::clock_area::ClockArea;
use super::interface::{empty_hook, interface, remove_hook};
use super::node_methods::METHODS;
use super::node_params::NodeParams;
use super::ports::RtPort;
use super::{Context, Dictionary, Loop, MainEvent, Patch, WorldCell};
use crate::rt::Logic;

/// Which way audio goes through the node's ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Into the node: it has input ports.
    Input,
    /// Out of the node: it has output ports.
    Output,
}

/// What a node is, fixed while it lives.
pub(crate) struct NodeConfig {
    /// Properties of the node, `node.name` among them.
    pub props: Dictionary,
    /// Direction of all ports; of no meaning without ports.
    pub direction: Direction,
    /// Properties of each port, one per channel.
    pub ports: Vec<Dictionary>,
    /// Carries the node-level parameters of a desktop device: format and volume.
    pub desktop: bool,
    /// Samples a second, for the desktop format.
    pub rate: u32,
    /// Latency reported on the ports, in samples at `rate`.
    pub latency: u32,
}

/// The SPA node that PipeWire calls. Heap-allocated; outlives the `pw_impl_node` that points to it.
#[repr(C)]
pub(super) struct NodeObject {
    pub interface: spa::spa_interface,
    pub hooks: UnsafeCell<spa::spa_hook_list>,
    pub config: NodeConfig,
    pub params: RefCell<NodeParams>,
    pub data: Loop,
    pub world: *const WorldCell,
    pub failed: Arc<AtomicBool>,
    /// Belongs to the data loop.
    pub rt: UnsafeCell<RtState>,
}

/// The data loop's part of a node.
pub(super) struct RtState {
    pub clock: ClockArea,
    pub position: *const spa::spa_io_position,
    pub ports: Vec<RtPort>,
    pub logic: Logic,
    pub callbacks: *const spa::spa_node_callbacks,
    pub callbacks_data: *mut c_void,
}

impl NodeObject {
    pub(super) fn new(context: &Context, config: NodeConfig, logic: Logic, world: &WorldCell) -> Box<Self> {
        let ports = config.ports.iter().map(|_| RtPort::new()).collect();
        let rt = RtState {
            clock: ClockArea::empty(context.version() >= (0, 3, 68)),
            position: std::ptr::null(),
            ports,
            logic,
            callbacks: std::ptr::null(),
            callbacks_data: std::ptr::null_mut(),
        };
        let list = spa::spa_list { next: std::ptr::null_mut(), prev: std::ptr::null_mut() };
        let params = RefCell::new(NodeParams::new(config.ports.len(), config.direction, config.latency));
        let mut object = Box::new(Self {
            interface: interface(
                c"Spa:Pointer:Interface:Node",
                (&raw const METHODS).cast(),
                std::ptr::null_mut(),
            ),
            hooks: UnsafeCell::new(spa::spa_hook_list { list }),
            config,
            params,
            data: context.data_loop(),
            world,
            failed: Arc::new(AtomicBool::new(false)),
            rt: UnsafeCell::new(rt),
        });
        let pointer: *mut Self = &raw mut *object;
        object.interface.cb.data = pointer.cast();
        // SAFETY: the list lives in the box, which does not move.
        unsafe { spa::spa_hook_list_init(object.hooks.get()) };
        object
    }

    /// The data loop's part.
    ///
    /// # Safety
    /// Only on the data loop (or inside `Loop::run`), one borrow at a time.
    #[expect(clippy::mut_from_ref, reason = "one thread, one borrow at a time: see Safety")]
    pub(super) unsafe fn rt(&self) -> &mut RtState {
        // SAFETY: the caller keeps to one borrow on one thread.
        unsafe { &mut *self.rt.get() }
    }

    /// Runs `f` with the data loop's part on the data loop and waits for it.
    pub(super) fn with_rt<R>(&self, f: impl FnOnce(&mut RtState) -> R) -> R {
        // SAFETY: on the data loop between two callbacks; `f` gets the only borrow.
        self.data.run(|| f(unsafe { self.rt() }))
    }
}

/// What is seen of a node by listening to it. At a fixed address while hooks point to it.
struct Watch {
    node: Cell<Option<NonNull<pw::pw_impl_node>>>,
    hook: UnsafeCell<spa::spa_hook>,
    /// Boxed one by one: PipeWire keeps pointers to the hooks in them.
    #[expect(clippy::vec_box, reason = "a hook must stay where it is")]
    ports: RefCell<Vec<Box<PortWatch>>>,
    /// The real links at its ports; compared, never followed.
    links: RefCell<Vec<*mut pw::pw_impl_link>>,
    signal: Rc<MainEvent>,
    patch: Rc<Patch>,
    /// `node.name`.
    name: String,
}

struct PortWatch {
    hook: UnsafeCell<spa::spa_hook>,
    port: *mut pw::pw_impl_port,
    watch: *const Watch,
}

/// A node of ours. Dropping it takes it out of the graph.
pub(crate) struct StreamNode {
    watch: Box<Watch>,
    object: Box<NodeObject>,
}

impl StreamNode {
    /// Makes a node and registers it, inactive. `changed` is signalled when its links change; `patch` sees its ports.
    ///
    /// `world` must outlive the node (both are owned by the module, which drops nodes first).
    /// Errors: the negative errno that PipeWire gave.
    pub(crate) fn new(
        context: &Context,
        config: NodeConfig,
        logic: Logic,
        world: &WorldCell,
        changed: Rc<MainEvent>,
        patch: Rc<Patch>,
    ) -> Result<Self, i32> {
        let name = config.props.get("node.name").unwrap_or_default().to_owned();
        let object = NodeObject::new(context, config, logic, world);
        let props = object.config.props.to_properties();
        // SAFETY: the context lives as long as the module; it takes over the properties.
        let node = unsafe { pw::pw_context_create_node(context.as_ptr(), props, 0) };
        let node = NonNull::new(node).ok_or(-libc::ENOMEM)?;
        let watch = Box::new(Watch {
            node: Cell::new(Some(node)),
            hook: UnsafeCell::new(empty_hook()),
            ports: RefCell::default(),
            links: RefCell::default(),
            signal: changed,
            patch,
            name,
        });
        let data: *const Watch = &raw const *watch;
        // SAFETY: the hook and the watch live in a box that stays until the hook is removed.
        unsafe {
            pw::pw_impl_node_add_listener(
                node.as_ptr(),
                watch.hook.get(),
                &raw const NODE_EVENTS,
                data.cast_mut().cast(),
            );
        }
        let this = Self { watch, object };
        let implementation: *const NodeObject = &raw const *this.object;
        // SAFETY: the object outlives the node: `this` drops the node first.
        let res =
            unsafe { pw::pw_impl_node_set_implementation(node.as_ptr(), implementation.cast_mut().cast()) };
        if res < 0 {
            return Err(res);
        }
        // SAFETY: a complete node; null means no further properties.
        let res = unsafe { pw::pw_impl_node_register(node.as_ptr(), std::ptr::null_mut()) };
        if res < 0 {
            return Err(res);
        }
        Ok(this)
    }

    /// Real links to its ports at this moment.
    pub(crate) fn links(&self) -> u32 {
        u32::try_from(self.watch.links.borrow().len()).unwrap_or(u32::MAX)
    }

    /// Whether PipeWire has taken it away (it does so with all nodes when it stops).
    pub(crate) fn is_gone(&self) -> bool {
        self.watch.node.get().is_none()
    }

    /// Id of the node in the graph; `None` once it is gone.
    pub(crate) fn id(&self) -> Option<u32> {
        let node = self.watch.node.get()?;
        // SAFETY: the node is alive while the watch holds it; its info is never null.
        Some(unsafe { (*pw::pw_impl_node_get_info(node.as_ptr())).id })
    }

    /// Lets the node take part in the graph, or not.
    pub(crate) fn set_active(&self, active: bool) {
        let Some(node) = self.watch.node.get() else { return };
        // SAFETY: the node is alive while the watch holds it.
        if unsafe { pw::pw_impl_node_is_active(node.as_ptr()) } != active {
            // SAFETY: as above.
            unsafe { pw::pw_impl_node_set_active(node.as_ptr(), active) };
        }
    }

    /// Sets properties that clients see.
    pub(crate) fn update_properties(&self, changes: &Dictionary) {
        let Some(node) = self.watch.node.get() else { return };
        // SAFETY: the node is alive; the dictionary lives for the call.
        changes.with_raw(|dict| unsafe { pw::pw_impl_node_update_properties(node.as_ptr(), dict) });
    }

    /// Changes the latency that the ports report, in samples.
    pub(crate) fn set_latency(&self, samples: u32) {
        self.object.set_latency(samples);
    }

    /// Runs `f` with the node's real-time part, on the data loop, and waits.
    pub(crate) fn with_logic<R>(&self, f: impl FnOnce(&mut Logic) -> R) -> R {
        self.object.with_rt(|rt| f(&mut rt.logic))
    }

    /// Whether its real-time part panicked; it is silent since.
    pub(crate) fn has_failed(&self) -> bool {
        self.object.failed.load(std::sync::atomic::Ordering::Relaxed)
    }

    pub(super) fn object(&self) -> &NodeObject {
        &self.object
    }
}

impl Drop for StreamNode {
    fn drop(&mut self) {
        if let Some(node) = self.watch.node.get() {
            // SAFETY: still alive: its `destroy` event has not come. The event runs inside this call.
            unsafe { pw::pw_impl_node_destroy(node.as_ptr()) };
        }
        self.watch.forget();
    }
}

impl Watch {
    fn forget(&self) {
        self.node.set(None);
        let ports = std::mem::take(&mut *self.ports.borrow_mut());
        for port in ports {
            // SAFETY: the hook is in the port watch; nobody else borrows it on this thread.
            remove_hook(unsafe { &mut *port.hook.get() });
            self.patch.port_gone(port.port);
        }
        // SAFETY: as above, for the node's hook.
        remove_hook(unsafe { &mut *self.hook.get() });
        self.links.borrow_mut().clear();
    }
}

static NODE_EVENTS: pw::pw_impl_node_events = {
    // SAFETY: a table of optional functions may be zero: version 0 and nothing set.
    let mut table: pw::pw_impl_node_events = unsafe { std::mem::zeroed() };
    table.destroy = Some(node_destroyed);
    table.port_added = Some(port_added);
    table
};

static PORT_EVENTS: pw::pw_impl_port_events = {
    // SAFETY: as above.
    let mut table: pw::pw_impl_port_events = unsafe { std::mem::zeroed() };
    table.destroy = Some(port_destroyed);
    table.link_added = Some(link_added);
    table.link_removed = Some(link_removed);
    table
};

unsafe extern "C" fn node_destroyed(data: *mut c_void) {
    super::fence::fence((), || {
        // SAFETY: `data` is the `Watch`, alive until its hook is removed.
        let watch = unsafe { &*data.cast::<Watch>() };
        watch.forget();
        watch.signal.signal();
    });
}

unsafe extern "C" fn port_added(data: *mut c_void, port: *mut pw::pw_impl_port) {
    super::fence::fence((), || {
        // SAFETY: as in `node_destroyed`.
        let watch = unsafe { &*data.cast::<Watch>() };
        let entry = Box::new(PortWatch { hook: UnsafeCell::new(empty_hook()), port, watch });
        let pointer: *const PortWatch = &raw const *entry;
        // SAFETY: the port is alive, the hook stays in its box until it is removed.
        unsafe {
            pw::pw_impl_port_add_listener(
                port,
                entry.hook.get(),
                &raw const PORT_EVENTS,
                pointer.cast_mut().cast(),
            );
        }
        watch.ports.borrow_mut().push(entry);
        if let Some(port) = NonNull::new(port) {
            // SAFETY: the port is alive: it is being added.
            let channel = unsafe { pw::pw_impl_port_get_id(port.as_ptr()) };
            watch.patch.port_added(port, LinkEnd { node: watch.name.clone(), channel });
        }
    });
}

unsafe extern "C" fn port_destroyed(data: *mut c_void) {
    super::fence::fence((), || {
        // SAFETY: `data` is a `PortWatch` of a watch that is alive; copied before the entry is dropped.
        let (port, watch) =
            unsafe { ((*data.cast::<PortWatch>()).port, &*(*data.cast::<PortWatch>()).watch) };
        watch.ports.borrow_mut().retain(|entry| {
            if entry.port != port {
                return true;
            }
            // SAFETY: the hook is in the entry; nobody else borrows it on this thread.
            remove_hook(unsafe { &mut *entry.hook.get() });
            false
        });
        watch.patch.port_gone(port);
    });
}

unsafe extern "C" fn link_added(data: *mut c_void, link: *mut pw::pw_impl_link) {
    super::fence::fence((), || {
        // SAFETY: as in `port_destroyed`.
        let (port, watch) =
            unsafe { ((*data.cast::<PortWatch>()).port, &*(*data.cast::<PortWatch>()).watch) };
        if watch.patch.link_added(port, link) {
            watch.links.borrow_mut().push(link);
            watch.signal.signal();
        }
    });
}

unsafe extern "C" fn link_removed(data: *mut c_void, link: *mut pw::pw_impl_link) {
    super::fence::fence((), || {
        // SAFETY: as in `port_destroyed`.
        let watch = unsafe { &*(*data.cast::<PortWatch>()).watch };
        watch.patch.link_removed(link);
        let mut links = watch.links.borrow_mut();
        if let Some(place) = links.iter().position(|counted| *counted == link) {
            links.swap_remove(place);
            watch.signal.signal();
        }
    });
}
