//! How cargo is called.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::interruption;

/// The crates that must work without an operating system: what a wire says and what it means.
pub const PROTOCOL_CRATES: &[&str] = &[
    "wireloom-units",
    "wireloom-rtp",
    "wireloom-sdp",
    "wireloom-ptp",
    "wireloom-oat",
    "wireloom-ravenna",
    "wireloom-route",
];

/// What a user installs: the module and the programs.
pub const INSTALLED: &[&str] = &[
    "wireloom-pw-module",
    "wireloom-clock-daemon",
    "wireloom-session-agent",
    "wireloom-cli",
    "wireloom-selftest",
];

/// The root of the source tree.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a folder of the tree")
}

/// A call of cargo in the root of the tree, without what `cargo run` put into our own environment.
pub fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CARGO_PKG_") || name == "CARGO_MANIFEST_DIR" {
            command.env_remove(name);
        }
    }
    command.current_dir(root()).args(arguments);
    command
}

/// What `cargo metadata` says about this platform, without asking the network.
pub fn metadata() -> anyhow::Result<Value> {
    let arguments = ["metadata", "--format-version=1", "--locked", "--offline", "--filter-platform"];
    let output =
        interruption::output(cargo(&arguments).arg(host_target()?)).context("running cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim());
    serde_json::from_slice(&output.stdout).context("reading what cargo metadata says")
}

/// Where cargo puts what it builds.
pub fn target_directory() -> anyhow::Result<PathBuf> {
    let output =
        interruption::output(&mut cargo(&["metadata", "--format-version=1", "--no-deps", "--offline"]))?;
    let metadata: Value =
        serde_json::from_slice(&output.stdout).context("reading what cargo metadata says")?;
    let path = metadata["target_directory"].as_str().context("cargo metadata names no target directory")?;
    Ok(path.into())
}

/// The target triple of this machine, as the compiler names it.
pub fn host_target() -> anyhow::Result<String> {
    let output = interruption::output(Command::new("rustc").arg("-vV")).context("running rustc")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc -vV names no host")?.to_owned())
}
