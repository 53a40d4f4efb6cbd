//! `wireloom doctor`: looks at this computer for what keeps sound from coming, and says what to change.
//!
//! Knows the agent by its bus and the computer by `/proc`, `/sys`, `/run` and `nft`; if told to, listens to
//! the network. Asks nobody else and changes nothing.

mod filter;
mod machine;
mod network;
mod ports;
mod processes;
mod querier;
mod root;
mod services;

use std::time::Duration;

use serde::Serialize;
use serde_json::json;

use self::querier::Listening;
use self::root::Root;
use crate::client;
use crate::failure::Failure;
use crate::output::Output;

#[derive(Debug, clap::Args)]
pub struct Doctor {
    /// Also listen for IGMP queries, at most so many seconds; only root may
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=300))]
    listen: Option<u64>,
}

/// What was found about one thing.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Finding {
    name: &'static str,
    verdict: &'static str,
    text: String,
    /// What to change; empty when there is nothing to.
    advice: String,
}

impl Finding {
    fn new(name: &'static str, verdict: &'static str, text: impl Into<String>) -> Self {
        Self { name, verdict, text: text.into(), advice: String::new() }
    }

    fn ok(name: &'static str, text: impl Into<String>) -> Self {
        Self::new(name, "ok", text)
    }

    /// Sound comes, but not as well or as surely as it could.
    fn warning(name: &'static str, text: impl Into<String>) -> Self {
        Self::new(name, "warning", text)
    }

    /// No sound can come.
    fn failed(name: &'static str, text: impl Into<String>) -> Self {
        Self::new(name, "failed", text)
    }

    /// It cannot be told from here.
    fn unknown(name: &'static str, text: impl Into<String>) -> Self {
        Self::new(name, "unknown", text)
    }

    fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = advice.into();
        self
    }
}

impl Doctor {
    /// Errors: something prevents sound, after everything was printed.
    pub async fn run(self, output: &Output) -> Result<(), Failure> {
        let snapshot = match client::connect().await {
            Ok(bus) => client::snapshot(&bus).await,
            Err(error) => Err(error),
        };
        let root = Root::new("/");
        let processes = processes::read(&root);
        let mut findings = services::agent(&processes, &snapshot);
        let snapshot = snapshot.unwrap_or_default();
        findings.extend(services::pipewire(&root, &processes, &snapshot));
        findings.extend(services::clock(&root, &processes, &snapshot));
        findings.extend(network::look(&root, &snapshot, &filter::read(), &self.listen(&root)));
        findings.extend(ports::look(&root, &processes));
        findings.extend(machine::look(&root, &processes));
        let failed = findings.iter().filter(|finding| finding.verdict == "failed").count();
        if output.json {
            output.print_json(json!({ "checks": findings, "sound": failed == 0 }))?;
        } else {
            print(output, &findings)?;
        }
        match failed {
            0 => Ok(()),
            1 => Err(Failure::Failed("one thing prevents sound".to_owned())),
            count => Err(Failure::Failed(format!("{count} things prevent sound"))),
        }
    }
}

impl Doctor {
    fn listen(&self, root: &Root) -> Listening {
        let Some(seconds) = self.listen else { return Listening::Not };
        let names = network::up(root);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        querier::listen(&names, Duration::from_secs(seconds))
    }
}

fn print(output: &Output, findings: &[Finding]) -> Result<(), Failure> {
    let width = findings.iter().map(|finding| finding.name.len()).max().unwrap_or(0);
    for Finding { name, verdict, text, advice } in findings {
        let padding = " ".repeat("warning".len().saturating_sub(verdict.len()));
        output.line(&format!("{name:<width$}  {}{padding}  {text}", output.state(verdict)))?;
        if !advice.is_empty() {
            output.line(&format!("{:<1$}  -> {advice}", "", width + "  warning".len()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "doctor/tests.rs"]
mod tests;
