//! `cargo xtask bench`: builds for release what is measured, and measures it.

use std::process::Command;

use anyhow::{Context, ensure};

use crate::cargo::{cargo, target_directory};
use crate::packages::Use;
use crate::steps::{Outcome, Steps};
use crate::{interruption, lab, next_release, products, setup};

/// What is measured, and what measures.
const PACKAGES: &[&str] =
    &["wireloom-pw-module", "wireloom-interop", "wireloom-session-agent", "wireloom-bench"];

/// Prints tables of ours beside PipeWire's own; `quick` takes three minutes instead of twenty. Errors: it cannot be
/// built, or namespaces are refused. What cannot be measured here stands in the tables.
pub fn run(quick: bool) -> anyhow::Result<()> {
    setup::run(Use::Everything)?;
    lab::ask_permission()?;
    let selected = PACKAGES.iter().flat_map(|name| ["-p", name]);
    let mut steps = Steps::new();
    steps.require("build for release", cargo(&["build", "--locked", "--release"]).args(selected))?;
    let target = target_directory()?;
    let folder = target.join("release");
    products::name_module(&folder)?;
    let mut command = Command::new(folder.join("wireloom-bench"));
    command.arg("--products").arg(&folder).arg("--out").arg(target.join("bench"));
    if quick {
        command.arg("--quick");
    } else {
        let mut made = false;
        steps.step("a root file system of the next Debian release", |_| match next_release::make() {
            Ok(version) => {
                made = true;
                Outcome::Passed(version)
            }
            Err(error) => Outcome::Skipped(format!("{error:#}")),
        });
        if made {
            command.arg("--root").arg(next_release::folder());
        }
    }
    let status = interruption::status(&mut command).context("running wireloom-bench")?;
    ensure!(status.success(), "wireloom-bench ended with {status}");
    Ok(())
}
