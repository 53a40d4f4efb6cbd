//! A device that means harm: a Python program that shares no code with what it attacks.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};

use crate::host::Host;
use crate::process::Process;
use crate::wait::{self, SOON};

/// An attack that goes on until it is stopped.
#[derive(Debug)]
pub struct Attack {
    process: Process,
}

impl Attack {
    /// Starts the attacks of a plan, whose form `tests/interop/hostile.py` says; it needs Debian's own Python.
    pub fn start(host: &Host, name: &str, attacks: Value) -> anyhow::Result<Self> {
        let plan = json!({ "own": host.address(), "seed": 7, "attacks": attacks });
        let file = host.directory().join(format!("{name}.json"));
        std::fs::write(&file, plan.to_string())?;
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../interop/hostile.py");
        let mut process = host.spawn("/usr/bin/python3", [&program, &file])?;
        process.says("attacking", SOON)?;
        Ok(Self { process })
    }

    /// Errors: it gave up.
    pub fn is_alive(&mut self) -> anyhow::Result<()> {
        self.process.is_alive()
    }

    /// Waits until its servers have answered in all these ways at least once. Errors: it gave up.
    pub fn serves(&mut self, ways: &[&str], limit: Duration) -> anyhow::Result<()> {
        let mut missing = Vec::new();
        let found = wait::until("an answer of each kind", limit, || {
            self.process.is_alive()?;
            let log = self.process.log();
            let is_served = |way: &&&str| log.lines().any(|line| line.strip_prefix("served ") == Some(**way));
            missing = ways.iter().filter(|way| !is_served(way)).collect();
            Ok(missing.is_empty().then_some(()))
        });
        found.with_context(|| format!("not yet: {missing:?}"))
    }

    /// Ends it. Returns how many datagrams it sent; errors: it sent none of some kind.
    pub fn stop(mut self) -> anyhow::Result<u64> {
        self.process.interrupt()?;
        let log = self.process.log();
        let mut sent = 0;
        for line in log.lines().filter_map(|line| line.strip_prefix("sent ")) {
            let (count, kind) = line.split_once(' ').context("a count and a kind")?;
            let count: u64 = count.parse()?;
            anyhow::ensure!(count > 0, "no {kind} was sent");
            sent += count;
        }
        anyhow::ensure!(sent > 0, "the attack does not say what it sent:\n{log}");
        Ok(sent)
    }
}
