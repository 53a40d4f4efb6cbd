//! What clients link to our nodes: real links are counted, those between other devices become virtual.

use std::cell::{Cell, RefCell, UnsafeCell};
use std::collections::{BTreeMap, HashMap};
use std::ffi::{CString, c_int, c_void};
use std::ptr::NonNull;
use std::rc::Rc;

use libspa_sys as spa;
use pipewire_sys as pw;
use wireloom_wanted::LinkEnd;

use super::fence::fence;
use super::interface::{empty_hook, remove_hook};
use super::link_rights::{Rights, clients};
use super::relay::Relay;
use super::virtual_link::{Ends, Registry, VirtualLink, send_info};
use super::{Context, Dictionary, MainEvent, pod};
use crate::links::{LinkState, Look, Pair};

/// What a link is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// An ordinary link.
    Real,
    /// An ordinary link that carries audio from one device to another through this computer.
    Relay,
    /// A route of the network.
    Virtual,
}

/// Why a client may not draw a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// As a positive errno.
    pub code: i32,
    /// In words.
    pub text: &'static str,
}

/// What happened to a virtual link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PatchEvent {
    /// A client destroyed it.
    Destroyed(Pair),
    /// A port it was drawn at has gone, or it could not be made.
    Vanished(Pair),
}

type Judge = Box<dyn Fn(&LinkEnd, &LinkEnd) -> Verdict>;
type Asked = Box<dyn Fn(&Pair, bool) -> Result<Look, Refusal>>;

/// A real link that is to become virtual, and the answer to its creator once it was given.
struct Pending {
    link: *mut pw::pw_impl_link,
    answer: Option<(Pair, Option<Look>)>,
}

/// The links at the ports of all our nodes. At a fixed address (it lives in its `Rc`). Main loop only.
pub(crate) struct Patch {
    registry: Registry,
    queue: NonNull<pw::pw_work_queue>,
    bell: Rc<MainEvent>,
    judge: Judge,
    asked: Asked,
    ends: RefCell<HashMap<*mut pw::pw_impl_port, LinkEnd>>,
    ports: RefCell<BTreeMap<LinkEnd, NonNull<pw::pw_impl_port>>>,
    /// Real links that are to become virtual before they are negotiated.
    pending: RefCell<Vec<Pending>>,
    hook: UnsafeCell<spa::spa_hook>,
    /// Boxed one by one: PipeWire keeps pointers to the hooks in them.
    #[expect(clippy::vec_box, reason = "a hook must stay where it is")]
    relays: RefCell<Vec<Box<Relay>>>,
    links: RefCell<BTreeMap<Pair, Box<VirtualLink>>>,
    /// A look at who may destroy them is on its way.
    limits: Cell<bool>,
    events: Rc<RefCell<Vec<PatchEvent>>>,
}

impl Patch {
    /// `judge` says what a link between two of our ports is to be. `asked` is told that a client draws a virtual link,
    /// and whether that client may meddle with the receiving node; it answers how the link looks, or why there is none.
    /// `bell` is signalled when there are events. `None`: PipeWire has no work queue.
    pub(crate) fn new(
        context: &Context,
        bell: Rc<MainEvent>,
        judge: impl Fn(&LinkEnd, &LinkEnd) -> Verdict + 'static,
        asked: impl Fn(&Pair, bool) -> Result<Look, Refusal> + 'static,
    ) -> Option<Rc<Self>> {
        // SAFETY: the context is alive.
        let queue = NonNull::new(unsafe { pw::pw_context_get_work_queue(context.as_ptr()) })?;
        let context = Registry { context: NonNull::new(context.as_ptr())?, version: context.version() };
        let patch = Rc::new(Self {
            registry: context,
            queue,
            bell,
            judge: Box::new(judge),
            asked: Box::new(asked),
            ends: RefCell::default(),
            ports: RefCell::default(),
            pending: RefCell::default(),
            hook: UnsafeCell::new(empty_hook()),
            relays: RefCell::default(),
            links: RefCell::default(),
            limits: Cell::default(),
            events: Rc::default(),
        });
        let data: *mut c_void = Rc::as_ptr(&patch).cast_mut().cast();
        // SAFETY: hook and data stay at their address until `drop` removes the hook.
        unsafe {
            pw::pw_context_add_listener(
                context.context.as_ptr(),
                patch.hook.get(),
                &raw const CONTEXT_EVENTS,
                data,
            );
        }
        Some(patch)
    }

