use std::path::Path;

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::host::Host;
use crate::process::Process;
use crate::products::Products;
use crate::studio::Studio;
use crate::wait::{self, SOON};

/// The file that is installed.
pub const DROP_IN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/50-wireloom.conf");
/// What the manual page of the module shows: arguments beside the drop-in.
const ARGUMENTS: &str = "module.wireloom.args = { clock.domain = 127 }\n";
/// Arguments that the module refuses.
const MISTAKE: &str = "module.wireloom.args = { clock.domain = 128 }\n";

/// The distribution's own PipeWire, with its own configuration and our drop-in linked as the user is told to: it starts
/// with the module, with arguments beside the drop-in, with a mistake in them, and without the module.
pub fn run(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let host = studio.host("computer")?;
    let folder = host.directory().join("home/.config/pipewire/pipewire.conf.d");
    std::fs::create_dir_all(&folder)?;
    std::os::unix::fs::symlink(DROP_IN, folder.join("50-wireloom.conf"))?;
    let beside = folder.join("60-domain.conf");

    let daemon = Daemon::start(&host, Some(&products.module_folder()))?;
    daemon.has_module(true)?;
    drop(daemon);

    std::fs::write(&beside, ARGUMENTS)?;
    let daemon = Daemon::start(&host, Some(&products.module_folder()))?;
    daemon.has_module(true)?;
    drop(daemon);

    std::fs::write(&beside, MISTAKE)?;
    let daemon = Daemon::start(&host, Some(&products.module_folder()))?;
    daemon.has_module(false)?;
    let said = "module argument clock.domain must be a number from 0 to 127";
    ensure!(
        daemon.process.log().contains(said),
        "the daemon's log does not say why:\n{}",
        daemon.process.log()
    );
    drop(daemon);

    std::fs::remove_file(&beside)?;
    let daemon = Daemon::start(&host, None)?;
    daemon.has_module(false)?;
    Ok("with the module, with arguments, with a mistake in them, without the module".to_owned())
}

/// PipeWire as the distribution configures it.
pub struct Daemon<'a> {
    host: &'a Host,
    pub process: Process,
}

impl<'a> Daemon<'a> {
    /// Starts it and waits until it answers; that it does not is what a wrong drop-in causes.
    pub fn start(host: &'a Host, modules: Option<&Path>) -> anyhow::Result<Self> {
        let system = host.run("pkg-config", ["--variable=moduledir", "libpipewire-0.3"])?;
        let folders = modules.map(Path::to_owned).into_iter().chain([system.trim().into()]);
        let mut command = host.command("pipewire");
        command.env("PIPEWIRE_MODULE_DIR", std::env::join_paths(folders)?);
        let mut process = host.start("pipewire", command)?;
        wait::until("an answer of PipeWire", SOON, || {
            process.is_alive()?;
            Ok(host.run("pw-cli", ["info", "0"]).ok())
        })?;
        Ok(Self { host, process })
    }

    /// Whether the module runs: then its metadata object is there. Modules are loaded before the daemon answers.
    pub fn has_module(&self, expected: bool) -> anyhow::Result<()> {
        let dump: Value = serde_json::from_str(&self.host.run("pw-dump", ["--no-colors"])?)?;
        let objects = dump.as_array().context("pw-dump prints a list")?;
        let found = objects.iter().any(|object| object["props"]["metadata.name"] == "wireloom");
        ensure!(found == expected, "module there: {found}, expected: {expected}\n{}", self.process.log());
        Ok(())
    }
}
