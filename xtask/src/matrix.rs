//! The lab's checks with the PipeWire of the next Debian release.

use wireloom_lab::Products;
use wireloom_lab::checks::{Check, find};

use crate::steps::{Outcome, Steps};
use crate::{lab, next_release};

/// Their names.
const CHECKS: &[&str] = &[
    "receive",
    "transmit",
    "two-hosts",
    "discovery",
    "rtp-modules",
    "panic",
    "realtime",
    "reload",
    "oat-route",
    "desktop",
    "default-device",
    "virtual-links",
    "route-links",
    "restarts",
];

/// The checks that a change of PipeWire or WirePlumber could break.
pub fn checks() -> Vec<&'static Check> {
    CHECKS.iter().filter_map(|name| find(name)).collect()
}

/// Runs these checks with the next release's PipeWire, with the very same module.
pub fn run(steps: &mut Steps, products: &Products, checks: &[&Check]) {
    if !rustix::process::geteuid().is_root() {
        let why = "a root file system of another release can only be made by root";
        steps.step("the next Debian release", |_| Outcome::Skipped(why.to_owned()));
        return;
    }
    let made = steps.step("a root file system of the next Debian release", |_| match next_release::make() {
        Ok(version) => Outcome::Passed(version),
        Err(error) => Outcome::Failed(format!("{error:#}")),
    });
    if made {
        lab::run_checks_in(steps, checks, products, lab::Depth::Usual, Some(&next_release::folder()));
    }
}
