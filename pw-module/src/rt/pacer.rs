//! Sends every packet when it is due, never earlier and never as a burst of a whole quantum.

use std::sync::Arc;

use wireloom_rtp::{Packetizer, Planar};
use wireloom_units::{MediaIndex, Rate, Samples};

use super::{GraphClock, Report};
use crate::ffi::{Address, Destination, MediaSocket, Outbox, Target, TimerFd};

/// Packets of one stream in one call of the timer; what is left is sent at the next, right after.
const MAX_PACKETS: usize = 256;

/// A stream of ours on its way out.
pub(crate) struct TransmitSlot {
    /// Samples a second of the stream.
    pub rate: Rate,
    /// Cuts samples into packets.
    pub packetizer: Packetizer,
    /// Where every packet goes.
    pub legs: Vec<Destination>,
    /// The socket that copies leave by.
    pub copier: Option<MediaSocket>,
    /// Who gets a copy of every packet.
    pub copies: Vec<Address>,
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

    /// In how many ways each packet leaves.
    fn ways(&self) -> usize {
        self.legs.len() + self.copier.as_ref().map_or(0, |_| self.copies.len())
    }

    /// One of them: the legs first.
    fn way(&self, number: usize) -> Option<Target<'_>> {
        match self.legs.get(number) {
            Some(leg) => Some(leg.target()),
            None => {
                let address = self.copies.get(number - self.legs.len());
                Some(Target { socket: self.copier.as_ref()?, address: Some(address?) })
            }
        }
    }
}

/// All streams on their way out, and the timer that is armed only while packets wait.
pub(crate) struct Pacer {
    timer: TimerFd,
    slots: Vec<Option<Box<TransmitSlot>>>,
    outbox: Outbox,
    /// CLOCK_MONOTONIC nanoseconds for which the timer is armed.
    armed_for: Option<i64>,
}

impl Pacer {
    /// A pacer for up to `capacity` streams.
    pub(crate) fn new(timer: TimerFd, capacity: usize) -> Self {
        let slots = std::iter::repeat_with(|| None).take(capacity).collect();
        Self { timer, slots, outbox: Outbox::new(), armed_for: None }
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
    pub(crate) fn set_copies(&mut self, index: usize, copies: Vec<Address>) -> Vec<Address> {
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
        let before = slot.packetizer.next_due();
        slot.packetizer.write(at, frames, input);
        slot.report.add_cycle();
        // While a packet waited already, the timer is armed for it.
        let (after, rate) = (slot.packetizer.next_due(), slot.rate);
        if let Some(due) = after.filter(|_| after != before || self.armed_for.is_none()) {
            self.arm(clock.monotonic_of_rate(due, rate));
        }
    }

    fn arm(&mut self, due: i64) {
        if self.armed_for.is_none_or(|armed| due < armed) {
            self.armed_for = Some(due);
            self.timer.arm(due);
        }
    }

    /// Sends every packet that is due at `now` (CLOCK_MONOTONIC) and sets the timer, which has fired, for the next.
    pub(super) fn send_due(&mut self, now: i64, clock: &GraphClock) {
        self.armed_for = None; // also when what follows panics: the next packet sets the timer again
        // Streams of one rate share what the time is in their samples, and what is due first among them.
        let mut rate: Option<(Rate, MediaIndex)> = None;
        let mut first: Option<MediaIndex> = None;
        let mut next: Option<i64> = None;
        for place in 0..self.slots.len() {
            let Some(Some(slot)) = self.slots.get_mut(place) else { continue };
            let index = match rate {
                Some((rate, index)) if rate == slot.rate => index,
                _ => {
                    next = earlier(next, rate, first.take(), clock);
                    clock.index_at_rate(now, slot.rate)
                }
            };
            rate = Some((slot.rate, index));
            slot.fill(index);
            for _ in 0..MAX_PACKETS {
                let Some(Some(slot)) = self.slots.get_mut(place) else { break };
                if !self.outbox.push(place, |buffer| slot.packetizer.poll_packet(index, buffer)) {
                    break;
                }
                if self.outbox.is_full() {
                    self.flush();
                }
            }
            if let Some(Some(slot)) = self.slots.get(place)
                && let Some(due) = slot.packetizer.next_due()
                && first.is_none_or(|first| due < first)
            {
                first = Some(due);
            }
        }
        self.flush();
        self.armed_for = earlier(next, rate, first, clock);
        match self.armed_for {
            Some(due) => self.timer.arm(due),
            None => self.timer.disarm(),
        }
    }

    /// Sends what has been collected, in all ways.
    fn flush(&mut self) {
        let slots = &self.slots;
        let slot = |place: usize| slots.get(place).and_then(Option::as_ref);
        let ways = slots.iter().flatten().map(|slot| slot.ways()).max().unwrap_or(0);
        for way in 0..ways {
            self.outbox.send(|place| slot(place)?.way(way));
        }
        for (place, sent) in self.outbox.clear() {
            if let Some(slot) = slot(place).filter(|slot| slot.ways() > 0) {
                slot.report.add_packets(u64::from(sent), u64::from(!sent));
            }
        }
    }
}

/// The earlier of `next` and the time at which sample `index` of a stream at `rate` begins (CLOCK_MONOTONIC).
fn earlier(
    next: Option<i64>,
    rate: Option<(Rate, MediaIndex)>,
    index: Option<MediaIndex>,
    clock: &GraphClock,
) -> Option<i64> {
    let due = rate.zip(index).map(|((rate, _), index)| clock.monotonic_of_rate(index, rate));
    next.into_iter().chain(due).min()
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, UdpSocket};

