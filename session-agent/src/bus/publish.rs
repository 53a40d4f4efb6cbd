//! Brings what is on the bus in line with the newest world: level-triggered, at most ten times a second.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use wireloom_dbus::{BUS_NAME, ROOT_PATH};
use zbus::fdo::{RequestNameFlags, RequestNameReply};
use zbus::{Connection, connection, fdo};

use super::{checkpoint, clock, device, interface, job, manager, object_path, route, statistics, stream};
use crate::clock_service::ClockService;
use crate::request::Core;
use crate::side_by_side::differing;
use crate::view::{
    CheckpointView, ClockView, DeviceView, InterfaceView, JobView, ManagerView, RouteView, StreamView, World,
};

/// Between two rounds: what changes meanwhile becomes one signal per object.
const ROUND: Duration = Duration::from_millis(100);

/// Somebody else is `org.wireloom.Wireloom1` on this bus.
#[derive(Debug)]
pub struct Taken;

/// Connects to the session bus and serves the Manager. The name is asked for without waiting or replacing.
pub async fn connect(
    core: &Core,
    worlds: &watch::Receiver<Arc<World>>,
    clock: &ClockService,
) -> zbus::Result<Result<Connection, Taken>> {
    let view = worlds.borrow().manager.clone();
    let manager = manager::Manager { view, core: core.clone(), clock: clock.clone(), worlds: worlds.clone() };
    let connection = connection::Builder::session()
        .serve_at(ROOT_PATH, fdo::ObjectManager)
        .serve_at(ROOT_PATH, manager)
        .build()
        .await?;
    match connection.request_name_with_flags(BUS_NAME, RequestNameFlags::DO_NOT_QUEUE).await {
        Ok(RequestNameReply::PrimaryOwner | RequestNameReply::AlreadyOwner) => Ok(Ok(connection)),
        Ok(_) | Err(zbus::Error::NameTaken) => Ok(Err(Taken)),
        Err(error) => Err(error),
    }
}

/// Publishes objects until the core or the bus is gone, and says in `applied` which world is on the bus.
///
/// The Manager has a task of its own: its methods wait for objects while they hold the Manager.
pub async fn publish(
    connection: Connection,
    core: Core,
    mut worlds: watch::Receiver<Arc<World>>,
    applied: watch::Sender<u64>,
) -> zbus::Result<()> {
    let mut shown = Arc::new(World::default());
    loop {
        let world = worlds.borrow_and_update().clone();
        round(&connection, &core, &shown, &world).await?;
        applied.send_replace(world.serial);
        shown = world;
        tokio::time::sleep(ROUND).await;
        if worlds.changed().await.is_err() {
            return Ok(());
        }
    }
}

/// Publishes the Manager's properties until the core or the bus is gone.
pub async fn publish_manager(
    connection: Connection,
    mut worlds: watch::Receiver<Arc<World>>,
) -> zbus::Result<()> {
    loop {
        let newest = || worlds.borrow_and_update().manager.clone();
        update::<manager::Manager>(&connection, ROOT_PATH, newest).await?;
        tokio::time::sleep(ROUND).await;
        if worlds.changed().await.is_err() {
            return Ok(());
        }
    }
}

async fn round(bus: &Connection, core: &Core, old: &World, new: &World) -> zbus::Result<()> {
    kind(bus, "iface", &old.interfaces, &new.interfaces, |_, view| interface::Interface { view }).await?;
    kind(bus, "clock", &old.clocks, &new.clocks, |_, view| clock::Clock { view }).await?;
    // Devices before their streams when they come, after them when they go: references stay valid.
    let device = |_: &str, view| device::Device { view, core: core.clone() };
    appear(bus, "device", &old.devices, &new.devices, |_| true, device).await?;
    let stream = |_: &str, view| stream::Stream { view, core: core.clone() };
    kind(bus, "stream", &old.streams, &new.streams, stream).await?;
    let statistics = |_: &str, view| statistics::Statistics { view, core: core.clone() };
    let is_shown = |view: &StreamView| view.shown;
    disappear::<statistics::Statistics>(bus, "stream", &old.streams, &new.streams, is_shown).await?;
    appear(bus, "stream", &old.streams, &new.streams, is_shown, statistics).await?;
    kind(bus, "route", &old.routes, &new.routes, |_, view| route::Route { view }).await?;
    let checkpoint = |_: &str, view| checkpoint::Checkpoint { view, core: core.clone() };
    kind(bus, "checkpoint", &old.checkpoints, &new.checkpoints, checkpoint).await?;
    disappear::<device::Device>(bus, "device", &old.devices, &new.devices, |_| true).await?;
    let job = |id: &str, view| job::Job { id: id.to_owned(), view, core: core.clone() };
    kind(bus, "job", &old.jobs, &new.jobs, job).await?;
    for (id, view) in &new.jobs {
        let ended_before = old.jobs.get(id).is_some_and(|old| old.outcome.is_some());
        if let (Some((success, name, message)), false) = (&view.outcome, ended_before) {
            let path = object_path("job", id);
            let reference = bus.object_server().interface::<_, job::Job>(&path).await?;
            job::Job::completed(reference.signal_emitter(), *success, name, message).await?;
        }
    }
    Ok(())
}

