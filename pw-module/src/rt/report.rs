//! What the data loop tells the main loop about one stream: numbers, written now and then, read at leisure.

use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};

use wireloom_rtp::{Counters, Window};
use wireloom_wanted::{Heard, Mode, Stats};

/// Written by the data loop, read by the main loop. Each number is true by itself; together they may be of two
/// moments a few microseconds apart.
#[derive(Debug, Default)]
pub(crate) struct Report {
    packets: AtomicU64,
    lost: AtomicU64,
    reordered: AtomicU64,
    duplicates: AtomicU64,
    late: AtomicU64,
    early: AtomicU64,
    bad_size: AtomicU64,
    bad_payload_type: AtomicU64,
    not_rtp: AtomicU64,
    foreign: AtomicU64,
    restarts: AtomicU64,
    gap_frames: AtomicU64,
    gaps: AtomicU64,
    cycles: AtomicU64,
    margin: AtomicI64,
    peak: AtomicU32,
    mode: AtomicU8,
    latency: AtomicU32,
    notes: AtomicU8,
    ssrc: AtomicU32,
    frames: AtomicU32,
    payload_type: AtomicU8,
    /// Rate of a graph that this stream cannot play in without resampling; 0 when it can.
    adaptive_rate: AtomicU32,
}

/// Findings about a stream that its description did not foresee.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Notes {
    /// Another payload type than described is taken.
    pub payload_type_adopted: bool,
    /// Timestamps and sizes contradict each other: other channels or another encoding than described.
    pub format_contradicts: bool,
    /// AM824 that is not PCM.
    pub not_pcm: bool,
    /// The latency was raised for packets that came late all the time.
    pub raised: bool,
}

impl Report {
    pub(super) fn set_counters(&self, counters: &Counters) {
        self.packets.store(counters.packets, Relaxed);
        self.lost.store(counters.lost, Relaxed);
        self.reordered.store(counters.reordered, Relaxed);
        self.duplicates.store(counters.duplicates, Relaxed);
        self.late.store(counters.late, Relaxed);
        self.early.store(counters.early, Relaxed);
        self.bad_size.store(counters.bad_size, Relaxed);
        self.bad_payload_type.store(counters.bad_payload_type, Relaxed);
        self.not_rtp.store(counters.not_rtp, Relaxed);
        self.foreign.store(counters.foreign, Relaxed);
        self.restarts.store(counters.restarts, Relaxed);
        self.gap_frames.store(counters.gap_frames, Relaxed);
        self.gaps.store(counters.gaps, Relaxed);
    }

    pub(super) fn set_window(&self, window: &Window) {
        self.margin.store(window.margin.unwrap_or(0), Relaxed);
        self.peak.store(window.peak_millionths(), Relaxed);
    }

    pub(super) fn add_cycle(&self) {
        self.cycles.store(self.cycles.load(Relaxed).wrapping_add(1), Relaxed);
    }

    pub(super) fn add_packets(&self, sent: u64, lost: u64) {
        self.packets.store(self.packets.load(Relaxed).wrapping_add(sent), Relaxed);
        self.lost.store(self.lost.load(Relaxed).wrapping_add(lost), Relaxed);
    }

    pub(super) fn set_mode(&self, mode: Option<Mode>) {
        let code = match mode {
            None => 0,
            Some(Mode::Locked) => 1,
            Some(Mode::Learned) => 2,
            Some(Mode::Adaptive) => 3,
        };
        self.mode.store(code, Relaxed);
    }

    pub(super) fn set_latency(&self, samples: u32) {
        self.latency.store(samples, Relaxed);
    }

    pub(super) fn set_notes(&self, notes: Notes) {
        let bits = [notes.payload_type_adopted, notes.format_contradicts, notes.not_pcm, notes.raised];
        let code = bits.iter().rev().fold(0_u8, |code, bit| code << 1 | u8::from(*bit));
        self.notes.store(code, Relaxed);
    }

    pub(super) fn set_heard(&self, heard: Heard) {
        self.ssrc.store(heard.ssrc, Relaxed);
        self.payload_type.store(heard.payload_type, Relaxed);
        self.frames.store(heard.frames, Relaxed);
    }

    pub(super) fn set_wants_adaptive(&self, wants: bool, graph_rate: u32) {
        self.adaptive_rate.store(if wants { graph_rate } else { 0 }, Relaxed);
    }

    /// The graph's rate, when the stream waits for a resampler to that rate.
    pub(crate) fn wants_adaptive(&self) -> Option<u32> {
        Some(self.adaptive_rate.load(Relaxed)).filter(|rate| *rate != 0)
    }

    /// How the stream is read, once it is.
    pub(crate) fn mode(&self) -> Option<Mode> {
        match self.mode.load(Relaxed) {
            1 => Some(Mode::Locked),
            2 => Some(Mode::Learned),
            3 => Some(Mode::Adaptive),
            _ => None,
        }
    }

    /// The latency in force, in samples.
    pub(crate) fn latency(&self) -> u32 {
        self.latency.load(Relaxed)
    }

    /// Packets sent so far, or those of the stream that came, whether in time or not.
    pub(crate) fn packets(&self) -> u64 {
        self.packets.load(Relaxed) + self.late.load(Relaxed) + self.early.load(Relaxed)
    }

    /// What the packets say about themselves; `None` until some came.
    pub(crate) fn heard(&self) -> Option<Heard> {
        let heard = Heard {
            ssrc: self.ssrc.load(Relaxed),
            payload_type: self.payload_type.load(Relaxed),
            frames: self.frames.load(Relaxed),
        };
        Some(heard).filter(|heard| heard.frames != 0)
    }

    /// What was found out.
    pub(crate) fn notes(&self) -> Notes {
        let code = self.notes.load(Relaxed);
        Notes {
            payload_type_adopted: code & 1 != 0,
            format_contradicts: code & 2 != 0,
            not_pcm: code & 4 != 0,
            raised: code & 8 != 0,
        }
    }

    /// All counters, as the metadata object carries them.
    pub(crate) fn stats(&self) -> Stats {
        Stats {
            packets: self.packets.load(Relaxed),
            lost: self.lost.load(Relaxed),
            reordered: self.reordered.load(Relaxed),
            duplicates: self.duplicates.load(Relaxed),
            late: self.late.load(Relaxed),
            early: self.early.load(Relaxed),
            bad_size: self.bad_size.load(Relaxed),
            bad_payload_type: self.bad_payload_type.load(Relaxed),
            not_rtp: self.not_rtp.load(Relaxed),
            foreign: self.foreign.load(Relaxed),
            restarts: self.restarts.load(Relaxed),
            gap_frames: self.gap_frames.load(Relaxed),
            gaps: self.gaps.load(Relaxed),
            cycles: self.cycles.load(Relaxed),
            margin: self.margin.load(Relaxed),
            peak: self.peak.load(Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_and_modes_survive_their_codes() {
        let report = Report::default();
        for code in 0..16_u8 {
            let notes = Notes {
                payload_type_adopted: code & 1 != 0,
                format_contradicts: code & 2 != 0,
                not_pcm: code & 4 != 0,
                raised: code & 8 != 0,
            };
            report.set_notes(notes);
            assert_eq!(report.notes(), notes);
        }
        for mode in [None, Some(Mode::Locked), Some(Mode::Learned), Some(Mode::Adaptive)] {
            report.set_mode(mode);
            assert_eq!(report.mode(), mode);
        }
    }
}
