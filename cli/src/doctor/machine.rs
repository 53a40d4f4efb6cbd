//! Whether PipeWire gets the processor when it needs it.

use super::Finding;
use super::processes::{Process, daemons, named};
use super::root::Root;

/// `SCHED_FIFO` and `SCHED_RR` (sched.h).
const REAL_TIME: [&str; 2] = ["1", "2"];
/// Where the scheduling policy is after the name in `/proc/PID/stat` (proc(5), field 41).
const POLICY: usize = 38;

pub fn look(root: &Root, processes: &[Process]) -> Vec<Finding> {
    let mut found = daemons(processes).peekable();
    let limit = limit(root, "Max realtime priority");
    let advice = "install rtkit, or allow it: a line \"@audio - rtprio 95\" in /etc/security/limits.d/audio.conf, \
                  and be in the group audio";
    let real_time = if found.peek().is_none() {
        match limit {
            Some(0) | None if named(processes, "rtkit-daemon").next().is_none() => {
                Finding::warning("real-time", "Nothing here may have real-time priority.").advise(advice)
            }
            _ => Finding::ok("real-time", "Programs of this user may have real-time priority."),
        }
    } else if found.any(|daemon| is_real_time(root, daemon)) {
        Finding::ok("real-time", "PipeWire's audio thread has real-time priority.")
    } else {
        Finding::warning(
            "real-time",
            "PipeWire's audio thread has no real-time priority: expect dropouts under load.",
        )
        .advise(advice)
    };
    vec![real_time, memory(root)]
}

/// Whether any thread of `process` is scheduled in real time.
fn is_real_time(root: &Root, process: &Process) -> bool {
    let tasks = format!("proc/{}/task", process.id);
    root.names(&tasks).iter().any(|task| {
        let stat = root.line(&format!("{tasks}/{task}/stat")).unwrap_or_default();
        // The name may contain anything but ends at the last bracket.
        let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
        after.split_whitespace().nth(POLICY).is_some_and(|policy| REAL_TIME.contains(&policy))
    })
}

fn memory(root: &Root) -> Finding {
    match limit(root, "Max locked memory") {
        Some(bytes) if bytes < 1 << 20 => {
            Finding::warning("memory", format!("Only {} kB may be locked in memory.", bytes / 1024))
                .advise("a line \"@audio - memlock 262144\" in /etc/security/limits.d/audio.conf")
        }
        Some(_) => Finding::ok("memory", "Enough may be locked in memory."),
        None => Finding::unknown("memory", "The limits of this user cannot be read."),
    }
}

/// The soft limit of `name`; unlimited is the largest number.
fn limit(root: &Root, name: &str) -> Option<u64> {
    let text = root.text("proc/self/limits")?;
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    match rest.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}
