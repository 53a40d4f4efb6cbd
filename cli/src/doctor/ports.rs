//! Who has the UDP ports that the network needs.

use super::Finding;
use super::processes::Process;
use super::root::Root;

/// Port, what it is for, who may have it, and whether sound fails when somebody else has.
const PORTS: [(u16, &str, &[&str]); 5] = [
    (319, "PTP", &["wireloom-clock"]),
    (320, "PTP", &["wireloom-clock"]),
    (5004, "audio", &["pipewire", "wireloom-agent"]),
    (9875, "announcements", &["wireloom-agent", "pipewire"]),
    (5353, "DNS-SD", &["wireloom-agent", "avahi-daemon", "systemd-resolve"]),
];

pub fn look(root: &Root, processes: &[Process]) -> Vec<Finding> {
    let sockets = sockets(root);
    let mut findings = Vec::new();
    for (port, what, friends) in PORTS {
        let inodes: Vec<&str> =
            sockets.iter().filter(|(bound, _)| *bound == port).map(|(_, inode)| inode.as_str()).collect();
        let owners = owners(root, processes, &inodes);
        let strangers: Vec<&str> =
            owners.iter().filter(|owner| !friends.contains(&owner.as_str())).map(String::as_str).collect();
        // Browsers ask by DNS-SD too; who has the port beside us shares it.
        let is_shared = port == 5353 && owners.iter().any(|owner| owner == "wireloom-agent");
        if !strangers.is_empty() && !is_shared {
            let text = format!("UDP port {port} ({what}) is used by {}.", strangers.join(", "));
            let advice = if what == "PTP" {
                "stop it, or let it serve the time: wireloom-clock(8)"
            } else {
                "both work if it shares the port; if not, stop it"
            };
            findings.push(Finding::warning("ports", text).advise(advice));
        } else if owners.is_empty()
            && !inodes.is_empty()
            && friends.iter().all(|friend| !processes.iter().any(|process| process.name == *friend))
        {
            let text = format!("UDP port {port} ({what}) is used by a program of another user.");
            findings.push(
                Finding::warning("ports", text).advise(format!("ss -ulpn sport = :{port} (as root) tells")),
            );
        }
    }
    if findings.is_empty() {
        let list: Vec<String> = PORTS.iter().map(|(port, ..)| port.to_string()).collect();
        findings.push(Finding::ok("ports", format!("Nobody else has UDP {}.", list.join(", "))));
    }
    findings
}

/// Port and inode of every UDP socket.
fn sockets(root: &Root) -> Vec<(u16, String)> {
    let text = ["proc/net/udp", "proc/net/udp6"].map(|file| root.text(file).unwrap_or_default()).concat();
    let socket = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (_, port) = words.get(1)?.rsplit_once(':')?;
        Some((u16::from_str_radix(port, 16).ok()?, (*words.get(9)?).to_owned()))
    };
    text.lines().filter_map(socket).collect()
}

/// Names of the programs that have these sockets, as far as this user may know.
fn owners(root: &Root, processes: &[Process], inodes: &[&str]) -> Vec<String> {
    if inodes.is_empty() {
        return Vec::new();
    }
    let wanted: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let has = |process: &&Process| {
        let folder = format!("proc/{}/fd", process.id);
        let mut links = root.names(&folder).into_iter().filter_map(|fd| root.link(&format!("{folder}/{fd}")));
        links.any(|link| wanted.contains(&link))
    };
    let mut names: Vec<String> = processes.iter().filter(has).map(|process| process.name.clone()).collect();
    names.sort();
    names.dedup();
    names
}
