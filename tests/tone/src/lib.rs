//! How pure a tone is that went through something: the best sine is fitted to it, and what is left is distortion and
//! noise.
//!
//! Not responsible for making tones but [`sample`], nor for what is pure enough.
#![forbid(unsafe_code)]

use std::f64::consts::TAU;

/// Frames of a block: a tenth of a second at 48 kHz. A frequency that wanders slower than that is no noise; a block
/// has one of its own.
pub const BLOCK: usize = 4800;
/// Rounds of the fit; from a frequency within a tenth of a cycle per block it is exact after three.
const ROUNDS: usize = 4;

/// Sample number `n` of a tone of `hz` and this amplitude at `rate` samples a second.
pub fn sample(n: u64, hz: u32, rate: u32, amplitude: f64) -> f32 {
    // The phase begins anew every second, so that it stays exact.
    let turns = (n % u64::from(rate)) as f64 * f64::from(hz) / f64::from(rate);
    (amplitude * (TAU * turns.fract()).sin()) as f32
}

/// The sine that is nearest to some samples (IEEE 1057, four parameters), and what remains without it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fit {
    /// Cycles in a sample.
    pub frequency: f64,
    /// Peak of the sine.
    pub amplitude: f64,
    /// Effective value of the rest, without its mean.
    pub rest: f64,
    /// Largest sample of the rest.
    pub peak: f64,
}

impl Fit {
    /// Fits a sine of about `frequency` cycles in a sample. `None` when the samples are of no one frequency near it.
    pub fn new(samples: &[f32], mut frequency: f64) -> Option<Self> {
        let middle = (samples.len() as f64 - 1.0) / 2.0;
        let (mut a, mut b, mut mean) = (0.0, 0.0, 0.0);
        for round in 0..ROUNDS {
            // Least squares in cosine, sine, constant and, once the first two are known, frequency. Time is counted
            // from the middle and in half blocks: so all columns are of one size.
            let mut normal = [[0.0; 5]; 4];
            let mut phasor = Phasor::new(frequency, -middle);
            for (n, y) in samples.iter().enumerate() {
                let (sin, cos) = phasor.next();
                let t = (n as f64 - middle) / middle;
                let row = [cos, sin, 1.0, t * (b * cos - a * sin), f64::from(*y)];
                for (to, left) in normal.iter_mut().zip(row) {
                    to.iter_mut().zip(row).for_each(|(to, right)| *to += left * right);
                }
            }
            let unknowns = if round == 0 { 3 } else { 4 };
            let solved = solve(normal, unknowns)?;
            [a, b, mean] = [solved[0], solved[1], solved[2]];
            frequency += solved[3] / middle / TAU;
            if !(0.0..0.5).contains(&frequency) {
                return None;
            }
        }
        let mut phasor = Phasor::new(frequency, -middle);
        let (mut sum, mut peak) = (0.0, 0.0_f64);
        for y in samples {
            let (sin, cos) = phasor.next();
            let rest = f64::from(*y) - a * cos - b * sin - mean;
            sum += rest * rest;
            peak = peak.max(rest.abs());
        }
        let rest = (sum / samples.len() as f64).sqrt();
        Some(Self { frequency, amplitude: a.hypot(b), rest, peak })
    }
}

/// Sine and cosine of a steady tone, sample by sample.
struct Phasor {
    now: (f64, f64),
    step: (f64, f64),
}

impl Phasor {
    fn new(frequency: f64, at: f64) -> Self {
        Self { now: (TAU * frequency * at).sin_cos(), step: (TAU * frequency).sin_cos() }
    }

    fn next(&mut self) -> (f64, f64) {
        let ((s, c), (sin, cos)) = (self.now, self.step);
        self.now = (s * cos + c * sin, c * cos - s * sin);
        (s, c)
    }
}