    /// Whether there is such a port.
    pub(crate) fn exists(&self, end: &LinkEnd) -> bool {
        self.ports.borrow().contains_key(end)
    }

    /// Virtual links at the ports of the node of this name.
    pub(crate) fn links_of(&self, node: &str) -> usize {
        let links = self.links.borrow();
        links.keys().filter(|pair| pair.output.node == node || pair.input.node == node).count()
    }

    /// What happened since the last call.
    pub(crate) fn take_events(&self) -> Vec<PatchEvent> {
        self.links.borrow_mut().retain(|_, link| !link.is_gone());
        std::mem::take(&mut *self.events.borrow_mut())
    }

    /// Shows a virtual link.
    pub(crate) fn draw(&self, pair: &Pair, look: &Look) {
        let ends = {
            let ports = self.ports.borrow();
            let (output, input) = (ports.get(&pair.output), ports.get(&pair.input));
            output.zip(input).map(|(output, input)| ends(*output, *input))
        };
        let (events, bell, gone) = (Rc::clone(&self.events), Rc::clone(&self.bell), pair.clone());
        let destroyed = move || {
            events.borrow_mut().push(PatchEvent::Destroyed(gone.clone()));
            bell.signal();
        };
        let node = self.ports.borrow().get(&pair.input).and_then(|port| node_global(*port));
        let link = ends.zip(node).and_then(|(ends, node)| {
            let rights = Rights::new(node, self);
            VirtualLink::new(self.registry, ends, &pair.id(), look, rights, destroyed)
        });
        match link {
            // What may be in its place was destroyed by a client.
            Some(link) => drop(self.links.borrow_mut().insert(pair.clone(), link)),
            None => self.events.borrow_mut().push(PatchEvent::Vanished(pair.clone())),
        }
    }

    /// Shows another state of a virtual link.
    pub(crate) fn show(&self, pair: &Pair, look: &Look) {
        if let Some(link) = self.links.borrow().get(pair) {
            link.show(look);
        }
        self.change_pending(pair, Some(look));
    }

    /// Takes a virtual link away.
    pub(crate) fn erase(&self, pair: &Pair) {
        let link = self.links.borrow_mut().remove(pair);
        drop(link);
        self.change_pending(pair, None);
    }

    /// A client has come, or what it may do has changed: soon, outside of what changes it, links follow.
    pub(super) fn limit_soon(&self) {
        if self.limits.replace(true) {
            return;
        }
        let this: *mut c_void = std::ptr::from_ref(self).cast_mut().cast();
        // SAFETY: the queue lives as long as the context; the job is cancelled before `self` goes.
        unsafe { pw::pw_work_queue_add(self.queue.as_ptr(), this, 0, Some(limit), std::ptr::null_mut()) };
    }

    /// Changes what takes the place of a real link that still waits for it.
    fn change_pending(&self, pair: &Pair, look: Option<&Look>) {
        for (waiting, answer) in self.pending.borrow_mut().iter_mut().filter_map(|p| p.answer.as_mut()) {
            if waiting == pair && answer.is_some() {
                *answer = look.cloned();
            }
        }
    }

    /// Judges again all links between two of our ports that are real: what makes them virtual has changed.
    pub(crate) fn reconsider(&self) {
        let links: Vec<_> = self.relays.borrow().iter().map(|relay| relay.link()).collect();
        for link in links {
            if self.judge(link) == Verdict::Virtual {
                self.convert_soon(link);
            }
        }
    }

