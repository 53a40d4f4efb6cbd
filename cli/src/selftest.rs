//! `wireloom selftest`: sends a signal through this computer's own network stack and says what came of it.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::{self, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::process::{Child, Command};

use crate::failure::Failure;
use crate::output::{Output, part};

/// Who speaks to PipeWire for us.
const HELPER: &str = "wireloom-selftest";
/// What the test may take beside what is measured.
const SLACK: Duration = Duration::from_secs(60);
/// What it may take to take its nodes back.
const GRACE: Duration = Duration::from_secs(3);
/// How often the bar moves.
const STEP: Duration = Duration::from_millis(100);
/// Where the build installs programs that nobody calls by hand.
const INSTALLED: Option<&str> = option_env!("WIRELOOM_LIBEXECDIR");

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
        let mut command = Command::new(helper()?);
        for (option, value) in [
            ("channels", u64::from(self.channels)),
            ("rate", u64::from(self.rate)),
            ("quantum", u64::from(self.quantum)),
            ("duration", self.duration),
        ] {
            command.arg(format!("--{option}={value}"));
        }
        command.arg(format!("--interface={}", self.interface));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let cannot = |error| Failure::Failed(format!("cannot run {HELPER}: {error}"));
        let child = command.spawn().map_err(cannot)?;
        let run = self.wait(child, output).await?.map_err(cannot)?;
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

impl Selftest {
    /// Waits for the test to end, and has it end when it takes too long.
    async fn wait(&self, child: Child, output: &Output) -> Result<io::Result<process::Output>, Failure> {
        let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let duration = Duration::from_secs(self.duration);
        let bar = output.bar("Listening to the signal");
        let (mut run, begun) = (pin!(child.wait_with_output()), Instant::now());
        while begun.elapsed() < duration + SLACK {
            if let Ok(run) = tokio::time::timeout(STEP, &mut run).await {
                return Ok(run);
            }
            bar.set_position(part(begun.elapsed(), duration));
            bar.set_message(format!(
                "{} of {} s",
                begun.elapsed().as_secs().min(self.duration),
                self.duration
            ));
        }
        // It takes its nodes back when it is asked to end; killed, as it is in the end, it cannot.
        if let Some(id) = id {
            let _ = kill_process(id, Signal::TERM); // it may have ended
            let _ = tokio::time::timeout(GRACE, run).await;
        }
        Err(Failure::Timeout("the test did not come to an end".to_owned()))
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

fn helper() -> Result<PathBuf, Failure> {
    let here = std::env::current_exe().map_err(|error| Failure::Failed(format!("where am I? {error}")))?;
    let found = places(&here, INSTALLED).find(|path| path.exists());
    found.ok_or_else(|| Failure::Failed(format!("{HELPER} is not installed")))
}

/// Beside this program as cargo builds them, where it was to be installed, or where it usually is.
fn places(here: &Path, installed: Option<&str>) -> impl Iterator<Item = PathBuf> {
    let usual = here.parent().and_then(Path::parent).map(|prefix| prefix.join("libexec"));
    let folders = [here.parent().map(Path::to_owned), installed.map(PathBuf::from), usual];
    folders.into_iter().flatten().map(|folder| folder.join(HELPER))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_helper_is_where_the_build_installs_it() {
        let found = |installed| {
            let paths = places(Path::new("/opt/w/bin/wireloom"), installed);
            paths.map(|path| path.display().to_string()).collect::<Vec<_>>()
        };
        let (beside, usual) = ("/opt/w/bin/wireloom-selftest", "/opt/w/libexec/wireloom-selftest");
        assert_eq!(found(None), [beside, usual]);
        assert_eq!(found(Some("/opt/w/lib")), [beside, "/opt/w/lib/wireloom-selftest", usual]);
    }

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
