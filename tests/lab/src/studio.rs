use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};

use crate::host::Host;
use crate::isolation;

/// How many hosts an address and a MAC address can be made for.
const MAX_HOSTS: u8 = 200;

/// How many lines of each log a report carries.
const SHOWN_LINES: usize = 8;

/// A network that exists only for us: a switch, and hosts on it. Ends with the program.
#[derive(Debug)]
pub struct Studio {
    directory: PathBuf,
    hosts: u8,
    thorough: bool,
}

impl Studio {
    /// Makes the switch. Works once in a program, inside of [`isolation::run`].
    pub fn new() -> anyhow::Result<Self> {
        let directory = isolation::enter()?;
        // Without snooping the switch floods multicast, as the switches of most small installations do.
        ip(&["link", "add", "switch", "type", "bridge", "mcast_snooping", "0"])?;
        ip(&["link", "set", "switch", "up"])?;
        Ok(Self { directory, hosts: 0, thorough: false })
    }

    /// The same studio for checks that take minutes where they would take seconds.
    pub fn thorough(self) -> Self {
        Self { thorough: true, ..self }
    }

    /// Whether minutes may be taken.
    pub fn is_thorough(&self) -> bool {
        self.thorough
    }

    /// Puts a computer on the network: its own interfaces, host name and `/run`; `eth0` has the address 10.77.0.n/24,
    /// n counting from 1, and is where multicast goes.
    pub fn host(&mut self, name: &str) -> anyhow::Result<Host> {
        ensure!(self.hosts < MAX_HOSTS, "a studio has at most {MAX_HOSTS} hosts");
        self.hosts += 1;
        Host::new(&self.directory, name, self.hosts).with_context(|| format!("making host {name}"))
    }

    /// The last lines that every program said so far, for a report of a failure.
    pub fn logs(&self) -> String {
        let mut text = String::new();
        let folders = std::fs::read_dir(&self.directory).into_iter().flatten().flatten();
        let logs = folders
            .flat_map(|host| std::fs::read_dir(host.path().join("log")).into_iter().flatten().flatten());
        let mut files: Vec<PathBuf> = logs.map(|log| log.path()).collect();
        files.sort();
        for file in files {
            let log = String::from_utf8_lossy(&std::fs::read(&file).unwrap_or_default()).into_owned();
            let lines: Vec<&str> = log.lines().collect();
            let shown = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
            if !shown.is_empty() {
                let name = file.strip_prefix(&self.directory).unwrap_or(&file).display();
                text.push_str(&format!(
                    "--- {name}, {} of {} lines\n{}\n",
                    shown.len(),
                    lines.len(),
                    shown.join("\n")
                ));
            }
        }
        text
    }

    /// The directory in the real file system in which everything of this studio lives.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

/// Runs `ip` outside of all hosts, where the switch is.
pub(crate) fn ip(arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("ip").args(arguments).stdin(Stdio::null()).output().context("running ip")?;
    if !output.status.success() {
        bail!("ip {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