    /// A port of ours has come.
    pub(super) fn port_added(&self, port: NonNull<pw::pw_impl_port>, end: LinkEnd) {
        self.ports.borrow_mut().insert(end.clone(), port);
        self.ends.borrow_mut().insert(port.as_ptr(), end);
    }

    /// A port of ours goes, and so do the virtual links at it.
    pub(super) fn port_gone(&self, port: *mut pw::pw_impl_port) {
        let Some(end) = self.ends.borrow_mut().remove(&port) else { return };
        self.ports.borrow_mut().remove(&end);
        let gone: Vec<(Pair, Box<VirtualLink>)> = {
            let mut links = self.links.borrow_mut();
            let at_end: Vec<Pair> =
                links.keys().filter(|pair| pair.output == end || pair.input == end).cloned().collect();
            at_end.into_iter().filter_map(|pair| links.remove_entry(&pair)).collect()
        };
        for (pair, link) in gone {
            let destroyed_before = link.is_gone();
            drop(link);
            if !destroyed_before {
                self.events.borrow_mut().push(PatchEvent::Vanished(pair));
            }
        }
    }

    /// A link has come to one of our ports. Returns whether it stays, and so counts.
    pub(super) fn link_added(&self, port: *mut pw::pw_impl_port, link: *mut pw::pw_impl_link) -> bool {
        let verdict = self.judge(link);
        // Both ports tell of a link between two of them; the output acts.
        // SAFETY: the link is alive: it is being added.
        if unsafe { pw::pw_impl_link_get_output(link) } == port {
            match verdict {
                Verdict::Virtual => self.convert_soon(link),
                Verdict::Relay => self.relays.borrow_mut().push(Relay::new(link, self)),
                Verdict::Real => {}
            }
        }
        verdict != Verdict::Virtual
    }

    /// A link leaves one of our ports.
    pub(super) fn link_removed(&self, link: *mut pw::pw_impl_link) {
        if let Some(Pending { answer: Some((pair, Some(_))), .. }) = self.take_pending(link) {
            // It went before it could become virtual; whether the other is drawn all the same is decided elsewhere.
            self.events.borrow_mut().push(PatchEvent::Vanished(pair));
            self.bell.signal();
        }
        self.relays.borrow_mut().retain(|relay| relay.link() != link);
    }

    fn judge(&self, link: *mut pw::pw_impl_link) -> Verdict {
        match self.pair(link) {
            Some(pair) => (self.judge)(&pair.output, &pair.input),
            None => Verdict::Real,
        }
    }

    /// The ends of a link between two of our ports.
    fn pair(&self, link: *mut pw::pw_impl_link) -> Option<Pair> {
        // SAFETY: the link is alive: it is at one of our ports.
        let (output, input) =
            unsafe { (pw::pw_impl_link_get_output(link), pw::pw_impl_link_get_input(link)) };
        let ends = self.ends.borrow();
        Some(Pair { output: ends.get(&output)?.clone(), input: ends.get(&input)?.clone() })
    }

    /// Queues the conversion. The queue is first in, first out, and the link's own preparation comes later.
    fn convert_soon(&self, link: *mut pw::pw_impl_link) {
        if self.pending.borrow().iter().any(|pending| pending.link == link) {
            return;
        }
        self.pending.borrow_mut().push(Pending { link, answer: None });
        let this: *mut c_void = std::ptr::from_ref(self).cast_mut().cast();
        // SAFETY: the queue lives as long as the context; the job is cancelled before `self` goes.
        unsafe { pw::pw_work_queue_add(self.queue.as_ptr(), this, 0, Some(convert), link.cast()) };
    }

    fn take_pending(&self, link: *mut pw::pw_impl_link) -> Option<Pending> {
        let mut pending = self.pending.borrow_mut();
        let place = pending.iter().position(|pending| pending.link == link)?;
        Some(pending.swap_remove(place))
    }

