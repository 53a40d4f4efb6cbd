use alloc::{string::String, vec, vec::Vec};

use wireloom_units::{Samples, Ssrc};

use crate::{
    Allow, Delivery, Leg, MediaClock, Origin, Reason, Stream, Vendor,
    address::{Connection, check_destination},
    channel_names::{parameter, parse_names, parse_order},
    display::for_display,
    format::{Format, MediaLine, split_map},
    media_clock::says_deviation,
    packet_time::{default_frames, frames, parse_frame_count, parse_milliseconds},
    scope::Scope,
    section_clocks::read_clocks,
    source_filter::SourceFilter,
    warning::{Finding, Notes},
};

/// Why a section cannot be played, and the line that says so.
pub(crate) type Refused = (Reason, Option<u16>);

/// Reads one audio section as a stream with one leg.
pub(crate) fn read_section(
    scope: Scope<'_>,
    media: MediaLine<'_>,
    origin: &Origin,
    allow: Allow,
    notes: &mut Notes,
) -> Result<Stream, Refused> {
    let media_line = scope.own.line('m').map(|line| line.number);
    if let Some(line) = encryption(scope) {
        return Err((Reason::Encrypted, Some(line)));
    }
    let chosen = choose_format(scope, media, media_line, notes)?;
    let Format { encoding, rate, channels } = chosen.format;
    if media.has_range {
        notes.add(media_line, Finding::PortRange);
    }
    if media.port % 2 == 1 {
        notes.add(media_line, Finding::OddPort(media.port));
    }
    let leg = read_leg(scope, media, origin, allow, notes)?;
    let parameters = chosen.parameters(scope);
    let time = read_packet_time(scope, chosen.format, largest_payload(parameters), notes);
    let mut stream = Stream {
        origin: origin.clone(),
        name: String::new(),
        raw_name: String::new(),
        info: String::new(),
        labels: Vec::new(),
        symbols: Vec::new(),
        encoding,
        rate,
        channels,
        payload_type: chosen.payload_type,
        payload_type_doubtful: chosen.doubtful,
        ssrc: read_ssrc(scope, notes),
        ptime: time.declared,
        samples_per_packet: time.frames,
        max_samples_per_packet: time.max_frames,
        legs: split_sources(scope, leg),
        refclk_text: None,
        refclk: Vec::new(),
        clock_domain: None,
        media_clock: MediaClock::Unknown,
        clock_deviates: scope.attribute("clock-deviation").is_some_and(says_deviation),
        paused: scope.direction() == Some("inactive"),
        delivery: Delivery::Multicast,
        stop_time: stop_time(scope),
        vendor: read_vendor(scope),
    };
    let too_big = stream.payload_octets() > largest_payload(parameters);
    if stream.ptime.is_some() && too_big {
        return Err((Reason::PacketSize(stream.payload_octets()), time.line));
    }
    if stream.paused {
        notes.add(media_line, Finding::Inactive);
    }
    if let Some((line, _)) = scope.attributes("hkep").first() {
        notes.add(line.number, Finding::Hdcp);
    }
    if stream.clock_deviates {
        notes.add(None, Finding::ClockDeviation);
    }
    stream.delivery = read_delivery(scope, &stream, notes);
    read_texts(scope, &mut stream, parameters, notes);
    read_clocks(scope, &mut stream, notes);
    Ok(stream)
}

/// The line that says that the payload is encrypted (VSF TR-10-13 §13): as sound that would be noise.
fn encryption(scope: Scope<'_>) -> Option<u16> {
    let is_used =
        |value| parameter(value, "protocol").is_some_and(|protocol| !protocol.eq_ignore_ascii_case("NULL"));
    let lines = scope.attributes("privacy");
    lines.into_iter().find(|&(_, value)| is_used(value)).map(|(line, _)| line.number)
}

/// A payload type and what it stands for.
struct Chosen {
    payload_type: u8,
    format: Format,
    doubtful: bool,
}

impl Chosen {
    /// The `fmtp` parameters of the payload type; empty when there are none.
    fn parameters<'a>(&self, scope: Scope<'a>) -> &'a str {
        let of_type = scope.attributes("fmtp").into_iter().filter_map(|(_, value)| split_map(value));
        of_type.filter(|&(number, _)| number == self.payload_type).map(|(_, text)| text).next().unwrap_or("")
    }
}

