//! GStreamer as RTP sender and receiver.

use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use wireloom_wanted::Encoding;

use crate::host::Host;
use crate::peers::RtpStream;
use crate::process::Process;
use crate::products::Products;
use crate::wait::{self, SOON};

/// Sends the stream's [`crate::PositionCode`] from its frame 0 on, until the process is dropped.
///
/// GStreamer paces itself by the machine's own clock.
pub fn sender(host: &Host, stream: &RtpStream) -> anyhow::Result<Process> {
    let mut process = host.start("gst-launch-1.0", sender_command(host, stream, true))?;
    super::feed(process.stdin().context("a piped input")?, stream)?;
    Ok(process)
}

/// A sender that keeps the time of a device on a network clock.
#[derive(Debug)]
pub struct PacedSender {
    pacer: Process,
    gstreamer: Process,
}

impl PacedSender {
    /// Errors: one of its programs has ended.
    pub fn is_alive(&mut self) -> anyhow::Result<()> {
        self.pacer.is_alive()?;
        self.gstreamer.is_alive()
    }
}

/// The same signal, handed to GStreamer packet by packet, `ppm` faster than the oscillator of this machine.
pub fn paced_sender(
    host: &Host,
    products: &Products,
    stream: &RtpStream,
    ppm: f64,
) -> anyhow::Result<PacedSender> {
    paced(host, products, stream, ppm, &[])
}

/// The same with a tone of `hz` hertz at half of full scale on every channel.
pub fn paced_tone(
    host: &Host,
    products: &Products,
    stream: &RtpStream,
    ppm: f64,
    hz: u32,
) -> anyhow::Result<PacedSender> {
    ensure!(stream.encoding == Encoding::L24, "the pacer makes tones of 24 bits");
    paced(host, products, stream, ppm, &[format!("--tone={hz}")])
}

fn paced(
    host: &Host,
    products: &Products,
    stream: &RtpStream,
    ppm: f64,
    further: &[String],
) -> anyhow::Result<PacedSender> {
    ensure!(matches!(stream.encoding, Encoding::L16 | Encoding::L24), "the pacer paces L16 and L24 only");
    let (reader, writer) = std::io::pipe()?;
    let mut pacer = host.device_command(products.program("wireloom-lab-client"));
    pacer
        .args(["--name", "pacer", "--channels", &stream.channels.to_string(), "pace"])
        .arg(format!("--bits={}", stream.bits()))
        .arg(format!("--ppm={ppm}"))
        .arg(format!("--packet={}", stream.samples_per_packet))
        .args(further);
    let gstreamer = sender_command(host, stream, false);
    Ok(PacedSender {
        pacer: host.start_piped("pacer", pacer, None, Some(writer.into()))?,
        gstreamer: host.start_piped("gst-launch-1.0", gstreamer, Some(reader.into()), None)?,
    })
}

/// Announces a description by SAP (RFC 2974) once a second.
pub fn announcer(host: &Host, name: &str, description: &str) -> anyhow::Result<Process> {
    announcing(host, name, &sap_packet(host.address(), description, false), SAP_GROUP)
}

/// The same from an address of IPv6, to its group of global scope.
pub fn announcer_ipv6(host: &Host, from: Ipv6Addr, name: &str, description: &str) -> anyhow::Result<Process> {
    announcing(host, name, &sap_packet(from, description, false), SAP_GROUP_IPV6)
}

fn announcing(host: &Host, name: &str, packet: &[u8], group: &str) -> anyhow::Result<Process> {
    let file = host.directory().join(format!("{name}.sap"));
    std::fs::write(&file, packet)?;
    let location = format!("location={}", file.display());
    let source = ["-q", "multifilesrc", &location, "loop=true", "!", "identity", "sleep-time=1000000", "!"];
    host.spawn("gst-launch-1.0", source.iter().chain(&sap_sink(group)))
}

/// Withdraws a description that was announced: one deletion packet.
pub fn withdraw(host: &Host, name: &str, description: &str) -> anyhow::Result<()> {
    let file = host.directory().join(format!("{name}-deletion.sap"));
    std::fs::write(&file, sap_packet(host.address(), description, true))?;
    let location = format!("location={}", file.display());
    host.run("gst-launch-1.0", ["-q", "filesrc", &location, "!"].iter().chain(&sap_sink(SAP_GROUP))).map(drop)
}

const SAP_GROUP: &str = "host=239.255.255.255";
const SAP_GROUP_IPV6: &str = "host=ff0e::2:7ffe";

fn sap_sink(group: &str) -> [&str; 6] {
    ["udpsink", group, "port=9875", "multicast-iface=eth0", "ttl-mc=32", "sync=false"]
}

