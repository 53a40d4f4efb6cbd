//! What was heard against what was played. Written in the graph's cycle, read at leisure.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use serde_json::{Value, json};

use crate::signal::{self, PERIOD};

/// So many frames in a row must agree before the signal counts as heard.
const RUN: u32 = 8;

/// Counters of one run.
#[derive(Debug, Default)]
pub struct Measurement {
    /// Frames after which nothing is compared any more: what follows is the end of the test.
    limit: u64,
    frames: AtomicU64,
    lost: AtomicU64,
    wrong: AtomicU64,
    latency: AtomicU32,
    quantum: AtomicU32,
    /// Of the graph, in hertz; 0 until it runs.
    rate: AtomicU32,
    /// One more than the first frame that was not as it should be, and its channel.
    first_bad: AtomicU64,
    first_channel: AtomicU32,
}

impl Measurement {
    /// A run of so many frames.
    pub fn new(limit: u64) -> Self {
        Self { limit, ..Self::default() }
    }

    /// Whether all frames have been heard.
    pub fn is_complete(&self) -> bool {
        self.frames() >= self.limit
    }

    /// Frames since the signal was first heard.
    pub fn frames(&self) -> u64 {
        self.frames.load(Relaxed)
    }

    /// The rate at which the graph runs, once it does.
    pub fn rate_of_graph(&self) -> Option<u32> {
        Some(self.rate.load(Relaxed)).filter(|rate| *rate != 0)
    }

    /// The graph runs a cycle at this rate.
    pub fn cycle(&self, rate: u32) {
        self.rate.store(rate, Relaxed);
    }

    /// Everything as JSON, for `wireloom selftest`.
    pub fn document(&self, rate: u32) -> Value {
        let first = self.first_bad.load(Relaxed).checked_sub(1);
        json!({
            "frames": self.frames(),
            "lost": self.lost.load(Relaxed),
            "wrong": self.wrong.load(Relaxed),
            "latency_frames": self.latency.load(Relaxed),
            "quantum": self.quantum.load(Relaxed),
            "rate_hz": rate,
            "first_bad": first.map(|frame| {
                json!({ "frame": frame, "channel": self.first_channel.load(Relaxed) })
            }),
        })
    }
}

/// Compares; lives in the graph's cycle, so it neither allocates nor waits.
#[derive(Debug, Default)]
pub struct Comparer {
    candidate: Option<u32>,
    run: u32,
    latency: Option<u32>,
}

impl Comparer {
    /// Takes a cycle of interleaved samples that begins at `position` of the graph.
    pub fn take(
        &mut self,
        position: u64,
        samples: impl ExactSizeIterator<Item = f32>,
        channels: u32,
        into: &Measurement,
    ) {
        let mut samples = samples;
        let frames = samples.len() as u64 / u64::from(channels.max(1));
        into.quantum.store(u32::try_from(frames).unwrap_or(u32::MAX), Relaxed);
        for at in (position..).take(usize::try_from(frames).unwrap_or(0)) {
            self.frame(at, &mut samples, channels, into);
        }
    }

    fn frame(&mut self, at: u64, samples: &mut impl Iterator<Item = f32>, channels: u32, into: &Measurement) {
        let Some(latency) = self.latency else { return self.search(at, samples, channels, into) };
        if into.is_complete() {
            return;
        }
        let number = into.frames.load(Relaxed);
        let (mut wrong, mut silent) = (None, true);
        for (channel, sample) in (0..channels).zip(samples) {
            let expected = (at % PERIOD + PERIOD - u64::from(latency)) % PERIOD;
            silent &= sample == 0.0;
            if sample != signal::sample(expected, channel) {
                wrong.get_or_insert(channel);
            }
        }
        if let Some(channel) = wrong {
            (if silent { &into.lost } else { &into.wrong }).fetch_add(1, Relaxed);
            if into.first_bad.load(Relaxed) == 0 {
                into.first_channel.store(channel, Relaxed);
                into.first_bad.store(number + 1, Relaxed);
            }
        }
        into.frames.store(number + 1, Relaxed);
    }

    /// Looks for the signal: frames in a row whose channels all agree how old they are.
    fn search(
        &mut self,
        at: u64,
        samples: &mut impl Iterator<Item = f32>,
        channels: u32,
        into: &Measurement,
    ) {
        let (mut age, mut agree) = (None, true);
        for (channel, sample) in (0..channels).zip(samples) {
            let of = signal::position(sample, channel)
                .map(|position| ((at % PERIOD + PERIOD - u64::from(position)) % PERIOD) as u32);
            agree &= of.is_some() && *age.get_or_insert(of) == of;
        }
        let age = age.flatten().filter(|_| agree);
        self.run = if age.is_some() && age == self.candidate { self.run + 1 } else { 0 };
        self.candidate = age;
        if let Some(age) = age.filter(|_| self.run >= RUN) {
            self.latency = Some(age);
            into.latency.store(age, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANNELS: u32 = 2;

    /// What is heard at `from..to` when the signal is `age` frames old, changed by `change`.
    fn heard(from: u64, to: u64, age: u64, change: impl Fn(u64, u32, f32) -> f32) -> Value {
        let into = Measurement::new(1500);
        let mut comparer = Comparer::default();
        for start in (from..to).step_by(64) {
            let samples: Vec<f32> = (start..start + 64)
                .flat_map(|at| (0..CHANNELS).map(move |channel| (at, channel)))
                .map(|(at, channel)| change(at, channel, signal::sample(at + PERIOD - age, channel)))
                .collect();
            comparer.take(start, samples.into_iter(), CHANNELS, &into);
        }
        into.document(48_000)
    }

    #[test]
    fn an_undisturbed_signal_is_measured_across_the_period() {
        let silence = |at, _, sample| if at < PERIOD - 500 { 0.0 } else { sample };
        let found = heard(PERIOD - 1024, PERIOD + 1024, 300, silence);
        assert_eq!((&found["lost"], &found["wrong"]), (&0.into(), &0.into()), "{found}");
        assert_eq!((&found["latency_frames"], &found["quantum"]), (&300.into(), &64.into()));
        assert_eq!(found["first_bad"], Value::Null);
        assert_eq!(found["frames"], 1500, "it ends there");
    }

    #[test]
    fn loss_and_wrong_samples_are_told_apart_and_the_first_is_named() {
        let found = heard(0, 1024, 48, |at, channel, sample| match (at, channel) {
            (600..648, _) => 0.0,
            (500, 1) => -sample,
            _ => sample,
        });
        assert_eq!((&found["lost"], &found["wrong"]), (&48.into(), &1.into()), "{found}");
        let first = 500 - u64::from(RUN) - 1;
        assert_eq!(found["first_bad"], json!({ "frame": first, "channel": 1 }));
    }

    #[test]
    fn a_signal_that_jumps_is_wrong_from_then_on() {
        let found = heard(
            0,
            1024,
            48,
            |at, channel, sample| {
                if at < 512 { sample } else { signal::sample(at - 47, channel) }
            },
        );
        assert_eq!((&found["lost"], &found["wrong"]), (&0.into(), &512.into()), "{found}");
    }
}
