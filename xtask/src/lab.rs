//! `cargo xtask lab`: runs the checks of `tests/lab`, each in a virtual studio of its own.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use wireloom_lab::checks::{CHECKS, Check, FULL, Needs, find};
use wireloom_lab::isolation::{self, Ending, Permission, Progress};
use wireloom_lab::{Products, Studio};

use crate::packages::Use;
use crate::refusal::Refusal;
use crate::steps::{Begun, Outcome, Steps};
use crate::{interruption, matrix, products, setup, tools};

/// What a run ends with that was interrupted in a studio.
const INTERRUPTED: i32 = 130;
/// So many checks that mostly wait run at a time: two processors are then busy for a third of it.
const SIDE_BY_SIDE: usize = 4;

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
    let needs_helvum = chosen.iter().any(|check| needs_helvum(check));
    setup::run(if needs_helvum { Use::Everything } else { Use::Test })?;
    let mut steps = Steps::new();
    ask_permission()?;
    let products = products::build(&mut steps)?;
    if needs_helvum {
        tools::helvum(&mut steps, &products);
    }
    run_checks(&mut steps, &chosen, &products, depth);
    steps.finish()
}

/// Whether a check needs Helvum built first.
pub fn needs_helvum(check: &Check) -> bool {
    check.name == "helvum"
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

/// Runs each check as a step, in another root file system if one is given: those that need the whole machine one after
/// the other, then those that mostly wait, side by side.
pub fn run_checks_in(
    steps: &mut Steps,
    checks: &[&Check],
    products: &Products,
    depth: Depth,
    root: Option<&Path>,
) {
    let (whole, waiting): (Vec<&Check>, Vec<&Check>) = checks.iter().partition(|check| match check.needs {
        Needs::Machine => true,
        Needs::Time => false,
        Needs::TimeUnlessThorough => depth == Depth::Thorough,
    });
    for (checks, at_once) in [(whole, 1), (waiting, SIDE_BY_SIDE)] {
        run_side_by_side(steps, &checks, at_once, products, depth, root);
    }
}

fn run_side_by_side(
    steps: &mut Steps,
    checks: &[&Check],
    at_once: usize,
    products: &Products,
    depth: Depth,
    root: Option<&Path>,
) {
    let place = if root.is_some() { "lab of the next release" } else { "lab" };
    let step = |check: &Check| format!("{place} {}: {}", check.name, check.about);
    let folder = products.folder().as_os_str();
    let arguments = |check: &Check| {
        let mut arguments =
            vec!["lab".as_ref(), "--inside".as_ref(), check.name.as_ref(), "--products".as_ref(), folder];
        if depth == Depth::Thorough {
            arguments.push("--thorough".as_ref());
        }
        arguments
    };
    let mut left: Vec<&Check> = checks.to_vec();
    let mut at_once = at_once;
    let mut interrupted = false;
    while !left.is_empty() && !interrupted {
        let runs: Vec<Vec<&OsStr>> = left.iter().map(|check| arguments(check)).collect();
        let mut begun: BTreeMap<usize, Begun> = BTreeMap::new();
        let mut again = Vec::new();
        let run = || {
            isolation::run_several(root, &runs, at_once, |number, progress| match progress {
                Progress::Started => {
                    begun.insert(number, steps.begin(&step(left[number])));
                }
                Progress::Ended(ending) => {
                    interrupted |= matches!(ending, Ok(Ending::Interrupted { .. }));
                    let Some(begun) = begun.remove(&number) else { return };
                    if interrupted {
                        steps.end(begun, outcome(ending));
                    } else if steps.end_or_try_again(begun, outcome(ending)) {
                        again.push(left[number]);
                    }
                }
            })
        };
        if let Err(error) = interruption::studio(run) {
            for check in &left {
                steps.step(&step(check), |_| Outcome::Failed(format!("{error:#}")));
            }
            return;
        }
        // By itself: what ran beside it may be why it failed.
        (left, at_once) = (again, 1);
    }
    if interrupted {
        std::process::exit(INTERRUPTED);
    }
}

fn outcome(ending: anyhow::Result<Ending>) -> Outcome {
    match ending {
        Ok(Ending::Exit { code: 0, report }) => Outcome::Passed(report),
        Ok(Ending::Exit { code, report }) if report.is_empty() => {
            Outcome::Failed(format!("ended with exit code {code} and left no report"))
        }
        Ok(Ending::Exit { report, .. }) => Outcome::Failed(report),
        Ok(Ending::Interrupted { .. }) => Outcome::Failed("interrupted".to_owned()),
        Err(error) => Outcome::Failed(format!("{error:#}")),
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
