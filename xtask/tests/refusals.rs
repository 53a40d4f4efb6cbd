//! What `xtask` says where it may not do what is needed: before it does anything else, in words, with exit code 3.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

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
        std::fs::write(&file, format!("#!/bin/sh\n{script}\n")).expect("written");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).expect("allowed");
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
fn setup_uses_a_sudo_that_asks_nothing_and_looks_whether_it_helped() {
    let machine = Machine::new(&NOBODY);
    let log = machine.folder().join("asked");
    machine.has("sudo", &format!("printf '%s\\n' \"$*\" >> {}", log.display()));
    let output = machine.xtask(&["setup"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("is still missing although apt-get reported success"));
    let asked = std::fs::read_to_string(log).expect("sudo was used");
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
