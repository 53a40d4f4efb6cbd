/// A small seeded generator (SplitMix64) for the random waits that the standard asks for. Not for secrets.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number from 0 to `limit`, both included; 0 for a negative limit.
    pub(crate) fn up_to(&mut self, limit: i64) -> i64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let span = limit.max(0).unsigned_abs() + 1;
        ((u128::from(mixed) * u128::from(span)) >> 64) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_fill_their_range_and_repeat_with_the_seed() {
        let draw = |seed| {
            let mut random = Random::new(seed);
            core::array::from_fn::<i64, 1000, _>(|_| random.up_to(9))
        };
        let first = draw(1);
        assert_eq!(first, draw(1));
        assert_ne!(first, draw(2));
        for number in 0..=9 {
            let count = first.iter().filter(|&&drawn| drawn == number).count();
            assert!((60..140).contains(&count), "{number} came {count} times");
        }
        assert_eq!(Random::new(1).up_to(-5), 0);
        assert!(Random::new(1).up_to(i64::MAX) >= 0);
    }
}
