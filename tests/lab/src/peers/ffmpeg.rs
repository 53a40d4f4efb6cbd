//! FFmpeg as RTP sender and receiver.

use std::path::Path;

use anyhow::Context;

use crate::host::Host;
use crate::peers::RtpStream;
use crate::process::Process;

/// Octets of an RTP header without contributing sources.
const RTP_HEADER: usize = 12;

/// Sends the stream's [`crate::PositionCode`] from its frame 0 on, until the process is dropped.
pub fn sender(host: &Host, stream: &RtpStream) -> anyhow::Result<Process> {
    let format = format!("s{}be", stream.bits());
    let frames = stream.samples_per_packet as usize;
    let packet_size = RTP_HEADER + stream.payload_bytes();
    let RtpStream { address, port, .. } = stream;
    let mut command = host.device_command("ffmpeg");
    command
        .args(["-hide_banner", "-loglevel", "warning", "-f", &format, "-ar", "48000", "-ac"])
        .args([&stream.channels.to_string(), "-probesize", "32", "-i", "pipe:0"])
        .args(["-af", &format!("asetnsamples=n={frames},arealtime"), "-c:a", &format!("pcm_{format}")])
        .args(["-payload_type", &stream.payload_type.to_string(), "-flush_packets", "1", "-f", "rtp"])
        .arg(format!("rtp://{address}:{port}?ttl=32&localaddr={}&pkt_size={packet_size}", host.address()));
    let mut process = host.start("ffmpeg", command)?;
    super::feed(process.stdin().context("a piped input")?, stream)?;
    Ok(process)
}

/// Writes what it hears to `file`, as the big-endian integers that the packets carry.
pub fn receiver(host: &Host, stream: &RtpStream, file: &Path) -> anyhow::Result<Process> {
    let description = file.with_extension("sdp");
    std::fs::write(&description, stream.description(host.address()))?;
    let format = format!("s{}be", stream.bits());
    let arguments = ["-hide_banner", "-loglevel", "warning", "-protocol_whitelist", "file,udp,rtp"];
    // The quick start: without these it listens for seconds before it writes anything.
    let quick = ["-probesize", "32", "-analyzeduration", "0", "-fflags", "nobuffer"];
    let output = ["-c:a", "copy", "-f", &format, "-flush_packets", "1", "-y"];
    host.spawn(
        "ffmpeg",
        arguments
            .iter()
            .chain(&quick)
            .map(AsRef::as_ref)
            .chain(["-i".as_ref(), description.as_os_str()])
            .chain(output.iter().map(AsRef::as_ref))
            .chain([file.as_os_str()]),
    )
}
