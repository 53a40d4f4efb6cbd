//! Everything a person or CI runs: `cargo xtask setup | demo | test | lab | bench | dist`.
//!
//! Needs nothing but Rust and a C linker, so that it runs on a fresh machine and can fetch the rest itself.
//! It knows how to build, install and check; what is checked lives in the crates and in `tests/`.
#![forbid(unsafe_code)]

mod bench;
mod cargo;
mod demo;
mod dist;
mod fuzzing;
mod interruption;
mod lab;
mod licences;
mod matrix;
mod next_release;
mod packages;
mod packaging;
mod products;
mod refusal;
mod rules;
mod setup;
mod steps;
mod targets;
mod test;
mod tools;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Builds, tests and demonstrates Wireloom.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Installs what the distribution must provide; says what and why.
    Setup {
        /// Only what building and installing need.
        #[arg(long)]
        build: bool,
    },
    /// Builds a virtual studio, plays a network stream into it and proves that it arrives.
    Demo {
        /// Leaves the studio up afterwards, until Ctrl-C.
        #[arg(long)]
        keep: bool,
        #[arg(long, hide = true)]
        inside: bool,
        #[arg(long, hide = true, required_if_eq("inside", "true"))]
        products: Option<PathBuf>,
    },
    /// Runs every test: rules of the source, units, simulation, fuzz targets, the lab.
    Test {
        /// Adds what takes longer (80 minutes at most in all).
        #[arg(long)]
        full: bool,
    },
    /// Checks what packagers install and makes a source archive that builds without network.
    Dist {
        /// Makes no archive.
        #[arg(long)]
        check: bool,
    },
    /// Runs checks in virtual studios: network namespaces with hosts, PipeWire, our programs and peers.
    Lab {
        /// Names of checks; all without any.
        names: Vec<String>,
        /// Prints the names and what they are about.
        #[arg(long)]
        list: bool,
        /// Runs them with the PipeWire of the next Debian release (as root; makes its root file system); without names,
        /// those that it could break.
        #[arg(long, conflicts_with = "list")]
        next_release: bool,
        /// Takes minutes where that shows more, as `test --full` does.
        #[arg(long, conflicts_with_all = ["list", "next_release"])]
        thorough: bool,
        #[arg(long, hide = true, requires = "products")]
        inside: Option<String>,
        #[arg(long, hide = true)]
        products: Option<PathBuf>,
    },
    /// Measures CPU time, latency and endurance beside PipeWire's own RTP modules and prints tables.
    Bench {
        /// Measures less: three minutes instead of twenty.
        #[arg(long)]
        quick: bool,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // The inner program of a studio ends with the outer one.
    if !wireloom_lab::isolation::is_inside()
        && let Err(error) = interruption::listen()
    {
        eprintln!("xtask: {error}");
        return ExitCode::FAILURE;
    }
    let outcome = match arguments.task {
        Task::Setup { build: true } => setup::run(packages::Use::Build),
        Task::Setup { build: false } => setup::run(packages::Use::Everything),
        Task::Demo { keep, inside: true, products: Some(products) } => demo::run_inside(keep, products),
        Task::Demo { keep, .. } => demo::run(keep),
        Task::Test { full } => test::run(full),
        Task::Dist { check } => dist::run(check),
        Task::Lab { inside: Some(name), products: Some(products), thorough, .. } => {
            // What went wrong is in the report; printed here too it would disturb the outer program's lines.
            return if lab::run_inside(&name, products, depth(thorough)).is_ok() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            };
        }
        Task::Lab { list: true, .. } => {
            lab::list();
            Ok(())
        }
        Task::Lab { names, next_release: true, .. } => lab::run_next_release(&names),
        Task::Lab { names, thorough, .. } => lab::run(&names, depth(thorough)),
        Task::Bench { quick } => bench::run(quick),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(refusal::exit_code(&error))
        }
    }
}

fn depth(thorough: bool) -> lab::Depth {
    if thorough { lab::Depth::Thorough } else { lab::Depth::Usual }
}
