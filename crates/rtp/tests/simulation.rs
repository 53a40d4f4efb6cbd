//! Streams over bad networks, in virtual time: what is heard is exact to the sample, or silence.

mod world;

use wireloom_rtp::{Encoding, PacketTime, Placement};
use wireloom_units::{MediaIndex, Rate, Samples, Ssrc};
use world::{Arrival, Random, Reader, Source, Weather};

const ENCODINGS: [Encoding; 4] = [Encoding::L16, Encoding::L24, Encoding::L32, Encoding::AM824];

#[test]
fn loss_reordering_and_copies_leave_exact_samples_and_counted_silence() {
    for seed in 0..60 {
        let mut random = Random(seed);
        let frames = [6, 12, 16, 44, 48, 64, 96, 192][random.below(8) as usize];
        let source = Source {
            encoding: ENCODINGS[random.below(3) as usize],
            channels: 1 + random.below(4) as u16,
            offset: random.next() as u32,
            ..Source::stereo(frames)
        };
        let start = 1_000_000 + random.below(1 << 40);
        let stream = source.stream(start, random.next() as u16, 2_000);
        let weather =
            Weather { delay: 20, jitter: u64::from(frames), loss: 0.01, duplicates: 0.05, reorder: 3 };
        let arrivals = weather.pass(&stream, &mut random);
        let quantum = [32, 48, 64, 100, 128, 256][random.below(6) as usize];
        // All that can delay a packet: its length, the network, three that overtake it, and a cycle.
        let latency = u64::from(frames) * 5 + 20 + u64::from(quantum);
        let mut reader = Reader::new(source.timeline(4096), source.channels, quantum, latency);
        let end = start + 2_000 * u64::from(frames);
        reader.play(&arrivals, start, end + latency, &format!("seed {seed}"));

        let sent: std::collections::HashSet<u64> = arrivals.iter().map(|arrival| arrival.first).collect();
        let counters = reader.timeline.counters();
        assert_eq!(counters.packets, sent.len() as u64, "seed {seed}: {counters:?}");
        assert_eq!(counters.duplicates, (arrivals.len() - sent.len()) as u64, "seed {seed}");
        assert_eq!(reader.fresh, sent.len() as u64 * u64::from(frames), "seed {seed}");
        assert_eq!((counters.late, counters.early, counters.restarts, counters.foreign), (0, 0, 0, 0));
        assert!(counters.lost.abs_diff(2_000 - sent.len() as u64) <= 8, "seed {seed}: edges may hide losses");
        assert!(counters.reordered > 0 && counters.gaps > 0, "seed {seed}: {counters:?}");
    }
}

#[test]
fn every_packet_time_rate_and_channel_count_arrives_exactly() {
    let times = [83, 125, 167, 250, 333, 500, 1000, 2000, 4000, 5000];
    let mut combinations = 0;
    for hz in [44_100, 48_000, 88_200, 96_000, 192_000] {
        for micros in times {
            let frames = PacketTime::from_micros(micros).frames(Rate::from_hz(hz).expect("a rate"));
            let frames = frames.expect("not empty");
            for encoding in ENCODINGS {
                let Some(most) = PacketTime::max_channels(frames, encoding) else { continue };
                for channels in [1, 2, 3, 5, 8, most.count() - 1, most.count()] {
                    if channels == 0 || channels > most.count() {
                        continue;
                    }
                    let source = Source { encoding, channels, ..Source::stereo(frames.0) };
                    // From a block start on, so that AM824 knows its channel status at once.
                    let stream = source.stream(192_000, 5, 6);
                    let latency = 2 * u64::from(frames.0) + 48;
                    let mut reader = Reader::new(source.timeline(8 * frames.0), channels, 48, latency);
                    let end = 192_000 + 6 * u64::from(frames.0) + latency + 48;
                    let about = format!("{hz} Hz {micros} us {encoding:?} {channels} ch");
                    if encoding == Encoding::AM824 {
                        // Two frames tell the status; packets of one frame or two are not on the list.
                        assert!(frames.0 > 2);
                    }
                    reader.play(&stream, 192_000, end, &about);
                    assert_eq!(reader.fresh, 6 * u64::from(frames.0), "{about}");
                    combinations += 1;
                }
            }
        }
    }
    assert!(combinations > 1000, "{combinations}");
}

