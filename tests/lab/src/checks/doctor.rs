use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;
use wireloom_clock_page::LineState;

use crate::agent::Agent;
use crate::clock::Clock;
use crate::doctor::{doctor_beside, finding};
use crate::host::Host;
use crate::peers::{RtpStream, gstreamer};
use crate::pipewire::PipeWireOptions;
use crate::products::Products;
use crate::scene;
use crate::studio::Studio;
use crate::wait::{self, SOON};

/// Long enough to lock with an Announce a second, on a machine that stalls.
const LOCK: Duration = Duration::from_secs(40);
/// The agent has to notice a change, and the clock service may have to lock again.
const SETTLED: Duration = Duration::from_secs(90);
/// What the stream is called.
const NAME: &str = "Stage box";
/// What is not ok of a healthy host of the studio, because of the cable, of the switch, or of this machine.
const USUAL: [&str; 3] = ["querier unknown", "real-time warning", "memory warning"];

/// A fault: commands that make it, what is found then, commands that take it back.
struct Fault {
    make: String,
    found: &'static str,
    mend: &'static str,
}

impl Fault {
    fn new(make: &str, found: &'static str, mend: &'static str) -> Self {
        Self { make: make.to_owned(), found, mend }
    }

    /// A rule of nftables for what comes in; it goes by the command that is advised.
    fn rule(rule: &str, found: &'static str) -> Self {
        let chain = "nft 'add table inet lab; add chain inet lab in { type filter hook input priority 0; policy accept; }'";
        Self::new(
            &format!("{chain} && nft 'add rule inet lab in {rule}'"),
            found,
            "nft 'delete table inet lab'",
        )
    }
}

