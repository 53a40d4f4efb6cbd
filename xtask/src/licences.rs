//! Whether every dependency may be used in something that is `MIT OR Apache-2.0`. Works offline.

use anyhow::Context;
use serde_json::Value;

/// Licences that ask for no more than their notice (SPDX identifiers).
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Checks every package that `cargo metadata` lists; returns how many there are. Errors: name the offenders.
pub fn check(metadata: &Value) -> anyhow::Result<usize> {
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    let mut offenders = Vec::new();
    for package in packages {
        let expression = package["license"].as_str();
        if !expression.is_some_and(allows) {
            offenders.push(format!(
                "  {} {}: {}",
                package["name"].as_str().unwrap_or("?"),
                package["version"].as_str().unwrap_or("?"),
                expression.unwrap_or("no licence expression"),
            ));
        }
    }
    anyhow::ensure!(offenders.is_empty(), "licences that are not on the list:\n{}", offenders.join("\n"));
    Ok(packages.len())
}

/// Whether an SPDX expression (or crates' older "A/B") can be satisfied with allowed licences.
fn allows(expression: &str) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut parser = Expression { words: &words };
    parser.any_of() == Some(true) && parser.words.is_empty()
}

/// A recursive descent through `A OR B AND (C WITH D)`; `None` is a syntax error.
struct Expression<'a> {
    words: &'a [&'a str],
}

impl Expression<'_> {
    fn any_of(&mut self) -> Option<bool> {
        let mut allowed = self.all_of()?;
        while self.next_if("OR") {
            allowed |= self.all_of()?;
        }
        Some(allowed)
    }

    fn all_of(&mut self) -> Option<bool> {
        let mut allowed = self.one()?;
        while self.next_if("AND") {
            allowed &= self.one()?;
        }
        Some(allowed)
    }

    fn one(&mut self) -> Option<bool> {
        if self.next_if("(") {
            let allowed = self.any_of()?;
            return self.next_if(")").then_some(allowed);
        }
        let mut name = self.next()?.to_owned();
        if self.next_if("WITH") {
            name = format!("{name} WITH {}", self.next()?);
        }
        Some(ALLOWED.contains(&name.as_str()))
    }

    fn next(&mut self) -> Option<&str> {
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        Some(first)
    }

    fn next_if(&mut self, word: &str) -> bool {
        let matches = self.words.first() == Some(&word);
        if matches {
            self.words = &self.words[1..];
        }
        matches
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_read_as_spdx_means_them() {
        for good in [
            "MIT",
            "MIT OR GPL-3.0-only",
            "MIT/Apache-2.0",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR GPL-2.0-only",
            "GPL-2.0-only AND MIT OR ISC",
        ] {
            assert!(allows(good), "{good}");
        }
        for bad in ["", "GPL-3.0-only", "MIT AND GPL-3.0-only", "(MIT", "MIT MIT", "MIT OR", "MPL-2.0"] {
            assert!(!allows(bad), "{bad}");
        }
    }

    #[test]
    fn a_package_without_an_expression_is_an_offender() {
        let metadata = serde_json::json!({"packages": [{"name": "x", "version": "1.0.0", "license": null}]});
        let error = check(&metadata).expect_err("no licence").to_string();
        assert!(error.contains("x 1.0.0: no licence expression"), "{error}");
    }
}
