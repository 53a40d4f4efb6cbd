//! GStreamer as RTP sender and receiver.

use std::path::Path;

use anyhow::Context;

use crate::host::Host;
use crate::peers::RtpStream;
use crate::process::Process;

/// Sends the stream's [`crate::PositionCode`] from its frame 0 on, until the process is dropped.
///
/// GStreamer paces itself by the machine's own clock.
pub fn sender(host: &Host, stream: &RtpStream) -> anyhow::Result<Process> {
    let (format, element) = (format!("s{}be", stream.bits()), format!("rtpL{}pay", stream.bits()));
    let packet_ns = u64::from(stream.samples_per_packet) * 1_000_000_000 / 48_000;
    let channels = stream.channels;
    let block = channels * stream.bits() as usize / 8 * stream.samples_per_packet as usize;
    let pipeline = format!(
        "fdsrc fd=0 blocksize={block} ! rawaudioparse format=pcm pcm-format={format} sample-rate=48000 num-channels={channels} \
         ! {element} pt={} min-ptime={packet_ns} max-ptime={packet_ns} mtu=9000 \
         ! udpsink host={} port={} multicast-iface=eth0 ttl-mc=32 auto-multicast=true",
        stream.payload_type, stream.address, stream.port,
    );
    let mut process =
        host.spawn("gst-launch-1.0", std::iter::once("-q").chain(pipeline.split_whitespace()))?;
    super::feed(process.stdin().context("a piped input")?, stream.code())?;
    Ok(process)
}

/// Writes the payload of every packet to `file`, in the order of arrival.
pub fn receiver(host: &Host, stream: &RtpStream, file: &Path) -> anyhow::Result<Process> {
    let bits = stream.bits();
    let caps = format!(
        "application/x-rtp,media=(string)audio,clock-rate=(int)48000,encoding-name=(string)L{bits},\
         encoding-params=(string){0},channels=(int){0},payload=(int){1}",
        stream.channels, stream.payload_type,
    );
    let (address, port) = (format!("address={}", stream.address), format!("port={}", stream.port));
    let (caps, location) = (format!("caps={caps}"), format!("location={}", file.display()));
    let depay = format!("rtpL{bits}depay");
    let pipeline = ["udpsrc", &address, &port, "multicast-iface=eth0", "buffer-size=4194304", &caps];
    let sink = ["!", &depay, "!", "filesink", &location, "buffer-mode=unbuffered"];
    host.spawn("gst-launch-1.0", ["-q"].iter().chain(&pipeline).chain(&sink))
}
