use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::wait;

/// How many bytes of a log an error carries: its end says why.
const SHOWN_LOG: usize = 4000;

/// A program that runs on a host of the studio; it ends when this is dropped. What it says goes into a log file.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`; its input comes from a pipe that [`Process::stdin`] hands out, and its output goes to the log
    /// with its errors, each unless it is said otherwise.
    pub(crate) fn start(
        name: &str,
        mut command: Command,
        log: PathBuf,
        input: Option<Stdio>,
        output: Option<Stdio>,
    ) -> anyhow::Result<Self> {
        let file = File::create(&log).with_context(|| log.display().to_string())?;
        let child = command
            .stdin(input.unwrap_or_else(Stdio::piped))
            .stdout(output.unwrap_or(file.try_clone()?.into()))
            .stderr(file)
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// Everything it said so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Where its log is.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// Its process id, as seen from inside of the studio.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Octets of memory that it holds now.
    pub fn resident(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()))
            .with_context(|| format!("reading the memory of {}", self.name))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib =
            line.and_then(|line| line.split_whitespace().next()).context("a process says what it holds")?;
        Ok(1024 * kib.parse::<u64>()?)
    }

    /// Its standard input; the first caller gets it.
    pub fn stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Errors: it has ended; carries the end of its log.
    pub fn is_alive(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} has ended with {status}:\n{}", self.name, self.end_of_log()),
        }
    }

    /// Waits until its log contains `text`. Errors: it ended before, or `limit` passed.
    pub fn says(&mut self, text: &str, limit: Duration) -> anyhow::Result<()> {
        let what = format!("{} saying {text:?}", self.name);
        let found = wait::until(&what, limit, || {
            if self.log().contains(text) {
                return Ok(Some(()));
            }
            self.is_alive().map(|()| None)
        });
        found.with_context(|| format!("{} said:\n{}", self.name, self.end_of_log()))
    }

    /// Waits until it ends by itself with success. Errors: it failed, or `limit` passed.
    pub fn succeeds(&mut self, limit: Duration) -> anyhow::Result<()> {
        let what = format!("the end of {}", self.name);
        let status = wait::until(&what, limit, || Ok(self.child.try_wait()?))
            .with_context(|| format!("{} said:\n{}", self.name, self.end_of_log()))?;
        if !status.success() {
            bail!("{} ended with {status}:\n{}", self.name, self.end_of_log());
        }
        Ok(())
    }

    /// Asks it to end as Ctrl-C would and waits for that.
    pub fn interrupt(&mut self) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::INT)?;
        let what = format!("the end of {} after SIGINT", self.name);
        wait::until(&what, wait::SOON, || Ok(self.child.try_wait()?))
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    fn signal(&mut self, signal: Signal) -> anyhow::Result<()> {
        let id =
            i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("a process has an id")?;
        kill_process(id, signal).with_context(|| format!("signalling {}", self.name))
    }

    fn end_of_log(&self) -> String {
        let log = self.log();
        let mut start = log.len().saturating_sub(SHOWN_LOG);
        while !log.is_char_boundary(start) {
            start += 1;
        }
        log[start..].to_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
