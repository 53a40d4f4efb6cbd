//! The module's main loop side: what is wanted becomes nodes, what happens is told.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use wireloom_clock_page::{Reader, monotonic_raw_pair, realtime_raw_pair};
use wireloom_wanted::{Key, MAX_VALUE_BYTES, METADATA_NAME, Node, SCHEMA, State, StateReport, VALUE_TYPE};

use crate::arguments::{Arguments, ArgumentsError};
use crate::devices::Devices;
use crate::ffi::{
    self, Context, Dictionary, DriverNode, Level, MainEvent, MainTimer, Metadata, ModuleHandle, Pacemaker,
    Patch, Refusal, Senders, TimerFd, WorldCell,
};
use crate::patching::{Known, Patching};
use crate::properties;
use crate::rt::{ClockStatus, GraphClock, Pacer, World};
use crate::slot::{Slot, Surroundings};

/// How often nodes are looked after while one of them is busy.
const TICK_MS: u32 = 200;
/// Ticks in a second: counters are published that often.
const TICKS_A_SECOND: u32 = 1000 / TICK_MS;
/// A node that could not be made is tried again after this.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// Streams that can be sent at once.
const MAX_TRANSMITTERS: usize = 256;

/// Why the module cannot start.
#[derive(Debug)]
pub(crate) enum StartError {
    /// Its arguments are wrong.
    Arguments(ArgumentsError),
    /// The system refused this.
    Refused(&'static str),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arguments(error) => write!(f, "{error}"),
            Self::Refused(what) => write!(f, "cannot make {what}"),
        }
    }
}

/// Changes that clients made to the metadata and that have not been looked at, by key; an empty key: all went.
type Inbox = Rc<RefCell<BTreeMap<String, Letter>>>;

/// What became of one key.
struct Letter {
    value: Option<String>,
    /// It was removed before it got this value: of a route, that is an answer that must not be missed.
    was_removed: bool,
}

/// A node that cannot be now.
struct Refused {
    error: String,
    /// What was wanted, if it can be tried again: there may be descriptors later.
    again: Option<(Node, bool)>,
    at: Instant,
}

/// Everything the module owns. Fields are dropped in this order: what points to something before what it points to.
struct Plugin {
    slots: BTreeMap<String, Slot>,
    driver: Option<DriverNode>,
    devices: Devices,
    metadata: Metadata,
    timer: MainTimer,
    _pacemaker: Pacemaker,
    around: Surroundings,
    inbox: Inbox,
    arguments: Arguments,
    refused: BTreeMap<String, Refused>,
    watched: bool,
    ticks: u32,
    ticking: bool,
    told_clock: Option<ClockStatus>,
    patching: Patching,
}

/// Starts the module with the arguments `text`.
pub(crate) fn start(module: Rc<ModuleHandle>, context: Context, text: &str) -> Result<(), StartError> {
    let mut arguments = Arguments::parse(text).map_err(StartError::Arguments)?;
    let configured = context.configured_arguments(c"module.wireloom.args");
    for name in ["clock.page", "clock.domain", "nodes"] {
        if let Some(value) = configured.get(name) {
            arguments.set(name, value.to_owned().into()).map_err(StartError::Arguments)?;
        }
    }
    for warning in &arguments.warnings {
        ffi::log(Level::Warn, warning);
    }
    let mut props = Dictionary::default();
    props.set("module.author", "The Wireloom authors");
    props.set("module.description", "Network audio streams as nodes on the network's clock");
    props.set("module.usage", "( clock.page=<path> ) ( clock.domain=<0..127> ) ( nodes={ <id>={ ... } } )");
    props.set("module.version", env!("CARGO_PKG_VERSION"));
    module.describe(&props);

    let plugin = Plugin::new(context, arguments)?;
    plugin.borrow().around.changed.signal();
    let kept = Rc::clone(&module);
    module.on_destroy(move || {
        // The daemon may have taken nodes and metadata away already; each part knows.
        drop(plugin);
        drop(kept);
        ffi::fence::remove_hook();
    });
    Ok(())
}

/// Where callbacks find the plugin once it is complete.
type Place = Rc<RefCell<Weak<RefCell<Plugin>>>>;

fn run<R>(place: &Place, f: impl FnOnce(&mut Plugin) -> R) -> Option<R> {
    let plugin = place.borrow().upgrade()?;
    // Callbacks come from the main loop one at a time; should one ever come inside another, the next tick sees to it.
    let mut plugin = plugin.try_borrow_mut().ok()?;
    Some(f(&mut plugin))
}

