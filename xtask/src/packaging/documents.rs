use std::collections::BTreeSet;
use std::path::Path;

use anyhow::ensure;
use wireloom_lab::checks::find;

use super::read;
use crate::cargo::root;

/// Documents whose promises name the test that holds them.
const WITH_TESTS: &[&str] = &["ARCHITECTURE.md"];
/// Names in them that are commands or words of Rust.
const OTHER_NAMES: &[&str] = &["demo", "doctor", "inspect", "lab", "no_std", "test", "unsafe"];
/// Where tests are.
const SOURCES: &[&str] =
    &["crates", "pw-module", "session-agent", "clock-daemon", "dbus", "cli", "selftest", "tests", "xtask"];

/// Every test that a document names exists, and so does every file; versions are the same everywhere.
///
/// In `ARCHITECTURE.md`, a name in backquotes of small letters, digits and underscores is a test, unless it is that of
/// a crate or one of [`OTHER_NAMES`]; `lab NAME` is a check of the lab, and what has a slash a file or a folder, unless
/// it begins with one or has a blank or a placeholder.
pub fn check() -> anyhow::Result<String> {
    let functions = test_functions()?;
    let mut count = 0;
    for document in WITH_TESTS {
        let text = read(&root().join(document))?;
        for name in text.split('`').skip(1).step_by(2) {
            if is_name(name) && !OTHER_NAMES.contains(&name) && !root().join("crates").join(name).is_dir() {
                ensure!(functions.contains(name), "{document}: there is no test {name}");
                count += 1;
            } else if let Some(check) = name.strip_prefix("lab ") {
                ensure!(find(check).is_some(), "{document}: the lab has no check {check}");
                count += 1;
            } else if name.contains('/') && !name.starts_with(['/', '~']) && !name.contains([' ', '<', '*']) {
                ensure!(root().join(name).exists(), "{document}: there is no {name}");
            }
        }
    }
    let version = |file: &str, start: &str, end: &str| {
        let text = read(&root().join(file))?;
        let found = text.split(start).nth(1).and_then(|rest| rest.split(end).next()).unwrap_or_default();
        anyhow::Ok(found.to_owned())
    };
    let cargo = version("Cargo.toml", "[workspace.package]\nversion = \"", "\"")?;
    let meson = version("meson.build", "version: '", "'")?;
    ensure!(!cargo.is_empty() && cargo == meson, "Cargo.toml says {cargo:?}, meson.build {meson:?}");
    Ok(format!("{count} tests named"))
}

fn is_name(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// Names of all functions that carry a test attribute, property tests included.
fn test_functions() -> anyhow::Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for folder in SOURCES {
        for file in crate::rules::rust_files(&root().join(folder))? {
            collect(&file, &mut found)?;
        }
    }
    Ok(found)
}

fn collect(file: &Path, found: &mut BTreeSet<String>) -> anyhow::Result<()> {
    let text = read(file)?;
    let mut is_test = false;
    for line in text.lines().map(str::trim_start) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if let Some(rest) = line.strip_prefix("async fn ").or_else(|| line.strip_prefix("fn ")) {
            if is_test {
                found.extend(rest.split(['(', '<']).next().map(str::to_owned));
            }
            is_test = false;
        }
    }
    Ok(())
}
