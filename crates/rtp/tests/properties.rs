//! What holds for all samples, all packets and all orders of events.

use std::collections::HashMap;

use proptest::prelude::*;
use wireloom_rtp::rtcp::{self, NtpTime, RtcpPacket, SenderReport};
use wireloom_rtp::{
    BlockPosition, ChannelStatus, Encoding, Placement, RtpHeader, RtpPacket, Subframe, Timeline,
    TimelineConfig, write_header,
};
use wireloom_units::{Channels, MediaIndex, MediaTime, Rate, Samples, Ssrc};

fn one() -> Channels {
    Channels::new(1).expect("one")
}

/// Decodes `payload` as one channel and encodes it again.
fn there_and_back(encoding: Encoding, payload: &[u8]) -> (Vec<f32>, Vec<u8>) {
    let status = ChannelStatus::pcm(Rate::HZ_48000);
    let mut samples = [vec![f32::NAN; payload.len() / encoding.bytes_per_sample()]];
    let frames = encoding.decode(payload, one(), &mut samples).expect("whole frames");
    let mut again = vec![0; payload.len()];
    let block = BlockPosition { at: MediaIndex(0), status: &status };
    encoding.encode(&samples, one(), frames, block, &mut again).expect("same size");
    let [samples] = samples;
    (samples, again)
}

#[test]
fn all_16_bit_samples_come_back_bit_for_bit() {
    let payload: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_be_bytes).collect();
    let (samples, again) = there_and_back(Encoding::L16, &payload);
    assert!(payload == again);
    assert_eq!(samples[0x8000], -1.0);
    assert_eq!(samples[0x4000], 0.5);
}

#[test]
fn all_24_bit_samples_come_back_bit_for_bit() {
    let payload: Vec<u8> =
        (0..1_u32 << 24).flat_map(|sample| sample.to_be_bytes().into_iter().skip(1)).collect();
    let (samples, again) = there_and_back(Encoding::L24, &payload);
    assert!(payload == again);
    assert_eq!(samples[0x80_0000], -1.0);
    assert!(samples.iter().all(|sample| (-1.0..1.0).contains(sample)));
}

#[test]
fn samples_beyond_full_scale_are_clipped_and_no_number_is_silence() {
    let input = [[1.0_f32, -1.0, 7.5, f32::NEG_INFINITY, f32::INFINITY, f32::NAN, -0.0, 1e-30]];
    let status = ChannelStatus::pcm(Rate::HZ_48000);
    for (encoding, most, least) in [
        (Encoding::L16, i32::from(i16::MAX), i32::from(i16::MIN)),
        (Encoding::L24, (1 << 23) - 1, -(1 << 23)),
        (Encoding::L32, i32::MAX, i32::MIN),
    ] {
        let mut payload = [0; 32];
        let block = BlockPosition { at: MediaIndex(0), status: &status };
        let bytes = encoding.encode(&input, one(), Samples(8), block, &mut payload).expect("room");
        let integers: Vec<i32> = payload[..bytes]
            .chunks(encoding.bytes_per_sample())
            .map(|octets| {
                let mut wide = [0; 4];
                wide[..octets.len()].copy_from_slice(octets);
                i32::from_be_bytes(wide) >> (32 - 8 * octets.len())
            })
            .collect();
        assert_eq!(integers, [most, least, most, least, most, 0, 0, 0], "{encoding:?}");
    }
}

