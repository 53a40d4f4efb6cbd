//! `wireloom show`.

use std::time::Duration;

use serde_json::json;
use wireloom_dbus::{Snapshot, StatisticsProxy, StreamInfo};

use crate::client;
use crate::failure::Failure;
use crate::list::{address_of, format_of};
use crate::output::Output;

#[derive(Debug, clap::Args)]
pub struct Show {
    /// Id, alias or name
    name: String,
    /// Also count packets for a moment
    #[arg(long)]
    statistics: bool,
    /// Also print the description (SDP)
    #[arg(long)]
    sdp: bool,
}

impl Show {
    pub async fn run(self, output: &Output) -> Result<(), Failure> {
        let bus = client::connect().await?;
        let snapshot = client::snapshot(&bus).await?;
        let stream = match client::stream(&snapshot, &self.name) {
            Err(Failure::NotFound(_)) => return self.show_other(&snapshot, output),
            other => other?,
        };
        let counters = if self.statistics && stream.shown { count(&bus, stream).await? } else { Vec::new() };
        if output.json {
            let counters: serde_json::Map<_, _> = counters.into_iter().map(|(k, v)| (k, v.into())).collect();
            return output.print_json(json!({ "stream": stream, "statistics": counters }));
        }
        output.fields(&stream_fields(&snapshot, stream, output))?;
        for (name, value) in &counters {
            if let Some(value) = counter_text(stream, name, *value) {
                output.line(&format!("  {name:<18}{value:>14}"))?;
            }
        }
        if self.sdp {
            output.line(&format!("\n{}", stream.sdp_text.replace('\r', "").trim_end()))?;
        }
        Ok(())
    }

    fn show_other(&self, snapshot: &Snapshot, output: &Output) -> Result<(), Failure> {
        let name = self.name.as_str();
        if let Ok(device) = client::find(
            &snapshot.devices,
            "device",
            name,
            |d| [&d.id, &d.alias, &d.name],
            |d| d.address.clone(),
        ) {
            if output.json {
                return output.print_json(json!({ "device": device }));
            }
            let of_device = |stream: &&StreamInfo| device.streams.contains(&stream.path);
            let streams = snapshot.streams.iter().filter(of_device);
            let lines: Vec<_> =
                streams.map(|s| format!("{} ({}, {})", s.alias, s.state, format_of(s))).collect();
            return output.fields(&[
                ("Device", device.alias.clone()),
                ("Id", device.id.clone()),
                ("Protocol", device.protocol.clone()),
                ("Address", device.address.clone()),
                ("Streams", lines.join("\n")),
            ]);
        }
        if let Some(clock) = snapshot.clocks.iter().find(|clock| clock.id == name) {
            if output.json {
                return output.print_json(json!({ "clock": clock }));
            }
            return output.fields(&[
                ("Clock", clock.id.clone()),
                ("State", format!("{}  {}", output.state(&clock.state), clock.state_text)),
                ("Grandmaster", clock.grandmaster.clone()),
                ("Used", if clock.active { "yes".to_owned() } else { "no".to_owned() }),
                ("Error bound", format!("{} ns", clock.error_bound_ns)),
                ("Frequency", format!("{:+.3} ppm", clock.frequency_ppb / 1000.0)),
            ]);
        }
        if let Some(interface) = snapshot.interfaces.iter().find(|interface| interface.name == name) {
            if output.json {
                return output.print_json(json!({ "interface": interface }));
            }
            return output.fields(&[
                ("Interface", interface.name.clone()),
                ("State", format!("{} ({})", interface.state, interface.state_reason)),
                ("Addresses", interface.addresses.join("\n")),
                ("Hardware", interface.hardware_address.clone()),
                ("Heard", format!("{} announcements", interface.announcements_received)),
                (
                    "RAVENNA",
                    if interface.ravenna {
                        format!("{} sessions", interface.sessions_found)
                    } else {
                        "off".to_owned()
                    },
                ),
            ]);
        }
        Err(Failure::NotFound(format!("nothing is called \"{name}\"; see: wireloom list")))
    }
}