fn sap_packet(origin: impl Into<IpAddr>, description: &str, delete: bool) -> Vec<u8> {
    let origin = origin.into();
    let mut packet = vec![0x20, 0]; // version 1
    packet[0] |= if delete { 0x04 } else { 0 } | if origin.is_ipv6() { 0x10 } else { 0 };
    let hash = description.bytes().fold(1_u16, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
    packet.extend(hash.to_be_bytes());
    match origin {
        IpAddr::V4(origin) => packet.extend(origin.octets()),
        IpAddr::V6(origin) => packet.extend(origin.octets()),
    }
    packet.extend(b"application/sdp\0");
    packet.extend(description.bytes());
    packet
}

/// Sends datagrams that are no RTP to the stream's address, a hundred a second.
pub fn noise(host: &Host, stream: &RtpStream) -> anyhow::Result<Process> {
    let pipeline = format!(
        "audiotestsrc wave=silence is-live=true samplesperbuffer=480 ! audio/x-raw,rate=48000,channels=1 \
         ! udpsink host={} port={} multicast-iface=eth0 ttl-mc=32",
        stream.address, stream.port
    );
    host.spawn("gst-launch-1.0", ["-q"].into_iter().chain(pipeline.split_whitespace()))
}

/// Takes a UDP port for itself, as a careless program does; waits until it has it.
pub fn occupier(host: &Host, port: u16) -> anyhow::Result<Process> {
    bound(host, port, "reuse=false")
}

/// Takes a UDP port that it shares with others who do; waits until it has it.
pub fn sharer(host: &Host, port: u16) -> anyhow::Result<Process> {
    bound(host, port, "reuse=true")
}

fn bound(host: &Host, port: u16, reuse: &str) -> anyhow::Result<Process> {
    let sockets = || -> anyhow::Result<usize> {
        Ok(host.run("cat", ["/proc/self/net/udp"])?.matches(&format!(":{port:04X} ")).count())
    };
    let before = sockets()?;
    let argument = format!("port={port}");
    let mut process = host.spawn("gst-launch-1.0", ["-q", "udpsrc", &argument, reuse, "!", "fakesink"])?;
    wait::until(&format!("UDP port {port} being taken"), SOON, || {
        process.is_alive()?;
        Ok((sockets()? > before).then_some(()))
    })?;
    Ok(process)
}

/// Bits of a sample and number of channels, for GStreamer, which puts only 16 and 24 bits into packets: words of 32
/// bits go through it as two of 16. On the wire the octets are the same.
fn as_pcm(stream: &RtpStream) -> (u32, usize) {
    match stream.encoding {
        Encoding::L16 | Encoding::L24 => (stream.bits(), stream.channels),
        Encoding::L32 | Encoding::AM824 => (16, 2 * stream.channels),
    }
}

fn sender_command(host: &Host, stream: &RtpStream, sync: bool) -> Command {
    let (bits, channels) = as_pcm(stream);
    let packet_ns = u64::from(stream.samples_per_packet) * 1_000_000_000 / 48_000;
    let block = stream.payload_bytes();
    // Without positions GStreamer leaves the channels in our order; for eight it knows an order of its own.
    let caps = format!(
        "audio/x-raw,format=S{bits}BE,rate=48000,channels={channels},layout=interleaved,channel-mask=(bitmask)0x0"
    );
    let pipeline = format!(
        "fdsrc fd=0 blocksize={block} ! {caps} ! rawaudioparse use-sink-caps=true \
         ! rtpL{bits}pay pt={} min-ptime={packet_ns} max-ptime={packet_ns} mtu=9000 \
         ! udpsink host={} port={} multicast-iface=eth0 ttl-mc=32 auto-multicast=true sync={sync}",
        stream.payload_type, stream.address, stream.port,
    );
    let mut command = host.device_command("gst-launch-1.0");
    command.arg("-q").args(pipeline.split_whitespace());
    command
}

/// Writes the payload of every packet to `file`, in the order of arrival.
pub fn receiver(host: &Host, stream: &RtpStream, file: &Path) -> anyhow::Result<Process> {
    let (bits, _) = as_pcm(stream);
    // Two words for a sample are no channels: newer versions would put four of them into an order of their own.
    let channels = if stream.bits() == bits { stream.channels } else { 1 };
    // An order that GStreamer does not know makes it leave the channels where they are.
    let caps = format!(
        "application/x-rtp,media=(string)audio,clock-rate=(int)48000,encoding-name=(string)L{bits},\
         channel-order=(string)as-they-come,\
         encoding-params=(string){0},channels=(int){0},payload=(int){1}",
        channels, stream.payload_type,
    );
    let (address, port) = (format!("address={}", stream.address), format!("port={}", stream.port));
    let (caps, location) = (format!("caps={caps}"), format!("location={}", file.display()));
    let depay = format!("rtpL{bits}depay");
    let pipeline = ["udpsrc", &address, &port, "multicast-iface=eth0", "buffer-size=4194304", &caps];
    let sink = ["!", &depay, "!", "filesink", &location, "buffer-mode=unbuffered"];
    host.spawn("gst-launch-1.0", ["-q"].iter().chain(&pipeline).chain(&sink))
}
