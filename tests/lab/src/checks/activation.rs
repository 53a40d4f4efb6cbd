//! The session bus starts the agent, and of two logins one acts.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, ensure};

use crate::host::Host;
use crate::process::Process;
use crate::products::Products;
use crate::studio::Studio;
use crate::wait::{self, SOON};

/// The file that meson fills in and installs.
const SERVICE: &str = include_str!("../../../../dbus/org.wireloom.Wireloom1.service.in");
/// Its name as installed, and the name on the bus.
const NAME: &str = "org.wireloom.Wireloom1";
/// The group of announcements, as the kernel prints it.
const ANNOUNCEMENTS: &str = "FFFFFFEF";

/// Nobody starts the agent: the first question on a session bus does, by the service file as it is installed, and
/// again when the agent has died. On the bus of another login the agent starts too, says that it is not the active
/// one, and joins no group; when the first one has died, it takes over.
pub fn run(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let computer = studio.host("computer")?;
    let mut first = Login::new(&computer, products, "first")?;
    ensure!(first.owner()?.is_none(), "an agent runs before anybody asked");
    let memberships = || -> anyhow::Result<Vec<String>> {
        let text = computer.run("cat", ["/proc/net/igmp"])?;
        let lines = text.lines().map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().join(" "));
        Ok(lines.filter(|line| line.starts_with(ANNOUNCEMENTS)).collect())
    };
    ensure!(memberships()?.is_empty(), "somebody listens before anybody asked");

    first.is_active()?;
    let started = first.owner()?.context("the agent has answered, and nobody has its name")?;
    let alone = wait::until("listening for announcements", SOON, || {
        Ok(Some(memberships()?).filter(|groups| !groups.is_empty()))
    })?;

    let mut second = Login::new(&computer, products, "second")?;
    let said = second.list()?;
    let note = String::from_utf8_lossy(&said.stderr);
    ensure!(said.status.success(), "the other login has no answer: {note}");
    ensure!(note.contains("Another session of this computer is active"), "not said: {note}");
    let waiting = second.owner()?.context("the other login's agent")?;
    ensure!(waiting != started, "both buses have one agent");
    ensure!(memberships()? == alone, "the other login listens too: {:?}", memberships()?);

    computer.run("kill", ["-KILL", &started.to_string()])?;
    wait::until("the other login taking over", SOON, || Ok(second.is_active().ok()))?;
    let said = first.list()?;
    let note = String::from_utf8_lossy(&said.stderr);
    ensure!(said.status.success(), "not started again: {note}");
    ensure!(note.contains("Another session of this computer is active"), "not said by the first one: {note}");
    let again = first.owner()?.context("the agent that was started again")?;
    ensure!(again != started, "the agent that was killed still has its name");
    ensure!(second.owner()? == Some(waiting), "the other login's agent was started twice");
    Ok("started by the first question, again after it died, and by each login for itself".to_owned())
}

/// A login with a session bus of its own.
struct Login<'a> {
    host: &'a Host,
    wireloom: PathBuf,
    folder: PathBuf,
    bus: Process,
}

impl<'a> Login<'a> {
    /// Starts the bus, with the service file where an installation into the home directory has it.
    fn new(host: &'a Host, products: &Products, name: &str) -> anyhow::Result<Self> {
        let folder = host.directory().join(name);
        let services = folder.join("data/dbus-1/services");
        std::fs::create_dir_all(&services)?;
        let programs = products.folder().canonicalize()?;
        let service = SERVICE.replace("@libexecdir@", programs.to_str().context("a path of text")?);
        std::fs::write(services.join(format!("{NAME}.service")), service)?;
        let mut command = in_login(host, &folder, "dbus-daemon".as_ref());
        command.args(["--session", "--nofork", "--nopidfile", "--nosyslog"]);
        command.arg(format!("--address={}", address(&folder)));
        let mut bus = host.start("dbus-daemon", command)?;
        wait::until("the session bus", SOON, || {
            bus.is_alive()?;
            Ok(folder.join("bus").exists().then_some(()))
        })?;
        Ok(Self { host, wireloom: products.program("wireloom"), folder, bus })
    }

    /// What `wireloom list` says; asking is what starts the agent.
    fn list(&mut self) -> anyhow::Result<Output> {
        self.bus.is_alive()?;
        Ok(in_login(self.host, &self.folder, &self.wireloom).arg("list").output()?)
    }

    /// Errors: its agent does not answer, or is not the one that acts.
    fn is_active(&mut self) -> anyhow::Result<()> {
        let said = self.list()?;
        let note = String::from_utf8_lossy(&said.stderr);
        ensure!(said.status.success() && !note.contains("Another session"), "{note}");
        Ok(())
    }

    /// The process that has the agent's name on this bus, without starting one.
    fn owner(&self) -> anyhow::Result<Option<u32>> {
        let output = in_login(self.host, &self.folder, "gdbus".as_ref())
            .args(["call", "--session", "--dest", "org.freedesktop.DBus", "--object-path", "/"])
            .args(["--method", "org.freedesktop.DBus.GetConnectionUnixProcessID", NAME])
            .output()?;
        let (said, error) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if !output.status.success() {
            ensure!(error.contains("NameHasNoOwner"), "gdbus: {error}");
            return Ok(None);
        }
        // As in (uint32 4711,).
        let digits: String = said.chars().skip_while(|c| *c != ' ').filter(char::is_ascii_digit).collect();
        Ok(Some(digits.parse().with_context(|| format!("gdbus said {said}"))?))
    }
}

fn address(folder: &Path) -> String {
    format!("unix:path={}", folder.join("bus").display())
}

/// A command with the environment of the login that has this folder.
fn in_login(host: &Host, folder: &Path, program: &Path) -> Command {
    let mut command = host.command(program);
    command
        .env("HOME", folder)
        .env("XDG_RUNTIME_DIR", folder)
        .env("DBUS_SESSION_BUS_ADDRESS", address(folder))
        .env("XDG_CONFIG_HOME", folder.join("config"))
        .env("XDG_STATE_HOME", folder.join("state"))
        .env("XDG_CACHE_HOME", folder.join("cache"))
        .env("XDG_DATA_HOME", folder.join("data"));
    command
}
