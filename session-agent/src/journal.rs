//! What can be read of the agent afterwards: in the journal with fields of its own, else on standard error.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;

use tracing::info;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt, registry};
use wireloom_units::Nanos;

use crate::side_by_side::differing;
use crate::view::{Condition, RouteView, StreamView, World};

/// Lines go where standard error goes, and to the journal with their fields when that is the journal.
pub fn start() {
    let filter = EnvFilter::try_from_env("WIRELOOM_LOG");
    let filter = filter.unwrap_or_else(|_| EnvFilter::new("info,zbus=warn"));
    let is_journal = is_journal();
    let journal = is_journal.then(tracing_journald::layer).and_then(Result::ok);
    let journal = journal.map(|layer| layer.with_field_prefix(Some("WIRELOOM".to_owned())));
    let plain = journal.is_none().then(|| {
        let plain = fmt::layer().with_writer(std::io::stderr).with_target(false);
        let plain = if std::io::stderr().is_terminal() { plain } else { plain.with_ansi(false) };
        // A journal that takes lines only has the time of each.
        if is_journal { plain.without_time().boxed() } else { plain.boxed() }
    });
    registry().with(filter).with(journal).with(plain).init();
}

/// Whether standard error is the stream that systemd connected with the journal (systemd.exec(5)).
fn is_journal() -> bool {
    let stream = std::env::var("JOURNAL_STREAM").ok();
    let file = std::fs::metadata("/proc/self/fd/2").ok();
    stream.zip(file).is_some_and(|(stream, file)| stream == format!("{}:{}", file.dev(), file.ino()))
}

/// How many lines about streams that nobody uses are told at once; one more may be told each second.
const LINES: u64 = 100;

/// Lines that must have been saved up before one is told after a flood.
const REST: u64 = 10;

/// Tells states in the journal: all of them, but for those of streams that come and go faster than anybody reads.
#[derive(Debug)]
pub struct Journal {
    /// What is told from, in a thousandth of a line.
    budget: u64,
    refilled: Nanos,
    /// Streams whose change was not told.
    untold: u64,
}

impl Journal {
    pub const fn new() -> Self {
        Self { budget: LINES * 1000, refilled: Nanos(0), untold: 0 }
    }

    /// Logs every state that is another one in `new` than in `old`. A flood of streams is told by its number, which calls
    /// without any change tell too.
    pub fn tell(&mut self, now: Nanos, old: &World, new: &World) {
        self.refill(now);
        if differ(&old.manager.condition, &new.manager.condition) {
            info!("{}", sentence("Wireloom", Some(&new.manager.condition)));
        }
        for (stream, condition) in changed(&old.streams, &new.streams, |stream| &stream.condition) {
            let is_ours = stream.links > 0 || stream.pinned || stream.origin == "own";
            if !is_ours && !self.may_tell(now) {
                self.untold += 1;
                continue;
            }
            let device = Some(stream.device.as_str()).filter(|device| !device.is_empty());
            info!(stream = stream.id, device, "{}", sentence(name_of(stream), condition));
        }
        for (route, condition) in changed(&old.routes, &new.routes, |route| &route.condition) {
            let RouteView { source_name, sink_name, .. } = route;
            info!(route = route.id, "{}", sentence(&format!("{source_name} to {sink_name}"), condition));
        }
    }

    /// Whether there is a line for a stream that nobody uses; takes it.
    fn may_tell(&mut self, now: Nanos) -> bool {
        self.refill(now);
        let may = self.budget >= 1000 && self.untold == 0;
        self.budget -= if may { 1000 } else { 0 };
        may
    }

    /// Counts the lines that time brought. Says how many states were not told when the flood is over.
    fn refill(&mut self, now: Nanos) {
        let since = now.0.saturating_sub(self.refilled.0) / 1_000_000;
        self.budget = (self.budget + since).min(LINES * 1000);
        self.refilled = Nanos(self.refilled.0 + since * 1_000_000);
        if self.untold > 0 && self.budget >= REST * 1000 {
            info!("{} states of streams that nobody uses are not told: they came too fast", self.untold);
            self.untold = 0;
        }
    }
}

fn name_of(stream: &StreamView) -> &str {
    if stream.alias.is_empty() { &stream.name } else { &stream.alias }
}

fn sentence(what: &str, now: Option<&Condition>) -> String {
    match now {
        None => format!("{what} is gone"),
        Some(now) if now.text.is_empty() => format!("{what} is {}", now.state),
        Some(now) => format!("{what} is {}: {}", now.state, now.text),
    }
}

fn differ(one: &Condition, other: &Condition) -> bool {
    (one.state, one.reason) != (other.state, other.reason)
}

/// What is another one now, with its condition; what went, without.
fn changed<'a, T>(
    old: &'a BTreeMap<String, Arc<T>>,
    new: &'a BTreeMap<String, Arc<T>>,
    condition: impl Fn(&'a T) -> &'a Condition,
) -> Vec<(&'a T, Option<&'a Condition>)> {
    let told = |(_, before, now): (_, Option<&'a Arc<T>>, Option<&'a Arc<T>>)| match (before, now) {
        (Some(before), Some(now)) if !differ(condition(before), condition(now)) => None,
        (_, Some(now)) => Some((now.as_ref(), Some(condition(now)))),
        (before, None) => before.map(|before| (before.as_ref(), None)),
    };
    differing(old, new).filter_map(told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_not_told_line_by_line() {
        let mut journal = Journal::new();
        let told = |journal: &mut Journal, at: u64, wanted: usize| {
            let lines = (0..wanted).filter(|_| journal.may_tell(Nanos(at * 1_000_000_000))).count();
            journal.untold += (wanted - lines) as u64;
            lines
        };
        assert_eq!(told(&mut journal, 0, 50), 50);
        assert_eq!(told(&mut journal, 0, 1000), 50);
        // In a flood a line now and then would be told of no stream in particular.
        assert_eq!((told(&mut journal, 5, 100), journal.untold), (0, 1050));
        assert_eq!((told(&mut journal, 10, 100), journal.untold), (10, 90));
        assert_eq!((told(&mut journal, 1000, 99), journal.untold), (99, 0));
    }
}
