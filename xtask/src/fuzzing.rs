//! Fuzz targets for longer than the tests of the workspace drive them, every day from other seeds.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::cargo::cargo;
use crate::steps::Steps;

/// How long each target is driven.
const SECONDS: u64 = 30;
/// Seeds of a day: more than can be tried on it.
const A_DAY: u64 = 1_000_000_000;

/// Drives every target; prints the seeds, and with a find the seed that repeats it.
pub fn run(steps: &mut Steps) {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seed = since.as_secs() / 86_400 * A_DAY;
    // All packages, as the tests before it: what is built is there already.
    let mut command = cargo(&["test", "--locked", "--workspace", "--bins", "--lib", "--no-fail-fast"]);
    command.args(["fuzzed", "--", "--nocapture"]);
    command
        .env("WIRELOOM_FUZZ_SEED", seed.to_string())
        .env("WIRELOOM_FUZZ_SECONDS", SECONDS.to_string())
        .env_remove("WIRELOOM_FUZZ_ROUNDS");
    let name = format!("fuzz targets for {SECONDS} s each, from seed {seed}");
    steps.command_showing(&name, &mut command, |line| line.starts_with("fuzzed "));
}
