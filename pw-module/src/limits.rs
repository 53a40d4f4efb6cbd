//! How much of the daemon's descriptors may be used.

/// Descriptors that are left to the daemon whatever we are asked for.
const RESERVE: u64 = 256;

/// Whether `needed` more descriptors leave the daemon its reserve; says so in words if not.
pub(crate) fn descriptors_suffice(needed: u64) -> Result<(), String> {
    match free_descriptors() {
        Some(free) => suffices(free, needed),
        None => Ok(()),
    }
}

/// Whether `free` descriptors suffice for `needed` and the reserve.
fn suffices(free: u64, needed: u64) -> Result<(), String> {
    if free < RESERVE + needed {
        return Err(format!("PipeWire has only {free} file descriptors left, and needs them for programs"));
    }
    Ok(())
}

/// Descriptors that this process may still open; `None` where that cannot be told.
fn free_descriptors() -> Option<u64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find(|line| line.starts_with("Max open files"))?;
    let limit: u64 = line.split_ascii_whitespace().nth(3)?.parse().ok()?;
    let used = std::fs::read_dir("/proc/self/fd").ok()?.count() as u64;
    Some(limit.saturating_sub(used))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_the_limit_is_never_enough() {
        assert!(descriptors_suffice(u64::from(u32::MAX)).is_err());
        // Nor is what would touch the 256 that are the daemon's.
        for (free, needed, suffice) in [(260, 4, true), (259, 4, false), (256, 1, false), (4, 4, false)] {
            assert_eq!(suffices(free, needed).is_ok(), suffice, "{needed} of {free}");
        }
    }
}
