//! Hosts in network namespaces of this test's own, joined by a switch, and the programs that run on them.
//!
//! As root the namespaces are plain, else they lie in a user namespace. Where neither is allowed, [`Net::new`]
//! says so and the test ends, or fails where nobody would read it (`CI=true`). Everything ends with the values that
//! started it.

#![allow(dead_code)] // each test file uses its own part

pub mod noise;

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use wireloom_clock_page::Reader;

/// Nothing here takes this long on a machine that works at all.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// A process that ends with this value.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A switch and hosts, each in its own network namespace, 10.77.0.1, .2 … on `eth0`.
pub struct Net {
    is_root: bool,
    switch: Running,
    hosts: Vec<Running>,
    pub directory: TempDir,
}

impl Net {
    /// Two hosts joined by one cable; `None`, with a printed reason, where namespaces are not allowed.
    ///
    /// For what is measured: a switch of the kernel's delays the two directions differently by 10 µs and more.
    pub fn pair() -> Option<Self> {
        let mut net = Self::new(0)?;
        for _ in 0..2 {
            net.add_host();
        }
        let [one, other] = [0, 1].map(|number| net.hosts[number].0.id());
        net.ip(
            one,
            &format!(
                "link add eth0 address {} type veth peer name eth0 address {} netns {other}",
                mac(0),
                mac(1)
            ),
        );
        for (number, host) in [one, other].into_iter().enumerate() {
            net.ip(host, &format!("addr add 10.77.0.{}/24 dev eth0", number + 1));
            net.ip(host, "link set eth0 up");
        }
        Some(net)
    }

    /// As many hosts as asked for, on a switch; `None`, with a printed reason, where namespaces are not allowed.
    pub fn new(hosts: usize) -> Option<Self> {
        let is_root =
            fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
        let mut command = Command::new("unshare");
        command.args(if is_root {
            ["--net"].as_slice()
        } else {
            ["--user", "--map-root-user", "--net"].as_slice()
        });
        let switch = keeper(command)?;
        let directory = tempfile::tempdir().expect("temporary directory");
        let mut net = Self { is_root, switch, hosts: Vec::new(), directory };
        let switch = net.switch.0.id();
        net.ip(switch, "link add switch type bridge mcast_snooping 0");
        net.ip(switch, "link set switch up");
        for number in 0..hosts {
            net.add_host();
            net.plug(number);
        }
        Some(net)
    }

    fn add_host(&mut self) {
        let mut command = self.enter(self.switch.0.id());
        command.args(["unshare", "--net"]);
        let host = keeper(command).expect("nested namespaces are allowed where the first was");
        self.ip(host.0.id(), "link set lo up");
        self.hosts.push(host);
    }

    /// Connects host `number` to the switch.
    pub fn plug(&self, number: usize) {
        let (switch, host) = (self.switch.0.id(), self.hosts[number].0.id());
        let mac = mac(number);
        self.ip(
            switch,
            &format!("link add port{number} type veth peer name eth0 address {mac} netns {host}"),
        );
        self.ip(switch, &format!("link set port{number} master switch up"));
        self.ip(host, &format!("addr add 10.77.0.{}/24 dev eth0", number + 1));
        self.ip(host, "link set eth0 up");
    }

    /// Removes host `number`'s interface.
    pub fn unplug(&self, number: usize) {
        self.ip(self.switch.0.id(), &format!("link del port{number}"));
    }

    /// Runs `ip` on host `number`.
    pub fn ip_on(&self, number: usize, arguments: &str) {
        self.ip(self.hosts[number].0.id(), arguments);
    }

    /// A command that will run on host `number`.
    pub fn on(&self, number: usize, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = self.enter(self.hosts[number].0.id());
        command.arg(program);
        command
    }

    /// A file for one program of this net.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn enter(&self, pid: u32) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--target={pid}")).arg("--net");
        if !self.is_root {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.arg("--");
        command
    }

