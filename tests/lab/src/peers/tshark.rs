//! tshark: what the packets on the wire say, read by a decoder that is not ours.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::Context;

use crate::host::Host;
use crate::peers::RtpStream;
use crate::process::Process;

/// What tshark read from one RTP packet.
#[derive(Debug, Clone, PartialEq)]
pub struct RtpFrame {
    /// When it passed, in seconds of the machine's clock.
    pub time: f64,
    /// RTP sequence number.
    pub sequence: u16,
    /// RTP timestamp.
    pub timestamp: u32,
    /// RTP payload type.
    pub payload_type: u8,
    /// RTP synchronisation source.
    pub ssrc: u32,
    /// Octets after the RTP header.
    pub payload: usize,
    /// IP time to live.
    pub ttl: u8,
    /// Differentiated services code point.
    pub dscp: u8,
}

const FIELDS: [&str; 6] =
    ["frame.time_epoch", "rtp.seq", "rtp.timestamp", "rtp.p_type", "rtp.ssrc", "udp.length"];
/// Time to live and DSCP, in the order of [`FIELDS`] and behind them.
const IP_FIELDS: [&str; 2] = ["ip.ttl", "ip.dsfield.dscp"];
const PAYLOAD_FIELDS: [&str; 4] = ["frame.time_epoch", "ip.dst", "rtp.timestamp", "rtp.payload"];
const IPV6_FIELDS: [&str; 2] = ["ipv6.hlim", "ipv6.tclass.dscp"];

/// A capture that ends by itself after `packets` packets of the stream.
pub struct Capture {
    process: Process,
}

impl Capture {
    /// Starts capturing on the host's `eth0`; returns when packets are being captured.
    pub fn start(host: &Host, stream: &RtpStream, packets: usize) -> anyhow::Result<Self> {
        let filter = format!("udp port {} and host {}", stream.port, stream.address);
        let of_family = if stream.address.is_ipv4() { IP_FIELDS } else { IPV6_FIELDS };
        let fields = [&FIELDS[..], &of_family].concat();
        Ok(Self { process: start(host, &filter, &stream.port.to_string(), packets, &fields)? })
    }

    /// Waits for the end and returns the packets in the order in which they passed. What was captured twice, at the
    /// very same time of the kernel, passed once: that has been seen of the first packet of a capture.
    pub fn finish(self, limit: Duration) -> anyhow::Result<Vec<RtpFrame>> {
        let mut packets = finish(self.process, limit, FIELDS.len() + IP_FIELDS.len(), parse)?;
        packets.dedup();
        Ok(packets)
    }
}

/// What one RTP packet carried.
#[derive(Debug, Clone, PartialEq)]
pub struct RtpPayload {
    /// When it passed, in seconds of the machine's clock.
    pub time: f64,
    /// The group or host that it was sent to.
    pub address: IpAddr,
    /// RTP timestamp.
    pub timestamp: u32,
    /// The samples.
    pub bytes: Vec<u8>,
}

/// Reads the next `packets` packets that pass `filter`, of whatever streams, in the order in which they pass; `ports`
/// are those of RTP, one or a range like `5004-5010`.
pub fn payloads(
    host: &Host,
    filter: &str,
    ports: &str,
    packets: usize,
    limit: Duration,
) -> anyhow::Result<Vec<RtpPayload>> {
    PayloadCapture::start(host, filter, ports, packets)?.finish(limit)
}

/// A capture of what packets carry, as [`payloads`] makes it, while something else goes on.
pub struct PayloadCapture {
    process: Process,
}

impl PayloadCapture {
    /// Returns when packets are being captured.
    pub fn start(host: &Host, filter: &str, ports: &str, packets: usize) -> anyhow::Result<Self> {
        Ok(Self { process: start(host, filter, ports, packets, &PAYLOAD_FIELDS)? })
    }

    /// Waits for the end and returns the packets in the order in which they passed.
    pub fn finish(self, limit: Duration) -> anyhow::Result<Vec<RtpPayload>> {
        finish(self.process, limit, PAYLOAD_FIELDS.len(), parse_payload)
    }
}

/// Returns when packets are being captured; it ends by itself after `packets` of them.
fn start(host: &Host, filter: &str, ports: &str, packets: usize, fields: &[&str]) -> anyhow::Result<Process> {
    let decode = format!("udp.port=={ports},rtp");
    let count = packets.to_string();
    let fixed =
        ["-i", "eth0", "-l", "-f", filter, "-d", &decode, "-c", &count, "-T", "fields", "-E", "separator=;"];
    let fields = fields.iter().flat_map(|field| ["-e", field]);
    let mut process = host.spawn("tshark", fixed.into_iter().chain(fields))?;
    process.says("Capturing on", crate::wait::SOON)?;
    Ok(process)
}

fn finish<T>(
    mut process: Process,
    limit: Duration,
    fields: usize,
    parse: fn(&str) -> Option<T>,
) -> anyhow::Result<Vec<T>> {
    process.succeeds(limit)?;
    let log = process.log();
    let lines = log.lines().filter(|line| line.matches(';').count() == fields - 1);
    lines.map(|line| parse(line).with_context(|| format!("tshark printed {line:?}"))).collect()
}

fn parse_payload(line: &str) -> Option<RtpPayload> {
    let mut fields = line.split(';');
    let time = fields.next()?.parse().ok()?;
    let (address, timestamp) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let octets: String = fields.next()?.split(':').collect(); // newer versions print no colons
    let octet = |at: usize| u8::from_str_radix(octets.get(2 * at..2 * at + 2)?, 16).ok();
    Some(RtpPayload {
        time,
        address,
        timestamp,
        bytes: (0..octets.len() / 2).map(octet).collect::<Option<_>>()?,
    })
}

fn parse(line: &str) -> Option<RtpFrame> {
    let mut fields = line.split(';');
    Some(RtpFrame {
        time: fields.next()?.parse().ok()?,
        sequence: fields.next()?.parse().ok()?,
        timestamp: fields.next()?.parse().ok()?,
        payload_type: fields.next()?.parse().ok()?,
        ssrc: u32::from_str_radix(fields.next()?.strip_prefix("0x")?, 16).ok()?,
        payload: fields.next()?.parse::<usize>().ok()?.checked_sub(8 + 12)?,
        ttl: fields.next()?.parse().ok()?,
        dscp: fields.next()?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_read_as_old_and_new_versions_print_it() {
        for octets in ["00:7f:ff", "007fff"] {
            let payload = parse_payload(&format!("1.5;239.69.1.2;4294967295;{octets}")).expect("complete");
            assert_eq!((payload.timestamp, &payload.bytes[..]), (u32::MAX, &[0, 0x7f, 0xff][..]));
        }
        assert_eq!(parse_payload("1.5;239.69.1.2;1;00:fx"), None);
    }

    #[test]
    fn a_line_of_fields_is_read() {
        let frame = parse("1795260000.123456789;65535;4294967295;98;0x1234abcd;308;32;34").expect("complete");
        assert_eq!((frame.sequence, frame.timestamp, frame.payload), (65_535, u32::MAX, 288));
        assert_eq!((frame.ssrc, frame.ttl, frame.dscp), (0x1234_abcd, 32, 34));
        assert_eq!(parse("1.0;1;2;98;0x1;7;32;34"), None, "too short for an RTP header");
    }
}
