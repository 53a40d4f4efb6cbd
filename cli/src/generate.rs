//! Completion scripts, the manual page, and names for completion.

use std::time::Duration;

use clap::{CommandFactory as _, ValueEnum};

use crate::client;
use crate::failure::Failure;

#[derive(Debug, clap::Args)]
pub struct Completions {
    shell: clap_complete::Shell,
}

impl Completions {
    pub fn run(self) -> Result<(), Failure> {
        let mut command = crate::Arguments::command();
        clap_complete::generate(self.shell, &mut command, "wireloom", &mut std::io::stdout());
        Ok(())
    }
}

/// Prints `wireloom(1)` in roff.
pub fn man() -> Result<(), Failure> {
    let command = crate::Arguments::command();
    let rendered = clap_mangen::Man::new(command).render(&mut std::io::stdout());
    rendered.map_err(|error| Failure::Failed(format!("cannot print: {error}")))
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    Streams,
    Devices,
    Interfaces,
    Routes,
    Presets,
}

#[derive(Debug, clap::Args)]
pub struct Complete {
    #[arg(value_enum)]
    kind: Kind,
}

impl Complete {
    /// Prints nothing, rather than making a shell wait, when the agent does not answer within 300 ms.
    pub async fn run(self) -> Result<(), Failure> {
        let names = async {
            let snapshot = client::snapshot(&client::connect().await?).await?;
            Ok::<Vec<String>, Failure>(match self.kind {
                Kind::Streams => snapshot.streams.into_iter().map(|stream| stream.alias).collect(),
                Kind::Devices => snapshot.devices.into_iter().map(|device| device.alias).collect(),
                Kind::Routes => snapshot.routes.into_iter().map(|route| route.id).collect(),
                Kind::Presets => snapshot.manager.presets.into_keys().collect(),
                Kind::Interfaces => snapshot.interfaces.into_iter().map(|interface| interface.name).collect(),
            })
        };
        if let Ok(Ok(names)) = tokio::time::timeout(Duration::from_millis(300), names).await {
            names.iter().for_each(|name| println!("{name}"));
        }
        Ok(())
    }
}
