//! What packagers get: meson installs what the list says, and what is installed is true and usable.
//!
//! Everything is built for development from cargo's own target directory, so that after `test` little is left to do.

mod documents;
mod installed;
mod manuals;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use crate::cargo::{root, target_directory};
use crate::steps::{Outcome, Steps};

/// An installation below a folder of the target directory.
struct Stage {
    /// Meson's build directory.
    build: PathBuf,
    /// Where `/` is.
    root: PathBuf,
}

/// Configures, installs and looks at the result; each aspect is a step.
pub fn check(steps: &mut Steps) -> anyhow::Result<()> {
    let target = target_directory()?;
    let folder = target.join("packaging");
    let stage = Stage { build: folder.join("build"), root: folder.join("stage") };
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    steps.step("documents name what exists", |_| remark(documents::check()));
    let mut setup = Command::new("meson");
    setup.arg("setup").arg(&stage.build).arg(root()).args([
        "--prefix=/usr",
        "-Dprofile=dev",
        "-Dman=enabled",
    ]);
    setup.arg("-Dcompletions=enabled").arg(format!("-Dcargo-target-dir={}", target.display()));
    let mut install = Command::new("meson");
    install.arg("install").arg("-C").arg(&stage.build).arg("--destdir").arg(&stage.root);
    let mut data = Command::new("meson");
    data.args(["test", "--suite", "data", "--no-rebuild", "-C"]).arg(&stage.build);
    if steps.command("meson configures", &mut setup) && steps.command("meson installs", &mut install) {
        steps.command("meson tests what it installs", &mut data);
        steps.step("what is installed is what the list says", |_| remark(installed::compare(&stage)));
        steps.step("units and accounts", |_| remark(installed::units(&stage)));
        steps.step("configuration examples are understood", |_| remark(installed::configuration(&stage)));
        steps.step("manual pages say what programs do", |_| remark(manuals::check(&stage)));
    }
    Ok(())
}

impl Stage {
    /// The staged copy of an installed path.
    fn path(&self, installed: &str) -> PathBuf {
        self.root.join(installed.trim_start_matches('/'))
    }
}

/// Makes a step's outcome of a remark or an error.
pub fn remark(outcome: anyhow::Result<String>) -> Outcome {
    match outcome {
        Ok(remark) => Outcome::Passed(remark),
        Err(error) => Outcome::Failed(format!("{error:#}")),
    }
}

/// Runs `command` and returns what it printed. Errors: it failed; carries what it said.
pub fn output(command: &mut Command) -> anyhow::Result<String> {
    let shown = format!("{command:?}");
    let output = crate::interruption::output(command).with_context(|| format!("running {shown}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{shown} ended with {}: {}", output.status, said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}
