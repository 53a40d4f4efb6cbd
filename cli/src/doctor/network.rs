//! Interfaces, the way of multicast, filters.

use wireloom_dbus::Snapshot;

use super::Finding;
use super::filter::{self, Ruleset};
use super::querier::{self, Listening};
use super::root::Root;

/// `IFF_UP`, `IFF_LOOPBACK`, `IFF_POINTOPOINT` and `IFF_MULTICAST` (linux/if.h).
const UP: i64 = 0x1;
const LOOPBACK: i64 = 0x8;
const POINT_TO_POINT: i64 = 0x10;
const MULTICAST: i64 = 0x1000;
/// `ARPHRD_ETHER` (linux/if_arp.h).
const ETHERNET: i64 = 1;

/// An interface that can carry audio, as the kernel shows it.
struct Interface {
    name: String,
    up: bool,
    /// `ptp0`, when it stamps packets in hardware.
    phc: Option<String>,
}

/// Interfaces on which a querier may be heard.
pub fn up(root: &Root) -> Vec<String> {
    interfaces(root).into_iter().filter(|interface| interface.up).map(|interface| interface.name).collect()
}

pub fn look(root: &Root, snapshot: &Snapshot, ruleset: &Ruleset, listening: &Listening) -> Vec<Finding> {
    let all = interfaces(root);
    let mut findings = vec![usable(&all, snapshot)];
    let used: Vec<&Interface> = all
        .iter()
        .filter(|interface| interface.up)
        .filter(|interface| {
            let known = snapshot.interfaces.iter().find(|known| known.name == interface.name);
            known.is_none_or(|known| known.used)
        })
        .collect();
    findings.extend(used.iter().map(|interface| stamps(interface)));
    findings.extend(routes(root, &used));
    findings.extend(reverse_path(root, &used));
    findings.extend(used.iter().map(|interface| querier::look(root, &interface.name, listening)));
    findings.extend(bridges(root));
    let interface = used.first().map_or("eth0", |interface| interface.name.as_str());
    findings.push(filter::look(root, ruleset, interface));
    findings
}

fn interfaces(root: &Root) -> Vec<Interface> {
    let of = |name: String| {
        let file = |file: &str| format!("sys/class/net/{name}/{file}");
        let flags = root.number(&file("flags"))?;
        let suits = root.number(&file("type")) == Some(ETHERNET) && flags & MULTICAST != 0;
        let up = flags & UP != 0 && root.number(&file("carrier")) == Some(1);
        let phc = root.names(&file("device/ptp")).into_iter().next();
        suits.then_some(Interface { up, phc, name })
    };
    root.names("sys/class/net").into_iter().filter_map(of).collect()
}

fn usable(all: &[Interface], snapshot: &Snapshot) -> Finding {
    let up: Vec<&str> = all.iter().filter(|one| one.up).map(|one| one.name.as_str()).collect();
    if up.is_empty() {
        let text = if all.is_empty() {
            "There is no network interface."
        } else {
            "No network interface has a link."
        };
        return Finding::failed("interfaces", text)
            .advise("plug in a cable, or: ip link set NAME up (as root)");
    }
    let refused = snapshot.interfaces.iter().find(|known| known.state_reason == "join-failed");
    if let Some(known) = refused {
        return Finding::failed(
            "interfaces",
            format!("The announcement groups cannot be joined on {}.", known.name),
        )
        .advise(
            "raise net.ipv4.igmp_max_memberships: sysctl -w net.ipv4.igmp_max_memberships=200 (as root)",
        );
    }
    let used: Vec<&str> =
        snapshot.interfaces.iter().filter(|known| known.used).map(|known| known.name.as_str()).collect();
    if !snapshot.interfaces.is_empty() && used.is_empty() {
        let reasons: Vec<String> = snapshot
            .interfaces
            .iter()
            .map(|known| format!("{} ({})", known.name, known.state_reason))
            .collect();
        return Finding::failed("interfaces", format!("None is used: {}.", reasons.join(", ")))
            .advise("wireloom interface --all");
    }
    let names = if used.is_empty() { up } else { used };
    Finding::ok("interfaces", format!("{} can carry audio.", names.join(", ")))
}

fn stamps(interface: &Interface) -> Finding {
    let name = &interface.name;
    match &interface.phc {
        Some(phc) => Finding::ok("timestamps", format!("{name} has a hardware clock, {phc}.")),
        // Most interfaces have none, and what that costs is less than a sample: nobody has to change it.
        None => Finding::ok(
            "timestamps",
            format!(
                "{name} has no hardware clock: PTP is followed by software time stamps, some 10 us worse; nothing to do."
            ),
        ),
    }
}

