//! Measures Wireloom beside PipeWire's own RTP modules and prints tables. `cargo xtask bench` builds it and what it
//! needs, and runs it.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Parser;
use wireloom_bench::crowd;
use wireloom_bench::hot_paths::hot_paths;
use wireloom_bench::platform::Platform;
use wireloom_bench::results::Results;
use wireloom_bench::run::{Extent, run};
use wireloom_lab::Products;
use wireloom_lab::isolation::{self, Ending};

/// Measures, prints tables, keeps what was measured as JSON.
#[derive(Parser)]
struct Arguments {
    /// The folder that holds the module (in `pipewire/`) and the programs.
    #[arg(long, value_parser = |folder: &str| std::fs::canonicalize(folder))]
    products: PathBuf,
    /// The folder in which results are kept.
    #[arg(long)]
    out: PathBuf,
    /// Root file system of the next Debian release, with its PipeWire; without it, that is not measured.
    #[arg(long)]
    root: Option<PathBuf>,
    /// Measures less: under three minutes.
    #[arg(long)]
    quick: bool,
    #[arg(long, hide = true)]
    inside: Option<String>,
}

/// Names of the two platforms for the inner program.
const INSTALLED: &str = "installed";
const ROOT: &str = "root";
/// Name of the studio in which the agent is measured.
const CROWD: &str = "crowd";

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let extent = if arguments.quick { Extent::Quick } else { Extent::Full };
    if let Some(name) = &arguments.inside {
        return inside(name, &arguments, extent);
    }
    std::fs::create_dir_all(&arguments.out)?;
    let mut results = Results::default();
    on(INSTALLED, &arguments, &mut results);
    match &arguments.root {
        Some(_) => on(ROOT, &arguments, &mut results),
        None => {
            results.not_measured.push("PipeWire of Debian 13: there is no root file system of it".to_owned())
        }
    }
    match measure(CROWD, &arguments.out.join("crowd.json")) {
        Ok(crowds) => results.crowds = crowds,
        Err(error) => results.not_measured.push(format!("the agent in a crowd: {error:#}")),
    }
    eprintln!("hot paths");
    match hot_paths(&arguments.products.join("hot-paths")) {
        Ok(rows) => results.hot_paths = rows,
        Err(error) => results.not_measured.push(format!("instructions of the hot paths: {error:#}")),
    }
    let file = arguments.out.join(if arguments.quick { "quick.json" } else { "full.json" });
    std::fs::write(&file, serde_json::to_string_pretty(&results)?)?;
    println!("{}\nEvery single measurement is in {}.", results.show(), file.display());
    Ok(())
}

/// Measures in a studio of its own; what goes wrong becomes part of the results.
fn on(name: &str, arguments: &Arguments, results: &mut Results) {
    let part = arguments.out.join(format!("{name}.json"));
    match measure(name, &part) {
        Ok(platform) => results.platforms.push(platform),
        Err(error) => results.not_measured.push(format!("PipeWire ({name}): {error:#}")),
    }
}

fn measure<T: serde::de::DeserializeOwned>(name: &str, part: &Path) -> Result<T> {
    let mut words: Vec<_> = std::env::args_os().skip(1).collect();
    words.extend(["--inside".into(), name.into()]);
    match isolation::run(&words)? {
        Ending::Exit { code: 0, .. } => {}
        Ending::Exit { code, .. } => anyhow::bail!("the studio ended with exit code {code}"),
        Ending::Interrupted { .. } => anyhow::bail!("interrupted"),
    }
    let text = std::fs::read_to_string(part).with_context(|| part.display().to_string())?;
    let _ = std::fs::remove_file(part);
    Ok(serde_json::from_str(&text)?)
}

fn inside(name: &str, arguments: &Arguments, extent: Extent) -> Result<()> {
    let part = arguments.out.join(format!("{name}.json"));
    if name == CROWD {
        let crowds = crowd::run(&Products::new(&arguments.products), |what| eprintln!("{what}"))?;
        return Ok(std::fs::write(part, serde_json::to_string(&crowds)?)?);
    }
    let platform = match &arguments.root {
        Some(root) if name == ROOT => Platform::in_root(root)?,
        _ => Platform::installed()?,
    };
    let progress = |what: &str| eprintln!("PipeWire {}: {what}", platform.version);
    let results = run(&platform, &Products::new(&arguments.products), extent, progress)?;
    Ok(std::fs::write(part, serde_json::to_string(&results)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_found_from_everywhere() {
        let parse =
            |folder| Arguments::try_parse_from(["wireloom-bench", "--products", folder, "--out", "out"]);
        let products = parse(".").map(|arguments| arguments.products);
        assert!(products.is_ok_and(|products| products.is_absolute()));
        assert!(parse("no-such-folder").is_err());
    }
}