#[test]
fn the_wrap_of_timestamp_and_sequence_is_inaudible() {
    for (seed, offset) in [(1, 0), (2, 0xffff_ff00), (3, 0x8000_0000)] {
        let source = Source { offset, ..Source::stereo(48) };
        // The timestamp passes 2^32, and the sequence number 2^16, half way through.
        let start = (7_u64 << 32).wrapping_sub(u64::from(offset)).wrapping_sub(500 * 48);
        let stream = source.stream(start, 65_036, 1_000);
        let weather = Weather { delay: 10, jitter: 40, reorder: 2, ..Weather::default() };
        let arrivals = weather.pass(&stream, &mut Random(seed));
        let mut reader = Reader::new(source.timeline(2048), 2, 64, 300);
        reader.play(&arrivals, start, start + 48_000 + 300, "wrap");
        assert_eq!(reader.fresh, 48_000);
        let counters = reader.timeline.counters();
        // The one gap is the end.
        assert_eq!((counters.lost, counters.gaps, counters.restarts), (0, 1, 0), "{counters:?}");
        assert!(counters.gap_frames <= 64, "{counters:?}");
    }
}

#[test]
fn a_restarted_sender_is_heard_again_at_once() {
    let start = 48_000 * 1_000;
    let before = Source::stereo(48);
    let after = Source { ssrc: 0xabcd, ..before };
    let mut arrivals = before.stream(start, 100, 400);
    // 300 ms of nothing, then another SSRC, another sequence, a timestamp on another phase.
    let again = start + 400 * 48 + 14_400 + 17;
    arrivals.extend(after.stream(again, 40_000, 400));
    let mut reader = Reader::new(before.timeline(2048), 2, 48, 200);
    reader.play(&arrivals, start, again + 400 * 48 + 200, "restart");
    assert_eq!(reader.fresh, 800 * 48);
    let counters = reader.timeline.counters();
    assert_eq!((counters.restarts, counters.lost, counters.gaps), (1, 0, 2), "{counters:?}"); // and the end
    assert_eq!(reader.count(Placement::Restart), 1);
    assert_eq!(reader.timeline.stream().ssrc, Some(Ssrc(0xabcd)));
}

#[test]
fn a_sender_that_jumps_under_its_name_costs_one_packet() {
    let start = 48_000 * 1_000;
    let source = Source::stereo(48);
    let mut arrivals = source.stream(start, 100, 400);
    let jumped = start + 400 * 48 + 25;
    let mut rest = source.stream(jumped, 30_000, 400);
    rest.remove(0); // the reader cannot know yet; it may not play this one
    let unknown = Arrival { frames: 0, ..source.stream(jumped, 30_000, 1).remove(0) };
    arrivals.push(unknown);
    arrivals.extend(rest);
    let mut reader = Reader::new(source.timeline(2048), 2, 48, 200);
    reader.play(&arrivals, start, jumped + 400 * 48 + 200, "jump");
    assert_eq!(reader.fresh, 799 * 48);
    assert_eq!((reader.count(Placement::Unconfirmed), reader.count(Placement::Restart)), (1, 1));
    assert_eq!(reader.timeline.counters().lost, 0);
}

#[test]
fn two_legs_lose_only_what_both_lose() {
    for seed in 0..20 {
        let mut random = Random(seed);
        let frames = [6, 48][random.below(2) as usize];
        let source = Source::stereo(frames);
        let start = 4_800_000;
        let stream = source.stream(start, 65_500, 3_000);
        let mut arrivals = Vec::new();
        for (leg, delay) in [(0, 5), (1, 5 + random.below(300))] {
            let weather = Weather { delay, jitter: 20, loss: 0.05, reorder: 1, ..Weather::default() };
            let passed = weather.pass(&stream, &mut random);
            arrivals.extend(passed.into_iter().map(|arrival| Arrival { leg, ..arrival }));
        }
        arrivals.sort_by_key(|arrival| arrival.at);
        let mut reader = Reader::new(source.timeline(4096), 2, 64, 600);
        reader.play(&arrivals, start, start + 3_000 * u64::from(frames) + 700, &format!("seed {seed}"));

        let over = |leg: u8| -> std::collections::HashSet<u64> {
            arrivals.iter().filter(|arrival| arrival.leg == leg).map(|arrival| arrival.first).collect()
        };
        let (a, b) = (over(0), over(1));
        let both = a.union(&b).count() as u64;
        assert_eq!(reader.fresh, both * u64::from(frames), "seed {seed}");
        let counters = reader.timeline.counters();
        assert_eq!(counters.packets, both, "seed {seed}");
        assert!(counters.lost.abs_diff(3_000 - both) <= 2, "seed {seed}: {counters:?}");
        let legs = [reader.timeline.leg(0), reader.timeline.leg(1)];
        assert_eq!(legs.map(|leg| leg.received), [a.len() as u64, b.len() as u64], "seed {seed}");
        assert_eq!(legs[0].only_here, a.difference(&b).count() as u64, "seed {seed}");
        assert_eq!(legs[1].only_here, b.difference(&a).count() as u64, "seed {seed}");
        assert!(legs[1].differential.expect("copies came").max < 400, "seed {seed}");
    }
}

