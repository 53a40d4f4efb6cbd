//! `cargo xtask lab`: runs the checks of `tests/lab`, each in a virtual studio of its own.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, anyhow, bail};
use wireloom_lab::checks::{CHECKS, Check, FULL, find};
use wireloom_lab::isolation::{self, Ending, Permission};
use wireloom_lab::{Products, Studio};

use crate::packages::Use;
use crate::refusal::Refusal;
use crate::steps::{Outcome, Steps};
use crate::{interruption, matrix, products, setup, tools};

/// What a run ends with that was interrupted in a studio.
const INTERRUPTED: i32 = 130;

/// How long a check may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// As long as it needs to find what is broken.
    Usual,
    /// Minutes, where that shows more.
    Thorough,
}

/// Runs the checks with these names, or all. Errors: one failed, or there is none of that name.
pub fn run(names: &[String], depth: Depth) -> anyhow::Result<()> {
    let chosen = choose(names)?;
    let full = chosen.iter().any(|check| FULL.iter().any(|full| full.name == check.name));
    setup::run(if full { Use::Everything } else { Use::Test })?;
    let mut steps = Steps::new();
    ask_permission()?;
    let products = products::build(&mut steps)?;
    if full {
        tools::helvum(&mut steps, &products);
    }
    run_checks(&mut steps, &chosen, &products, depth);
    steps.finish()
}

/// Runs the checks with these names, or what the next Debian release could break, with its PipeWire. Errors: something
/// failed, or there is no check of that name.
pub fn run_next_release(names: &[String]) -> anyhow::Result<()> {
    let chosen = if names.is_empty() { matrix::checks() } else { choose(names)? };
    setup::run(Use::Everything)?;
    let mut steps = Steps::new();
    let products = products::build(&mut steps)?;
    matrix::run(&mut steps, &products, &chosen);
    steps.finish()
}

/// Prints the names and what they are about.
pub fn list() {
    for check in CHECKS.iter().chain(FULL) {
        println!("{:<12} {}", check.name, check.about);
    }
}

/// Runs each check as a step.
pub fn run_checks(steps: &mut Steps, checks: &[&Check], products: &Products, depth: Depth) {
    run_checks_in(steps, checks, products, depth, None);
}

/// Runs each check as a step, in another root file system if one is given.
pub fn run_checks_in(
    steps: &mut Steps,
    checks: &[&Check],
    products: &Products,
    depth: Depth,
    root: Option<&Path>,
) {
    for check in checks {
        let place = if root.is_some() { "lab of the next release" } else { "lab" };
        let name = format!("{place} {}: {}", check.name, check.about);
        let start = Instant::now();
        let mut interrupted = false;
        steps.step(&name, |_| {
            let folder = products.folder().as_os_str();
            let mut arguments =
                vec!["lab".as_ref(), "--inside".as_ref(), check.name.as_ref(), "--products".as_ref(), folder];
            if depth == Depth::Thorough {
                arguments.push("--thorough".as_ref());
            }
            match interruption::studio(|| isolation::run_in(root, &arguments)) {
                Ok(Ending::Exit { code: 0, report }) => Outcome::Passed(report),
                Ok(Ending::Exit { code, report }) if report.is_empty() => {
                    Outcome::Failed(format!("ended with exit code {code} after {:?}", start.elapsed()))
                }
                Ok(Ending::Exit { report, .. }) => Outcome::Failed(report),
                Ok(Ending::Interrupted { .. }) => {
                    interrupted = true;
                    Outcome::Failed("interrupted".to_owned())
                }
                Err(error) => Outcome::Failed(format!("{error:#}")),
            }
        });
        if interrupted {
            std::process::exit(INTERRUPTED);
        }
    }
}

/// Runs one check where we are; only inside of a studio.
pub fn run_inside(name: &str, products: PathBuf, depth: Depth) -> anyhow::Result<()> {
    let check = find(name).context("no such check")?;
    let outcome = Studio::new().and_then(|studio| {
        let mut studio = if depth == Depth::Thorough { studio.thorough() } else { studio };
        (check.run)(&mut studio, &Products::new(products))
            .map_err(|error| anyhow!("{error:#}\n{}", studio.logs()))
    });
    match &outcome {
        Ok(remark) => isolation::report(remark)?,
        Err(error) => isolation::report(&format!("{error:#}"))?,
    }
    outcome.map(drop)
}

/// Says what can be done where namespaces are refused. Errors: they are.
pub fn ask_permission() -> anyhow::Result<()> {
    if let Permission::Refused(why) = isolation::permission()? {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        return Err(Refusal(format!(
            "the virtual studio needs namespaces, and this user may not have any ({why}).\n\
             It touches nothing of this machine's network; as root it may be had:\n  \
             sudo --preserve-env=PATH,HOME cargo xtask {}",
            arguments.join(" ")
        ))
        .into());
    }
    Ok(())
}

fn choose(names: &[String]) -> anyhow::Result<Vec<&'static Check>> {
    if names.is_empty() {
        return Ok(CHECKS.iter().collect());
    }
    let mut chosen = Vec::new();
    for name in names {
        match find(name) {
            Some(check) => chosen.push(check),
            None => {
                let known: Vec<&str> = CHECKS.iter().chain(FULL).map(|check| check.name).collect();
                bail!("there is no check called {name}; there are {}", known.join(", "));
            }
        }
    }
    Ok(chosen)
}
