use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};

use crate::host::Host;
use crate::isolation;

/// How many hosts an address and a MAC address can be made for.
const MAX_HOSTS: u8 = 200;

/// A network that exists only for us: a switch, and hosts on it. Ends with the program.
#[derive(Debug)]
pub struct Studio {
    directory: PathBuf,
    hosts: u8,
}

impl Studio {
    /// Makes the switch. Works once in a program, inside of [`isolation::run`].
    pub fn new() -> anyhow::Result<Self> {
        let directory = isolation::enter()?;
        // Without snooping the switch floods multicast, as the switches of most small installations do.
        ip(&["link", "add", "switch", "type", "bridge", "mcast_snooping", "0"])?;
        ip(&["link", "set", "switch", "up"])?;
        Ok(Self { directory, hosts: 0 })
    }

    /// Puts a computer on the network: its own interfaces, host name and `/run`; `eth0` has the address 10.77.0.n/24,
    /// n counting from 1, and is where multicast goes.
    pub fn host(&mut self, name: &str) -> anyhow::Result<Host> {
        ensure!(self.hosts < MAX_HOSTS, "a studio has at most {MAX_HOSTS} hosts");
        self.hosts += 1;
        Host::new(&self.directory, name, self.hosts).with_context(|| format!("making host {name}"))
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
