//! AM824 that is not PCM must not be heard.

mod world;

use wireloom_rtp::{ChannelStatus, Encoding, HEADER_BYTES, Subframe, Timeline};
use wireloom_units::{MediaIndex, Samples};
use world::{Source, sound};

const SOURCE: Source =
    Source { encoding: Encoding::AM824, channels: 2, frames: 48, ssrc: 7, payload_type: 97, offset: 0 };

/// Feeds ten blocks, changed by `change(frame, channel, subframe)`, and returns what is heard of both channels.
fn heard(timeline: &mut Timeline, change: impl Fn(u64, usize, u32) -> u32) -> Vec<[f32; 2]> {
    let mut heard = Vec::new();
    let mut out = [[0.0; 48]; 2];
    for (number, arrival) in SOURCE.stream(19_200, 1, 40).iter().enumerate() {
        let mut bytes = arrival.bytes.clone();
        for (at, octets) in bytes[HEADER_BYTES..].chunks_mut(4).enumerate() {
            let word = u32::from_be_bytes([octets[0], octets[1], octets[2], octets[3]]);
            let frame = number as u64 * 48 + at as u64 / 2;
            octets.copy_from_slice(&change(frame, at % 2, word).to_be_bytes());
        }
        timeline.handle_datagram(MediaIndex(arrival.at), 0, &bytes);
        timeline.read(MediaIndex(arrival.first), Samples(48), &mut out);
        heard.extend((0..48).map(|frame| [out[0][frame], out[1][frame]]));
    }
    heard
}

fn sent(frame: usize, channel: usize) -> f32 {
    sound(19_200 + frame as u64, channel)
}

#[test]
fn pcm_is_heard_from_the_first_frame() {
    let mut timeline = SOURCE.timeline(1024);
    let heard = heard(&mut timeline, |_, _, word| word);
    assert!(heard.iter().enumerate().all(|(frame, out)| *out == [sent(frame, 0), sent(frame, 1)]));
    assert!(!timeline.stream().not_pcm);
}

#[test]
fn a_channel_whose_status_says_no_pcm_is_mute_and_only_that() {
    let mut timeline = SOURCE.timeline(1024);
    // Bit 1 of the block, on the second channel; the blocks of this sender begin at frame 100.
    let heard = heard(&mut timeline, |frame, channel, word| {
        let position = (frame + 92) % 192;
        let plain = word & !(1 << 29 | 1 << 26);
        let block = if position == 0 && channel == 0 { 1 << 29 } else { 0 };
        let status = if channel == 1 && position == 1 { 1 << 26 } else { 0 };
        plain | block | status
    });
    assert!(heard.iter().all(|out| out[1] == 0.0), "noise was heard");
    // Nothing was played before the first block had told, everything after it.
    let first = heard.iter().position(|out| out[0] != 0.0).expect("the other channel is heard");
    assert!((1..=144).contains(&first), "{first}");
    assert!((first..heard.len()).all(|frame| heard[frame][0] == sent(frame, 0)));
    assert!(timeline.stream().not_pcm);
}

#[test]
fn invalid_subframes_are_silent() {
    let mut timeline = SOURCE.timeline(1024);
    let heard = heard(&mut timeline, |frame, _, word| if frame % 7 == 0 { word | 1 << 24 } else { word });
    for (frame, out) in heard.iter().enumerate() {
        assert_eq!(out[1], if frame % 7 == 0 { 0.0 } else { sent(frame, 1) });
    }
    assert!(timeline.stream().not_pcm);
}

#[test]
fn a_sender_without_channel_status_is_heard_after_two_blocks() {
    let mut timeline = SOURCE.timeline(1024);
    let heard = heard(&mut timeline, |_, _, word| word & 0x00ff_ffff);
    let first = heard.iter().position(|out| out[0] != 0.0).expect("heard");
    assert_eq!(first / 48, 384 / 48 - 1, "the packet in which patience ends");
    assert!((first..heard.len()).all(|frame| heard[frame] == [sent(frame, 0), sent(frame, 1)]));
}

#[test]
fn the_status_names_the_rate() {
    let octets = |hz| *ChannelStatus::pcm(wireloom_units::Rate::from_hz(hz).expect("a rate")).octets();
    assert_eq!((octets(44_100)[0], octets(44_100)[4]), (0x41, 0));
    assert_eq!((octets(96_000)[0], octets(96_000)[4]), (0x01, 0x10));
    assert_eq!((octets(192_000)[0], octets(192_000)[4]), (0x01, 0x18));
    let marked = Subframe::from_wire([0x38, 0x12, 0x34, 0x56]);
    assert!(marked.starts_block() && marked.is_first() && marked.parity_is_even());
}
