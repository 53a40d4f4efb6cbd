mod playout;

use wireloom_units::{Channels, MediaIndex, Rate, Samples, Ssrc};

use crate::payload_types::PayloadTypes;
use crate::pcm_watch::PcmWatch;
use crate::ring::Ring;
use crate::sender::{Judgement, Listening};
use crate::sequence::SequenceWindow;
use crate::{CapacityError, Counters, Encoding, Jitter, LegCounters, Placement, RtpPacket, Window};

/// Legs that one stream may be carried over (ST 2022-7; `aes67` 3.10).
pub const MAX_LEGS: usize = 4;

/// How a [`Timeline`] is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimelineConfig {
    /// Sample format of the payload.
    pub encoding: Encoding,
    /// Channels of the stream.
    pub channels: Channels,
    /// Sample rate of the stream; what counts as silence is derived from it.
    pub rate: Rate,
    /// Payload type as described; another one is adopted when it is the only one of a leg for a second and fits.
    pub payload_type: u8,
    /// RTP timestamp minus media clock; absent while unknown: packets then wait for [`Timeline::set_offset`].
    pub offset: Option<u32>,
    /// Frames that the ring holds at least: twice (latency + 20 packets + quantum) is plenty (`aes67` 3.5).
    pub capacity: Samples,
    /// Frames behind the reading position that stay readable, for a crossfade to a longer latency; at most half
    /// the ring.
    pub history: Samples,
}

/// What is known of the stream beyond its description.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stream {
    /// The sender that is listened to.
    pub ssrc: Option<Ssrc>,
    /// Frames in its last packet.
    pub frames_per_packet: Option<Samples>,
    /// The payload type that is taken, on the leg that the sender was first heard on.
    pub payload_type: u8,
    /// The payload type is not the described one but the only one that comes.
    pub payload_type_adopted: bool,
    /// A leg has an SSRC of its own, against ST 2022-7.
    pub legs_differ: bool,
    /// Timestamps contradict the payload size: the stream has other channels or another encoding than described.
    pub format_contradicts: bool,
    /// AM824: frames were muted because their channel status or validity says that they are no PCM audio.
    pub not_pcm: bool,
}

/// The receiving end of a stream: a ring of samples, addressed by media index.
///
/// Each packet is written where its own timestamp points, so loss, reordering, copies of other legs and the wrap
/// of the timestamp need no queue. A frame is readable only if it came for exactly that index: what was not
/// received is silence, never an old sample. Nothing here waits, and nothing allocates after [`Timeline::new`].
///
/// ```
/// use wireloom_rtp::{Encoding, Placement, Timeline, TimelineConfig};
/// use wireloom_units::{Channels, MediaIndex, Rate, Samples};
/// let mut timeline = Timeline::new(TimelineConfig {
///     encoding: Encoding::L16, channels: Channels::new(1).unwrap(), rate: Rate::HZ_48000, payload_type: 96,
///     offset: Some(0), capacity: Samples(1024), history: Samples(0),
/// })?;
/// let packet = [0x80, 96, 0, 1, 0, 0, 0, 100, 0, 0, 0, 7, 0x40, 0, 0xc0, 0]; // frames 100 and 101
/// assert_eq!(timeline.handle_datagram(MediaIndex(104), 0, &packet), Placement::Placed);
/// let mut out = [[1.0; 3]];
/// let read = timeline.read(MediaIndex(100), Samples(3), &mut out);
/// assert_eq!((out, read.gap), ([[0.5, -0.5, 0.0]], 1));
/// # Ok::<(), wireloom_rtp::CapacityError>(())
/// ```
pub struct Timeline {
    config: TimelineConfig,
    ring: Ring,
    listening: Listening,
    window: SequenceWindow,
    jitter: Jitter,
    counters: Counters,
    types: PayloadTypes,
    pcm: PcmWatch,
    play: Play,
    extremes: Window,
    history: u64,
}

/// Where playing is.
struct Play {
    /// The next frame to be read; a guess before the first read.
    next: MediaIndex,
    /// Something has been read.
    started: bool,
    /// A frame of the stream has been read.
    heard: bool,
    /// The last frame read was there.
    sounding: bool,
    /// Frames of the last read: arrivals are no finer than that.
    quantum: u32,
}