#[test]
fn a_leg_that_is_pulled_is_inaudible_also_with_an_ssrc_of_its_own() {
    for own_ssrc in [7, 99] {
        let source = Source::stereo(48);
        let second = Source { ssrc: own_ssrc, ..source };
        let start = 4_800_000;
        let mut arrivals: Vec<Arrival> = source.stream(start, 1, 1_000);
        arrivals.drain(300..600);
        let other = second.stream(start, 1, 1_000);
        arrivals.extend(
            other
                .into_iter()
                .enumerate()
                .filter(|(number, _)| !(650..900).contains(number))
                .map(|(_, arrival)| Arrival { leg: 1, at: arrival.at + 30, ..arrival }),
        );
        arrivals.sort_by_key(|arrival| arrival.at);
        let mut reader = Reader::new(source.timeline(4096), 2, 48, 200);
        reader.play(&arrivals, start, start + 48_000 + 200, "pulled leg");
        assert_eq!(reader.fresh, 48_000, "ssrc {own_ssrc}");
        let counters = reader.timeline.counters();
        assert_eq!((counters.lost, counters.gaps, counters.foreign), (0, 1, 0), "{counters:?}"); // the end
        assert_eq!(reader.timeline.stream().legs_differ, own_ssrc == 99);
        assert_eq!((reader.timeline.leg(0).lost, reader.timeline.leg(1).lost), (300, 250));
    }
}

#[test]
fn a_leg_with_a_payload_type_of_its_own_protects_the_stream() {
    let source = Source::stereo(48);
    let start = 4_800_000;
    let mut arrivals = source.stream(start, 1, 3_000);
    arrivals.drain(1_500..2_500);
    let copies = Source { payload_type: 98, ..source }.stream(start, 1, 3_000);
    arrivals.extend(copies.into_iter().map(|arrival| Arrival { leg: 1, at: arrival.at + 30, ..arrival }));
    arrivals.sort_by_key(|arrival| arrival.at);
    let mut reader = Reader::new(source.timeline(4096), 2, 48, 200);
    reader.play(&arrivals, start, start + 144_000 + 200, "types of their own");
    let counters = reader.timeline.counters();
    assert_eq!((reader.fresh, counters.lost), (144_000, 0), "{counters:?}");
    // The second leg is taken after a second of its own type alone, the first one keeps the described type.
    assert_eq!((counters.bad_payload_type, reader.timeline.leg(1).received), (1_000, 2_000));
    let stream = reader.timeline.stream();
    assert_eq!((stream.payload_type, stream.payload_type_adopted), (97, false));
}

#[test]
fn of_two_senders_in_a_group_one_is_heard_until_it_stops() {
    let source = Source::stereo(48);
    let rival = Source { ssrc: 0xbad, ..source };
    let start = 4_800_000;
    let mut arrivals = source.stream(start, 1, 500);
    // The rival's packets lie between, at another phase; it is heard 100 ms after the first one stops.
    let rivals = rival.stream(start + 20, 9_000, 1_000);
    let stop = start + 500 * 48;
    let takes_over = |arrival: &Arrival| arrival.at > stop + 4_800 + 96;
    arrivals.extend(rivals);
    arrivals.sort_by_key(|arrival| arrival.at);
    let mut reader = Reader::new(source.timeline(2048), 2, 48, 200);
    reader.play(&arrivals, start, start + 48_000 + 200, "two senders");
    let counters = reader.timeline.counters();
    let taken = arrivals.iter().filter(|arrival| takes_over(arrival)).count() as u64;
    assert_eq!(counters.packets, 500 + taken, "{counters:?}");
    assert_eq!(counters.foreign, 1_000 - taken);
    assert_eq!((counters.restarts, counters.gaps), (1, 2)); // and the end
}

