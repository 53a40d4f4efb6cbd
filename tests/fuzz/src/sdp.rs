//! Targets of `wireloom-sdp`: descriptions, lines, and what we write after reading.

use wireloom_sdp::{Description, Document, Flavour, OurClock, Stream, read, write};
use wireloom_units::ClockIdentity;

/// Reads a description; whatever it says stays within the limits, and its lines, written again, read the same.
pub fn description(bytes: &[u8]) {
    let (document, _) = Document::parse(bytes);
    let (again, warnings) = Document::parse(document.emit().as_bytes());
    if document.emit().len() <= 8192 {
        assert_eq!(again, document);
        assert_eq!(warnings, []);
    }
    let result = read(bytes);
    assert_eq!(read(bytes), result, "reading has no memory");
    let Ok(parsed) = result else { return };
    assert!(!parsed.streams.is_empty() && parsed.streams.len() <= 16 && parsed.warnings.len() <= 64);
    for stream in &parsed.streams {
        check(stream);
    }
}

fn check(stream: &Stream) {
    let channels = usize::from(stream.channels.count());
    assert!(!stream.legs.is_empty() && stream.legs.len() <= 4);
    assert!(stream.legs.iter().all(|leg| leg.port != 0 && leg.sources.len() <= 8 && leg.excluded.len() <= 8));
    assert!(stream.labels.is_empty() || stream.labels.len() == channels);
    assert!(stream.symbols.is_empty() || stream.symbols.len() == channels);
    assert!(stream.samples_per_packet.0 > 0 && stream.max_samples_per_packet >= stream.samples_per_packet);
    assert!(stream.payload_type < 128 && stream.refclk.len() <= 8);
    assert!(stream.ptime.is_none() || stream.payload_octets() <= 8960);
    for text in stream.labels.iter().chain([&stream.name, &stream.info]) {
        assert!(text.chars().count() <= 128 && !text.chars().any(char::is_control));
    }
    let ours = OurClock { grandmaster: ClockIdentity([1; 8]), domain: 0, time_traceable: true };
    stream.clock_relation(&ours);
    write_again(stream);
}

/// What a stranger's stream says, announced as our own, is read as that.
fn write_again(stream: &Stream) {
    let description = Description {
        user: stream.origin.user.clone(),
        session_id: 1,
        version: 1,
        origin: stream.legs[0].address,
        name: stream.raw_name.clone(),
        labels: stream.labels.clone(),
        encoding: stream.encoding,
        rate: stream.rate,
        channels: stream.channels,
        payload_type: stream.payload_type,
        samples_per_packet: stream.samples_per_packet,
        legs: stream.legs.clone(),
        refclk: stream.refclk.first().copied(),
        media_clock: stream.media_clock,
        paused: stream.paused,
        oat: stream.vendor.oat.clone(),
    };
    // Without source filters, as Dante wants it, legs to one address are one.
    for flavour in [Flavour::Neutral, Flavour::Ravenna, Flavour::St2110] {
        let Ok(text) = write(&description, flavour) else { continue };
        let parsed = read(text.as_bytes()).expect("what we write is sound");
        assert_eq!(parsed.streams.len(), 1);
        let again = &parsed.streams[0];
        assert_eq!(
            (again.encoding, again.rate, again.channels),
            (stream.encoding, stream.rate, stream.channels)
        );
        assert_eq!(again.samples_per_packet, stream.samples_per_packet);
        assert_eq!(again.media_clock, stream.media_clock);
        assert_eq!(again.legs.len(), stream.legs.len());
    }
}

#[cfg(test)]
mod fuzzed {
    use crate::mutate::drive;

    #[test]
    fn descriptions() {
        drive("sdp", super::description);
    }
}
