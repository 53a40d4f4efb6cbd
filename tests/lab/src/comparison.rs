use crate::recording::Recording;
use crate::signal::PositionCode;

/// Frames in a row that must tell the same position before a jump is believed.
const RUN: usize = 8;

/// Frames within which a signal must have begun, and which are recorded beyond those that must be right: links are made
/// one after the other, and a group is joined with the first.
pub const LEAD_IN: usize = 48_000;

/// What became of a [`PositionCode`] on its way through the network.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Comparison {
    /// Frames that were recorded; each has `channels` samples.
    pub frames: usize,
    /// Channels of the recording.
    pub channels: usize,
    /// Frames before the signal begins on all channels.
    pub lead_in: usize,
    /// Samples among these that are neither silence nor what belongs there: while links are made one after the other,
    /// PipeWire may let a cycle be heard twice.
    pub unsettled: u64,
    /// Samples (frames x channels) that are exactly what was sent, at the position where they belong.
    pub matched: u64,
    /// Samples that are neither silence nor what belongs there.
    pub wrong: u64,
    /// Frame of the recording with the first of them.
    pub first_wrong: Option<usize>,
    /// The first of them, for people: what was there.
    pub odd: Vec<Odd>,
    /// Frames of cycles that the recorder was not called in: it cannot say what was in them.
    pub missed: usize,
    /// Stretches of silence on all channels from the begin of the signal to the end of the recording, oldest first.
    pub gaps: Vec<Gap>,
    /// Places where the position jumped, oldest first.
    pub slips: Vec<Slip>,
    /// Position of the recording's first frame in the signal, modulo its period.
    pub offset: u64,
}

/// Silence where there should be signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// Frame of the recording in which it begins.
    pub at: usize,
    /// Its length in frames.
    pub frames: usize,
}

/// A sample that is neither silence nor what belongs there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Odd {
    /// Frame of the recording.
    pub at: usize,
    /// Channel, from 0.
    pub channel: usize,
    /// What it is.
    pub sample: f32,
    /// Which frame of the signal has it in this channel, if one has, and which one belongs there.
    pub is_and_should: (Option<u64>, u64),
}

/// How many of these are kept.
const ODD: usize = 4;

/// The signal goes on at another position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slip {
    /// Frame of the recording from which on the new position holds.
    pub at: usize,
    /// By how many frames it jumped; positive when frames were left out.
    pub by: i64,
}

impl Comparison {
    /// Compares a recording with the signal. `None` when the signal cannot be found in it.
    ///
    /// The signal begins where eight frames in a row agree on a position on all channels; what is recorded before
    /// that may be silence, channel by channel (links are made one after the other), or already right. From then on the
    /// signal never ends: silence at the very end is a gap like any other.
    pub fn new(code: &PositionCode, recording: &Recording) -> Option<Self> {
        let end = recording.frames();
        let start = (0..end).find(|&at| run_at(code, recording, at).is_some())?;
        let mut offset = run_at(code, recording, start)?;
        let channels = recording.frame(start).len();
        let mut found = Self { frames: end, channels, lead_in: start, offset, ..Self::default() };
        for at in 0..start {
            let heard =
                different(code, recording, at, offset).filter(|sample| *sample != 0.0 && !sample.is_nan());
            found.unsettled += heard.count() as u64;
        }
        let mut at = start;
        while at < end {
            let frame = recording.frame(at);
            if frame.iter().all(|&sample| sample == 0.0) {
                let from = at;
                while at < end && recording.frame(at).iter().all(|&sample| sample == 0.0) {
                    at += 1;
                }
                found.gaps.push(Gap { at: from, frames: at - from });
                continue;
            }
            if frame.iter().all(|sample| sample.is_nan()) {
                found.missed += 1;
                at += 1;
                continue;
            }
            let bad = different(code, recording, at, offset).count();
            if bad > 0
                && let Some(other) = run_at(code, recording, at)
                && other != offset
            {
                found.slips.push(Slip { at, by: code.distance(offset, other) });
                offset = other;
                continue;
            }
            found.add_wrong(at, bad);
            found.keep_odd(code, frame, at, offset);
            found.matched += (frame.len() - bad) as u64;
            at += 1;
        }
        Some(found)
    }

    fn add_wrong(&mut self, at: usize, samples: usize) {
        if samples > 0 {
            self.wrong += samples as u64;
            self.first_wrong.get_or_insert(at);
        }
    }

    fn keep_odd(&mut self, code: &PositionCode, frame: &[f32], at: usize, offset: u64) {
        let should = (offset + at as u64) % code.period();
        for (channel, &sample) in frame.iter().enumerate() {
            if self.odd.len() < ODD && sample != code.float(should, channel) {
                let is_and_should = (code.frame(sample, channel), should);
                self.odd.push(Odd { at, channel, sample, is_and_should });
            }
        }
    }

