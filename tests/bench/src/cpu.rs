//! How much CPU time a process uses.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// CPU milliseconds that process `pid` uses in a second, all threads together, measured over `window`.
///
/// A thread that ends meanwhile takes its share with it; a PipeWire daemon's do not.
pub fn milliseconds_a_second(pid: u32, window: Duration) -> Result<f64> {
    let (start, before) = (Instant::now(), nanoseconds(pid)?);
    std::thread::sleep(window);
    let after = nanoseconds(pid)?;
    Ok(after.saturating_sub(before) as f64 / 1e6 / start.elapsed().as_secs_f64())
}

/// CPU milliseconds that process `pid` has used so far, all its threads together.
pub fn milliseconds(pid: u32) -> Result<f64> {
    Ok(nanoseconds(pid)? as f64 / 1e6)
}

/// What the scheduler has counted for all threads (the first number of `schedstat`: nanoseconds on a CPU).
fn nanoseconds(pid: u32) -> Result<u64> {
    let folder = format!("/proc/{pid}/task");
    let mut sum = 0;
    for task in std::fs::read_dir(&folder).with_context(|| folder.clone())? {
        sum += on_cpu(&task?.path().join("schedstat")).unwrap_or(0);
    }
    Ok(sum)
}

fn on_cpu(schedstat: &Path) -> Option<u64> {
    std::fs::read_to_string(schedstat).ok()?.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_works_has_used_time() {
        let before = nanoseconds(std::process::id()).expect("schedstat");
        let mut sum = 0_u64;
        while nanoseconds(std::process::id()).expect("schedstat") == before {
            sum = std::hint::black_box(sum + 1);
        }
    }
}
