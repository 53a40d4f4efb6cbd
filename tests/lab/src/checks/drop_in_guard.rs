use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use crate::agent::Agent;
use crate::checks::drop_in::{DROP_IN, Daemon};
use crate::doctor::{doctor, finding};
use crate::host::Host;
use crate::products::Products;
use crate::studio::Studio;
use crate::wait::{self, SOON};

/// So many deaths in a row switch the drop-in off (wireloom-agent(1)).
const DEATHS: usize = 4;
/// A machine that stalls may make a life too long to count.
const TRIES: usize = 3 * DEATHS;
/// The agent looks at the drop-in every 10 s.
const LOOK: std::time::Duration = std::time::Duration::from_secs(40);

/// The distribution's PipeWire with our drop-in, and an agent. Restarts in order change nothing, however many; a
/// daemon that is killed again and again soon after it had loaded the module starts without it, what happened is said
/// where one looks, and the command that is said brings the module back.
pub fn run(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let host = studio.host("computer")?;
    let folder = host.directory().join("home/.config/pipewire/pipewire.conf.d");
    std::fs::create_dir_all(&folder)?;
    let link = folder.join("50-wireloom.conf");
    std::os::unix::fs::symlink(DROP_IN, &link)?;
    let Systemd { folder: programs, restarts } = Systemd::install(&host)?;
    let agent = Agent::start_beside(&host, products, "", Some(&programs))?;
    let modules = products.module_folder();

    std::fs::write(&restarts, "0")?;
    for _ in 0..2 * DEATHS {
        let mut daemon = start(&host, &modules)?;
        daemon.process.interrupt()?;
        until_gone(&host)?;
    }
    ensure!(is_link(&link), "ordered restarts switched the drop-in off:\n{}", agent.process.log());

    std::fs::write(&restarts, DEATHS.to_string())?;
    let mut deaths = 0;
    while is_link(&link) {
        ensure!(deaths < TRIES, "the drop-in is on after {deaths} deaths:\n{}", agent.process.log());
        let mut daemon = start(&host, &modules)?;
        daemon.process.kill()?;
        deaths += 1;
        until_gone(&host)?;
    }
    ensure!(deaths >= DEATHS, "{deaths} deaths were enough");
    let off = folder.join("50-wireloom.conf.off");
    ensure!(std::fs::read_link(&off)? == Path::new(DROP_IN), "the link is another one");

    let daemon = Daemon::start(&host, Some(&modules))?;
    daemon.has_module(false)?;
    let seen = doctor(&host, products)?;
    let module = finding(&seen, "module")?;
    ensure!(module["verdict"] == "failed", "{module}");
    let remedy = module["advice"].as_str().context("an advice")?;
    let listed = host.command(products.program("wireloom")).arg("list").output()?;
    let listed = String::from_utf8_lossy(&listed.stderr).into_owned();
    ensure!(listed.contains(remedy), "wireloom list says {listed:?}, not {remedy:?}");
    ensure!(agent.process.log().contains(remedy), "the agent's log does not say {remedy:?}");

    // As a person would, but for systemd, which is not here.
    let (rename, restart) = remedy.split_once(" && ").context("two commands")?;
    ensure!(restart == "systemctl --user restart pipewire", "{remedy}");
    drop(daemon);
    host.run("sh", ["-c", rename])?;
    ensure!(is_link(&link), "{rename} did not bring it back");
    let _daemon = start(&host, &modules)?;
    wait::until("a doctor that finds the module", LOOK, || {
        let seen = doctor(&host, products)?;
        Ok((finding(&seen, "module")?["verdict"] == "ok").then_some(()))
    })?;
    Ok(format!("off after {deaths} deaths, on again by the command that is said"))
}

/// What stands for systemd, which no studio has: it only tells how often it restarted PipeWire by itself.
struct Systemd {
    /// Holds `systemctl`.
    folder: PathBuf,
    /// Holds the number.
    restarts: PathBuf,
}

impl Systemd {
    fn install(host: &Host) -> anyhow::Result<Self> {
        let folder = host.directory().join("programs");
        std::fs::create_dir_all(&folder)?;
        let (program, restarts) = (folder.join("systemctl"), folder.join("restarts"));
        let print = r"printf 'NRestarts=%s\nActiveEnterTimestampMonotonic=1\n'";
        std::fs::write(&program, format!("#!/bin/sh\n{print} \"$(cat '{}')\"\n", restarts.display()))?;
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))?;
        Ok(Self { folder, restarts })
    }
}

/// Starts PipeWire with the module and waits until the agent has found it.
fn start<'a>(host: &'a Host, modules: &Path) -> anyhow::Result<Daemon<'a>> {
    let daemon = Daemon::start(host, Some(modules))?;
    wait::until("the agent seeing the module", 2 * SOON, || Ok((state(host)? == "running").then_some(())))?;
    Ok(daemon)
}

fn until_gone(host: &Host) -> anyhow::Result<()> {
    wait::until("the agent missing PipeWire", SOON, || Ok((state(host)? == "waiting").then_some(())))
}

/// `State` of the agent's Manager, by the bus's own tool.
fn state(host: &Host) -> anyhow::Result<String> {
    let said = host.run(
        "dbus-send",
        [
            "--session",
            "--print-reply=literal",
            "--dest=org.wireloom.Wireloom1",
            "/org/wireloom/Wireloom1",
            "org.freedesktop.DBus.Properties.Get",
            "string:org.wireloom.Wireloom1.Manager",
            "string:State",
        ],
    )?;
    Ok(said.split_whitespace().last().unwrap_or_default().to_owned())
}

fn is_link(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink())
}