#[test]
fn another_payload_type_is_adopted_after_a_second_alone() {
    let source = Source::stereo(48);
    let start = 4_800_000;
    let stream = Source { payload_type: 98, ..source }.stream(start, 1, 2_000);
    let mut reader = Reader::new(source.timeline(2048), 2, 48, 200);
    reader.play(&stream, start, start + 96_000 + 200, "payload type");
    let counters = reader.timeline.counters();
    assert_eq!((counters.bad_payload_type, counters.packets), (1_000, 1_000));
    let stream = reader.timeline.stream();
    assert!(stream.payload_type_adopted && stream.payload_type == 98, "{stream:?}");

    // Not while the described one comes too.
    let mixed: Vec<Arrival> = (0..2_000)
        .flat_map(|number| {
            let at = start + number * 48;
            let kind = if number % 40 == 0 { 97 } else { 98 };
            Source { payload_type: kind, ..source }.stream(at, number as u16, 1)
        })
        .collect();
    let mut reader = Reader::new(source.timeline(2048), 2, 48, 200);
    reader.play(&mixed, start, start + 96_000 + 200, "mixed types");
    assert_eq!(reader.timeline.counters().packets, 50);
    assert!(!reader.timeline.stream().payload_type_adopted);
}

#[test]
fn a_description_that_lies_about_channels_is_found_out_and_not_played() {
    for (told, sent) in [(2, 8), (8, 2), (1, 2), (4, 2), (3, 6)] {
        let sender = Source { channels: sent, ..Source::stereo(48) };
        let described = Source { channels: told, ..sender };
        let start = 4_800_000;
        let mut timeline = described.timeline(8192);
        let mut out = vec![vec![0.0; 48]; usize::from(told)];
        for (number, arrival) in sender.stream(start, 1, 500).iter().enumerate() {
            let placement = timeline.handle_datagram(MediaIndex(arrival.at), 0, &arrival.bytes);
            assert_eq!(
                placement == Placement::Placed,
                number == 0,
                "told {told}, sent {sent}: {placement:?}"
            );
            let read = timeline.read(MediaIndex(arrival.at - 240), Samples(48), &mut out[..]);
            assert_eq!(read.fresh, 0, "told {told}, sent {sent}");
        }
        assert!(timeline.stream().format_contradicts, "told {told}, sent {sent}");
        assert!(timeline.counters().bad_size > 400);
    }
}

#[test]
fn packets_of_changing_length_are_one_stream() {
    // As senders do that cut whatever their source gives them: 480 frames in packets of 231, 231 and 18.
    for seed in 0..10 {
        let mut random = Random(seed);
        let start = 4_800_000;
        let (mut first, mut sequence) = (start, 9_u16);
        let mut stream = Vec::new();
        for number in 0..900 {
            let frames = [231, 231, 18][number % 3];
            stream.extend(Source::stereo(frames).stream(first, sequence, 1));
            (first, sequence) = (first + u64::from(frames), sequence.wrapping_add(1));
        }
        let arrivals = Weather { delay: 10, loss: 0.01, ..Weather::default() }.pass(&stream, &mut random);
        let mut reader = Reader::new(Source::stereo(231).timeline(4096), 2, 64, 400);
        reader.play(&arrivals, start, first + 400, &format!("seed {seed}"));
        let counters = reader.timeline.counters();
        assert_eq!((counters.restarts, counters.bad_size), (0, 0), "seed {seed}: {counters:?}");
        assert_eq!(counters.packets, arrivals.len() as u64, "seed {seed}");
    }
}

#[test]
fn a_jumping_reader_never_hears_an_old_sample() {
    for seed in 0..100 {
        let mut random = Random(seed);
        let source = Source::stereo(48);
        let quantum = 32 << random.below(3);
        let mut timeline = source.timeline(512);
        let mut out = [[0.0; 128]; 2];
        let mut now: u64 = 1 << 33;
        let mut heard = 0;
        for _ in 0..30 {
            let stream = source.stream(now / 48 * 48, random.next() as u16, 20);
            let arrivals =
                Weather { loss: 0.2, jitter: 100, ..Weather::default() }.pass(&stream, &mut random);
            let mut waiting = arrivals.iter().peekable();
            let end = now + 600;
            while now < end {
                while let Some(arrival) = waiting.next_if(|arrival| arrival.at <= now) {
                    timeline.handle_datagram(MediaIndex(arrival.at), 0, &arrival.bytes);
                }
                let at = now - 200;
                heard += timeline.read(MediaIndex(at), Samples(quantum), &mut out).fresh;
                for (index, sample) in (at..).zip(&out[1][..quantum as usize]) {
                    assert!(
                        *sample == 0.0 || *sample == world::sound(index, 1),
                        "seed {seed}: old sample at {index}"
                    );
                }
                now += u64::from(quantum);
            }
            // A whole number of rings, a bit, or far, forwards and backwards.
            let jump = [512, 1024, 33, 48, 100_000, 1 << 20][random.below(6) as usize];
            now = if random.chance(0.5) { now + jump } else { now - jump };
        }
        assert!(heard > 1000, "seed {seed}: {heard}");
    }
}

