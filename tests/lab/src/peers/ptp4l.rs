//! ptp4l: a PTP leader and follower that never touches the machine's clock.

use std::fmt::Write as _;

use crate::host::Host;
use crate::process::Process;

/// How a ptp4l takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// May lead; the lower the priority, the better.
    Leader {
        /// `priority1`.
        priority: u8,
    },
    /// Never leads.
    Follower,
    /// Never leads, and asks the leader alone for the path delay instead of everybody.
    HybridFollower,
}

/// Starts ptp4l on the host's `eth0`: software timestamps, end-to-end delay, an Announce a second, eight Sync.
pub fn start(host: &Host, domain: u8, role: Role) -> anyhow::Result<Process> {
    // free_running: a follower would otherwise steer the clock of the machine that the studio runs on.
    let mut text = format!(
        "[global]\n\
         domainNumber {domain}\n\
         free_running 1\n\
         freq_est_interval 0\n\
         time_stamping software\n\
         delay_mechanism E2E\n\
         network_transport UDPv4\n\
         logAnnounceInterval 0\n\
         logSyncInterval -3\n\
         logMinDelayReqInterval -3\n\
         summary_interval -3\n\
         uds_address {}\n",
        host.directory().join("ptp4l.sock").display(),
    );
    let _ = match role {
        Role::Leader { priority } => writeln!(text, "priority1 {priority}"),
        Role::Follower => writeln!(text, "slaveOnly 1\npriority1 200"),
        Role::HybridFollower => writeln!(text, "slaveOnly 1\npriority1 200\nhybrid_e2e 1"),
    };
    let file = host.directory().join("ptp4l.conf");
    std::fs::write(&file, text)?;
    host.spawn("ptp4l", ["-f".as_ref(), file.as_os_str(), "-i".as_ref(), "eth0".as_ref(), "-m".as_ref()])
}

/// The offsets from its leader that a follower has printed, in nanoseconds, oldest first.
pub fn offsets(log: &str) -> Vec<f64> {
    let offset = |line: &str| line.split_once("master offset")?.1.split_whitespace().next()?.parse().ok();
    log.lines().filter_map(offset).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_read_from_what_it_prints() {
        let log = "ptp4l[1.2]: selected best master clock 00005e.fffe.005301\n\
                   ptp4l[1.3]: master offset       -123 s0 freq      +0 path delay      1234\n\
                   ptp4l[1.4]: master offset         45 s0 freq      +0 path delay      1230\n";
        assert_eq!(offsets(log), [-123.0, 45.0]);
    }
}