    /// Frames that are missing in gaps.
    pub fn gap_frames(&self) -> usize {
        self.gaps.iter().map(|gap| gap.frames).sum()
    }

    /// Every sample from the begin of the signal to the end of the recording is right and where it belongs, and these
    /// are at least `frames` frames.
    pub fn is_exact(&self, frames: u64) -> bool {
        let after_lead_in = (self.frames - self.lead_in) as u64;
        self.matched == after_lead_in * self.channels as u64
            && after_lead_in >= frames
            && self.slips.is_empty()
    }

    /// Whether no more is wrong before the signal begins than links explain that are made one after the other: with
    /// each a cycle of `quantum` frames may be heard twice on every channel.
    pub fn is_settled(&self, quantum: u32) -> bool {
        self.unsettled <= (self.channels * self.channels) as u64 * u64::from(quantum)
    }
}

impl std::fmt::Display for Comparison {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} samples exact of {} frames, {} wrong", self.matched, self.frames, self.wrong)?;
        if let Some(at) = self.first_wrong {
            write!(f, " (first in frame {at}, signal begins at {})", self.lead_in)?;
        }
        for Odd { at, channel, sample, is_and_should: (is, should) } in &self.odd {
            write!(f, " [frame {at} channel {channel}: {sample}, of {is:?} instead of {should}]")?;
        }
        write!(f, ", {} gaps", self.gaps.len())?;
        if !self.gaps.is_empty() {
            write!(f, " ({} frames)", self.gap_frames())?;
            for gap in self.gaps.iter().take(5) {
                write!(f, " [{} at {}]", gap.frames, gap.at)?;
            }
        }
        if self.missed > 0 {
            write!(f, ", {} frames missed by the recorder", self.missed)?;
        }
        if self.lead_in > 0 {
            write!(f, ", {} frames of lead-in ({} samples wrong)", self.lead_in, self.unsettled)?;
        }
        write!(f, ", {} slips", self.slips.len())?;
        for slip in self.slips.iter().take(5) {
            write!(f, " [{:+} at {}]", slip.by, slip.at)?;
        }
        Ok(())
    }
}

/// Says channel by channel what is in a recording in which the signal cannot be found.
pub fn describe(code: &PositionCode, recording: &Recording) -> String {
    let mut text = String::new();
    for channel in 0..code.channels() {
        let samples = || (0..recording.frames()).map(|at| recording.frame(at)[channel]);
        let silent = samples().filter(|sample| *sample == 0.0).count();
        let frames: Vec<Option<u64>> = samples().map(|sample| code.frame(sample, channel)).collect();
        let steady =
            frames.windows(2).filter(|pair| matches!(pair, [Some(a), Some(b)] if *b == a + 1)).count();
        let first = frames.iter().position(Option::is_some);
        text.push_str(&format!(
            "channel {channel}: {silent} of {} silent, {steady} go on from the one before, first in frame {first:?}\n",
            recording.frames()
        ));
    }
    text
}

/// The offset (signal position minus recording position) that all channels of the frames `at..at + RUN` agree on.
fn run_at(code: &PositionCode, recording: &Recording, at: usize) -> Option<u64> {
    let mut offset = None;
    for at in at..at + RUN {
        if at >= recording.frames() {
            return None;
        }
        for (channel, &sample) in recording.frame(at).iter().enumerate() {
            let position = code.frame(sample, channel)?;
            let here = (position + code.period() - at as u64 % code.period()) % code.period();
            if *offset.get_or_insert(here) != here {
                return None;
            }
        }
    }
    offset
}