#[test]
fn ports_that_are_missing_or_short_get_their_part_of_the_sound() {
    struct Odd([Vec<f32>; 3]);
    impl wireloom_rtp::PlanarMut for Odd {
        fn channel_mut(&mut self, index: usize) -> Option<&mut [f32]> {
            self.0.get_mut(index).filter(|_| index != 1).map(Vec::as_mut_slice)
        }
    }
    let source = Source { channels: 3, ..Source::stereo(48) };
    let mut timeline = source.timeline(512);
    // What lay one ring before is in the same slots.
    timeline.seek(MediaIndex(9_456));
    timeline.handle_datagram(MediaIndex(9_600), 0, &source.packet(9_456, 1));
    timeline.seek(MediaIndex(9_976));
    let restarted = Source { ssrc: 8, ..source }.packet(10_000, 1);
    timeline.handle_datagram(MediaIndex(20_000), 0, &restarted);
    // 24 frames of nothing, 24 of sound; then 24 of sound, 24 of nothing; each port as long as it likes.
    for at in [9_976, 10_024] {
        let mut out = Odd([vec![9.0; 24], vec![9.0; 48], vec![9.0; 60]]);
        let read = timeline.read(MediaIndex(at), Samples(48), &mut out);
        assert_eq!((read.fresh, read.gap), (24, 24));
        let expected = |index: u64, channel| {
            if (10_000..10_048).contains(&index) { world::sound(index, channel) } else { 0.0 }
        };
        assert!((at..).zip(&out.0[0]).all(|(index, sample)| *sample == expected(index, 0)));
        assert!(out.0[1] == [9.0; 48], "a port that is not linked is left alone");
        assert!((at..).zip(&out.0[2][..48]).all(|(index, sample)| *sample == expected(index, 2)));
        assert!(out.0[2][48..] == [9.0; 12]);
    }
    assert!(timeline.take_window().peak > 0.0);
}

#[test]
fn what_comes_too_late_or_too_early_is_counted_and_not_played() {
    let source = Source::stereo(48);
    let mut timeline = source.timeline(512);
    let mut out = [[0.0; 48]; 2];
    timeline.read(MediaIndex(10_000), Samples(48), &mut out);
    let mut place = |first: u64, sequence| {
        timeline.handle_datagram(MediaIndex(10_100), 0, &source.packet(first, sequence))
    };
    assert_eq!(place(10_048, 1), Placement::Placed);
    assert_eq!(place(10_000, 0), Placement::Late);
    assert_eq!(place(10_048 + 48 * 10, 11), Placement::Early);
    let (counters, window) = (timeline.counters(), timeline.take_window());
    assert_eq!((counters.late, counters.early, counters.packets), (1, 1, 1));
    assert_eq!(window.margin, Some(-48));
    assert_eq!(timeline.take_window().margin, None);
}

/// A sender of OAT that sends from its audio callback, each 128 frames: 2 or 3 packets of 1 ms at once.
#[test]
fn bursts_of_an_audio_block_are_played_whole_at_6_ms_and_not_at_3() {
    const BLOCK: u64 = 128;
    for (latency, whole) in [(288, true), (144, false)] {
        let source = Source::stereo(48);
        let start = 1 << 30;
        let mut stream = source.stream(start, 65_000, 10_000);
        for arrival in &mut stream {
            arrival.at = arrival.at.next_multiple_of(BLOCK);
        }
        let weather = Weather { delay: 20, jitter: 24, ..Weather::default() };
        let arrivals = weather.pass(&stream, &mut Random(latency));
        for quantum in [32, 48, 64] {
            let mut reader = Reader::new(source.timeline(2048), 2, quantum, latency);
            // Neither the silence before it is heard first nor the end of the stream is a gap.
            let end = start + 10_000 * 48 - 480;
            reader.play(&arrivals, start + 480, end, "bursts");
            let counters = reader.timeline.counters();
            assert_eq!(
                (counters.late == 0, counters.gap_frames == 0),
                (whole, whole),
                "{quantum}: {counters:?}"
            );
        }
    }
}
