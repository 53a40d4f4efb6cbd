/// A signal in which every sample says which frame it is: the frame number times a constant, modulo a number just
/// below full scale. Sounds like noise, is never silence (so that a zero is a gap), differs from channel to channel
/// (so that a swap is seen), and repeats after 349 s at 24 bits and 48 kHz, 1.37 s at 16 bits.
///
/// With 32 bits the position is in the upper 24 and six of the lower ones change too: more than a float holds of a loud
/// sample, less than would round it to another position.
#[derive(Debug, Clone)]
pub struct PositionCode {
    bits: u32,
    /// Per channel: the factor and its inverse.
    factors: Vec<(u64, u64)>,
}

impl PositionCode {
    /// A code for `channels` channels of 16, 24 or 32 significant bits.
    ///
    /// Panics on another number of bits: that is a mistake in a test.
    pub fn new(bits: u32, channels: usize) -> Self {
        assert!(matches!(bits, 16 | 24 | 32), "a code has 16, 24 or 32 bits, not {bits}");
        let period = period(bits);
        // The golden ratio spreads neighbouring frames far apart; every step from there is another channel.
        let start = period * 618 / 1000;
        let factors =
            (start..period).filter_map(|factor| Some((factor, inverse(factor, period)?))).take(channels);
        Self { bits, factors: factors.collect() }
    }

    /// How many channels it has.
    pub fn channels(&self) -> usize {
        self.factors.len()
    }

    /// Significant bits of a sample.
    pub fn bits(&self) -> u32 {
        self.bits
    }

    /// After how many frames it repeats.
    pub fn period(&self) -> u64 {
        period(self.bits)
    }

    /// The sample of `channel` in frame number `frame`: a signed number of as many bits as the code has, never 0.
    pub fn sample(&self, frame: u64, channel: usize) -> i32 {
        let (factor, _) = self.factors[channel];
        let code = (frame % self.period()) * factor % self.period() + 1;
        let shift = 32 - self.code_bits();
        // The top bit of the code becomes the sign.
        let code = ((code as u32) << shift) as i32 >> shift;
        if self.bits == 32 { code << 8 | (frame % 64) as i32 } else { code }
    }

    /// The same sample as PipeWire shows it: exactly, but of 32 bits what a float holds, rounded to the nearest.
    pub fn float(&self, frame: u64, channel: usize) -> f32 {
        self.sample(frame, channel) as f32 / self.full_scale()
    }

    /// The frame number, below [`PositionCode::period`], in which `channel` has this sample; `None` when it never has.
    pub fn frame(&self, float: f32, channel: usize) -> Option<u64> {
        let bits = self.code_bits();
        let scaled = (float * (1_u32 << (bits - 1)) as f32).round();
        let code = u64::from((scaled as i32 as u32) & (u32::MAX >> (32 - bits)));
        let (_, inverse) = self.factors[channel];
        let code = code.checked_sub(1)?;
        let frame = code * inverse % self.period();
        // What was rounded away must have been nothing but what the code has there.
        (code < self.period() && self.float(frame, channel) == float).then_some(frame)
    }

    /// Bits that tell the position.
    fn code_bits(&self) -> u32 {
        self.bits.min(24)
    }

    /// `frames` frames from frame number `first` on, big-endian and interleaved, as RTP carries them.
    pub fn network_bytes(&self, first: u64, frames: usize) -> Vec<u8> {
        let width = self.bits as usize / 8;
        let mut bytes = Vec::with_capacity(frames * self.channels() * width);
        for frame in first..first + frames as u64 {
            for channel in 0..self.channels() {
                bytes.extend_from_slice(&self.sample(frame, channel).to_be_bytes()[4 - width..]);
            }
        }
        bytes
    }

    /// From frame number `from` to frame number `to`, the shorter way round.
    pub fn distance(&self, from: u64, to: u64) -> i64 {
        let period = self.period();
        let ahead = ((to % period + period - from % period) % period) as i64;
        if ahead > period as i64 / 2 { ahead - period as i64 } else { ahead }
    }

    fn full_scale(&self) -> f32 {
        (1_u32 << (self.bits - 1)) as f32
    }
}

/// One less than the number of codes, because the code 0 is silence.
fn period(bits: u32) -> u64 {
    (1 << bits.min(24)) - 1
}

/// The number that undoes a multiplication by `factor` modulo `modulus`; `None` when they share a divisor.
fn inverse(factor: u64, modulus: u64) -> Option<u64> {
    let (mut a, mut b) = (modulus as i64, factor as i64);
    let (mut x, mut y) = (0_i64, 1_i64);
    while b != 0 {
        let quotient = a / b;
        (a, b) = (b, a - quotient * b);
        (x, y) = (y, x - quotient * y);
    }
    (a == 1).then(|| x.rem_euclid(modulus as i64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_tells_its_frame() {
        for bits in [16, 24, 32] {
            let code = PositionCode::new(bits, 8);
            for frame in (0..code.period()).step_by(997) {
                for channel in 0..8 {
                    let float = code.float(frame, channel);
                    assert_ne!(float, 0.0);
                    assert_eq!(code.frame(float, channel), Some(frame), "{bits} bits, channel {channel}");
                }
            }
        }
    }

    #[test]
    fn the_code_uses_the_full_width_and_no_two_channels_agree() {
        let code = PositionCode::new(24, 64);
        assert_eq!(code.channels(), 64);
        let samples = || (0..100_000).map(|frame| code.sample(frame, 0));
        assert!(samples().max() > Some(8_380_000) && samples().min() < Some(-8_380_000));
        let same = (1..10_000).filter(|&frame| code.sample(frame, 0) == code.sample(frame, 1)).count();
        assert!(same < 5, "{same} of 10000 frames");
    }

    #[test]
    fn distances_go_the_shorter_way() {
        let code = PositionCode::new(24, 1);
        assert_eq!(code.distance(10, 500), 490);
        assert_eq!(code.distance(500, 10), -490);
        assert_eq!(code.distance(code.period() - 3, 4), 7);
        assert_eq!(code.distance(4, code.period() - 3), -7);
    }

    #[test]
    fn what_is_not_a_code_tells_nothing() {
        let code = PositionCode::new(24, 1);
        for float in [0.0, 0.25 / 8_388_608.0, 1.5, f32::NAN, f32::INFINITY] {
            assert_eq!(code.frame(float, 0), None, "{float}");
        }
    }

    #[test]
    fn network_bytes_are_big_endian_and_interleaved() {
        let code = PositionCode::new(24, 2);
        let bytes = code.network_bytes(5, 3);
        assert_eq!(bytes.len(), 3 * 2 * 3);
        let second = i32::from_be_bytes([bytes[9], bytes[10], bytes[11], 0]) >> 8;
        assert_eq!(second, code.sample(6, 1));
    }
}
