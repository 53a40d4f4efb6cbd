//! `wireloom connect`, `disconnect`, `routes`.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::json;
use wireloom_dbus::{ManagerProxy, RouteInfo, Snapshot};
use zbus::{ObjectPath, Variant};

use crate::client;
use crate::end::{self, End};
use crate::failure::Failure;
use crate::output::{Output, part};

/// What a channel map is on the bus.
pub type Map<'a> = Vec<HashMap<&'a str, Variant<'a>>>;

#[derive(Debug, clap::Args)]
pub struct Connect {
    /// Where the audio comes from: a stream or a node of this computer, with channels as in "Drums/1-2"
    source: String,
    /// Where it goes
    sink: String,
    /// Channels from and to, counted from 1, as in 1:17,2:18
    #[arg(long, value_name = "FROM:TO", value_delimiter = ',', value_parser = end::pair)]
    map: Vec<(u32, u32)>,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// Wait until audio flows, at most so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=3600))]
    wait: Option<u32>,
}

impl Connect {
    pub async fn run(self, output: &Output) -> Result<(), Failure> {
        let bus = client::connect().await?;
        let snapshot = client::snapshot(&bus).await?;
        let (source, sink) = (End::parse(&snapshot, &self.source)?, End::parse(&snapshot, &self.sink)?);
        let pairs = end::pairs(&source, &sink, &self.map)?;
        let manager = ManagerProxy::new(&bus).await?;
        let asked = manager.connect(&source.name, &sink.name, map_of(&pairs), dry(self.dry_run)).await;
        let (path, plan) =
            asked.map_err(|error| Failure::from(error).see("wireloom list, and pw-link -io for nodes"))?;
        if self.dry_run {
            return print_plan(output, &plan);
        }
        let route = self.wait_for(&bus, path.as_str(), output).await?;
        if output.json {
            return output.print_json(json!({ "route": route }));
        }
        output.line(&format!("{}  {}: {}", route.id, title(&route), output.state(&route.state)))
    }
}

impl Connect {
    /// The route as it is now, or with `--wait` as soon as audio flows.
    async fn wait_for(
        &self,
        bus: &zbus::Connection,
        path: &str,
        output: &Output,
    ) -> Result<RouteInfo, Failure> {
        let begun = Instant::now();
        let bar = self.wait.map(|seconds| (output.bar("Waiting for audio"), seconds));
        loop {
            let routes = client::snapshot(bus).await?.routes;
            let route = routes.into_iter().find(|route| route.path == path);
            let route = route.ok_or_else(|| Failure::NotFound("the route is gone".to_owned()))?;
            let Some((bar, seconds)) = &bar else { return Ok(route) };
            let limit = Duration::from_secs((*seconds).into());
            match route.state.as_str() {
                "receiving" => return Ok(route),
                "failed" => return Err(Failure::Failed(route.state_text)),
                _ if begun.elapsed() >= limit => {
                    let text = format!("it is {} after {seconds} s. {}", route.state, route.state_text);
                    return Err(Failure::Timeout(text));
                }
                _ => {
                    bar.set_position(part(begun.elapsed(), limit));
                    bar.set_message(format!("{} {}", route.state, route.state_text));
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

#[derive(Debug, clap::Args)]
pub struct Disconnect {
    /// Id of the route, or where its audio comes from
    route: String,
    /// Where its audio goes
    sink: Option<String>,
    /// Only these channels, from and to, counted from 1, as in 1:17,2:18
    #[arg(long, value_name = "FROM:TO", value_delimiter = ',', value_parser = end::pair)]
    map: Vec<(u32, u32)>,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

impl Disconnect {
    pub async fn run(self, output: &Output) -> Result<(), Failure> {
        let bus = client::connect().await?;
        let snapshot = client::snapshot(&bus).await?;
        let route = find(&snapshot, &self.route, self.sink.as_deref())?;
        let path = ObjectPath::try_from(route.path.as_str())?;
        let manager = ManagerProxy::new(&bus).await?;
        let plan = manager.disconnect(&path, map_of(&self.map), dry(self.dry_run)).await?;
        if self.dry_run {
            return print_plan(output, &plan);
        }
        if output.json { output.print_json(json!({ "done": true })) } else { output.line(&title(route)) }
    }
}

/// The route with the id `route`, or with `sink` the one between the two ends.
pub fn find<'a>(snapshot: &'a Snapshot, route: &str, sink: Option<&str>) -> Result<&'a RouteInfo, Failure> {
    let none = || Failure::NotFound("there is no such route; see: wireloom routes".to_owned());
    let Some(sink) = sink else {
        return snapshot.routes.iter().find(|known| known.id == route).ok_or_else(none);
    };
    let (source, sink) = (End::parse(snapshot, route)?, End::parse(snapshot, sink)?);
    let fits = |route: &&RouteInfo| route.source == source.node && route.sink == sink.node;
    snapshot.routes.iter().find(fits).ok_or_else(none)
}

/// `wireloom routes`.
pub async fn routes(output: &Output) -> Result<(), Failure> {
    let snapshot = client::snapshot(&client::connect().await?).await?;
    if output.json {
        return output.print_json(json!({ "routes": snapshot.routes }));
    }
    if snapshot.routes.is_empty() {
        output.line("No routes. Make one with \"wireloom connect\", or in any patchbay.")?;
    } else {
        let row = |route: &RouteInfo| {
            vec![
                title(route),
                channels_of(route),
                route.state.clone(),
                route.way.clone(),
                if route.desired { "yes" } else { "no" }.to_owned(),
                route.id.clone(),
            ]
        };
        let rows: Vec<_> = snapshot.routes.iter().map(row).collect();
        output.table(&["ROUTE", "CHANNELS", "STATE", "WAY", "KEPT", "ID"], &rows)?;
    }
    for route in snapshot.routes.iter().filter(|route| !route.state_text.is_empty()) {
        output.line(&format!("{}: {}", title(route), route.state_text))?;
    }
    crate::list::remark(&snapshot);
    Ok(())
}

/// "Stage box -> Recorder".
pub fn title(route: &RouteInfo) -> String {
    format!("{} -> {}", route.source_name, route.sink_name)
}

/// "1:1 2:2", or how many when there are more.
fn channels_of(route: &RouteInfo) -> String {
    match route.channels.as_slice() {
        few @ ([] | [_] | [_, _]) => {
            let pairs = few.iter().map(|pair| format!("{}:{}", pair.source + 1, pair.sink + 1));
            pairs.collect::<Vec<_>>().join(" ")
        }
        many => many.len().to_string(),
    }
}

/// Channels counted from 1 as the bus wants them.
fn map_of<'a>(pairs: &[(u32, u32)]) -> Map<'a> {
    let entry = |(from, to): &(u32, u32)| {
        HashMap::from([("source", Variant::from(from - 1)), ("sink", Variant::from(to - 1))])
    };
    pairs.iter().map(entry).collect()
}

pub fn dry<'a>(dry_run: bool) -> HashMap<&'a str, Variant<'a>> {
    if dry_run { HashMap::from([("dry-run", true.into())]) } else { HashMap::new() }
}

pub fn print_plan(output: &Output, plan: &[String]) -> Result<(), Failure> {
    if output.json {
        return output.print_json(json!({ "plan": plan }));
    }
    if plan.is_empty() {
        return output.line("Nothing would be done now.");
    }
    plan.iter().try_for_each(|command| output.line(command))
}
