//! The wireloom command.
//!
//! Not responsible for: the network, or anything the agent does. A D-Bus client only, but for `inspect`.

#![forbid(unsafe_code)]

mod client;
mod clock;
mod complete;
mod doctor;
mod end;
mod failure;
mod generate;
mod inspect;
mod list;
mod output;
mod preset;
mod route;
mod selftest;
mod show;
mod stream;
mod usage;
mod watch;
mod why;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::output::Output;

/// Audio streams of the network in the PipeWire graph.
#[derive(Debug, Parser)]
#[command(name = "wireloom", version, arg_required_else_help = true)]
struct Arguments {
    #[command(flatten)]
    output: Output,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List streams, devices, clocks or network interfaces
    List(list::List),
    /// Show everything about one stream, device, clock or network interface
    Show(show::Show),
    /// Say why there is no sound, or that there should be
    Why(why::Why),
    /// Look at this computer for what keeps sound from coming, and say what to change
    Doctor(doctor::Doctor),
    /// Wish that audio goes from one end to another
    Connect(route::Connect),
    /// Withdraw a route
    Disconnect(route::Disconnect),
    /// List the routes, wished and found
    Routes,
    /// Save and recall routes
    #[command(subcommand)]
    Preset(preset::Preset),
    /// Send a signal through this computer's network stack and say whether every sample comes back, and how late
    Selftest(selftest::Selftest),
    /// Print what changes, until interrupted
    Watch(watch::Watch),
    /// Make, add and remove streams
    #[command(subcommand)]
    Stream(stream::Stream),
    /// Show the clocks and which one counts, or change what the clock service does
    Clock(clock::Clock),
    /// Show the network interfaces, or choose those that are used
    Interface(list::Interface),
    Inspect(inspect::Inspect),
    /// Print a completion script for a shell
    Completions(generate::Completions),
    /// Print the manual page
    #[command(hide = true)]
    Man,
    /// Print names for completion scripts
    #[command(hide = true)]
    Complete(complete::Complete),
}

fn main() -> ExitCode {
    let parsed = Arguments::try_parse().map_err(usage::with_better_tips);
    let Arguments { output, command } = parsed.unwrap_or_else(|error| error.exit());
    let result = match command {
        Command::Inspect(inspect) => return inspect.run(),
        Command::Completions(completions) => completions.run(),
        Command::Man => generate::man(),
        Command::Complete(complete) => client::block_on(complete.run()),
        Command::List(list) => client::block_on(list.run(&output)),
        Command::Show(show) => client::block_on(show.run(&output)),
        Command::Why(why) => client::block_on(why.run(&output)),
        Command::Doctor(doctor) => client::block_on(doctor.run(&output)),
        Command::Connect(connect) => client::block_on(connect.run(&output)),
        Command::Disconnect(disconnect) => client::block_on(disconnect.run(&output)),
        Command::Routes => client::block_on(route::routes(&output)),
        Command::Preset(preset) => client::block_on(preset.run(&output)),
        Command::Selftest(selftest) => client::block_on(selftest.run(&output)),
        Command::Watch(watch) => client::block_on(watch.run(&output)),
        Command::Stream(stream) => client::block_on(stream.run(&output)),
        Command::Clock(clock) => client::block_on(clock.run(&output)),
        Command::Interface(interface) => client::block_on(interface.run(&output)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("wireloom: {failure}");
            ExitCode::from(failure.code())
        }
    }
}
