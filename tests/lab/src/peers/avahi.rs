//! Avahi: the DNS-SD responder of most desktops, with its own message bus.

use crate::host::Host;
use crate::process::Process;
use crate::wait::{self, SOON};

/// The subtype by which RAVENNA sessions are found.
const SESSIONS: &str = "_ravenna_session._sub._rtsp._tcp";

/// Makes the account of Avahi, which it gives its folder to, one that there is: an ordinary user's studio knows only its
/// own, which is root there.
const AS_ROOT: &str = "
    for file in passwd group; do
        sed 's/^avahi:x:[0-9]*\\(:[0-9]*\\)\\?/avahi:x:0\\1/; s/^avahi:x:0:[0-9]\\+/avahi:x:0:0/' /etc/$file >\"$1/$file\"
        mount --bind \"$1/$file\" /etc/$file
    done";

/// A running avahi-daemon on a host.
#[derive(Debug)]
pub struct Avahi<'a> {
    host: &'a Host,
    address: String,
    /// The daemon.
    pub daemon: Process,
    _bus: Process,
}

/// A service as avahi-browse resolved it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Instance name, escapes undone for the characters that avahi-browse escapes in it.
    pub name: String,
    /// Address of its host.
    pub address: String,
    /// Its port.
    pub port: u16,
}

impl<'a> Avahi<'a> {
    /// Starts a bus and the daemon, which uses IPv4 and all interfaces of the host.
    pub fn start(host: &'a Host) -> anyhow::Result<Self> {
        let socket = host.directory().join("system-bus");
        let address = format!("unix:path={}", socket.display());
        let bus = ["--session", "--nofork", "--nopidfile", "--nosyslog", &format!("--address={address}")];
        let mut bus = host.spawn("dbus-daemon", bus)?;
        wait::until("the bus of Avahi", SOON, || {
            bus.is_alive()?;
            Ok(socket.exists().then_some(()))
        })?;
        let settings = format!(
            "[server]\nhost-name={}\nuse-ipv4=yes\nuse-ipv6=no\n[publish]\npublish-hinfo=no\npublish-workstation=no\n",
            host.name()
        );
        let file = host.directory().join("avahi.conf");
        std::fs::write(&file, settings)?;
        std::fs::create_dir_all(host.file("/run/avahi-daemon"))?;
        host.run("sh", ["-ec", AS_ROOT, "sh", &host.directory().display().to_string()])?;
        let mut command = host.command("avahi-daemon");
        command.args(["--no-drop-root", "--no-chroot", "--no-rlimits", "--debug", "-f"]).arg(&file);
        command.env("DBUS_SYSTEM_BUS_ADDRESS", &address);
        let mut daemon = host.start("avahi-daemon", command)?;
        daemon.says("Server startup complete", SOON)?;
        Ok(Self { host, address, daemon, _bus: bus })
    }

    /// Publishes a RAVENNA session until the process is dropped.
    pub fn publish(&self, name: &str, port: u16) -> anyhow::Result<Process> {
        self.publish_service(&[&format!("--subtype={SESSIONS}"), name, "_rtsp._tcp", &port.to_string()])
    }

    /// Publishes a device of OAT that is controlled at `port`, until the process is dropped.
    pub fn publish_oat(&self, name: &str, port: u16) -> anyhow::Result<Process> {
        self.publish_service(&[name, "_http._tcp", &port.to_string(), "path=/oat/v1", "oat=1"])
    }

    /// Publishes a web page, until the process is dropped.
    pub fn publish_page(&self, name: &str, port: u16) -> anyhow::Result<Process> {
        self.publish_service(&[name, "_http._tcp", &port.to_string(), "path=/"])
    }

    fn publish_service(&self, arguments: &[&str]) -> anyhow::Result<Process> {
        let mut command = self.host.command("avahi-publish");
        command.arg("-s").args(arguments);
        command.env("DBUS_SYSTEM_BUS_ADDRESS", &self.address);
        let mut process = self.host.start("avahi-publish", command)?;
        process.says("Established under name", SOON)?;
        Ok(process)
    }

    /// Every RAVENNA session that it finds and resolves.
    pub fn sessions(&self) -> anyhow::Result<Vec<Service>> {
        let mut command = self.host.command("timeout");
        command.args(["10", "avahi-browse", "--parsable", "--resolve", "--terminate", SESSIONS]);
        command.env("DBUS_SYSTEM_BUS_ADDRESS", &self.address);
        let output = command.output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(text.lines().filter_map(parse).collect())
    }
}

/// A line like `=;eth0;IPv4;computer\032Drums;RTSP stream;local;host.local;10.77.0.2;8854;`.
fn parse(line: &str) -> Option<Service> {
    let fields: Vec<&str> = line.split(';').collect();
    let &["=", _, "IPv4", name, _, _, _, address, port, ..] = &fields[..] else { return None };
    Some(Service { name: unescape(name)?, address: address.to_owned(), port: port.parse().ok()? })
}

/// Undoes `\032`; other escapes do not occur in the lab's names.
fn unescape(name: &str) -> Option<String> {
    let mut octets = Vec::new();
    let mut rest = name.as_bytes();
    while let Some((&octet, after)) = rest.split_first() {
        rest = after;
        if octet == b'\\' {
            let (digits, after) = rest.split_first_chunk::<3>()?;
            octets.push(std::str::from_utf8(digits).ok()?.parse().ok()?);
            rest = after;
        } else {
            octets.push(octet);
        }
    }
    String::from_utf8(octets).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolved_services_are_read() {
        let line = r"=;eth0;IPv4;B\195\188hne\0321;RTSP;local;stage.local;10.77.0.2;8554;";
        let service = Service { name: "Bühne 1".to_owned(), address: "10.77.0.2".to_owned(), port: 8554 };
        assert_eq!(parse(line), Some(service));
        assert_eq!(parse("+;eth0;IPv4;x;RTSP;local"), None);
        assert_eq!(parse(""), None);
    }
}
