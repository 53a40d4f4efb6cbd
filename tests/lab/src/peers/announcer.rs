//! An announcer that sends when it is told to; a Python program of a few lines.

use std::io::Write;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::ChildStdin;

use anyhow::Context;
use serde_json::json;

use crate::host::Host;
use crate::process::Process;
use crate::wait::SOON;

/// Announces descriptions (SAP, RFC 2974) one at a time.
#[derive(Debug)]
pub struct Announcer {
    process: Process,
    input: ChildStdin,
}

impl Announcer {
    /// Starts it on `host`, with Debian's own Python.
    pub fn start(host: &Host) -> anyhow::Result<Self> {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../interop/announce.py");
        let address = host.address().to_string();
        let mut process =
            host.spawn("/usr/bin/python3", [program.as_os_str(), std::ffi::OsStr::new(&address)])?;
        process.says("ready", SOON)?;
        let input = process.stdin().context("a piped input")?;
        Ok(Self { process, input })
    }

    /// Announces `description` at once.
    pub fn announce(&mut self, description: &str) -> anyhow::Result<()> {
        self.send(json!(description))
    }

    /// The same in the name of another host, which need not exist.
    pub fn announce_from(&mut self, source: Ipv4Addr, description: &str) -> anyhow::Result<()> {
        self.send(json!([source, description]))
    }

    fn send(&mut self, line: serde_json::Value) -> anyhow::Result<()> {
        self.process.is_alive()?;
        Ok(writeln!(self.input, "{line}")?)
    }
}