/// The first payload type of `m=` that has a format carried here; else the only other one described.
fn choose_format(
    scope: Scope<'_>,
    media: MediaLine<'_>,
    media_line: Option<u16>,
    notes: &mut Notes,
) -> Result<Chosen, Refused> {
    let mut first_reason = None;
    let mut formats: Vec<(u8, Format)> = Vec::new();
    let mut refused: Vec<u8> = Vec::new();
    for (line, value) in scope.attributes("rtpmap") {
        let Some((payload_type, map)) = split_map(value) else {
            notes.add(line.number, Finding::Codec);
            continue;
        };
        match Format::parse(payload_type, map, |finding| notes.add(line.number, finding)) {
            Ok(format) if formats.iter().all(|&(known, _)| known != payload_type) => {
                formats.push((payload_type, format));
            }
            Ok(_) => {}
            Err(reason) => {
                notes.add(line.number, Finding::Codec);
                refused.push(payload_type);
                first_reason = first_reason.or(Some((reason, Some(line.number))));
            }
        }
    }
    let described =
        |number: u8| formats.iter().find(|&&(known, _)| known == number).map(|&(_, format)| format);
    // What a static type stands for counts only where no line says something else.
    let of_static = |number: u8| Format::of_static(number).filter(|_| !refused.contains(&number));
    let listed = media.payload_types().find_map(|payload_type| {
        let format = described(payload_type).or_else(|| of_static(payload_type))?;
        Some(Chosen { payload_type, format, doubtful: false })
    });
    match (listed, &*formats) {
        (Some(chosen), _) => Ok(chosen),
        (None, &[(payload_type, format)]) => {
            notes.add(media_line, Finding::PayloadTypeMismatch(payload_type));
            Ok(Chosen { payload_type, format, doubtful: true })
        }
        (None, _) => Err(first_reason.unwrap_or((Reason::NoCodec, media_line))),
    }
}

fn read_leg(
    scope: Scope<'_>,
    media: MediaLine<'_>,
    origin: &Origin,
    allow: Allow,
    notes: &mut Notes,
) -> Result<Leg, Refused> {
    let media_line = scope.own.line('m').map(|line| line.number);
    let line = scope.line('c').ok_or((Reason::NoAddress, media_line))?;
    let refused = |reason| (reason, Some(line.number));
    let connection =
        Connection::parse(&line.value, |finding| notes.add(line.number, finding)).map_err(refused)?;
    let address = connection.address;
    let note = |finding| notes.add(line.number, finding);
    check_destination(address, allow.loopback, note).map_err(refused)?;
    let (sources, excluded) = read_sources(scope, connection, notes);
    let near =
        sources.first().copied().or_else(|| origin.ip()).filter(|near| near.is_ipv4() == address.is_ipv4());
    Ok(Leg { address, port: media.port, ttl: connection.ttl, sources, excluded, near })
}

/// With `ssrc-group:DUP` each source of a section is a leg of its own (RFC 7104 §4.1).
fn split_sources(scope: Scope<'_>, leg: Leg) -> Vec<Leg> {
    let is_duplication = |(_, value): (_, &str)| value.trim_start().to_ascii_uppercase().starts_with("DUP ");
    let duplicated = scope.own.attributes("ssrc-group").any(is_duplication);
    if !duplicated || !(2..=4).contains(&leg.sources.len()) {
        return vec![leg];
    }
    let of_source = |&source| Leg { sources: vec![source], near: Some(source), ..leg.clone() };
    leg.sources.iter().map(of_source).collect()
}

/// The one SSRC that the `ssrc` lines of the section are about; each of several attributes has a line of its own.
fn read_ssrc(scope: Scope<'_>, notes: &mut Notes) -> Option<Ssrc> {
    let mut found = None;
    for (line, value) in scope.own.attributes("ssrc") {
        let Some(ssrc) = value.split_whitespace().next().and_then(|number| number.parse().ok()).map(Ssrc)
        else {
            notes.add(line.number, Finding::Ssrc);
            return None;
        };
        if found.is_some_and(|known| known != ssrc) {
            return None;
        }
        found = Some(ssrc);
    }
    found
}

/// Wanted and unwanted senders of a destination, by the filters of the nearest section that has one for it.
fn read_sources(
    scope: Scope<'_>,
    connection: Connection,
    notes: &mut Notes,
) -> (Vec<core::net::IpAddr>, Vec<core::net::IpAddr>) {
    let destination = connection.address;
    let mut found = (Vec::new(), Vec::new());
    let sections = [Some(scope.own), Some(scope.session), scope.first_leg];
    for (rank, section) in sections.into_iter().flatten().enumerate() {
        for (line, value) in section.attributes("source-filter") {
            let Some(filter) = SourceFilter::parse(value, |finding| notes.add(line.number, finding)) else {
                notes.add(line.number, Finding::SourceFilter);
                continue;
            };
            // Another leg's filter for "any destination" says nothing about this one.
            let applies = filter.destination.map_or(rank < 2, |wanted| wanted == destination);
            if !applies {
                if rank == 0 {
                    notes.add(line.number, Finding::SourceFilterElsewhere);
                }
                continue;
            }
            let list = if filter.include { &mut found.0 } else { &mut found.1 };
            for source in filter.sources {
                if source.is_ipv4() == destination.is_ipv4()
                    && !list.contains(&source)
                    && list.len() < MAX_SOURCES
                {
                    list.push(source);
                }
            }
        }
        if !found.0.is_empty() || !found.1.is_empty() {
            break;
        }
    }
    found
}

/// Packet time and frames.
struct PacketTime {
    declared: Option<wireloom_units::Nanos>,
    frames: Samples,
    max_frames: Samples,
    line: Option<u16>,
}

