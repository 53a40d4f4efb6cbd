//! Rules of the source tree that no compiler holds: where `unsafe` may live, what needs no operating system,
//! what `xtask` itself may depend on.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::cargo::{self, PROTOCOL_CRATES};

/// Crates in which `unsafe` may appear, and the place in them where it may.
const UNSAFE_PLACES: &[(&str, &str)] = &[
    ("pw-module", "pw-module/src/ffi/"),
    ("pw-module", "pw-module/src/lib.rs"), // the symbol that PipeWire calls
    ("crates/clock-page", "crates/clock-page/src/map.rs"),
    ("clock-daemon", "clock-daemon/src/sys.rs"),
];

/// Checks all rules; returns how many files were read. Errors: name every place that breaks one.
pub fn check(metadata: &Value) -> anyhow::Result<usize> {
    let mut broken = Vec::new();
    let mut files = 0;
    for package in members(metadata)? {
        let root_files = root_files(package);
        let name = package["name"].as_str().unwrap_or_default();
        let folder = package_folder(package)?;
        let places =
            || UNSAFE_PLACES.iter().filter(|(place, _)| folder.ends_with(place)).map(|(_, place)| *place);
        for file in &root_files {
            let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
            if places().next().is_none() && !text.contains("#![forbid(unsafe_code)]") {
                broken.push(format!("{}: lacks #![forbid(unsafe_code)]", shown(file)));
            }
            if PROTOCOL_CRATES.contains(&name) && !text.contains("#![no_std]") && !text.contains("no_std)]") {
                broken.push(format!("{}: a protocol crate is #![no_std]", shown(file)));
            }
        }
        for file in rust_files(&folder.join("src"))? {
            files += 1;
            let text = std::fs::read_to_string(&file)?;
            let allowed = places().any(|place| shown(&file).starts_with(place));
            if let Some(line) = (!allowed).then(|| unsafe_line(&text)).flatten() {
                broken.push(format!("{}:{line}: unsafe outside the places that DESIGN names", shown(&file)));
            }
        }
    }
    for name in native_dependencies_of_xtask(metadata)? {
        broken.push(format!("xtask depends on {name}, which needs a library of the system"));
    }
    ensure!(broken.is_empty(), "{}", broken.join("\n"));
    Ok(files)
}

fn members(metadata: &Value) -> anyhow::Result<Vec<&Value>> {
    let members = metadata["workspace_members"].as_array().context("no workspace members")?;
    let packages = metadata["packages"].as_array().context("no packages")?;
    Ok(packages.iter().filter(|package| members.contains(&package["id"])).collect())
}

fn package_folder(package: &Value) -> anyhow::Result<PathBuf> {
    let manifest = Path::new(package["manifest_path"].as_str().context("a package without manifest")?);
    Ok(manifest.parent().context("a manifest without folder")?.to_owned())
}

/// The files that cargo starts a library or program of this package from.
fn root_files(package: &Value) -> Vec<PathBuf> {
    let targets = package["targets"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_product = |target: &&Value| {
        target["kind"]
            .as_array()
            .is_some_and(|kinds| kinds.iter().any(|kind| kind != "custom-build" && kind != "test"))
    };
    targets
        .iter()
        .filter(is_product)
        .filter_map(|target| target["src_path"].as_str())
        .map(PathBuf::from)
        .collect()
}

/// Every Rust file below `folder`, in a fixed order.
pub fn rust_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// The first line on which code says `unsafe`: not a comment, and not a literal.
fn unsafe_line(text: &str) -> Option<usize> {
    let says_unsafe =
        |line: &str| line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe");
    code_of(text).lines().position(says_unsafe).map(|index| index + 1)
}

/// `text` without its comments and what is in its literals; every line stays where it is.
fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let skipped = match next {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => block_comment(rest),
            '"' => match raw_hashes(&code) {
                Some(hashes) => {
                    let end = format!("\"{}", "#".repeat(hashes));
                    rest[1..].find(&end).map_or(rest.len(), |at| 1 + at + end.len())
                }
                None => quoted(rest, '"'),
            },
            // A lifetime has no second mark; a character has one, behind itself or its escape.
            '\'' if rest.starts_with("'\\") || rest.chars().nth(2) == Some('\'') => quoted(rest, '\''),
            _ => 0,
        };
        let (literal, after) = rest.split_at(skipped);
        if skipped == 0 {
            code.push(next);
            rest = &rest[next.len_utf8()..];
        } else {
            code.push(' ');
            code.extend(literal.chars().filter(|c| *c == '\n'));
            rest = after;
        }
    }
    code
}