impl Plugin {
    fn new(context: Context, arguments: Arguments) -> Result<Rc<RefCell<Self>>, StartError> {
        let refused = |what| move |_| StartError::Refused(what);
        let clock = GraphClock::new(monotonic_raw_pair(), realtime_raw_pair(), arguments.pinned);
        let driver_timer = TimerFd::new().map_err(refused("the driver's timer"))?;
        let pacer_timer = TimerFd::new().map_err(refused("the pacer's timer"))?;
        let world =
            WorldCell::new(World::new(clock, driver_timer, Pacer::new(pacer_timer, MAX_TRANSMITTERS)));
        if let Some(cycle) = arguments.panic_cycle {
            world.with(context.data_loop(), |world| world.panic_in(cycle));
        }
        let pacemaker = Pacemaker::new(context.data_loop(), &world);

        let place = Place::default();
        let on_event = Rc::clone(&place);
        let changed =
            MainEvent::new(context.main_loop(), move || run(&on_event, Self::settle).unwrap_or_default())
                .ok_or(StartError::Refused("a wake-up of the main loop"))?;
        let on_tick = Rc::clone(&place);
        let timer =
            MainTimer::new(context.main_loop(), move || run(&on_tick, Self::tick).unwrap_or_default())
                .ok_or(StartError::Refused("a timer of the main loop"))?;
        let changed = Rc::new(changed);
        let inbox = Inbox::default();
        let (letters, bell) = (Rc::clone(&inbox), Rc::clone(&changed));
        let metadata = Metadata::new(
            &context,
            &std::ffi::CString::new(METADATA_NAME).unwrap_or_default(),
            VALUE_TYPE,
            move |key, value| {
                let mut letters = letters.borrow_mut();
                if key.is_empty() {
                    letters.clear();
                }
                let before = letters.get(key);
                let was_removed = before.is_some_and(|letter| letter.was_removed || letter.value.is_none());
                let letter = Letter { value: value.map(str::to_owned), was_removed };
                letters.insert(key.to_owned(), letter);
                bell.signal();
            },
        )
        .ok_or(StartError::Refused("the metadata object"))?;
        metadata.set(&Key::Schema.to_string(), Some(&SCHEMA.to_string()));
        let known = Known::default();
        let (judged, on_draw) = (known.clone(), Rc::clone(&place));
        let patch = Patch::new(
            &context,
            Rc::clone(&changed),
            move |output, input| judged.judge(output, input),
            move |pair, may| {
                let busy = Refusal { code: libc::EAGAIN, text: "try again" };
                run(&on_draw, |plugin| plugin.patching.client_draws(pair, may, &plugin.around.patch))
                    .unwrap_or(Err(busy))
            },
        )
        .ok_or(StartError::Refused("a place in the work queue"))?;

        let plugin = Rc::new(RefCell::new(Self {
            slots: BTreeMap::new(),
            driver: None,
            metadata,
            timer,
            _pacemaker: pacemaker,
            around: Surroundings { context, world, changed, patch, senders: Senders::default() },
            devices: Devices::default(),
            patching: Patching::new(known),
            inbox,
            arguments,
            refused: BTreeMap::new(),
            watched: false,
            ticks: 0,
            ticking: false,
            told_clock: None,
        }));
        *place.borrow_mut() = Rc::downgrade(&plugin);
        Ok(plugin)
    }

    /// Brings everything in step with what is wanted. Runs after every change and every tick.
    fn settle(&mut self) {
        for (id, node) in std::mem::take(&mut self.arguments.nodes) {
            self.want_node(&id, node, true);
        }
        let now = Instant::now();
        self.patching.hear(now, &self.around.patch);
        self.read_inbox();
        self.remake();
        for slot in self.slots.values_mut() {
            slot.settle(now, &self.around);
        }
        self.patching.settle(&self.around.patch, |key, link| match link {
            Some(link) => publish(&self.metadata, key, link),
            None => self.metadata.set(&key.to_string(), None),
        });
        let busy = self.slots.values().any(Slot::is_busy)
            || self.refused.values().any(|r| r.again.is_some())
            || self.patching.is_waiting();
        if busy && !self.ticking {
            self.follow_page();
        }
        if busy != self.ticking {
            self.ticking = busy;
            self.timer.set_interval_ms(if busy { TICK_MS } else { 0 });
        }
        self.tell();
    }

    fn tick(&mut self) {
        self.ticks = (self.ticks + 1) % TICKS_A_SECOND;
        if self.ticks == 0 {
            self.follow_page();
            self.publish_stats();
        }
        self.settle();
    }

    /// Reads what clients have written into the metadata.
    fn read_inbox(&mut self) {
        let letters = std::mem::take(&mut *self.inbox.borrow_mut());
        for (key, Letter { value, was_removed }) in letters {
            if key.is_empty() {
                self.forget_all();
                continue;
            }
            match Key::parse(&key) {
                Some(Key::Node(id)) => match value {
                    Some(text) => self.read_node(&id, &text),
                    None => self.forget(&id),
                },
                Some(Key::Device(id)) => self.read_device(&id, value.as_deref()),
                Some(Key::Route(id)) => {
                    if was_removed && value.is_some() {
                        self.read_route(&id, None);
                    }
                    self.read_route(&id, value.as_deref());
                }
                Some(Key::Watch) => self.watched = value.is_some(),
                // The rest is ours, or of the patchbay: nothing to do here.
                _ => {}
            }
        }
    }

