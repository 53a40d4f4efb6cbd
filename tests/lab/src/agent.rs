use std::path::Path;

use anyhow::Context;

use crate::host::Host;
use crate::process::Process;
use crate::products::Products;
use crate::wait::{self, SOON};

/// `wireloom-agent` on a host of the studio, with a session bus of the host's own.
#[derive(Debug)]
pub struct Agent {
    /// The agent.
    pub process: Process,
    /// The bus; every program of the host finds it.
    pub bus: Process,
}

impl Agent {
    /// Starts the bus and the agent with these settings, `wireloom.conf`.
    pub fn start(host: &Host, products: &Products, settings: &str) -> anyhow::Result<Self> {
        Self::start_beside(host, products, settings, None)
    }

    /// The same, with programs that the agent finds before those of the system.
    pub fn start_beside(
        host: &Host,
        products: &Products,
        settings: &str,
        programs: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let folder = host.directory().join("home/.config/wireloom");
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("wireloom.conf"), settings)?;
        let bus = start_bus(host)?;
        let mut command = host.command(products.program("wireloom-agent"));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = programs.map(Path::to_owned).into_iter().chain(std::env::split_paths(&path));
        command.env("PATH", std::env::join_paths(folders)?);
        let mut process = host.start("wireloom-agent", command)?;
        process.says("ready", SOON)?;
        Ok(Self { process, bus })
    }
}

/// The session bus of a host, until it is dropped.
pub fn start_bus(host: &Host) -> anyhow::Result<Process> {
    let address = format!("--address={}", host.bus_address());
    let mut bus =
        host.spawn("dbus-daemon", ["--session", "--nofork", "--nopidfile", "--nosyslog", &address])?;
    wait::until("the session bus", SOON, || {
        bus.is_alive()?;
        Ok(host.directory().join("bus").exists().then_some(()))
    })?;
    Ok(bus)
}

/// What `wireloom --json` prints on this host for these arguments.
pub fn ask(host: &Host, products: &Products, arguments: &[&str]) -> anyhow::Result<serde_json::Value> {
    let text = host.run(products.program("wireloom"), [&["--json"], arguments].concat())?;
    serde_json::from_str(&text).with_context(|| format!("wireloom {} printed {text}", arguments.join(" ")))
}
