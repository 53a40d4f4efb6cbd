//! AES3 subframes in 32-bit words (ST 2110-31), written and read by the lab's own few lines, so that the product's are
//! not judged by themselves.

use anyhow::{Context, ensure};

/// Frames of a block of channel status.
const BLOCK: usize = 192;
/// The first subframe of a block.
const B: u32 = 1 << 29;
/// The first subframe of a frame.
const F: u32 = 1 << 28;
/// Makes the number of ones in the lower 28 bits even.
const P: u32 = 1 << 27;
/// A bit of the channel status.
const C: u32 = 1 << 26;
const AUDIO: u32 = 0x00ff_ffff;
/// Professional use, linear PCM, 48 kHz, and the checksum of that (AES3-2014 part 2, with bit 0 sent first).
const STATUS: [(usize, u8); 2] = [(0, 0x81), (23, checksum(&status_head()))];

/// The word of `channel` in frame number `frame`, with 24 bits of audio; blocks begin with frame 0.
pub fn word(sample: i32, channel: usize, frame: u64) -> u32 {
    let position = (frame % BLOCK as u64) as usize;
    let mut word = sample as u32 & AUDIO;
    if channel.is_multiple_of(2) {
        word |= F | if position == 0 { B } else { 0 };
    }
    let octet = STATUS.iter().find(|(octet, _)| *octet == position / 8).map_or(0, |(_, bits)| *bits);
    if octet >> (position % 8) & 1 == 1 {
        word |= C;
    }
    if odd(word) { word | P } else { word }
}

/// Reads a stream of words without a hole as strictly as a receiver may. Errors: what is wrong, and in which frame.
pub fn check(bytes: &[u8], channels: usize) -> anyhow::Result<()> {
    let (words, _) = bytes.as_chunks::<4>();
    let words: Vec<u32> = words.iter().map(|word| u32::from_be_bytes(*word)).collect();
    let frames: Vec<&[u32]> = words.chunks_exact(channels).collect();
    let begin = frames.iter().position(|frame| frame[0] & B != 0).context("no block begins")?;
    ensure!(begin < BLOCK, "the first block begins only in frame {begin}");
    for (at, frame) in frames.iter().enumerate() {
        for (channel, word) in frame.iter().enumerate() {
            let first = if channel.is_multiple_of(2) { F } else { 0 };
            let starts = if first != 0 && at % BLOCK == begin { B } else { 0 };
            ensure!(
                word & !(P | C | AUDIO) == first | starts && !odd(*word),
                "frame {at}, channel {channel}, {} frames into a block: {word:#010x}",
                (at + BLOCK - begin) % BLOCK
            );
        }
    }
    let (blocks, _) = frames[begin..].as_chunks::<BLOCK>();
    ensure!(!blocks.is_empty(), "not one whole block");
    for (number, block) in blocks.iter().enumerate() {
        for channel in 0..channels {
            let mut status = [0_u8; BLOCK / 8];
            for (at, frame) in block.iter().enumerate() {
                status[at / 8] |= u8::from(frame[channel] & C != 0) << (at % 8);
            }
            let professional_audio = status[0] & 3 == 1;
            ensure!(
                professional_audio && checksum(&status) == status[23],
                "block {number}, channel {channel}: status {status:02x?}"
            );
        }
    }
    Ok(())
}

const fn odd(word: u32) -> bool {
    (word & (B - 1) & !F).count_ones() % 2 == 1
}

const fn status_head() -> [u8; 24] {
    let mut head = [0; 24];
    head[0] = 0x81;
    head
}

/// x^8 + x^4 + x^3 + x^2 + 1 over the first 23 octets, all ones at the start, lowest bit first.
const fn checksum(status: &[u8; 24]) -> u8 {
    let mut sum = 0xff_u8;
    let mut bit = 0;
    while bit < 23 * 8 {
        let feed = (status[bit / 8] >> (bit % 8) ^ sum) & 1;
        sum = sum >> 1 ^ if feed == 1 { 0xb8 } else { 0 };
        bit += 1;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both examples of AES3-2014 part 2 annex B.
    #[test]
    fn the_standards_examples_have_the_standards_checksums() {
        let mut status = [0; 24];
        (status[0], status[1], status[4]) = (0x3d, 0x02, 0x02);
        assert_eq!(checksum(&status), 0x9b);
        let mut status = [0; 24];
        status[0] = 0x01;
        assert_eq!(checksum(&status), 0x32);
    }

    fn stream(frames: std::ops::Range<u64>) -> Vec<u32> {
        frames
            .flat_map(|frame| (0..2).map(move |channel| word(frame as i32 * 77 - 900, channel, frame)))
            .collect()
    }

    fn judge(words: &[u32]) -> anyhow::Result<()> {
        check(&words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>(), 2)
    }

    #[test]
    fn a_stream_passes_and_every_wrong_bit_is_seen() {
        let words = stream(100..1000);
        judge(&words).expect("nothing is wrong with it");
        for at in [0, 1, 500, 501, 2 * 92] {
            for bit in 0..32 {
                let mut words = words.clone();
                words[at] ^= 1 << bit;
                assert!(judge(&words).is_err(), "bit {bit} of word {at}");
            }
        }
        // Two at once keep the parity: the channel status tells.
        let mut words = words;
        words[2 * 200] ^= C | P;
        assert!(judge(&words).is_err());
        assert!(judge(&stream(1..100)).is_err(), "no block begins");
    }
}
