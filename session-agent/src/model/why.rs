//! Why is there no sound? From what is known of a stream to an ordered list of checks, each with a verdict.
//!
//! Pure: no I/O, no time. A check fails when sound cannot come or is damaged because of it, warns when it is not as it
//! should be but sound comes, and is unknown while something before it must come right first.

use std::net::SocketAddr;

use wireloom_wanted::{Finding, Heard, Mode, Node, State, StateReport};

use super::Known;
use super::known::Origin;
use crate::view::{Check, Verdict};

/// What is known beside the stream itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// This session is the one that acts on the network.
    pub active: bool,
    /// PipeWire answers.
    pub connected: bool,
    /// Our module is in it and speaks our schema.
    pub ready: bool,
    /// Reference clock: nothing says that the stream's is another than ours.
    pub same_clock: bool,
    /// The same as a sentence.
    pub clock_text: &'static str,
    /// Another stream that is said to have the same address, by name.
    pub same_address: Option<String>,
    /// Interfaces on which its announcement is heard.
    pub heard_on: Vec<String>,
    /// The interface that it is to come by, when that has no address of IPv6 and the stream is sent over it.
    pub without_ipv6: Option<String>,
    /// Why a stream of this computer has no interface to leave by.
    pub no_way: Option<String>,
    /// What its sender said when it was asked for the stream, if that was a refusal or nothing.
    pub refused: Option<String>,
}

/// The checks of `stream`, in the order in which sound depends on them.
pub fn checks(stream: &Known, facts: &Facts) -> Vec<Check> {
    let mut list = List { checks: Vec::new(), stream, facts };
    if stream.is_transmit() {
        list.transmit();
    } else {
        list.receive();
    }
    list.checks
}

/// The first check that fails.
pub fn first_failed(checks: &[Check]) -> Option<&Check> {
    checks.iter().find(|check| check.verdict == Verdict::Failed)
}

struct List<'a> {
    checks: Vec<Check>,
    stream: &'a Known,
    facts: &'a Facts,
}

