//! The thread that talks to PipeWire: an ordinary client, reconnecting for ever.
//!
//! It knows nothing of streams: it tells what the metadata object holds and writes what it is told to.

mod links;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use pipewire::channel::Receiver;
use pipewire::context::ContextRc;
use pipewire::core::CoreRc;
use pipewire::main_loop::MainLoopRc;
use pipewire::metadata::{Metadata, MetadataListener};
use pipewire::properties::properties;
use pipewire::registry::GlobalObject;
use pipewire::spa::utils::dict::DictRef;
use pipewire::types::ObjectType;
use tokio::sync::mpsc::Sender;
use tracing::{debug, info, warn};
use wireloom_wanted::{METADATA_NAME, VALUE_TYPE};

use crate::model::{GraphEvent, GraphObject, GraphOp, LinkOp};

/// What the core wants of PipeWire.
#[derive(Debug, Clone, PartialEq)]
pub enum PipeWireOp {
    Write(GraphOp),
    Link(LinkOp),
}

/// The metadata object in which session managers keep what the user chose (`metadata.name`).
const CHOICES_NAME: &str = "default";
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Starts the thread. It ends when the receiver of `events` is gone.
pub fn start(events: Sender<GraphEvent>, ops: Receiver<PipeWireOp>) -> std::io::Result<()> {
    std::thread::Builder::new().name("pipewire".to_owned()).spawn(move || {
        pipewire::init();
        let mut wait = FIRST_WAIT;
        let mut ops = Some(ops);
        while let Some(receiver) = ops.take() {
            let begun = Instant::now();
            let (back, result) = session(&events, receiver);
            if let Err(error) = &result {
                debug!("PipeWire: {error}");
            }
            if events.blocking_send(GraphEvent::Disconnected).is_err() {
                return;
            }
            ops = Some(back);
            if begun.elapsed() > LONGEST_WAIT {
                wait = FIRST_WAIT; // it was a connection, not an attempt
            }
            std::thread::sleep(wait);
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    })?;
    Ok(())
}

/// The metadata object, bound.
struct Bound {
    global: u32,
    metadata: Metadata,
    _listener: MetadataListener,
    /// The round trip after which all its keys have been told.
    sync: Option<i32>,
    /// The first of two round trips is over, see [`settled`].
    once: bool,
}

/// A metadata object with the user's choices, bound.
struct Choices {
    _metadata: Metadata,
    _listener: MetadataListener,
}

/// What one connection knows.
struct Seen {
    events: Sender<GraphEvent>,
    bound: Option<Bound>,
    /// By global id: the session manager makes one, also where the daemon has one.
    choices: BTreeMap<u32, Choices>,
    /// Devices of others: global id, is a source, is a sink.
    devices: BTreeMap<u32, (bool, bool)>,
    links: links::Links,
    /// The round trip after which everything that was there at first has been told.
    listed: Option<i32>,
}

impl Seen {
    fn send(&self, event: GraphEvent) {
        let _ = self.events.blocking_send(event); // the core is gone: so are we, soon
    }

    fn send_devices(&self) {
        let count = |pick: fn(&(bool, bool)) -> bool| {
            u32::try_from(self.devices.values().filter(|device| pick(device)).count()).unwrap_or(u32::MAX)
        };
        self.send(GraphEvent::Devices { sources: count(|device| device.0), sinks: count(|device| device.1) });
    }
}

/// One connection from its beginning to its end.
fn session(
    events: &Sender<GraphEvent>,
    ops: Receiver<PipeWireOp>,
) -> (Receiver<PipeWireOp>, Result<(), pipewire::Error>) {
    match connect() {
        Err(error) => (ops, Err(error)),
        Ok((main_loop, core)) => (run(events, ops, &main_loop, &core), Ok(())),
    }
}

/// Connects to the manager's socket when there is one, else to the ordinary one.
fn connect() -> Result<(MainLoopRc, CoreRc), pipewire::Error> {
    let main_loop = MainLoopRc::new(None)?;
    let context = ContextRc::new(&main_loop, None)?;
    let named = |remote: Option<&str>| {
        let mut properties = properties! {
            *pipewire::keys::APP_NAME => "Wireloom",
            *pipewire::keys::MEDIA_CATEGORY => "Manager",
        };
        if let Some(remote) = remote {
            properties.insert(*pipewire::keys::REMOTE_NAME, remote);
        }
        properties
    };
    if std::env::var_os("PIPEWIRE_REMOTE").is_none()
        && let Ok(core) = context.connect_rc(Some(named(Some("pipewire-0-manager"))))
    {
        return Ok((main_loop, core));
    }
    let core = context.connect_rc(Some(named(None)))?;
    Ok((main_loop, core))
}

fn run(
    events: &Sender<GraphEvent>,
    ops: Receiver<PipeWireOp>,
    main_loop: &MainLoopRc,
    core: &CoreRc,
) -> Receiver<PipeWireOp> {
    let seen = Rc::new(RefCell::new(Seen {
        events: events.clone(),
        bound: None,
        choices: BTreeMap::new(),
        devices: BTreeMap::new(),
        links: links::Links::default(),
        listed: None,
    }));
    let _core_listener = core
        .add_listener_local()
        .done({
            let (seen, core) = (seen.clone(), core.downgrade());
            move |_, seq| {
                let mut seen = seen.borrow_mut();
                if let Some(core) = core.upgrade() {
                    settled(&mut seen, seq.seq(), &core);
                }
                if seen.listed == Some(seq.seq()) {
                    seen.listed = None;
                    seen.send(GraphEvent::Object(GraphObject::Listed));
                }
                if seen.links.is_synced(seq.seq()) {
                    seen.send(GraphEvent::Object(GraphObject::Synced));
                }
            }
        })
        .error({
            let (main_loop, seen) = (main_loop.clone(), seen.clone());
            move |id, _, result, message| {
                if let Some((output, input)) = seen.borrow_mut().links.fail(id) {
                    let why = message.to_owned();
                    return seen.borrow().send(GraphEvent::Object(GraphObject::Refused {
                        output,
                        input,
                        why,
                    }));
                }
                if id == pipewire::core::PW_ID_CORE && result == -nix::libc::EPIPE {
                    info!("PipeWire closed the connection");
                    main_loop.quit();
                } else {
                    warn!("PipeWire reports for object {id}: {message} ({result})");
                }
            }
        })
        .register();
    let Ok(registry) = core.get_registry_rc() else { return ops };
    let attached = ops.attach(main_loop.loop_(), {
        let (seen, core, registry) = (seen.clone(), core.clone(), registry.clone());
        move |op| match op {
            PipeWireOp::Write(op) => write(&seen.borrow(), &op),
            PipeWireOp::Link(op) => seen.borrow_mut().links.carry_out(&op, &core, &registry),
        }
    });
    let _registry_listener = registry
        .add_listener_local()
        .global({
            let (seen, registry, core) = (seen.clone(), registry.downgrade(), core.downgrade());
            move |global| {
                let (Some(registry), Some(core)) = (registry.upgrade(), core.upgrade()) else { return };
                match global.type_ {
                    ObjectType::Metadata if property(global, "metadata.name") == Some(METADATA_NAME) => {
                        match registry.bind::<Metadata, _>(global) {
                            Ok(metadata) => bind(&seen, global.id, metadata, &core),
                            Err(error) => warn!("cannot bind the metadata object: {error}"),
                        }
                    }
                    ObjectType::Metadata if property(global, "metadata.name") == Some(CHOICES_NAME) => {
                        match registry.bind::<Metadata, _>(global) {
                            Ok(metadata) => listen_to_choices(&seen, global.id, metadata),
                            Err(error) => warn!("cannot bind the metadata object of the desktop: {error}"),
                        }
                    }
                    ObjectType::Node => learn_node(&mut seen.borrow_mut(), global),
                    ObjectType::Link => {
                        if let Some(object) = links::describe(global) {
                            seen.borrow_mut().links.appeared(&object);
                            seen.borrow().send(GraphEvent::Object(object));
                        }
                    }
                    _ => {}
                }
                if matches!(global.type_, ObjectType::Node | ObjectType::Port)
                    && let Some(object) = links::describe(global)
                {
                    seen.borrow().send(GraphEvent::Object(object));
                }
            }
        })
        .global_remove({
            let (seen, core) = (seen.clone(), core.downgrade());
            move |id| {
                forget(&mut seen.borrow_mut(), id);
                seen.borrow().send(GraphEvent::Object(GraphObject::Removed { id }));
                if let Some(core) = core.upgrade() {
                    seen.borrow_mut().links.removed(id, &core);
                }
            }
        })
        .register();
    seen.borrow().send(GraphEvent::Connected);
    seen.borrow_mut().listed = core.sync(0).ok().map(|seq| seq.seq());
    main_loop.run();
    attached.deattach()
}

fn property<'a>(global: &'a GlobalObject<&DictRef>, key: &str) -> Option<&'a str> {
    global.props.and_then(|properties| properties.get(key))
}

