//! `wireloom preset`: save and recall what is wished.

use std::collections::{BTreeMap, HashMap};

use serde_json::json;
use wireloom_dbus::{ManagerProxy, Snapshot};

use crate::client;
use crate::end::End;
use crate::failure::Failure;
use crate::output::Output;
use crate::route::{dry, print_plan};

#[derive(Debug, clap::Subcommand)]
pub enum Preset {
    /// Save the routes that are wished now
    Save {
        /// What it is to be called; one of that name is replaced
        name: String,
    },
    /// Wish the routes of a preset
    Load(Load),
    /// List presets with their roles
    List,
    /// Forget a preset; its routes stay
    Remove {
        /// The preset
        name: String,
    },
}

#[derive(Debug, clap::Args)]
pub struct Load {
    /// The preset
    name: String,
    /// Another stream or node in a role, as in "Stage left=Stage box 2"; may be given several times
    #[arg(long = "role", value_name = "ROLE=NAME", value_parser = role)]
    roles: Vec<(String, String)>,
    /// Withdraw every other wish
    #[arg(long)]
    exactly: bool,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

/// Prints the presets.
const LIST: &str = "wireloom preset list";

impl Preset {
    pub async fn run(self, output: &Output) -> Result<(), Failure> {
        let bus = client::connect().await?;
        let manager = ManagerProxy::new(&bus).await?;
        match self {
            Self::Save { name } => {
                manager.save_preset(&name, HashMap::new()).await?;
                done(output, &format!("\"{name}\" is saved"))
            }
            Self::Load(load) => load.run(output, &manager, &client::snapshot(&bus).await?).await,
            Self::List => list(output, &client::snapshot(&bus).await?),
            Self::Remove { name } => {
                let removed = manager.remove_preset(&name, HashMap::new()).await;
                removed.map_err(|error| Failure::from(error).see(LIST))?;
                done(output, &format!("\"{name}\" is forgotten"))
            }
        }
    }
}

impl Load {
    async fn run(
        self,
        output: &Output,
        manager: &ManagerProxy<'_>,
        snapshot: &Snapshot,
    ) -> Result<(), Failure> {
        let ends =
            self.roles.iter().map(|(role, name)| Ok((role.as_str(), End::parse(snapshot, name)?.name)));
        let ends: BTreeMap<&str, String> = ends.collect::<Result<_, Failure>>()?;
        let roles = ends.iter().map(|(role, name)| (*role, name.as_str())).collect();
        let mut options = dry(self.dry_run);
        if self.exactly {
            options.insert("exactly", true.into());
        }
        let applied = manager.apply_preset(&self.name, roles, options).await;
        let (routes, plan) = applied.map_err(|error| Failure::from(error).see(LIST))?;
        if self.dry_run {
            return print_plan(output, &plan);
        }
        done(output, &format!("\"{}\": {} routes changed", self.name, routes.len()))
    }
}

fn list(output: &Output, snapshot: &Snapshot) -> Result<(), Failure> {
    let presets: BTreeMap<_, BTreeMap<_, _>> =
        snapshot.manager.presets.iter().map(|(name, roles)| (name, roles.iter().collect())).collect();
    if output.json {
        return output.print_json(json!({ "presets": presets }));
    }
    if presets.is_empty() {
        return output.line("No presets. Save one with \"wireloom preset save NAME\".");
    }
    for (name, roles) in presets {
        output.line(name)?;
        roles.keys().try_for_each(|role| output.line(&format!("  {role}")))?;
    }
    Ok(())
}

fn role(text: &str) -> Result<(String, String), String> {
    let (role, name) = text.split_once('=').ok_or("a role is given as ROLE=NAME")?;
    Ok((role.to_owned(), name.to_owned()))
}

fn done(output: &Output, text: &str) -> Result<(), Failure> {
    if output.json { output.print_json(json!({ "done": true })) } else { output.line(text) }
}
