//! What a packetizer sends: on time, on the grid, without old samples.

mod world;

use proptest::prelude::*;
use wireloom_rtp::{Encoding, HEADER_BYTES, Packetizer, PacketizerConfig, RtpPacket, Subframe};
use wireloom_units::{Channels, MediaIndex, Rate, Samples, Ssrc};
use world::{Reader, Source, sound};

fn config(source: &Source) -> PacketizerConfig {
    PacketizerConfig {
        encoding: source.encoding,
        channels: source.channels(),
        rate: Rate::HZ_48000,
        frames_per_packet: Samples(source.frames),
        payload_type: source.payload_type,
        ssrc: Ssrc(source.ssrc),
        first_sequence: 65_530,
        offset: source.offset,
        capacity: Samples(4096),
    }
}

/// What the graph plays at `at`.
fn cycle(at: u64, frames: u32, channels: u16) -> Vec<Vec<f32>> {
    let channel = |channel| (at..at + u64::from(frames)).map(|index| sound(index, channel)).collect();
    (0..usize::from(channels)).map(channel).collect()
}

/// Writes a cycle at `at` and takes every packet when it is due, up to the end of the cycle; returns the packets
/// and when they came.
fn run(sender: &mut Packetizer, at: u64, frames: u32, channels: u16) -> Vec<(u64, Vec<u8>)> {
    sender.write(MediaIndex(at), Samples(frames), &cycle(at, frames, channels)[..]);
    let mut sent = Vec::new();
    let mut buffer = vec![0; sender.packet_bytes()];
    while let Some(due) = sender.next_due().filter(|due| due.0 < at + u64::from(frames)) {
        let now = due.0.max(at);
        if now == due.0 {
            assert_eq!(sender.poll_packet(MediaIndex(now - 1), &mut buffer), None, "too early at {now}");
        }
        let length = sender.poll_packet(MediaIndex(now), &mut buffer).expect("it is due");
        sent.push((now, buffer[..length].to_vec()));
    }
    sent
}

#[test]
fn packets_lie_on_the_grid_and_leave_when_their_last_frame_has_passed() {
    for (frames, quantum, start) in
        [(48, 64, 1_000_003), (48, 1024, 96_000), (6, 48, 17), (192, 32, 191), (44, 100, 0)]
    {
        let source = Source { offset: 0xffff_0000, ..Source::stereo(frames) };
        let mut sender = Packetizer::new(config(&source)).expect("fits");
        let mut next = start + (u64::from(frames) - start % u64::from(frames)) % u64::from(frames);
        let mut sequence = 65_530_u16;
        for number in 0..200 {
            let at = start + number * u64::from(quantum);
            for (when, bytes) in run(&mut sender, at, quantum, 2) {
                assert_eq!(bytes, source.packet(next, sequence), "n {frames}, quantum {quantum}");
                assert!(when >= next + u64::from(frames));
                assert!(
                    when < next + u64::from(frames) + u64::from(quantum),
                    "a packet waited a whole cycle"
                );
                next += u64::from(frames);
                sequence = sequence.wrapping_add(1);
            }
        }
        let sent = sender.sent();
        assert!(sent.packets > 0 && sent.dropped_frames == 0 && sent.jumps == 0, "{sent:?}");
        assert_eq!(sent.octets, sent.packets * u64::from(frames) * 6);
    }
}

#[test]
fn what_one_sends_another_hears_exactly() {
    for (frames, quantum, channels) in [(48, 64, 8), (6, 32, 2), (192, 1024, 2), (16, 48, 3)] {
        let source = Source { channels, offset: 77, ..Source::stereo(frames) };
        let mut sender = Packetizer::new(config(&source)).expect("fits");
        let latency = u64::from(frames) * 2 + 2 * u64::from(quantum);
        let mut reader = Reader::new(source.timeline(8192), channels, quantum, latency);
        let start = (1 << 32) - 20 * u64::from(quantum); // across the wrap of the timestamp
        for number in 0..40 {
            let at = start + number * u64::from(quantum);
            let arrivals: Vec<_> = run(&mut sender, at, quantum, channels)
                .into_iter()
                .map(|(when, bytes)| {
                    let first = RtpPacket::parse(&bytes).expect("ours").time;
                    let first = MediaIndex(at).nearest(first, source.offset).0;
                    world::Arrival { at: when, leg: 0, first, frames, bytes }
                })
                .collect();
            // Arrivals of this cycle are heard at its end.
            let end = at + u64::from(quantum);
            reader.play(&arrivals, end, end + u64::from(quantum), "there and back");
        }
        assert!(reader.fresh > 20 * u64::from(quantum), "{} of {}", reader.fresh, 40 * quantum);
        assert_eq!(reader.timeline.counters().lost, 0);
        assert!(reader.timeline.counters().gaps == 0);
    }
}

