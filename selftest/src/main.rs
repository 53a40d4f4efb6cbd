//! Sends a signal through this computer's own network stack and hears it again; started by `wireloom selftest`.
//!
//! Asks the PipeWire module for a stream that is sent and one that receives it, plays into the first and records from
//! the second, sample by sample. Not responsible for: the agent, announcements, the network beyond this computer.
#![forbid(unsafe_code)]

mod graph;
mod measure;
mod nodes;
mod settings;
mod signal;
mod streams;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Parser;
use pipewire::context::ContextRc;
use pipewire::loop_::Signal;
use pipewire::main_loop::MainLoopRc;

use crate::graph::Graph;
use crate::measure::Measurement;

/// So long may it take until the signal is heard.
const PATIENCE: Duration = Duration::from_secs(20);
/// So long may a graph that can take another rate go on at its own.
const CHANGE_OF_RATE: Duration = Duration::from_secs(2);

/// A daemon that does not say at which rates it runs is not waited for.
const SECRETIVE: Duration = Duration::from_secs(1);

/// Prints one JSON document with what was measured.
#[derive(Parser)]
struct Arguments {
    /// How many channels.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=64))]
    channels: u32,
    /// Samples a second.
    #[arg(long)]
    rate: u32,
    /// Frames in a cycle that the graph is asked for.
    #[arg(long, value_parser = clap::value_parser!(u32).range(16..=8192))]
    quantum: u32,
    /// Seconds that are measured.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=300))]
    duration: u64,
    /// Network interface by which it goes.
    #[arg(long)]
    interface: String,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    // Whoever started this is not there to hear of it: the nodes go as they do when a user interrupts.
    rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?;
    pipewire::init();
    let main_loop = MainLoopRc::new(None)?;
    // Before there are other threads: they inherit that the signals are blocked, without which one would end us at once.
    let interrupted = Rc::new(Cell::new(false));
    let _signals = [Signal::INT, Signal::TERM, Signal::HUP].map(|signal| {
        let interrupted = Rc::clone(&interrupted);
        main_loop.loop_().add_signal_local(signal, move || interrupted.set(true))
    });
    let context = ContextRc::new(&main_loop, None)?;
    let core = context.connect_rc(None).context("PipeWire cannot be reached")?;
    let graph = Rc::new(RefCell::new(Graph::default()));
    let _listeners = graph::watch(&graph, &core)?;

    let wanted = nodes::wanted(&arguments)?;
    let frames = arguments.duration * u64::from(arguments.rate);
    let measurement = Arc::new(Measurement::new(frames));
    let _player = streams::player(&core, &arguments)?;
    let _recorder = streams::recorder(&core, &arguments, &measurement)?;

    let begun = Instant::now();
    let outcome = Rc::new(RefCell::new(None));
    let timer = main_loop.loop_().add_timer({
        let (main_loop, core) = (main_loop.clone(), core.clone());
        let (graph, measurement) = (Rc::clone(&graph), Arc::clone(&measurement));
        let outcome = Rc::clone(&outcome);
        let other_since = Cell::new(None);
        move |_| {
            let mut graph = graph.borrow_mut();
            let end = |result| {
                *outcome.borrow_mut() = result;
                main_loop.quit();
            };
            if interrupted.get() {
                return end(None);
            }
            if let Some(refusal) = graph.settings().refusal(arguments.rate) {
                return end(Some(Err(refusal)));
            }
            if graph.settings().is_known() || begun.elapsed() > SECRETIVE {
                graph.want(&wanted);
            }
            let linked = graph.link(&core, arguments.channels as usize);
            let other = measurement.rate_of_graph().filter(|rate| *rate != arguments.rate);
            let since = other_since.get().filter(|_| other.is_some()).unwrap_or_else(Instant::now);
            other_since.set(Some(since));
            if let Some(rate) = other.filter(|_| since.elapsed() > CHANGE_OF_RATE) {
                end(Some(Err(settings::other_rate(rate, arguments.rate))));
            } else if begun.elapsed() > PATIENCE && measurement.frames() == 0 {
                end(Some(Err(graph.trouble())));
            } else if measurement.is_complete() || graph.is_gone() {
                end(Some(Ok(())));
            } else if let Err(error) = linked {
                end(Some(Err(error.to_string())));
            }
        }
    });
    timer.update_timer(Some(Duration::from_millis(50)), Some(Duration::from_millis(50)));
    main_loop.run();
    drop(timer);
    graph.borrow_mut().remove();
    // The removal is told before the connection ends.
    let quitting = main_loop.clone();
    let last = main_loop.loop_().add_timer(move |_| quitting.quit());
    last.update_timer(Some(Duration::from_millis(200)), None);
    main_loop.run();
    match outcome.take() {
        Some(Ok(())) => {
            println!("{}", measurement.document(arguments.rate));
            Ok(())
        }
        Some(Err(why)) => bail!(why),
        None => bail!("interrupted"),
    }
}
