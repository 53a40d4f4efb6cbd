//! Text for people: columns that fit 80 characters, colour where it helps, JSON for programs.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use crate::failure::Failure;

/// Version of the JSON documents; wireloom(1) describes them.
pub const SCHEMA: u32 = 1;
const WIDTH: usize = 80;

#[derive(Debug, clap::Args)]
pub struct Output {
    /// Print one JSON document instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// Print without colour
    #[arg(long, global = true)]
    no_color: bool,
}

impl Output {
    /// Prints `value` as one JSON document with `schema` in front.
    pub fn print_json(&self, mut value: Value) -> Result<(), Failure> {
        if let Some(object) = value.as_object_mut() {
            object.insert("schema".to_owned(), SCHEMA.into());
        }
        self.line(&value.to_string())
    }

    /// A bar of a thousand parts behind `text`, for whoever waits at a terminal.
    pub fn bar(&self, text: &str) -> ProgressBar {
        let bar = if self.json { ProgressBar::hidden() } else { ProgressBar::new(1000) };
        if let Ok(style) = ProgressStyle::with_template(&format!("{text} {{bar:30}} {{wide_msg}}")) {
            bar.set_style(style);
        }
        bar
    }

    /// Prints one line; a reader that went away is not worth a message.
    pub fn line(&self, text: &str) -> Result<(), Failure> {
        match writeln!(std::io::stdout(), "{text}") {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
            Err(error) => Err(Failure::Failed(format!("cannot print: {error}"))),
            Ok(()) => Ok(()),
        }
    }

    /// Prints columns under `heads`; the first column gives way when a line would be too long.
    pub fn table(&self, heads: &[&str], rows: &[Vec<String>]) -> Result<(), Failure> {
        let columns = heads.len();
        let width_of = |column: usize| {
            let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
            cells.chain([heads.get(column).map_or(0, |head| head.len())]).max().unwrap_or(0)
        };
        let mut widths: Vec<usize> = (0..columns).map(width_of).collect();
        let total: usize = widths.iter().sum::<usize>() + 2 * columns.saturating_sub(1);
        if let Some(first) = widths.first_mut() {
            *first = first.saturating_sub(total.saturating_sub(WIDTH)).max(12);
        }
        let line = |cells: &[String]| {
            let padded =
                cells.iter().zip(&widths).map(|(cell, width)| format!("{:<width$}", cut(cell, *width)));
            padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        let heads: Vec<String> = heads.iter().map(|head| (*head).to_owned()).collect();
        self.line(&self.paint("1", &line(&heads)))?;
        rows.iter().try_for_each(|row| self.line(&self.paint_state(&line(row), row)))
    }

    /// Prints `name: value` lines; empty values are left out.
    pub fn fields(&self, fields: &[(&str, String)]) -> Result<(), Failure> {
        let width = fields.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
            for (number, part) in value.lines().enumerate() {
                let name = if number == 0 { format!("{name}:") } else { String::new() };
                self.line(&format!("{} {part}", self.paint("1", &format!("{name:<0$}", width + 1))))?;
            }
        }
        Ok(())
    }

    /// `text` in the colour of the state in it.
    pub fn state(&self, state: &str) -> String {
        self.paint(color(state), state)
    }

    fn paint_state(&self, line: &str, row: &[String]) -> String {
        match row.iter().find(|cell| color(cell) != "0") {
            Some(state) => line.replacen(state.as_str(), &self.paint(color(state), state), 1),
            None => line.to_owned(),
        }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        let plain = self.no_color
            || code == "0"
            || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || !std::io::stdout().is_terminal();
        if plain { text.to_owned() } else { format!("\x1b[{code}m{text}\x1b[0m") }
    }
}

/// Colour of a state word; "0" for anything else.
fn color(word: &str) -> &'static str {
    match word {
        "running" | "locked" | "leader" | "receiving" | "ok" => "32",
        "warning" | "waiting" | "silent" | "pending" | "connecting" | "degraded" | "holdover"
        | "tracking" | "acquiring" => "33",
        "failed" | "error" | "offline" | "gone" | "lost" => "31",
        "hidden" | "unknown" => "2",
        _ => "0",
    }
}

/// At most `width` characters of `text`, with an ellipsis where it was cut.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// How much of a wait is over, in thousandths.
pub fn part(passed: Duration, all: Duration) -> u64 {
    (passed.as_secs_f64() / all.as_secs_f64().max(f64::MIN_POSITIVE) * 1000.0).min(1000.0) as u64
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn long_names_are_cut_visibly() {
        assert_eq!(cut("Drums", 5), "Drums");
        assert_eq!(cut("Drum kit", 5), "Drum…");
        assert_eq!(cut("Trömmel", 7), "Trömmel");
    }
}
