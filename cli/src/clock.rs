//! `wireloom clock`.

use std::collections::HashMap;

use serde_json::json;
use wireloom_dbus::ManagerProxy;
use zbus::Variant;

use crate::client;
use crate::failure::{self, Failure};
use crate::list::clock_table;
use crate::output::Output;

#[derive(Debug, clap::Args)]
pub struct Clock {
    /// Follow this PTP domain, 0 to 127
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(0..=127))]
    domain: Option<u32>,
    /// Whether this computer may be the clock of the network
    #[arg(long, value_name = "WHEN", value_parser = ["never", "last-resort", "always"])]
    lead: Option<String>,
    /// Lead rather than clocks of the same quality, or not
    #[arg(long, value_name = "yes|no", value_parser = yes_or_no)]
    preferred: Option<bool>,
    /// Speak PTP on these network interfaces, and no others
    #[arg(long = "interfaces", value_name = "NAME", num_args = 1.., conflicts_with = "all_interfaces")]
    interfaces: Option<Vec<String>>,
    /// Speak PTP on every network interface that can
    #[arg(long)]
    all_interfaces: bool,
    /// Go back to what the settings file of the clock service says
    #[arg(long, conflicts_with_all = ["domain", "lead", "preferred", "interfaces", "all_interfaces"])]
    reset: bool,
}

fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err("it is yes or no".to_owned()),
    }
}

/// Whoever may not is told how to be allowed.
fn refused(error: wireloom_dbus::Error) -> Failure {
    if !failure::is_denied(&error) {
        return error.into();
    }
    Failure::Failed(format!("{}.\n{JOIN}", Failure::from(error)))
}

const JOIN: &str = "Join the group with:  sudo usermod -aG wireloom $USER\nand log in again.";

impl Clock {
    pub async fn run(self, output: &Output) -> Result<(), Failure> {
        let bus = client::connect().await?;
        let settings = self.settings();
        if !settings.is_empty() {
            ManagerProxy::new(&bus).await?.set_clock(settings).await.map_err(refused)?;
        }
        let snapshot = client::snapshot(&bus).await?;
        let service = &snapshot.manager.clock_service_text;
        if output.json {
            return output.print_json(json!({ "clocks": snapshot.clocks, "service": service }));
        }
        clock_table(&snapshot, output)?;
        if let Some(active) = snapshot.clocks.iter().find(|clock| clock.active) {
            output.line(&format!("\n{}: {}", active.id, active.state_text))?;
        }
        if !service.is_empty() {
            output.line(service)?;
        }
        Ok(())
    }

    fn settings(self) -> HashMap<&'static str, Variant<'static>> {
        let mut settings = HashMap::new();
        settings.extend(self.domain.map(|domain| ("domain", Variant::from(domain))));
        settings.extend(self.lead.map(|lead| ("lead", Variant::from(lead))));
        settings.extend(self.preferred.map(|preferred| ("preferred", Variant::from(preferred))));
        let interfaces = if self.all_interfaces { Some(Vec::new()) } else { self.interfaces };
        settings.extend(interfaces.map(|names| ("interfaces", Variant::from(names))));
        settings.extend(self.reset.then(|| ("reset", Variant::from(true))));
        settings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_not_is_told_how_to_be_allowed() {
        let denied = zbus::fdo::Error::AccessDenied("only members may".to_owned());
        let text = refused(denied.into()).to_string();
        assert!(text.starts_with("only members may.\n") && text.contains("usermod -aG wireloom"), "{text}");
        let invalid = refused(wireloom_dbus::Error::invalid_args("domain 200")).to_string();
        assert_eq!(invalid, "domain 200");
    }
}
