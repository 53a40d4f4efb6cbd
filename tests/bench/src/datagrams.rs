//! What the kernel counts for all sockets of a host.

use anyhow::{Context, Result};

/// The `Udp:` lines of `/proc/net/snmp`.
#[derive(Debug, Clone, Copy)]
pub struct Datagrams {
    /// Taken from the kernel by a program.
    pub taken: u64,
    /// Given to the kernel by a program.
    pub given: u64,
    /// Dropped because no program took them in time.
    pub dropped: u64,
}

impl Datagrams {
    /// The counters of the host on which process `pid` runs.
    pub fn of(pid: u32) -> Result<Self> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/net/snmp"))?;
        let mut lines = text.lines().filter(|line| line.starts_with("Udp: "));
        let names = lines.next().context("names of UDP counters")?.split(' ');
        let numbers = lines.next().context("UDP counters")?.split(' ');
        let find = |name: &str| {
            let (_, number) = names.clone().zip(numbers.clone()).find(|(n, _)| *n == name)?;
            number.parse().ok()
        };
        let count = |name: &str| find(name).with_context(|| format!("the kernel does not count {name}"));
        Ok(Self {
            taken: count("InDatagrams")?,
            given: count("OutDatagrams")?,
            dropped: count("RcvbufErrors")?,
        })
    }
}