    use wireloom_clock_page::ClockPair;
    use wireloom_rtp::{Encoding, PacketizerConfig};
    use wireloom_units::{Channels, Ssrc};
    use wireloom_wanted::Leg;

    use super::*;
    use crate::ffi::{Inbox, MediaSocket, Senders};

    /// A stream of packets of `frames` to a socket of ours.
    fn stream(rate: Rate, frames: u32) -> (Box<TransmitSlot>, MediaSocket) {
        let free = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback");
        let port = free.local_addr().expect("bound").port();
        drop(free);
        let leg = Leg::to(Ipv4Addr::new(127, 0, 0, 3).into(), port);
        let receiver = MediaSocket::receive(&leg, 100_000, false).expect("opens");
        let config = PacketizerConfig {
            encoding: Encoding::L24,
            channels: Channels::new(1).expect("one"),
            rate,
            frames_per_packet: Samples(frames),
            payload_type: 97,
            ssrc: Ssrc(1),
            first_sequence: 0,
            offset: 0,
            capacity: Samples(4096),
        };
        let leg = Senders::default().destination(&leg, 34, 10_000).expect("opens");
        let slot = TransmitSlot {
            rate,
            packetizer: Packetizer::new(config).expect("fits"),
            legs: vec![leg],
            copier: None,
            copies: Vec::new(),
            report: Arc::default(),
            announced: false,
            live: false,
            end: MediaIndex(0),
        };
        (Box::new(slot), receiver)
    }

    #[test]
    fn streams_of_different_rates_leave_each_at_its_time() {
        let pair = ClockPair { clock: 1_000_000_000, raw: 1_000_000_000, span_ns: 50 };
        let clock = GraphClock::new(pair, ClockPair { clock: 1_800_000_000_000_000_000, ..pair }, None);
        let [slow, fast] = [48_000, 96_000].map(|hz| Rate::from_hz(hz).expect("usual"));
        let mut pacer = Pacer::new(TimerFd::new().expect("a timer"), 4);
        let (mut receivers, mut inbox) = (Vec::new(), Inbox::new());
        let begins = clock.index_at_rate(1_500_000_000, slow).next_multiple_of(Samples(48));
        for (rate, frames) in [(slow, 48), (fast, 48), (slow, 48), (fast, 12)] {
            let (slot, receiver) = stream(rate, frames);
            receivers.push(receiver);
            let place = pacer.insert(slot).ok().expect("room");
            let times = if rate == fast { 2 } else { 1 };
            let at = MediaIndex(begins.0 * times);
            pacer.write(place, at, Samples(96 * times as u32), &Silence, &clock);
        }
        // Two milliseconds: 2, 4, 2 and 16 packets.
        let mut seen = [0; 4];
        let mut wakes = 0;
        while let Some(due) = pacer.armed_for {
            pacer.send_due(due - 100_000, &clock);
            let early = receivers.iter().any(|receiver| inbox.fill(receiver) > 0);
            assert!(!early, "a packet left before its time");
            assert_eq!(pacer.armed_for, Some(due), "the timer is set for what is due first");
            pacer.send_due(due, &clock);
            for (seen, receiver) in seen.iter_mut().zip(&receivers) {
                let now = inbox.fill(receiver);
                assert!(now <= 1, "a burst");
                *seen += now;
            }
            wakes += 1;
        }
        assert_eq!(seen, [2, 4, 2, 16]);
        assert_eq!(wakes, 16, "what is due together leaves together");
    }
}
