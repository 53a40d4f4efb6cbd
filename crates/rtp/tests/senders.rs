//! Senders that count in ways of their own.

use wireloom_rtp::{Encoding, Placement, Timeline, TimelineConfig};
use wireloom_units::{Channels, MediaIndex, Rate, Samples};

const FRAMES: u32 = 48;

fn timeline() -> Timeline {
    let config = TimelineConfig {
        encoding: Encoding::L16,
        channels: Channels::new(1).expect("one"),
        rate: Rate::HZ_48000,
        payload_type: 96,
        offset: Some(0),
        capacity: Samples(4096),
        history: Samples(0),
    };
    Timeline::new(config).expect("small")
}

/// A packet of `ssrc` whose samples are the low bits of their own index, 1 to 0x4000.
fn packet(ssrc: u8, sequence: u16, index: u64) -> Vec<u8> {
    let mut bytes = vec![0x80, 96];
    bytes.extend(sequence.to_be_bytes());
    bytes.extend((index as u32).to_be_bytes());
    bytes.extend([0, 0, 0, ssrc]);
    (0..u64::from(FRAMES)).for_each(|frame| bytes.extend(sample(index + frame).to_be_bytes()));
    bytes
}

fn sample(index: u64) -> i16 {
    (index % 0x4000) as i16 + 1
}

#[test]
fn a_sequence_number_that_stands_still_does_not_silence_the_stream() {
    // The last second before the timestamp wraps, and the first after it.
    let start = (1 << 32) - 48_000;
    let mut timeline = timeline();
    let mut out = [[0.0_f32; FRAMES as usize]];
    let mut wrong = 0;
    for count in 0..2_000_u64 {
        let index = start + count * u64::from(FRAMES);
        timeline.handle_datagram(MediaIndex(index + 60), 0, &packet(7, 0, index));
        let read = timeline.read(MediaIndex(index), Samples(FRAMES), &mut out);
        let exact = out[0].iter().zip(index..).all(|(&got, at)| got == f32::from(sample(at)) / 32768.0);
        wrong += u32::from(read.gap > 0 || !exact);
    }
    // Two to see it, and two where the count of packets wraps with the timestamp.
    assert!(wrong <= 4, "{wrong} packets were not played");
    assert!(timeline.counters().lost <= 2, "{:?}", timeline.counters());
    // A sender that counts as it should takes over when this one is silent.
    let later = start + 2_100 * u64::from(FRAMES) + 48_000;
    timeline.seek(MediaIndex(later));
    let placed: Vec<_> = (0..4_u16)
        .map(|count| {
            let index = later + u64::from(count) * u64::from(FRAMES);
            timeline.handle_datagram(MediaIndex(index + 60), 0, &packet(8, 500 + count, index))
        })
        .collect();
    assert_eq!(placed, [Placement::Restart, Placement::Placed, Placement::Placed, Placement::Placed]);
}

#[test]
fn copies_of_one_packet_are_copies() {
    let mut timeline = timeline();
    let packets: Vec<_> = (0..3).map(|count| packet(7, count, 960 + u64::from(count) * 48)).collect();
    let order = [0, 0, 1, 1, 2, 2, 2];
    let placed: Vec<_> =
        order.iter().map(|&at| timeline.handle_datagram(MediaIndex(1100), 0, &packets[at])).collect();
    assert_eq!(placed.iter().filter(|placed| **placed == Placement::Duplicate).count(), 4, "{placed:?}");
    assert_eq!(timeline.counters().restarts, 0);
}

#[test]
fn a_sender_that_sets_its_clock_by_a_few_samples_loses_no_packet() {
    for slip in [-7_i64, -1, 1, 7] {
        let start = 1_000 * 48_000_u64;
        let mut timeline = timeline();
        let mut out = [[0.0_f32; FRAMES as usize]];
        let (mut index, mut wrong) = (start, 0_usize);
        for count in 0..2_000_u16 {
            if count % 500 == 250 {
                index = index.wrapping_add_signed(slip);
            }
            timeline.handle_datagram(MediaIndex(index + 60), 0, &packet(7, count, index));
            index += u64::from(FRAMES);
            let at = start + u64::from(count) * u64::from(FRAMES) - 480;
            timeline.read(MediaIndex(at), Samples(FRAMES), &mut out);
            let heard = out[0].iter().zip(at..).filter(|&(&got, _)| got != 0.0);
            wrong += heard.filter(|&(&got, at)| got != f32::from(sample(at)) / 32768.0).count();
        }
        let counters = timeline.counters();
        assert_eq!((wrong, counters.packets, counters.restarts), (0, 2_000, 4), "{slip}: {counters:?}");
        let left_out = 4 * u64::try_from(slip).unwrap_or(0);
        assert_eq!(counters.gap_frames, left_out, "{slip}: {counters:?}");
    }
}

#[test]
fn a_sender_that_changes_its_format_is_not_taken_for_one_that_sets_its_clock() {
    let start = 1_000 * 48_000_u64;
    let mut timeline = timeline();
    let mut placed = 0;
    for count in 0..400_u16 {
        // From the 100th packet on half as many frames, of two channels: the payload is as long as before.
        let index = start + u64::from(count.min(100)) * 48 + u64::from(count.saturating_sub(100)) * 24;
        let placement = timeline.handle_datagram(MediaIndex(index + 60), 0, &packet(7, count, index));
        placed += u32::from(matches!(placement, Placement::Placed | Placement::Restart));
    }
    assert!((101..=102).contains(&placed), "{placed} packets were placed");
    assert!(timeline.stream().format_contradicts);
}
