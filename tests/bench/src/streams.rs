//! The streams that are measured: 8 channels of L24, a packet each millisecond.

use std::net::{Ipv4Addr, SocketAddrV4};

/// Channels of a stream.
pub const CHANNELS: usize = 8;
/// Frames of a packet: 1 ms.
pub const FRAMES: u32 = 48;
/// RTP payload type.
pub const PAYLOAD_TYPE: u8 = 98;
/// Octets of a packet.
pub const BYTES: usize = 12 + CHANNELS * 3 * FRAMES as usize;
/// UDP port of all streams.
pub const PORT: u16 = 5004;
/// Streams that one instance of PipeWire 0.3.65's rtp-source takes; the seventeenth it refuses.
pub const PER_LISTENER: usize = 16;
/// Where streams are announced; a second listener has its own port, to hear only its share.
const ANNOUNCEMENTS: Ipv4Addr = Ipv4Addr::new(224, 2, 127, 254);
const ANNOUNCEMENT_PORT: u16 = 9875;

/// One stream of a measurement.
#[derive(Debug, Clone)]
pub struct StreamPlan {
    /// Counts from 0.
    pub number: usize,
    /// Its group and port.
    pub address: SocketAddrV4,
    /// Where it is announced.
    pub announced_to: SocketAddrV4,
}

impl StreamPlan {
    /// Stream `number` of at most 250.
    pub fn new(number: usize) -> Self {
        let group = Ipv4Addr::new(239, 69, 7, 1 + number as u8);
        let listener = number / PER_LISTENER;
        Self {
            number,
            address: SocketAddrV4::new(group, PORT),
            announced_to: SocketAddrV4::new(ANNOUNCEMENTS, ANNOUNCEMENT_PORT + listener as u16),
        }
    }

    /// Its name.
    pub fn name(&self) -> String {
        format!("bench-{}", self.number)
    }

    /// Its SDP, as sent by `origin`; without a clock, which PipeWire 0.3.65 would not read.
    pub fn description(&self, origin: Ipv4Addr) -> String {
        let (group, name, number) = (self.address.ip(), self.name(), self.number);
        format!(
            "v=0\r\no=- {number} 1 IN IP4 {origin}\r\ns={name}\r\nc=IN IP4 {group}/32\r\nt=0 0\r\n\
             m=audio {PORT} RTP/AVP {PAYLOAD_TYPE}\r\na=rtpmap:{PAYLOAD_TYPE} L24/48000/{CHANNELS}\r\n\
             a=ptime:1\r\na=recvonly\r\n"
        )
    }
}
