use std::cell::Cell;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, bail, ensure};

use crate::process::Process;
use crate::studio::ip;

/// Run as the first process of a host, in its namespaces: they live as long as it does.
const FIRST_PROCESS: &str = r#"
    hostname "$1" && mount -t tmpfs tmpfs /run && mkdir /run/wireloom && ip link set lo up && echo ready && exec sleep infinity
"#;

/// Whether `chrt` works for this user; tried once.
static MAY_BE_REAL_TIME: OnceLock<bool> = OnceLock::new();

/// A computer of the studio.
#[derive(Debug)]
pub struct Host {
    name: String,
    address: Ipv4Addr,
    directory: PathBuf,
    first: Child,
    started: Cell<u32>,
}

impl Host {
    pub(crate) fn new(studio: &Path, name: &str, number: u8) -> anyhow::Result<Self> {
        let directory = studio.join(format!("{name}-{number}"));
        for folder in ["log", "home"] {
            std::fs::create_dir_all(directory.join(folder))?;
        }
        let mut first = Command::new("unshare")
            .args(["--net", "--mount", "--uts", "sh", "-c", FIRST_PROCESS, "sh", name])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("running unshare")?;
        let mut answer = String::new();
        let stdout = first.stdout.take().context("a piped output")?;
        BufReader::new(stdout).read_line(&mut answer)?;
        if answer != "ready\n" {
            let _ = first.kill();
            let _ = first.wait();
            bail!("its first process did not get ready");
        }
        let host = Self {
            name: name.to_owned(),
            address: Ipv4Addr::new(10, 77, 0, number),
            directory,
            first,
            started: Cell::new(0),
        };
        host.connect(number)?;
        Ok(host)
    }

    /// A cable from the switch to the interface `eth0`.
    fn connect(&self, number: u8) -> anyhow::Result<()> {
        let port = format!("port{number}");
        let namespace = self.first.id().to_string();
        // Globally administered, from the block for documentation (RFC 7042 section 2.1.1): a clock identity is made
        // of it, and a locally administered one would be told apart.
        let mac = format!("00:00:5e:00:53:{number:02x}");
        let peer = ["peer", "name", "eth0", "netns", &namespace, "address", &mac];
        ip(&[&["link", "add", &port, "type", "veth"][..], &peer].concat())?;
        ip(&["link", "set", &port, "master", "switch", "up"])?;
        let address = format!("{}/24", self.address);
        self.run("ip", ["address", "add", &address, "dev", "eth0"])?;
        self.run("ip", ["link", "set", "eth0", "up"])?;
        self.run("ip", ["route", "add", "224.0.0.0/4", "dev", "eth0"])?;
        Ok(())
    }

    /// Takes the network adapter out and puts it back: `eth0` is another interface with the same name and addresses.
    pub fn replug(&self) -> anyhow::Result<()> {
        let number = self.address.octets()[3];
        ip(&["link", "delete", &format!("port{number}")])?;
        self.connect(number)
    }

    /// Gives `eth0` an address of IPv6 too; without it the host has only a link-local one.
    pub fn add_ipv6(&self) -> anyhow::Result<Ipv6Addr> {
        let number = self.address.octets()[3];
        let address = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, number.into());
        // Nobody else has it, so it need not be asked for first.
        self.run("ip", ["-6", "address", "add", &format!("{address}/64"), "dev", "eth0", "nodad"])?;
        Ok(address)
    }

    /// Its host name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The address of its `eth0`.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Its directory in the real file system; also its `XDG_RUNTIME_DIR`, so that sockets in it can be reached from
    /// outside of the studio.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The address of its session bus, once there is one; every program of the host is told.
    pub fn bus_address(&self) -> String {
        format!("unix:path={}", self.directory.join("bus").display())
    }

    /// Where a file of this host is, seen from outside of it: `/run` is a host's own.
    pub fn file(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.first.id()))
    }

    /// A command that will run on this host, with an environment that holds nothing of the real user's.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg("--target").arg(self.first.id().to_string()).args(["--net", "--mount", "--uts", "--"]);
        command.arg(program);
        let home = self.directory.join("home");
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_else(|| "/usr/sbin:/usr/bin:/sbin:/bin".into()))
            .env("LANG", "C.UTF-8")
            .env("USER", "studio")
            .env("XDG_RUNTIME_DIR", &self.directory)
            .env("DBUS_SESSION_BUS_ADDRESS", self.bus_address())
            .env("HOME", &home);
        for (variable, folder) in
            [("CONFIG", ".config"), ("STATE", ".state"), ("CACHE", ".cache"), ("DATA", ".data")]
        {
            command.env(format!("XDG_{variable}_HOME"), home.join(folder));
        }
        command
    }

    /// Starts a program and leaves it running.
    pub fn spawn<S: AsRef<OsStr>>(
        &self,
        program: impl AsRef<OsStr>,
        arguments: impl IntoIterator<Item = S>,
    ) -> anyhow::Result<Process> {
        let program = program.as_ref();
        let mut command = self.command(program);
        command.args(arguments);
        self.start(&Path::new(program).file_name().unwrap_or(program).to_string_lossy(), command)
    }

    /// Starts a prepared [`Host::command`] and leaves it running; `name` is for its log and for errors.
    pub fn start(&self, name: &str, command: Command) -> anyhow::Result<Process> {
        self.start_piped(name, command, None, None)
    }

    /// The same with an input or output of the caller's.
    pub fn start_piped(
        &self,
        name: &str,
        command: Command,
        input: Option<Stdio>,
        output: Option<Stdio>,
    ) -> anyhow::Result<Process> {
        self.started.set(self.started.get() + 1);
        let log = self.directory.join("log").join(format!("{:03}-{name}.log", self.started.get()));
        Process::start(&format!("{name} on {}", self.name), command, log, input, output)
    }

    /// Like [`Host::command`], with real-time priority where this user may have it: what stands for a device must not
    /// wait for programs that merely happen to run on the same machine.
    pub fn device_command(&self, program: impl AsRef<OsStr>) -> Command {
        let may = *MAY_BE_REAL_TIME.get_or_init(|| {
            let tried = Command::new("chrt").args(["--fifo", "50", "true"]).stderr(Stdio::null()).status();
            tried.is_ok_and(|status| status.success())
        });
        if !may {
            return self.command(program);
        }
        let mut command = self.command("chrt");
        command.args(["--fifo", "50"]).arg(program);
        command
    }

    /// Runs a program to its end and returns what it printed. Errors: it failed; carries what it said.
    pub fn run<S: AsRef<OsStr>>(
        &self,
        program: impl AsRef<OsStr>,
        arguments: impl IntoIterator<Item = S>,
    ) -> anyhow::Result<String> {
        let shown = program.as_ref().to_string_lossy().into_owned();
        let output = self.command(program).args(arguments).stdin(Stdio::null()).output();
        let output = output.with_context(|| format!("running {shown} on {}", self.name))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "{shown} on {} ended with {}: {}",
            self.name,
            output.status,
            said.trim()
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.first.kill();
        let _ = self.first.wait();
    }
}
