//! `bench-sender STREAMS ADDRESS PAGE`: sends streams from ADDRESS until it is killed; publishes its clock at PAGE.
#![forbid(unsafe_code)]

use std::env;
use std::path::Path;

use anyhow::{Result, bail};

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [streams, origin, page] = &arguments[..] else { bail!("STREAMS ADDRESS PAGE are needed") };
    wireloom_bench::sender::run(streams.parse()?, origin.parse()?, Path::new(page))
}