/// The samples of frame `at` that are not what `offset` puts there.
fn different<'a>(
    code: &'a PositionCode,
    recording: &'a Recording,
    at: usize,
    offset: u64,
) -> impl Iterator<Item = f32> + 'a {
    let expected = move |channel| code.float(at as u64 + offset, channel);
    recording
        .frame(at)
        .iter()
        .enumerate()
        .filter(move |(channel, sample)| **sample != expected(*channel))
        .map(|(_, s)| *s)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(code: &PositionCode, positions: impl IntoIterator<Item = Option<u64>>) -> Vec<f32> {
        let sample = |position: Option<u64>, channel| position.map_or(0.0, |p| code.float(p, channel));
        positions.into_iter().flat_map(|p| (0..code.channels()).map(move |c| sample(p, c))).collect()
    }

    fn compare(code: &PositionCode, samples: Vec<f32>) -> Comparison {
        Comparison::new(code, &Recording::new(samples, code.channels())).expect("the signal is in there")
    }

    #[test]
    fn an_exact_recording_is_exact_across_the_period() {
        let code = PositionCode::new(16, 2);
        let silence = std::iter::repeat_n(None, 100);
        let found = compare(&code, recorded(&code, silence.chain((65_000..67_000).map(Some))));
        assert!(found.is_exact(2000), "{found}");
        assert_eq!((found.lead_in, found.matched, found.unsettled), (100, 4000, 0));
    }

    #[test]
    fn a_signal_that_ends_before_the_recording_leaves_a_gap() {
        let code = PositionCode::new(24, 2);
        for silent in [1, 48, 48_000] {
            let silence = std::iter::repeat_n(None, silent);
            let found = compare(&code, recorded(&code, (0..1000).map(Some).chain(silence)));
            assert_eq!(found.gaps, [Gap { at: 1000, frames: silent }]);
            assert!(!found.is_exact(0), "{found}");
        }
    }

    #[test]
    fn every_frame_of_a_recording_is_accounted_for() {
        let code = PositionCode::new(24, 2);
        let lost = |p: u64| !(500..548).contains(&p) && p < 900;
        let mut samples = vec![0.0; 2 * 30];
        samples.extend(recorded(&code, (0..1000).map(|p| lost(p).then_some(p))));
        samples[2 * 300..2 * 364].fill(f32::NAN);
        samples[2 * 400] = 0.25;
        let found = compare(&code, samples);
        let without = found.lead_in + found.gap_frames() + found.missed;
        assert_eq!((found.lead_in, found.gap_frames(), found.missed), (30, 148, 64));
        assert_eq!(found.matched + found.wrong, 2 * (found.frames - without) as u64);
        assert_eq!(found.frames, 1030);
    }

    #[test]
    fn too_little_is_not_exact() {
        let code = PositionCode::new(24, 2);
        let silence = std::iter::repeat_n(None, 900);
        let found = compare(&code, recorded(&code, silence.chain((0..100).map(Some))));
        assert!(found.is_exact(100) && !found.is_exact(101), "{found}");
    }

    #[test]
    fn what_is_wrong_in_the_lead_in_is_counted() {
        let code = PositionCode::new(24, 2);
        let mut samples = recorded(&code, (0..300).map(Some));
        for frame in 0..40 {
            samples[2 * frame] = code.float(frame as u64 + 7, 0);
            samples[2 * frame + 1] = 0.0;
        }
        let found = compare(&code, samples);
        assert_eq!((found.lead_in, found.unsettled), (40, 40));
        assert!(found.is_settled(10) && !found.is_settled(9));
    }

    #[test]
    fn gaps_are_counted_and_what_follows_must_be_where_it_belongs() {
        let code = PositionCode::new(24, 8);
        let lost = |p: u64| !(500..548).contains(&p) && p != 700;
        let found = compare(&code, recorded(&code, (0..1000).map(|p| lost(p).then_some(p))));
        assert_eq!(found.gaps, [Gap { at: 500, frames: 48 }, Gap { at: 700, frames: 1 }]);
        assert_eq!((found.matched, found.wrong, found.slips.len()), (951 * 8, 0, 0));
    }

    #[test]
    fn cycles_that_the_recorder_missed_are_not_gaps() {
        let code = PositionCode::new(24, 2);
        let mut samples = recorded(&code, (0..1000).map(Some));
        samples[2 * 300..2 * 364].fill(f32::NAN);
        let found = compare(&code, samples);
        assert_eq!((found.missed, found.wrong, found.gaps.len(), found.slips.len()), (64, 0, 0, 0));
        assert!(!found.is_exact(0));
    }

    #[test]
    fn jumps_are_told_apart_from_gaps() {
        let code = PositionCode::new(24, 1);
        let found = compare(&code, recorded(&code, (0..100).chain(90..200).chain(248..300).map(Some)));
        assert_eq!(found.slips, [Slip { at: 100, by: -10 }, Slip { at: 210, by: 48 }]);
        assert_eq!((found.wrong, found.gaps.len()), (0, 0));
    }

    #[test]
    fn a_late_channel_is_lead_in_and_a_wrong_bit_is_wrong() {
        let code = PositionCode::new(24, 2);
        let mut samples = recorded(&code, (0..300).map(Some));
        for frame in 0..40 {
            samples[2 * frame + 1] = 0.0;
        }
        samples[2 * 200] += 1.0 / 8_388_608.0;
        samples[2 * 250 + 1] = 0.0;
        let found = compare(&code, samples);
        assert_eq!((found.lead_in, found.wrong, found.matched), (40, 2, 518));
        let odd: Vec<_> = found.odd.iter().map(|odd| (odd.at, odd.channel, odd.is_and_should.1)).collect();
        assert_eq!(odd, [(200, 0, 200), (250, 1, 250)]);
    }

    #[test]
    fn swapped_channels_and_silence_are_not_the_signal() {
        let code = PositionCode::new(24, 2);
        let mut samples = recorded(&code, (0..300).map(Some));
        samples.chunks_exact_mut(2).for_each(|frame| frame.swap(0, 1));
        assert_eq!(Comparison::new(&code, &Recording::new(samples, 2)), None);
        assert_eq!(Comparison::new(&code, &Recording::new(vec![0.0; 600], 2)), None);
    }
}
