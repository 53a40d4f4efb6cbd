use crate::Random;

/// How exactly a message's arrival or departure is stamped.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stamper {
    /// Standard deviation, in nanoseconds.
    pub noise: f64,
    /// The stamp is a multiple of this many nanoseconds.
    pub granularity: i64,
    /// How often a stamp is taken too late, and by how many nanoseconds at most.
    pub late: (f64, f64),
}

impl Stamper {
    /// As the table of `ptp` section 5 assumes: 300 ns.
    pub const SOFTWARE: Self = Self { noise: 300.0, granularity: 1, late: (0.0, 0.0) };
    /// No error at all.
    pub const EXACT: Self = Self { noise: 0.0, granularity: 1, late: (0.0, 0.0) };

    /// The stamp of what happened when the clock read `reading`.
    pub fn stamp(&self, reading: (i64, f64), random: &mut Random) -> i64 {
        let late = if random.chance(self.late.0) { random.between(0.0, self.late.1) } else { 0.0 };
        let error = reading.1 + random.normal(self.noise) + late;
        let stamp = reading.0 + error.round() as i64;
        stamp - stamp.rem_euclid(self.granularity)
    }
}
