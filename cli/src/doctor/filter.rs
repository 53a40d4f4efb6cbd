//! What the packet filter does to the packets that the network needs, judged as far as its rules can be understood.
//!
//! A rule may look at what nobody can know beforehand, such as the sender's address; then both ways are followed, and
//! what may go either way is said to be unknown.

use std::collections::BTreeMap;
use std::io;
use std::process::Command;

use serde_json::Value;

use super::Finding;
use super::root::Root;

/// Where `nft` is; it is in the path of root only.
const NFT: [&str; 3] = ["nft", "/usr/sbin/nft", "/sbin/nft"];
/// Chains that jump deeper than this are not followed.
const DEPTH: usize = 16;

/// What `nft` says.
#[derive(Debug, Clone)]
pub enum Ruleset {
    /// Its answer in JSON (libnftables-json(5)).
    Read(Value),
    /// Why it says nothing.
    Refused(String),
    /// It is not installed.
    NoTool,
}

/// Asks the kernel for its rules, those of iptables-nft included.
pub fn read() -> Ruleset {
    for tool in NFT {
        match Command::new(tool).args(["-j", "list", "ruleset"]).output() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Ruleset::Refused(error.to_string()),
            Ok(output) if output.status.success() => {
                return match serde_json::from_slice(&output.stdout) {
                    Ok(document) => Ruleset::Read(document),
                    Err(error) => Ruleset::Refused(format!("nft says what cannot be read: {error}")),
                };
            }
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                return Ruleset::Refused(said.lines().next().unwrap_or("nft failed").trim().to_owned());
            }
        }
    }
    Ruleset::NoTool
}

/// A packet that has to pass.
#[derive(Debug, Clone, Copy)]
struct Packet {
    what: &'static str,
    protocol: &'static str,
    /// Its number in IPv4.
    number: u64,
    /// Its destination; 0 for what has no ports.
    port: u64,
    group: Option<&'static str>,
    /// Nothing is heard, or nothing is sent, without it.
    is_vital: bool,
}

const fn udp(what: &'static str, port: u64, group: &'static str, is_vital: bool) -> Packet {
    Packet { what, protocol: "udp", number: 17, port, group: Some(group), is_vital }
}

const PACKETS: [Packet; 7] = [
    udp("audio (UDP 5004)", 5004, "239.69.1.1", true),
    udp("PTP (UDP 319)", 319, "224.0.1.129", false),
    udp("PTP (UDP 320)", 320, "224.0.1.129", false),
    udp("announcements (UDP 9875)", 9875, "239.255.255.255", false),
    udp("DNS-SD (UDP 5353)", 5353, "224.0.0.251", false),
    Packet { what: "RTSP (TCP 8854)", protocol: "tcp", number: 6, port: 8854, group: None, is_vital: false },
    Packet { what: "IGMP", protocol: "igmp", number: 2, port: 0, group: Some("224.0.0.1"), is_vital: false },
];

/// What becomes of these packets on `interface`.
pub fn look(root: &Root, ruleset: &Ruleset, interface: &str) -> Finding {
    let advice = "let in and out UDP 319, 320, 5004, 9875 and 5353, TCP 8854, and IGMP";
    // The older iptables keeps its rules apart from what nft lists.
    let tables = root.text("proc/net/ip_tables_names").unwrap_or_default();
    let tables: Vec<&str> = tables.split_whitespace().collect();
    if !tables.is_empty() {
        let text = format!("iptables has tables ({}); their rules may drop packets.", tables.join(", "));
        return Finding::warning("firewall", text).advise(advice);
    }
    let modules = root.text("proc/modules").unwrap_or_default();
    let loaded = |name: &str| modules.lines().any(|line| line.split_whitespace().next() == Some(name));
    let document = match ruleset {
        Ruleset::Read(document) => document,
        Ruleset::Refused(why) => {
            let text = format!("The rules of the packet filter could not be looked at ({why}).");
            return Finding::unknown("firewall", text)
                .advise(format!("nft list ruleset (as root); {advice}"));
        }
        Ruleset::NoTool if loaded("ip_tables") || loaded("nf_tables") => {
            let text = "A packet filter is loaded, and nft is not there to list its rules.";
            return Finding::unknown("firewall", text).advise(advice);
        }
        Ruleset::NoTool => {
            let text = "nft is not there to list rules; no packet filter is loaded as a module.";
            return Finding::unknown("firewall", text);
        }
    };
    let rules = Rules::new(document);
    let mut dropped: Vec<(&Packet, String)> = Vec::new();
    let mut doubtful: Vec<(&Packet, String)> = Vec::new();
    for packet in &PACKETS {
        for (hooks, way) in
            [(&["ingress", "prerouting", "input"][..], Way::In), (&["output", "postrouting"], Way::Out)]
        {
            match rules.fate(packet, way, interface, hooks) {
                Fate::Passes => {}
                Fate::Dropped(chain) => dropped.push((packet, chain)),
                Fate::Unknown(chain) => doubtful.push((packet, chain)),
            }
        }
    }
    if let Some((_, chain)) = dropped.first() {
        let found = if dropped.iter().any(|(packet, _)| packet.is_vital) {
            Finding::failed
        } else {
            Finding::warning
        };
        let here: Vec<&Packet> =
            dropped.iter().filter(|(_, other)| other == chain).map(|(packet, _)| *packet).collect();
        let text = format!("The packet filter drops {}: chain {chain} of nftables.", names(&dropped));
        return found("firewall", text).advise(remedy(chain, &here));
    }
    if let Some((_, chain)) = doubtful.first() {
        let text = format!(
            "Whether the packet filter lets {} through cannot be told: chain {chain} of nftables decides by more.",
            names(&doubtful)
        );
        return Finding::unknown("firewall", text).advise(advice);
    }
    Finding::ok("firewall", "The packet filter lets through what is needed.")
}

