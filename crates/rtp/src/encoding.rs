use core::fmt;

use wireloom_units::{Channels, MediaIndex, Samples};

use crate::{ChannelStatus, Planar, PlanarMut, Subframe};

/// How samples are laid out in a payload: interleaved, big-endian (RFC 3551, RFC 3190, ST 2110-31).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// 16-bit integers (RFC 3551 §4.5.11). Full scale is 2^15.
    L16,
    /// 24-bit integers in three octets (RFC 3190 §4). Full scale is 2^23.
    L24,
    /// 32-bit integers, RAVENNA. Full scale is 2^31; an `f32` keeps the upper 24 significant bits.
    L32,
    /// AES3 subframes (ST 2110-31). Full scale is 2^23.
    AM824,
}

impl Encoding {
    /// Octets of one sample of one channel.
    pub const fn bytes_per_sample(self) -> usize {
        match self {
            Self::L16 => 2,
            Self::L24 => 3,
            Self::L32 | Self::AM824 => 4,
        }
    }

    /// Octets of one frame: a sample of each channel.
    pub const fn bytes_per_frame(self, channels: Channels) -> usize {
        self.bytes_per_sample() * channels.count() as usize
    }

    /// The frames in a payload of `bytes` octets.
    ///
    /// Errors: `PartialFrame` if that is no whole number of frames, `Empty` if it is none.
    pub const fn frames_in(self, bytes: usize, channels: Channels) -> Result<Samples, PayloadError> {
        let frame = self.bytes_per_frame(channels);
        if bytes == 0 {
            return Err(PayloadError::Empty);
        }
        if !bytes.is_multiple_of(frame) {
            return Err(PayloadError::PartialFrame { bytes, frame });
        }
        Ok(Samples((bytes / frame) as u32))
    }

    /// Converts one payload to planar `f32` in -1.0 ..= 1.0 and says how many frames it held.
    ///
    /// Nothing is clipped or dithered; L24 and L16 come back bit for bit from [`Encoding::encode`]. AM824
    /// subframes that are not valid audio (V = 1) become silence; whether the channel status says "not PCM"
    /// only a [`crate::Timeline`] knows, which sees whole blocks. Channels that `out` lacks are skipped; of a
    /// slice shorter than the payload only its length is written.
    /// Errors: the payload is not a whole number of frames. Source: RFC 3551, RFC 3190, ST 2110-31.
    pub fn decode(
        self,
        payload: &[u8],
        channels: Channels,
        out: &mut (impl PlanarMut + ?Sized),
    ) -> Result<Samples, PayloadError> {
        let frames = self.frames_in(payload.len(), channels)?;
        for channel in 0..usize::from(channels.count()) {
            if let Some(out) = out.channel_mut(channel) {
                self.decode_channel(payload, channels, channel, out);
            }
        }
        Ok(frames)
    }

    /// Converts `frames` frames of planar `f32` to a payload and says how many octets it wrote.
    ///
    /// Rounds to the nearest integer and clips to full scale; NaN is silence. A channel that is not there, or
    /// shorter than `frames`, is silent. `at` is the first frame's media index: AM824 counts its blocks by it.
    /// Errors: `NoRoom` if `payload` is too short; nothing is written then. Source: as for [`Encoding::decode`].
    pub fn encode(
        self,
        input: &(impl Planar + ?Sized),
        channels: Channels,
        frames: Samples,
        block: BlockPosition<'_>,
        payload: &mut [u8],
    ) -> Result<usize, PayloadError> {
        let needed = self.bytes_per_frame(channels).saturating_mul(frames.0 as usize);
        let room = payload.len();
        let payload = payload.get_mut(..needed).ok_or(PayloadError::NoRoom { needed, room })?;
        for channel in 0..usize::from(channels.count()) {
            let input = input.channel(channel).unwrap_or_default();
            self.encode_channel(input, channels, channel, block, payload);
        }
        Ok(needed)
    }

    /// Decodes one channel of `payload`; `out` may be shorter than the payload, never of use longer.
    pub(crate) fn decode_channel(self, payload: &[u8], channels: Channels, channel: usize, out: &mut [f32]) {
        let frame = self.bytes_per_frame(channels);
        match self {
            Self::L16 => each(payload, frame, channel, out, |octets: [u8; 2]| {
                f32::from(i16::from_be_bytes(octets)) * (1.0 / 32_768.0)
            }),
            Self::L24 => each(payload, frame, channel, out, |[a, b, c]: [u8; 3]| {
                from_24(i32::from_be_bytes([a, b, c, 0]) >> 8)
            }),
            Self::L32 => each(payload, frame, channel, out, |octets: [u8; 4]| {
                i32::from_be_bytes(octets) as f32 * (1.0 / 2_147_483_648.0)
            }),
            Self::AM824 => each(payload, frame, channel, out, |octets: [u8; 4]| {
                let subframe = Subframe::from_wire(octets);
                if subframe.is_valid() { from_24(subframe.sample()) } else { 0.0 }
            }),
        }
    }

