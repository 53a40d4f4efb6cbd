//! Packets of a sender, for tests that hear one in virtual time: one channel of L24.

use wireloom_rtp::{BlockPosition, ChannelStatus, Encoding, RtpHeader, write_header};
use wireloom_units::{Channels, MediaIndex, Rate, Samples, Ssrc};

/// The packet of `frames` frames from `first` on, of which `sound` says the samples.
pub(super) fn packet(first: u64, frames: u32, sound: impl FnMut(u64) -> f32) -> Vec<u8> {
    let samples: Vec<f32> = (first..first + u64::from(frames)).map(sound).collect();
    let header = RtpHeader {
        sequence: (first / u64::from(frames)) as u16,
        time: MediaIndex(first).media_time(0),
        ssrc: Ssrc(7),
        payload_type: 98,
    };
    let mut bytes = write_header(&header).to_vec();
    let head = bytes.len();
    bytes.resize(head + frames as usize * 3, 0);
    let block = BlockPosition { at: MediaIndex(first), status: &ChannelStatus::pcm(Rate::HZ_48000) };
    let one = Channels::new(1).expect("one");
    Encoding::L24.encode(&[samples], one, Samples(frames), block, &mut bytes[head..]).expect("there is room");
    bytes
}