fn names(packets: &[(&Packet, String)]) -> String {
    let mut names: Vec<&str> = packets.iter().map(|(packet, _)| packet.what).collect();
    names.dedup();
    names.join(", ")
}

/// Rules that let `packets` through, before all others of the chain.
fn remedy(chain: &str, packets: &[&Packet]) -> String {
    let ports = |protocol: &str| {
        let mut ports: Vec<String> = packets
            .iter()
            .filter(|packet| packet.protocol == protocol)
            .map(|packet| packet.port.to_string())
            .collect();
        ports.dedup();
        (!ports.is_empty()).then(|| format!("{protocol} dport {{ {} }}", ports.join(", ")))
    };
    let igmp = packets.iter().any(|packet| packet.protocol == "igmp");
    let matches = [ports("udp"), ports("tcp"), igmp.then(|| "meta l4proto igmp".to_owned())];
    let rules: Vec<String> =
        matches.into_iter().flatten().map(|one| format!("nft 'insert rule {chain} {one} accept'")).collect();
    format!("{} (as root), or the same in your firewall's own settings", rules.join("; "))
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    In,
    Out,
}

/// What becomes of a packet, and by which base chain.
#[derive(Debug, PartialEq)]
enum Fate {
    Passes,
    Dropped(String),
    Unknown(String),
}

/// Where a packet may be after some rules; several are possible.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Ends {
    accepted: bool,
    dropped: bool,
    /// It is still on its way.
    on: bool,
    /// It left the chain by `return`, or its end after a `goto`.
    back: bool,
}

const ON: Ends = Ends { accepted: false, dropped: false, on: true, back: false };
const ANY: Ends = Ends { accepted: true, dropped: true, on: true, back: true };

impl Ends {
    const fn or(self, other: Self) -> Self {
        Self {
            accepted: self.accepted || other.accepted,
            dropped: self.dropped || other.dropped,
            on: self.on || other.on,
            back: self.back || other.back,
        }
    }
}

/// A packet on its way, as rules see it.
struct Probe<'a> {
    packet: &'a Packet,
    way: Way,
    interface: &'a str,
}

/// Family, table and name.
type ChainId<'a> = (&'a str, &'a str, &'a str);

struct Rules<'a> {
    chains: Vec<(ChainId<'a>, &'a Value)>,
    rules: BTreeMap<ChainId<'a>, Vec<&'a Value>>,
}

impl<'a> Rules<'a> {
    fn new(document: &'a Value) -> Self {
        let (mut chains, mut rules) = (Vec::new(), BTreeMap::<_, Vec<_>>::new());
        let text = |value: &'a Value, key: &str| value[key].as_str().unwrap_or_default();
        for item in document["nftables"].as_array().into_iter().flatten() {
            if let Some(chain) = item.get("chain") {
                chains.push(((text(chain, "family"), text(chain, "table"), text(chain, "name")), chain));
            } else if let Some(rule) = item.get("rule") {
                let id = (text(rule, "family"), text(rule, "table"), text(rule, "chain"));
                rules.entry(id).or_default().push(rule);
            }
        }
        Self { chains, rules }
    }