    /// A global was registered. If it is that of a pending link, its creator, who is bound to it by now and may wait
    /// for no more than the end of its request, is answered at once.
    fn answer_creator(&self, global: *mut pw::pw_global) {
        // SAFETY: pending links are alive: they leave the list when they go.
        let is_its = |p: &&Pending| unsafe { pw::pw_impl_link_get_global(p.link) } == global;
        let found = self.pending.borrow().iter().filter(|p| p.answer.is_none()).find(is_its).map(|p| p.link);
        let Some(link) = found else { return };
        let answer = self.answer(link);
        for pending in self.pending.borrow_mut().iter_mut().filter(|p| p.link == link) {
            pending.answer.clone_from(&answer);
        }
    }

    /// Asks whether the link may become virtual and tells its creator.
    fn answer(&self, link: *mut pw::pw_impl_link) -> Option<(Pair, Option<Look>)> {
        let (pair, link) = (self.pair(link)?, NonNull::new(link)?);
        let resources = resources(link);
        // Who made it was bound to it first; what the configuration made was not.
        let may = resources.first().is_none_or(|creator| may_meddle(*creator, link));
        let answer = (self.asked)(&pair, may);
        match &answer {
            Ok(_) => tell_prepared(link, &resources),
            Err(refusal) => {
                let text = CString::new(refusal.text).unwrap_or_default();
                for resource in resources {
                    // SAFETY: the resource is alive as long as the link, the text for the call.
                    unsafe { pw::pw_resource_error(resource.as_ptr(), -refusal.code, text.as_ptr()) };
                }
            }
        }
        Some((pair, answer.ok()))
    }

    /// Puts a virtual link in the place of a real one, or nothing.
    fn convert(&self, link: NonNull<pw::pw_impl_link>) {
        let Some(pending) = self.take_pending(link.as_ptr()) else { return };
        let Some((pair, look)) = pending.answer.or_else(|| self.answer(link.as_ptr())) else { return };
        // SAFETY: alive: it was pending, and leaves that list when it goes. The queue runs this outside of its methods.
        unsafe { pw::pw_impl_link_destroy(link.as_ptr()) };
        if let Some(look) = look {
            self.draw(&pair, &look);
        }
        self.bell.signal();
    }
}

impl Drop for Patch {
    fn drop(&mut self) {
        let this: *mut c_void = std::ptr::from_mut(self).cast();
        // SAFETY: the queue is alive; the invalid id stands for all jobs of this object.
        unsafe { pw::pw_work_queue_cancel(self.queue.as_ptr(), this, spa::SPA_ID_INVALID) };
        // SAFETY: the hook is ours; nobody else borrows it on this thread.
        remove_hook(unsafe { &mut *self.hook.get() });
    }
}

static CONTEXT_EVENTS: pw::pw_context_events = {
    // SAFETY: a table of optional functions may be zero: version 0 and nothing set.
    let mut table: pw::pw_context_events = unsafe { std::mem::zeroed() };
    table.global_added = Some(global_added);
    table.check_access = Some(check_access);
    table
};

/// A client has come and gets its first rights, if any; none of its requests but the first have been served.
unsafe extern "C" fn check_access(patch: *mut c_void, client: *mut pw::pw_impl_client) {
    fence((), || {
        // SAFETY: the patch removes its hook before it goes.
        let patch = unsafe { &*patch.cast::<Patch>() };
        if let Some(client) = NonNull::new(client) {
            patch.links.borrow().values().for_each(|link| link.limit(client));
            patch.limit_soon();
        }
    });
}

unsafe extern "C" fn limit(patch: *mut c_void, _data: *mut c_void, _res: c_int, _id: u32) {
    fence((), || {
        // SAFETY: the patch cancels its jobs before it goes.
        let patch = unsafe { &*patch.cast::<Patch>() };
        patch.limits.set(false);
        for client in clients(patch.registry) {
            patch.links.borrow().values().for_each(|link| link.limit(client));
        }
    });
}

unsafe extern "C" fn global_added(patch: *mut c_void, global: *mut pw::pw_global) {
    fence((), || {
        // SAFETY: the patch removes its hook before it goes.
        unsafe { &*patch.cast::<Patch>() }.answer_creator(global);
    });
}

