//! Steps of a run: shown while they run, timed, counted; the output of a failing one is printed.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::interruption;

/// How many lines of a failing command are shown; the cause is at the end, rarely further up than this.
const SHOWN_LINES: usize = 400;

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// As it should; with a remark (or an empty one).
    Passed(String),
    /// It could not be tried here; why.
    Skipped(String),
    /// It did not; why, in full.
    Failed(String),
}

/// Counts steps and tells how they went.
#[derive(Debug, Default)]
pub struct Steps {
    passed: usize,
    failed: Vec<String>,
    /// What could not be tried, and why.
    skipped: Vec<String>,
    /// How many steps may still be tried again.
    second_tries: usize,
    /// What was tried again.
    tried_again: Vec<String>,
    /// What is shown of those that run.
    shown: MultiProgress,
}

/// A step that runs.
#[derive(Debug)]
pub struct Begun {
    name: String,
    start: Instant,
    bar: ProgressBar,
}

impl Steps {
    /// No steps yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// No steps yet, of which so many may be tried again when they fail ([`Steps::end_or_try_again`]).
    pub fn with_second_tries(second_tries: usize) -> Self {
        Self { second_tries, ..Self::default() }
    }

    /// Runs `command` as a step named `name`; returns whether it succeeded.
    pub fn command(&mut self, name: &str, command: &mut Command) -> bool {
        self.command_showing(name, command, |_| false)
    }

    /// Like [`Steps::command`], and prints those lines of output for which `shown` holds.
    pub fn command_showing(
        &mut self,
        name: &str,
        command: &mut Command,
        shown: impl Fn(&str) -> bool,
    ) -> bool {
        self.step(name, |bar| match watch(command, bar, shown) {
            Ok(()) => Outcome::Passed(String::new()),
            Err(error) => Outcome::Failed(format!("{error:#}")),
        })
    }

    /// Runs `work` as a step named `name`; returns whether it did not fail.
    pub fn step(&mut self, name: &str, work: impl FnOnce(&ProgressBar) -> Outcome) -> bool {
        let begun = self.begin(name);
        let outcome = work(&begun.bar);
        self.end(begun, outcome)
    }

    /// Begins a step that runs elsewhere, perhaps beside others; [`Steps::end`] must follow.
    pub fn begin(&mut self, name: &str) -> Begun {
        let bar = self.shown.add(spinner(name));
        if bar.is_hidden() {
            println!("           ..       {name}");
        } else {
            bar.enable_steady_tick(Duration::from_millis(120));
        }
        Begun { name: name.to_owned(), start: Instant::now(), bar }
    }

    /// Counts and prints it; returns whether it did not fail.
    pub fn end(&mut self, begun: Begun, outcome: Outcome) -> bool {
        begun.bar.finish_and_clear();
        self.shown.remove(&begun.bar);
        self.record(&begun.name, begun.start.elapsed(), outcome)
    }

    /// Like [`Steps::end`], but a step that failed for the first time is printed and not counted while there are second
    /// tries left; returns whether it must be run again. What needed one is named at the end of the run, too.
    pub fn end_or_try_again(&mut self, begun: Begun, outcome: Outcome) -> bool {
        match outcome {
            Outcome::Failed(why) if self.second_tries > 0 && !self.tried_again.contains(&begun.name) => {
                self.second_tries -= 1;
                begun.bar.finish_and_clear();
                self.shown.remove(&begun.bar);
                let seconds = begun.start.elapsed().as_secs_f32();
                self.shown.suspend(|| println!("{seconds:>7.1} s  AGAIN    {}\n{why}", begun.name));
                self.tried_again.push(begun.name);
                true
            }
            outcome => {
                self.end(begun, outcome);
                false
            }
        }
    }

    /// Counts and prints a step that has already run elsewhere.
    pub fn record(&mut self, name: &str, took: Duration, outcome: Outcome) -> bool {
        let seconds = took.as_secs_f32();
        let (how, said) = match &outcome {
            Outcome::Passed(remark) => ("ok     ", dash(remark)),
            Outcome::Skipped(why) => ("skipped", dash(why)),
            Outcome::Failed(why) => ("FAILED ", format!("\n{why}")),
        };
        self.shown.suspend(|| println!("{seconds:>7.1} s  {how}  {name}{said}"));
        match outcome {
            Outcome::Passed(_) => self.passed += 1,
            Outcome::Skipped(_) => self.skipped.push(format!("{name}{said}")),
            Outcome::Failed(_) => {
                self.failed.push(name.to_owned());
                return false;
            }
        }
        true
    }

