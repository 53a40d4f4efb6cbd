//! `wireloom selftest`: sends a signal through this computer's own network stack and says what came of it.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::failure::Failure;
use crate::output::Output;

/// Who speaks to PipeWire for us.
const HELPER: &str = "wireloom-selftest";
/// What the test may take beside what is measured.
const SLACK: Duration = Duration::from_secs(60);

#[derive(Debug, clap::Args)]
pub struct Selftest {
    /// Number of channels
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    channels: u32,
    /// Sample rate in hertz; the graph's
    #[arg(long, value_name = "HZ", default_value_t = 48_000, value_parser = clap::value_parser!(u32).range(44_100..=192_000))]
    rate: u32,
    /// Frames in a cycle that the graph is asked for
    #[arg(long, value_name = "FRAMES", default_value_t = 128, value_parser = clap::value_parser!(u32).range(16..=8192))]
    quantum: u32,
    /// Seconds that are measured
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=300))]
    duration: u64,
    /// Network interface to go by
    #[arg(long, value_name = "NAME", default_value = "lo")]
    interface: String,
}

impl Selftest {
    /// Errors: nothing was heard, or not every sample was right.
    pub async fn run(self, output: &Output) -> Result<(), Failure> {
        let mut command = tokio::process::Command::new(helper()?);
        for (option, value) in [
            ("channels", u64::from(self.channels)),
            ("rate", u64::from(self.rate)),
            ("quantum", u64::from(self.quantum)),
            ("duration", self.duration),
        ] {
            command.arg(format!("--{option}={value}"));
        }
        command.arg(format!("--interface={}", self.interface));
        command.stdin(Stdio::null()).kill_on_drop(true);
        let limit = Duration::from_secs(self.duration) + SLACK;
        let run = tokio::time::timeout(limit, command.output()).await;
        let run = run.map_err(|_| Failure::Timeout("the test did not come to an end".to_owned()))?;
        let run = run.map_err(|error| Failure::Failed(format!("cannot run {HELPER}: {error}")))?;
        if !run.status.success() {
            let said = String::from_utf8_lossy(&run.stderr);
            let said = said.lines().find_map(|line| line.strip_prefix("Error: ")).unwrap_or("it ended early");
            return Err(Failure::Failed(said.to_owned()));
        }
        let document: Value = serde_json::from_slice(&run.stdout)
            .map_err(|error| Failure::Failed(format!("{HELPER} said something strange: {error}")))?;
        let verdict = judge(&document);
        if output.json {
            output.print_json(document)?;
        } else {
            output.line(&describe(&document))?;
        }
        match verdict {
            None => output_ok(output),
            Some(bad) => Err(Failure::Failed(bad)),
        }
    }
}

fn output_ok(output: &Output) -> Result<(), Failure> {
    if output.json { Ok(()) } else { output.line(&output.state("ok")) }
}

fn number(document: &Value, key: &str) -> u64 {
    document[key].as_u64().unwrap_or(0)
}

/// What was wrong; nothing when all was right.
fn judge(document: &Value) -> Option<String> {
    let (lost, wrong) = (number(document, "lost"), number(document, "wrong"));
    if number(document, "frames") == 0 {
        return Some("nothing was heard".to_owned());
    }
    let first = document["first_bad"].as_object()?;
    let at = |key: &str| first.get(key).and_then(Value::as_u64).unwrap_or(0);
    Some(format!(
        "the first bad sample is in frame {} of channel {}; {lost} frames were silent, {wrong} wrong",
        at("frame"),
        at("channel") + 1
    ))
}

fn describe(document: &Value) -> String {
    let (latency, rate) = (number(document, "latency_frames"), number(document, "rate_hz").max(1));
    format!(
        "{} frames heard, {} lost, {} wrong; latency {latency} frames ({:.2} ms) at a quantum of {}.",
        number(document, "frames"),
        number(document, "lost"),
        number(document, "wrong"),
        latency as f64 * 1000.0 / rate as f64,
        number(document, "quantum")
    )
}

/// Beside this program as cargo builds them, or where it is installed.
fn helper() -> Result<PathBuf, Failure> {
    let here = std::env::current_exe().map_err(|error| Failure::Failed(format!("where am I? {error}")))?;
    let installed =
        here.parent().and_then(|bin| bin.parent()).map(|prefix| prefix.join("libexec").join(HELPER));
    let found =
        [Some(here.with_file_name(HELPER)), installed].into_iter().flatten().find(|path| path.exists());
    found.ok_or_else(|| Failure::Failed(format!("{HELPER} is not installed")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_bad_sample_is_named_as_people_count() {
        let good = json!({ "frames": 480, "lost": 0, "wrong": 0, "latency_frames": 240, "rate_hz": 48_000,
            "quantum": 64, "first_bad": null });
        assert_eq!(judge(&good), None);
        assert_eq!(
            describe(&good),
            "480 frames heard, 0 lost, 0 wrong; latency 240 frames (5.00 ms) at a quantum of 64."
        );
        let mut bad = good.clone();
        (bad["lost"], bad["first_bad"]) = (json!(48), json!({ "frame": 96, "channel": 0 }));
        let text = judge(&bad).expect("it is bad");
        assert!(text.contains("frame 96 of channel 1") && text.contains("48 frames were silent"), "{text}");
        let silent = json!({ "frames": 0, "first_bad": null });
        assert_eq!(judge(&silent).as_deref(), Some("nothing was heard"));
    }
}