#[test]
fn rounding_is_to_the_nearest() {
    let half = 0.5 / 32_768.0;
    let input = [[half * 0.99, half * 1.01, -half * 1.01, half * 3.0, half * 1.0, -half * 3.0]];
    let status = ChannelStatus::pcm(Rate::HZ_48000);
    let mut payload = [0; 12];
    let block = BlockPosition { at: MediaIndex(0), status: &status };
    Encoding::L16.encode(&input, one(), Samples(6), block, &mut payload).expect("room");
    let integers: Vec<i16> =
        payload.chunks(2).map(|octets| i16::from_be_bytes([octets[0], octets[1]])).collect();
    assert_eq!(integers, [0, 1, -1, 2, 0, -2]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn l32_keeps_24_significant_bits(sample: i32) {
        let (_, again) = there_and_back(Encoding::L32, &sample.to_be_bytes());
        let again = i32::from_be_bytes([again[0], again[1], again[2], again[3]]);
        let step = (i64::from(sample).unsigned_abs() >> 23).max(1);
        prop_assert!((i64::from(sample) - i64::from(again)).unsigned_abs() <= step, "{sample} {again}");
    }

    #[test]
    fn channels_of_24_bits_are_written_together_as_alone(
        input in proptest::collection::vec(proptest::collection::vec(-1.1_f32..1.1, 0..70), 1..11),
        frames in 1_u32..60,
    ) {
        let status = ChannelStatus::pcm(Rate::HZ_48000);
        let block = BlockPosition { at: MediaIndex(0), status: &status };
        let all = input.len();
        let mut together = vec![0xaa; all * 3 * frames as usize];
        let channels = Channels::new(all as u16).expect("at least one");
        Encoding::L24.encode(&input[..], channels, Samples(frames), block, &mut together).expect("room");
        for (channel, input) in input.iter().enumerate() {
            let mut alone = vec![0xaa; 3 * frames as usize];
            Encoding::L24.encode(&[input], one(), Samples(frames), block, &mut alone).expect("room");
            for (n, (together, alone)) in together.chunks(3 * all).zip(alone.chunks(3)).enumerate() {
                prop_assert_eq!(&together[3 * channel..3 * channel + 3], alone, "channel {} frame {}", channel, n);
            }
        }
    }

    #[test]
    fn am824_carries_24_bits_with_even_parity(sample in -(1 << 23)..1 << 23, channel in 0_usize..80, at: u64) {
        let status = ChannelStatus::pcm(Rate::HZ_48000);
        let subframe = Subframe::pcm(sample, channel, MediaIndex(at), &status);
        prop_assert_eq!(Subframe::from_wire(subframe.to_wire()), subframe);
        prop_assert_eq!(subframe.sample(), sample);
        prop_assert!(subframe.parity_is_even() && subframe.is_valid() && !subframe.user());
        prop_assert_eq!(subframe.is_first(), channel % 2 == 0);
        prop_assert_eq!(subframe.starts_block(), channel % 2 == 0 && at % 192 == 0);
        let bit = (at % 192) as usize;
        prop_assert_eq!(subframe.status(), status.octets()[bit / 8] >> (bit % 8) & 1 == 1);
        prop_assert_eq!(subframe.to_wire()[0] >> 6, 0);
    }

    #[test]
    fn a_written_header_reads_the_same(sequence: u16, time: u32, ssrc: u32, kind in 0_u8..128, payload: Vec<u8>) {
        let header = RtpHeader { sequence, time: MediaTime::from_wire(time), ssrc: Ssrc(ssrc), payload_type: kind };
        let mut bytes = write_header(&header).to_vec();
        bytes.extend_from_slice(&payload);
        let packet = RtpPacket::parse(&bytes).expect("our own");
        prop_assert_eq!(packet.payload, &payload[..]);
        let again = RtpHeader {
            sequence: packet.sequence, time: packet.time, ssrc: packet.ssrc, payload_type: packet.payload_type,
        };
        prop_assert_eq!(again, header);
    }

    #[test]
    fn a_written_sender_report_reads_the_same(
        numbers in any::<[u32; 6]>(),
        name in prop::collection::vec(1_u8.., 0..300),
        room in 0_usize..400,
    ) {
        let [ssrc, seconds, fraction, time, packets, octets] = numbers;
        let ntp = NtpTime { seconds, fraction };
        let time = MediaTime::from_wire(time);
        let report = SenderReport { ssrc: Ssrc(ssrc), ntp, time, packets, octets };
        let mut buffer = vec![0xaa; room];
        let kept = &name[..name.len().min(255)];
        match rtcp::write_sender_report(&report, &name, &mut buffer) {
            Ok(length) => {
                prop_assert!(length.is_multiple_of(4) && length <= room);
                let read: Result<Vec<_>, _> = rtcp::parse(&buffer[..length]).collect();
                let expected = [
                    RtcpPacket::SenderReport(report),
                    RtcpPacket::SourceDescription { ssrc: Ssrc(ssrc), cname: kept },
                ];
                prop_assert_eq!(read.as_deref(), Ok(&expected[..]));
            }
            Err(_) => prop_assert!(room < 32 + (7 + kept.len()).next_multiple_of(4)),
        }
    }

    #[test]
    fn a_timeline_is_a_map_from_index_to_sample(
        history in prop_oneof![Just(0_u32), 0_u32..32],
        ops in prop::collection::vec(op(), 1..200),
    ) {
        Model::new(history).run(&ops)?;
    }
}

/// Something that happens to a timeline; distances are from where playing is.
#[derive(Debug, Clone)]
enum Op {
    Packet { distance: i64, frames: u32 },
    Read { frames: u32 },
    Jump { distance: i64 },
    Fade { back: u32 },
    Offset { offset: u32 },
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (-70_i64..80, 1_u32..=20).prop_map(|(distance, frames)| Op::Packet { distance, frames }),
        5 => (0_u32..40).prop_map(|frames| Op::Read { frames }),
        1 => prop_oneof![-70_i64..70, Just(64), Just(-64), Just(1 << 20), Just(-(1 << 20))]
            .prop_map(|distance| Op::Jump { distance }),
        1 => (0_u32..32).prop_map(|back| Op::Fade { back }),
        1 => (0_u32..3).prop_map(|offset| Op::Offset { offset }),
    ]
}