/// `wireloom doctor` at a healthy computer with a stream that plays raises no alarm; then faults are made one after the
/// other, and exactly that one is found, with what to change. What it says of the packet filter is tried.
pub fn run(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let (leader, stage) = (studio.host("leader")?, studio.host("stage")?);
    let computer = studio.host("computer")?;
    let mut clock = Clock::leader(&leader, products, 0, 100, 0.0)?;
    clock.wait_for(LineState::Leader, SOON)?;
    let mut follower = Clock::follower(&computer, products, 0)?;
    let line = follower.wait_for(LineState::Locked, LOCK)?;
    let mut graph = scene::start_module(&computer, products, &BTreeMap::new(), PipeWireOptions::default())?;
    let agent = Agent::start(&computer, products, "")?;
    let stream = RtpStream::standard(1, 2);
    let _sender = gstreamer::paced_sender(&stage, products, &stream, 0.0)?;
    let grandmaster = format!("a=ts-refclk:ptp=IEEE1588-2008:{}:0\r\n", line.leader);
    let description = stream.named_description(stage.address(), NAME, &grandmaster);
    let _announcer = gstreamer::announcer(&stage, "stage-box", &description)?;
    let node = wait::until("the node of the announced stream", 3 * SOON, || {
        Ok(graph.node_with("media.name", NAME)?.filter(|node| node.outputs.len() == 2))
    })?;
    let recorder = graph.recorder(products, "recorder", 2)?;
    graph.link(&node, &recorder.node)?;

    let patient = Patient { computer: &computer, products };
    let mut healthy = BTreeSet::new();
    wait::until("a healthy computer", SETTLED, || {
        let found = patient.look(&[])?;
        healthy = odd(&found);
        let usual = healthy.iter().all(|one| USUAL.contains(&one.as_str()));
        let is_seen = ["quantum", "clock", "module", "firewall"]
            .iter()
            .all(|name| finding(&found, name).is_ok_and(|finding| finding["verdict"] == "ok"));
        Ok((usual && is_seen).then_some(()))
    })
    .with_context(|| format!("last seen: {healthy:?}; the agent said:\n{}", agent.process.log()))?;

    let elsewhere = "ip link add eth1 type veth peer name eth2 && ip address add 10.78.0.1/24 dev eth1 && \
                     ip link set eth1 up && ip link set eth2 up && \
                     for name in all eth0 eth1; do echo 1 > /proc/sys/net/ipv4/conf/$name/rp_filter; done";
    // Nothing that could carry audio, as a VPN is.
    let aside = "ip link add eth1 type veth peer name eth2 && ip link set eth1 multicast off && \
                 ip address add 10.78.0.1/24 dev eth1 && ip link set eth1 up && ip link set eth2 multicast off && \
                 ip link set eth2 up && echo 1 > /proc/sys/net/ipv4/conf/eth0/rp_filter";
    let faults = [
        Fault::new(
            aside,
            "rp_filter warning",
            "ip link del eth1; echo 0 > /proc/sys/net/ipv4/conf/eth0/rp_filter",
        ),
        Fault::new(
            elsewhere,
            "rp_filter warning",
            "ip link del eth1; for name in all eth0; do echo 0 > /proc/sys/net/ipv4/conf/$name/rp_filter; done",
        ),
        Fault::new("ip route del 224.0.0.0/4", "routes warning", "ip route add 224.0.0.0/4 dev eth0"),
        Fault::rule("udp dport 5004 drop", "firewall failed"),
        Fault::rule("udp dport { 319, 320 } drop", "firewall warning"),
        Fault::rule("ip daddr 239.255.255.255 udp dport 9875 counter reject", "firewall warning"),
        Fault::rule("ip saddr 10.77.0.200 drop", "firewall unknown"),
        Fault::new(
            "iptables-nft -A INPUT -p udp --dport 5004 -j DROP",
            "firewall failed",
            "nft 'delete table ip filter'",
        ),
        Fault::new(
            "iptables-nft -A INPUT -p udp -m multiport --dports 319,320 -j DROP",
            "firewall unknown",
            "nft 'delete table ip filter'",
        ),
    ];
    let mut said = Vec::new();
    let mut not_made = Vec::new();
    for fault in &faults {
        patient.suffer(fault, &healthy)?;
        said.push(fault.found);
    }

    // A program that takes a port of ours, as far as it can be shared.
    let occupier = gstreamer::sharer(&computer, 9875)?;
    patient.expect("a stranger on the announcements' port", &healthy, "ports warning", &[])?;
    drop(occupier);
    said.push("ports warning");
    // Without rights nothing is said of rules.
    let bare = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all", "--"];
    patient.expect("a user without rights", &healthy, "firewall unknown", &bare)?;
    said.push("firewall unknown");
    patient.hears_a_querier()?;
    // Limits that are those of whoever asks.
    if healthy.contains("memory warning") {
        not_made.push("memory warning");
    } else {
        let little = ["sh", "-c", "ulimit -l 64; exec \"$@\"", "sh"];
        patient.expect("little memory", &healthy, "memory warning", &little)?;
        said.push("memory warning");
    }
    // What does not go back by itself: latency that was raised stays while something is linked.
    let mut usual = healthy.clone();
    computer.run("timeout", ["5", "pw-metadata", "-n", "settings", "0", "clock.force-quantum", "4096"])?;
    patient.expect("a long quantum", &usual, "quantum warning", &[])?;
    usual.insert("quantum warning".to_owned());
    said.push("quantum warning");
    if usual.contains("real-time warning") {
        not_made.push("real-time warning");
    } else {
        let id = graph.daemon.id().to_string();
        computer.run("chrt", ["--all-tasks", "--other", "--pid", "0", &id])?;
        patient.expect("no real-time priority", &usual, "real-time warning", &[])?;
        said.push("real-time warning");
    }
    let kinds: BTreeSet<_> = said.iter().collect();
    let usual_here = if not_made.is_empty() {
        String::new()
    } else {
        format!("; not made, because this machine has them anyway: {not_made:?}")
    };
    Ok(format!(
        "healthy but for {healthy:?}; {} faults made and found, of the kinds {kinds:?}{usual_here}",
        said.len()
    ))
}

/// The computer that is looked at.
struct Patient<'a> {
    computer: &'a Host,
    products: &'a Products,
}

