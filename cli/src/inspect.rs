//! `wireloom inspect`: what a file says, without asking any service.

use std::{
    fs::File,
    io::{self, Read, Write},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde::Serialize;
use wireloom_sdp::{Delivery, Kind, Leg, Parsed, Reason, Refusal, Stream, Warning};

/// Read a file and say what is in it.
#[derive(Debug, Args)]
pub struct Inspect {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Sdp(Sdp),
}

/// Show the audio streams of a session description.
///
/// Exits with 0 when there is at least one playable audio stream, with 1 otherwise.
#[derive(Debug, Args)]
struct Sdp {
    /// File with the description; `-` is standard input.
    file: String,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

impl Inspect {
    /// Does it and gives the exit status.
    pub fn run(self) -> ExitCode {
        let What::Sdp(sdp) = self.what;
        match sdp.run() {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                eprintln!("wireloom: {error:#}");
                ExitCode::FAILURE
            }
        }
    }
}

impl Sdp {
    /// Whether a playable stream was found.
    fn run(&self) -> anyhow::Result<bool> {
        let input = read_input(&self.file);
        let result = input.as_ref().map(|bytes| wireloom_sdp::read(bytes));
        let mut out = io::stdout().lock();
        let written = match (&result, self.json) {
            (Ok(result), true) => Report::new(result).print(&mut out),
            (Ok(result), false) => print_text(&mut out, result),
            // A program gets its document whatever happens.
            (Err(error), true) => Report::unreadable(error).print(&mut out),
            (Err(_), false) => Ok(()),
        };
        match written {
            // The reader of a pipe has enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            other => other.context("writing to standard output")?,
        }
        let is_playable = matches!(result, Ok(Ok(_)));
        input.map(|_| is_playable)
    }
}

/// All of the input, or its first 64 KiB: the reading says that the rest was not looked at.
fn read_input(file: &str) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if file == "-" {
        io::stdin().lock().take(MAX_INPUT).read_to_end(&mut bytes).context("reading standard input")?;
    } else {
        let reading = || format!("reading {file}");
        File::open(file)
            .with_context(reading)?
            .take(MAX_INPUT)
            .read_to_end(&mut bytes)
            .with_context(reading)?;
    }
    Ok(bytes)
}

/// The documented form of `--json`.
#[derive(Serialize)]
struct Report<'a> {
    streams: Vec<StreamReport<'a>>,
    warnings: Vec<String>,
    error: Option<ErrorReport>,
}

#[derive(Serialize)]
struct StreamReport<'a> {
    name: &'a str,
    channels: u16,
    rate: u32,
    encoding: &'static str,
    payload_type: u8,
    ptime_us: Option<serde_json::Number>,
    samples_per_packet: u32,
    legs: Vec<LegReport>,
    refclk: Option<&'a str>,
    media_offset: Option<u32>,
}

#[derive(Serialize)]
struct LegReport {
    address: String,
    port: u16,
    ttl: Option<u8>,
    source: Option<String>,
}

#[derive(Serialize)]
struct ErrorReport {
    kind: &'static str,
    message: String,
}

impl<'a> Report<'a> {
    fn new(result: &'a Result<Parsed, Refusal>) -> Self {
        let (streams, warnings, error) = match result {
            Ok(parsed) => (&*parsed.streams, &parsed.warnings, None),
            Err(refusal) => {
                let error =
                    ErrorReport { kind: refusal.reason.kind().as_str(), message: refusal.to_string() };
                (&[][..], &refusal.warnings, Some(error))
            }
        };
        let warnings = warnings.iter().map(Warning::to_string).collect();
        Self { streams: streams.iter().map(StreamReport::new).collect(), warnings, error }
    }

    /// Of a file that there is not, or that cannot be read.
    fn unreadable(error: &anyhow::Error) -> Self {
        let error = ErrorReport { kind: Kind::NotSdp.as_str(), message: format!("{error:#}") };
        Self { streams: Vec::new(), warnings: Vec::new(), error: Some(error) }
    }

    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut *out, self)?;
        writeln!(out)
    }
}