unsafe extern "C" fn convert(patch: *mut c_void, link: *mut c_void, _res: c_int, _id: u32) {
    fence((), || {
        // SAFETY: the patch cancels its jobs before it goes.
        let patch = unsafe { &*patch.cast::<Patch>() };
        if let Some(link) = NonNull::new(link.cast()) {
            patch.convert(link);
        }
    });
}

/// The registry's object for the node of a port of ours.
fn node_global(port: NonNull<pw::pw_impl_port>) -> Option<NonNull<pw::pw_global>> {
    // SAFETY: ports that the patch knows are alive, and so are their nodes.
    NonNull::new(unsafe { pw::pw_impl_node_get_global(pw::pw_impl_port_get_node(port.as_ptr())) })
}

/// The ids of what two of our ports belong to and are.
fn ends(output: NonNull<pw::pw_impl_port>, input: NonNull<pw::pw_impl_port>) -> Ends {
    // SAFETY: ports that the patch knows are alive; their info is never null.
    let port = |port: NonNull<pw::pw_impl_port>| unsafe { (*pw::pw_impl_port_get_info(port.as_ptr())).id };
    // SAFETY: as above; a port that is known belongs to a node of ours, which has an info.
    let node = |port: NonNull<pw::pw_impl_port>| unsafe {
        (*pw::pw_impl_node_get_info(pw::pw_impl_port_get_node(port.as_ptr()))).id
    };
    Ends {
        output_node: node(output),
        output_port: port(output),
        input_node: node(input),
        input_port: port(input),
    }
}

/// Clients that look at a real link, its creator first.
fn resources(link: NonNull<pw::pw_impl_link>) -> Vec<NonNull<pw::pw_resource>> {
    unsafe extern "C" fn collect(found: *mut c_void, resource: *mut pw::pw_resource) -> c_int {
        // SAFETY: `found` is the list below, borrowed by nobody else during the visit.
        let found = unsafe { &mut *found.cast::<Vec<NonNull<pw::pw_resource>>>() };
        found.extend(NonNull::new(resource));
        0
    }
    let mut found: Vec<NonNull<pw::pw_resource>> = Vec::new();
    // SAFETY: the link is alive.
    let global = unsafe { pw::pw_impl_link_get_global(link.as_ptr()) };
    if !global.is_null() {
        // SAFETY: the global is the link's; the list outlives the visit.
        unsafe { pw::pw_global_for_each_resource(global, Some(collect), (&raw mut found).cast()) };
    }
    found
}

/// Whether the client may change the node that the link leads to. Everybody may who was not put into a sandbox, and who
/// was, when the session manager trusts it with the graph; to look at nodes and to link them is not enough for a
/// command to another device.
fn may_meddle(client: NonNull<pw::pw_resource>, link: NonNull<pw::pw_impl_link>) -> bool {
    // SAFETY: link and resource are alive; the input of a link is a port of a registered node.
    let permissions = unsafe {
        let node = pw::pw_impl_port_get_node(pw::pw_impl_link_get_input(link.as_ptr()));
        pw::pw_global_get_permissions(
            pw::pw_impl_node_get_global(node),
            pw::pw_resource_get_client(client.as_ptr()),
        )
    };
    permissions & pw::PW_PERM_W != 0
}

/// Tells clients that the link they wait for is made: what takes its place they see in the registry.
fn tell_prepared(link: NonNull<pw::pw_impl_link>, resources: &[NonNull<pw::pw_resource>]) {
    // SAFETY: the link is alive, and its info is never null.
    let info = unsafe { &*pw::pw_impl_link_get_info(link.as_ptr()) };
    let ends = Ends {
        output_node: info.output_node_id,
        output_port: info.output_port_id,
        input_node: info.input_node_id,
        input_port: info.input_port_id,
    };
    let format = pod::dsp_format(spa::SPA_PARAM_Format);
    for resource in resources {
        send_info(*resource, info.id, ends, LinkState::Paused, None, Some(&format), &Dictionary::default());
    }
}