impl Patient<'_> {
    fn look(&self, beside: &[&str]) -> anyhow::Result<Vec<Value>> {
        doctor_beside(self.computer, self.products, beside, &[])
    }

    /// Waits until exactly `found` is not ok beside what is usual; answers that finding.
    fn expect(
        &self,
        what: &str,
        healthy: &BTreeSet<String>,
        found: &str,
        beside: &[&str],
    ) -> anyhow::Result<Value> {
        let mut wanted = healthy.clone();
        wanted.insert(found.to_owned());
        let mut last = Vec::new();
        let seen = wait::until(&format!("{found:?} after {what}"), SETTLED, || {
            last = self.look(beside)?;
            Ok((Self::but_for_stalls(odd(&last), &wanted) == wanted).then_some(()))
        });
        seen.with_context(|| format!("last seen: {:?}", odd(&last)))?;
        let name = found.split(' ').next().unwrap_or_default();
        let finding = last.iter().find(|one| one["name"] == name && one["verdict"] != "ok");
        let finding = finding.context("it was found")?.clone();
        ensure!(finding["advice"] != "", "nothing is advised: {finding}");
        Ok(finding)
    }

    /// What was `found`, less what a machine without real-time priority brings about by itself: packets are taken too
    /// late in its stalls, so that the latency is raised, and stays.
    fn but_for_stalls(mut found: BTreeSet<String>, wanted: &BTreeSet<String>) -> BTreeSet<String> {
        if found.contains("real-time warning") && !wanted.contains("quantum warning") {
            found.remove("quantum warning");
        }
        found
    }

    fn suffer(&self, fault: &Fault, healthy: &BTreeSet<String>) -> anyhow::Result<()> {
        self.computer.run("sh", ["-c", &fault.make])?;
        let finding = self.expect(&fault.make, healthy, fault.found, &[])?;
        let advice = finding["advice"].as_str().unwrap_or_default();
        if let Some((command, _)) =
            advice.split_once(" (as root)").filter(|(command, _)| command.starts_with("nft 'insert"))
        {
            self.computer.run("sh", ["-c", &command.replace("; ", " && ")])?;
            self.well(&format!("what is advised: {command}"), healthy)?;
        }
        self.computer.run("sh", ["-c", fault.mend])?;
        self.well(fault.mend, healthy)
    }

    /// A querier of IGMP 3 is heard by whoever listens, and one that ceased is not; nobody else can tell.
    fn hears_a_querier(&self) -> anyhow::Result<()> {
        let sh = |commands: &str| self.computer.run("sh", ["-c", commands]);
        sh("ip link add eth1 type veth peer name eth2 && ip link add bridge type bridge mcast_snooping 1 \
            mcast_igmp_version 3 mcast_querier 1 mcast_query_interval 100 mcast_startup_query_interval 100 && \
            ip link set eth2 master bridge && ip link set eth2 up && ip link set bridge up && \
            ip address add 10.79.0.1/24 dev eth1 && ip link set eth1 up")?;
        let verdict = |beside: &[&str], options: &[&str]| -> anyhow::Result<Value> {
            let found = doctor_beside(self.computer, self.products, beside, options)?;
            let of_ours = |finding: &&Value| {
                let text = finding["text"].as_str().unwrap_or_default();
                finding["name"] == "querier" && text.contains("eth1 ")
            };
            Ok(found.iter().find(of_ours).context("a finding about eth1")?.clone())
        };
        let bare = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all", "--"];
        let unasked = wait::until("eth1 to be looked at", SETTLED, || Ok(verdict(&[], &[]).ok()))?;
        let refused = verdict(&bare, &["--listen", "10"])?;
        let heard = verdict(&[], &["--listen", "10"])?;
        let text = heard["text"].as_str().unwrap_or_default();
        ensure!(heard["verdict"] == "ok" && text.contains("hears a querier of IGMP 3"), "{heard}");
        sh("ip link set bridge type bridge mcast_querier 0")?;
        let silent = verdict(&[], &["--listen", "3"])?;
        sh("ip link del eth1; ip link del bridge")?;
        for unknown in [unasked, refused, silent] {
            ensure!(unknown["verdict"] == "unknown" && unknown["advice"] != "", "{unknown}");
        }
        Ok(())
    }

    fn well(&self, after: &str, healthy: &BTreeSet<String>) -> anyhow::Result<()> {
        let mut last = BTreeSet::new();
        let seen = wait::until(&format!("a healthy computer after {after}"), SETTLED, || {
            last = Self::but_for_stalls(odd(&self.look(&[])?), healthy);
            Ok((last == *healthy).then_some(()))
        });
        seen.with_context(|| format!("last seen: {last:?}"))
    }
}

/// What is not ok, as "name verdict".
fn odd(found: &[Value]) -> BTreeSet<String> {
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let odd = found.iter().filter(|finding| finding["verdict"] != "ok");
    odd.map(|finding| format!("{} {}", text(finding, "name"), text(finding, "verdict"))).collect()
}
