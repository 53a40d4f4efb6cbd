//! A world for one test: a network namespace, a bus, a PipeWire, our agent. Gone when the test ends.
#![allow(dead_code)] // each test binary uses its part

use std::collections::BTreeMap;
use std::future::Future;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use wireloom_clock_page::{Line, LineState, Source, Writer, raw_now};
use wireloom_sdp::{SapPacket, message_hash};
use wireloom_units::{ClockIdentity, TaiTime};
use zbus::Connection;

/// Nothing here may depend on being faster than this.
const PATIENCE: Duration = Duration::from_secs(40);
const INSIDE: &str = "WIRELOOM_TEST_INSIDE";
/// The group of announcements, as the kernel prints it.
const ANNOUNCEMENTS: &str = "FFFFFFEF";

/// Runs `test` in namespaces of its own, by starting this very test again there.
pub fn run<F: Future<Output = ()>>(name: &str, test: impl FnOnce() -> F) {
    if std::env::var_os(INSIDE).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        return runtime
            .block_on(async { tokio::time::timeout(3 * PATIENCE, test()).await })
            .expect("the test came to an end");
    }
    let status = Command::new("unshare")
        .args(["--map-root-user", "--net", "--pid", "--mount-proc", "--fork", "--kill-child", "--"])
        .arg(std::env::current_exe().expect("this program has a path"))
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .status()
        .expect("unshare can be run");
    assert!(status.success(), "{name} failed in its namespace");
}

pub struct World {
    directory: tempfile::TempDir,
    /// The agent's lock; another login uses the same one.
    pub lock: PathBuf,
    bus: Child,
    pipewire: Option<Child>,
    agent: Option<Child>,
    pub connection: Connection,
    beat: Option<(Writer, Line)>,
}

impl World {
    /// Network and bus; PipeWire and the agent are started by name.
    pub async fn new() -> Self {
        for arguments in [
            "link set lo up",
            "link add veth0 type veth peer name veth1",
            "link set veth0 up",
            "link set veth1 up",
            "addr add 192.0.2.10/24 dev veth0",
            "addr add 192.0.2.21/24 dev veth0",
            "addr add 192.0.2.22/24 dev veth0",
            "addr add 192.0.2.23/24 dev veth0",
            "route add 224.0.0.0/4 dev veth0",
        ] {
            let status = Command::new("ip").args(arguments.split(' ')).status().expect("ip can be run");
            assert!(status.success(), "ip {arguments}");
        }
        Self::login().await
    }

    /// Another login of the same computer: a bus, a runtime directory, a state of its own.
    pub async fn login() -> Self {
        let directory = tempfile::Builder::new().prefix("wl").tempdir().expect("temporary directory");
        let socket = directory.path().join("bus");
        let address = format!("unix:path={}", socket.display());
        let bus = Command::new("dbus-daemon")
            .args(["--session", "--nofork", "--nopidfile", "--address", &address])
            .stderr(Stdio::null())
            .spawn()
            .expect("dbus-daemon can be run");
        until("the bus", || socket.exists()).await;
        let connection = zbus::connection::Builder::address(address.as_str()).build().await.expect("a bus");
        std::fs::create_dir(directory.path().join("config")).expect("can be made");
        let lock = directory.path().join("agent.lock");
        let world = Self { directory, lock, bus, pipewire: None, agent: None, connection, beat: None };
        world.configure("");
        world
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes the agent's configuration; the clock page is always the test's own.
    pub fn configure(&self, text: &str) {
        let text = format!("clock-page = {:?}\nnetwork-interfaces = [\"veth0\"]\n{text}", self.path("clock"));
        std::fs::write(self.path("config/wireloom.conf"), text).expect("can be written");
    }

    fn environment(&self, command: &mut Command) {
        command
            .env_remove("PIPEWIRE_REMOTE")
            .env("XDG_RUNTIME_DIR", self.directory.path())
            .env("PIPEWIRE_RUNTIME_DIR", self.directory.path())
            .env("DBUS_SESSION_BUS_ADDRESS", format!("unix:path={}", self.path("bus").display()))
            .env("XDG_STATE_HOME", self.path("state"))
            .env("WIRELOOM_CONFIG_DIR", self.path("config"))
            .env(
                "WIRELOOM_LOG",
                std::env::var("WIRELOOM_LOG").unwrap_or_else(|_| "warn,zbus=warn".to_owned()),
            );
    }

    /// A PipeWire with the metadata object that the module would own, and nothing else.
    pub async fn start_pipewire(&mut self, with_object: bool) {
        let object = "{ factory = metadata args = { metadata.name = wireloom } }";
        let config = format!(
            "context.properties = {{ core.daemon = true core.name = pipewire-0 support.dbus = false }}
             context.spa-libs = {{ support.* = support/libspa-support }}
             context.modules = [
                {{ name = libpipewire-module-protocol-native }} {{ name = libpipewire-module-metadata }}
                {{ name = libpipewire-module-spa-node-factory }}
                {{ name = libpipewire-module-client-node }} {{ name = libpipewire-module-access }} ]
             context.objects = [ {} ]",
            if with_object { object } else { "" }
        );
        std::fs::write(self.path("pipewire.conf"), config).expect("can be written");
        let mut command = Command::new("/usr/bin/pipewire");
        command.arg("-c").arg(self.path("pipewire.conf"));
        self.environment(&mut command);
        self.pipewire = Some(command.spawn().expect("pipewire can be run"));
        until("PipeWire's socket", || self.path("pipewire-0").exists()).await;
    }

    pub fn stop_pipewire(&mut self) {
        end(self.pipewire.take());
        let _ = std::fs::remove_file(self.path("pipewire-0"));
    }

    pub fn agent_command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wireloom-agent"));
        command.arg("--lock").arg(&self.lock);
        self.environment(&mut command);
        command
    }

