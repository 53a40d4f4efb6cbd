//! Completion scripts and the manual page.

use std::io::Write as _;

use clap::CommandFactory as _;

use crate::complete;
use crate::failure::Failure;

#[derive(Debug, clap::Args)]
pub struct Completions {
    shell: clap_complete::Shell,
}

impl Completions {
    pub fn run(self) -> Result<(), Failure> {
        let mut command = crate::Arguments::command();
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "wireloom", &mut script);
        let script = complete::with_names(self.shell, String::from_utf8_lossy(&script).into_owned());
        let printed = std::io::stdout().write_all(script.as_bytes());
        printed.map_err(|error| Failure::Failed(format!("cannot print: {error}")))
    }
}

/// Prints `wireloom(1)` in roff.
pub fn man() -> Result<(), Failure> {
    let command = crate::Arguments::command();
    let rendered = clap_mangen::Man::new(command).render(&mut std::io::stdout());
    rendered.map_err(|error| Failure::Failed(format!("cannot print: {error}")))
}
