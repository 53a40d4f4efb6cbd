//! `cargo xtask test`: everything that must hold, each step with its duration.

use wireloom_lab::checks::{CHECKS, FULL};

use crate::cargo::{cargo, host_target, metadata};
use crate::lab::Depth;
use crate::packages::Use;
use crate::steps::{Outcome, Steps};
use crate::{fuzzing, lab, licences, matrix, packaging, products, rules, setup, targets, tools};

/// So many checks of the lab may fail once: they run in real time on machines that are shared, and whatever stalls one
/// in ways that it does not know must not cost the verdict on all. What fails twice is broken.
const SECOND_TRIES: usize = 2;

/// Runs every check that exists. Errors: any of them failed.
pub fn run(full: bool) -> anyhow::Result<()> {
    setup::run(if full { Use::Everything } else { Use::Test })?;
    let mut steps = Steps::with_second_tries(SECOND_TRIES);
    steps.command("format", &mut cargo(&["fmt", "--all", "--check"]));
    steps.require("fetch dependencies", cargo(&["fetch", "--locked", "--target"]).arg(host_target()?))?;
    steps.step("licences of all dependencies", |_| {
        check(metadata().and_then(|m| licences::check(&m)), "packages")
    });
    steps.step("rules of the source", |_| check(metadata().and_then(|m| rules::check(&m)), "files"));
    steps.command(
        "clippy",
        &mut cargo(&["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"]),
    );
    // Built before it is run, so that the duration of the tests is theirs.
    if steps.command("build all tests", &mut cargo(&["test", "--locked", "--workspace", "--no-run"])) {
        steps.command_showing(
            "tests of the workspace",
            &mut cargo(&["test", "--locked", "--workspace", "--no-fail-fast"]),
            tells_of_tests(),
        );
    }
    if full {
        fuzzing::run(&mut steps);
    }
    targets::bare_metal(&mut steps);
    targets::arm(&mut steps, full);
    if let Err(error) = packaging::check(&mut steps) {
        steps.step("packaging", |_| Outcome::Failed(format!("{error:#}")));
    }
    match lab::ask_permission() {
        Ok(()) => match products::build(&mut steps) {
            Ok(products) => {
                let depth = if full { Depth::Thorough } else { Depth::Usual };
                lab::run_checks(&mut steps, &CHECKS.iter().collect::<Vec<_>>(), &products, depth);
                if full {
                    let has_helvum = tools::helvum(&mut steps, &products);
                    let able = FULL.iter().filter(|check| has_helvum || !lab::needs_helvum(check));
                    lab::run_checks(&mut steps, &able.collect::<Vec<_>>(), &products, depth);
                    matrix::run(&mut steps, &products, &matrix::checks());
                }
            }
            Err(error) => {
                steps.step("lab", |_| Outcome::Failed(format!("not tried: {error:#}")));
            }
        },
        Err(error) => {
            steps.step("lab", |_| Outcome::Failed(format!("{error:#}")));
        }
    }
    steps.finish()
}

/// Which lines of the tests' output are shown: what ran, how it ended, what could not be tried, and what a test that
/// failed said first; the last lines of the whole may be far behind it.
fn tells_of_tests() -> impl Fn(&str) -> bool {
    let more = std::cell::Cell::new(0_u32);
    move |line| {
        if line.contains("panicked at") || line.ends_with("... FAILED") {
            more.set(4);
        }
        let follows = more.get() > 0;
        more.set(more.get().saturating_sub(1));
        follows
            || line.contains("SKIPPED: ")
            || ["test result: ", "     Running ", "   Doc-tests "].iter().any(|start| line.starts_with(start))
    }
}

fn check(outcome: anyhow::Result<usize>, what: &str) -> Outcome {
    match outcome {
        Ok(count) => Outcome::Passed(format!("{count} {what}")),
        Err(error) => Outcome::Failed(format!("{error:#}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_failed_test_said_is_shown() {
        let shown = tells_of_tests();
        let output = "     Running a\ntest b ... ok\nnoise\nSKIPPED: d: why\nthread 'b' panicked at c.rs:1:2:\nleft: 1\nright: 2\n\nnoise\ntest result: x";
        let lines: Vec<_> = output.lines().filter(|line| shown(line)).collect();
        assert_eq!(
            lines,
            [
                "     Running a",
                "SKIPPED: d: why",
                "thread 'b' panicked at c.rs:1:2:",
                "left: 1",
                "right: 2",
                "",
                "test result: x"
            ]
        );
    }
}
