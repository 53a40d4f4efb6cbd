//! Everything that a run found, as it is kept and as it is shown.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets};
use serde::{Deserialize, Serialize};

use crate::crowd::Crowd;
use crate::hot_paths::Row;
use crate::latency::Latency;
use crate::load::{Load, Measured, Side, Way};
use crate::streams::CHANNELS;
use crate::sustained::Sustained;

/// What one version of PipeWire was measured with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OnPlatform {
    /// PipeWire's version.
    pub version: String,
    /// Every single measurement, in the order in which they were made.
    pub loads: Vec<(Load, Measured)>,
    /// From application to application.
    pub latencies: Vec<Latency>,
    /// For a minute.
    pub sustained: Vec<Sustained>,
    /// What could not be measured, and why.
    pub not_measured: Vec<String>,
}

/// A whole run.
#[derive(Debug, Clone, Serialize, Deserialize, Default)]
pub struct Results {
    /// By version.
    pub platforms: Vec<OnPlatform>,
    /// Instructions of the hot paths.
    pub hot_paths: Vec<Row>,
    /// The agent in a network of many devices.
    pub crowds: Vec<Crowd>,
    /// What could not be measured, and why.
    pub not_measured: Vec<String>,
}

impl Results {
    /// The tables.
    pub fn show(&self) -> String {
        let mut text = String::new();
        for platform in &self.platforms {
            platform.show(&mut text);
        }
        if !self.hot_paths.is_empty() {
            text.push_str("\nInstructions of the hot paths (callgrind)\n");
            let mut table = table(&["path", "format", "channels", "frames", "a packet", "a sample"], 2);
            for row in &self.hot_paths {
                table.add_row([
                    row.path.clone(),
                    row.encoding.clone(),
                    row.channels.to_string(),
                    row.frames.to_string(),
                    format!("{:.0}", row.instructions),
                    format!("{:.2}", row.per_sample),
                ]);
            }
            let _ = writeln!(text, "{table}");
        }
        if !self.crowds.is_empty() {
            text.push_str(&show_crowds(&self.crowds));
        }
        for why in &self.not_measured {
            let _ = writeln!(text, "not measured: {why}");
        }
        text
    }
}

fn show_crowds(crowds: &[Crowd]) -> String {
    let head = [
        "devices",
        "streams",
        "channels",
        "GetManagedObjects ms",
        "KiB",
        "a route change, cpu ms",
        "idle cpu ms/s",
        "memory MiB",
    ];
    let mut table = table(&head, 0);
    for crowd in crowds {
        table.add_row([
            crowd.devices.to_string(),
            crowd.streams.to_string(),
            crowd.channels.to_string(),
            show(Spread::of(crowd.answer_ms.clone())),
            (crowd.answer_bytes >> 10).to_string(),
            show(Spread::of(crowd.route_cpu_ms.clone())),
            format!("{:.1}", crowd.idle_cpu_ms),
            (crowd.resident >> 20).to_string(),
        ]);
    }
    format!("\nThe agent in a network of many devices, median (lowest-highest)\n{table}\n")
}

fn show(spread: Option<Spread>) -> String {
    spread.map_or("-".to_owned(), |s| format!("{:.1} ({:.1}-{:.1})", s.median, s.lowest, s.highest))
}

impl OnPlatform {
    fn show(&self, text: &mut String) {
        let version = &self.version;
        if !self.loads.is_empty() {
            let _ = writeln!(
                text,
                "\nPipeWire {version}: CPU of the daemon in ms a second, median (lowest-highest); streams of {CHANNELS} \
                 channels, L24, 1 ms"
            );
            let head = [
                "way",
                "streams",
                "quantum",
                "ours",
                "PipeWire's",
                "ratio",
                "ours a stream",
                "ours a channel",
            ];
            let mut table = table(&head, 1);
            for row in self.rows() {
                table.add_row(row);
            }
            let _ = writeln!(text, "{table}");
        }
        if !self.latencies.is_empty() {
            let _ =
                writeln!(text, "\nPipeWire {version}: samples from application to application, 1 ms packets");
            let mut table = table(&["side", "quantum", "samples", "ms", "frames that differ"], 1);
            for found in &self.latencies {
                let clean = found.is_clean() || found.side == "ours";
                let samples = found.samples.filter(|_| clean);
                table.add_row([
                    found.side.clone(),
                    found.quantum.to_string(),
                    samples.map_or("no steady sound".to_owned(), |samples| samples.to_string()),
                    samples.map_or(String::new(), |samples| format!("{:.2}", samples as f64 / 48.0)),
                    found.other.to_string(),
                ]);
            }
            let _ = writeln!(text, "{table}");
        }
        if !self.sustained.is_empty() {
            let seconds = self.sustained[0].seconds;
            let _ = writeln!(text, "\nPipeWire {version}: {seconds:.0} s of reception");
            let head = [
                "side",
                "streams",
                "cpu ms/s",
                "taken",
                "sent",
                "dropped by kernel",
                "lost",
                "late",
                "gaps",
                "gap ms",
                "worst timer ms",
            ];
            let mut table = table(&head, 1);
            for found in &self.sustained {
                let counted = |value: fn(&crate::sustained::Counted) -> u64| {
                    found.counted.as_ref().map_or("?".to_owned(), |counted| value(counted).to_string())
                };
                table.add_row([
                    side(found.load.side).to_owned(),
                    found.load.streams.to_string(),
                    format!("{:.0}", found.cpu_ms),
                    found.taken.to_string(),
                    format!("{:.0}", found.load.streams as f64 * 1000.0 * found.seconds),
                    found.dropped.to_string(),
                    counted(|counted| counted.lost),
                    counted(|counted| counted.late),
                    counted(|counted| counted.gaps),
                    counted(|counted| counted.gap_frames / 48),
                    format!("{:.0}", found.worst_timer_ms),
                ]);
            }
            let _ = writeln!(text, "{table}");
        }
        for why in &self.not_measured {
            let _ = writeln!(text, "PipeWire {version}: not measured: {why}");
        }
    }

