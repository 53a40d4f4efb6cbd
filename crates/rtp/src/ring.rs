use alloc::boxed::Box;
use alloc::vec;
use core::fmt;

use wireloom_units::{Channels, MediaIndex, Samples};

/// The longest ring: 21 s at 48 kHz. Longer is a mistake of the caller, not a buffer.
const MAX_FRAMES: u32 = 1 << 20;
/// Frames whose freshness one word holds; the shortest ring.
const WORD: usize = 64;

/// Samples of several channels, addressed by media index, and for each frame whether it is fresh.
///
/// The owner keeps all fresh frames inside one window that is not longer than the ring, so that an index
/// names its frame without ambiguity.
pub(crate) struct Ring {
    samples: Box<[f32]>,
    fresh: Box<[u64]>,
    frames: usize,
}

/// A run of frames that lies in one piece in the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Slot of its first frame.
    pub slot: usize,
    /// Distance of its first frame from the first one asked for.
    pub from: usize,
    /// How many frames.
    pub len: usize,
}

impl Ring {
    /// A ring of at least `capacity` frames, rounded up to a power of two.
    pub fn new(channels: Channels, capacity: Samples) -> Result<Self, CapacityError> {
        if capacity.0 == 0 || capacity.0 > MAX_FRAMES {
            return Err(CapacityError { frames: capacity.0 });
        }
        let frames = (capacity.0 as usize).next_power_of_two().max(WORD);
        Ok(Self {
            samples: vec![0.0; frames * usize::from(channels.count())].into_boxed_slice(),
            fresh: vec![0; frames / WORD].into_boxed_slice(),
            frames,
        })
    }

    /// How many frames it holds.
    pub const fn frames(&self) -> usize {
        self.frames
    }

    /// Where the frames `at..at + frames` lie: one piece, or two when they wrap around. Never more than the ring.
    pub fn pieces(&self, at: MediaIndex, frames: usize) -> [Piece; 2] {
        let frames = frames.min(self.frames);
        let slot = at.0 as usize & (self.frames - 1); // a power of two
        let first = frames.min(self.frames - slot);
        [Piece { slot, from: 0, len: first }, Piece { slot: 0, from: first, len: frames - first }]
    }

    /// The samples of one channel in `piece`; empty when there is no such channel.
    pub fn samples(&self, channel: usize, piece: Piece) -> &[f32] {
        let start = channel * self.frames + piece.slot;
        self.samples.get(start..start + piece.len).unwrap_or_default()
    }

    /// The samples of one channel in `piece`, to write; empty when there is no such channel.
    pub fn samples_mut(&mut self, channel: usize, piece: Piece) -> &mut [f32] {
        let start = channel * self.frames + piece.slot;
        self.samples.get_mut(start..start + piece.len).unwrap_or_default()
    }

    /// Says of the frames `at..at + frames` that they are fresh, or no longer.
    pub fn mark(&mut self, at: MediaIndex, frames: usize, fresh: bool) {
        for piece in self.pieces(at, frames) {
            let end = piece.slot + piece.len;
            let mut slot = piece.slot;
            while slot < end {
                let bit = slot % WORD;
                let count = (WORD - bit).min(end - slot);
                let mask = (u64::MAX >> (WORD - count)) << bit;
                if let Some(word) = self.fresh.get_mut(slot / WORD) {
                    *word = if fresh { *word | mask } else { *word & !mask };
                }
                slot += count;
            }
        }
    }

    /// Forgets all frames.
    pub fn clear(&mut self) {
        self.fresh.fill(0);
    }

    /// The longest run from slot `slot` on, at most `max` frames and inside the ring, that is fresh or stale
    /// throughout, and which of the two it is.
    pub fn run(&self, slot: usize, max: usize) -> (usize, bool) {
        let end = (slot + max).min(self.frames);
        let word = |slot: usize| self.fresh.get(slot / WORD).copied().unwrap_or(0);
        let is_fresh = word(slot) >> (slot % WORD) & 1 == 1;
        let mut at = slot;
        while at < end {
            let bits = if is_fresh { !word(at) } else { word(at) };
            let same = ((bits >> (at % WORD)).trailing_zeros() as usize).min(WORD - at % WORD);
            at += same;
            if same == 0 || !at.is_multiple_of(WORD) {
                break;
            }
        }
        (at.min(end) - slot, is_fresh)
    }

    /// Looks through the frames `at..at + frames`; `sounding` says whether the frame before them was fresh.
    pub fn survey(&self, at: MediaIndex, frames: usize, sounding: bool) -> Survey {
        let mut survey = Survey { fresh: 0, before: 0, falls: 0, ends_fresh: sounding };
        for piece in self.pieces(at, frames) {
            let mut done = 0;
            while done < piece.len {
                let (len, fresh) = self.run(piece.slot + done, piece.len - done);
                let len = len.max(1);
                survey.fresh += if fresh { len } else { 0 };
                survey.before += if survey.fresh == 0 { len } else { 0 };
                survey.falls += usize::from(survey.ends_fresh && !fresh);
                survey.ends_fresh = fresh;
                done += len;
            }
        }
        survey
    }
}

/// What [`Ring::survey`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Survey {
    /// Fresh frames.
    pub fresh: usize,
    /// Frames before the first fresh one.
    pub before: usize,
    /// Times that a fresh frame was followed by one that is not.
    pub falls: usize,
    /// The last frame is fresh.
    pub ends_fresh: bool,
}

/// A buffer of no frames, or of more than 2^20, was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CapacityError {
    /// The frames that were asked for.
    pub frames: u32,
}

impl fmt::Display for CapacityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a buffer holds 1 to {MAX_FRAMES} frames, not {}", self.frames)
    }
}

impl core::error::Error for CapacityError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring() -> Ring {
        Ring::new(Channels::new(1).expect("one"), Samples(256)).expect("fits")
    }

    #[test]
    fn runs_follow_the_marks_across_words_and_the_end() {
        let mut ring = ring();
        ring.mark(MediaIndex(250), 100, true); // 250..256 and 0..94
        assert_eq!(ring.run(250, 256), (6, true));
        assert_eq!(ring.run(0, 256), (94, true));
        assert_eq!(ring.run(94, 256), (156, false));
        assert_eq!(
            ring.survey(MediaIndex(200), 256, true),
            Survey { fresh: 100, before: 50, falls: 2, ends_fresh: false }
        );
        ring.mark(MediaIndex(256 + 63), 2, false);
        assert_eq!(ring.run(0, 94), (63, true));
        assert_eq!(ring.run(63, 94), (2, false));
        assert_eq!(ring.run(65, 10), (10, true));
    }

    #[test]
    fn capacities_outside_the_range_are_refused_in_words() {
        let one = Channels::new(1).expect("one");
        let refused = |frames| Ring::new(one, Samples(frames)).err().expect("refused");
        assert_eq!(alloc::format!("{}", refused(0)), "a buffer holds 1 to 1048576 frames, not 0");
        assert_eq!(refused(u32::MAX), CapacityError { frames: u32::MAX });
    }
}
