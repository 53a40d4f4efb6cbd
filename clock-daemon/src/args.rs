//! The command line.

use std::path::PathBuf;

use clap::Parser;

use crate::settings::{Changes, LeadKind, Settings, SourceKind};

/// Listens to the network's PTP clock and publishes its time for every program of this computer.
///
/// No clock is ever set: neither the system's nor a network card's.
#[derive(Debug, Parser)]
#[command(name = "wireloom-clock", version, about, long_about)]
pub struct Args {
    /// Settings file (TOML)
    #[arg(long, value_name = "FILE", default_value = "/etc/wireloom/clock.conf")]
    pub config: PathBuf,

    /// Print the merged settings and exit; 1 when the file has a mistake
    #[arg(long)]
    pub check_config: bool,

    /// Publish the clock page here [default: /run/wireloom/clock]
    #[arg(long, value_name = "PATH")]
    pub page: Option<PathBuf>,

    /// Serve the control socket here [default: /run/wireloom/clock.sock]
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,

    /// Remember settings and path delays here [default: /var/lib/wireloom-clock/state.json]
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,

    /// Use PTP on this interface; repeatable [default: all that can]
    #[arg(long, value_name = "IF")]
    pub interface: Vec<String>,

    /// PTP domain, 0 to 127 [default: 0]
    #[arg(long, value_name = "N")]
    pub domain: Option<u8>,

    /// Whether to become the clock of the network [default: never]
    #[arg(long, value_name = "WHEN")]
    pub lead: Option<LeadKind>,

    /// Where time comes from; repeatable [default: ptp, free]
    #[arg(long, value_name = "SOURCE")]
    pub source: Vec<SourceKind>,

    /// Say more; repeat for every packet
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

impl Args {
    /// Puts the options about files over `settings`.
    pub fn apply_paths(&self, settings: &mut Settings) {
        for (option, setting) in [
            (&self.page, &mut settings.page),
            (&self.socket, &mut settings.socket),
            (&self.state, &mut settings.state),
        ] {
            if let Some(path) = option {
                setting.clone_from(path);
            }
        }
        if !self.source.is_empty() {
            settings.sources.clone_from(&self.source);
        }
    }

    /// The options about the clock, which also win over what was changed in an earlier run.
    pub fn changes(&self) -> Changes {
        Changes {
            interfaces: (!self.interface.is_empty()).then(|| self.interface.clone()),
            domain: self.domain,
            lead: self.lead,
            ..Changes::default()
        }
    }
}
