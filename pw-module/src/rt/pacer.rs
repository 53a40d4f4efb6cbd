//! Sends every packet when it is due, never earlier and never as a burst of a whole quantum.

use std::sync::Arc;

use wireloom_rtp::{Packetizer, Planar};
use wireloom_units::{MediaIndex, Rate, Samples};

use super::{GraphClock, Report};
use crate::ffi::{Batch, Destination, MediaSocket, TimerFd};

/// System calls for one stream in one call of the timer; what is left is sent at the next, right after.
const MAX_BATCHES: usize = 8;

/// A stream of ours on its way out.
pub(crate) struct TransmitSlot {
    /// Samples a second of the stream.
    pub rate: Rate,
    /// Cuts samples into packets.
    pub packetizer: Packetizer,
    /// One socket for each leg; every packet goes out on all.
    pub sockets: Vec<MediaSocket>,
    /// The socket that copies leave by.
    pub copier: Option<MediaSocket>,
    /// Who gets a copy of every packet.
    pub copies: Vec<Destination>,
    /// What is told about it.
    pub report: Arc<Report>,
    /// It is announced: it is sent, as silence, also when the graph brings nothing.
    pub announced: bool,
    /// The graph brings samples; otherwise silence is made here.
    pub live: bool,
    /// One after the last sample that was written.
    pub end: MediaIndex,
}

/// No channel of anything: the packetizer takes it as silence.
struct Silence;

impl Planar for Silence {
    fn channel(&self, _: usize) -> Option<&[f32]> {
        None
    }
}

/// Silence of so many samples is caught up on; what is further behind is left out.
const MAX_SILENCE: u32 = 4096;

impl TransmitSlot {
    /// Writes silence for a stream that nothing is linked to: two packets beyond `now`, of which one is always whole.
    fn fill(&mut self, now: MediaIndex) {
        if !self.announced || self.live {
            return;
        }
        let ahead = Samples(2 * self.packetizer.frames_per_packet().0);
        let until = now.plus(ahead);
        let missing = until.since(self.end);
        if missing <= 0 {
            return;
        }
        // At the start, and after a jump of the clock, nobody waits for the silence of before.
        let frames = u32::try_from(missing).ok().filter(|frames| *frames <= MAX_SILENCE).unwrap_or(ahead.0);
        let start = until.offset_by(-i64::from(frames));
        self.packetizer.write(start, Samples(frames), &Silence);
        self.end = until;
    }

    /// When the next packet is due, CLOCK_MONOTONIC nanoseconds.
    fn next_due(&self, clock: &GraphClock) -> Option<i64> {
        Some(clock.monotonic_of_rate(self.packetizer.next_due()?, self.rate))
    }
}

/// All streams on their way out, and the timer that is armed only while packets wait.
pub(crate) struct Pacer {
    timer: TimerFd,
    slots: Vec<Option<Box<TransmitSlot>>>,
    batch: Batch,
    /// CLOCK_MONOTONIC nanoseconds for which the timer is armed.
    armed_for: Option<i64>,
}

impl Pacer {
    /// A pacer for up to `capacity` streams.
    pub(crate) fn new(timer: TimerFd, capacity: usize) -> Self {
        let slots = std::iter::repeat_with(|| None).take(capacity).collect();
        Self { timer, slots, batch: Batch::new(), armed_for: None }
    }

    pub(super) fn timer(&self) -> &TimerFd {
        &self.timer
    }

    /// Puts a stream into a free place. Gives it back when there is none.
    pub(crate) fn insert(&mut self, slot: Box<TransmitSlot>) -> Result<usize, Box<TransmitSlot>> {
        match self.slots.iter_mut().enumerate().find(|(_, place)| place.is_none()) {
            Some((index, place)) => {
                *place = Some(slot);
                Ok(index)
            }
            None => Err(slot),
        }
    }

    /// Takes a stream out, to be dropped on the main loop.
    pub(crate) fn remove(&mut self, index: usize) -> Option<Box<TransmitSlot>> {
        self.slots.get_mut(index)?.take()
    }

    /// Sends copies of the stream at `index` to `copies` from now on. Returns what to drop on the main loop.
    pub(crate) fn set_copies(&mut self, index: usize, copies: Vec<Destination>) -> Vec<Destination> {
        match self.slots.get_mut(index) {
            Some(Some(slot)) => std::mem::replace(&mut slot.copies, copies),
            _ => copies,
        }
    }

    /// The graph brings nothing more for the stream at `index`: from now on silence is made here, if it is announced.
    pub(crate) fn fall_silent(&mut self, index: usize) {
        if let Some(Some(slot)) = self.slots.get_mut(index) {
            slot.live = false;
            self.armed_for = None;
            self.timer.arm(1);
        }
    }

    /// Takes in the samples of one cycle for the stream at `index`.
    pub(super) fn write(
        &mut self,
        index: usize,
        at: MediaIndex,
        frames: Samples,
        input: &(impl Planar + ?Sized),
        clock: &GraphClock,
    ) {
        let Some(Some(slot)) = self.slots.get_mut(index) else { return };
        slot.live = true;
        slot.end = at.plus(frames);
        slot.packetizer.write(at, frames, input);
        slot.report.add_cycle();
        if let Some(due) = slot.next_due(clock) {
            self.arm(due);
        }
    }

    fn arm(&mut self, due: i64) {
        if self.armed_for.is_none_or(|armed| due < armed) {
            self.armed_for = Some(due);
            self.timer.arm(due);
        }
    }

    /// Sends every packet that is due at `now` (CLOCK_MONOTONIC) and arms the timer for the next.
    pub(super) fn send_due(&mut self, now: i64, clock: &GraphClock) {
        self.armed_for = None;
        let mut next: Option<i64> = None;
        for slot in self.slots.iter_mut().flatten() {
            let index = clock.index_at_rate(now, slot.rate);
            slot.fill(index);
            for _ in 0..MAX_BATCHES {
                while !self.batch.is_full()
                    && self.batch.push(|buffer| slot.packetizer.poll_packet(index, buffer))
                {}
                let count = self.batch.len();
                if count == 0 {
                    break;
                }
                let mut sent = 0;
                for socket in &slot.sockets {
                    sent = sent.max(self.batch.send(socket));
                }
                if let Some(copier) = &slot.copier {
                    for copy in &slot.copies {
                        sent = sent.max(self.batch.send_to(copier, copy));
                    }
                }
                if !slot.sockets.is_empty() || !slot.copies.is_empty() {
                    slot.report.add_packets(sent as u64, (count - sent) as u64);
                }
                self.batch.clear();
            }
            if let Some(due) = slot.next_due(clock) {
                next = Some(next.map_or(due, |n| n.min(due)));
            }
        }
        if let Some(due) = next {
            self.arm(due);
        }
    }
}
