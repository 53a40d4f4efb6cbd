use alloc::vec::Vec;

use crate::{
    Line, MediaClock, RefClk, Stream,
    media_clock::parse_offset,
    reference_clock::parse_clock_domain,
    scope::Scope,
    warning::{Finding, Notes},
};

/// Reads what a section says of the clocks behind its stream (RFC 7273, RAVENNA).
pub(crate) fn read_clocks(scope: Scope<'_>, stream: &mut Stream, notes: &mut Notes) {
    let domain = scope.attribute("clock-domain").and_then(parse_clock_domain);
    stream.clock_domain = domain.or_else(|| scope.attribute("ptp-domain").and_then(parse_clock_domain));
    let lines = scope.attributes("ts-refclk");
    if lines.is_empty() {
        notes.add(None, Finding::NoReferenceClock);
    }
    stream.refclk_text = lines.first().map(|&(_, value)| value.into());
    for (line, value) in lines.into_iter().take(MAX_CLOCKS) {
        let (clock, finding) = RefClk::parse_noting(value, stream.clock_domain);
        if let Some(finding) = finding {
            notes.add(line.number, finding);
        }
        stream.refclk.push(clock);
    }
    read_media_clock(scope, stream, notes);
}

fn read_media_clock(scope: Scope<'_>, stream: &mut Stream, notes: &mut Notes) {
    let lines: Vec<(&Line, &str)> = scope.attributes("mediaclk");
    let mut clocks = Vec::new();
    for &(line, value) in &lines {
        let (clock, deviates) = MediaClock::parse(value);
        if deviates {
            stream.clock_deviates = true;
            notes.add(line.number, Finding::ClockDeviation);
        }
        if clock.is_none() || clocks.first().is_some_and(|&first| first != clock) {
            notes.add(line.number, Finding::MediaClock);
        }
        clocks.push(clock);
    }
    if let Some(&first) = clocks.first() {
        // Two that differ: neither is to be trusted.
        let agree = clocks.iter().all(|&clock| clock == first);
        stream.media_clock = first.filter(|_| agree).unwrap_or_default();
        if !agree || first != Some(MediaClock::Unknown) {
            return;
        }
    }
    let offset = scope.attribute("sync-time").and_then(parse_offset);
    notes.add(None, if offset.is_some() { Finding::SyncTime } else { Finding::NoMediaClock });
    stream.media_clock = offset.map_or(MediaClock::Unknown, MediaClock::Direct);
}

const MAX_CLOCKS: usize = 8; // alternatives of one stream; two is the most ever seen
