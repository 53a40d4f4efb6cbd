//! The reading side of a timeline: what is heard, and what is forgotten.

use wireloom_units::{MediaIndex, Samples};

use super::Timeline;
use crate::ring::Piece;
use crate::{PlanarMut, Read};

/// All bits of an `f32` but its sign.
const MAGNITUDE: u32 = 0x7fff_ffff;

impl Timeline {
    /// Reads the frames `at..at + frames` into `out` and forgets all before `at + frames`, less the history.
    ///
    /// Every frame of every channel that `out` has is written: samples where they are there, 0.0 where not; of a
    /// slice that is shorter than `frames` its length. Reading further back than the history, or ahead, is a jump
    /// of the graph: what lies outside the new window is forgotten. What would reach beyond the ring is silence.
    pub fn read(&mut self, at: MediaIndex, frames: Samples, out: &mut (impl PlanarMut + ?Sized)) -> Read {
        self.seek(at);
        let read = self.copy(at, frames, out, None);
        self.seek(at.plus(frames));
        self.play.quantum = frames.0;
        read
    }

    /// Reads as [`Timeline::read`] does, fading from the frames at `from` to those at `to` over the whole span.
    ///
    /// For a change of latency: both positions must lie within the history, and the next read goes on at
    /// `to + frames`. Counts gaps by the frames at `to`.
    pub fn read_fading(
        &mut self,
        from: MediaIndex,
        to: MediaIndex,
        frames: Samples,
        out: &mut (impl PlanarMut + ?Sized),
    ) -> Read {
        self.seek(from.min(to));
        let read = self.copy(to, frames, out, Some(from));
        self.seek(to.plus(frames));
        self.play.quantum = frames.0;
        read
    }

    /// Makes `at` the next frame to be read, and forgets what that makes unreachable. A read does this by itself;
    /// call it when the graph jumped, before handing over packets that came after the jump.
    pub fn seek(&mut self, at: MediaIndex) {
        let ahead = at.since(self.play.next);
        let distance = ahead.unsigned_abs();
        if distance >= self.ring.frames() as u64 {
            self.ring.clear();
        } else if ahead > 0 {
            self.ring.mark(self.floor(self.play.next), distance as usize, false);
        } else {
            // The window moves back: what lies beyond its new end would alias with what is readable now.
            self.ring.mark(at.offset_by(i64::from(self.room().0)), distance as usize, false);
        }
        self.play.next = at;
        self.play.started = true;
    }

    /// The earliest frame that may be fresh when `next` is the next to be read.
    ///
    /// May wrap below 0: only the slots matter, and nothing before index 0 is ever placed.
    fn floor(&self, next: MediaIndex) -> MediaIndex {
        MediaIndex(next.0.wrapping_sub(self.history))
    }

    /// Copies the frames `at..at + frames` to `out`, faded in over those from `fading` on if there are such.
    fn copy(
        &mut self,
        at: MediaIndex,
        frames: Samples,
        out: &mut (impl PlanarMut + ?Sized),
        fading: Option<MediaIndex>,
    ) -> Read {
        let frames = frames.0 as usize;
        let known = self.reach(at, frames);
        let survey = self.ring.survey(at, known, self.play.sounding);
        let pieces = self.ring.pieces(at, known);
        // The bits of positive numbers are in the order of the numbers, and integers are compared four at a time.
        let mut peak = self.extremes.peak.to_bits().cast_signed();
        for channel in 0..usize::from(self.config.channels.count()) {
            let Some(out) = out.channel_mut(channel) else { continue };
            let length = frames.min(out.len());
            let out = out.get_mut(..length).unwrap_or_default();
            match fading {
                None if survey.fresh == frames => self.copy_whole(channel, &pieces, out),
                None => self.copy_channel(channel, at, out),
                Some(from) => {
                    self.copy_channel(channel, from, out);
                    self.fade_channel(channel, at, out);
                }
            }
            peak =
                out.iter().fold(peak, |peak, sample| peak.max((sample.to_bits() & MAGNITUDE).cast_signed()));
        }
        self.extremes.peak = f32::from_bits(peak.cast_unsigned());
        if self.play.heard || survey.fresh > 0 {
            let before = if self.play.heard { 0 } else { survey.before }; // a beginning is no gap
            self.play.heard = true;
            self.counters.gap_frames += (frames - survey.fresh - before) as u64;
            self.counters.gaps += survey.falls as u64;
            self.play.sounding = survey.ends_fresh && known == frames;
        }
        Read { fresh: survey.fresh as u32, gap: (frames - survey.fresh) as u32 }
    }

    /// How many of the frames `at..at + frames` lie before the end of the window: beyond it slots mean other frames.
    fn reach(&self, at: MediaIndex, frames: usize) -> usize {
        let end = self.play.next.offset_by(i64::from(self.room().0));
        frames.min(usize::try_from(end.since(at)).unwrap_or(0))
    }

    /// Copies frames that are all fresh: the usual case.
    fn copy_whole(&self, channel: usize, pieces: &[Piece], out: &mut [f32]) {
        for piece in pieces {
            let Some(out) = out.get_mut(piece.from..).filter(|_| piece.len > 0) else { break };
            let samples = self.ring.samples(channel, *piece);
            let length = samples.len().min(out.len());
            let (out, samples) = (out.get_mut(..length), samples.get(..length));
            out.unwrap_or_default().copy_from_slice(samples.unwrap_or_default());
        }
    }

    fn copy_channel(&self, channel: usize, at: MediaIndex, out: &mut [f32]) {
        let mut done = 0;
        for piece in self.ring.pieces(at, self.reach(at, out.len())) {
            let mut within = 0;
            while within < piece.len {
                let (len, fresh) = self.ring.run(piece.slot + within, piece.len - within);
                let len = len.max(1);
                let run = Piece { slot: piece.slot + within, from: 0, len };
                let Some(out) = out.get_mut(done..done + len) else { break };
                let samples = self.ring.samples(channel, run);
                if fresh && samples.len() == out.len() {
                    out.copy_from_slice(samples);
                } else {
                    out.fill(0.0);
                }
                within += len;
                done += len;
            }
        }
        if let Some(rest) = out.get_mut(done..) {
            rest.fill(0.0);
        }
    }

    /// Mixes the frames from `at` on into `out`, from nothing to all over its length.
    fn fade_channel(&self, channel: usize, at: MediaIndex, out: &mut [f32]) {
        let length = out.len();
        let reach = self.reach(at, length);
        let step = 1.0 / (out.len().max(1) as f32);
        let mut fade = |position: usize, sample: f32| {
            if let Some(out) = out.get_mut(position) {
                *out += (sample - *out) * (position + 1) as f32 * step;
            }
        };
        let mut position = 0;
        for piece in self.ring.pieces(at, reach) {
            let mut within = 0;
            while within < piece.len {
                let (len, fresh) = self.ring.run(piece.slot + within, piece.len - within);
                let run = Piece { slot: piece.slot + within, from: 0, len: len.max(1) };
                for sample in self.ring.samples(channel, run) {
                    fade(position, if fresh { *sample } else { 0.0 });
                    position += 1;
                }
                within += run.len;
            }
        }
        (position..length).for_each(|position| fade(position, 0.0));
    }
}
