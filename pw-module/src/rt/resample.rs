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
/// How far the ratio may leave the nominal one: 2000 ppm of drift and what draws the position in, either way.
pub(super) const MAX_RELATIVE_RATIO: f64 = 1.003;

/// Everything that playing a foreign clock needs. Made on the main loop, used on the data loop.
pub(crate) struct Adaptive {
    pub(super) steering: Steering,
    resampler: Async<f32>,
    input: Vec<Vec<f32>>,
    output: Vec<Vec<f32>>,
    max_frames: usize,
    graph_rate: Rate,
    stream_rate: Rate,
    fade: Option<Fade>,
}

/// How the next cycle begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fade {
    /// From silence.
    In,
    /// From the stream as it was read before, frame by frame.
    Over,
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
            stream_rate,
            fade: Some(Fade::In),
        })
    }

    /// Whether it resamples to a graph at `hz`.
    pub(super) fn is_for(&self, hz: u32) -> bool {
        self.graph_rate.hz() == hz
    }

    /// Goes on at the graph's index `now` with a stream that was read frame by frame, by `offset` and `latency` behind, and
    /// of which `at` is the next frame.
    pub(super) fn take_over(&mut self, now: MediaIndex, offset: u32, at: MediaIndex, latency: Samples) {
        self.resampler.reset();
        self.steering.set_latency(latency);
        self.steering.take_over(now, offset, at);
        self.fade = Some(if self.graph_rate == self.stream_rate { Fade::Over } else { Fade::In });
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
            self.fade = Some(Fade::In);
        }
        // A ratio out of bounds is a clock that nobody sells; the last ratio serves as well as any.
        let _ = self.resampler.set_resample_ratio(1.0 / step.ratio, !step.jumped);
        let needed = self.resampler.input_frames_next();
        if self.input.iter().any(|channel| channel.len() < needed) {
            return None;
        }
        if self.fade == Some(Fade::Over) {
            timeline.read(step.at, Samples(frames), out);
        }
        let read = timeline.read(step.at, Samples(u32::try_from(needed).ok()?), self.input.as_mut_slice());
        if read.gap > 0 {
            self.steering.starved();
        }
        let channels = self.input.len();
        let input = SequentialSliceOfVecs::new(&self.input, channels, needed).ok()?;
        let mut output = SequentialSliceOfVecs::new_mut(&mut self.output, channels, count).ok()?;
        let (taken, made) =
            self.resampler.process_into_buffer(&input, &mut output, None::<&Indexing>).ok()?;
        self.steering.consumed(Samples(u32::try_from(taken).ok()?));
        for (index, from) in self.output.iter_mut().enumerate() {
            let Some(from) = from.get_mut(..made.min(count)) else { continue };
            let Some(to) = out.channel_mut(index) else { continue };
            let length = from.len().min(to.len());
            let (filled, rest) = to.split_at_mut(length);
            if let Some(fade) = self.fade {
                for (n, (sample, before)) in from.iter_mut().zip(filled.iter()).enumerate() {
                    let before = if fade == Fade::Over { *before } else { 0.0 };
                    *sample = before + (*sample - before) * (n as f32 / length as f32);
                }
            }
            filled.copy_from_slice(from.get(..length).unwrap_or_default());
            rest.fill(0.0);
        }
        self.fade = None;
        Some(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt::test_sender;
    use wireloom_rtp::{Encoding, Placement, RtpPacket, TimelineConfig};
    use wireloom_tone::{Judge, Purity};

    const CYCLE: u32 = 256;
    const PACKET: u32 = 48;
    const RATE: Rate = Rate::HZ_48000;
    const HZ: u32 = 1000;

    /// Packet number `number` of a sender of a tone.
    fn packet(number: u64) -> Vec<u8> {
        let tone = |n| wireloom_tone::sample(n, HZ, RATE.hz(), 0.5);
        test_sender::packet(number * u64::from(PACKET), PACKET, tone)
    }

    /// Plays `seconds` of a tone whose sender is `ppm` fast, after ten that are not judged, over a network that is up to
    /// four milliseconds late.
    fn play(ppm: f64, seconds: u64) -> Purity {
        let one = Channels::new(1).expect("one");
        let mut timeline = Timeline::new(TimelineConfig {
            encoding: Encoding::L24,
            channels: one,
            rate: RATE,
            payload_type: 98,
            offset: None,
            capacity: Samples(4096),
            history: Samples(1024),
        })
        .expect("small");
        let latency = Samples(CYCLE + 2 * PACKET + 192);
        let mut adaptive = Adaptive::new(one, RATE, RATE, latency, 1024).expect("made");
        let mut judge = Judge::new(f64::from(HZ) * (1.0 + ppm * 1e-6), RATE.hz());
        let start = 1_u64 << 32;
        let leaves = |number: u64| ((number + 1) * u64::from(PACKET)) as f64 / (1.0 + ppm * 1e-6);
        // The same in every run: most packets come at once, some late.
        let late =
            |number: u64| ((number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as f64 / 256.0).powi(3) * 192.0;
        let mut arrived = 0.0_f64;
        let mut number = 0;
        let mut out = [[0.0_f32; CYCLE as usize]];
        for cycle in 0..(seconds + 10) * u64::from(RATE.hz()) / u64::from(CYCLE) {
            let now = cycle * u64::from(CYCLE);
            loop {
                let arrives = arrived.max(leaves(number) + late(number)); // none overtakes another
                if arrives > now as f64 {
                    break;
                }
                arrived = arrives;
                let at = MediaIndex(start + arrives as u64);
                let bytes = packet(number);
                number += 1;
                let placement = timeline.handle_datagram(adaptive.steering.index_at(at), 0, &bytes);
                assert!(matches!(placement, Placement::Placed | Placement::Waiting), "{placement:?}");
                let time = RtpPacket::parse(&bytes).expect("ours").time;
                adaptive.steering.handle_packet(at, time, Samples(PACKET));
                timeline.set_offset(adaptive.steering.offset().expect("a packet came"));
            }
            let read = adaptive.process(&mut timeline, MediaIndex(start + now), CYCLE, &mut out);
            if cycle * u64::from(CYCLE) >= 10 * u64::from(RATE.hz()) {
                assert!(read.is_some(), "it plays since long");
                judge.push(&out[0]);
            }
        }
        let counters = timeline.counters();
        assert_eq!((counters.gaps, counters.late, counters.lost), (0, 0, 0), "{ppm} ppm: {counters:?}");
        judge.finish().expect("a tone in every block")
    }

    #[test]
    fn ten_minutes_of_a_tone_from_a_clock_a_hundred_ppm_off_stay_pure() {
        for ppm in [100.0, -100.0] {
            let found = play(ppm, 600);
            println!("{ppm:+} ppm: {found}");
            // A sample left out or doubled would be -24 dB.
            let pure = found.thd_n_db < -99.0 && found.worst_db < -94.0 && found.peak_db < -86.0;
            assert!(pure, "{ppm:+} ppm: {found}");
            // The filter follows the earliest packets to within this.
            let due = f64::from(HZ) * (1.0 + ppm * 1e-6);
            assert!(found.hz.0 > due - 0.006 && found.hz.1 < due + 0.006, "{ppm:+} ppm: {found}");
        }
    }
}
