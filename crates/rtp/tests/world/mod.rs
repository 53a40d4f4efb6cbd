//! A network of packets in virtual time and a reader that knows what it must hear.
#![allow(dead_code)] // each test binary uses its part

use std::collections::HashSet;

use wireloom_rtp::{
    BlockPosition, ChannelStatus, Encoding, HEADER_BYTES, Placement, RtpHeader, Timeline, TimelineConfig,
    write_header,
};
use wireloom_units::{Channels, MediaIndex, Rate, Samples, Ssrc};

/// Numbers that are the same for the same seed (SplitMix64).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// From 0 up to, not including, `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn chance(&mut self, probability: f64) -> bool {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64 <= probability
    }

    /// Between 0 and 1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn mix(mut value: u64) -> u64 {
    value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

/// The sample that every sender plays at `index`: never 0, no two near each other alike, exact in every encoding.
pub fn sound(index: u64, channel: usize) -> f32 {
    let integer = (mix(index.wrapping_mul(131).wrapping_add(channel as u64)) as u32 >> 16) as i16 | 1;
    f32::from(integer) / 32_768.0
}

/// A sender.
#[derive(Debug, Clone, Copy)]
pub struct Source {
    pub encoding: Encoding,
    pub channels: u16,
    pub frames: u32,
    pub ssrc: u32,
    pub payload_type: u8,
    pub offset: u32,
}

impl Source {
    pub fn stereo(frames: u32) -> Self {
        Self { encoding: Encoding::L24, channels: 2, frames, ssrc: 7, payload_type: 97, offset: 0 }
    }

    pub fn channels(&self) -> Channels {
        Channels::new(self.channels).expect("1 to 128")
    }

    /// The packet that begins with frame `index`.
    pub fn packet(&self, index: u64, sequence: u16) -> Vec<u8> {
        let planar: Vec<Vec<f32>> = (0..usize::from(self.channels))
            .map(|channel| (0..u64::from(self.frames)).map(|frame| sound(index + frame, channel)).collect())
            .collect();
        let mut packet = write_header(&RtpHeader {
            sequence,
            time: MediaIndex(index).media_time(self.offset),
            ssrc: Ssrc(self.ssrc),
            payload_type: self.payload_type,
        })
        .to_vec();
        let bytes = self.encoding.bytes_per_frame(self.channels()) * self.frames as usize;
        packet.resize(HEADER_BYTES + bytes, 0);
        let status = ChannelStatus::pcm(Rate::HZ_48000);
        let block = BlockPosition { at: MediaIndex(index), status: &status };
        let payload = &mut packet[HEADER_BYTES..];
        let frames = Samples(self.frames);
        self.encoding.encode(&planar[..], self.channels(), frames, block, payload).expect("has room");
        packet
    }

    /// `count` packets from frame `index` on, each due when its last frame has been played.
    pub fn stream(&self, index: u64, sequence: u16, count: u64) -> Vec<Arrival> {
        (0..count)
            .map(|number| {
                let first = index + number * u64::from(self.frames);
                let sequence = sequence.wrapping_add(number as u16);
                let at = first + u64::from(self.frames);
                Arrival { at, leg: 0, first, frames: self.frames, bytes: self.packet(first, sequence) }
            })
            .collect()
    }

    pub fn timeline(&self, capacity: u32) -> Timeline {
        Timeline::new(TimelineConfig {
            encoding: self.encoding,
            channels: self.channels(),
            rate: Rate::HZ_48000,
            payload_type: self.payload_type,
            offset: Some(self.offset),
            capacity: Samples(capacity),
            history: Samples(0),
        })
        .expect("fits")
    }
}

/// A packet on its way.
#[derive(Debug, Clone)]
pub struct Arrival {
    pub at: u64,
    pub leg: u8,
    pub first: u64,
    pub frames: u32,
    pub bytes: Vec<u8>,
}

/// What a network does to packets.
#[derive(Debug, Clone, Copy, Default)]
pub struct Weather {
    pub delay: u64,
    pub jitter: u64,
    pub loss: f64,
    pub duplicates: f64,
    /// A packet may be overtaken by this many later ones.
    pub reorder: u64,
}

impl Weather {
    pub fn pass(&self, stream: &[Arrival], random: &mut Random) -> Vec<Arrival> {
        let mut out = Vec::new();
        for arrival in stream {
            let mut copies = u64::from(!random.chance(self.loss));
            copies += u64::from(copies > 0 && random.chance(self.duplicates));
            for _ in 0..copies {
                let held =
                    if self.reorder > 0 && random.chance(0.1) { random.below(self.reorder + 1) } else { 0 };
                let wait = self.delay + random.below(self.jitter + 1) + held * u64::from(arrival.frames);
                out.push(Arrival { at: arrival.at + wait, ..arrival.clone() });
            }
        }
        out.sort_by_key(|arrival| arrival.at);
        out
    }
}

/// Reads a stream a cycle at a time and holds every sample against what was sent.
pub struct Reader {
    pub timeline: Timeline,
    pub quantum: u32,
    pub latency: u64,
    pub out: Vec<Vec<f32>>,
    /// Frames whose samples have been handed over.
    arrived: HashSet<u64>,
    pub fresh: u64,
    pub gaps: u64,
    pub placements: Vec<Placement>,
}

impl Reader {
    pub fn new(timeline: Timeline, channels: u16, quantum: u32, latency: u64) -> Self {
        let out = vec![vec![f32::NAN; quantum as usize]; usize::from(channels)];
        Self {
            timeline,
            quantum,
            latency,
            out,
            arrived: HashSet::new(),
            fresh: 0,
            gaps: 0,
            placements: Vec::new(),
        }
    }

    /// Hands over what has arrived at each cycle from `from` to `to`, then reads; a sample is the one that was sent
    /// for this index if it came in time, and silence if not, and never anything else.
    pub fn play(&mut self, arrivals: &[Arrival], from: u64, to: u64, about: &str) {
        let mut waiting = arrivals.iter().peekable();
        let mut position = from;
        while position < to {
            while let Some(arrival) = waiting.next_if(|arrival| arrival.at <= position) {
                let placement =
                    self.timeline.handle_datagram(MediaIndex(arrival.at), arrival.leg, &arrival.bytes);
                self.placements.push(placement);
                if placement.is_heard() {
                    let frames = arrival.first..arrival.first + u64::from(arrival.frames);
                    self.arrived.extend(frames.filter(|frame| *frame + self.latency >= position));
                }
            }
            self.cycle(position, about);
            position += u64::from(self.quantum);
        }
    }

    fn cycle(&mut self, position: u64, about: &str) {
        self.out.iter_mut().for_each(|channel| channel.fill(f32::NAN));
        let at = position - self.latency;
        let read = self.timeline.read(MediaIndex(at), Samples(self.quantum), &mut self.out[..]);
        assert_eq!(read.fresh + read.gap, self.quantum);
        let mut fresh = 0;
        for frame in 0..u64::from(self.quantum) {
            let heard = self.arrived.remove(&(at + frame));
            fresh += u32::from(heard);
            for (channel, samples) in self.out.iter().enumerate() {
                let expected = if heard { sound(at + frame, channel) } else { 0.0 };
                let got = samples[frame as usize];
                assert!(got == expected, "{about}: frame {} is {got}, not {expected}", at + frame);
            }
        }
        assert_eq!(read.fresh, fresh, "{about} at {at}");
        self.fresh += u64::from(read.fresh);
        self.gaps += u64::from(read.gap);
    }

    pub fn count(&self, placement: Placement) -> u64 {
        self.placements.iter().filter(|other| **other == placement).count() as u64
    }
}
