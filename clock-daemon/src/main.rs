//! PTP on ports 319/320; publishes the clock page.
//!
//! Not responsible for: estimating time (`wireloom-ptp`), D-Bus (the agent serves it from the control socket).
//! Steers nothing: no system call that sets a clock is in this program, and a test looks for them.

#![deny(unsafe_code)] // but for sys.rs

mod args;
mod base;
mod clocks;
mod continuity;
mod control;
mod control_message;
mod daemon;
mod departures;
mod interfaces;
mod memory;
mod passed;
mod phc;
mod port;
mod ptp_clock;
mod publisher;
mod settings;
mod settings_file;
mod stamps;
mod status;
mod sys;
mod tracker;

use std::fs;
use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use tracing_subscriber::EnvFilter;

use crate::args::Args;
use crate::daemon::Daemon;
use crate::passed::Passed;
use crate::settings::Settings;

const DEFAULT_CONFIG: &str = "/etc/wireloom/clock.conf";

fn main() -> ExitCode {
    let passed = Passed::take();
    let args = Args::parse();
    start_log(args.verbose);
    match run(&args, passed) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("wireloom-clock: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args, passed: Passed) -> anyhow::Result<()> {
    let mut settings = Settings::default();
    for remark in read_config(&args.config, &mut settings)? {
        if args.check_config {
            eprintln!("warning: {remark}");
        } else {
            tracing::warn!("{remark}");
        }
    }
    args.apply_paths(&mut settings);
    if args.check_config {
        settings.apply(&args.changes())?;
        print!("{}", settings.to_toml());
        return Ok(());
    }
    Daemon::start(settings, args.changes(), passed)?.run()
}

/// Reads the settings file; that there is none is fine unless it was asked for by name.
fn read_config(path: &Path, settings: &mut Settings) -> anyhow::Result<Vec<settings_file::Remark>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(settings_file::read(path, &text, settings)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound && path == Path::new(DEFAULT_CONFIG) => {
            Ok(Vec::new())
        }
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}

fn start_log(verbose: u8) {
    let level = match verbose {
        0 => "info",
        1 => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_target(false);
    // The journal has its own time and knows no colour.
    if io::stderr().is_terminal() { log.init() } else { log.with_ansi(false).without_time().init() }
}
