//! `wireloom watch`: one line for every change.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use wireloom_dbus::{RouteInfo, StreamInfo};

use crate::client;
use crate::failure::Failure;
use crate::list::format_of;
use crate::output::Output;
use crate::route::title;

#[derive(Debug, clap::Args)]
pub struct Watch {
    /// Stop after this many seconds
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
}

impl Watch {
    pub async fn run(self, output: &Output) -> Result<(), Failure> {
        let bus = client::connect().await?;
        let end = self.timeout.map(|seconds| tokio::time::Instant::now() + Duration::from_secs(seconds));
        let mut seen: BTreeMap<String, StreamInfo> = BTreeMap::new();
        let mut routes: BTreeMap<String, RouteInfo> = BTreeMap::new();
        let mut manager = String::new();
        loop {
            // Half a second late is early enough for eyes, and what was missed in between is not a change.
            let snapshot = client::snapshot(&bus).await?;
            if snapshot.manager.state != manager {
                manager.clone_from(&snapshot.manager.state);
                self.print(output, "agent", "agent", &manager, &snapshot.manager.state_text)?;
            }
            let now: BTreeMap<_, _> =
                snapshot.streams.into_iter().map(|stream| (stream.id.clone(), stream)).collect();
            for (id, stream) in &now {
                let text =
                    if stream.state_text.is_empty() { format_of(stream) } else { stream.state_text.clone() };
                match seen.get(id) {
                    None => self.print(output, "appeared", &stream.alias, &stream.state, &text)?,
                    Some(old) if old.state != stream.state || old.alias != stream.alias => {
                        self.print(output, "changed", &stream.alias, &stream.state, &text)?;
                    }
                    Some(_) => {}
                }
            }
            for (_, stream) in seen.iter().filter(|(id, _)| !now.contains_key(*id)) {
                self.print(output, "left", &stream.alias, "gone", "")?;
            }
            routes = self.routes(output, routes, snapshot.routes)?;
            seen = now;
            if end.is_some_and(|end| end <= tokio::time::Instant::now()) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Prints what changed of the routes; answers how they are now.
    fn routes(
        &self,
        output: &Output,
        seen: BTreeMap<String, RouteInfo>,
        now: Vec<RouteInfo>,
    ) -> Result<BTreeMap<String, RouteInfo>, Failure> {
        let now: BTreeMap<_, _> = now.into_iter().map(|route| (route.id.clone(), route)).collect();
        for (id, route) in &now {
            let event = match seen.get(id) {
                None => "connected",
                Some(old) if old.state != route.state || old.channels.len() != route.channels.len() => {
                    "route"
                }
                Some(_) => continue,
            };
            self.print(output, event, &title(route), &route.state, &route.state_text)?;
        }
        for (_, route) in seen.iter().filter(|(id, _)| !now.contains_key(*id)) {
            self.print(output, "removed", &title(route), "gone", "")?;
        }
        Ok(now)
    }

    fn print(
        &self,
        output: &Output,
        event: &str,
        name: &str,
        state: &str,
        text: &str,
    ) -> Result<(), Failure> {
        if output.json {
            return output.print_json(json!({ "event": event, "name": name, "state": state, "text": text }));
        }
        let line = format!("{event:<9} {name:<32} {} {text}", output.state(state));
        output.line(line.trim_end())
    }
}
