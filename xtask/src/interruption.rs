//! What SIGINT, SIGTERM and SIGHUP do: nothing that was started goes on.
//!
//! A command runs in a process group of its own, which is ended before this program ends: Ctrl-C alone would reach it,
//! what a supervisor sends to one process would not. A studio sees to itself ([`wireloom_lab::isolation`]).

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// How long what is running may take to tidy up.
const GRACE: Duration = Duration::from_secs(10);

/// What this program is about. Signals are the process's, and so is this.
static DOING: Mutex<Doing> = Mutex::new(Doing::OwnWork);

#[derive(Debug, Clone, Copy)]
enum Doing {
    OwnWork,
    /// A command, which leads a process group.
    Command(Pid),
    Studio,
}

fn doing() -> MutexGuard<'static, Doing> {
    DOING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Begins to listen.
pub fn listen() -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    std::thread::Builder::new().name("interruption".into()).spawn(move || {
        for signal in signals.forever() {
            // Held to the end, so that nothing more is started.
            let doing = doing();
            match *doing {
                Doing::Studio => {}
                Doing::OwnWork => std::process::exit(128 + signal),
                Doing::Command(group) => {
                    end(group);
                    std::process::exit(128 + signal);
                }
            }
        }
    })?;
    Ok(())
}

fn end(group: Pid) {
    let start = Instant::now();
    let _ = kill_process_group(group, Signal::TERM);
    while test_kill_process_group(group).is_ok() && start.elapsed() < GRACE {
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = kill_process_group(group, Signal::KILL);
}

/// Starts a command that an interruption ends; [`wait`] must follow.
pub fn spawn(command: &mut Command) -> io::Result<Child> {
    // sudo asks for a password on the terminal, which only the group in the foreground may read.
    if command.get_program() == "sudo" {
        return command.spawn();
    }
    let mut doing = doing();
    let child = command.process_group(0).spawn()?;
    *doing = i32::try_from(child.id()).ok().and_then(Pid::from_raw).map_or(Doing::OwnWork, Doing::Command);
    Ok(child)
}

/// Waits for its end.
pub fn wait(mut child: Child) -> io::Result<ExitStatus> {
    let status = child.wait();
    *doing() = Doing::OwnWork;
    status
}

/// [`Command::output`], and an interruption ends the command.
pub fn output(command: &mut Command) -> io::Result<Output> {
    let child = spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()))?;
    let output = child.wait_with_output();
    *doing() = Doing::OwnWork;
    output
}

/// [`Command::status`], and an interruption ends the command.
pub fn status(command: &mut Command) -> io::Result<ExitStatus> {
    wait(spawn(command)?)
}

/// Runs a studio, which an interruption ends by itself.
pub fn studio<T>(run: impl FnOnce() -> T) -> T {
    *doing() = Doing::Studio;
    let result = run();
    *doing() = Doing::OwnWork;
    result
}