    /// A packet passes when every base chain on its way lets it pass, and is gone when one certainly drops it.
    fn fate(&self, packet: &Packet, way: Way, interface: &str, hooks: &[&str]) -> Fate {
        let probe = Probe { packet, way, interface };
        let mut doubt = None;
        for (id, chain) in &self.chains {
            let hook = chain["hook"].as_str().unwrap_or_default();
            let fits = matches!(id.0, "ip" | "inet" | "netdev") && hooks.contains(&hook);
            let elsewhere = chain["dev"].as_str().is_some_and(|device| device != interface);
            if !fits || elsewhere || chain["type"] == "nat" {
                continue;
            }
            let mut ends = self.walk(&probe, *id, 0);
            if ends.on || ends.back {
                match chain["policy"].as_str() {
                    Some("drop") => ends.dropped = true,
                    _ => ends.accepted = true,
                }
            }
            let name = format!("{} {} {}", id.0, id.1, id.2);
            match ends {
                Ends { dropped: true, accepted: false, .. } => return Fate::Dropped(name),
                Ends { dropped: true, .. } => doubt = doubt.or(Some(name)),
                _ => {}
            }
        }
        doubt.map_or(Fate::Passes, Fate::Unknown)
    }

    fn walk(&self, probe: &Probe<'_>, id: ChainId<'a>, depth: usize) -> Ends {
        if depth > DEPTH {
            return ANY;
        }
        let mut ends = ON;
        for rule in self.rules.get(&id).into_iter().flatten() {
            let after = self.rule(probe, id, rule, depth);
            ends = Ends { on: false, ..ends }.or(after);
            if !ends.on {
                break;
            }
        }
        ends
    }

    /// Where `probe` may be after one rule.
    fn rule(&self, probe: &Probe<'_>, id: ChainId<'a>, rule: &'a Value, depth: usize) -> Ends {
        let mut certain = true;
        for statement in rule["expr"].as_array().into_iter().flatten() {
            let Some((kind, value)) = statement.as_object().and_then(|one| one.iter().next()) else {
                return ANY;
            };
            let known = match kind.as_str() {
                "match" => probe.matches(value),
                "counter" | "log" | "mangle" | "notrack" | "ct helper" | "comment" => Some(true),
                "accept" | "drop" | "reject" | "return" | "continue" | "jump" | "goto" => {
                    let ends = self.verdict(probe, id, kind, value, depth);
                    return if certain { ends } else { ends.or(ON) };
                }
                "vmap" => {
                    let ends = self.map(probe, id, value, depth);
                    return if certain { ends } else { ends.or(ON) };
                }
                // It decides, by what is not known here: a limit, a match of iptables, a queue.
                "xt" if value["type"] == "target" => return ANY,
                "queue" => return ANY,
                _ => None,
            };
            match known {
                Some(true) => {}
                Some(false) => return ON,
                None => certain = false,
            }
        }
        ON
    }

    fn verdict(
        &self,
        probe: &Probe<'_>,
        id: ChainId<'a>,
        kind: &str,
        value: &'a Value,
        depth: usize,
    ) -> Ends {
        let none = Ends::default();
        match kind {
            "accept" => Ends { accepted: true, ..none },
            "drop" | "reject" => Ends { dropped: true, ..none },
            "return" => Ends { back: true, ..none },
            "jump" | "goto" => {
                let target = value["target"].as_str().unwrap_or_default();
                let ends = self.walk(probe, (id.0, id.1, target), depth + 1);
                let left = ends.on || ends.back;
                let left =
                    if kind == "jump" { Ends { on: left, ..none } } else { Ends { back: left, ..none } };
                Ends { on: false, back: false, ..ends }.or(left)
            }
            _ => ON,
        }
    }

    /// `vmap`: the first element with the packet's value decides.
    fn map(&self, probe: &Probe<'_>, id: ChainId<'a>, value: &'a Value, depth: usize) -> Ends {
        let Some(elements) = value["data"]["set"].as_array() else { return ANY };
        let mut ends = Ends::default();
        for element in elements {
            let (Some(key), Some(verdict)) = (element.get(0), element.get(1)) else { return ANY };
            let Some((kind, target)) = verdict.as_object().and_then(|one| one.iter().next()) else {
                return ANY;
            };
            match probe.compare(&value["key"], key) {
                Some(false) => {}
                Some(true) => return ends.or(self.verdict(probe, id, kind, target, depth)),
                None => ends = ends.or(self.verdict(probe, id, kind, target, depth)),
            }
        }
        ends.or(ON)
    }
}

