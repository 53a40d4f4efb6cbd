use std::path::Path;

use anyhow::{Context, bail, ensure};
use wireloom_wanted::Encoding;

/// Audio as a PipeWire client recorded it.
#[derive(Debug, Clone)]
pub struct Recording {
    samples: Vec<f32>,
    channels: usize,
    rate: Option<f64>,
}

impl Recording {
    /// `samples` holds `channels` interleaved channels; a last incomplete frame is dropped.
    pub fn new(mut samples: Vec<f32>, channels: usize) -> Self {
        assert!(channels > 0, "a recording has channels");
        samples.truncate(samples.len() / channels * channels);
        Self { samples, channels, rate: None }
    }

    /// Only its first `frames` frames.
    pub fn truncate(&mut self, frames: usize) {
        self.samples.truncate(frames * self.channels);
    }

    /// Reads a WAV file of 32-bit floats. One whose writer has not finished it is read as far as it goes.
    pub fn from_wav(path: &Path) -> anyhow::Result<Self> {
        let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
        parse_wav(&bytes).with_context(|| path.display().to_string())
    }

    /// Reads headerless little-endian 32-bit floats, as the lab's own client writes them.
    pub fn from_floats(path: &Path, channels: usize) -> anyhow::Result<Self> {
        let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
        let (words, _) = bytes.as_chunks::<4>();
        let samples = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
        Ok(Self { rate: Some(rate(&path.with_extension("cycles"))?), ..Self::new(samples, channels) })
    }

    /// Reads headerless big-endian integers, as a depayloader writes them; of AM824 only the audio.
    pub fn from_network_bytes(bytes: &[u8], encoding: Encoding, channels: usize) -> Self {
        let (unused_above, bits) = match encoding {
            Encoding::L16 => (0, 16),
            Encoding::L24 => (0, 24),
            Encoding::L32 => (0, 32),
            Encoding::AM824 => (8, 24),
        };
        let width = encoding.bytes();
        let scale = (1_u32 << (bits - 1)) as f32;
        let sample = |bytes: &[u8]| {
            let mut word = [0; 4];
            word[..width].copy_from_slice(bytes);
            ((i32::from_be_bytes(word) << unused_above) >> (32 - bits)) as f32 / scale
        };
        Self::new(bytes.chunks_exact(width).map(sample).collect(), channels)
    }

    /// Its length in frames.
    pub fn frames(&self) -> usize {
        self.samples.len() / self.channels
    }

    /// Frames of the graph in a second of CLOCK_MONOTONIC, where the recorder noted it.
    pub fn rate(&self) -> Option<f64> {
        self.rate
    }

    /// The samples of one frame, channel by channel.
    pub fn frame(&self, at: usize) -> &[f32] {
        &self.samples[at * self.channels..(at + 1) * self.channels]
    }
}

/// Reads the first and last cycle that the client noted: graph position and nanoseconds of CLOCK_MONOTONIC.
fn rate(path: &Path) -> anyhow::Result<f64> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let numbers: Vec<i64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let &[first_frame, first_ns, last_frame, last_ns] = &numbers[..] else {
        bail!("{} holds {} numbers instead of four", path.display(), numbers.len());
    };
    ensure!(last_ns > first_ns, "the graph ran for less than a cycle");
    Ok((last_frame - first_frame) as f64 * 1e9 / (last_ns - first_ns) as f64)
}

fn parse_wav(bytes: &[u8]) -> anyhow::Result<Recording> {
    let Some((b"RIFF", rest)) = bytes.split_first_chunk() else {
        bail!("not a RIFF file");
    };
    let mut chunks = rest.get(8..).context("a RIFF file without chunks")?;
    let mut channels = 0;
    while let Some((head, body)) = chunks.split_first_chunk::<8>() {
        let [name @ .., a, b, c, d] = head;
        let announced = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
        match name {
            b"fmt " => {
                let format = body.get(..16).context("a short fmt chunk")?;
                channels = usize::from(u16::from_le_bytes([format[2], format[3]]));
                let bits = u16::from_le_bytes([format[14], format[15]]);
                // 3 is IEEE float; 0xfffe says so only further down, where 32 bits from us are never integers.
                let tag = u16::from_le_bytes([format[0], format[1]]);
                ensure!(
                    matches!(tag, 3 | 0xfffe) && bits == 32,
                    "format {tag:#x} with {bits} bits is not float"
                );
            }
            b"data" => {
                ensure!(channels > 0, "data before fmt");
                let length = if announced == 0 { body.len() } else { announced.min(body.len()) };
                let (words, _) = body[..length].as_chunks::<4>();
                return Ok(Recording::new(
                    words.iter().map(|word| f32::from_le_bytes(*word)).collect(),
                    channels,
                ));
            }
            _ => {}
        }
        chunks = body.get(announced.next_multiple_of(2)..).unwrap_or_default();
    }
    bail!("no data chunk")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wav(data_length: u32, samples: &[f32]) -> Vec<u8> {
        let mut bytes = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x03\0\x02\0".to_vec();
        bytes.extend([0x80, 0xbb, 0, 0, 0, 0xdc, 5, 0, 8, 0, 32, 0]);
        bytes.extend(b"LIST\x03\0\0\0abc\0data");
        bytes.extend(data_length.to_le_bytes());
        bytes.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
        bytes
    }

    #[test]
    fn float_wav_is_read_finished_or_not() {
        let samples = [0.5, -0.25, 1.0, 0.0, 0.125];
        for announced in [0, 16, 4000] {
            let recording = parse_wav(&wav(announced, &samples)).expect("readable");
            assert_eq!((recording.frames(), recording.frame(1)), (2, &[1.0, 0.0][..]), "{announced}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let mut integers = wav(0, &[0.0]);
        integers[20] = 1;
        for bytes in [&b""[..], b"RIFF", b"RIFX\0\0\0\0WAVE", &integers, &wav(0, &[])[..50]] {
            assert!(parse_wav(bytes).is_err());
        }
    }

    #[test]
    fn network_integers_become_the_floats_they_stand_for() {
        let read = |bytes: &[u8], encoding| {
            let recording = Recording::from_network_bytes(bytes, encoding, 1);
            (0..recording.frames()).map(|at| recording.frame(at)[0]).collect::<Vec<f32>>()
        };
        let step = 1.0 / 8_388_608.0;
        assert_eq!(read(&[0x80, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff], Encoding::L24), [-1.0, step, -step]);
        assert_eq!(read(&[0xc0, 0, 0, 0, 0, 0, 1, 0], Encoding::L32), [-0.5, step]);
        assert_eq!(read(&[0x3f, 0x80, 0, 0, 8, 0, 0, 1], Encoding::AM824), [-1.0, step]);
    }
}
