//! The wireloom command.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod inspect;

/// Audio streams of the network in the PipeWire graph.
#[derive(Debug, Parser)]
#[command(name = "wireloom", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Inspect(inspect::Inspect),
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Inspect(inspect) => inspect.run(),
    }
}