impl Probe<'_> {
    /// Whether a `match` holds; `None` when that depends on what is not known.
    fn matches(&self, value: &Value) -> Option<bool> {
        let found = self.compare(&value["left"], &value["right"]);
        match value["op"].as_str()? {
            "==" | "in" => found,
            "!=" => found.map(|found| !found),
            _ => None,
        }
    }

    /// Whether the packet's value of the expression `left` is `right`, or in it.
    fn compare(&self, left: &Value, right: &Value) -> Option<bool> {
        if let Some(payload) = left.get("payload") {
            return self.payload(payload, right);
        }
        if left["ct"]["key"] == "state" {
            return contains_text(right, "new"); // nothing that is sent to a group, or asked for anew, is an answer
        }
        let key = left["meta"]["key"].as_str()?;
        let (come, go) = if self.way == Way::In { (self.interface, "") } else { ("", self.interface) };
        match key {
            "l4proto" => {
                either(contains_text(right, self.packet.protocol), contains(right, self.packet.number))
            }
            "nfproto" => contains_text(right, "ipv4"),
            "protocol" => contains_text(right, "ip"),
            "iifname" | "iif" => contains_text(right, come),
            "oifname" | "oif" => contains_text(right, go),
            "pkttype" if self.way == Way::In => {
                contains_text(right, if self.packet.group.is_some() { "multicast" } else { "host" })
            }
            _ => None,
        }
    }

    fn payload(&self, payload: &Value, right: &Value) -> Option<bool> {
        let (protocol, field) = (payload["protocol"].as_str()?, payload["field"].as_str()?);
        match protocol {
            "ip" => match field {
                "protocol" => {
                    either(contains_text(right, self.packet.protocol), contains(right, self.packet.number))
                }
                "daddr" => contains_address(right, self.packet.group?),
                _ => None,
            },
            "ip6" | "arp" | "icmp" | "icmpv6" => Some(false),
            "th" | "udp" | "tcp" if protocol != "th" && protocol != self.packet.protocol => Some(false),
            "th" | "udp" | "tcp" if field == "dport" && self.packet.port != 0 => {
                contains(right, self.packet.port)
            }
            "udp" | "tcp" | "th" => None,
            "igmp" if self.packet.protocol != "igmp" => Some(false),
            _ => None,
        }
    }
}

/// True when one is, else unknown when one is unknown.
fn either(one: Option<bool>, other: Option<bool>) -> Option<bool> {
    match (one, other) {
        (Some(true), _) | (_, Some(true)) => Some(true),
        (None, _) | (_, None) => None,
        _ => Some(false),
    }
}

/// The elements of a set, a list, or a single value.
fn elements(right: &Value) -> Vec<&Value> {
    let list = right.get("set").unwrap_or(right);
    list.as_array().map_or_else(|| vec![list], |list| list.iter().collect())
}

fn any(right: &Value, is: impl Fn(&Value) -> Option<bool>) -> Option<bool> {
    let mut found = Some(false);
    for element in elements(right) {
        let value = element.get("elem").and_then(|elem| elem.get("val")).unwrap_or(element);
        found = either(found, is(value));
    }
    found
}

fn contains(right: &Value, number: u64) -> Option<bool> {
    any(right, |value| match value {
        Value::Number(other) => Some(other.as_u64() == Some(number)),
        // A word for a protocol or a named set, which only the latter may hold.
        Value::String(text) => (!text.starts_with('@')).then_some(false),
        _ => {
            let range = value.get("range")?;
            Some((range[0].as_u64()?..=range[1].as_u64()?).contains(&number))
        }
    })
}

fn contains_text(right: &Value, text: &str) -> Option<bool> {
    any(right, |value| match value {
        Value::String(other) if other.starts_with('@') => None,
        Value::String(other) => Some(match other.strip_suffix('*') {
            Some(prefix) => text.starts_with(prefix),
            None => other == text,
        }),
        Value::Number(_) => Some(false),
        _ => None,
    })
}

fn contains_address(right: &Value, address: &str) -> Option<bool> {
    let number = |text: &str| text.parse::<std::net::Ipv4Addr>().ok().map(u32::from);
    let address = number(address)?;
    any(right, |value| match value {
        Value::String(other) => Some(number(other)? == address),
        _ => {
            if let Some(range) = value.get("range") {
                return Some((number(range[0].as_str()?)?..=number(range[1].as_str()?)?).contains(&address));
            }
            let prefix = value.get("prefix")?;
            let bits = u32::try_from(prefix["len"].as_u64()?).ok()?.min(32);
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            Some(number(prefix["addr"].as_str()?)? & mask == address & mask)
        }
    })
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;
