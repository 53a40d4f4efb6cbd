//! A stream of another clock, played at the graph's rate: `wireloom_rtp::Steering` says how fast, rubato resamples.

use audioadapter_buffers::direct::SequentialSliceOfVecs;
use rubato::{
    Adjustable, Async, FixedAsync, Indexing, Resampler, Resizable, SincInterpolationParameters,
    WindowFunction,
};
use wireloom_rtp::{PlanarMut, Read, Steering, SteeringConfig, Timeline};
use wireloom_units::{Channels, MediaIndex, Rate, Samples};

/// Taps of the interpolation filter: half of them are the delay it adds, in samples of the stream.
pub(super) const TAPS: usize = 128;
/// How far the ratio may leave the nominal one: 1000 ppm of drift and what draws the position in.
pub(super) const MAX_RELATIVE_RATIO: f64 = 1.002;

/// Everything that playing a foreign clock needs. Made on the main loop, used on the data loop.
pub(crate) struct Adaptive {
    pub(super) steering: Steering,
    resampler: Async<f32>,
    input: Vec<Vec<f32>>,
    output: Vec<Vec<f32>>,
    max_frames: usize,
    graph_rate: Rate,
    fade_in: bool,
}

/// Why a resampler could not be made.
#[derive(Debug)]
pub(crate) struct RatioError {
    pub(super) stream: Rate,
    pub(super) graph: Rate,
}

impl std::fmt::Display for RatioError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "no resampler from {} to {}", self.stream, self.graph)
    }
}

impl Adaptive {
    /// Samples of the stream by which the filter delays.
    pub(crate) const DELAY: u32 = TAPS as u32 / 2;

    /// Takes all memory for cycles of up to `max_frames` frames.
    pub(crate) fn new(
        channels: Channels,
        stream_rate: Rate,
        graph_rate: Rate,
        latency: Samples,
        max_frames: usize,
    ) -> Result<Self, RatioError> {
        let ratio = f64::from(graph_rate.hz()) / f64::from(stream_rate.hz());
        let parameters = SincInterpolationParameters::new(TAPS, WindowFunction::BlackmanHarris2);
        let count = usize::from(channels.count());
        let resampler =
            Async::new_sinc(ratio, MAX_RELATIVE_RATIO, &parameters, max_frames, count, FixedAsync::Output)
                .map_err(|_| RatioError { stream: stream_rate, graph: graph_rate })?;
        let most = resampler.input_frames_max() + 16;
        Ok(Self {
            steering: Steering::new(SteeringConfig { stream_rate, graph_rate, latency }),
            resampler,
            input: vec![vec![0.0; most]; count],
            output: vec![vec![0.0; max_frames]; count],
            max_frames,
            graph_rate,
            fade_in: true,
        })
    }

    /// Whether it resamples to a graph at `hz`.
    pub(super) fn is_for(&self, hz: u32) -> bool {
        self.graph_rate.hz() == hz
    }

    /// Plays `frames` frames of the graph at its index `now`. Without a first packet, or with more frames than there
    /// is memory for, it is silence.
    pub(super) fn process(
        &mut self,
        timeline: &mut Timeline,
        now: MediaIndex,
        frames: u32,
        out: &mut impl PlanarMut,
    ) -> Option<Read> {
        let count = frames as usize;
        if count == 0 || count > self.max_frames {
            return None;
        }
        let step = self.steering.poll_step(now, Samples(frames))?;
        self.resampler.set_chunk_size(count).ok()?;
        if step.jumped {
            self.resampler.reset();
            self.resampler.set_chunk_size(count).ok()?;
            self.fade_in = true;
        }
        // A ratio out of bounds is a clock that nobody sells; the last ratio serves as well as any.
        let _ = self.resampler.set_resample_ratio(1.0 / step.ratio, !step.jumped);
        let needed = self.resampler.input_frames_next();
        if self.input.iter().any(|channel| channel.len() < needed) {
            return None;
        }
        let read = timeline.read(step.at, Samples(u32::try_from(needed).ok()?), self.input.as_mut_slice());
        let channels = self.input.len();
        let input = SequentialSliceOfVecs::new(&self.input, channels, needed).ok()?;
        let mut output = SequentialSliceOfVecs::new_mut(&mut self.output, channels, count).ok()?;
        let (taken, made) =
            self.resampler.process_into_buffer(&input, &mut output, None::<&Indexing>).ok()?;
        self.steering.consumed(Samples(u32::try_from(taken).ok()?));
        for (index, from) in self.output.iter_mut().enumerate() {
            let Some(from) = from.get_mut(..made.min(count)) else { continue };
            if self.fade_in {
                let length = from.len() as f32;
                for (n, sample) in from.iter_mut().enumerate() {
                    *sample *= n as f32 / length;
                }
            }
            if let Some(to) = out.channel_mut(index) {
                let length = from.len().min(to.len());
                let (filled, rest) = to.split_at_mut(length);
                filled.copy_from_slice(from.get(..length).unwrap_or_default());
                rest.fill(0.0);
            }
        }
        self.fade_in = false;
        Some(read)
    }
}