fn write(seen: &Seen, op: &GraphOp) {
    let Some(bound) = &seen.bound else { return };
    if op.key.contains('\0') || op.value.as_ref().is_some_and(|value| value.contains('\0')) {
        return; // never made by the core; PipeWire's strings end there
    }
    bound.metadata.set_property(0, &op.key, op.value.as_ref().map(|_| VALUE_TYPE), op.value.as_deref());
}

fn bind(seen: &Rc<RefCell<Seen>>, global: u32, metadata: Metadata, core: &CoreRc) {
    if seen.borrow().bound.is_some() {
        return warn!("there are two metadata objects named {METADATA_NAME}; the first one counts");
    }
    seen.borrow().send(GraphEvent::ObjectAppeared);
    let listener = metadata
        .add_listener_local()
        .property({
            let events = seen.borrow().events.clone();
            move |subject, key, _, value| {
                if subject == 0 {
                    let (key, value) = (key.map(str::to_owned), value.map(str::to_owned));
                    let _ = events.blocking_send(GraphEvent::Property { key, value });
                }
                0
            }
        })
        .register();
    let sync = core.sync(0).ok().map(|seq| seq.seq());
    seen.borrow_mut().bound = Some(Bound { global, metadata, _listener: listener, sync, once: false });
}

/// Tells which devices the user chose as defaults, now and from now on. When the session manager goes, they stay chosen:
/// the next one says what else it knows.
fn listen_to_choices(seen: &Rc<RefCell<Seen>>, global: u32, metadata: Metadata) {
    let listener = metadata
        .add_listener_local()
        .property({
            let events = seen.borrow().events.clone();
            move |subject, key, _, value| {
                let sink = match key {
                    Some("default.configured.audio.source") => false,
                    Some("default.configured.audio.sink") => true,
                    _ => return 0,
                };
                if subject == 0 {
                    let _ = events.blocking_send(GraphEvent::Chosen { sink, name: value.and_then(name_in) });
                }
                0
            }
        })
        .register();
    let choices = Choices { _metadata: metadata, _listener: listener };
    seen.borrow_mut().choices.insert(global, choices);
}

