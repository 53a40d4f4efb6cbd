//! Sends a signal through this computer's own network stack and hears it again; started by `wireloom selftest`.
//!
//! Asks the PipeWire module for a stream that is sent and one that receives it, plays into the first and records from
//! the second, sample by sample. Not responsible for: the agent, announcements, the network beyond this computer.
#![forbid(unsafe_code)]

mod graph;
mod measure;
mod nodes;
mod signal;
mod streams;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Parser;
use pipewire::context::ContextRc;
use pipewire::main_loop::MainLoopRc;

use crate::graph::Graph;
use crate::measure::Measurement;

/// So long may it take until the signal is heard.
const PATIENCE: Duration = Duration::from_secs(20);

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
    pipewire::init();
    let main_loop = MainLoopRc::new(None)?;
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
        move |_| {
            let mut graph = graph.borrow_mut();
            graph.want(&wanted);
            let linked = graph.link(&core, arguments.channels as usize);
            if begun.elapsed() > PATIENCE && measurement.frames() == 0 {
                *outcome.borrow_mut() = Some(Err(graph.trouble()));
                main_loop.quit();
            } else if measurement.is_complete() || graph.is_gone() {
                *outcome.borrow_mut() = Some(Ok(()));
                main_loop.quit();
            } else if let Err(error) = linked {
                *outcome.borrow_mut() = Some(Err(error.to_string()));
                main_loop.quit();
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
