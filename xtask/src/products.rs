//! What the virtual studio runs: built by cargo, and the module under the name that PipeWire looks for.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use wireloom_lab::Products;

use crate::cargo::{INSTALLED, cargo, target_directory};
use crate::interruption;
use crate::steps::{Outcome, Steps};

/// Packages whose programs a studio runs beside what a user installs.
const PEERS: [&str; 2] = ["wireloom-interop", "wireloom-oat-device"];

/// Builds everything that runs in the studio, for development: overflow is checked, the audio path is optimised.
pub fn build(steps: &mut Steps) -> anyhow::Result<Products> {
    let selected = INSTALLED.iter().chain(&PEERS).flat_map(|name| ["-p", name]);
    steps.require("build module and programs", cargo(&["build", "--locked"]).args(selected))?;
    let folder = target_directory()?.join("debug");
    name_module(&folder)?;
    let products = Products::new(folder);
    let compiled = steps.step("build the lab's C programs", |_| match compile_peers(&products) {
        Ok(()) => Outcome::Passed(String::new()),
        Err(error) => Outcome::Failed(format!("{error:#}")),
    });
    ensure!(compiled, "the lab's C programs cannot be built");
    Ok(products)
}

/// Compiles the C programs and libraries of `tests/interop`: before a studio runs, which may have no compiler.
fn compile_peers(products: &Products) -> anyhow::Result<()> {
    let library: Vec<String> = ["-shared", "-fPIC", "-ldl"].map(str::to_owned).into();
    let peers = [
        // It opens whichever libjack it is run with.
        ("jack-patcher", Vec::new()),
        ("rt-guard", library.clone()),
        ("no-source-groups", library),
        ("load-host", pipewire_flags()?),
    ];
    std::fs::create_dir_all(products.folder().join("interop"))?;
    for (name, arguments) in peers {
        let source =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/interop").join(name).with_extension("c");
        let mut command = Command::new("cc");
        command.args(["-O1", "-g", "-Wall", "-Werror", "-o"]).arg(products.compiled(name)).arg(source);
        let output = interruption::output(command.args(arguments)).context("running the C compiler")?;
        ensure!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// What `pkg-config` says about compiling and linking against libpipewire.
fn pipewire_flags() -> anyhow::Result<Vec<String>> {
    let mut command = Command::new("pkg-config");
    let output = interruption::output(command.args(["--cflags", "--libs", "libpipewire-0.3"]))?;
    ensure!(output.status.success(), "pkg-config does not know libpipewire-0.3");
    Ok(String::from_utf8(output.stdout)?.split_whitespace().map(str::to_owned).collect())
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