    fn ip(&self, pid: u32, arguments: &str) {
        let output = self.enter(pid).arg("ip").args(arguments.split(' ')).output().expect("ip is installed");
        assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Host `number`'s MAC address: globally administered, from the block for documentation (RFC 7042 §2.1.1).
fn mac(number: usize) -> String {
    format!("00:00:5e:00:53:{:02x}", number + 1)
}

/// Says, past the capture of the test's output, that this test shows nothing here, and why. Panics where nobody reads
/// it.
pub fn not_tried(why: &str) {
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    let _ = writeln!(std::io::stderr(), "SKIPPED: {name}: {why}");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{why}");
}

/// Starts `command` with a sleeping program, and waits until it sleeps: then the namespaces are made.
fn keeper(mut command: Command) -> Option<Running> {
    command.args(["sleep", "600"]).stdin(Stdio::null()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => Running(child),
        Err(error) => {
            not_tried(&format!("unshare cannot be run: {error}"));
            return None;
        }
    };
    let comm = format!("/proc/{}/comm", child.0.id());
    let start = Instant::now();
    while fs::read_to_string(&comm).is_ok_and(|name| name.trim() != "sleep") {
        if child.0.try_wait().is_ok_and(|ended| ended.is_some()) || start.elapsed() > PATIENCE {
            let mut reason = String::new();
            if let Some(stderr) = child.0.stderr.take() {
                let _ = BufReader::new(stderr).read_line(&mut reason);
            }
            not_tried(&format!("network namespaces are not allowed here: {}", reason.trim()));
            return None;
        }
        sleep(Duration::from_millis(10));
    }
    Some(child)
}

/// Our daemon on a host.
pub struct Clock {
    process: Running,
    socket: PathBuf,
    log: PathBuf,
    pub page: PathBuf,
}

impl Clock {
    /// Starts it on host `number` with a settings file, and waits until it answers. `name` names its files: one
    /// that is started anew under the same name goes on from them.
    pub fn start(net: &Net, number: usize, name: &str, settings: &str) -> Self {
        Self::start_through(net, number, name, settings, &[], || {})
    }

    /// As [`Clock::start`], by a program that starts it; `nudge` is called until it answers.
    pub fn start_through(
        net: &Net,
        number: usize,
        name: &str,
        settings: &str,
        starter: &[&str],
        nudge: impl Fn(),
    ) -> Self {
        let config = net.file(&format!("{name}.conf"));
        fs::write(&config, settings).expect("written");
        let (page, socket) = (net.file(&format!("{name}.page")), net.file(&format!("{name}.sock")));
        let log = net.file(&format!("{name}.log"));
        let out = File::options().create(true).append(true).open(&log).expect("log file");
        let program = env!("CARGO_BIN_EXE_wireloom-clock");
        let mut command = net.on(number, starter.first().copied().unwrap_or(program));
        if !starter.is_empty() {
            command.args(&starter[1..]).arg(program);
        }
        command.arg("--config").arg(config).arg("--page").arg(&page).arg("--socket").arg(&socket);
        command.arg("--state").arg(net.file(&format!("{name}.state")));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(out);
        let mut clock = Self { process: Running(command.spawn().expect("started")), socket, log, page };
        let start = Instant::now();
        while clock.try_ask("{\"command\":\"status\"}").is_none() {
            let ended = clock.process.0.try_wait().expect("a child of ours");
            assert!(ended.is_none() && start.elapsed() < PATIENCE, "{name} does not run:\n{}", clock.log());
            nudge();
            sleep(Duration::from_millis(20));
        }
        clock
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// What it logged.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn try_ask(&self, request: &str) -> Option<Value> {
        let mut stream = UnixStream::connect(&self.socket).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.write_all(request.as_bytes()).ok()?;
        stream.write_all(b"\n").ok()?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).ok()?;
        serde_json::from_str(&line).ok()
    }

    /// Asks and gives the whole answer.
    pub fn ask(&self, request: &str) -> Value {
        self.try_ask(request).unwrap_or_else(|| panic!("no answer to {request}:\n{}", self.log()))
    }

    /// Its status document.
    pub fn status(&self) -> Value {
        self.ask("{\"command\":\"status\"}")["status"].clone()
    }

    /// Waits until the status is as wanted, and gives it.
    pub fn wait_for(&self, what: &str, mut wanted: impl FnMut(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let status = self.status();
            if wanted(&status) {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "never {what}: {status:#}\n{}", self.log());
            sleep(Duration::from_millis(50));
        }
    }

    /// Waits until the PTP clock is in `state`.
    pub fn wait_for_state(&self, state: &str) -> Value {
        self.wait_for(state, |status| status["clock"]["state"] == state)
    }

    /// Its page.
    pub fn reader(&self) -> Reader {
        Reader::open(&self.page).expect("a complete page")
    }

    /// Asks it to end by SIGTERM and gives its exit status.
    pub fn terminate(mut self) -> std::process::ExitStatus {
        let pid = self.process.0.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().expect("kill is installed");
        assert!(sent.success());
        self.process.0.wait().expect("a child of ours")
    }
}

/// A ptp4l on a host; it never touches a clock of this computer (`free_running 1`).
pub struct Ptp4l {
    _process: Running,
    log: PathBuf,
}

impl Ptp4l {
    /// Starts it on host `number`, with more settings than the common ones. `None`, with a printed reason, where it
    /// is not installed.
    pub fn start(net: &Net, number: usize, name: &str, settings: &str) -> Option<Self> {
        let config = net.file(&format!("{name}.cfg"));
        let uds = net.file(&format!("{name}.uds"));
        let common = "time_stamping software\ndelay_mechanism E2E\nnetwork_transport UDPv4\ndomainNumber 0\n\
                      logAnnounceInterval 0\nlogSyncInterval -3\nlogMinDelayReqInterval -3\nfree_running 1\n\
                      summary_interval -3\nfreq_est_interval 0\n";
        fs::write(&config, format!("[global]\n{common}uds_address {}\n{settings}", uds.display()))
            .expect("written");
        let log = net.file(&format!("{name}.log"));
        let out = File::create(&log).expect("log file");
        let program = ["/usr/sbin/ptp4l", "/usr/bin/ptp4l"].into_iter().find(|path| Path::new(path).exists());
        let Some(program) = program else {
            not_tried("ptp4l is not installed (package linuxptp)");
            return None;
        };
        let mut command = net.on(number, program);
        command.arg("-f").arg(config).args(["-i", "eth0", "-S", "-m", "-q", "-l", "6"]);
        command.stdin(Stdio::null()).stderr(out.try_clone().expect("duplicated")).stdout(out);
        Some(Self { _process: Running(command.spawn().expect("started")), log })
    }

    /// What it logged.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// Mean, standard deviation, 95th percentile of |x| and maximum of |x|.
pub fn statistics(values: &[f64]) -> (f64, f64, f64, f64) {
    let count = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / count;
    let deviation = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
    let mut sizes: Vec<f64> = values.iter().map(|value| value.abs()).collect();
    sizes.sort_by(f64::total_cmp);
    let at = |part: f64| sizes.get((part * (count - 1.0)) as usize).copied().unwrap_or(0.0);
    (mean, deviation, at(0.95), at(1.0))
}