/// Length of the block comment that `text` begins with, and of those in it.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(next) = text[at..].find(['/', '*']) {
        at += next;
        if text[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if text[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// Length of the literal between two of `mark` that `text` begins with; a backslash escapes.
fn quoted(text: &str, mark: char) -> usize {
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            _ if c == mark => return at + mark.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// How many `#` make the string raw that begins after `code`; `None` when it is not raw.
fn raw_hashes(code: &str) -> Option<usize> {
    let before = code.trim_end_matches('#');
    let start = before.trim_end_matches(|c: char| c.is_alphanumeric() || c == '_').len();
    matches!(&before[start..], "r" | "br" | "cr").then_some(code.len() - before.len())
}

fn shown(file: &Path) -> String {
    file.strip_prefix(cargo::root()).unwrap_or(file).display().to_string()
}

/// Packages in the dependency tree of `xtask` that link a native library: a fresh machine has none.
fn native_dependencies_of_xtask(metadata: &Value) -> anyhow::Result<BTreeSet<String>> {
    let packages = metadata["packages"].as_array().context("no packages")?;
    let nodes = metadata["resolve"]["nodes"].as_array().context("no resolve graph")?;
    let by_id: HashMap<&str, &Value> =
        packages.iter().filter_map(|package| Some((package["id"].as_str()?, package))).collect();
    let edges: HashMap<&str, &Value> =
        nodes.iter().filter_map(|node| Some((node["id"].as_str()?, &node["dependencies"]))).collect();
    let start = packages.iter().find(|package| package["name"] == "xtask").context("no xtask")?;
    let mut found = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut open = vec![start["id"].as_str().context("xtask has no id")?];
    while let Some(id) = open.pop() {
        if !seen.insert(id) {
            continue;
        }
        if let Some(package) = by_id.get(id) {
            // rayon-core and friends use `links` only to be unique; a native library is one with a -sys name.
            let name = package["name"].as_str().unwrap_or_default();
            if package["links"].is_string() && name.ends_with("-sys") {
                found.insert(name.to_owned());
            }
        }
        open.extend(
            edges.get(id).and_then(|list| list.as_array()).into_iter().flatten().filter_map(Value::as_str),
        );
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_tree_keeps_them() {
        let metadata = cargo::metadata().expect("cargo describes this tree");
        assert!(check(&metadata).expect("no rule is broken") > 50);
    }

    #[test]
    fn only_code_counts_as_unsafe() {
        assert_eq!(unsafe_line("// unsafe\nlet unsafe_code = 1;\n#![forbid(unsafe_code)]"), None);
        assert_eq!(unsafe_line("fn a() {\n    unsafe { b() }\n}"), Some(2));
        assert_eq!(unsafe_line("#[unsafe(no_mangle)]"), Some(1));
    }

    #[test]
    fn literals_hide_nothing_and_are_not_code() {
        for (text, line) in [
            (r#"unsafe extern "C" fn a() {}"#, Some(1)),
            ("let a = \"\\\"\"; unsafe { b() }", Some(1)),
            ("let a = '\"'; unsafe { b('\"') }", Some(1)),
            ("let a = '\\''; unsafe { b() }", Some(1)),
            ("fn a<'a>(b: &'a str) {}\nunsafe fn c() {}", Some(2)),
            ("let a = \"https://\"; unsafe { b() }", Some(1)),
            ("let a = r\"\\\"; unsafe { b() }", Some(1)),
            ("let a = \"two\nlines\";\nunsafe { b() }", Some(3)),
            ("/* /* unsafe */ unsafe\n*/ unsafe { b() }", Some(2)),
            ("/*/ unsafe */", None),
            ("let a = \"an unsafe word\";", None),
            ("let a = \"two\nunsafe lines\";", None),
            ("let a = br#\"\" unsafe \"#;", None),
            ("let a = b\"\\\\\"; // unsafe", None),
        ] {
            assert_eq!(unsafe_line(text), line, "{text}");
        }
    }
}
