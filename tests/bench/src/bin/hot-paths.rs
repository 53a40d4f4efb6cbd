//! Prints what a packet costs in instructions; `run <case> <packets>` is what callgrind watches.
#![forbid(unsafe_code)]

use std::env;

use anyhow::{Context, Result};

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["run", case, packets] => {
            let sum = wireloom_bench::hot_paths::run(case.parse()?, packets.parse()?)?;
            std::hint::black_box(sum);
        }
        ["--json"] => println!("{}", serde_json::to_string_pretty(&rows()?)?),
        _ => {
            println!(
                "{:8} {:6} {:>8} {:>6} {:>14} {:>11}",
                "path", "format", "channels", "frames", "instr./packet", "per sample"
            );
            for row in rows()? {
                let wireloom_bench::hot_paths::Row {
                    path,
                    encoding,
                    channels,
                    frames,
                    instructions,
                    per_sample,
                } = row;
                println!(
                    "{path:8} {encoding:6} {channels:>8} {frames:>6} {instructions:>14.0} {per_sample:>11.2}"
                );
            }
        }
    }
    Ok(())
}

fn rows() -> Result<Vec<wireloom_bench::hot_paths::Row>> {
    wireloom_bench::hot_paths::hot_paths(&env::current_exe().context("where this program is")?)
}
