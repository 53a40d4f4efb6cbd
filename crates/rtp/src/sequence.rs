use alloc::boxed::Box;
use alloc::vec;

use wireloom_units::{MediaIndex, MediaTime};

use crate::{Counters, Differential, LegCounters, MAX_LEGS};

/// Packets back to which a copy or a straggler is recognised: 128 ms of the shortest packets, and with several
/// legs of 1 ms packets one second, beyond every class of ST 2022-7.
const WINDOW: usize = 1024;

/// Extends 16-bit sequence numbers to 64 bits and remembers which of the recent ones came over which leg
/// (RFC 3550 §A.1, ST 2022-7).
pub(crate) struct SequenceWindow {
    slots: Box<[Seen]>,
    /// Extended number of the latest packet; absent before the first.
    highest: Option<u64>,
    /// Extended number of the first packet.
    base: u64,
    legs: [Leg; MAX_LEGS],
}

#[derive(Clone, Copy, Default)]
struct Seen {
    /// One bit per leg that brought it.
    legs: u8,
    /// Low bits of the media index at which the first copy came.
    arrival: u32,
}

#[derive(Clone, Copy, Default)]
struct Leg {
    counters: LegCounters,
    highest: Option<u64>,
    base: u64,
    differential_sum: u64,
    differential_count: u64,
}

impl SequenceWindow {
    pub fn new() -> Self {
        Self {
            slots: vec![Seen::default(); WINDOW].into_boxed_slice(),
            highest: None,
            base: 0,
            legs: [Leg::default(); MAX_LEGS],
        }
    }

    /// Forgets the numbers, keeps what was counted: the sender restarted.
    pub fn restart(&mut self) {
        self.highest = None;
        for leg in &mut self.legs {
            leg.highest = None;
        }
    }

    pub fn leg(&self, leg: usize) -> LegCounters {
        self.legs.get(leg).map(|leg| leg.counters).unwrap_or_default()
    }

    /// Notes a packet that came at `now` over `leg` (below [`MAX_LEGS`]); says whether it is a copy.
    pub fn note(&mut self, now: MediaIndex, leg: usize, sequence: u16, counters: &mut Counters) -> bool {
        let extended = self.advance(sequence, counters);
        let arrival = now.0 as u32;
        let bit = 1_u8 << leg;
        let highest = self.highest.unwrap_or(extended);
        let too_old = highest.saturating_sub(extended) >= WINDOW as u64;
        let mut unrecorded = Seen::default();
        let slot = self.slots.get_mut((extended % WINDOW as u64) as usize).filter(|_| !too_old);
        let slot = slot.unwrap_or(&mut unrecorded);
        let before = *slot;
        if before.legs == 0 {
            slot.arrival = arrival;
            if extended < highest && !too_old {
                counters.reordered += 1;
                if extended > self.base {
                    counters.lost = counters.lost.saturating_sub(1);
                }
            }
        } else {
            counters.duplicates += 1;
        }
        slot.legs |= bit;

        if before.legs.count_ones() == 1 && before.legs & bit == 0 {
            let first = before.legs.trailing_zeros() as usize;
            if let Some(first) = self.legs.get_mut(first) {
                first.counters.only_here = first.counters.only_here.saturating_sub(1);
            }
        }
        if let Some(leg) = self.legs.get_mut(leg) {
            leg.note(now, extended, before.legs & bit != 0);
            if before.legs == 0 {
                leg.counters.only_here += 1;
            } else if before.legs & bit == 0 {
                leg.differ(arrival.wrapping_sub(before.arrival).cast_signed().unsigned_abs());
            }
        }
        before.legs != 0
    }

    /// Extends `sequence`, moves the window there if it is the latest, and counts what was left out.
    fn advance(&mut self, sequence: u16, counters: &mut Counters) -> u64 {
        let Some(highest) = self.highest else {
            let first = (1 << 32) | u64::from(sequence); // room below for stragglers
            self.slots.fill(Seen::default());
            self.base = first;
            self.highest = Some(first);
            return first;
        };
        let delta = sequence.wrapping_sub(highest as u16).cast_signed();
        let extended = highest.wrapping_add_signed(i64::from(delta));
        if extended > highest {
            counters.lost += extended - highest - 1;
            let skipped = (extended - highest).min(WINDOW as u64);
            for number in extended - skipped + 1..=extended {
                if let Some(slot) = self.slots.get_mut((number % WINDOW as u64) as usize) {
                    *slot = Seen::default();
                }
            }
            self.highest = Some(extended);
        }
        extended
    }
}

impl Leg {
    fn note(&mut self, now: MediaIndex, extended: u64, again: bool) {
        self.counters.received += 1;
        self.counters.heard = Some(now);
        match self.highest {
            None => {
                self.base = extended;
                self.highest = Some(extended);
            }
            Some(highest) if extended > highest => {
                self.counters.lost += extended - highest - 1;
                self.highest = Some(extended);
            }
            Some(_) if again => self.counters.duplicates += 1,
            Some(_) if extended > self.base => self.counters.lost = self.counters.lost.saturating_sub(1),
            Some(_) => {}
        }
    }

    fn differ(&mut self, samples: u32) {
        self.differential_sum += u64::from(samples);
        self.differential_count += 1;
        let mean = u32::try_from(self.differential_sum / self.differential_count).unwrap_or(u32::MAX);
        let (min, max) = self
            .counters
            .differential
            .map_or((samples, samples), |so_far| (so_far.min.min(samples), so_far.max.max(samples)));
        self.counters.differential = Some(Differential { min, mean, max });
    }
}

/// Interarrival jitter as RTCP reports it (RFC 3550 §6.4.1, §A.8), in samples.
#[derive(Debug, Clone, Copy, Default)]
pub struct Jitter {
    /// Sixteen times the estimate, as the RFC's integer arithmetic keeps it.
    scaled: u32,
    /// Low bits of the last packet's arrival minus its timestamp.
    transit: Option<u32>,
}

impl Jitter {
    /// Takes in a packet with timestamp `time` that arrived at `now`.
    pub fn handle_packet(&mut self, now: MediaIndex, time: MediaTime) {
        let transit = (now.0 as u32).wrapping_sub(time.to_wire());
        if let Some(last) = self.transit {
            let change = transit.wrapping_sub(last).cast_signed().unsigned_abs();
            let change = change.min(u32::MAX >> 5); // 2^27 samples: a restart, not jitter
            self.scaled = self.scaled + change - (self.scaled + 8) / 16;
        }
        self.transit = Some(transit);
    }

    /// Forgets the last packet but not the estimate: the sender restarted, so the next change is no jitter.
    pub fn restart(&mut self) {
        self.transit = None;
    }

    /// The estimate, in samples.
    pub const fn samples(&self) -> u32 {
        self.scaled / 16
    }
}