fn read_packet_time(scope: Scope<'_>, format: Format, largest: u32, notes: &mut Notes) -> PacketTime {
    let rate = format.rate;
    let assumed =
        || default_frames(rate, u32::from(format.channels.count()) * format.encoding.bytes(), largest);
    let mut values = Vec::new();
    for (line, value) in scope.attributes("ptime") {
        let usable = parse_milliseconds(value).and_then(|time| Some((time, frames(time, rate)?)));
        if usable.is_none() {
            notes.add(line.number, Finding::PacketTime);
        }
        values.push((line.number, usable));
    }
    let line = values.first().map(|&(number, _)| number);
    let first = values.iter().find_map(|&(_, usable)| usable);
    // One line that makes no sense, or two that differ, make all of them doubtful.
    let agree = values.iter().all(|&(_, usable)| usable == first);
    if let Some(&(number, _)) = values.iter().find(|(_, usable)| usable.is_some() && *usable != first) {
        notes.add(number, Finding::PacketTimeTwice);
    }
    let counted = scope.attributes("framecount").first().and_then(|&(line, value)| {
        let preferred = first.map_or_else(assumed, |(_, frames)| frames);
        let count = parse_frame_count(value, preferred);
        match (count, first) {
            (None, _) => notes.add(line.number, Finding::FrameCountUnreadable),
            (Some(count), Some((_, frames))) if !counts_same(count, frames, format) => {
                notes.add(line.number, Finding::FrameCount(count.0));
            }
            _ => {}
        }
        count
    });
    if values.is_empty() && counted.is_none() {
        notes.add(None, Finding::PacketTimeMissing);
    }
    let frames_meant = first.map(|(_, frames)| frames).or(counted).unwrap_or_else(assumed);
    let longest =
        scope.attribute("maxptime").and_then(parse_milliseconds).and_then(|time| frames(time, rate));
    PacketTime {
        declared: first.filter(|_| agree).map(|(time, _)| time),
        frames: frames_meant,
        max_frames: longest.map_or(frames_meant, |longest| longest.max(frames_meant)),
        line,
    }
}

/// Some makers count frames at 48 kHz whatever the rate.
fn counts_same(counted: Samples, frames: Samples, format: Format) -> bool {
    let multiple = (format.rate.hz() + 24_000) / 48_000;
    counted == frames || counted.0.checked_mul(multiple) == Some(frames.0)
}

/// 1460 octets, or as many as a jumbo frame carries when the sender says that it uses them (ST 2110-10 MAXUDP).
fn largest_payload(parameters: &str) -> u32 {
    if parameter(parameters, "MAXUDP").is_some() { 8960 } else { 1460 }
}

fn read_delivery(scope: Scope<'_>, stream: &Stream, notes: &mut Notes) -> Delivery {
    let (address, _) = stream.destination();
    let line = scope.line('c').map(|line| line.number);
    if address.is_multicast() {
        Delivery::Multicast
    } else if scope.direction() == Some("sendonly") {
        notes.add(line, Finding::SipOffer);
        Delivery::SipOffer(address)
    } else if stream.origin.ip() == Some(address) {
        notes.add(line, Finding::SenderAddress);
        Delivery::SenderAddress(address)
    } else {
        notes.add(line, Finding::Unicast);
        Delivery::Unicast
    }
}

fn read_texts(scope: Scope<'_>, stream: &mut Stream, parameters: &str, notes: &mut Notes) {
    let info = scope.line('i');
    stream.raw_name = scope.session.line('s').map(|line| line.value.clone()).unwrap_or_default();
    stream.info = info.map(|line| for_display(&line.value)).unwrap_or_default();
    stream.name = for_display(&stream.raw_name);
    if stream.name.is_empty() {
        stream.name = stream.info.clone();
    }
    if stream.name.is_empty() {
        stream.name = for_display(&stream.origin.address);
    }
    let channels = stream.channels.count();
    let names = info.and_then(|line| Some((line, parse_names(&line.value, channels)?)));
    match names {
        Some((_, Ok(names))) => stream.labels = names,
        Some((line, Err(finding))) => notes.add(line.number, finding),
        None => {}
    }
    match parse_order(parameters, channels) {
        Some(Ok(symbols)) => stream.symbols = symbols,
        Some(Err(finding)) => notes.add(None, finding),
        None => {}
    }
}

fn stop_time(scope: Scope<'_>) -> u64 {
    let times = scope.session.line('t').map(|line| line.value.as_str()).unwrap_or_default();
    times.split_whitespace().nth(1).and_then(|stop| stop.parse().ok()).unwrap_or(0)
}

fn read_vendor(scope: Scope<'_>) -> Vendor {
    let text = |name| scope.attribute(name).unwrap_or_default().into();
    Vendor { keywds: text("keywds"), tool: text("tool"), oat: text("x-oat") }
}

const MAX_SOURCES: usize = 8; // as many as one filter line may name