/// The simplest thing that a timeline may be: what came, until it is read or out of reach.
struct Model {
    timeline: Timeline,
    frames: HashMap<u64, f32>,
    next: u64,
    history: u64,
    offset: u32,
    value: i16,
}

const RING: i64 = 64;

impl Model {
    fn new(history: u32) -> Self {
        let mut timeline = Timeline::new(TimelineConfig {
            encoding: Encoding::L16,
            channels: one(),
            rate: Rate::HZ_48000,
            payload_type: 97,
            offset: Some(0),
            capacity: Samples(RING as u32),
            history: Samples(history),
        })
        .expect("fits");
        let next = 1 << 32;
        timeline.seek(MediaIndex(next));
        Self {
            timeline,
            frames: HashMap::new(),
            next,
            history: u64::from(history.min(32)),
            offset: 0,
            value: 0,
        }
    }

    fn run(&mut self, ops: &[Op]) -> Result<(), TestCaseError> {
        for op in ops {
            match *op {
                Op::Packet { distance, frames } => self.packet(distance, frames)?,
                Op::Read { frames } => self.read(self.next, self.next, frames)?,
                Op::Jump { distance } => self.read(self.next.wrapping_add_signed(distance), 0, 8)?,
                Op::Fade { back } => {
                    let back = u64::from(back).min(self.history);
                    self.read(self.next - back, self.next, 16)?;
                }
                Op::Offset { offset } => {
                    if offset != self.offset {
                        self.frames.clear();
                    }
                    self.offset = offset;
                    self.timeline.set_offset(offset);
                }
            }
        }
        Ok(())
    }

    /// Each packet is of a sender of its own after a long silence: nothing but its timestamp places it.
    fn packet(&mut self, distance: i64, frames: u32) -> Result<(), TestCaseError> {
        let index = self.next.wrapping_add_signed(distance);
        let mut payload = Vec::new();
        let mut sent = Vec::new();
        for frame in 0..u64::from(frames) {
            self.value = self.value.wrapping_add(1).max(1);
            payload.extend_from_slice(&self.value.to_be_bytes());
            sent.push((index + frame, f32::from(self.value) / 32_768.0));
        }
        let packet = RtpPacket {
            sequence: self.value as u16,
            time: MediaIndex(index).media_time(self.offset),
            ssrc: Ssrc(u32::from(self.value as u16)),
            payload_type: 97,
            marker: false,
            payload: &payload,
        };
        let pause = 100_000 * i64::from(self.value);
        let placement = self.timeline.handle_packet(MediaIndex(self.next).offset_by(pause), 0, &packet);
        prop_assert!(matches!(
            placement,
            Placement::Placed | Placement::Restart | Placement::Late | Placement::Early
        ));
        let room = self.next as i64 + RING - self.history as i64;
        if index as i64 + i64::from(frames) <= room {
            self.frames.extend(sent.into_iter().filter(|(index, _)| *index >= self.next));
        }
        Ok(())
    }

    /// Reads at `to`; faded over from `from` when that is not 0.
    fn read(&mut self, to: u64, from: u64, frames: u32) -> Result<(), TestCaseError> {
        let mut out = [vec![f32::NAN; frames as usize]];
        let start = if from == 0 { to } else { to.min(from) };
        self.moved(start);
        let expected = |at: u64| self.frames.get(&at).copied();
        let read = if from == 0 || from == to {
            self.timeline.read(MediaIndex(to), Samples(frames), &mut out)
        } else {
            self.timeline.read_fading(MediaIndex(from), MediaIndex(to), Samples(frames), &mut out)
        };
        let fresh = (0..u64::from(frames)).filter(|frame| expected(to + frame).is_some()).count();
        prop_assert_eq!(read.fresh as usize, fresh);
        for frame in 0..u64::from(frames) {
            let new = expected(to + frame).unwrap_or(0.0);
            let wanted = if from == 0 || from == to {
                new
            } else {
                let old = expected(from + frame).unwrap_or(0.0);
                old + (new - old) * (frame + 1) as f32 / frames as f32
            };
            let got = out[0][frame as usize];
            prop_assert!((got - wanted).abs() < 1e-6, "frame {} is {}, not {}", to + frame, got, wanted);
        }
        self.moved(to + u64::from(frames));
        Ok(())
    }

    fn moved(&mut self, next: u64) {
        if next.abs_diff(self.next) >= RING as u64 {
            self.frames.clear();
        }
        self.next = next;
        let floor = next - self.history;
        self.frames.retain(|index, _| (floor..floor + RING as u64).contains(index));
    }
}
