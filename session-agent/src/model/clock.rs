//! The clock that streams are compared with, and what the comparison means.

use wireloom_clock_page::{Line, LineState, Source};
use wireloom_sdp::{OurClock, RefClk, Relation, Stream};
use wireloom_units::ClockIdentity;
use wireloom_wanted::ClockRelation;

use super::{ClockFacts, Model};

/// Id, source word and number of a line.
pub fn naming(source: Source) -> (String, &'static str, u32) {
    match source {
        Source::PtpV2(domain) => (format!("ptpv2-{domain}"), "ptpv2", u32::from(domain)),
        Source::PtpV1(domain) => (format!("ptpv1-{domain}"), "ptpv1", u32::from(domain)),
        Source::Phc(number) => (format!("phc-{number}"), "phc", u32::from(number)),
        Source::System => ("system".to_owned(), "system", 0),
        Source::FreeRunning => ("free".to_owned(), "free", 0),
    }
}

pub fn state_word(state: LineState) -> &'static str {
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

/// A line in words, for the journal: "ptpv2-0 is locked, grandmaster 00-1D-C1-FF-FE-12-00-A4 (generation 1)".
pub fn line_text(line: &Line) -> String {
    let (id, ..) = naming(line.source);
    let leader = (line.leader != ClockIdentity::default()).then(|| format!(", grandmaster {}", line.leader));
    format!(
        "{id} is {}{} (generation {})",
        state_word(line.state),
        leader.unwrap_or_default(),
        line.generation
    )
}

impl Model {
    /// The clock page was read.
    pub fn handle_clock(&mut self, facts: ClockFacts) {
        self.clock = facts;
    }

    /// What the clock service said of itself last.
    pub fn clock_service(&self) -> &str {
        &self.clock.service
    }

    /// The line that counts, while the clock service lives.
    pub fn living_line(&self) -> Option<&Line> {
        self.active_line().filter(|_| self.clock.alive)
    }

    /// The line that counts: the configured domain's, else the best one of the ladder.
    pub(super) fn active_line(&self) -> Option<&Line> {
        if let Some(domain) = self.settings.clock_domain {
            return self.clock.lines.iter().find(|line| line.source == Source::PtpV2(domain));
        }
        let ranked = self.clock.lines.iter().filter_map(|line| Some((line.rung()?, line)));
        ranked.reduce(|best, other| if other.0 < best.0 { other } else { best }).map(|(_, line)| line)
    }

    /// Our grandmaster, while there is one.
    pub(super) fn our_clock(&self) -> Option<OurClock> {
        let line = self.active_line()?;
        let Source::PtpV2(domain) = line.source else { return None };
        let follows = matches!(
            line.state,
            LineState::Tracking | LineState::Locked | LineState::Holdover | LineState::Leader
        );
        let time_traceable = self.clock.traceable_domains.contains(&domain);
        (follows && line.leader != ClockIdentity::default()).then_some(OurClock {
            grandmaster: line.leader,
            domain,
            time_traceable,
        })
    }
}

/// How `stream` relates to our clock, with a sentence for people.
pub fn relate(stream: &Stream, ours: Option<&OurClock>) -> (ClockRelation, &'static str) {
    let Some(ours) = ours else {
        return (ClockRelation::Other, "This computer follows no PTP grandmaster: the stream is resampled.");
    };
    match stream.clock_relation(ours) {
        Relation::Same => {
            (ClockRelation::Same, "Same grandmaster as this computer: played by its timestamps.")
        }
        Relation::AssumedSame => (
            ClockRelation::Unknown,
            "Probably the same time as this computer's: played by its timestamps once packets confirm it.",
        ),
        Relation::Unknown => (
            ClockRelation::Unknown,
            "The description does not say which clock it follows: the packets decide.",
        ),
        Relation::OtherMaster => (
            ClockRelation::Unknown,
            "Another grandmaster is announced, perhaps from before a change: the packets decide.",
        ),
        Relation::OtherDomain => {
            (ClockRelation::Other, "It follows another PTP domain than this computer: it is resampled.")
        }
        Relation::FreeRunning => (ClockRelation::Other, "It runs on its own clock: it is resampled."),
    }
}

/// Whether nothing says that `stream` follows another clock than ours.
pub fn agrees(stream: &Stream, ours: Option<&OurClock>) -> bool {
    ours.is_some_and(|ours| {
        matches!(stream.clock_relation(ours), Relation::Same | Relation::AssumedSame | Relation::Unknown)
    })
}

/// The reference clock that own streams announce.
pub fn announced(ours: Option<&OurClock>, mac: [u8; 6]) -> RefClk {
    match ours {
        Some(ours) => RefClk::Ptp {
            version: wireloom_sdp::PtpVersion::V2,
            identity: Some(ours.grandmaster),
            domain: Some(ours.domain),
            widened: false,
        },
        None => RefClk::LocalMac(mac),
    }
}

#[cfg(test)]
mod tests {
    use wireloom_units::TaiTime;

    use super::*;

    #[test]
    fn a_line_is_told_in_words() {
        let line = |source, state, leader| {
            let time = TaiTime::from_nanos(0);
            let leader = ClockIdentity(leader);
            line_text(&Line {
                source,
                state,
                generation: 2,
                base: 0,
                time,
                rate: 0,
                error_bound_ns: 0,
                leader,
            })
        };
        assert_eq!(
            line(Source::FreeRunning, LineState::FreeRunning, [0; 8]),
            "free is free-running (generation 2)"
        );
        assert_eq!(
            line(Source::PtpV2(0), LineState::Locked, [0x00, 0x1d, 0xc1, 0xff, 0xfe, 0x12, 0x00, 0xa4]),
            "ptpv2-0 is locked, grandmaster 00-1D-C1-FF-FE-12-00-A4 (generation 2)"
        );
    }
}
