use wireloom_units::{MediaIndex, Rate};

/// Frames of an AES3 block.
pub(crate) const BLOCK_FRAMES: u64 = 192;

const BLOCK: u32 = 1 << 29;
const FIRST: u32 = 1 << 28;
const PARITY: u32 = 1 << 27;
const STATUS: u32 = 1 << 26;
const USER: u32 = 1 << 25;
const INVALID: u32 = 1 << 24;
const DATA: u32 = 0x00ff_ffff;

/// One AES3 subframe as AM824 carries it (ST 2110-31 §5): 24 bits of audio and the bits B, F, P, C, U, V.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subframe(u32);

impl Subframe {
    /// The subframe in these four octets.
    pub const fn from_wire(octets: [u8; 4]) -> Self {
        Self(u32::from_be_bytes(octets))
    }

    /// Its four octets.
    pub const fn to_wire(self) -> [u8; 4] {
        self.0.to_be_bytes()
    }

    /// A subframe of valid PCM with its block, channel status and parity bits; user data is zero.
    ///
    /// Channels come in pairs, the even ones (counted from 0) are first subframes. `at` is the frame's media
    /// index, blocks begin at its multiples of 192. Of `sample` the low 24 bits are used.
    pub const fn pcm(sample: i32, channel: usize, at: MediaIndex, status: &ChannelStatus) -> Self {
        Self::at((at.0 % BLOCK_FRAMES) as usize, sample, channel, status)
    }

    /// The subframe at `position` of a block.
    const fn at(position: usize, sample: i32, channel: usize, status: &ChannelStatus) -> Self {
        let mut bits = sample.cast_unsigned() & DATA;
        if channel.is_multiple_of(2) {
            bits |= FIRST;
            if position == 0 {
                bits |= BLOCK;
            }
        }
        if status.bit(position) {
            bits |= STATUS;
        }
        Self(bits).with_parity()
    }

    /// The audio, sign-extended from 24 bits.
    pub const fn sample(self) -> i32 {
        (self.0 << 8).cast_signed() >> 8
    }

    /// V is 0: fit for conversion to sound.
    pub const fn is_valid(self) -> bool {
        self.0 & INVALID == 0
    }

    /// B: the first subframe of a block.
    pub const fn starts_block(self) -> bool {
        self.0 & BLOCK != 0
    }

    /// F: the first subframe of a frame.
    pub const fn is_first(self) -> bool {
        self.0 & FIRST != 0
    }

    /// C: this frame's channel status bit.
    pub const fn status(self) -> bool {
        self.0 & STATUS != 0
    }

    /// U: this frame's user bit.
    pub const fn user(self) -> bool {
        self.0 & USER != 0
    }

    /// P makes the number of ones among data, V, U, C and P even.
    pub const fn parity_is_even(self) -> bool {
        // Folded by hand: not every processor counts ones.
        let mut bits = self.0 & (DATA | INVALID | USER | STATUS | PARITY);
        bits ^= bits >> 16;
        bits ^= bits >> 8;
        bits ^= bits >> 4;
        0x6996 >> (bits & 0xf) & 1 == 0
    }

    const fn with_parity(self) -> Self {
        if self.parity_is_even() { self } else { Self(self.0 ^ PARITY) }
    }
}

/// The 24 octets of professional channel status that one channel sends in every block (AES3-2 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelStatus([u8; 24]);

impl ChannelStatus {
    /// Number of the bit that says "not linear PCM".
    pub(crate) const NON_PCM_BIT: u64 = 1;

    /// Professional use, linear PCM of 24 bits at `rate`, with its CRC.
    ///
    /// A rate that AES3 has no code for is sent as "not indicated".
    pub const fn pcm(rate: Rate) -> Self {
        let mut octets = [0; 24];
        octets[0] = 0x01
            | match rate.hz() {
                44_100 => 0x40,
                48_000 => 0x80,
                _ => 0,
            };
        octets[2] = 0x2c; // 24-bit audio: the auxiliary bits belong to the sample, all 24 are used
        octets[4] = match rate.hz() {
            96_000 => 0x10,
            192_000 => 0x18,
            88_200 => 0x50,
            176_400 => 0x58,
            _ => 0,
        };
        Self::with_crc(octets)
    }

    /// The status with the last octet replaced by the CRC of the others (x^8+x^4+x^3+x^2+1, preset to ones).
    pub const fn with_crc(mut octets: [u8; 24]) -> Self {
        let mut crc = 0xff_u8;
        let mut octet = 0;
        while octet < 23 {
            crc ^= octets[octet];
            let mut bit = 0;
            while bit < 8 {
                crc = if crc & 1 == 1 { crc >> 1 ^ 0xb8 } else { crc >> 1 };
                bit += 1;
            }
            octet += 1;
        }
        octets[23] = crc;
        Self(octets)
    }

    /// The octets, in order of transmission; the low bit of each goes first.
    pub const fn octets(&self) -> &[u8; 24] {
        &self.0
    }

    /// What one channel sends from the frame with media index `at` on.
    pub(crate) fn subframes(&self, at: MediaIndex, channel: usize) -> Subframes<'_> {
        Subframes { status: self, channel, position: (at.0 % BLOCK_FRAMES) as usize }
    }

    /// The bit that frame `position` of a block carries.
    const fn bit(&self, position: usize) -> bool {
        self.0[position / 8 % 24] >> (position % 8) & 1 == 1
    }
}

/// The subframes of one channel, one after the other.
pub(crate) struct Subframes<'a> {
    status: &'a ChannelStatus,
    channel: usize,
    position: usize,
}

impl Subframes<'_> {
    /// The next one, with `sample`.
    pub fn next(&mut self, sample: i32) -> Subframe {
        let subframe = Subframe::at(self.position, sample, self.channel, self.status);
        self.position = if self.position + 1 == BLOCK_FRAMES as usize { 0 } else { self.position + 1 };
        subframe
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_is_right_for_the_examples_of_the_standard() {
        // AES3 annex: bits 0 2 3 4 5 9 33 set, and only bit 0 set.
        let mut octets = [0; 24];
        (octets[0], octets[1], octets[4]) = (0x3d, 0x02, 0x02);
        assert_eq!(ChannelStatus::with_crc(octets).octets()[23], 0x9b);
        let mut octets = [0; 24];
        octets[0] = 0x01;
        assert_eq!(ChannelStatus::with_crc(octets).octets()[23], 0x32);
    }
}
