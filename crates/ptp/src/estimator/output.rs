//! What media see: the estimate without its jumps.

use wireloom_units::TaiTime;

use crate::line::{RATE_BITS, read, saturate};

/// Seconds in which the output would reach the estimate if nothing limited it.
const TIME_CONSTANT: f64 = 4.0;

/// 2^40 parts in 10^9: turns parts per billion into units of the rate.
const UNITS_PER_PPB: f64 = (1_u64 << RATE_BITS) as f64 / 1e9;

/// The rate of a line is never further from 1 than this, in parts per billion: P rises whatever the leader does.
const MAX_RATE_PPB: f64 = 1e6;

/// The published mapping without its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Output {
    pub(super) generation: u32,
    pub(super) base: i64,
    pub(super) time: TaiTime,
    pub(super) rate: i64,
}

impl Output {
    /// Begins a generation at `now` that reads `time` and runs at `frequency` parts per billion.
    pub(super) fn step(before: Option<Self>, now: i64, time: TaiTime, frequency: f64) -> Self {
        let generation = before.map_or(1, |output| output.generation.wrapping_add(1).max(1));
        Self { generation, base: now, time, rate: rate_of(frequency) }
    }

    /// The network's time at base time `raw`.
    pub(super) const fn at(&self, raw: i64) -> TaiTime {
        read(self.base, self.time, self.rate, raw)
    }

    /// How far the estimate, `whole + phase` ahead of base B at `now`, is ahead of the output.
    pub(super) fn behind(&self, now: i64, whole: i64, phase: f64) -> f64 {
        let published = i128::from(self.at(now).as_nanos()) - i128::from(now);
        saturate(i128::from(whole) - published) as f64 + phase
    }

    /// Continues from `now` at `frequency` and catches up with an estimate that is `behind` ns ahead.
    ///
    /// Neither the catching up nor the change of rate exceeds `slew` parts per billion; it takes `patience` seconds at
    /// least, which is longer than it is until the next call.
    pub(super) fn steer(&mut self, now: i64, behind: f64, frequency: f64, slew: f64, patience: f64) {
        let wanted = frequency + (behind / TIME_CONSTANT.max(patience)).clamp(-slew, slew);
        let change = rate_of(wanted).saturating_sub(self.rate);
        let most = (slew * UNITS_PER_PPB) as i64;
        let time = self.at(now);
        *self = Self { base: now, time, rate: self.rate + change.clamp(-most, most), ..*self };
    }
}

fn rate_of(ppb: f64) -> i64 {
    (ppb.clamp(-MAX_RATE_PPB, MAX_RATE_PPB) * UNITS_PER_PPB) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_continuous_and_catches_up_without_exceeding_the_slew() {
        let start = Output::step(None, 0, TaiTime::from_nanos(1_000), 35_000.0);
        let mut output = start;
        let (mut now, mut before) = (0, output.rate);
        for _ in 0..60 {
            now += 1_000_000_000;
            let read = output.at(now);
            // The estimate runs at +35 ppm from 301 us on.
            let behind = output.behind(now, 301_000, 35_000.0 * now as f64 * 1e-9);
            output.steer(now, behind, 35_000.0, 50_000.0, 2.0);
            assert_eq!(output.at(now), read, "no jump");
            assert!((output.rate - before).abs() <= (50_000.0 * UNITS_PER_PPB) as i64 + 1);
            before = output.rate;
        }
        assert!(output.behind(now, 301_000, 35_000.0 * 60.0).abs() < 10.0);
        assert_eq!(output.generation, start.generation);
    }
}
