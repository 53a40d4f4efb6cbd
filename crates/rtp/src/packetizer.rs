use wireloom_units::{Channels, MediaIndex, Rate, Samples, Ssrc};

use crate::ring::Ring;
use crate::{
    BlockPosition, CapacityError, ChannelStatus, Encoding, HEADER_BYTES, Planar, RtpHeader, write_header,
};

/// How a [`Packetizer`] is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketizerConfig {
    /// Sample format of the payload.
    pub encoding: Encoding,
    /// Channels of the stream.
    pub channels: Channels,
    /// Sample rate of the stream; AM824 tells it, and what is too late to be sent is derived from it.
    pub rate: Rate,
    /// Frames in each packet; 0 is taken as 1.
    pub frames_per_packet: Samples,
    /// Payload type, 0 to 127.
    pub payload_type: u8,
    /// Random, and kept while the stream exists (RFC 3550 §8).
    pub ssrc: Ssrc,
    /// Random (RFC 3550 §5.1).
    pub first_sequence: u16,
    /// RTP timestamp minus media clock, as announced; 0 unless there is a reason (`aes67` 3.3).
    pub offset: u32,
    /// Frames that the ring holds at least: the longest quantum and two packets.
    pub capacity: Samples,
}

/// What a packetizer has sent and what it could not, since it exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sent {
    /// Packets given out.
    pub packets: u64,
    /// Octets of payload in them, modulo 2^64 (RFC 3550 §6.4.1 wants it modulo 2^32).
    pub octets: u64,
    /// Frames that were written and never sent: too late, overrun, or cut by a jump.
    pub dropped_frames: u64,
    /// Times the position jumped.
    pub jumps: u64,
}

/// The sending end of a stream: cuts what the graph writes into packets and gives each out when it is due.
///
/// The packet with the frames m .. m+n-1 is due at media index m+n and never leaves before; m is always a multiple
/// of n, the timestamp is m plus the offset. A jump of the graph leaves a jump of the timestamp, never an old
/// sample and never a burst. Nothing allocates after [`Packetizer::new`].
pub struct Packetizer {
    config: PacketizerConfig,
    status: ChannelStatus,
    ring: Ring,
    /// First frame of the next packet.
    next: MediaIndex,
    /// One after the last frame written; absent before the first.
    written: Option<MediaIndex>,
    sequence: u16,
    sent: Sent,
}

impl Packetizer {
    /// Makes a packetizer and takes all its memory.
    ///
    /// Errors: a capacity of no frames or of more than 2^20, or packets longer than that.
    pub fn new(config: PacketizerConfig) -> Result<Self, CapacityError> {
        let frames_per_packet = Samples(config.frames_per_packet.0.max(1));
        let capacity = Samples(config.capacity.0.max(frames_per_packet.0.saturating_mul(2)));
        Ok(Self {
            ring: Ring::new(config.channels, capacity)?,
            status: ChannelStatus::pcm(config.rate),
            next: MediaIndex(0),
            written: None,
            sequence: config.first_sequence,
            sent: Sent::default(),
            config: PacketizerConfig { frames_per_packet, ..config },
        })
    }

    /// Frames in each packet.
    pub const fn frames_per_packet(&self) -> Samples {
        self.config.frames_per_packet
    }

    /// Octets of every packet, header included.
    pub const fn packet_bytes(&self) -> usize {
        HEADER_BYTES
            + self.config.encoding.bytes_per_frame(self.config.channels)
                * self.config.frames_per_packet.0 as usize
    }

    /// Takes the frames `at..at + frames` from the graph.
    ///
    /// A channel that `input` lacks, or that is shorter than `frames`, is silent. When `at` is not where the last
    /// write ended the graph has jumped: a step ahead leaves out what was not written, a step back drops what was
    /// not sent; either way packets go on at the next multiple of their length. Of more frames than the ring
    /// holds only the last are taken.
    pub fn write(&mut self, at: MediaIndex, frames: Samples, input: &(impl Planar + ?Sized)) {
        let skip = (frames.0 as usize).saturating_sub(self.ring.frames());
        self.sent.dropped_frames += skip as u64;
        let start = at.plus(Samples(skip as u32));
        let frames = frames.0 as usize - skip;
        self.join(start);
        self.make_room(start, frames);
        for piece in self.ring.pieces(start, frames).into_iter().filter(|piece| piece.len > 0) {
            for channel in 0..usize::from(self.config.channels.count()) {
                let out = self.ring.samples_mut(channel, piece);
                let input = input.channel(channel).and_then(|input| input.get(skip + piece.from..));
                let input = input.unwrap_or_default();
                let (filled, silent) = out.split_at_mut(input.len().min(out.len()));
                filled.copy_from_slice(input.get(..filled.len()).unwrap_or_default());
                silent.fill(0.0);
            }
        }
        self.ring.mark(start, frames, true);
        self.written = Some(start.plus(Samples(frames as u32)));
        self.skip_holes();
    }

    /// The media index at which the next packet is due; absent while no packet is complete.
    pub fn next_due(&self) -> Option<MediaIndex> {
        let end = self.next.plus(self.config.frames_per_packet);
        self.written.filter(|written| *written >= end).map(|_| end)
    }

