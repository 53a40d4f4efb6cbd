//! `wireloom why`: what the sound of a stream depends on, and what of it fails.

use serde_json::json;
use wireloom_dbus::CheckInfo;

use crate::client;
use crate::failure::Failure;
use crate::output::Output;

#[derive(Debug, clap::Args)]
pub struct Why {
    /// Id, alias or name of a stream
    name: String,
}

impl Why {
    /// Errors: something failed, after it was printed, so that scripts can ask.
    pub async fn run(self, output: &Output) -> Result<(), Failure> {
        let bus = client::connect().await?;
        let snapshot = client::snapshot(&bus).await?;
        let stream = client::stream(&snapshot, &self.name)?;
        let failed = stream.checks.iter().find(|check| check.verdict == "failed");
        if output.json {
            output.print_json(json!({ "stream": stream, "sound": failed.is_none() }))?;
        } else {
            let width = stream.checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
            for CheckInfo { name, verdict, text } in &stream.checks {
                let padding = " ".repeat("warning".len().saturating_sub(verdict.len()));
                output.line(&format!("{name:<width$}  {}{padding}  {text}", output.state(verdict)))?;
            }
        }
        match failed {
            None => Ok(()),
            Some(check) => Err(Failure::Failed(format!("{}: {}", stream.alias, check.text))),
        }
    }
}