impl List<'_> {
    fn receive(&mut self) {
        self.announced();
        self.description();
        self.address();
        let joined = self.joined("Nothing is linked, so it is not asked for.");
        let arrive = self.packets(joined);
        let fits = self.payload(arrive);
        let heard = fits.then(|| self.report().and_then(|report| report.heard)).flatten();
        self.packet_time(heard);
        self.clock();
        let in_time = self.deadline(fits);
        self.samples(in_time && heard.is_some());
        self.link("Nothing is linked to it.");
    }

    fn transmit(&mut self) {
        match &self.facts.no_way {
            _ if !self.facts.active => self.failed("announced", OTHER_SESSION),
            Some(why) => self.failed("announced", why.clone()),
            None => self.ok("announced", "This computer announces it."),
        }
        self.description();
        self.address();
        if self.joined("Nothing is linked, so nothing is sent.") {
            match self.report().map(|report| report.state) {
                Some(State::Running) => self.ok("packets", "Packets are sent."),
                _ if self.receivers() == Some(0) => self.unknown("packets", "Nobody asks for it."),
                _ => self.failed("packets", "No packet is sent yet."),
            }
        } else {
            self.unknown("packets", "Nothing is sent.");
        }
        self.clock();
        self.link("Nothing is linked to it: what is sent is silence.");
    }

    fn announced(&mut self) {
        let flows = self.report().is_some_and(|report| report.state == State::Running);
        let left = self.node().is_some_and(|node| node.offline);
        match self.stream.origin {
            _ if left => self.failed("announced", "The device has left the network."),
            Origin::File => self.ok("announced", "Its description was added by hand."),
            Origin::Own => self.ok("announced", "This computer announces it."),
            Origin::Receiver => self.ok("announced", "Its device can be told what to play."),
            Origin::Kept => {
                self.unknown("announced", "Known from before; not heard since the agent was started.");
            }
            Origin::Announced if self.facts.heard_on.is_empty() => self.ok("announced", "It is announced."),
            Origin::Announced => {
                let text = format!("It is announced on {}.", self.facts.heard_on.join(", "));
                self.ok("announced", text);
            }
            Origin::Stale if flows => {
                self.warning("announced", "It is no longer announced, but packets come.");
            }
            Origin::Stale => {
                let text = "It is no longer announced: its device is off, or cannot be reached any more.";
                self.failed("announced", text);
            }
            Origin::Withdrawn if flows => {
                self.warning("announced", "Its sender withdrew the announcement, but packets come.");
            }
            Origin::Withdrawn => self.failed("announced", "Its sender withdrew it."),
        }
    }

    fn description(&mut self) {
        match (&self.stream.unreadable, self.stream.warnings.as_slice()) {
            (Some(why), _) => {
                self.failed("description", wireloom_sdp::for_display(why));
                self.reason("unreadable");
            }
            (None, []) => self.ok("description", "Its description is valid."),
            (None, [first, ..]) => {
                self.ok("description", format!("Its description is usable, but odd: {first}"))
            }
        }
    }

    /// How many receivers have asked for it; `None` when it goes to a group.
    fn receivers(&self) -> Option<usize> {
        self.node()?.copies.as_ref().map(|copies| copies.to.len())
    }

    fn address(&mut self) {
        if let Some(count) = self.receivers() {
            let text = match count {
                1 => "It is sent to the one receiver that asks for it.".to_owned(),
                count => format!("It is sent to those who ask for it, now {count}."),
            };
            return self.ok("address", text);
        }
        let Some(leg) = self.node().and_then(|node| node.legs.first()) else {
            return self.unknown("address", "Its address is not known.");
        };
        let address = self.destination();
        let also = match &self.facts.same_address {
            Some(name) => format!(" ({} is also the address of \"{name}\")", leg.address),
            None => String::new(),
        };
        if self.found(Finding::Foreign) {
            let text = format!("A second sender sends to {address}{also}; one of them is heard, by chance.");
            self.failed("address", text);
        } else if let Some(name) = &self.facts.same_address {
            let text = format!("{} is also the address of \"{name}\".", leg.address);
            self.warning("address", text);
        } else {
            self.ok("address", format!("Nobody else is known to use {address}."));
        }
    }

    /// Whether the sockets are open. `idle` is said while they need not be.
    fn joined(&mut self, idle: &str) -> bool {
        let refused = match (self.facts.active, self.facts.connected, self.facts.ready) {
            _ if self.node().is_none() => {
                self.unknown("joined", "There is nothing to ask for.");
                return false;
            }
            (false, ..) => Some(("other-session", OTHER_SESSION)),
            (_, false, _) => Some(("no-pipewire", "PipeWire cannot be reached.")),
            (.., false) => Some(("no-module", "PipeWire runs without the Wireloom module.")),
            _ if !self.stream.shown => Some(("node-limit", NODE_LIMIT)),
            _ => None,
        };
        if let Some((reason, text)) = refused {
            self.failed("joined", text);
            self.reason(reason);
            return false;
        }
        let Some(report) = self.report() else {
            self.unknown("joined", "PipeWire has not made its node yet.");
            return false;
        };
        let (state, port, error) = (report.state, report.port, wireloom_sdp::for_display(&report.error));
        if state == State::Error {
            self.failed("joined", error);
            self.reason("module");
            return false;
        }
        if port == 0 && self.stream.links() > 0 {
            self.unknown(
                "joined",
                if error.is_empty() { "It is being asked for.".to_owned() } else { error },
            );
            return false;
        }
        if port == 0 {
            self.unknown("joined", idle);
            return false;
        }
        self.ok(
            "joined",
            format!(
                "{} {}.",
                if self.stream.is_transmit() { "Sent to" } else { "Received from" },
                self.place()
            ),
        );
        true
    }

    /// Whether packets arrive. Each of these is unknown while the one before it is not as it should be.
    fn packets(&mut self, joined: bool) -> bool {
        if !joined {
            self.unknown("packets", "None is received.");
            return false;
        }
        let unusable = [Finding::NotRtp, Finding::BadPayloadType, Finding::BadSize];
        let unusable = unusable.into_iter().any(|finding| self.found(finding));
        let text = match self.report().map(|report| report.state) {
            Some(State::Running) => None,
            _ if unusable => None,
            _ if self.facts.refused.is_some() => self.facts.refused.clone(),
            Some(State::Silent) => {
                Some("Packets came, then stopped: its sender is off, or the way is broken.".to_owned())
            }
            _ if let Some(name) = &self.facts.without_ipv6 => Some(format!(
                "{name} has no IPv6 address, so that nothing sent to {} can be received there.",
                self.destination()
            )),
            _ => Some(format!(
                "No packet comes from {}: its sender does not send, or a switch or a firewall holds the packets back \
                 (wireloom doctor looks at this computer).",
                self.place()
            )),
        };
        match text {
            Some(text) => {
                self.failed("packets", text);
                false
            }
            None => {
                self.ok("packets", "Packets arrive.");
                true
            }
        }
    }

    fn payload(&mut self, arrive: bool) -> bool {
        if !arrive {
            self.unknown("payload", "No packet to look at.");
            return false;
        }
        let described = self.node().map(|node| (node.media.payload_type, node.media.ssrc));
        let (payload_type, ssrc) = described.unwrap_or_default();
        let bad = [
            (Finding::NotRtp, "What arrives is no RTP.".to_owned()),
            (Finding::BadPayloadType, format!("No packet has the described payload type, {payload_type}.")),
            (Finding::BadSize, "The packets' size does not fit the described format.".to_owned()),
            (
                Finding::Contradicts,
                "The packets contradict the description: other channels or another encoding.".to_owned(),
            ),
            (Finding::NotPcm, "The stream carries data that is no PCM audio; it is muted.".to_owned()),
        ];
        if let Some((_, text)) = bad.into_iter().find(|(finding, _)| self.found(*finding)) {
            self.failed("payload", text);
            return false;
        }
        match self.report().and_then(|report| report.heard) {
            None => self.unknown("payload", "Not looked at yet."),
            Some(heard) if heard.payload_type != payload_type => self.warning(
                "payload",
                format!(
                    "The packets have payload type {}, described is {payload_type}; they are taken nevertheless.",
                    heard.payload_type
                ),
            ),
            Some(heard) if ssrc.is_some_and(|ssrc| ssrc != heard.ssrc) => self.warning(
                "payload",
                format!("The packets have SSRC {:08x}, described is {:08x}.", heard.ssrc, ssrc.unwrap_or(0)),
            ),
            Some(heard) => {
                self.ok("payload", format!("Payload type {payload_type}, SSRC {:08x}.", heard.ssrc));
            }
        }
        true
    }

    fn packet_time(&mut self, heard: Option<Heard>) {
        let described = self.node().map_or(0, |node| node.media.samples_per_packet);
        match heard {
            None => self.unknown("packet-time", "No packet to look at."),
            Some(heard) if heard.frames != described => self.warning(
                "packet-time",
                format!("Packets have {} frames, described are {described}.", heard.frames),
            ),
            Some(_) => self.ok("packet-time", format!("Packets have {described} frames, as described.")),
        }
    }

    fn clock(&mut self) {
        let adaptive = self.report().is_some_and(|report| report.mode == Some(Mode::Adaptive));
        let text = self.facts.clock_text;
        match (self.facts.same_clock, adaptive) {
            _ if text.is_empty() => self.unknown("clock", "Its clock is not known."),
            (false, _) => self.warning("clock", text),
            (true, true) => self.warning(
                "clock",
                "Its packets are not timed by this computer's clock, or the graph runs on another: it is resampled.",
            ),
            (true, false) => self.ok("clock", text),
        }
    }

    fn deadline(&mut self, fits: bool) -> bool {
        if !fits {
            self.unknown("deadline", "No packet to look at.");
            return false;
        }
        let latency = self.report().map_or(0, |report| report.latency);
        if self.found(Finding::Late) {
            let text = format!(
                "Packets come after they are due: raise the latency ({latency} frames now), or its sender's clock or \
                 described offset is wrong."
            );
            self.failed("deadline", text);
            return false;
        }
        if self.found(Finding::Early) {
            let text =
                "Packets are stamped too far in the future: its sender's clock or described offset is wrong.";
            self.failed("deadline", text);
            return false;
        }
        if self.found(Finding::Raised) {
            let text = format!(
                "Packets came late all the time, as of a sender that sends in bursts: the latency was raised to {latency} \
                 frames for them."
            );
            self.warning("deadline", text);
            return true;
        }
        self.ok("deadline", format!("Packets come before they are due; the latency is {latency} frames."));
        true
    }

    fn samples(&mut self, known: bool) {
        if !known {
            self.unknown("samples", "No sample to look at.");
        } else if self.found(Finding::Zero) {
            self.failed("samples", "All samples are zero: its sender sends silence.");
        } else {
            self.ok("samples", "There is sound in it.");
        }
    }

    fn link(&mut self, none: &str) {
        match self.stream.links() {
            0 => self.failed("link", none),
            1 => self.ok("link", "One link."),
            links => self.ok("link", format!("{links} links.")),
        }
    }

    fn report(&self) -> Option<&StateReport> {
        self.stream.report.as_ref()
    }

    fn node(&self) -> Option<&Node> {
        self.stream.node.as_ref()
    }

    fn found(&self, finding: Finding) -> bool {
        self.report().is_some_and(|report| report.findings.contains(&finding))
    }

    /// Address, port and interface of the first leg.
    fn place(&self) -> String {
        let Some(node) = self.node() else { return String::new() };
        if let Some(copies) = &node.copies {
            return format!("who asks at port {}", copies.port);
        }
        let Some(leg) = node.legs.first() else { return String::new() };
        let on = leg.interface.as_ref().map(|name| format!(" on {name}")).unwrap_or_default();
        format!("{}{on}", self.destination())
    }

    /// Address and port of the first leg.
    fn destination(&self) -> String {
        let leg = self.node().and_then(|node| node.legs.first());
        leg.map(|leg| SocketAddr::new(leg.address, leg.port).to_string()).unwrap_or_default()
    }

    fn ok(&mut self, name: &'static str, text: impl Into<String>) {
        self.add(name, Verdict::Ok, text.into());
    }

    fn warning(&mut self, name: &'static str, text: impl Into<String>) {
        self.add(name, Verdict::Warning, text.into());
    }

    fn failed(&mut self, name: &'static str, text: impl Into<String>) {
        self.add(name, Verdict::Failed, text.into());
    }

    fn unknown(&mut self, name: &'static str, text: impl Into<String>) {
        self.add(name, Verdict::Unknown, text.into());
    }

    fn add(&mut self, name: &'static str, verdict: Verdict, text: String) {
        self.checks.push(Check { name, verdict, reason: name, text });
    }

    /// The word for `StateReason`, where it is another than the check's name.
    fn reason(&mut self, reason: &'static str) {
        if let Some(last) = self.checks.last_mut() {
            last.reason = reason;
        }
    }
}

const OTHER_SESSION: &str = "Another session of this computer is active on the network.";
const NODE_LIMIT: &str = "There are more streams than nodes are made for; pin it, or raise the limit.";

#[cfg(test)]
#[path = "why_tests.rs"]
mod tests;