    /// Whether the node `id` is one of the module's arguments: it is as they say, whatever the metadata says.
    fn is_fixed(&self, id: &str) -> bool {
        let refused = self.refused.get(id).and_then(|refused| refused.again.as_ref());
        self.slots.get(id).map_or(refused.is_some_and(|(_, fixed)| *fixed), |slot| slot.fixed)
    }

    fn read_node(&mut self, id: &str, text: &str) {
        if self.is_fixed(id) {
            return;
        }
        match read::<Node>(text).and_then(|node| node.check().map(|()| node).map_err(|e| e.to_string())) {
            Ok(node) => self.want_node(id, node, false),
            Err(error) => self.refuse(id, error),
        }
    }

    fn read_device(&mut self, id: &str, text: Option<&str>) {
        let told = match text.map(read) {
            None => None,
            Some(Ok(device)) => Some(device),
            Some(Err(error)) => return ffi::log(Level::Warn, &format!("device {id}: {error}")),
        };
        self.devices.tell(id, told, self.slots.values().map(Slot::wanted));
    }

    fn read_route(&mut self, id: &str, text: Option<&str>) {
        let route = match text.map(read) {
            None => None,
            Some(Ok(route)) => Some(route),
            Some(Err(error)) => return ffi::log(Level::Warn, &format!("route {id}: {error}")),
        };
        self.patching.set_route(id, route);
    }

    /// Makes the node `id`, or changes it.
    fn want_node(&mut self, id: &str, node: Node, fixed: bool) {
        if self.driver.is_none() {
            self.make_driver();
        }
        self.patching.set_node(properties::node_name(id), &node, &self.around.patch);
        let device = self.devices.id_for(&node, &self.around.context, &self.around.changed);
        if let Some(slot) = self.slots.get_mut(id) {
            let was_chosen = slot.wanted().chosen;
            if slot.want(node.clone(), &self.around) {
                slot.set_device(device);
                if was_chosen != node.chosen {
                    self.devices.choose_again(&node);
                }
                self.refused.remove(id);
                return;
            }
            if let Some(slot) = self.slots.remove(id) {
                slot.remove(&self.around);
            }
        }
        match Slot::new(id, node.clone(), device, fixed, &self.around) {
            Ok(slot) => {
                self.refused.remove(id);
                self.slots.insert(id.to_owned(), slot);
            }
            Err(error) => {
                self.refuse(id, error);
                if let Some(refused) = self.refused.get_mut(id) {
                    refused.again = Some((node, fixed));
                }
            }
        }
    }

    /// Makes nodes anew that a client destroyed, or whose labels or class changed while somebody was linked to them:
    /// what is wanted is there as long as its key is.
    fn remake(&mut self) {
        if self.driver.as_ref().is_some_and(|driver| driver.node().is_gone()) {
            self.driver = None;
            self.make_driver();
        }
        if self.devices.miss_one() {
            for slot in self.slots.values_mut() {
                let device = self.devices.id_for(slot.wanted(), &self.around.context, &self.around.changed);
                slot.set_device(device);
            }
        }
        self.devices.keep(self.slots.values().map(Slot::wanted));
        let due = |slot: &Slot| slot.is_gone() || slot.waits_for_remake(&self.around);
        let due: Vec<String> =
            self.slots.iter().filter(|(_, slot)| due(slot)).map(|(id, _)| id.clone()).collect();
        let now = Instant::now();
        let again: Vec<(String, Node, bool)> = self
            .refused
            .iter()
            .filter(|(_, refused)| now.duration_since(refused.at) >= RETRY_AFTER)
            .filter_map(|(id, refused)| refused.again.clone().map(|(node, fixed)| (id.clone(), node, fixed)))
            .collect();
        for (id, node, fixed) in again {
            self.want_node(&id, node, fixed);
        }
        for id in due {
            let Some(slot) = self.slots.remove(&id) else { continue };
            let (node, fixed) = (slot.wanted().clone(), slot.fixed);
            slot.remove(&self.around);
            self.want_node(&id, node, fixed);
        }
    }

