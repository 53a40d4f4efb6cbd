//! What the virtual studio runs: built by cargo, and the module under the name that PipeWire looks for.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use wireloom_lab::Products;

use crate::cargo::{INSTALLED, cargo, target_directory};
use crate::steps::Steps;

/// Packages whose programs a studio runs beside what a user installs.
const PEERS: [&str; 2] = ["wireloom-interop", "wireloom-oat-device"];

/// Builds everything that runs in the studio, for development: overflow is checked, the audio path is optimised.
pub fn build(steps: &mut Steps) -> anyhow::Result<Products> {
    let selected = INSTALLED.iter().chain(&PEERS).flat_map(|name| ["-p", name]);
    steps.require("build module and programs", cargo(&["build", "--locked"]).args(selected))?;
    let folder = target_directory()?.join("debug");
    name_module(&folder)?;
    steps.require("build the lab's JACK client", &mut jack_client(&folder))?;
    Ok(Products::new(folder))
}

/// Compiles the JACK client of the lab. It is C, because it opens whichever libjack it is run with.
fn jack_client(folder: &Path) -> Command {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/interop/jack-patcher.c");
    let mut command = Command::new("cc");
    command.args(["-O1", "-g", "-Wall", "-Werror", "-o"]).arg(folder.join("wireloom-lab-jack")).arg(source);
    command
}

/// Cargo writes underscores where PipeWire's modules have hyphens.
pub fn name_module(folder: &Path) -> anyhow::Result<PathBuf> {
    let built = folder.join("libpipewire_module_wireloom.so");
    let modules = folder.join("pipewire");
    std::fs::create_dir_all(&modules)?;
    let named = modules.join("libpipewire-module-wireloom.so");
    // By way of a new file: a daemon that has the old one mapped must not see it change.
    let new = modules.join("new");
    std::fs::copy(&built, &new).with_context(|| format!("copying {}", built.display()))?;
    std::fs::rename(&new, &named)?;
    Ok(named)
}