/// Solves the first `unknowns` normal equations; the rest stays 0. `None` when they do not determine anything.
fn solve(mut rows: [[f64; 5]; 4], unknowns: usize) -> Option<[f64; 4]> {
    for pivot in 0..unknowns {
        let best =
            (pivot..unknowns).max_by(|a, b| rows[*a][pivot].abs().total_cmp(&rows[*b][pivot].abs()))?;
        rows.swap(pivot, best);
        if rows[pivot][pivot].abs() < 1e-12 {
            return None;
        }
        let (done, below) = rows.split_at_mut(pivot + 1);
        for row in below.iter_mut().take(unknowns - pivot - 1) {
            let factor = row[pivot] / done[pivot][pivot];
            row.iter_mut().zip(done[pivot]).for_each(|(to, from)| *to -= factor * from);
        }
    }
    let mut solved = [0.0; 4];
    for row in (0..unknowns).rev() {
        let known: f64 = (row + 1..unknowns).map(|column| rows[row][column] * solved[column]).sum();
        solved[row] = (rows[row][4] - known) / rows[row][row];
    }
    Some(solved)
}

/// A recorded tone, judged block by block. The blocks overlap by half, so that whatever breaks it is inside of one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Purity {
    /// How many blocks were judged.
    pub blocks: usize,
    /// Distortion and noise of all blocks together against the tone, in decibels.
    pub thd_n_db: f64,
    /// The same of the worst block.
    pub worst_db: f64,
    /// Largest sample of what is not the tone, against the tone's amplitude, in decibels.
    pub peak_db: f64,
    /// Lowest and highest frequency of a block, in Hz.
    pub hz: (f64, f64),
}

impl Purity {
    /// Judges a tone of about `hz` at `rate`. `None` when a block has no such tone, or there is none.
    pub fn new(samples: &[f32], hz: f64, rate: u32) -> Option<Self> {
        let mut judge = Judge::new(hz, rate);
        judge.push(samples);
        judge.finish()
    }
}

/// Judges a tone that comes piece by piece.
#[derive(Debug, Clone)]
pub struct Judge {
    hz: f64,
    rate: f64,
    /// What is part of a block that is not complete.
    waiting: Vec<f32>,
    /// Sums of squares over all blocks.
    tone: f64,
    rest: f64,
    blocks: usize,
    /// Largest ratios: of squares, and of samples.
    worst: f64,
    peak: f64,
    low: f64,
    high: f64,
    no_tone: bool,
}

impl Judge {
    /// Expects a tone of about `hz` at `rate`.
    pub fn new(hz: f64, rate: u32) -> Self {
        Self {
            hz,
            rate: f64::from(rate),
            waiting: Vec::new(),
            tone: 0.0,
            rest: 0.0,
            blocks: 0,
            worst: 0.0,
            peak: 0.0,
            low: f64::MAX,
            high: f64::MIN,
            no_tone: false,
        }
    }

    /// Takes in what follows.
    pub fn push(&mut self, samples: &[f32]) {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.extend_from_slice(samples);
        let mut at = 0;
        while let Some(block) = waiting.get(at..at + BLOCK) {
            self.add(block);
            at += BLOCK / 2;
        }
        waiting.drain(..at);
        self.waiting = waiting;
    }

    /// What follows does not go on from what came before.
    pub fn part(&mut self) {
        self.waiting.clear();
    }

    fn add(&mut self, block: &[f32]) {
        let Some(fit) = Fit::new(block, self.hz / self.rate) else {
            self.no_tone = true;
            return;
        };
        let level = fit.amplitude * fit.amplitude / 2.0;
        self.tone += level;
        self.rest += fit.rest * fit.rest;
        self.blocks += 1;
        self.worst = self.worst.max(fit.rest * fit.rest / level);
        self.peak = self.peak.max(fit.peak / fit.amplitude);
        self.low = self.low.min(fit.frequency * self.rate);
        self.high = self.high.max(fit.frequency * self.rate);
    }