impl Timeline {
    /// Makes a timeline and takes all its memory: 4 × channels × capacity octets and a little.
    ///
    /// Errors: a capacity of no frames or of more than 2^20.
    pub fn new(config: TimelineConfig) -> Result<Self, CapacityError> {
        let ring = Ring::new(config.channels, config.capacity)?;
        let history = u64::from(config.history.0).min(ring.frames() as u64 / 2);
        Ok(Self {
            ring,
            listening: Listening::default(),
            window: SequenceWindow::new(),
            jitter: Jitter::default(),
            counters: Counters::default(),
            types: PayloadTypes::new(config.payload_type),
            pcm: PcmWatch::new(config.encoding, config.channels),
            play: Play { next: MediaIndex(0), started: false, heard: false, sounding: false, quantum: 0 },
            extremes: Window::default(),
            history,
            config,
        })
    }

    /// Feeds one datagram that arrived at media index `now` over `leg`.
    ///
    /// `now` is the reader's media clock at arrival, as exact as it is known; in adaptive mode it is
    /// [`crate::Steering::index_at`]. Legs are counted from 0, up to [`MAX_LEGS`].
    pub fn handle_datagram(&mut self, now: MediaIndex, leg: u8, datagram: &[u8]) -> Placement {
        match RtpPacket::parse(datagram) {
            Ok(packet) => self.handle_packet(now, leg, &packet),
            Err(_) => {
                self.counters.not_rtp += 1;
                Placement::NotRtp
            }
        }
    }

    /// Feeds one packet, as [`Timeline::handle_datagram`] does.
    pub fn handle_packet(&mut self, now: MediaIndex, leg: u8, packet: &RtpPacket<'_>) -> Placement {
        let leg = usize::from(leg).min(MAX_LEGS - 1);
        let frames = self.config.encoding.frames_in(packet.payload.len(), self.config.channels);
        let fits = frames.ok().filter(|frames| frames.0 as usize <= self.ring.frames() / 2);
        let Some(frames) = fits else {
            self.counters.bad_size += 1;
            return Placement::BadSize;
        };
        if !self.types.admit(now, leg, packet.payload_type, self.config.rate) {
            self.counters.bad_payload_type += 1;
            return Placement::BadPayloadType;
        }
        let mark = self.listening.mark(packet.ssrc, packet.sequence, packet.time, frames.0);
        let placed = match self.listening.judge(now, leg, packet.ssrc, mark, self.silence()) {
            Judgement::Continues => {
                if self.window.note(now, leg, mark.sequence, &mut self.counters) {
                    return Placement::Duplicate;
                }
                Placement::Placed
            }
            Judgement::Begins { again } => {
                self.begin(again);
                // The count may have changed with it.
                let mark = self.listening.mark(packet.ssrc, packet.sequence, packet.time, frames.0);
                self.window.note(now, leg, mark.sequence, &mut self.counters);
                if again { Placement::Restart } else { Placement::Placed }
            }
            Judgement::Echo => Placement::Placed,
            Judgement::Foreign => {
                self.counters.foreign += 1;
                return Placement::Foreign;
            }
            Judgement::Unconfirmed { clear } => {
                self.distrust(clear);
                return Placement::Unconfirmed;
            }
            Judgement::Misfit { clear } => {
                self.distrust(clear);
                self.counters.bad_size += 1;
                return Placement::BadSize;
            }
        };
        self.jitter.handle_packet(now, packet.time);
        let Some(offset) = self.config.offset else {
            self.counters.packets += 1;
            return if placed == Placement::Restart { placed } else { Placement::Waiting };
        };
        match self.place(now, now.nearest(packet.time, offset), frames.0, packet.payload) {
            Placement::Placed => placed,
            other if placed == Placement::Placed => other,
            _ => placed,
        }
    }

    /// Sets the stream's offset, RTP timestamp minus media clock; forgets what was placed by another one.
    pub fn set_offset(&mut self, offset: u32) {
        if self.config.offset != Some(offset) {
            self.config.offset = Some(offset);
            self.ring.clear();
            self.pcm.restart();
        }
    }

    /// Forgets offset and samples: packets wait until [`Timeline::set_offset`].
    pub fn forget_offset(&mut self) {
        self.config.offset = None;
        self.ring.clear();
    }

