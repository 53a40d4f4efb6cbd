//! Senders and receivers that we did not write.

pub mod ffmpeg;
pub mod gstreamer;
pub mod ptp4l;
pub mod tshark;

use std::io::Write;
use std::net::Ipv4Addr;
use std::process::ChildStdin;

use wireloom_wanted::Encoding;

use crate::signal::PositionCode;

/// Frames handed to a sender at a time; it reads ahead at most a few of these.
const BLOCK: usize = 4800;

/// A stream that a peer sends or receives.
#[derive(Debug, Clone)]
pub struct RtpStream {
    /// Group or host it is sent to.
    pub address: Ipv4Addr,
    /// UDP port.
    pub port: u16,
    /// Sample format; L16 and L24 only.
    pub encoding: Encoding,
    /// How many channels.
    pub channels: usize,
    /// RTP payload type.
    pub payload_type: u8,
    /// Frames in a packet.
    pub samples_per_packet: u32,
}

impl RtpStream {
    /// The lab's usual stream: L24, 1 ms packets, on a group of its own for every `number`.
    pub fn standard(number: u8, channels: usize) -> Self {
        Self {
            address: Ipv4Addr::new(239, 69, 1, number),
            port: 5004,
            encoding: Encoding::L24,
            channels,
            payload_type: 98,
            samples_per_packet: 48,
        }
    }

    /// Significant bits of a sample.
    pub fn bits(&self) -> u32 {
        if self.encoding == Encoding::L16 { 16 } else { 24 }
    }

    /// The signal that the lab's senders send on it.
    pub fn code(&self) -> PositionCode {
        PositionCode::new(self.bits(), self.channels)
    }

    /// Its description, without a clock, as sent by the host with address `origin`.
    pub fn description(&self, origin: Ipv4Addr) -> String {
        self.named_description(origin, &format!("Lab {}", self.address), "")
    }

    /// Its description with a name and more attribute lines, each ending in CR LF.
    pub fn named_description(&self, origin: Ipv4Addr, name: &str, attributes: &str) -> String {
        let Self { address, port, channels, payload_type, .. } = self;
        let ttl = if address.is_multicast() { "/32" } else { "" };
        format!(
            "v=0\r\no=- 1 1 IN IP4 {origin}\r\ns={name}\r\nc=IN IP4 {address}{ttl}\r\nt=0 0\r\n\
             m=audio {port} RTP/AVP {payload_type}\r\na=rtpmap:{payload_type} L{}/48000/{channels}\r\n\
             a=ptime:{}\r\na=recvonly\r\n{attributes}",
            self.bits(),
            f64::from(self.samples_per_packet) / 48.0,
        )
    }
}

/// Writes the signal to a sender's input for as long as it reads.
fn feed(mut input: ChildStdin, code: PositionCode) -> std::io::Result<()> {
    std::thread::Builder::new().name("signal".into()).spawn(move || {
        let mut frame = 0;
        // The pipe fills up and holds us back; it breaks when the sender ends.
        while input.write_all(&code.network_bytes(frame, BLOCK)).is_ok() {
            frame += BLOCK as u64;
        }
    })?;
    Ok(())
}
