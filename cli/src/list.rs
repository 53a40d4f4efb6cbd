//! `wireloom list`, `wireloom clock`, `wireloom interface`.

use std::time::Duration;

use clap::ValueEnum;
use serde_json::json;
use wireloom_dbus::{JobProxy, ManagerProxy, Snapshot, StreamInfo};
use zbus::Variant;

use crate::client;
use crate::failure::Failure;
use crate::output::Output;

#[derive(Debug, Clone, Copy, ValueEnum)]
enum What {
    Streams,
    Devices,
    Clocks,
    Interfaces,
}

#[derive(Debug, clap::Args)]
pub struct List {
    /// What to list
    #[arg(value_enum, default_value = "streams")]
    what: What,
    /// Ask the network again first, and wait until devices had time to announce themselves
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "35",
          value_parser = clap::value_parser!(u32).range(1..=300))]
    wait: Option<u32>,
}

impl List {
    pub async fn run(self, output: &Output) -> Result<(), Failure> {
        let bus = client::connect().await?;
        if let Some(seconds) = self.wait {
            discover(&bus, seconds, output).await?;
        }
        let snapshot = client::snapshot(&bus).await?;
        if output.json {
            return output.print_json(match self.what {
                What::Streams => json!({ "streams": snapshot.streams }),
                What::Devices => json!({ "devices": snapshot.devices }),
                What::Clocks => json!({ "clocks": snapshot.clocks }),
                What::Interfaces => json!({ "interfaces": snapshot.interfaces }),
            });
        }
        match self.what {
            What::Streams => streams(&snapshot, output),
            What::Devices => devices(&snapshot, output),
            What::Clocks => clock_table(&snapshot, output),
            What::Interfaces => interface_table(&snapshot, output),
        }?;
        remark(&snapshot);
        Ok(())
    }
}

/// Says on the error channel what keeps streams from being heard.
pub fn remark(snapshot: &Snapshot) {
    let manager = &snapshot.manager;
    let works = matches!(manager.state.as_str(), "running" | "starting");
    if !works || matches!(manager.state_reason.as_str(), "drop-in" | "port") {
        eprintln!("Note: {}", snapshot.manager.state_text);
    }
}

async fn discover(bus: &zbus::Connection, seconds: u32, output: &Output) -> Result<(), Failure> {
    let manager = ManagerProxy::new(bus).await?;
    let options = std::collections::HashMap::from([("timeout-ms", Variant::from(seconds * 1000))]);
    let path = match manager.discover(options).await {
        Ok(path) => path,
        Err(wireloom_dbus::Error::InProgress(text)) => {
            return Err(Failure::Failed(format!("the network is being asked already: {text}")));
        }
        Err(error) => return Err(error.into()),
    };
    let job =
        JobProxy::builder(bus).path(path).cache_properties(zbus::proxy::CacheProperties::No).build().await?;
    let bar = output.bar("Listening to the network");
    // The job disappears when it has ended; a bus that is slow ends the wait as well.
    for _ in 0..=seconds * 4 + 8 {
        match job.progress().await {
            Ok(progress) if progress < 1.0 => {
                bar.set_position((progress * 1000.0) as u64);
                let count = manager.stream_count().await?;
                bar.set_message(format!("{count} streams"));
            }
            _ => break,
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    bar.finish_and_clear();
    Ok(())
}

/// "8 ch L24 48 kHz".
pub fn format_of(stream: &StreamInfo) -> String {
    if stream.encoding.is_empty() {
        return "-".to_owned();
    }
    let khz = f64::from(stream.rate_hz) / 1000.0;
    format!("{} ch {} {khz} kHz", stream.channels.len(), stream.encoding)
}

/// "239.69.1.1:5004", "[ff15::69:1]:5004", "-" when there is none.
pub fn address_of(stream: &StreamInfo) -> String {
    let legs = stream.legs.iter().map(|leg| match leg.address.contains(':') {
        true => format!("[{}]:{}", leg.address, leg.port),
        false => format!("{}:{}", leg.address, leg.port),
    });
    let text = legs.take(1).collect::<Vec<_>>().concat();
    match stream.legs.len() {
        0 => "-".to_owned(),
        1 => text,
        more => format!("{text} +{}", more - 1),
    }
}

/// "out" or "in".
pub fn way_of(stream: &StreamInfo) -> &'static str {
    if stream.direction == "transmit" { "out" } else { "in" }
}

fn streams(snapshot: &Snapshot, output: &Output) -> Result<(), Failure> {
    if snapshot.streams.is_empty() {
        return output
            .line("No streams yet. Devices announce themselves every 30 seconds or so: try --wait.");
    }
    let (heads, rows) = stream_rows(snapshot);
    output.table(heads, &rows)
}

/// One row for each stream; where a name leads to several, a column says their ids.
fn stream_rows(snapshot: &Snapshot) -> (&'static [&'static str], Vec<Vec<String>>) {
    let counts = client::name_counts(snapshot);
    let is_shared = |stream: &StreamInfo| counts.get(stream.alias.as_str()).is_some_and(|count| *count > 1);
    let any = snapshot.streams.iter().any(is_shared);
    let row = |stream: &StreamInfo| {
        let mut cells = vec![
            stream.alias.clone(),
            way_of(stream).into(),
            stream.state.clone(),
            format_of(stream),
            address_of(stream),
            stream.clock_relation.clone(),
        ];
        cells.extend(any.then(|| if is_shared(stream) { stream.id.clone() } else { String::new() }));
        cells
    };
    let heads = &["NAME", "WAY", "STATE", "FORMAT", "ADDRESS", "CLOCK", "ID"];
    (&heads[..6 + usize::from(any)], snapshot.streams.iter().map(row).collect())
}

