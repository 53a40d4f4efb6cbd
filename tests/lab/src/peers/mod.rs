//! Senders and receivers that we did not write.

pub mod announcer;
pub mod avahi;
pub mod ffmpeg;
pub mod gstreamer;
pub mod hostile;
pub mod ptp4l;
pub mod rtsp;
pub mod tshark;

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::ChildStdin;

use anyhow::ensure;
use wireloom_wanted::Encoding;

use crate::am824;
use crate::recording::Recording;
use crate::signal::PositionCode;

/// Frames handed to a sender at a time; it reads ahead at most a few of these.
const BLOCK: usize = 4800;

/// A stream that a peer sends or receives.
#[derive(Debug, Clone)]
pub struct RtpStream {
    /// Group or host it is sent to.
    pub address: IpAddr,
    /// UDP port.
    pub port: u16,
    /// Sample format.
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
            address: Ipv4Addr::new(239, 69, 1, number).into(),
            port: 5004,
            encoding: Encoding::L24,
            channels,
            payload_type: 98,
            samples_per_packet: 48,
        }
    }

    /// The same on a group of IPv6.
    pub fn ipv6(number: u8, channels: usize) -> Self {
        let group = Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0x69, number.into());
        Self { address: group.into(), ..Self::standard(number, channels) }
    }

    /// The number that its group ends with.
    pub fn number(&self) -> u8 {
        match self.address {
            IpAddr::V4(address) => address.octets()[3],
            IpAddr::V6(address) => address.octets()[15],
        }
    }

    /// Its group as `/proc/net/igmp` writes it; nothing for IPv6, which is not in there.
    pub fn igmp_group(&self) -> Option<String> {
        match self.address {
            IpAddr::V4(address) => Some(format!("{:08X}", u32::from_ne_bytes(address.octets()))),
            IpAddr::V6(_) => None,
        }
    }

    /// Significant bits of a sample.
    pub fn bits(&self) -> u32 {
        match self.encoding {
            Encoding::L16 => 16,
            Encoding::L24 | Encoding::AM824 => 24,
            Encoding::L32 => 32,
        }
    }

    /// Octets of a frame on the wire.
    pub fn frame_bytes(&self) -> usize {
        self.channels * self.encoding.bytes()
    }

    /// Octets of a packet's payload.
    pub fn payload_bytes(&self) -> usize {
        self.frame_bytes() * self.samples_per_packet as usize
    }

    /// The signal that the lab's senders send on it.
    pub fn code(&self) -> PositionCode {
        PositionCode::new(self.bits(), self.channels)
    }

    /// `frames` frames of the signal from frame number `first` on, as its packets carry them.
    fn signal(&self, code: &PositionCode, first: u64, frames: usize) -> Vec<u8> {
        if self.encoding != Encoding::AM824 {
            return code.network_bytes(first, frames);
        }
        let frames = first..first + frames as u64;
        let words = frames.flat_map(|frame| {
            (0..self.channels).map(move |channel| am824::word(code.sample(frame, channel), channel, frame))
        });
        words.flat_map(u32::to_be_bytes).collect()
    }

    /// What a peer received of it, payload after payload.
    pub fn recording(&self, bytes: &[u8]) -> Recording {
        Recording::from_network_bytes(bytes, self.encoding, self.channels)
    }

    /// Looks for what a recording does not show of a stream of ours that came without a hole: bits beside those of the
    /// samples, and bits that 32-bit floats, which is what applications play, cannot have held.
    pub fn check_words(&self, bytes: &[u8]) -> anyhow::Result<()> {
        match self.encoding {
            Encoding::L16 | Encoding::L24 => Ok(()),
            Encoding::AM824 => am824::check(bytes, self.channels),
            Encoding::L32 => {
                let (words, _) = bytes.as_chunks::<4>();
                let odd = words.iter().map(|word| i32::from_be_bytes(*word)).find(|word| {
                    i64::from(*word) != *word as f32 as i64 // a float holds what it was made of
                });
                ensure!(odd.is_none(), "the word {odd:x?} was never a float");
                Ok(())
            }
        }
    }

    /// Its description, without a clock, as sent by the host with address `origin`.
    pub fn description(&self, origin: impl Into<IpAddr>) -> String {
        self.named_description(origin, &format!("Lab {}", self.address), "")
    }

    /// Its description with a name and more attribute lines, each ending in CR LF.
    pub fn named_description(&self, origin: impl Into<IpAddr>, name: &str, attributes: &str) -> String {
        let (origin, Self { address, port, channels, payload_type, .. }) = (origin.into(), self);
        let ttl = if address.is_multicast() && address.is_ipv4() { "/32" } else { "" };
        let family = |address: &IpAddr| if address.is_ipv4() { "IP4" } else { "IP6" };
        let (from, to) = (family(&origin), family(address));
        format!(
            "v=0\r\no=- 1 1 IN {from} {origin}\r\ns={name}\r\nc=IN {to} {address}{ttl}\r\nt=0 0\r\n\
             m=audio {port} RTP/AVP {payload_type}\r\na=rtpmap:{payload_type} {:?}/48000/{channels}\r\n\
             a=ptime:{}\r\na=recvonly\r\n{attributes}",
            self.encoding,
            f64::from(self.samples_per_packet) / 48.0,
        )
    }
}

/// Writes the signal to a sender's input for as long as it reads.
fn feed(mut input: ChildStdin, stream: &RtpStream) -> std::io::Result<()> {
    let (stream, code) = (stream.clone(), stream.code());
    std::thread::Builder::new().name("signal".into()).spawn(move || {
        let mut frame = 0;
        // The pipe fills up and holds us back; it breaks when the sender ends.
        while input.write_all(&stream.signal(&code, frame, BLOCK)).is_ok() {
            frame += BLOCK as u64;
        }
    })?;
    Ok(())
}
