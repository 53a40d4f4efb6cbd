//! Other targets: bare metal proves `no_std`, ARM proves that nothing leans on x86.

use std::process::Command;

use crate::cargo::{INSTALLED, PROTOCOL_CRATES, cargo};
use crate::interruption;
use crate::steps::{Outcome, Steps};

/// Bare metal without an operating system.
const BARE_METAL: &str = "x86_64-unknown-none";
/// Raspberry Pi and NanoPi; `c_char` is unsigned there.
const ARM: &str = "aarch64-unknown-linux-gnu";

/// Builds the protocol crates for a machine without operating system.
pub fn bare_metal(steps: &mut Steps) {
    let name = "protocol crates without an operating system";
    if let Err(why) = available(BARE_METAL) {
        steps.step(name, |_| Outcome::Skipped(why));
        return;
    }
    steps.command(name, cargo(&["build", "--locked", "--target", BARE_METAL]).args(selected()));
}

/// What else is run as ARM programs: the clock page is shared between processes by the order of memory accesses, which
/// ARM leaves looser, and both it and the contract of the nodes are read by programs of other languages.
const FURTHER: [&str; 2] = ["wireloom-clock-page", "wireloom-wanted"];
/// Tests that compare with bytes from outside or go through memory; the others take minutes under qemu.
const QUICK: [&str; 4] = ["--lib", "--test=vectors", "--test=round_trip*", "--test=file"];

/// Runs the protocol crates' own tests as ARM programs under qemu, all of them or the quick ones, and checks the types of
/// what a user installs.
pub fn arm(steps: &mut Steps, all: bool) {
    let programs = "module and programs fit aarch64";
    let tests = if all {
        "all of the protocol crates' tests on aarch64"
    } else {
        "protocol crates' tests on aarch64"
    };
    if let Err(why) = available(ARM) {
        for name in [tests, programs] {
            steps.step(name, |_| Outcome::Skipped(why.clone()));
        }
        return;
    }
    let which: &[&str] = if all { &["--tests"] } else { &QUICK };
    steps.command(
        tests,
        cargo(&["test", "--locked", "--target", ARM])
            .args(which)
            .args(selected())
            .args(FURTHER.iter().flat_map(|name| ["-p", name]))
            .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", "aarch64-linux-gnu-gcc")
            .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER", "qemu-aarch64 -L /usr/aarch64-linux-gnu"),
    );
    steps.command(programs, &mut fits_arm());
}

/// Checks the types of all that is installed. Linking it would take ARM libraries of PipeWire; for types its headers
/// do, which are the same for every processor, with those of the ARM C library.
fn fits_arm() -> Command {
    let mut command = cargo(&["check", "--locked", "--target", ARM]);
    command
        .args(INSTALLED.iter().flat_map(|name| ["-p", name]))
        .env("PKG_CONFIG_ALLOW_CROSS", "1")
        .env("CC_aarch64_unknown_linux_gnu", "aarch64-linux-gnu-gcc")
        .env(
            "BINDGEN_EXTRA_CLANG_ARGS_aarch64_unknown_linux_gnu",
            "--target=aarch64-linux-gnu -isystem /usr/aarch64-linux-gnu/include",
        );
    command
}

fn selected() -> impl Iterator<Item = &'static str> {
    PROTOCOL_CRATES.iter().flat_map(|name| ["-p", name])
}

/// Makes sure that the standard library of `target` is there. Errors: why it cannot be had.
fn available(target: &str) -> Result<(), String> {
    let installed = || {
        let output = interruption::output(Command::new("rustc").args([
            "--print",
            "target-libdir",
            "--target",
            target,
        ]));
        output
            .is_ok_and(|output| std::path::Path::new(String::from_utf8_lossy(&output.stdout).trim()).exists())
    };
    if installed() {
        return Ok(());
    }
    let added = interruption::output(Command::new("rustup").args(["target", "add", target]));
    match added {
        Ok(output) if output.status.success() && installed() => Ok(()),
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stderr);
            let reason =
                text.lines().find(|line| line.starts_with("error")).unwrap_or("rustup cannot add it");
            Err(format!("target {target} is not installed; {reason}"))
        }
        Err(error) => Err(format!("target {target} is not installed and rustup does not run: {error}")),
    }
}
