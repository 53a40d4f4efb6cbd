//! The session agent: discovery, D-Bus, saved state.
//!
//! Not responsible for: audio, time, or anything that needs privileges. Stopping it stops no sound.

#![forbid(unsafe_code)]

mod bus;
mod clock_service;
mod clock_watch;
mod config;
mod core;
mod drop_in;
mod executor;
mod interfaces;
mod journal;
mod lock;
mod model;
mod oat;
mod pace;
mod pipewire_thread;
mod ravenna;
mod request;
mod sap_senders;
mod sap_sockets;
mod settings;
mod side_by_side;
mod stamp;
mod store;
mod time;
mod usrvclock;
mod view;

use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, Hasher as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tracing::{error, info, warn};
use wireloom_units::Nanos;

/// Discovers audio streams on the network and makes them nodes of PipeWire.
///
/// Started by systemd or by the bus; settings are changed with `wireloom`.
#[derive(Debug, Parser)]
#[command(name = "wireloom-agent", version)]
struct Arguments {
    /// Print the configuration in force, with everything that was not understood, and exit
    #[arg(long)]
    check_config: bool,
    /// The file whose lock makes this agent the one that acts on this computer
    #[arg(long, value_name = "FILE")]
    lock: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let loaded = config::load(&config::directories(|name| std::env::var_os(name)));
    if arguments.check_config {
        print!("{}", config::print(&loaded));
        loaded.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
        return if loaded.warnings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    journal::start();
    loaded.warnings.iter().for_each(|warning| warn!("{warning}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result =
        runtime.context("starting the runtime").and_then(|runtime| runtime.block_on(run(arguments, loaded)));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments, loaded: config::Loaded) -> anyhow::Result<()> {
    let clock = time::Clock::start();
    let state_file = state_directory().join("state.json");
    let (saved, trouble) = store::load(&state_file, time::wall_us());
    trouble.iter().for_each(|trouble| warn!("{trouble}"));
    let mut lock = lock::ActiveLock::new(arguments.lock);
    let watch = clock_watch::ClockWatch::new(&loaded.settings.clock_page);
    let service = clock_service::ClockService::start(&loaded.settings.clock_page);
    let export = &loaded.settings;
    let usrvclock = export.usrvclock_export.then(|| usrvclock::start(export.usrvclock_path.clone()));
    let mut model = model::Model::new(clock.now(), loaded.settings, saved, random());
    model.handle_computer_name(computer_name());
    let active = lock.hold();
    if !active {
        warn!("in use by another session: this agent only watches");
    }
    model.handle_active(active);
    model.settle(clock.now());
    let world = model.refresh_world(clock.now());
    let mut journal = journal::Journal::new();
    journal.tell(clock.now().mono, &view::World::default(), &world);

    let (applied_sender, applied) = watch::channel(0);
    let (handle, requests) = request::Core::channel(applied);
    let (worlds, world_receiver) = watch::channel(world);
    let bus = match bus::connect(&handle, &world_receiver, &service)
        .await
        .context("connecting to the session bus")?
    {
        Ok(bus) => bus,
        Err(bus::Taken) => {
            anyhow::bail!("{} is taken: an agent runs in this session already", wireloom_dbus::BUS_NAME)
        }
    };
    let clients = bus::watch_clients(bus.clone(), handle.clone());
    let (datagram_sender, datagrams) = mpsc::channel(256);
    let sockets = sap_sockets::SapSockets::open(&datagram_sender);
    let (answer_sender, answers) = mpsc::channel(256);
    let (question_sender, questions) = mpsc::channel(256);
    let (graph_sender, graph) = mpsc::channel(1024);
    let (ops, ops_receiver) = pipewire::channel::channel();
    pipewire_thread::start(graph_sender, ops_receiver).context("starting the PipeWire thread")?;
    let (mut executors, told) = executor::Executors::new();
    let (controlled, plan) = watch::channel(oat::Plan::default());
    tokio::spawn(oat::control(oat::Http, executors.add(wireloom_wanted::Protocol::Oat), plan));
    let (session_sender, sessions) = mpsc::channel(256);

    let objects = bus::publish(bus.clone(), handle, world_receiver.clone(), applied_sender);
    let manager = bus::publish_manager(bus.clone(), world_receiver);
    let publishing = tokio::spawn(async move { tokio::try_join!(objects, manager, clients).map(|_| ()) });
    let driver = core::Driver {
        clock,
        model,
        journal,
        sockets,
        subscriptions: oat::Sockets::new(answer_sender),
        questions: oat::Questions::new(question_sender),
        watch,
        service,
        usrvclock,
        drop_in: drop_in::DropIn::new(|name| std::env::var_os(name)),
        lock,
        states: store::StateWriter::start(state_file.clone()).context("starting the thread that saves")?,
        state_file,
        active,
        senders: sap_senders::SapSenders::default(),
        executors,
        controlled,
        ravenna: ravenna::start(clock, session_sender),
        failed: BTreeSet::new(),
        clock_seen: Vec::new(),
        world_at: Nanos::ZERO,
        world_due: None,
        world_from: Nanos::ZERO,
        rest_until: Nanos::ZERO,
    };
    let (mut terminated, mut interrupted) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let lost = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stop = {
        let lost = lost.clone();
        async move {
            tokio::select! {
                _ = terminated.recv() => {}
                _ = interrupted.recv() => {}
                result = publishing => {
                    error!("the session bus is gone: {result:?}");
                    lost.store(true, std::sync::atomic::Ordering::Relaxed);
                }
                () = closed(&bus) => {
                    error!("the session bus is gone");
                    lost.store(true, std::sync::atomic::Ordering::Relaxed);
                }
            }
        }
    };
    info!("ready");
    let ends =
        core::Ends { requests, datagrams, answers, questions, graph, told, ravenna: sessions, ops, worlds };
    driver.run(ends, stop).await;
    anyhow::ensure!(
        !lost.load(std::sync::atomic::Ordering::Relaxed),
        "stopped because the session bus is gone"
    );
    Ok(())
}

/// Ends when the connection to the bus does.
async fn closed(bus: &zbus::Connection) {
    bus.closed().await;
}

fn state_directory() -> PathBuf {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || absolute("HOME").unwrap_or_else(|| PathBuf::from("/")).join(".local/state");
    absolute("XDG_STATE_HOME").unwrap_or_else(home).join("wireloom")
}

/// The host name without its domain.
fn computer_name() -> String {
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default();
    name.split('.').next().unwrap_or_default().to_owned()
}

/// Random numbers from the operating system, by way of the standard library's hasher keys.
fn random() -> impl FnMut() -> u32 + Send {
    || {
        let number = std::collections::hash_map::RandomState::new().build_hasher().finish();
        u32::try_from(number >> 32).unwrap_or(0)
    }
}
