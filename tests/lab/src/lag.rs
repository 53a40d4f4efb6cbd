//! How much later the sound of one stream is sent again in another, as the packets of both say.

use anyhow::{Context, ensure};

use crate::peers::RtpStream;
use crate::peers::tshark::RtpPayload;
use crate::signal::PositionCode;

/// By how many frames `second` carries the signal of `first` later, by the RTP timestamps of both; nothing while fewer
/// than `least` frames of `second` are in `packets`, or none of `first`. Errors: what is neither silent nor the signal;
/// it is not the same in all of them.
pub fn lag(
    packets: &[RtpPayload],
    [first, second]: [&RtpStream; 2],
    least: usize,
) -> anyhow::Result<Option<i64>> {
    let (first, second, code) = (frames(packets, first)?, frames(packets, second)?, first.code());
    let Some(&reference) = first.first() else { return Ok(None) };
    let lags =
        |frames: &[Frame]| -> Vec<i64> { frames.iter().map(|frame| reference.lag(frame, &code)).collect() };
    ensure!(lags(&first).iter().all(|lag| *lag == 0), "the first stream itself moves");
    let lags = lags(&second);
    if lags.len() < least.max(1) {
        return Ok(None);
    }
    ensure!(lags.iter().all(|lag| *lag == lags[0]), "the latency moves from {} frames", lags[0]);
    Ok(Some(lags[0]))
}

/// A frame that is not silent.
#[derive(Debug, Clone, Copy)]
struct Frame {
    /// RTP timestamp of it.
    time: u32,
    /// Its number in the signal.
    number: u64,
}

impl Frame {
    /// How many frames later `other` is sent than it was played, seen from this one.
    fn lag(&self, other: &Self, code: &PositionCode) -> i64 {
        let sent = i64::from(other.time.wrapping_sub(self.time).cast_signed());
        sent - code.distance(self.number, other.number)
    }
}

/// All frames of one stream that are not silent. Errors: one is not of the signal.
fn frames(packets: &[RtpPayload], stream: &RtpStream) -> anyhow::Result<Vec<Frame>> {
    let code = stream.code();
    let mut frames = Vec::new();
    for packet in packets.iter().filter(|packet| packet.address == stream.address) {
        let samples = stream.recording(&packet.bytes);
        for (at, ahead) in (0..samples.frames()).zip(0..) {
            let time = packet.timestamp.wrapping_add(ahead);
            let frame = samples.frame(at);
            if frame.iter().all(|sample| *sample == 0.0) {
                continue;
            }
            let numbers = frame.iter().enumerate().map(|(channel, sample)| code.frame(*sample, channel));
            let numbers: Option<Vec<u64>> = numbers.collect();
            let same = numbers.filter(|numbers| numbers.iter().all(|number| *number == numbers[0]));
            let number = same.with_context(|| format!("{frame:?} is nowhere in the signal"))?[0];
            frames.push(Frame { time, number });
        }
    }
    Ok(frames)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Five packets of `stream` whose first carries the signal from frame `number` on, at `time`.
    fn packets(stream: &RtpStream, number: u64, time: u32) -> Vec<RtpPayload> {
        let packet = |index: u32| RtpPayload {
            time: 0.0,
            address: stream.address,
            timestamp: time.wrapping_add(48 * index),
            bytes: stream.code().network_bytes(number + 48 * u64::from(index), 48),
        };
        (0..5).map(packet).collect()
    }

    #[test]
    fn the_lag_is_read_across_the_wrap_and_from_fewer_channels() -> anyhow::Result<()> {
        let (heard, sent) = (RtpStream::standard(1, 8), RtpStream::standard(2, 2));
        let mut both = packets(&heard, 100_000, u32::MAX - 100);
        ensure!(lag(&both, [&heard, &sent], 1)?.is_none());
        both.extend(packets(&sent, 99_000, 859)); // 1000 frames before, 960 later
        ensure!(lag(&both, [&heard, &sent], 240)? == Some(1960));
        ensure!(lag(&both, [&heard, &sent], 241)?.is_none());
        both.extend(packets(&sent, 99_240, 859 + 241));
        ensure!(lag(&both, [&heard, &sent], 1).is_err(), "it moves");
        Ok(())
    }
}
