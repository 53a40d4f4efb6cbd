//! The status document, for people and for the agent. README.md documents the schema.

use serde::Serialize;
use serde_json::{Value, json};
use wireloom_clock_page::{Line, LineState, Source};
use wireloom_ptp::{Counters, PortState, Status};

use crate::phc::Stamping;
use crate::port::Port;
use crate::settings::Settings;

/// The settings that count.
pub fn settings(settings: &Settings) -> Value {
    json!({
        "interfaces": settings.interfaces,
        "sources": settings.sources,
        "domain": settings.domain,
        "lead": settings.lead,
        "preferred": settings.preferred,
        "priority1": settings.priority1,
        "priority2": settings.priority2,
    })
}

/// One line of the page.
pub fn line(line: &Line) -> Value {
    let (source, number) = source(line.source);
    json!({
        "source": source,
        "number": number,
        "state": state(line.state),
        "generation": line.generation,
        "frequency_ppb": line.frequency().ppb(),
        "error_bound_ns": (line.error_bound_ns != u64::MAX).then_some(line.error_bound_ns),
        "leader": leader(line),
    })
}

fn leader(line: &Line) -> Option<String> {
    (line.leader.0 != [0; 8]).then(|| line.leader.to_string())
}

/// An interface in use.
pub fn port(port: &Port, state: PortState) -> Value {
    let (stamps, reason) = match port.stamping {
        Stamping::Hardware(number) => ("hardware", format!("/dev/ptp{number}")),
        Stamping::Software(why) => ("software", why.words().to_owned()),
    };
    json!({
        "name": port.interface.name,
        "address": port.interface.address,
        "state": port_state(state),
        "stamps": stamps,
        "stamps_reason": reason,
        "counters": port.counters,
    })
}

/// What the engine knows. `interface` is the name of the port that hears the leader.
pub fn clock(identity: &str, status: &Status, interface: Option<&str>) -> Value {
    let leader = status.leader.map(|leader| {
        json!({
            "grandmaster": leader.grandmaster.to_string(),
            "parent": leader.parent.clock.to_string(),
            "parent_port": leader.parent.port,
            "interface": interface,
            "priority1": leader.priority1,
            "class": leader.quality.class,
            "accuracy": leader.quality.accuracy,
            "variance": leader.quality.variance,
            "priority2": leader.priority2,
            "steps_removed": leader.steps_removed,
            "utc_offset": leader.utc_offset,
            "ptp_timescale": leader.ptp_timescale,
            "time_traceable": leader.time_traceable,
            "frequency_traceable": leader.frequency_traceable,
            "time_source": leader.time_source,
        })
    });
    json!({
        "identity": identity,
        "state": status.state.name(),
        "leader": leader,
        "offset_ns": rounded(status.offset_ns),
        "sigma_ns": rounded(status.sigma_ns),
        "path_delay_ns": status.path_delay_ns.map(rounded),
        "frequency_ppb": rounded(status.frequency_ppb),
        "output_offset_ns": rounded(status.output_offset_ns),
        "delay_responses": !status.no_delay_responses,
        "locked_for_ms": status.locked_for_ns.map(|ns| ns / 1_000_000),
        "counters": counters(&status.counters),
    })
}

/// To a tenth; what is no number becomes 0.
fn rounded(value: f64) -> f64 {
    if value.is_finite() { (value * 10.0).round() / 10.0 } else { 0.0 }
}

/// The one sentence about the clock that people read.
///
/// `ptp` is what the engine knows, and the domain that it listens to; `None` where there is no network.
pub fn summary(
    best: Option<&Line>,
    interface: Option<&str>,
    hardware: bool,
    ptp: Option<(&Status, u8)>,
) -> String {
    let Some(best) = best else { return "No clock: nothing tells time yet.".to_owned() };
    let stamps = if hardware { "hardware" } else { "software" };
    match (best.source, best.state) {
        (Source::PtpV2(domain), LineState::Leader) => {
            format!("This computer is the clock of the network in PTP domain {domain}.")
        }
        (Source::PtpV2(domain) | Source::PtpV1(domain), state) => {
            let leader = leader(best).unwrap_or_else(|| "unknown".to_owned());
            let on = interface.map(|name| format!(" on {name}")).unwrap_or_default();
            match state {
                LineState::Locked => {
                    format!("Locked to PTP leader {leader}{on}, domain {domain}, {stamps} time stamps.")
                }
                LineState::Holdover => format!("Holding over: PTP leader {leader} is silent."),
                LineState::Lost => format!("PTP leader {leader} was lost; time goes on at its last rate."),
                _ => format!("Approaching PTP leader {leader}{on}, domain {domain}."),
            }
        }
        (Source::Phc(number), _) => format!("Time comes from the hardware clock /dev/ptp{number}."),
        (Source::System, _) => "Time comes from this computer's system clock.".to_owned(),
        (Source::FreeRunning, _) => {
            format!("{}: this computer's own oscillator runs free.", why_none(ptp))
        }
    }
}