/// Rows of `/proc/net/route`: interface, destination, mask, in the byte order of the network.
fn route_rows(root: &Root) -> Vec<(String, u32, u32)> {
    let text = root.text("proc/net/route").unwrap_or_default();
    let number = |word: Option<&&str>| u32::from_str_radix(word?, 16).ok().map(u32::swap_bytes);
    let row = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        Some(((*words.first()?).to_owned(), number(words.get(1))?, number(words.get(7))?))
    };
    text.lines().skip(1).filter_map(row).collect()
}

fn routes(root: &Root, used: &[&Interface]) -> Option<Finding> {
    let first = used.first()?;
    let rows = route_rows(root);
    let media: u32 = 0xef45_0101; // 239.69.1.1, an address of AES67
    let matching = rows.iter().filter(|(_, destination, mask)| media & mask == *destination);
    let best = matching.max_by_key(|(_, _, mask)| mask.count_ones());
    Some(match best {
        Some((name, ..)) if used.iter().any(|interface| interface.name == *name) => {
            Finding::ok("routes", format!("Multicast goes by {name}."))
        }
        Some((name, ..)) => {
            let text = format!(
                "Multicast goes by {name}, which is not used for audio; Wireloom chooses by itself, other programs do not."
            );
            Finding::warning("routes", text)
                .advise(format!("ip route add 224.0.0.0/4 dev {} (as root)", first.name))
        }
        None => Finding::warning(
            "routes",
            "There is no route for multicast; Wireloom needs none, other programs do.",
        )
        .advise(format!("ip route add 224.0.0.0/4 dev {} (as root)", first.name)),
    })
}

fn reverse_path(root: &Root, used: &[&Interface]) -> Vec<Finding> {
    let setting = |name: &str| root.number(&format!("proc/sys/net/ipv4/conf/{name}/rp_filter"));
    let all = setting("all").unwrap_or(0);
    let strict = |interface: &&&Interface| setting(&interface.name).unwrap_or(0).max(all) == 1;
    let strict: Vec<&str> = used.iter().filter(strict).map(|interface| interface.name.as_str()).collect();
    if strict.is_empty() {
        return vec![Finding::ok("rp_filter", "Packets are not dropped for their source's route.")];
    }
    let routed = routed(root);
    if strict.iter().all(|name| routed.iter().all(|other| other == name)) {
        let text = "Packets whose source is routed elsewhere are dropped; no other interface has routes.";
        return vec![Finding::ok("rp_filter", text)];
    }
    let text = format!(
        "On {} packets are dropped whose source is routed by another interface; routes are by {}.",
        strict.join(", "),
        routed.join(", ")
    );
    vec![Finding::warning("rp_filter", text).advise("sysctl -w net.ipv4.conf.all.rp_filter=2 (as root)")]
}

/// Interfaces of every kind, chosen for audio or not, that packets of IPv4 may be routed by. Those from point to point
/// count without a route too: tunnels have theirs in tables of their own, which `/proc` does not show.
fn routed(root: &Root) -> Vec<String> {
    let rows = route_rows(root);
    let counts = |name: &String| {
        let number = |file: &str| root.number(&format!("sys/class/net/{name}/{file}"));
        let flags = number("flags").unwrap_or(0);
        let is_up = flags & UP != 0 && flags & LOOPBACK == 0 && number("carrier") == Some(1);
        is_up && (flags & POINT_TO_POINT != 0 || rows.iter().any(|(of, ..)| of == name))
    };
    root.names("sys/class/net").into_iter().filter(counts).collect()
}

/// Bridges of this computer that hold multicast back because nobody asks for it.
fn bridges(root: &Root) -> Vec<Finding> {
    let on = |name: &str, file: &str| root.number(&format!("sys/class/net/{name}/bridge/{file}")) == Some(1);
    let names = root.names("sys/class/net").into_iter();
    let deaf = names.filter(|name| on(name, "multicast_snooping") && !on(name, "multicast_querier"));
    let finding = |name: String| {
        Finding::warning(
            "bridge",
            format!("Bridge {name} snoops IGMP and is no querier: without one it forgets groups."),
        )
        .advise(format!("echo 1 > /sys/class/net/{name}/bridge/multicast_querier (as root)"))
    };
    deaf.map(finding).collect()
}