impl<'a> StreamReport<'a> {
    fn new(stream: &'a Stream) -> Self {
        Self {
            name: &stream.name,
            channels: stream.channels.count(),
            rate: stream.rate.hz(),
            encoding: stream.encoding.as_str(),
            payload_type: stream.payload_type,
            ptime_us: stream.ptime.and_then(|time| microseconds(time.0)),
            samples_per_packet: stream.samples_per_packet.0,
            legs: stream.legs.iter().map(LegReport::new).collect(),
            refclk: stream.refclk_text.as_deref(),
            media_offset: stream.media_clock.offset(),
        }
    }
}

impl LegReport {
    fn new(leg: &Leg) -> Self {
        Self {
            address: leg.address.to_string(),
            port: leg.port,
            ttl: leg.ttl,
            source: leg.sources.first().map(ToString::to_string),
        }
    }
}

/// An integer as long as it is one: `1.088435` ms is 1088.435.
fn microseconds(nanos: u64) -> Option<serde_json::Number> {
    if nanos.is_multiple_of(1000) {
        return Some((nanos / 1000).into());
    }
    serde_json::Number::from_f64(nanos as f64 / 1000.0)
}

fn print_text(out: &mut impl Write, result: &Result<Parsed, Refusal>) -> io::Result<()> {
    let warnings = match result {
        Ok(parsed) => {
            for stream in &parsed.streams {
                print_stream(out, stream)?;
            }
            &parsed.warnings
        }
        Err(refusal) => {
            writeln!(out, "not playable: {refusal}")?;
            if refusal.reason == Reason::NotSdp {
                return Ok(()); // of whatever else it is, every line would be odd
            }
            &refusal.warnings
        }
    };
    for warning in warnings {
        writeln!(out, "warning: {warning}")?;
    }
    Ok(())
}

fn print_stream(out: &mut impl Write, stream: &Stream) -> io::Result<()> {
    writeln!(out, "{}", if stream.name.is_empty() { "stream without a name" } else { &stream.name })?;
    let mut row = |name: &str, value: String| writeln!(out, "  {name:<13} {value}");
    let Stream { encoding, rate, channels, .. } = stream;
    row("format", format!("{encoding}, {rate}, {channels}, payload type {}", stream.payload_type))?;
    let declared = match stream.ptime {
        Some(time) => format!("{} ms", time.0 as f64 / 1e6),
        None => "not declared".to_owned(),
    };
    let octets = stream.payload_octets();
    row("packet", format!("{}, {declared}, {octets} octets", stream.samples_per_packet))?;
    for leg in &stream.legs {
        let mut text = format!("{}, port {}", leg.address, leg.port);
        if let Some(ttl) = leg.ttl {
            text += &format!(", TTL {ttl}");
        }
        for source in &leg.sources {
            text += &format!(", from {source}");
        }
        row("leg", text)?;
    }
    row("delivery", delivery(stream.delivery).to_owned())?;
    row("clock", wireloom_sdp::for_display(stream.refclk_text.as_deref().unwrap_or("not named")))?;
    let offset = stream.media_clock.offset();
    row("media offset", offset.map_or("learned from packets".to_owned(), |offset| offset.to_string()))?;
    let names = if stream.labels.is_empty() { stream.symbols.join(", ") } else { stream.labels.join(", ") };
    if !names.is_empty() {
        row("channels", names)?;
    }
    if stream.paused {
        row("state", "inactive".to_owned())?;
    }
    Ok(())
}

fn delivery(delivery: Delivery) -> &'static str {
    match delivery {
        Delivery::Multicast => "multicast",
        Delivery::SenderAddress(_) => "unicast, must be asked for at the sender",
        Delivery::SipOffer(_) => "unicast, offered by SIP",
        Delivery::Unicast => "unicast to one host",
    }
}

const MAX_INPUT: u64 = 64 * 1024; // eight times what is read of a description