    /// What was found; a last piece that is shorter than a block is left out. `None` when a block had no such tone, or
    /// there was no block.
    pub fn finish(&self) -> Option<Purity> {
        (self.blocks > 0 && !self.no_tone).then(|| Purity {
            blocks: self.blocks,
            thd_n_db: 10.0 * (self.rest / self.tone).log10(),
            worst_db: 10.0 * self.worst.log10(),
            peak_db: 20.0 * self.peak.log10(),
            hz: (self.low, self.high),
        })
    }
}

impl std::fmt::Display for Purity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "THD+N {:.1} dB, worst block {:.1} dB, worst sample {:.1} dB, {:.4} to {:.4} Hz",
            self.thd_n_db, self.worst_db, self.peak_db, self.hz.0, self.hz.1
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u32 = 48_000;

    fn tone(hz: f64, seconds: usize) -> Vec<f32> {
        let step = TAU * hz / f64::from(RATE);
        (0..seconds * RATE as usize).map(|n| (0.5 * (n as f64 * step + 0.3).sin()) as f32).collect()
    }

    fn judge(samples: &[f32]) -> Purity {
        Purity::new(samples, 1000.0, RATE).expect("a tone")
    }

    #[test]
    fn a_pure_tone_is_as_pure_as_floats_can_hold_and_its_frequency_is_found() {
        let found = judge(&tone(1000.1, 2));
        assert!(found.thd_n_db < -140.0 && found.worst_db < -140.0 && found.peak_db < -130.0, "{found}");
        assert!((found.hz.0 - 1000.1).abs() < 1e-4 && (found.hz.1 - 1000.1).abs() < 1e-4, "{found}");
        assert_eq!(found.blocks, 39);
    }

    #[test]
    fn distortion_is_measured_as_it_is() {
        let mut samples = tone(1000.0, 2);
        for (sample, third) in samples.iter_mut().zip(tone(3000.0, 2)) {
            *sample += third / 1000.0;
        }
        let found = judge(&samples);
        assert!((found.thd_n_db + 60.0).abs() < 0.1 && (found.worst_db + 60.0).abs() < 0.1, "{found}");
    }

    #[test]
    fn a_sample_that_is_missing_or_doubled_anywhere_is_heard() {
        for at in [4_801, 7_200, 9_599, 9_600, 30_000] {
            let mut missing = tone(1000.0, 1);
            missing.remove(at);
            let mut doubled = tone(1000.0, 1);
            doubled.insert(at, doubled[at]);
            let mut silent = tone(1000.0, 1);
            silent[at..at + 2].fill(0.0);
            for samples in [missing, doubled] {
                assert!(judge(&samples).worst_db > -40.0, "at {at}: {}", judge(&samples));
            }
            assert!(judge(&silent).worst_db > -60.0, "at {at}: {}", judge(&silent));
        }
    }

    #[test]
    fn the_tone_that_is_made_is_pure_across_its_seconds() {
        let samples: Vec<f32> = (47_000..97_000).map(|n| sample(n, 1000, RATE, 0.5)).collect();
        assert!(judge(&samples).worst_db < -140.0);
    }

    #[test]
    fn pieces_are_judged_as_the_whole() {
        let samples = tone(999.9, 1);
        let mut judge = Judge::new(1000.0, RATE);
        samples.chunks(37).for_each(|piece| judge.push(piece));
        assert_eq!(judge.finish(), Purity::new(&samples, 1000.0, RATE));
    }

    #[test]
    fn parts_need_not_fit_together() {
        let mut judge = Judge::new(1000.0, RATE);
        judge.push(&tone(1000.0, 1));
        judge.part();
        judge.push(&tone(1000.0, 1)[17..]);
        let found = judge.finish().expect("a tone");
        assert!(found.worst_db < -140.0, "{found}");
    }

    #[test]
    fn silence_and_too_little_are_no_tone() {
        assert_eq!(Purity::new(&[0.0; 9_600], 1000.0, RATE), None);
        assert_eq!(Purity::new(&tone(1000.0, 1)[..4_000], 1000.0, RATE), None);
    }
}