/// Why no clock of the network is followed.
fn why_none(ptp: Option<(&Status, u8)>) -> String {
    match ptp {
        Some((Status { other_domain: Some(other), .. }, domain)) => {
            format!("No network clock is heard in PTP domain {domain}, but one in domain {other}")
        }
        Some((Status { counters, .. }, _)) if counters.version1 > 0 && counters.announces == 0 => {
            "Only PTPv1 is heard, as of Dante devices without AES67, which cannot be followed".to_owned()
        }
        _ => "No network clock is heard".to_owned(),
    }
}

/// The word for a line's source, and its number.
pub const fn source(source: Source) -> (&'static str, u8) {
    match source {
        Source::PtpV2(domain) => ("ptp-v2", domain),
        Source::PtpV1(subdomain) => ("ptp-v1", subdomain),
        Source::FreeRunning => ("free", 0),
        Source::Phc(number) => ("phc", number),
        Source::System => ("system", 0),
    }
}

/// The word for a line's state.
pub const fn state(state: LineState) -> &'static str {
    match state {
        LineState::Disabled => "disabled",
        LineState::Listening => "listening",
        LineState::Acquiring => "acquiring",
        LineState::Tracking => "tracking",
        LineState::Locked => "locked",
        LineState::Holdover => "holdover",
        LineState::Lost => "lost",
        LineState::Leader => "leader",
        LineState::FreeRunning => "free-running",
    }
}

/// The word for a port's state (IEEE 1588-2008 table 10).
pub const fn port_state(state: PortState) -> &'static str {
    match state {
        PortState::Disabled => "disabled",
        PortState::Listening => "listening",
        PortState::PreMaster => "pre-master",
        PortState::Master => "master",
        PortState::Passive => "passive",
        PortState::Uncalibrated => "uncalibrated",
        PortState::Slave => "slave",
    }
}

/// All counters by their name.
fn counters(counters: &Counters) -> impl Serialize + use<> {
    let Counters {
        announces,
        syncs,
        delay_responses,
        delay_requests_sent,
        delay_requests_answered,
        windows_used,
        windows_gated,
        windows_empty,
        steps,
        malformed,
        version1,
        other_version,
        unhandled_type,
        other_sdo,
        other_domain,
        own,
        alternate_master,
        unicast,
        wrong_socket,
        port_disabled,
        steps_removed,
        foreign_full,
        not_parent,
        unmatched,
        other_requester,
        unrequested,
        not_leading,
        correction_range,
        receipt_not_rising,
        origin_not_rising,
        outliers,
        too_early,
        transmit_timestamp_missing,
        queue_full,
    } = *counters;
    json!({
        "announces": announces, "syncs": syncs, "delay_responses": delay_responses,
        "delay_requests_sent": delay_requests_sent, "delay_requests_answered": delay_requests_answered,
        "windows_used": windows_used, "windows_gated": windows_gated, "windows_empty": windows_empty,
        "steps": steps, "malformed": malformed, "version1": version1, "other_version": other_version,
        "unhandled_type": unhandled_type, "other_sdo": other_sdo, "other_domain": other_domain, "own": own,
        "alternate_master": alternate_master, "unicast": unicast, "wrong_socket": wrong_socket,
        "port_disabled": port_disabled, "steps_removed": steps_removed, "foreign_full": foreign_full,
        "not_parent": not_parent, "unmatched": unmatched, "other_requester": other_requester,
        "unrequested": unrequested, "not_leading": not_leading, "correction_range": correction_range,
        "receipt_not_rising": receipt_not_rising, "origin_not_rising": origin_not_rising, "outliers": outliers,
        "too_early": too_early,        "transmit_timestamp_missing": transmit_timestamp_missing, "queue_full": queue_full,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use wireloom_ptp::{Config, Engine};
    use wireloom_units::ClockIdentity;

    #[test]
    fn the_reason_for_no_clock_of_the_network_is_said() {
        let engine: Engine = Engine::new(Config::follower(ClockIdentity([1; 8])), 1);
        let plain = engine.status(0);
        let mut version_1 = plain;
        version_1.counters.version1 = 8;
        assert_eq!(why_none(None), "No network clock is heard");
        assert_eq!(why_none(Some((&plain, 0))), "No network clock is heard");
        let elsewhere = Status { other_domain: Some(127), ..version_1 };
        let said = why_none(Some((&elsewhere, 0)));
        assert_eq!(said, "No network clock is heard in PTP domain 0, but one in domain 127");
        assert!(why_none(Some((&version_1, 0))).starts_with("Only PTPv1 is heard"));
    }
}
