//! What the program promises without a network: it sets no clock, its options and documents agree.

use std::fs;
use std::process::{Command, Output};

const PROGRAM: &str = env!("CARGO_BIN_EXE_wireloom-clock");

fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().expect("built with the tests")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn no_function_that_sets_a_clock_is_in_the_program() {
    let program = fs::read(PROGRAM).expect("built with the tests");
    // Names of imported functions lie between NULs in the table of dynamic symbols.
    let imports = |name: &str| {
        let pattern = [b"\0", name.as_bytes(), b"\0"].concat();
        program.windows(pattern.len()).any(|window| window == pattern)
    };
    assert!(imports("clock_gettime"), "imports are not found this way any more");
    for name in ["clock_settime", "clock_adjtime", "adjtimex", "ntp_adjtime", "settimeofday", "stime"] {
        assert!(!imports(name), "{name} is in the program");
    }
}

#[test]
fn check_config_prints_what_counts() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join("clock.conf");
    fs::write(&path, "domain = 3\ncolour = 1\n[free]\nfrequency-offset-ppm = 80\n").expect("written");
    let file = path.to_str().expect("UTF-8");
    let output = run(&[
        "--check-config",
        "--config",
        file,
        "--lead",
        "last-resort",
        "--interface",
        "eth0",
        "--interface",
        "eth1",
        "--source",
        "system",
        "--page",
        "/run/x",
        "--socket",
        "/run/y",
        "--state",
        "/run/z",
    ]);
    assert!(output.status.success(), "{output:?}");
    let printed = text(&output.stdout);
    for expected in [
        "domain = 3",
        "lead = \"last-resort\"",
        "interfaces = [\"eth0\", \"eth1\"]",
        "sources = [\"system\"]",
        "page = \"/run/x\"",
        "socket = \"/run/y\"",
        "state = \"/run/z\"",
        "frequency-offset-ppm = 80.0",
    ] {
        assert!(printed.lines().any(|line| line == expected), "{expected} is missing in\n{printed}");
    }
    assert!(text(&output.stderr).contains("clock.conf:2: unknown key \"colour\" is ignored"), "{output:?}");

    let output = run(&["--check-config", "--config", file, "--domain", "7"]);
    assert!(text(&output.stdout).contains("domain = 7\n"), "the command line wins");
}

#[test]
fn mistakes_end_the_program_with_a_sentence() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join("clock.conf");
    fs::write(&path, "priority1 = 256\n").expect("written");
    let file = path.to_str().expect("UTF-8");
    for (arguments, expected) in [
        (["--config", file].as_slice(), "clock.conf:1: priority1 is 256, it can be 0 to 255"),
        (&["--config", "/nonexistent"], "reading /nonexistent: No such file"),
        (&["--domain", "128", "--check-config"], "domain is 128, it can be 0 to 127"),
        (&["--page", "/proc/nowhere/clock", "--socket", "/proc/nowhere/sock"], "making /proc/nowhere"),
    ] {
        let output = run(arguments);
        assert!(!output.status.success(), "{arguments:?}");
        let error = text(&output.stderr);
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
}