    /// Tells that `id` cannot be, and why. A node of that name that exists goes on as it is.
    fn refuse(&mut self, id: &str, error: String) {
        let at = Instant::now();
        if let Some(refused) = self.refused.get_mut(id).filter(|refused| refused.error == error) {
            refused.at = at;
            return;
        }
        ffi::log(Level::Warn, &format!("{id}: {error}"));
        let report = StateReport {
            state: State::Error,
            error: error.clone(),
            mode: None,
            port: 0,
            latency: 0,
            links: 0,
            heard: None,
            findings: Vec::new(),
        };
        publish(&self.metadata, &Key::State(id.to_owned()), &report);
        self.refused.insert(id.to_owned(), Refused { error, again: None, at });
    }

    fn forget(&mut self, id: &str) {
        if self.is_fixed(id) {
            return;
        }
        if let Some(slot) = self.slots.remove(id) {
            slot.remove(&self.around);
        }
        self.patching.forget_node(&properties::node_name(id));
        self.refused.remove(id);
        self.metadata.set(&Key::State(id.to_owned()).to_string(), None);
        self.metadata.set(&Key::Stats(id.to_owned()).to_string(), None);
    }

    /// Somebody cleared the metadata: no key, no node. What is ours is written again.
    fn forget_all(&mut self) {
        let ids: Vec<String> = self.slots.keys().chain(self.refused.keys()).cloned().collect();
        for id in ids {
            self.forget(&id);
        }
        self.slots.values_mut().for_each(Slot::tell_again);
        self.watched = false;
        self.devices.clear();
        self.patching.clear();
        self.metadata.set(&Key::Schema.to_string(), Some(&SCHEMA.to_string()));
    }

    fn make_driver(&mut self) {
        let props = properties::driver(self.around.context.data_loop_name());
        match DriverNode::new(
            &self.around.context,
            props,
            &self.around.world,
            Rc::clone(&self.around.changed),
            Rc::clone(&self.around.patch),
        ) {
            Ok(driver) => self.driver = Some(driver),
            Err(code) => {
                let error = std::io::Error::from_raw_os_error(-code);
                ffi::log(Level::Error, &format!("PipeWire refused the clock's node: {error}"));
            }
        }
    }

    /// Maps the clock page when it appears or another takes its place.
    fn follow_page(&mut self) {
        let data = self.around.context.data_loop();
        let replaced = self.around.world.with(data, |world| world.take_page());
        let page = match replaced {
            Some(page) if !page.is_replaced() => Some(page),
            old => Reader::open(&self.arguments.page).ok().or(old),
        };
        let rest = self.around.world.with(data, |world| world.set_page(page));
        drop(rest);
    }

    /// Tells what is new about nodes, the clock, and panics.
    fn tell(&mut self) {
        let now = Instant::now();
        let news: Vec<(Key, StateReport)> = self
            .slots
            .iter_mut()
            .filter_map(|(id, slot)| Some((Key::State(id.clone()), slot.take_news(now)?)))
            .collect();
        for (key, report) in &news {
            publish(&self.metadata, key, report);
        }
        if let Some((count, place)) = ffi::fence::take_report() {
            ffi::log(Level::Error, &format!("{count} panics, the last at {place}"));
        }
        let Some(driver) = &self.driver else { return };
        let status = self.around.world.with(self.around.context.data_loop(), |world| world.clock_status());
        if self.told_clock != Some(status) {
            let before = self.told_clock.replace(status);
            let mut props = Dictionary::default();
            props.set("wireloom.clock.source", &format!("{:?}", status.source));
            props.set("wireloom.clock.state", &format!("{:?}", status.state));
            props.set("wireloom.clock.leader", &status.leader.to_string());
            props.set("wireloom.clock.overruns", &status.overruns.to_string());
            props.set("wireloom.clock.jumps", &status.jumps.to_string());
            driver.node().update_properties(&props);
            let same = before.is_some_and(|b| (b.source, b.state) == (status.source, status.state));
            if !same {
                ffi::log(Level::Info, &format!("clock: {:?}, {:?}", status.source, status.state));
            }
        }
    }

    fn publish_stats(&self) {
        if !self.watched {
            return;
        }
        for (id, slot) in self.slots.iter().filter(|(_, slot)| slot.is_busy()) {
            publish(&self.metadata, &Key::Stats(id.clone()), &slot.stats());
        }
    }
}

/// Writes a value into the metadata.
fn publish(metadata: &Metadata, key: &Key, value: &impl serde::Serialize) {
    if let Ok(text) = serde_json::to_string(value) {
        metadata.set(&key.to_string(), Some(&text));
    }
}

/// Reads a value of the metadata. Errors are in words.
fn read<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    if text.len() > MAX_VALUE_BYTES {
        return Err(format!("the description has {} bytes, more than {MAX_VALUE_BYTES}", text.len()));
    }
    serde_json::from_str(text).map_err(|error| error.to_string())
}

impl Drop for Plugin {
    fn drop(&mut self) {
        for slot in std::mem::take(&mut self.slots).into_values() {
            slot.remove(&self.around);
        }
    }
}
