//! The next Debian release: a root file system of it, for checks and measurements with its PipeWire.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use crate::interruption;
use crate::packages::{PACKAGES, Use};

/// Debian 13: PipeWire 1.4, WirePlumber 0.5.
const RELEASE: &str = "trixie";
/// Written last, with the names of the packages; another text in it, or none, means that something is missing.
const READY: &str = ".wireloom-ready";
/// Packages that only building needs, which is done outside.
const BUILD_ONLY: &[&str] = &["libclang-dev", "gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross", "qemu-user"];

/// Where it is: kept beside the build products, made once, half a minute and what the packages take.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/roots").join(RELEASE)
}

/// Makes it if it is not there; returns the version of its PipeWire. Errors: this user is not root, or Debian's
/// packages cannot be had.
pub fn make() -> anyhow::Result<String> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "a root file system of another release can only be made by root"
    );
    let root = &folder();
    let names: Vec<&str> = PACKAGES
        .iter()
        .filter(|package| package.needed_for <= Use::Test && !BUILD_ONLY.contains(&package.name))
        .map(|package| package.name)
        .collect();
    let ready = std::fs::read_to_string(root.join(READY)).unwrap_or_default();
    if ready.is_empty() {
        if root.exists() {
            std::fs::remove_dir_all(root)?;
        }
        std::fs::create_dir_all(root)?;
        output(Command::new("debootstrap").args(["--variant=minbase", RELEASE]).arg(root))?;
        // Packages are had the same way as on this machine.
        for folder in ["/etc/apt/apt.conf.d", "/etc/apt/auth.conf.d", "/etc/ssl/certs"] {
            if Path::new(folder).is_dir() {
                let to = root.join(folder.trim_start_matches('/'));
                std::fs::create_dir_all(&to)?;
                output(Command::new("cp").args(["-aL", &format!("{folder}/.")]).arg(&to))?;
            }
        }
        for file in ["/etc/resolv.conf", "/etc/hosts"] {
            let _ = std::fs::copy(file, root.join(file.trim_start_matches('/')));
        }
    }
    if ready != names.join(" ") {
        inside(root, "apt-get", &["update", "-q"])?;
        let mut arguments = vec!["install", "-y", "-q", "--no-install-recommends", "libspa-0.2-modules"];
        arguments.extend(&names);
        inside(root, "apt-get", &arguments)?;
        std::fs::write(root.join(READY), names.join(" "))?;
    }
    let version = inside(root, "pipewire", &["--version"])?;
    let line = version.lines().last().context("pipewire says its version")?;
    Ok(line.replace("Linked with lib", ""))
}

/// Runs a program with `root` as its root, in a mount namespace of its own.
fn inside(root: &Path, program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let script = r#"mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && exec chroot "$0" "$@""#;
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script]).arg(root).arg(program).args(arguments);
    command.env("DEBIAN_FRONTEND", "noninteractive").env("LANG", "C.UTF-8");
    output(&mut command)
}

fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = interruption::output(command).with_context(|| format!("running {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    let tail: Vec<&str> = errors.lines().chain(said.lines()).rev().take(6).collect();
    ensure!(output.status.success(), "{command:?} failed:\n{}", tail.join("\n"));
    Ok(said)
}
