use std::net::{Ipv4Addr, UdpSocket};

use wireloom_lab::PositionCode;
use wireloom_oat::{Admission, Offered, SUBSCRIPTION_PORTS, SubscriptionSender, default_frames};
use wireloom_rtp::{HEADER_BYTES, RtpHeader, write_header};
use wireloom_units::{Channels, MediaIndex, Nanos, Samples, Ssrc};

use crate::media;

/// A packet that could not leave for so long is left out: the machine stood still.
const BEHIND: u64 = 9_600;

/// A stream that the device sends to whoever subscribed.
pub struct Output {
    pub name: String,
    pub channels: Channels,
    pub sid: u32,
    pub ssrc: Ssrc,
    pub frames: Samples,
    pub session_id: u64,
    socket: UdpSocket,
    port: u16,
    code: PositionCode,
    sequence: u16,
    /// First frame of the next packet.
    next: Option<MediaIndex>,
}

impl Output {
    pub fn new(
        address: Ipv4Addr,
        sid: u32,
        seed: u32,
        name: &str,
        channels: Channels,
    ) -> anyhow::Result<Self> {
        let socket = media::bind(address, SUBSCRIPTION_PORTS)?;
        Ok(Self {
            name: name.to_owned(),
            channels,
            sid,
            ssrc: Ssrc(seed ^ sid << 24),
            frames: default_frames(channels),
            session_id: u64::from(seed) + u64::from(sid),
            port: socket.local_addr()?.port(),
            socket,
            code: PositionCode::new(24, usize::from(channels.count())),
            sequence: 0,
            next: None,
        })
    }

    pub const fn port(&self) -> u16 {
        self.port
    }

    pub const fn offered(&self) -> Offered {
        Offered {
            stream: self.sid,
            port: self.port,
            ssrc: self.ssrc,
            samples_per_packet: self.frames,
            channels: self.channels,
            payload_type: PAYLOAD_TYPE,
            admission: Admission::Everybody,
        }
    }

    /// Answers what receivers asked.
    pub fn hear(&self, now: Nanos, sender: &mut SubscriptionSender) {
        media::drain(&self.socket, |from, bytes| {
            // What is no question is none of ours; what cannot be sent is asked again.
            if let Ok(Some(answer)) = sender.handle_datagram(now, self.port, from, bytes) {
                let _ = self.socket.send_to(&answer, from);
            }
        });
    }

    /// Sends every packet whose last frame has passed at `now`.
    pub fn send(&mut self, now: MediaIndex, sender: &SubscriptionSender) {
        let frames = u64::from(self.frames.0);
        let mut next = self.next.unwrap_or(now).next_multiple_of(self.frames);
        if now.since(next).unsigned_abs() > BEHIND {
            next = now.next_multiple_of(self.frames);
        }
        while next.0 + frames <= now.0 {
            let header = RtpHeader {
                sequence: self.sequence,
                time: next.media_time(0),
                ssrc: self.ssrc,
                payload_type: PAYLOAD_TYPE,
            };
            let mut packet = Vec::with_capacity(HEADER_BYTES + 1440);
            packet.extend_from_slice(&write_header(&header));
            packet.extend_from_slice(&self.code.network_bytes(next.0, self.frames.0 as usize));
            for subscriber in sender.subscribers(self.sid) {
                let _ = self.socket.send_to(&packet, subscriber.to); // a full queue loses a packet, as a network does
            }
            self.sequence = self.sequence.wrapping_add(1);
            next = next.plus(self.frames);
        }
        self.next = Some(next);
    }
}

/// As on the networking page of OAT.
pub const PAYLOAD_TYPE: u8 = 97;