#[test]
fn unlinked_and_short_channels_are_silent() {
    struct Odd;
    impl wireloom_rtp::Planar for Odd {
        fn channel(&self, index: usize) -> Option<&[f32]> {
            match index {
                0 => Some(&[0.5; 48]),
                1 => None,
                _ => Some(&[0.25; 10]),
            }
        }
    }
    let source = Source { channels: 3, ..Source::stereo(48) };
    let mut sender = Packetizer::new(config(&source)).expect("fits");
    sender.write(MediaIndex(0), Samples(48), &cycle(0, 48, 3)[..]); // what must not be heard later
    let mut buffer = [0; 1500];
    sender.poll_packet(MediaIndex(48), &mut buffer).expect("due");
    sender.write(MediaIndex(48), Samples(48), &Odd);
    let length = sender.poll_packet(MediaIndex(96), &mut buffer).expect("due");
    let mut out = [[9.0_f32; 48]; 3];
    let channels = source.channels();
    Encoding::L24.decode(&buffer[HEADER_BYTES..length], channels, &mut out).expect("whole frames");
    assert!(out[0] == [0.5; 48] && out[1] == [0.0; 48]);
    assert!(out[2][..10] == [0.25; 10] && out[2][10..] == [0.0; 38]);
}

#[test]
fn a_step_ahead_leaves_a_hole_and_keeps_what_was_written_before() {
    let source = Source::stereo(48);
    let mut sender = Packetizer::new(config(&source)).expect("fits");
    let mut buffer = [0; 1500];
    sender.write(MediaIndex(480), Samples(100), &cycle(480, 100, 2)[..]); // 480..580
    sender.write(MediaIndex(750), Samples(100), &cycle(750, 100, 2)[..]); // 750..850
    let mut times = Vec::new();
    let mut out = [[9.0_f32; 48]; 2];
    for now in 480..1000 {
        while let Some(length) = sender.poll_packet(MediaIndex(now), &mut buffer) {
            let packet = RtpPacket::parse(&buffer[..length]).expect("ours");
            let first = u64::from(packet.time.to_wire());
            assert_eq!(now, first + 48);
            times.push((packet.sequence.wrapping_sub(65_530), first));
            Encoding::L24.decode(packet.payload, source.channels(), &mut out).expect("whole");
            for (index, sample) in (first..).zip(&out[1]) {
                let written = (480..580).contains(&index) || (750..850).contains(&index);
                assert_eq!(*sample, if written { sound(index, 1) } else { 0.0 }, "frame {index}");
            }
        }
    }
    // 576..624 and 720..768 are partly silent, 624..720 was never written, 816..864 is not complete.
    assert_eq!(times, [(0, 480), (1, 528), (2, 576), (3, 720), (4, 768)]);
    assert_eq!((sender.sent().jumps, sender.sent().dropped_frames), (1, 0));
}

#[test]
fn a_step_back_drops_what_waited_and_starts_on_the_grid() {
    let source = Source::stereo(48);
    let mut sender = Packetizer::new(config(&source)).expect("fits");
    let mut buffer = [0; 1500];
    sender.write(MediaIndex(96_000), Samples(1024), &cycle(96_000, 1024, 2)[..]);
    sender.write(MediaIndex(50_001), Samples(1024), &cycle(50_001, 1024, 2)[..]);
    assert_eq!(sender.next_due(), Some(MediaIndex(50_016 + 48)));
    let length = sender.poll_packet(MediaIndex(50_064), &mut buffer).expect("due");
    assert_eq!(&buffer[..length], source.packet(50_016, 65_530));
    assert_eq!((sender.sent().jumps, sender.sent().dropped_frames), (1, 1024));
}

#[test]
fn what_is_hopelessly_late_is_dropped_and_the_rest_sent() {
    let source = Source::stereo(48);
    let mut sender = Packetizer::new(config(&source)).expect("fits");
    let mut buffer = [0; 1500];
    sender.write(MediaIndex(0), Samples(2048), &cycle(0, 2048, 2)[..]);
    // The sender's timer slept for 1500 samples: 20 ms and two packets is all that a receiver may still want.
    let mut first = None;
    let mut count = 0;
    while let Some(length) = sender.poll_packet(MediaIndex(1_548), &mut buffer) {
        first = first.or(Some(RtpPacket::parse(&buffer[..length]).expect("ours").time.to_wire()));
        count += 1;
    }
    assert_eq!(first, Some(432));
    assert_eq!(count, (1_536 - 432) / 48 + 1 - 1);
    assert_eq!(sender.sent().dropped_frames, 432);
    // Nobody polls at all: the ring takes the newest.
    for number in 0..20 {
        let at = 2048 + number * 1024;
        sender.write(MediaIndex(at), Samples(1024), &cycle(at, 1024, 2)[..]);
    }
    let due = sender.next_due().expect("packets wait");
    assert!(due.0 > 2048 + 20 * 1024 - 4096 && due.0 <= 2048 + 20 * 1024);
}

