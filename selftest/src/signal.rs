/// Samples have this many bits: what L24 carries.
const BITS: u32 = 24;
const MASK: u32 = (1 << BITS) - 1;
const FULL_SCALE: f32 = (1 << (BITS - 1)) as f32;

/// Positions are counted modulo this; at 48 kHz it comes round after 349 s.
pub const PERIOD: u64 = 1 << BITS;

/// The sample of `channel` at a position of the graph: the position times an odd number that is another for every
/// channel, so that a sample tells where it belongs and a swapped channel is seen.
pub fn sample(position: u64, channel: u32) -> f32 {
    let code = (position as u32).wrapping_mul(factor(channel)) & MASK;
    let signed = (code << (32 - BITS)).cast_signed() >> (32 - BITS);
    signed as f32 / FULL_SCALE
}

/// The position, modulo [`PERIOD`], at which `channel` has this sample; `None` when no 24-bit sample is like that.
pub fn position(sample: f32, channel: u32) -> Option<u32> {
    let scaled = sample * FULL_SCALE;
    if scaled.fract() != 0.0 || scaled.abs() > FULL_SCALE {
        return None;
    }
    let code = (scaled as i32).cast_unsigned() & MASK;
    Some(code.wrapping_mul(inverse(factor(channel))) & MASK)
}

const fn factor(channel: u32) -> u32 {
    0x9e_3779 + 2 * channel
}

/// What undoes a multiplication by an odd number modulo 2^32: each step doubles the bits that are right.
const fn inverse(odd: u32) -> u32 {
    let mut inverse = odd; // right in three bits
    let mut step = 0;
    while step < 4 {
        inverse = inverse.wrapping_mul(2_u32.wrapping_sub(odd.wrapping_mul(inverse)));
        step += 1;
    }
    inverse
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_tells_its_position() {
        for channel in [0, 1, 63] {
            for at in (0..PERIOD).step_by(9973).chain([PERIOD + 5]) {
                assert_eq!(position(sample(at, channel), channel), Some((at % PERIOD) as u32));
            }
        }
        assert_ne!(position(sample(1000, 0), 1), Some(1000), "another channel");
        for strange in [f32::NAN, f32::INFINITY, 1.5, 0.25 / FULL_SCALE] {
            assert_eq!(position(strange, 0), None);
        }
    }
}
