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
        self.encode_channels(|channel| input.channel(channel).unwrap_or_default(), channels, block, payload);
        Ok(needed)
    }

    /// Decodes one channel of `payload`; `out` may be shorter than the payload, never of use longer.
    pub(crate) fn decode_channel(self, payload: &[u8], channels: Channels, channel: usize, out: &mut [f32]) {
        let Some(from) = payload.get(channel * self.bytes_per_sample()..) else { return };
        let frame = self.bytes_per_frame(channels);
        match self {
            Self::L16 => {
                gather::<2, 2>(from, frame, out, SCALE_16, |octets| i16::from_be_bytes(octets).into())
            }
            Self::L24 => gather::<3, 4>(from, frame, out, SCALE_24, |octets| i32::from_be_bytes(octets) >> 8),
            Self::L32 => gather::<4, 4>(from, frame, out, SCALE_32, i32::from_be_bytes),
            Self::AM824 => gather::<4, 4>(from, frame, out, SCALE_24, |octets| {
                let subframe = Subframe::from_wire(octets);
                if subframe.is_valid() { subframe.sample() } else { 0 }
            }),
        }
    }

    /// Encodes all channels into `payload`; frames that an `input` lacks are silent.
    pub(crate) fn encode_channels<'a>(
        self,
        input: impl Fn(usize) -> &'a [f32],
        channels: Channels,
        block: BlockPosition<'_>,
        payload: &mut [u8],
    ) {
        let count = usize::from(channels.count());
        let fours = if self == Self::L24 { count - count % 4 } else { 0 };
        for channel in (0..fours).step_by(4) {
            if let Some(to) = payload.get_mut(channel * self.bytes_per_sample()..) {
                let inputs = core::array::from_fn(|n| input(channel + n));
                scatter_four_24(inputs, to, self.bytes_per_frame(channels));
            }
        }
        for channel in fours..count {
            self.encode_channel(input(channel), channels, channel, block, payload);
        }
    }

    /// Encodes one channel into `payload`; frames that `input` lacks are silent.
    fn encode_channel(
        self,
        input: &[f32],
        channels: Channels,
        channel: usize,
        block: BlockPosition<'_>,
        payload: &mut [u8],
    ) {
        let Some(to) = payload.get_mut(channel * self.bytes_per_sample()..) else { return };
        let frame = self.bytes_per_frame(channels);
        match self {
            Self::L16 => {
                scatter(input, to, frame, to_integer::<16>, |integer| (integer as i16).to_be_bytes())
            }
            Self::L24 => scatter(input, to, frame, to_integer::<24>, |integer| {
                let [_, a, b, c] = integer.to_be_bytes();
                [a, b, c]
            }),
            Self::L32 => scatter(input, to, frame, to_integer_32, i32::to_be_bytes),
            Self::AM824 => {
                let mut subframes = block.status.subframes(block.at, channel);
                scatter(input, to, frame, to_integer::<24>, |integer| subframes.next(integer).to_wire());
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

const SCALE_16: f32 = 32_768.0;
const SCALE_24: f32 = 8_388_608.0;
const SCALE_32: f32 = 2_147_483_648.0;

/// Samples converted at a time: collecting integers and converting them apart lets the compiler convert four at once.
const BATCH: usize = 16;

/// Reads the sample at the start of every `frame` octets and scales it down.
///
/// `WIDE` octets are read at once where there are as many; `integer` uses the first `N` of them.
fn gather<const N: usize, const WIDE: usize>(
    from: &[u8],
    frame: usize,
    out: &mut [f32],
    full_scale: f32,
    integer: impl Fn([u8; WIDE]) -> i32,
) {
    let scale = 1.0 / full_scale;
    let frames = from.chunks_exact(frame);
    let (whole, last) = (frames.len(), frames.remainder());
    let narrow = |octets: &[u8]| {
        let mut wide = [0; WIDE];
        wide.iter_mut().zip(octets).take(N).for_each(|(wide, octet)| *wide = *octet);
        integer(wide) as f32 * scale
    };
    if frame < WIDE {
        out.iter_mut().zip(frames).for_each(|(out, octets)| *out = narrow(octets));
    } else {
        for (out, octets) in out.iter_mut().zip(frames) {
            if let Some(octets) = octets.first_chunk::<WIDE>() {
                *out = integer(*octets) as f32 * scale;
            }
        }
    }
    // The last frame is cut off behind the last channel.
    if let Some(out) = out.get_mut(whole).filter(|_| last.len() >= N) {
        *out = narrow(last);
    }
}

/// Converts samples and writes one at the start of every `frame` octets; when they end, silence.
fn scatter<const N: usize>(
    input: &[f32],
    to: &mut [u8],
    frame: usize,
    convert: impl Fn(f32) -> i32,
    mut octets: impl FnMut(i32) -> [u8; N],
) {
    let mut batches = Batches::of(input);
    for to in to.chunks_mut(frame * BATCH) {
        let integers = batches.take().map(&convert);
        let frames = to.chunks_exact_mut(frame);
        let whole = frames.len();
        for (to, integer) in frames.zip(&integers) {
            if let Some(to) = to.first_chunk_mut::<N>() {
                *to = octets(*integer);
            }
        }
        // The last frame is cut off behind the last channel.
        let last = to.get_mut(whole * frame..).and_then(|last| last.first_chunk_mut::<N>());
        if let (Some(to), Some(integer)) = (last, integers.get(whole)) {
            *to = octets(*integer);
        }
    }
}

/// The same for four channels of L24 that follow each other, whose samples of one frame are written together.
fn scatter_four_24(inputs: [&[f32]; 4], to: &mut [u8], frame: usize) {
    let mut batches = inputs.map(Batches::of);
    for to in to.chunks_mut(frame * BATCH) {
        let [a, b, c, d] = batches.each_mut().map(|batches| batches.take().map(to_integer::<24>));
        for ((((to, a), b), c), d) in to.chunks_mut(frame).zip(&a).zip(&b).zip(&c).zip(&d) {
            let Some(to) = to.first_chunk_mut::<12>() else { continue };
            let [a, b, c, d] = [a, b, c, d].map(|integer| u64::from(integer.cast_unsigned() & 0x00ff_ffff));
            let (first, second) = to.split_at_mut(8);
            first.copy_from_slice(&(a << 40 | b << 16 | c >> 8).to_be_bytes());
            second.copy_from_slice(&((c << 24 | d) as u32).to_be_bytes());
        }
    }
}

/// Samples of one channel, a whole batch at a time, of a length known here: the compiler converts four samples at once.
struct Batches<'a> {
    whole: core::slice::Iter<'a, [f32; BATCH]>,
    rest: &'a [f32],
}

impl<'a> Batches<'a> {
    fn of(input: &'a [f32]) -> Self {
        let (whole, rest) = input.as_chunks::<BATCH>();
        Self { whole: whole.iter(), rest }
    }

    /// The next batch, ended by silence.
    fn take(&mut self) -> [f32; BATCH] {
        self.whole.next().copied().unwrap_or_else(|| {
            let mut last = [0.0; BATCH];
            last.iter_mut().zip(core::mem::take(&mut self.rest)).for_each(|(last, sample)| *last = *sample);
            last
        })
    }
}

/// 1.5 × 2^52: added to a number of less than 32 bits it leaves the rounded integer in the low mantissa bits.
const ROUND: f64 = 6_755_399_441_055_744.0;

/// Scales to `BITS` bits, at most 24, rounds to the nearest integer, ties to even, and clips; NaN becomes 0.
fn to_integer<const BITS: u32>(sample: f32) -> i32 {
    // Scaling by a power of two and clipping are exact in `f32`, in which four samples fit into a register.
    let full_scale = (1_u32 << (BITS - 1)) as f32;
    let sample = if sample.is_nan() { 0.0 } else { sample };
    let scaled = sample * full_scale;
    // Not `clamp`, which takes care of NaN once more.
    let scaled = if scaled > -full_scale { scaled } else { -full_scale };
    let scaled = if scaled < full_scale - 1.0 { scaled } else { full_scale - 1.0 };
    (f64::from(scaled) + ROUND).to_bits() as i32
}

/// The same to 32 bits, whose largest number an `f32` cannot hold.
fn to_integer_32(sample: f32) -> i32 {
    let full_scale = f64::from(SCALE_32);
    let sample = if sample.is_nan() { 0.0 } else { sample };
    let scaled = f64::from(sample) * full_scale;
    let scaled = if scaled > -full_scale { scaled } else { -full_scale };
    let scaled = if scaled < full_scale - 1.0 { scaled } else { full_scale - 1.0 };
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
