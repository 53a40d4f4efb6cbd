use alloc::boxed::Box;
use alloc::vec;

use wireloom_units::{Channels, MediaIndex, Rate, Samples, Ssrc};

use crate::am824::{BLOCK_FRAMES, ChannelStatus};
use crate::ring::{Piece, Ring};
use crate::sender::{Judgement, Listening, Mark};
use crate::sequence::SequenceWindow;
use crate::{
    CapacityError, Counters, Encoding, Jitter, LegCounters, Placement, PlanarMut, Read, RtpPacket, Subframe,
    Window,
};

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
    /// Payload type as described; another one is adopted when it is the only one for a second and fits.
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
    /// The payload type that is taken.
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
        if !self.types.admit(now, packet.payload_type, self.config.rate) {
            self.counters.bad_payload_type += 1;
            return Placement::BadPayloadType;
        }
        let mark = Mark { sequence: packet.sequence, time: packet.time, frames: frames.0 };
        let placed = match self.listening.judge(now, leg, packet.ssrc, mark, self.silence()) {
            Judgement::Continues => {
                if self.window.note(now, leg, packet.sequence, &mut self.counters) {
                    return Placement::Duplicate;
                }
                Placement::Placed
            }
            Judgement::Begins { again } => {
                self.begin(again);
                self.window.note(now, leg, packet.sequence, &mut self.counters);
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
            self.ring.mark(at.offset_by(self.room()), distance as usize, false);
        }
        self.play.next = at;
        self.play.started = true;
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
        Stream {
            ssrc: self.listening.ssrc(),
            frames_per_packet: self.listening.frames_per_packet().map(Samples),
            payload_type: self.types.wanted,
            payload_type_adopted: self.types.wanted != self.config.payload_type,
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
        if ahead > self.room() {
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
        for piece in self.ring.pieces(at, frames) {
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

    /// The earliest frame that may be fresh when `next` is the next to be read.
    ///
    /// May wrap below 0: only the slots matter, and nothing before index 0 is ever placed.
    fn floor(&self, next: MediaIndex) -> MediaIndex {
        MediaIndex(next.0.wrapping_sub(self.history))
    }

    /// How many frames ahead of the next one to be read have a place.
    fn room(&self) -> i64 {
        self.ring.frames() as i64 - self.history.cast_signed()
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
        for channel in 0..usize::from(self.config.channels.count()) {
            let Some(out) = out.channel_mut(channel) else { continue };
            let length = frames.min(out.len());
            let out = out.get_mut(..length).unwrap_or_default();
            match fading {
                None => self.copy_channel(channel, at, out),
                Some(from) => {
                    self.copy_channel(channel, from, out);
                    self.fade_channel(channel, at, out);
                }
            }
            let peak = out.iter().fold(self.extremes.peak, |peak, sample| peak.max(sample.abs()));
            self.extremes.peak = peak;
        }
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
        let end = self.play.next.offset_by(self.room());
        frames.min(usize::try_from(end.since(at)).unwrap_or(0))
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

    /// Samples without a packet after which another sender may take over: 100 ms, and two cycles, because a
    /// reader may hand over the packets of a whole cycle with one arrival time.
    fn silence(&self) -> u64 {
        u64::from(self.config.rate.hz() / 10) + 2 * u64::from(self.play.quantum)
    }
}

/// Which payload type is taken (`aes67` 3.1).
struct PayloadTypes {
    wanted: u8,
    /// Another type, and since when it alone has come.
    other: Option<(u8, MediaIndex)>,
}

impl PayloadTypes {
    const fn new(wanted: u8) -> Self {
        Self { wanted, other: None }
    }

    fn admit(&mut self, now: MediaIndex, payload_type: u8, rate: Rate) -> bool {
        if payload_type == self.wanted {
            self.other = None;
            return true;
        }
        let since = match self.other {
            Some((other, since)) if other == payload_type && since <= now => since,
            _ => now,
        };
        self.other = Some((payload_type, since));
        if now.since(since) < i64::from(rate.hz()) {
            return false;
        }
        self.wanted = payload_type;
        self.other = None;
        true
    }
}

/// Frames without a block start after which an AM824 sender is taken for one that sends no channel status.
const STATUS_PATIENCE: u64 = 2 * BLOCK_FRAMES;

/// Finds out from the channel status of AM824 which channels carry something else than PCM: played as sound it
/// would be full-scale noise. Channels are mute until the first block has told, or none has come.
struct PcmWatch {
    /// One flag per channel; empty for every other encoding.
    mute: Box<[bool]>,
    channels: Channels,
    /// Media index of a block's first frame, modulo the block.
    phase: Option<u64>,
    /// Frames seen without knowing.
    patience: u64,
    /// A channel's status says so.
    not_pcm: bool,
    /// A subframe of the last packet had V set.
    invalid: bool,
}

impl PcmWatch {
    fn new(encoding: Encoding, channels: Channels) -> Self {
        let count = if encoding == Encoding::AM824 { usize::from(channels.count()) } else { 0 };
        let mute = vec![true; count].into_boxed_slice();
        Self { mute, channels, phase: None, patience: STATUS_PATIENCE, not_pcm: false, invalid: false }
    }

    fn restart(&mut self) {
        self.mute.fill(true);
        self.phase = None;
        self.patience = STATUS_PATIENCE;
        self.not_pcm = false;
    }

    fn is_muted(&self, channel: usize) -> bool {
        self.mute.get(channel).copied().unwrap_or(false)
    }

    /// Looks at the block start and status bits of a payload whose first frame is `at`.
    fn watch(&mut self, at: MediaIndex, payload: &[u8]) {
        if self.mute.is_empty() {
            return;
        }
        self.invalid = false;
        for (index, frame) in (at.0..).zip(payload.chunks_exact(4 * usize::from(self.channels.count()))) {
            let (subframes, _) = frame.as_chunks::<4>();
            let mut subframes = subframes.iter().map(|octets| Subframe::from_wire(*octets));
            self.invalid |= subframes.clone().any(|subframe| !subframe.is_valid());
            if subframes.clone().any(Subframe::starts_block) {
                self.phase = Some(index % BLOCK_FRAMES);
            }
            let position = self.phase.map(|phase| (index + BLOCK_FRAMES - phase) % BLOCK_FRAMES);
            if position == Some(ChannelStatus::NON_PCM_BIT) {
                self.mute
                    .iter_mut()
                    .zip(&mut subframes)
                    .for_each(|(mute, subframe)| *mute = subframe.status());
                self.not_pcm = self.mute.contains(&true);
                self.patience = u64::MAX;
            } else if self.patience != u64::MAX {
                self.patience = self.patience.saturating_sub(1);
                if self.patience == 0 {
                    self.mute.fill(false);
                    self.patience = u64::MAX;
                }
            }
        }
    }
}