/// A served object that shows a view.
trait Served: zbus::object_server::Interface {
    type View: Send + Sync;
    /// Properties that are announced as changed, without their value.
    const INVALIDATES: &'static [&'static str] = &[];
    /// Properties that move all the time: never announced.
    const QUIET: &'static [&'static str] = &[];
    fn view(&mut self) -> &mut Arc<Self::View>;
    /// Whether anything of `new` is announced that is not in `old`.
    fn is_news(old: &Self::View, new: &Self::View) -> bool;
}

macro_rules! served {
    ($object:ty, $view:ty, $invalidates:expr, $quiet:expr) => {
        served!($object, $view, $invalidates, $quiet, |_, _| true);
    };
    ($object:ty, $view:ty, $invalidates:expr, $quiet:expr, $is_news:expr) => {
        impl Served for $object {
            type View = $view;
            const INVALIDATES: &'static [&'static str] = &$invalidates;
            const QUIET: &'static [&'static str] = &$quiet;
            fn view(&mut self) -> &mut Arc<$view> {
                &mut self.view
            }
            fn is_news(old: &$view, new: &$view) -> bool {
                let is_news: fn(&$view, &$view) -> bool = $is_news;
                is_news(old, new)
            }
        }
    };
}

served!(manager::Manager, ManagerView, [], ["AnnouncementCounters"]);
served!(interface::Interface, InterfaceView, [], ["AnnouncementsReceived"]);
served!(clock::Clock, ClockView, [], ["ErrorBoundNs", "FrequencyPpb"]);
served!(device::Device, DeviceView, [], []);
// Heard again and again, and counted, is every stream: what only that changes is not even looked at.
served!(stream::Stream, StreamView, ["SdpText"], ["LastHeard"], |old, new| !new.is_like(old));
served!(statistics::Statistics, StreamView, [], ["Counters"], |_, _| false);
served!(route::Route, RouteView, [], []);
served!(checkpoint::Checkpoint, CheckpointView, [], []);
served!(job::Job, JobView, [], []);

/// Adds, updates and removes the objects of one kind.
async fn kind<I: Served>(
    bus: &Connection,
    name: &str,
    old: &BTreeMap<String, Arc<I::View>>,
    new: &BTreeMap<String, Arc<I::View>>,
    make: impl Fn(&str, Arc<I::View>) -> I,
) -> zbus::Result<()> {
    disappear::<I>(bus, name, old, new, |_| true).await?;
    appear(bus, name, old, new, |_| true, make).await
}

/// Adds and updates objects of those that `is_on_bus`.
async fn appear<I: Served>(
    bus: &Connection,
    name: &str,
    old: &BTreeMap<String, Arc<I::View>>,
    new: &BTreeMap<String, Arc<I::View>>,
    is_on_bus: impl Fn(&I::View) -> bool,
    make: impl Fn(&str, Arc<I::View>) -> I,
) -> zbus::Result<()> {
    for (id, before, after) in differing(old, new) {
        let Some(view) = after.filter(|view| is_on_bus(view)) else { continue };
        match before.filter(|view| is_on_bus(view)) {
            Some(_) => update::<I>(bus, object_path(name, id).as_str(), || view.clone()).await?,
            None => {
                bus.object_server().at(object_path(name, id), make(id, view.clone())).await?;
            }
        }
    }
    Ok(())
}

/// Removes objects that are no longer of those that `is_on_bus`.
async fn disappear<I: Served>(
    bus: &Connection,
    name: &str,
    old: &BTreeMap<String, Arc<I::View>>,
    new: &BTreeMap<String, Arc<I::View>>,
    is_on_bus: impl Fn(&I::View) -> bool,
) -> zbus::Result<()> {
    for (id, before, after) in differing(old, new) {
        if before.is_some_and(|view| is_on_bus(view)) && !after.is_some_and(|view| is_on_bus(view)) {
            bus.object_server().remove::<I, _>(object_path(name, id)).await?;
        }
    }
    Ok(())
}

/// Hands the object its new view and announces everything that differs in one signal.
///
/// The view is asked for when nobody else has the object: what a setter or a method has just shown stays.
async fn update<I: Served>(
    bus: &Connection,
    path: &str,
    view: impl FnOnce() -> Arc<I::View>,
) -> zbus::Result<()> {
    let reference = bus.object_server().interface::<_, I>(path).await?;
    let emitter = reference.signal_emitter();
    let server = bus.object_server();
    let (before, after) = {
        let mut object = reference.get_mut().await;
        let view = view();
        if Arc::ptr_eq(object.view(), &view) || !I::is_news(object.view(), &view) {
            *object.view() = view;
            return Ok(());
        }
        let before = object.get_all(server, bus, None, emitter).await?;
        *object.view() = view;
        (before, object.get_all(server, bus, None, emitter).await?)
    };
    let mut changed = HashMap::new();
    let mut invalidated = Vec::new();
    for (name, value) in &after {
        if before.get(name) == Some(value) || I::QUIET.contains(&name.as_str()) {
            continue;
        }
        if I::INVALIDATES.contains(&name.as_str()) {
            invalidated.push(name.as_str());
        } else {
            changed.insert(name.as_str(), zbus::Variant::try_from(value)?);
        }
    }
    if !changed.is_empty() || !invalidated.is_empty() {
        fdo::Properties::properties_changed(emitter, I::name(), changed, invalidated.into()).await?;
    }
    Ok(())
}