    /// Starts the agent and waits until it is on the bus.
    pub async fn start_agent(&mut self) {
        self.start_agent_by(self.agent_command()).await;
    }

    /// The same by a changed [`World::agent_command`].
    pub async fn start_agent_by(&mut self, mut command: Command) {
        self.agent = Some(command.spawn().expect("the agent can be run"));
        let bus = zbus::fdo::DBusProxy::new(&self.connection).await.expect("a bus");
        let name = zbus::names::BusName::try_from(wireloom_dbus::BUS_NAME).expect("a name");
        until_async("the agent's name", async || bus.name_has_owner(name.clone()).await.unwrap_or(false))
            .await;
        // Most tests announce something once, and at once. Who is not active, or finds the port taken, joins nothing.
        for _ in 0..40 {
            if std::fs::read_to_string("/proc/net/igmp").is_ok_and(|groups| groups.contains(ANNOUNCEMENTS)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }

    /// Ends the agent without a word (SIGKILL).
    pub fn kill_agent(&mut self) {
        end(self.agent.take());
    }

    /// Asks the agent to end (SIGTERM) and waits until it did.
    pub async fn stop_agent(&mut self) {
        let Some(mut agent) = self.agent.take() else { return };
        let status = Command::new("kill").arg(agent.id().to_string()).status().expect("kill can be run");
        assert!(status.success());
        tokio::task::spawn_blocking(move || agent.wait()).await.expect("no panic").expect("it ended");
    }

    pub fn agent_pid(&self) -> u32 {
        self.agent.as_ref().map_or(0, Child::id)
    }

    pub async fn snapshot(&self) -> wireloom_dbus::Snapshot {
        wireloom_dbus::Snapshot::read(&self.connection).await.expect("the agent answers")
    }

    pub async fn manager(&self) -> wireloom_dbus::ManagerProxy<'static> {
        wireloom_dbus::ManagerProxy::new(&self.connection).await.expect("a proxy")
    }

    /// Waits until what the agent shows is as `wanted`.
    pub async fn until_snapshot(
        &self,
        what: &str,
        wanted: impl Fn(&wireloom_dbus::Snapshot) -> bool,
    ) -> wireloom_dbus::Snapshot {
        let begun = Instant::now();
        loop {
            let snapshot = self.snapshot().await;
            if wanted(&snapshot) {
                return snapshot;
            }
            assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}; last seen: {snapshot:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Keys of the metadata object, as PipeWire's own tool sees them.
    pub fn metadata(&self) -> BTreeMap<String, String> {
        let mut command = Command::new("timeout");
        command.args(["5", "pw-dump"]).stderr(Stdio::null());
        self.environment(&mut command);
        let output = command.output().expect("pw-dump can be run");
        let objects: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let object = objects.iter().find(|object| object["props"]["metadata.name"] == "wireloom");
        let entries = object.and_then(|object| object["metadata"].as_array()).cloned().unwrap_or_default();
        let text =
            |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        entries.iter().map(|entry| (text(&entry["key"]), text(&entry["value"]))).collect()
    }

    /// PipeWire's own tool, telling line by line what becomes of the metadata object. End it with [`Child::kill`].
    pub fn monitor_metadata(&self) -> Child {
        let mut command = Command::new("stdbuf");
        command.args(["-oL", "pw-metadata", "-m", "-n", "wireloom"]).stdout(Stdio::piped());
        self.environment(&mut command);
        command.spawn().expect("pw-metadata can be run")
    }

    /// Writes a key as the module would.
    pub fn write(&self, key: &str, value: &str) {
        let mut command = Command::new("timeout");
        // The tool stays sometimes after it has written; what matters is what it wrote.
        command.args(["2", "pw-metadata", "-n", "wireloom", "0", key, value, "Spa:String:JSON"]);
        self.environment(&mut command);
        command.stdout(Stdio::null()).status().expect("pw-metadata can be run");
    }

    pub async fn until_metadata(
        &self,
        what: &str,
        wanted: impl Fn(&BTreeMap<String, String>) -> bool,
    ) -> BTreeMap<String, String> {
        let begun = Instant::now();
        loop {
            let keys = self.metadata();
            if wanted(&keys) {
                return keys;
            }
            assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}; last seen: {keys:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Publishes a clock line as wireloom-clock would: PTPv2 domain 0, led by `leader`.
    pub fn publish_clock(&mut self, leader: [u8; 8], state: LineState) {
        let (mut writer, generation) = match self.beat.take() {
            Some((writer, line)) => (writer, line.generation),
            None => (Writer::create(&self.path("clock")).expect("a page can be made"), 1),
        };
        let line = Line {
            source: Source::PtpV2(0),
            state,
            generation,
            base: raw_now(),
            time: TaiTime::from_nanos(1_767_225_637_000_000_000),
            rate: 0,
            error_bound_ns: 500,
            leader: ClockIdentity(leader),
        };
        writer.publish(&line).expect("the page has room");
        writer.beat(raw_now());
        self.beat = Some((writer, line));
    }
}

impl Drop for World {
    fn drop(&mut self) {
        end(self.agent.take());
        end(self.pipewire.take());
        let _ = self.bus.kill();
        let _ = self.bus.wait();
    }
}

fn end(child: Option<Child>) {
    if let Some(mut child) = child {
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// A device that announces: one address, one socket.
pub struct Announcer {
    socket: UdpSocket,
    address: Ipv4Addr,
}

impl Announcer {
    pub fn new(last_octet: u8) -> Self {
        let address = Ipv4Addr::new(192, 0, 2, last_octet);
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).expect("a socket");
        let from = std::net::SocketAddr::from((address, 0));
        socket.bind(&from.into()).expect("the address is ours");
        socket.set_multicast_if_v4(&address).expect("the interface is up");
        Self { socket: socket.into(), address }
    }

    pub fn send(&self, group: Ipv4Addr, sdp: &str, delete: bool) {
        let packet = SapPacket {
            delete,
            is_version_0: false,
            hash: message_hash(sdp.as_bytes()),
            origin: self.address.into(),
            payload: sdp.as_bytes().into(),
        };
        self.raw(group, &packet.emit());
    }

    pub fn raw(&self, group: Ipv4Addr, bytes: &[u8]) {
        self.socket.send_to(bytes, (group, 9875)).expect("the network takes it");
    }

    pub fn announce(&self, sdp: &str) {
        self.send(Ipv4Addr::new(239, 255, 255, 255), sdp, false);
    }

    pub fn delete(&self, sdp: &str) {
        self.send(Ipv4Addr::new(239, 255, 255, 255), sdp, true);
    }

    /// A stereo stream of this device.
    pub fn sdp(&self, session: u32, version: u32, name: &str, group: &str) -> String {
        format!(
            "v=0\r\no=- {session} {version} IN IP4 {}\r\ns={name}\r\nc=IN IP4 {group}/32\r\nt=0 0\r\n\
             m=audio 5004 RTP/AVP 97\r\ni=2 channels: Left, Right\r\na=recvonly\r\na=rtpmap:97 L24/48000/2\r\n\
             a=ptime:1\r\na=ts-refclk:ptp=IEEE1588-2008:00-1D-C1-FF-FE-12-00-A4:0\r\na=mediaclk:direct=7\r\n",
            self.address
        )
    }
}

/// The node keys of the metadata object, and what they say.
pub fn nodes(keys: &BTreeMap<String, String>) -> Vec<(String, wireloom_wanted::Node)> {
    let parse = |value: &String| serde_json::from_str(value).expect("node keys are nodes");
    keys.iter()
        .filter(|(key, _)| key.starts_with("node."))
        .map(|(key, value)| (key.clone(), parse(value)))
        .collect()
}

/// Everybody's grandmaster in these tests.
pub const LEADER: [u8; 8] = [0x00, 0x1d, 0xc1, 0xff, 0xfe, 0x12, 0x00, 0xa4];

pub async fn until(what: &str, wanted: impl Fn() -> bool) {
    until_async(what, async || wanted()).await;
}

pub async fn until_async(what: &str, wanted: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    while !wanted().await {
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The only line of `path`'s text that begins with `prefix`, after it.
pub fn field(path: &Path, prefix: &str) -> String {
    let text = std::fs::read_to_string(path).expect("can be read");
    text.lines().find_map(|line| line.strip_prefix(prefix)).unwrap_or_default().trim().to_owned()
}
