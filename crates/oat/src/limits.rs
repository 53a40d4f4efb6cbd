//! What fits into a datagram and onto a port of 100 Mbit/s.

use core::{fmt, ops::RangeInclusive};

use wireloom_units::{Channels, Rate, Samples};

/// Sockets that send, and hear subscriptions: 50000 + index of the stream.
pub const SUBSCRIPTION_PORTS: RangeInclusive<u16> = 50_000..=50_063;
/// Sockets that receive.
pub const RECEIVE_PORTS: RangeInclusive<u16> = 50_064..=50_079;
/// The most payload octets of a packet (AES67 §7.2.1): no IP fragment is ever sent.
pub const MAX_PAYLOAD: u32 = 1440;

/// Octets of a sample: OAT sends L24.
const SAMPLE: u32 = 3;
/// RTP, UDP and IPv4 headers.
const HEADERS: u64 = 12 + 8 + 20;
/// Preamble, Ethernet header, frame check and gap.
const ETHERNET: u64 = 8 + 14 + 4 + 12;

/// A packet that may not be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketTooLarge {
    /// Its payload in octets.
    pub octets: u32,
}

impl core::error::Error for PacketTooLarge {}

impl fmt::Display for PacketTooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a packet of {} payload octets is longer than {MAX_PAYLOAD}", self.octets)
    }
}

/// Payload octets of a packet of L24. Errors: more than may be sent (16 channels of 1 ms, for one).
pub fn check_packet(channels: Channels, frames: Samples) -> Result<u32, PacketTooLarge> {
    let octets = (SAMPLE * u32::from(channels.count())).saturating_mul(frames.0);
    if octets <= MAX_PAYLOAD { Ok(octets) } else { Err(PacketTooLarge { octets }) }
}

/// Frames of a packet at 48 kHz: 1 ms where that fits, else 1/3 ms, else as much as fits.
pub fn default_frames(channels: Channels) -> Samples {
    let fits = |frames: &u32| check_packet(channels, Samples(*frames)).is_ok();
    Samples([48, 16, 12, 6, 3].into_iter().find(fits).unwrap_or(1))
}

/// Bits that a stream takes in a second of a port's time, everything counted.
pub fn wire_bits_per_second(channels: Channels, frames: Samples, rate: Rate) -> u64 {
    let payload = u64::from(SAMPLE) * u64::from(channels.count()) * u64::from(frames.0);
    let packets = u64::from(rate.hz()).div_ceil(u64::from(frames.0.max(1)));
    (payload + HEADERS + ETHERNET) * 8 * packets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channels(count: u16) -> Channels {
        Channels::new(count).expect("in range")
    }

    #[test]
    fn sixteen_channels_of_a_millisecond_do_not_fit() {
        assert_eq!(check_packet(channels(16), Samples(48)), Err(PacketTooLarge { octets: 2304 }));
        assert_eq!(check_packet(channels(16), Samples(16)), Ok(768));
        assert_eq!(check_packet(channels(10), Samples(48)), Ok(1440));
        assert_eq!(check_packet(channels(128), Samples(u32::MAX)), Err(PacketTooLarge { octets: u32::MAX }));
        assert_eq!([2, 8, 16].map(|count| default_frames(channels(count)).0), [48, 48, 16]);
        for count in 1..=128 {
            assert!(check_packet(channels(count), default_frames(channels(count))).is_ok(), "{count}");
        }
    }

    #[test]
    fn rates_on_the_wire_are_those_of_the_table() {
        for (count, frames, kbit) in
            [(2, 48, 2928), (8, 48, 9840), (10, 48, 12_144), (16, 16, 20_304), (16, 12, 20_928)]
        {
            let bits = wire_bits_per_second(channels(count), Samples(frames), Rate::HZ_48000);
            assert_eq!(bits, kbit * 1000, "{count} channels of {frames}");
        }
    }
}
