//! `cargo xtask dist`: a source archive from which everything can be built and installed without network.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, ensure};

use crate::cargo::{cargo, target_directory};
use crate::packages::Use;
use crate::packaging;
use crate::setup;
use crate::steps::Steps;

/// Checks what is installed, then makes the archive of what is committed; with `only_check` no archive.
pub fn run(only_check: bool) -> anyhow::Result<()> {
    setup::run(Use::Test)?;
    let mut steps = Steps::new();
    packaging::check(&mut steps)?;
    if !only_check {
        let folder = target_directory()?.join("packaging");
        let mut dist = Command::new("meson");
        dist.args(["dist", "--no-tests", "--formats=xztar", "-C"]).arg(folder.join("build"));
        if steps.command("source archive", &mut dist) {
            steps.step("the archive needs no network", |_| packaging::remark(unpacked(&folder)));
        }
    }
    steps.finish()
}

/// Unpacks the archive and resolves all dependencies in it with an empty cargo home.
fn unpacked(folder: &std::path::Path) -> anyhow::Result<String> {
    let archives = folder.join("build/meson-dist");
    let entries = std::fs::read_dir(&archives)?.collect::<Result<Vec<_>, _>>()?;
    let path = |end: &str| {
        entries.iter().map(|entry| entry.path()).find(|path| path.to_string_lossy().ends_with(end))
    };
    let archive: PathBuf = path(".tar.xz").context("meson left no archive")?;
    let scratch = folder.join("unpacked");
    let _ = std::fs::remove_dir_all(&scratch);
    std::fs::create_dir_all(scratch.join("home"))?;
    packaging::output(
        Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(&scratch).arg("--strip-components=1"),
    )?;
    let mut resolve = cargo(&["metadata", "--format-version=1", "--offline", "--locked"]);
    packaging::output(resolve.current_dir(&scratch).env("CARGO_HOME", scratch.join("home")))?;
    std::fs::remove_dir_all(&scratch)?;
    let size = std::fs::metadata(&archive)?.len();
    ensure!(size > 0, "{} is empty", archive.display());
    Ok(format!("{}, {} MiB", archive.display(), size >> 20))
}