    /// Encodes one channel into `payload`; frames that `input` lacks are silent.
    pub(crate) fn encode_channel(
        self,
        input: &[f32],
        channels: Channels,
        channel: usize,
        block: BlockPosition<'_>,
        payload: &mut [u8],
    ) {
        let frame = self.bytes_per_frame(channels);
        let samples = input.iter().copied().chain(core::iter::repeat(0.0));
        match self {
            Self::L16 => put(payload, frame, channel, samples, |sample| {
                (to_integer(sample, 32_768.0) as i16).to_be_bytes()
            }),
            Self::L24 => put(payload, frame, channel, samples, |sample| {
                let [_, a, b, c] = to_24(sample).to_be_bytes();
                [a, b, c]
            }),
            Self::L32 => put(payload, frame, channel, samples, |sample| {
                to_integer(sample, 2_147_483_648.0).to_be_bytes()
            }),
            Self::AM824 => {
                let mut at = block.at;
                put(payload, frame, channel, samples, |sample| {
                    let octets = Subframe::pcm(to_24(sample), channel, at, block.status).to_wire();
                    at = at.plus(Samples(1));
                    octets
                });
            }
        }
    }
}

/// Where a payload lies in the 192-frame blocks of AES3, and the channel status they carry; only AM824 uses it.
#[derive(Debug, Clone, Copy)]
pub struct BlockPosition<'a> {
    /// Media index of the payload's first frame; blocks begin at multiples of 192.
    pub at: MediaIndex,
    /// The status that every channel carries.
    pub status: &'a ChannelStatus,
}

/// Reads every `frame` octets one sample of `channel`.
fn each<const N: usize>(
    payload: &[u8],
    frame: usize,
    channel: usize,
    out: &mut [f32],
    sample: impl Fn([u8; N]) -> f32,
) {
    for (octets, out) in payload.chunks_exact(frame).zip(out) {
        let octets = octets.get(channel * N..).and_then(|rest| rest.first_chunk::<N>());
        *out = octets.map_or(0.0, |octets| sample(*octets));
    }
}

/// Writes every `frame` octets one sample of `channel`.
fn put<const N: usize>(
    payload: &mut [u8],
    frame: usize,
    channel: usize,
    samples: impl Iterator<Item = f32>,
    mut octets: impl FnMut(f32) -> [u8; N],
) {
    for (out, sample) in payload.chunks_exact_mut(frame).zip(samples) {
        if let Some(out) = out.get_mut(channel * N..).and_then(|rest| rest.first_chunk_mut::<N>()) {
            *out = octets(sample);
        }
    }
}

const fn from_24(sample: i32) -> f32 {
    sample as f32 * (1.0 / 8_388_608.0)
}

fn to_24(sample: f32) -> i32 {
    to_integer(sample, 8_388_608.0)
}

/// Rounds to the nearest integer, ties to even, and clips to `-full_scale ..= full_scale - 1`; NaN becomes 0.
fn to_integer(sample: f32, full_scale: f64) -> i32 {
    // 1.5 × 2^52: added to a number of less than 32 bits it leaves the rounded integer in the low mantissa bits.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    let sample = if sample.is_nan() { 0.0 } else { sample };
    let scaled = (f64::from(sample) * full_scale).clamp(-full_scale, full_scale - 1.0);
    (scaled + ROUND).to_bits() as i32
}

/// Why a payload cannot be read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PayloadError {
    /// No octets at all.
    Empty,
    /// Not a whole number of frames.
    PartialFrame {
        /// Octets of the payload.
        bytes: usize,
        /// Octets of a frame.
        frame: usize,
    },
    /// The buffer is too short for what should go into it.
    NoRoom {
        /// Octets that it should hold.
        needed: usize,
        /// Octets that it holds.
        room: usize,
    },
}

impl fmt::Display for PayloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Empty => write!(f, "the payload is empty"),
            Self::PartialFrame { bytes, frame } => {
                write!(f, "a payload of {bytes} bytes is no whole number of frames of {frame} bytes")
            }
            Self::NoRoom { needed, room } => write!(f, "a payload of {needed} bytes in a buffer of {room}"),
        }
    }
}

impl core::error::Error for PayloadError {}