/// The name in a value of [`CHOICES_NAME`].
fn name_in(value: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(value).ok()?;
    value["name"].as_str().map(str::to_owned)
}

/// Two round trips: what the second metadata object holds that was there at first is told after the first, if that comes
/// later in the registry.
fn settled(seen: &mut Seen, seq: i32, core: &CoreRc) {
    let Some(bound) = seen.bound.as_mut().filter(|bound| bound.sync == Some(seq)) else { return };
    if !std::mem::replace(&mut bound.once, true)
        && let Ok(next) = core.sync(0)
    {
        bound.sync = Some(next.seq());
        return;
    }
    bound.sync = None;
    seen.send_devices();
    seen.send(GraphEvent::Settled);
}

/// Counts devices of others, because our nodes are devices of the desktop only beside them.
fn learn_node(seen: &mut Seen, global: &GlobalObject<&DictRef>) {
    let name = property(global, "node.name").unwrap_or_default();
    if name.starts_with("wireloom.") || name == "auto_null" {
        return;
    }
    let class = property(global, "media.class").unwrap_or_default();
    let source = matches!(class, "Audio/Source" | "Audio/Source/Virtual" | "Audio/Duplex");
    let sink = matches!(class, "Audio/Sink" | "Audio/Duplex");
    if source || sink {
        seen.devices.insert(global.id, (source, sink));
        seen.send_devices();
    }
}

fn forget(seen: &mut Seen, id: u32) {
    seen.choices.remove(&id);
    if seen.bound.as_ref().is_some_and(|bound| bound.global == id) {
        seen.bound = None;
        seen.send(GraphEvent::ObjectGone);
    }
    if seen.devices.remove(&id).is_some() {
        seen.send_devices();
    }
}
