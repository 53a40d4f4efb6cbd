use wireloom_units::{Channels, Rate, Samples};

use crate::Encoding;

/// The longest payload that AES67 lets a sender use, in octets (`aes67` 3.1).
pub const MAX_PAYLOAD_BYTES: usize = 1440;

/// A packet time as a stream description signals it, in microseconds.
///
/// ```
/// use wireloom_rtp::PacketTime;
/// use wireloom_units::{Rate, Samples};
/// assert_eq!(PacketTime::from_micros(120).frames(Rate::HZ_48000), Some(Samples(6)));
/// assert_eq!(PacketTime::from_micros(1000).frames(Rate::HZ_44100), Some(Samples(48)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PacketTime(u32);

/// Packets at 44.1 and 48 kHz that peers are known to send (`aes67` 3.2); those at higher rates are multiples.
const KNOWN_FRAMES: [u32; 10] = [4, 6, 8, 12, 16, 24, 48, 96, 192, 240];

impl PacketTime {
    /// A packet time of `micros` microseconds.
    pub const fn from_micros(micros: u32) -> Self {
        Self(micros)
    }

    /// Microseconds.
    pub const fn micros(self) -> u32 {
        self.0
    }

    /// Frames in a packet of a stream with `rate`; `None` when that is less than one frame.
    ///
    /// Descriptions round (0.12, 0.125 and 0.13 all mean 6 frames at 48 kHz) and give 44.1 kHz streams the
    /// nominal value of their 48 kHz sisters, so a count within 10 % of a known one is that one.
    /// A receiver believes the packets. Source: AES67-2018 §7.2, `aes67` 3.2.
    pub fn frames(self, rate: Rate) -> Option<Samples> {
        let exact = u64::from(self.0) * u64::from(rate.hz()); // in millionths of a frame
        // 44.1 and 48 kHz share one table of frame counts; the higher rates are their whole multiples.
        let family = if rate.hz().is_multiple_of(44_100) { 44_100 } else { 48_000 };
        let multiple = if rate.hz().is_multiple_of(family) { rate.hz() / family } else { 1 };
        let near = |frames: u32| {
            let known = u64::from(frames) * u64::from(multiple) * 1_000_000;
            exact.abs_diff(known) * 10 <= known
        };
        let distance = |frames: u32| exact.abs_diff(u64::from(frames) * u64::from(multiple) * 1_000_000);
        let known =
            KNOWN_FRAMES.into_iter().filter(|frames| near(*frames)).min_by_key(|frames| distance(*frames));
        let frames = match known {
            Some(frames) => frames * multiple,
            None => u32::try_from((exact + 500_000) / 1_000_000).ok()?,
        };
        (frames > 0).then_some(Samples(frames))
    }

    /// The most channels that fit into a packet of `frames` frames; `None` when not even one does.
    ///
    /// AM824 is capped at 80, as ST 2110-31 caps it. Source: `aes67` 3.2.
    pub fn max_channels(frames: Samples, encoding: Encoding) -> Option<Channels> {
        let frame = usize::try_from(frames.0).ok()?.checked_mul(encoding.bytes_per_sample())?;
        let count = MAX_PAYLOAD_BYTES.checked_div(frame)?;
        let cap = if encoding == Encoding::AM824 { 80 } else { usize::from(Channels::MAX) };
        Channels::new(u16::try_from(count.min(cap)).ok()?)
    }
}