    /// The stream's offset, RTP timestamp minus media clock, when it is known.
    pub const fn offset(&self) -> Option<u32> {
        self.config.offset
    }

    /// The next frame to be read, once something has been read.
    pub fn next(&self) -> Option<MediaIndex> {
        Some(self.play.next).filter(|_| self.play.started)
    }

    /// How many frames ahead of the next one to be read have a place.
    pub const fn room(&self) -> Samples {
        Samples((self.ring.frames() as u64 - self.history) as u32)
    }

    /// What happened since the timeline exists.
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// What one leg brought; nothing for a leg that does not exist.
    pub fn leg(&self, leg: u8) -> LegCounters {
        self.window.leg(usize::from(leg))
    }

    /// What the packets say about the stream.
    pub fn stream(&self) -> Stream {
        let payload_type = self.types.wanted(self.listening.leg());
        Stream {
            ssrc: self.listening.ssrc(),
            frames_per_packet: self.listening.frames_per_packet().map(Samples),
            payload_type,
            payload_type_adopted: payload_type != self.config.payload_type,
            legs_differ: self.listening.has_aliases(),
            format_contradicts: self.listening.contradicts(),
            not_pcm: self.pcm.not_pcm || self.pcm.invalid,
        }
    }

    /// Interarrival jitter in samples (RFC 3550 §6.4.1).
    pub const fn jitter(&self) -> Samples {
        Samples(self.jitter.samples())
    }

    /// The extremes since the last call; starts new ones.
    pub fn take_window(&mut self) -> Window {
        core::mem::take(&mut self.extremes)
    }

    fn begin(&mut self, again: bool) {
        if again {
            self.counters.restarts += 1;
            self.window.restart();
            self.jitter.restart();
        }
        self.pcm.restart();
    }

    /// A packet contradicts the count of its sender; `clear` when that count was one packet and so is no witness.
    fn distrust(&mut self, clear: bool) {
        if clear {
            self.ring.clear();
        }
    }

    fn place(&mut self, now: MediaIndex, index: MediaIndex, frames: u32, payload: &[u8]) -> Placement {
        if !self.play.started {
            // Nothing has been read: keep the newest half ring.
            let back = self.ring.frames() as i64 / 2;
            let start = now.offset_by(-back);
            if start > self.play.next {
                self.seek(start);
                self.play.started = false;
            }
        }
        let end = index.plus(Samples(frames));
        let ahead = end.since(self.play.next);
        if ahead > i64::from(self.room().0) {
            self.counters.early += 1;
            return Placement::Early;
        }
        if self.play.started {
            let margin = index.since(self.play.next);
            self.extremes.margin = Some(self.extremes.margin.map_or(margin, |least| least.min(margin)));
        }
        if ahead <= 0 {
            self.counters.late += 1;
            return Placement::Late;
        }
        // The part that is past is not written: nobody will read it.
        let skip = u32::try_from(self.play.next.since(index).max(0)).unwrap_or(u32::MAX).min(frames);
        let from = skip as usize * self.config.encoding.bytes_per_frame(self.config.channels);
        let at = index.plus(Samples(skip));
        self.write(at, (frames - skip) as usize, payload.get(from..).unwrap_or_default());
        self.counters.packets += 1;
        Placement::Placed
    }

    fn write(&mut self, at: MediaIndex, frames: usize, payload: &[u8]) {
        let TimelineConfig { encoding, channels, .. } = self.config;
        let frame = encoding.bytes_per_frame(channels);
        self.pcm.watch(at, payload);
        for piece in self.ring.pieces(at, frames).into_iter().filter(|piece| piece.len > 0) {
            let payload = payload.get(piece.from * frame..).unwrap_or_default();
            for channel in 0..usize::from(channels.count()) {
                let out = self.ring.samples_mut(channel, piece);
                if self.pcm.is_muted(channel) {
                    out.fill(0.0);
                } else {
                    encoding.decode_channel(payload, channels, channel, out);
                }
            }
        }
        self.ring.mark(at, frames, true);
    }

    /// Samples without a packet after which another sender may take over: 100 ms, and two cycles, because a
    /// reader may hand over the packets of a whole cycle with one arrival time.
    fn silence(&self) -> u64 {
        u64::from(self.config.rate.hz() / 10) + 2 * u64::from(self.play.quantum)
    }
}
