//! A graph that another clock drives, sent on the network's clock: the mirror image of `resample`.

use audioadapter_buffers::direct::SequentialSliceOfVecs;
use rubato::{
    Adjustable, Async, FixedAsync, Indexing, Resampler, Resizable, SincInterpolationParameters,
    WindowFunction,
};
use wireloom_rtp::{Planar, PlanarMut};
use wireloom_units::{Channels, MediaIndex, Rate, Samples};

use super::resample::{MAX_RELATIVE_RATIO, RatioError, TAPS};

/// Farther from where it should be than this, the stream is set anew instead of drawn there, in seconds.
const REACH_SECONDS: f64 = 0.02;
/// Seconds in which a distance is drawn in.
const PULL_SECONDS: f64 = 2.0;
/// The most that the ratio departs from the clocks' own to do so.
const MAX_PULL: f64 = 2e-4;

/// Everything that sending from a foreign clock needs. Made on the main loop, used on the data loop.
pub(crate) struct Resend {
    resampler: Async<f32>,
    input: Vec<Vec<f32>>,
    output: Vec<Vec<f32>>,
    max_frames: usize,
    graph_rate: Rate,
    stream_rate: Rate,
    /// Next sample of the stream to be made; absent before the first.
    next: Option<MediaIndex>,
    /// Smoothed distance from where it should be, in samples of the stream.
    distance: f64,
}

/// One cycle of the graph in the stream's samples.
pub(super) struct Made<'a> {
    /// The first sample.
    pub at: MediaIndex,
    /// How many.
    pub frames: Samples,
    output: &'a [Vec<f32>],
}

impl Planar for Made<'_> {
    fn channel(&self, index: usize) -> Option<&[f32]> {
        self.output.get(index)?.get(..self.frames.0 as usize)
    }
}

impl Resend {
    /// Takes all memory for cycles of up to `max_frames` frames.
    pub(crate) fn new(
        channels: Channels,
        graph_rate: Rate,
        stream_rate: Rate,
        max_frames: usize,
    ) -> Result<Self, RatioError> {
        let ratio = f64::from(stream_rate.hz()) / f64::from(graph_rate.hz());
        let parameters = SincInterpolationParameters::new(TAPS, WindowFunction::BlackmanHarris2);
        let count = usize::from(channels.count());
        let resampler =
            Async::new_sinc(ratio, MAX_RELATIVE_RATIO, &parameters, max_frames, count, FixedAsync::Input)
                .map_err(|_| RatioError { stream: graph_rate, graph: stream_rate })?;
        let most = resampler.output_frames_max() + 16;
        Ok(Self {
            resampler,
            input: vec![vec![0.0; max_frames]; count],
            output: vec![vec![0.0; most]; count],
            max_frames,
            graph_rate,
            stream_rate,
            next: None,
            distance: 0.0,
        })
    }

    /// Whether it resamples from a graph at `hz`.
    pub(super) fn is_for(&self, hz: u32) -> bool {
        self.graph_rate.hz() == hz
    }

    /// Forgets where it was: the graph or the clock jumped.
    pub(super) fn restart(&mut self) {
        self.next = None;
    }

    /// Makes the stream's samples of a cycle of `frames` frames, which begins when the network's clock reads `start`
    /// and in which that clock makes `rate_ratio` seconds of one of the graph's clock.
    pub(super) fn process(
        &mut self,
        start: MediaIndex,
        frames: u32,
        rate_ratio: f64,
        input: &(impl Planar + ?Sized),
    ) -> Option<Made<'_>> {
        let count = frames as usize;
        if count == 0 || count > self.max_frames {
            return None;
        }
        let stream_hz = f64::from(self.stream_rate.hz());
        let next = self.next.filter(|next| (start.since(*next) as f64).abs() <= REACH_SECONDS * stream_hz);
        let fresh = next.is_none();
        let next = next.unwrap_or(start);
        if fresh {
            self.resampler.reset();
            self.distance = 0.0;
        }
        // A cycle's start is known to a sample only, and wakes up late now and then: smoothed over about a second.
        let gain = (f64::from(frames) / f64::from(self.graph_rate.hz())).min(1.0);
        self.distance += gain * (start.since(next) as f64 - self.distance);
        let pull = (self.distance / (PULL_SECONDS * stream_hz)).clamp(-MAX_PULL, MAX_PULL);
        let nominal = stream_hz / f64::from(self.graph_rate.hz());
        self.resampler.set_chunk_size(count).ok()?;
        // Clocks further apart than the bounds are faults of a driver; the last ratio serves until they mend.
        let _ = self.resampler.set_resample_ratio(nominal * (rate_ratio + pull), !fresh);

        for (index, to) in self.input.iter_mut().enumerate() {
            let to = to.get_mut(..count)?;
            match input.channel(index).and_then(|from| from.get(..count)) {
                Some(from) => to.copy_from_slice(from),
                None => to.fill(0.0),
            }
        }
        let channels = self.input.len();
        let room = self.output.first()?.len();
        let source = SequentialSliceOfVecs::new(&self.input, channels, count).ok()?;
        let mut sink = SequentialSliceOfVecs::new_mut(&mut self.output, channels, room).ok()?;
        let (_, made) = self.resampler.process_into_buffer(&source, &mut sink, None::<&Indexing>).ok()?;
        if fresh {
            for channel in 0..channels {
                if let Some(samples) = self.output.as_mut_slice().channel_mut(channel) {
                    for (n, sample) in samples.iter_mut().take(made).enumerate() {
                        *sample *= n as f32 / made as f32;
                    }
                }
            }
        }
        let made = Samples(u32::try_from(made).ok()?);
        self.next = Some(next.plus(made));
        Some(Made { at: next, frames: made, output: &self.output })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames of one cycle, and the sample clock of the network in them.
    const FRAMES: u32 = 256;

    #[test]
    fn a_tone_stays_whole_when_the_clocks_differ() {
        for ppm in [-100.0, 0.0, 100.0_f64] {
            let channels = Channels::new(1).expect("one");
            let mut resend = Resend::new(channels, Rate::HZ_48000, Rate::HZ_48000, 1024).expect("made");
            let (mut last, mut worst, mut expected) = (None::<f32>, 0.0_f32, None);
            // A quarter-scale tone of 1 kHz moves by at most this from one sample to the next.
            let step = 0.25 * 2.0 * std::f32::consts::PI * 1000.0 / 48_000.0 * 1.01;
            for cycle in 0..8_000_u64 {
                let at = cycle * u64::from(FRAMES);
                let input = [(0..FRAMES)
                    .map(|n| {
                        let phase = (at + u64::from(n)) as f64 * 1000.0 / 48_000.0 * std::f64::consts::TAU;
                        0.25 * phase.sin() as f32
                    })
                    .collect::<Vec<f32>>()];
                let start = MediaIndex(1_000_000 + (at as f64 * (1.0 + ppm * 1e-6)) as u64);
                let made = resend.process(start, FRAMES, 1.0 + ppm * 1e-6, &input).expect("fits");
                assert_eq!(made.at, expected.unwrap_or(made.at), "no hole, no overlap");
                expected = Some(made.at.plus(made.frames));
                assert!((made.at.since(start)).abs() <= 4, "{ppm} ppm: {} off", made.at.since(start));
                for sample in made.channel(0).expect("one channel") {
                    if let Some(last) = last.filter(|_| cycle > 4) {
                        worst = worst.max((sample - last).abs());
                    }
                    last = Some(*sample);
                }
            }
            assert!(worst <= step, "{ppm} ppm: a step of {worst}");
        }
    }
}
