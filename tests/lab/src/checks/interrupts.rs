use std::collections::BTreeSet;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::isolation::DIRECTORY;
use crate::products::Products;
use crate::studio::Studio;
use crate::wait::{self, SOON};

/// What is run, how many studios there are and which program runs when it gets the signal.
const RUNS: [(&[&str], usize, &str, Signal); 10] = [
    (&["test"], 0, "cargo", Signal::TERM),
    (&["lab", "receive"], 0, "cargo", Signal::INT),
    (&["lab", "receive"], 1, "sleep", Signal::TERM),
    (&["lab", "receive"], 1, "pipewire", Signal::HUP),
    (&["lab", "receive"], 1, "gst-launch-1.0", Signal::KILL),
    (&BESIDE, 3, "ptp4l", Signal::INT),
    (&BESIDE, 3, "wireloom-agent", Signal::TERM),
    (&BESIDE, 3, "wireloom-clock", Signal::KILL),
    (&["demo"], 1, "wireloom-agent", Signal::INT),
    (&["demo", "--keep"], 1, "gst-launch-1.0", Signal::TERM),
];
/// Checks that run side by side, and one that would be next.
const BESIDE: [&str; 5] = ["lab", "clock-ptp4l", "set-clock", "clock", "why"];

/// This very program, run in the studio as a person runs it and ended in the midst of what it does: by one signal to it
/// alone, as a supervisor sends it. No process, mount, interface or directory is left.
pub fn run(_: &mut Studio, _: &Products) -> anyhow::Result<String> {
    for (arguments, studios, far, signal) in RUNS {
        let told = format!("{} at {far}, {signal:?}", arguments.join(" "));
        one(arguments, studios, far, signal).with_context(|| told)?;
    }
    Ok(format!("{} runs", RUNS.len()))
}

fn one(arguments: &[&str], studios: usize, far: &str, signal: Signal) -> anyhow::Result<()> {
    let (processes, traces) = (processes()?, traces()?);
    let mut command = Command::new(std::env::current_exe()?);
    command.args(arguments).env_remove(DIRECTORY);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0).spawn()?;
    // What is kept until it is ended has done all that it should.
    let may_succeed = arguments.contains(&"--keep");
    let outcome = end(&mut child, studios, far, signal, may_succeed, &processes);
    if outcome.is_err() {
        let _ = child.kill();
        let _ = child.wait();
    }
    let directories = outcome?;
    let mut left = BTreeSet::new();
    // It ends after what it had started, unless it was killed.
    let limit = if signal == Signal::KILL { SOON } else { Duration::ZERO };
    let gone = wait::until("the end of what it had started", limit, || {
        left = self::processes()?.difference(&processes).cloned().collect();
        Ok(left.is_empty().then_some(()))
    });
    gone.with_context(|| format!("left are {left:?}"))?;
    let (before, after) = (traces, self::traces()?);
    ensure!(after == before, "left are {:?}", after.difference(&before).collect::<Vec<_>>());
    let left: Vec<_> = directories.iter().filter(|path| path.exists()).collect();
    // Nobody was left to remove it: the next run does.
    ensure!(signal == Signal::KILL || left.is_empty(), "left are {left:?}");
    Ok(())
}

/// Lets it run until there are so many studios and a process called `far`, and ends it; returns the directories of its
/// studios.
fn end(
    child: &mut Child,
    studios: usize,
    far: &str,
    signal: Signal,
    may_succeed: bool,
    others: &BTreeSet<Process>,
) -> anyhow::Result<BTreeSet<PathBuf>> {
    let mut directories = BTreeSet::new();
    wait::until(&format!("{studios} studios and a process called {far}"), 5 * SOON, || {
        ensure!(child.try_wait()?.is_none(), "it ended before it was ended");
        let ours: Vec<Process> = processes()?.difference(others).cloned().collect();
        directories.extend(ours.iter().filter_map(|process| directory(process.0)));
        Ok((directories.len() >= studios && ours.iter().any(|process| process.1 == far)).then_some(()))
    })?;
    let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("a process has an id")?;
    kill_process(id, signal)?;
    let status = wait::until("its end", SOON, || Ok(child.try_wait()?))?;
    ensure!(may_succeed || !status.success(), "it ended with success");
    Ok(directories)
}

/// Id and name.
type Process = (u32, String);

/// All processes of this studio that run.
fn processes() -> anyhow::Result<BTreeSet<Process>> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // One that has just ended is not there any more.
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        let (Some(open), Some(close)) = (stat.find('('), stat.rfind(')')) else { continue };
        // A dead one waits for its parent, which may be us.
        if !stat[close + 1..].trim_start().starts_with(['Z', 'X']) {
            found.insert((id, stat[open + 1..close].to_owned()));
        }
    }
    Ok(found)
}

/// The directory of the studio that a process is in.
fn directory(id: u32) -> Option<PathBuf> {
    let environment = std::fs::read(format!("/proc/{id}/environ")).ok()?;
    let start = format!("{DIRECTORY}=");
    let value =
        environment.split(|octet| *octet == 0).find_map(|entry| entry.strip_prefix(start.as_bytes()))?;
    Some(Path::new(std::str::from_utf8(value).ok()?).to_owned())
}

/// Mounts, interfaces of the network and what of ours is in `/run`.
fn traces() -> anyhow::Result<BTreeSet<String>> {
    let names = |path: &str| -> anyhow::Result<Vec<String>> {
        let entries = std::fs::read_dir(path)?.collect::<Result<Vec<_>, _>>()?;
        Ok(entries.iter().map(|entry| entry.path().display().to_string()).collect())
    };
    let mounts = std::fs::read_to_string("/proc/self/mounts")?;
    let mut found: BTreeSet<String> = mounts.lines().map(str::to_owned).collect();
    let links = std::fs::read_to_string("/proc/net/dev")?;
    found.extend(links.lines().filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned())));
    // It is the machine's own, on which others live.
    found.extend(names("/run")?.into_iter().filter(|name| name.contains("wireloom")));
    Ok(found)
}