#[test]
fn am824_carries_whole_blocks_with_status_and_crc() {
    let source = Source { encoding: Encoding::AM824, ..Source::stereo(48) };
    let mut sender = Packetizer::new(config(&source)).expect("fits");
    let mut status = [[0_u8; 24]; 2];
    let mut buffer = [0; 1500];
    for number in 0..5 {
        sender.write(MediaIndex(960 + number * 48), Samples(48), &cycle(960 + number * 48, 48, 2)[..]);
        let length = sender.poll_packet(MediaIndex(1008 + number * 48), &mut buffer).expect("due");
        for (at, octets) in buffer[HEADER_BYTES..length].chunks(4).enumerate() {
            let subframe = Subframe::from_wire([octets[0], octets[1], octets[2], octets[3]]);
            let (frame, channel) = (number * 48 + at as u64 / 2, at % 2);
            assert!(subframe.parity_is_even() && subframe.is_valid());
            assert_eq!(subframe.starts_block(), frame % 192 == 0 && channel == 0);
            assert_eq!(subframe.is_first(), channel == 0);
            if frame < 192 && subframe.status() {
                status[channel][frame as usize / 8] |= 1 << (frame % 8);
            }
        }
    }
    // Professional, PCM, 48 kHz; 24 bits; the CRC fits.
    assert_eq!(status[0], *wireloom_rtp::ChannelStatus::pcm(Rate::HZ_48000).octets());
    assert_eq!(status[0], status[1]);
    assert_eq!((status[0][0], status[0][2]), (0x81, 0x2c));
    assert_eq!(wireloom_rtp::ChannelStatus::with_crc(status[0]).octets(), &status[0]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a graph does, a packet holds what was written for its frames or silence, in order, never early.
    #[test]
    fn every_packet_holds_its_own_frames(
        frames in 1_u32..70,
        steps in prop::collection::vec((prop_oneof![8 => Just(0_i64), 1 => -300_i64..300, 1 => Just(10_000)], 1_u32..200), 1..60),
    ) {
        let source = Source { channels: 1, encoding: Encoding::L16, ..Source::stereo(frames) };
        let mut sender = Packetizer::new(PacketizerConfig { capacity: Samples(256), ..config(&source) }).expect("fits");
        let channels = Channels::new(1).expect("one");
        let mut written = std::collections::HashSet::new();
        let mut buffer = vec![0; sender.packet_bytes()];
        let mut at = 1_u64 << 20;
        let mut sequence = 65_530_u16;
        let mut last: Option<(u64, u64)> = None;
        for (jump, length) in steps {
            at = at.wrapping_add_signed(jump);
            if jump < 0 {
                written.clear();
                last = None;
            }
            sender.write(MediaIndex(at), Samples(length), &cycle(at, length, 1)[..]);
            written.extend(at..at + u64::from(length));
            for now in at..at + u64::from(length) {
                while let Some(bytes) = sender.poll_packet(MediaIndex(now), &mut buffer) {
                    let packet = RtpPacket::parse(&buffer[..bytes]).expect("ours");
                    let first = MediaIndex(now).nearest(packet.time, 0).0;
                    prop_assert_eq!(packet.sequence, sequence);
                    sequence = sequence.wrapping_add(1);
                    prop_assert!(first.is_multiple_of(u64::from(frames)) && first + u64::from(frames) <= now);
                    prop_assert!(last.is_none_or(|(before, _)| before < first), "{} after {:?}", first, last);
                    last = Some((first, now));
                    let mut out = [vec![9.0_f32; frames as usize]];
                    Encoding::L16.decode(packet.payload, channels, &mut out).expect("whole");
                    let mut any = false;
                    for (index, sample) in (first..).zip(&out[0]) {
                        let expected = if written.contains(&index) { sound(index, 0) } else { 0.0 };
                        any |= expected != 0.0;
                        prop_assert_eq!(*sample, expected, "frame {}", index);
                    }
                    prop_assert!(any, "a packet of nothing at {}", first);
                }
            }
            at += u64::from(length);
        }
    }
}
