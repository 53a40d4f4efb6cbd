//! What `xtask` says where it may not do what is needed: before it does anything else, in words, with exit code 3.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rustix::io::Errno;
use tempfile::TempDir;

/// A machine whose programs are these: name and shell script.
struct Machine(TempDir);

impl Machine {
    fn new(programs: &[(&str, &str)]) -> Self {
        let machine = Self(tempfile::tempdir().expect("a folder"));
        programs.iter().for_each(|(name, script)| machine.has(name, script));
        machine
    }

    fn has(&self, name: &str, script: &str) {
        let file = self.0.path().join(name);
        fs::write(&file, format!("#!/bin/sh\n{script}\n")).expect("written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("allowed");
    }

    /// Runs `xtask` without a terminal.
    fn xtask(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.args(arguments).env_clear().env("PATH", self.0.path()).env("HOME", self.0.path());
        command.stdin(Stdio::null()).output().expect("xtask starts")
    }

    fn folder(&self) -> &Path {
        self.0.path()
    }
}

const NOBODY: [(&str, &str); 3] =
    [("id", "echo 1000"), ("dpkg-query", "echo 'ii pkg-config'"), ("sudo", "exit 1")];

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The packages in the list of what is missing.
fn missing(output: &Output) -> Vec<String> {
    let lines = text(&output.stdout);
    let names = lines
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next().map(str::to_owned));
    names.collect()
}

#[test]
fn setup_without_rights_names_the_command() {
    let machine = Machine::new(&NOBODY);
    let output = machine.xtask(&["setup"]);
    let (said, missing) = (text(&output.stderr), missing(&output));
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(missing.len() > 20 && !missing.contains(&"pkg-config".to_owned()), "{missing:?}");
    let command = format!(
        "\n  sudo apt-get update && sudo apt-get install --no-install-recommends {}\n",
        missing.join(" ")
    );
    assert!(said.contains(&command), "{said}");
}

#[test]
fn setup_as_an_ordinary_user_without_sudo_installs_nothing() {
    // Anybody may enter /tmp and run what is there, whatever TMPDIR and the folder of the products are.
    let machine = Machine(tempfile::tempdir_in("/tmp").expect("a folder"));
    let allow =
        |file: &Path, mode| fs::set_permissions(file, fs::Permissions::from_mode(mode)).expect("allowed");
    allow(machine.folder(), 0o755);
    let calls = machine.folder().join("calls");
    fs::write(&calls, "").expect("written");
    allow(&calls, 0o666);
    let record = format!("echo \"${{0##*/}}\" >> {}", calls.display());
    for tool in ["apt-get", "apt", "dpkg"] {
        machine.has(tool, &record);
    }
    machine.has("dpkg-query", &format!("{record}; exit 1"));
    machine.has("sh", "exec /bin/sh \"$@\"");
    let path = std::env::var("PATH").expect("a path");
    machine.has("id", &format!("PATH='{path}'; exec id \"$@\""));

    let program = machine.folder().join("xtask");
    let mut copy = Command::new("cp"); // a process of its own: what this one writes, its other children hold open
    let copied = copy.arg(env!("CARGO_BIN_EXE_xtask")).arg(&program).status().expect("cp starts");
    assert!(copied.success());
    allow(&program, 0o755);
    let mut command = Command::new(&program);
    if rustix::process::geteuid().is_root() {
        command.uid(65534).gid(65534);
    }
    command.arg("setup").env_clear().env("PATH", machine.folder()).current_dir(machine.folder());
    let output = match command.stdin(Stdio::null()).output() {
        Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::PERM | Errno::INVAL)) => {
            eprintln!("not tried: this root may not become another user ({error})");
            return;
        }
        output => output.expect("xtask starts"),
    };

    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert_eq!(fs::read_to_string(calls).expect("readable"), "dpkg-query\n");
    let install = "\n  sudo apt-get update && sudo apt-get install --no-install-recommends ";
    let named = said.split_once(install).and_then(|(_, names)| names.lines().next()).expect("the command");
    assert_eq!(named, missing(&output).join(" "));
    assert!(named.split(' ').any(|name| name == "pkg-config"), "{named}");
}

#[test]
fn setup_uses_a_sudo_that_asks_nothing_and_looks_whether_it_helped() {
    let machine = Machine::new(&NOBODY);
    let log = machine.folder().join("asked");
    machine.has("sudo", &format!("printf '%s\\n' \"$*\" >> {}", log.display()));
    let output = machine.xtask(&["setup"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("is still missing although apt-get reported success"));
    let asked = fs::read_to_string(log).expect("sudo was used");
    assert!(asked.starts_with("-n true\n-n sh -c ") && asked.contains("apt-get -q -y"), "{asked}");
}

#[test]
fn where_namespaces_are_refused_demo_and_lab_offer_sudo() {
    let machine = Machine::new(&NOBODY);
    let mut installed = missing(&machine.xtask(&["setup"]));
    installed.push("pkg-config".to_owned());
    let lines: Vec<String> = installed.iter().map(|name| format!("echo 'ii {name}'")).collect();
    machine.has("dpkg-query", &lines.join("\n"));
    machine.has("unshare", "echo 'unshare: unshare failed: Operation not permitted' >&2; exit 1");
    for task in [&["demo"][..], &["lab", "network"]] {
        let output = machine.xtask(task);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains("(unshare: unshare failed: Operation not permitted)"), "{said}");
        let offer = format!("\n  sudo --preserve-env=PATH,HOME cargo xtask {}\n", task.join(" "));
        assert!(said.contains(&offer), "{said}");
    }
}
