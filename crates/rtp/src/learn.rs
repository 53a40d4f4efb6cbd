use wireloom_units::{MediaIndex, MediaTime, Rate, Samples};

/// Packets after which something is decided (`aes67` 2.3, 3.4).
const PACKETS: u32 = 200;

/// Learns the offset of a stream that shares our media clock's rate but says no offset (`aes67` 3.4).
///
/// The packet that came with the least delay is taken to have come at once, so the oldest sample of a packet is as
/// old as the packet is long. The result is rate-locked, not exact in phase.
#[derive(Debug, Clone, Copy, Default)]
pub struct OffsetLearner {
    /// Timestamp minus arrival of the first packet.
    first: Option<u32>,
    /// The least delay, as a distance from the first.
    earliest: i32,
    frames: u32,
    packets: u32,
}

impl OffsetLearner {
    /// Takes in a packet of `frames` frames with timestamp `time` that arrived at `now`; returns the offset,
    /// RTP timestamp minus media clock, from the 200th packet on.
    pub fn handle_packet(&mut self, now: MediaIndex, time: MediaTime, frames: Samples) -> Option<u32> {
        let offset = time.to_wire().wrapping_sub(now.0 as u32);
        let first = *self.first.get_or_insert(offset);
        let distance = offset.wrapping_sub(first).cast_signed();
        if self.packets == 0 || distance > self.earliest {
            self.earliest = distance;
            self.frames = frames.0;
        }
        self.packets = self.packets.saturating_add(1);
        self.offset()
    }

    /// The offset, once 200 packets have come.
    pub fn offset(&self) -> Option<u32> {
        let first = self.first.filter(|_| self.packets >= PACKETS)?;
        Some(first.wrapping_add_signed(self.earliest).wrapping_add(self.frames))
    }
}

/// What the arrivals say about the sender's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Fewer than 200 packets so far.
    Undecided,
    /// Timestamps fit our media clock: the stream can be read locked.
    Same,
    /// They do not: resample.
    Other,
}

/// Checks that a stream whose clock is assumed to be ours really has it (`aes67` 2.3).
///
/// The delay of 200 packets must lie between 0 and 1 s, and the least of it must stay where it is: a clock that
/// runs at another rate moves it. Goes on checking as long as packets are fed: 100 ppm are found after 20 s, when
/// the shortest latency is just used up.
#[derive(Debug, Clone, Copy)]
pub struct LockCheck {
    rate: Rate,
    verdict: Verdict,
    packets: u32,
    /// When the round began.
    start: Option<MediaIndex>,
    least: i64,
    /// The least delay of the first rounds.
    anchor: Option<i64>,
    /// Rounds in a row whose least delay is elsewhere.
    moved: u32,
    rounds: u32,
}

/// Rounds that may still lower the anchor: the first one may lie in a stall.
const ANCHOR_ROUNDS: u32 = 4;
/// Rounds in a row that must have moved away before the clock is blamed and not the path.
const MOVED_ROUNDS: u32 = 3;

impl LockCheck {
    /// A check for a stream with `rate`.
    pub const fn new(rate: Rate) -> Self {
        Self {
            rate,
            verdict: Verdict::Undecided,
            packets: 0,
            start: None,
            least: i64::MAX,
            anchor: None,
            moved: 0,
            rounds: 0,
        }
    }

    /// Takes in a packet of `frames` frames whose first sample is `index` and that arrived at `now`.
    ///
    /// A delay is counted from the end of the packet, the earliest moment at which it can have left.
    pub fn handle_packet(&mut self, now: MediaIndex, index: MediaIndex, frames: Samples) -> Verdict {
        let delay = now.since(index).saturating_sub(i64::from(frames.0));
        self.least = self.least.min(delay);
        self.packets = self.packets.saturating_add(1);
        // Later rounds last half a second: a stall of the receiver must not look like a clock.
        let lasted = now.since(*self.start.get_or_insert(now)).unsigned_abs();
        let enough = self.verdict == Verdict::Undecided || lasted >= u64::from(self.rate.hz() / 2);
        if self.packets >= PACKETS && enough {
            self.decide(frames);
            self.packets = 0;
            self.start = None;
            self.least = i64::MAX;
        }
        self.verdict
    }

    /// What is known so far.
    pub const fn verdict(&self) -> Verdict {
        self.verdict
    }

    fn decide(&mut self, frames: Samples) {
        let second = i64::from(self.rate.hz());
        // Senders stamp up to a packet early; a millisecond of error in the common clock is no other clock.
        let slack = second / 1000 + i64::from(frames.0);
        self.rounds = self.rounds.saturating_add(1);
        let anchor = self.anchor.filter(|anchor| self.rounds > ANCHOR_ROUNDS || *anchor < self.least);
        let anchor = *self.anchor.insert(anchor.unwrap_or(self.least));
        let inside = self.least >= -slack && self.least <= second;
        let steady = (self.least - anchor).abs() <= slack;
        self.moved = if inside && steady { 0 } else { self.moved + 1 };
        self.verdict = match self.verdict {
            Verdict::Undecided if inside => Verdict::Same,
            Verdict::Undecided => Verdict::Other,
            Verdict::Same if self.moved >= MOVED_ROUNDS => Verdict::Other,
            same => same,
        };
    }
}
