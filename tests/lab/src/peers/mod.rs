//! Senders and receivers that we did not write.

pub mod gstreamer;

use std::net::Ipv4Addr;

use wireloom_wanted::Encoding;

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
    pub fn code(&self) -> crate::PositionCode {
        crate::PositionCode::new(self.bits(), self.channels)
    }
}