/// Reads the counters twice: the first reading makes the module count.
async fn count(bus: &zbus::Connection, stream: &StreamInfo) -> Result<Vec<(String, i64)>, Failure> {
    let proxy = StatisticsProxy::builder(bus)
        .path(stream.path.as_str())
        .cache_properties(zbus::proxy::CacheProperties::No)
        .build()
        .await?;
    proxy.counters().await?;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let mut counters: Vec<_> = proxy.counters().await?.into_iter().collect();
    counters.sort();
    Ok(counters)
}

/// A counter with its unit; `None` for one that says nothing of a stream that goes this way.
fn counter_text(stream: &StreamInfo, name: &str, value: i64) -> Option<String> {
    if stream.direction == "transmit" && !SENT.contains(&name) {
        return None;
    }
    let unit = match name {
        "packets" | "lost" | "reordered" | "duplicates" | "late" | "early" | "bad-size"
        | "bad-payload-type" | "foreign" => "packets",
        "not-rtp" => "datagrams",
        "gap-frames" | "margin" => "frames",
        "age-ms" => "ms",
        "peak" if value <= 0 => return Some("silence".to_owned()),
        "peak" => return Some(format!("{:.1} dBFS", 20.0 * (value as f64 / 1e6).log10())),
        _ => return Some(value.to_string()), // times that something happened
    };
    Some(format!("{value} {unit}"))
}

/// What is counted of a stream that is sent; lost is what the network interface did not take.
const SENT: [&str; 4] = ["packets", "lost", "cycles", "age-ms"];

fn stream_fields(snapshot: &Snapshot, stream: &StreamInfo, output: &Output) -> Vec<(&'static str, String)> {
    let device = snapshot.devices.iter().find(|device| device.path == stream.device);
    let labels: Vec<_> = stream.channels.iter().map(|channel| channel.label.as_str()).collect();
    let ms = f64::from(stream.latency_frames) * 1000.0 / f64::from(stream.rate_hz.max(1));
    let packet = f64::from(stream.packet_frames) * 1000.0 / f64::from(stream.rate_hz.max(1));
    vec![
        ("Stream", stream.alias.clone()),
        ("Id", stream.id.clone()),
        ("Device", device.map(|device| device.alias.clone()).unwrap_or_default()),
        (
            "Way",
            if stream.direction == "transmit" { "sent by this computer".into() } else { "received".into() },
        ),
        ("State", format!("{}  {}", output.state(&stream.state), stream.state_text).trim_end().to_owned()),
        ("Known", stream.origin.clone()),
        ("Format", format_of(stream)),
        (
            "Packets",
            if stream.packet_frames == 0 {
                String::new()
            } else {
                format!("{} frames ({packet} ms)", stream.packet_frames)
            },
        ),
        ("Channels", labels.join(", ")),
        ("Address", address_of(stream)),
        ("Clock", format!("{}  {}", stream.clock_relation, stream.clock_text).trim_end().to_owned()),
        ("Reference", stream.reference_clock.clone()),
        ("Read", stream.mode.clone()),
        (
            "Latency",
            if stream.rate_hz == 0 {
                String::new()
            } else {
                format!("{} frames ({ms:.2} ms)", stream.latency_frames)
            },
        ),
        ("Links", stream.links.to_string()),
        ("Heard on", stream.heard_on.join(", ")),
        ("Found by", stream.found_by.join(", ")),
        ("Node", stream.node_name.clone()),
        ("Remarks", stream.warnings.join("\n")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_have_units_and_suit_the_direction() {
        let stream = |way: &str| StreamInfo { direction: way.into(), ..StreamInfo::default() };
        for (name, value, received, sent) in [
            ("packets", 7, Some("7 packets"), Some("7 packets")),
            ("lost", 0, Some("0 packets"), Some("0 packets")),
            ("gap-frames", 48, Some("48 frames"), None),
            ("gaps", 1, Some("1"), None),
            ("margin", -3, Some("-3 frames"), None),
            ("peak", 500_000, Some("-6.0 dBFS"), None),
            ("peak", 0, Some("silence"), None),
            ("age-ms", 12, Some("12 ms"), Some("12 ms")),
        ] {
            for (way, expected) in [("receive", received), ("transmit", sent)] {
                let text = counter_text(&stream(way), name, value);
                assert_eq!(text.as_deref(), expected, "{name} {way}");
            }
        }
    }
}