    /// Runs a command that everything after it needs.
    pub fn require(&mut self, name: &str, command: &mut Command) -> anyhow::Result<()> {
        if !self.command(name, command) {
            bail!("{name} failed");
        }
        Ok(())
    }

    /// Prints what was not tried, what failed and the summary line. Errors: any step failed.
    pub fn finish(self) -> anyhow::Result<()> {
        for what in &self.skipped {
            println!("NOT TRIED: {what}");
        }
        for name in &self.tried_again {
            println!("tried again: {name}");
        }
        for name in &self.failed {
            println!("failed: {name}");
        }
        let count = self.skipped.len();
        let skipped = if count == 0 { String::new() } else { format!(", {count} skipped") };
        println!("{} passed, {} failed{skipped}", self.passed, self.failed.len());
        if !self.failed.is_empty() {
            bail!("{} of {} steps failed", self.failed.len(), self.passed + self.failed.len());
        }
        Ok(())
    }
}

fn dash(remark: &str) -> String {
    if remark.is_empty() { String::new() } else { format!("  ({remark})") }
}

fn spinner(name: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{elapsed:>8}  {spinner}        {prefix}  {wide_msg:.dim}");
    let bar = ProgressBar::new_spinner().with_prefix(name.to_owned());
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Runs a command to its end; its last line of output is the message of `bar`. Errors: carry the output.
fn watch(command: &mut Command, bar: &ProgressBar, shown: impl Fn(&str) -> bool) -> anyhow::Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let (reader, writer) = std::io::pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let child = interruption::spawn(command).with_context(|| format!("starting {program}"))?;
    // The command holds the writing end; as long as it does the loop below would never see the end of the output.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut lines = std::collections::VecDeque::new();
    for line in BufReader::new(reader).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).trim_end().to_owned();
        if shown(&line) {
            bar.suspend(|| println!("{line}"));
        }
        bar.set_message(line.clone());
        if lines.len() == SHOWN_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }
    let status = interruption::wait(child)?;
    if !status.success() {
        bail!("{}\n{program} ended with {status}", Vec::from(lines).join("\n"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_that_run_beside_each_other_are_counted_as_they_end() {
        let mut steps = Steps::new();
        let [first, second, third] = ["a", "b", "c"].map(|name| steps.begin(name));
        assert!(!steps.end(second, Outcome::Failed("why".to_owned())));
        assert!(steps.end(third, Outcome::Passed(String::new())));
        assert!(!steps.end(first, Outcome::Failed("why".to_owned())));
        assert_eq!((steps.passed, &steps.failed[..]), (1, &["b".to_owned(), "a".to_owned()][..]));
        assert!(steps.finish().is_err());
    }

    #[test]
    fn a_failure_is_forgiven_once_and_not_more_often_than_is_allowed() {
        let failed = || Outcome::Failed("why".to_owned());
        let mut steps = Steps::with_second_tries(1);
        let [first, second] = ["a", "b"].map(|name| steps.begin(name));
        assert!(steps.end_or_try_again(first, failed()), "tried again");
        assert!(!steps.end_or_try_again(second, failed()), "no second try is left");
        let again = steps.begin("a");
        assert!(!steps.end_or_try_again(again, Outcome::Passed(String::new())));
        assert_eq!((steps.passed, &steps.failed[..]), (1, &["b".to_owned()][..]));

        let mut steps = Steps::with_second_tries(2);
        for again in [true, false] {
            let begun = steps.begin("a");
            assert_eq!(steps.end_or_try_again(begun, failed()), again, "never a third time");
        }
        assert!(steps.finish().is_err());
    }

    #[test]
    fn what_was_not_tried_is_remembered_and_fails_nothing() {
        let mut steps = Steps::new();
        steps.record("a target", Duration::ZERO, Outcome::Skipped("not installed".to_owned()));
        assert_eq!(steps.skipped, ["a target  (not installed)"]);
        assert!(steps.finish().is_ok());
    }
}