    fn rows(&self) -> Vec<[String; 8]> {
        let mut loads: Vec<Load> = Vec::new();
        for (load, _) in self.loads.iter().filter(|(load, _)| load.side != Side::Theirs) {
            if !loads.contains(load) {
                loads.push(*load);
            }
        }
        loads.iter().map(|load| self.row(load)).collect()
    }

    fn row(&self, load: &Load) -> [String; 8] {
        let (ours, theirs) = (self.cpu(load), self.cpu(&Load { side: Side::Theirs, ..*load }));
        let ratio = ours.zip(theirs).map(|(ours, theirs)| format!("{:.2}", ours.median / theirs.median));
        let share =
            |parts: usize| ours.map_or(String::new(), |ours| format!("{:.2}", ours.median / parts as f64));
        let way = match (load.way, load.side) {
            (Way::Receive, Side::OursResampled) => "receive, resampled",
            (Way::Receive, _) => "receive",
            (Way::Transmit, _) => "transmit",
        };
        [
            way.to_owned(),
            load.streams.to_string(),
            load.quantum.to_string(),
            show(ours),
            show(theirs),
            ratio.unwrap_or_default(),
            share(load.streams),
            share(load.streams * CHANNELS),
        ]
    }

    fn cpu(&self, load: &Load) -> Option<Spread> {
        let found = self.loads.iter().filter(|(other, _)| other == load);
        Spread::of(found.map(|(_, measured)| measured.cpu_ms).collect())
    }
}

#[derive(Debug, Clone, Copy)]
struct Spread {
    median: f64,
    lowest: f64,
    highest: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (lowest, highest) = (*values.first()?, *values.last()?);
        let middle = |at: usize| values.get(at).copied();
        let median = (middle((values.len() - 1) / 2)? + middle(values.len() / 2)?) / 2.0;
        Some(Self { median, lowest, highest })
    }
}

fn side(side: Side) -> &'static str {
    if side == Side::Theirs { "PipeWire's" } else { "ours" }
}

fn table(head: &[&str], words: usize) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(head);
    for column in table.column_iter_mut().skip(words) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_stands_between_the_ends() {
        let spread = Spread::of(vec![3.0, 1.0, 2.0, 10.0]).expect("not empty");
        assert_eq!((spread.lowest, spread.median, spread.highest), (1.0, 2.5, 10.0));
        assert!(Spread::of(Vec::new()).is_none());
    }

    #[test]
    fn a_row_compares_what_carried_the_same_load() {
        let load = |side| Load { side, way: Way::Receive, streams: 4, quantum: 256 };
        let measured = |cpu_ms| Measured { cpu_ms, packets: 4000.0, dropped: 0 };
        let platform = OnPlatform {
            version: "1.2.3".to_owned(),
            loads: vec![(load(Side::Ours), measured(16.0)), (load(Side::Theirs), measured(64.0))],
            latencies: Vec::new(),
            sustained: Vec::new(),
            not_measured: Vec::new(),
        };
        let [_, _, _, ours, theirs, ratio, stream, channel] = platform.row(&load(Side::Ours));
        assert_eq!((ours.as_str(), theirs.as_str()), ("16.0 (16.0-16.0)", "64.0 (64.0-64.0)"));
        assert_eq!((ratio.as_str(), stream.as_str(), channel.as_str()), ("0.25", "4.00", "0.50"));
    }
}