    /// Writes the next packet to `buffer` if it is due at `now`, and says how long it is.
    ///
    /// Call until `None`. What is more than 20 ms and two packets overdue is dropped: no receiver waits that long.
    /// `buffer` must have room for [`Packetizer::packet_bytes`]; with less, nothing is ever given out.
    pub fn poll_packet(&mut self, now: MediaIndex, buffer: &mut [u8]) -> Option<usize> {
        self.drop_overdue(now);
        let due = self.next_due().filter(|due| *due <= now)?;
        let bytes = self.packet_bytes();
        let packet = buffer.get_mut(..bytes)?;
        let (header, payload) = packet.split_first_chunk_mut::<HEADER_BYTES>()?;
        *header = write_header(&RtpHeader {
            sequence: self.sequence,
            time: self.next.media_time(self.config.offset),
            ssrc: self.config.ssrc,
            payload_type: self.config.payload_type,
        });
        let PacketizerConfig { encoding, channels, frames_per_packet, .. } = self.config;
        let frame = encoding.bytes_per_frame(channels);
        for piece in self.ring.pieces(self.next, frames_per_packet.0 as usize) {
            if piece.len == 0 {
                continue;
            }
            let block =
                BlockPosition { at: self.next.plus(Samples(piece.from as u32)), status: &self.status };
            let payload = payload.get_mut(piece.from * frame..(piece.from + piece.len) * frame)?;
            let samples = |channel| self.ring.samples(channel, piece);
            encoding.encode_channels(samples, channels, block, payload);
        }
        self.sent.packets += 1;
        self.sent.octets = self.sent.octets.wrapping_add((bytes - HEADER_BYTES) as u64);
        self.sequence = self.sequence.wrapping_add(1);
        self.forget_until(due);
        self.skip_holes();
        Some(bytes)
    }

    /// Drops what waits; the next write starts anew at the next multiple of the packet length.
    ///
    /// For a graph whose media clock was stepped, and for the first lock (`aes67` 3.3).
    pub fn restart(&mut self) {
        if let Some(written) = self.written.take() {
            self.sent.dropped_frames += written.since(self.next).max(0).unsigned_abs();
            self.sent.jumps += 1;
        }
        self.ring.clear();
    }

    /// Changes the offset of the timestamps from the next packet on.
    pub fn set_offset(&mut self, offset: u32) {
        self.config.offset = offset;
    }

    /// Sequence number and timestamp of the next packet.
    pub fn next_header(&self) -> RtpHeader {
        RtpHeader {
            sequence: self.sequence,
            time: self.next.media_time(self.config.offset),
            ssrc: self.config.ssrc,
            payload_type: self.config.payload_type,
        }
    }

    /// What was sent.
    pub const fn sent(&self) -> Sent {
        self.sent
    }

    /// Makes `start` the place where writing goes on.
    fn join(&mut self, start: MediaIndex) {
        let step = self.written.map(|written| start.since(written));
        match step {
            Some(0) => {}
            Some(ahead) if ahead > 0 && ahead < self.ring.frames() as i64 => {
                // The packets on both edges of the hole are partly written; the rest of them is silence.
                self.sent.jumps += 1;
                self.silence(self.written.unwrap_or(start), ahead as usize);
            }
            _ => {
                self.restart();
                self.next = start.next_multiple_of(self.config.frames_per_packet);
            }
        }
    }

    /// Writes silence, as frames that do not ask to be sent.
    fn silence(&mut self, at: MediaIndex, frames: usize) {
        for piece in self.ring.pieces(at, frames) {
            for channel in 0..usize::from(self.config.channels.count()) {
                self.ring.samples_mut(channel, piece).fill(0.0);
            }
        }
        self.make_room(at, frames);
        self.ring.mark(at, frames, false);
        self.written = Some(at.plus(Samples(frames as u32)));
    }

    /// Drops the packets whose frames are about to be overwritten: nobody has polled them in time.
    fn make_room(&mut self, start: MediaIndex, frames: usize) {
        let over = start.since(self.next) + frames as i64 - self.ring.frames() as i64;
        if over > 0 {
            let until = self.next.offset_by(over).next_multiple_of(self.config.frames_per_packet);
            self.drop_until(until);
        }
    }

    fn drop_overdue(&mut self, now: MediaIndex) {
        let patience = i64::from(self.config.rate.hz() / 50 + 2 * self.config.frames_per_packet.0);
        let n = i64::from(self.config.frames_per_packet.0);
        let Some(written) = self.written else { return };
        let oldest = now.offset_by(-patience - n);
        if oldest > self.next && written.since(self.next) >= n {
            let packets = oldest.min(written).since(self.next) / n;
            self.drop_until(self.next.offset_by(packets * n));
            self.skip_holes();
        }
    }

    fn drop_until(&mut self, until: MediaIndex) {
        let frames = usize::try_from(until.since(self.next).max(0)).unwrap_or(usize::MAX);
        self.sent.dropped_frames += self.ring.survey(self.next, frames, false).fresh as u64;
        self.forget_until(until);
    }

    fn forget_until(&mut self, until: MediaIndex) {
        let frames = usize::try_from(until.since(self.next).max(0)).unwrap_or(usize::MAX);
        self.ring.mark(self.next, frames, false);
        self.next = self.next.max(until);
    }

    /// Moves on over complete packets of which no frame was written.
    fn skip_holes(&mut self) {
        let n = self.config.frames_per_packet;
        while self.next_due().is_some() && self.ring.survey(self.next, n.0 as usize, false).fresh == 0 {
            self.next = self.next.plus(n);
        }
    }
}