fn devices(snapshot: &Snapshot, output: &Output) -> Result<(), Failure> {
    if snapshot.devices.is_empty() {
        return output.line("No devices.");
    }
    let row = |device: &wireloom_dbus::DeviceInfo| {
        vec![
            device.alias.clone(),
            device.protocol.clone(),
            device.address.clone(),
            device.streams.len().to_string(),
        ]
    };
    let rows: Vec<_> = snapshot.devices.iter().map(row).collect();
    output.table(&["NAME", "PROTOCOL", "ADDRESS", "STREAMS"], &rows)
}

/// The table of clocks.
pub fn clock_table(snapshot: &Snapshot, output: &Output) -> Result<(), Failure> {
    if snapshot.clocks.is_empty() {
        return output.line(
            "No clock: wireloom-clock does not run. Audio flows all the same, resampled.\n\
             Start it with:  sudo systemctl start wireloom-clock",
        );
    }
    let row = |clock: &wireloom_dbus::ClockInfo| {
        let error =
            if clock.error_bound_ns == 0 { "-".to_owned() } else { format!("{} ns", clock.error_bound_ns) };
        let leader = if clock.grandmaster.is_empty() { "-".to_owned() } else { clock.grandmaster.clone() };
        let active = if clock.active { "*" } else { "" };
        vec![
            clock.id.clone(),
            active.into(),
            clock.state.clone(),
            leader,
            error,
            format!("{:+.3}", clock.frequency_ppb / 1000.0),
        ]
    };
    let rows: Vec<_> = snapshot.clocks.iter().map(row).collect();
    output.table(&["CLOCK", "USED", "STATE", "GRANDMASTER", "ERROR", "PPM"], &rows)
}

#[derive(Debug, clap::Args)]
pub struct Interface {
    /// Use these network interfaces, and no others
    #[arg(long = "use", value_name = "NAME", num_args = 1.., conflicts_with = "all")]
    chosen: Option<Vec<String>>,
    /// Use every network interface that can carry audio
    #[arg(long)]
    all: bool,
}

impl Interface {
    pub async fn run(self, output: &Output) -> Result<(), Failure> {
        let bus = client::connect().await?;
        let names = if self.all { Some(Vec::new()) } else { self.chosen };
        if let Some(names) = names {
            let known = client::snapshot(&bus).await?.interfaces;
            if let Some(name) =
                names.iter().find(|name| known.iter().all(|interface| interface.name != **name))
            {
                return Err(Failure::NotFound(format!("no network interface is called \"{name}\"")));
            }
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            ManagerProxy::new(&bus).await?.set_network_interfaces(&names).await?;
        }
        let snapshot = client::snapshot(&bus).await?;
        if output.json {
            return output.print_json(json!({ "interfaces": snapshot.interfaces }));
        }
        interface_table(&snapshot, output)
    }
}

fn interface_table(snapshot: &Snapshot, output: &Output) -> Result<(), Failure> {
    if snapshot.interfaces.is_empty() {
        return output.line("No network interfaces.");
    }
    let row = |interface: &wireloom_dbus::InterfaceInfo| {
        let used = match interface.state_reason.as_str() {
            "none" => "yes".to_owned(),
            why => format!("no: {why}"),
        };
        let address = interface.addresses.first().cloned().unwrap_or_else(|| "-".to_owned());
        vec![
            interface.name.clone(),
            interface.state.clone(),
            used,
            address,
            interface.announcements_received.to_string(),
            if interface.ravenna { interface.sessions_found.to_string() } else { "off".to_owned() },
        ]
    };
    let rows: Vec<_> = snapshot.interfaces.iter().map(row).collect();
    output.table(&["INTERFACE", "STATE", "USED", "ADDRESS", "HEARD", "RAVENNA"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_listed_where_names_are_equal() {
        let named = |id: &str, name: &str| StreamInfo {
            id: id.into(),
            alias: name.into(),
            name: name.into(),
            ..StreamInfo::default()
        };
        let mut streams = vec![named("s-1", "Drums"), named("s-2", "Bass")];
        let rows = |streams: &Vec<StreamInfo>| {
            let (heads, rows) = stream_rows(&Snapshot { streams: streams.clone(), ..Snapshot::default() });
            assert!(rows.iter().all(|row| row.len() == heads.len()));
            (heads.last().copied(), rows)
        };
        assert_eq!(rows(&streams).0, Some("CLOCK"));
        streams.push(named("s-3", "Drums"));
        let (last, rows) = rows(&streams);
        let ids: Vec<_> = rows.iter().filter_map(|row| row.last()).map(String::as_str).collect();
        assert_eq!((last, ids), (Some("ID"), vec!["s-1", "", "s-3"]));
    }
}
