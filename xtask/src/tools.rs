//! Programs of others that no distribution has in the version needed: built once, kept beside the build products.

use std::path::Path;
use std::process::Command;

use anyhow::Context;
use wireloom_lab::Products;
use wireloom_lab::checks::HELVUM;

use crate::steps::{Outcome, Steps};

/// Builds Helvum from its crate unless it is there. Returns whether it can be used.
pub fn helvum(steps: &mut Steps, products: &Products) -> bool {
    let program = products.tool(HELVUM);
    if program.exists() {
        return true;
    }
    let command = (|| {
        let root = program.parent().and_then(Path::parent).context("a program in a folder")?;
        let name = root.file_name().and_then(|name| name.to_str()).context("a folder with a name")?;
        let (name, version) = name.split_once('-').context("a folder named after program and version")?;
        let mut command = Command::new("nice");
        command.arg("cargo").args(["install", "--locked", "--debug", name, "--version", version]);
        command.arg("--root").arg(root).arg("--target-dir").arg(products.tool("build"));
        Ok(command)
    })();
    match command {
        Ok(mut command) => steps.command("build Helvum", &mut command),
        Err(error) => {
            let error: anyhow::Error = error;
            steps.step("build Helvum", |_| Outcome::Failed(format!("{error:#}")))
        }
    }
}
