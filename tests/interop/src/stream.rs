use std::io::Cursor;

use anyhow::Context;
use pipewire::context::ContextRc;
use pipewire::main_loop::MainLoopRc;
use pipewire::properties::properties;
use pipewire::spa::param::ParamType;
use pipewire::spa::param::audio::{AudioFormat, AudioInfoRaw};
use pipewire::spa::pod::serialize::PodSerializer;
use pipewire::spa::pod::{Object, Pod, Value};
use pipewire::spa::utils::{Direction, SpaTypes};
use pipewire::stream::{Stream, StreamFlags, StreamRc};

/// The rate of every graph in the lab.
pub const RATE: u32 = 48_000;
/// `SPA_AUDIO_CHANNEL_AUX0` (spa/param/audio/raw.h).
const AUX0: u32 = 0x1000;

/// What both roles have in common.
pub struct Client {
    /// `node.name`.
    pub name: String,
    /// How many channels.
    pub channels: u32,
    /// Frames of latency to ask for.
    pub latency: u32,
    /// `node.group`, if it has one.
    pub group: Option<String>,
}

impl Client {
    /// A stream that is not connected yet. Ports come from the stream itself, so no session manager is needed.
    pub fn stream(&self, main_loop: &MainLoopRc) -> anyhow::Result<StreamRc> {
        pipewire::init();
        let context = ContextRc::new(main_loop, None)?;
        let core = context.connect_rc(None).context("connecting to PipeWire")?;
        let mut properties = properties! {
            *pipewire::keys::NODE_NAME => self.name.as_str(),
            *pipewire::keys::MEDIA_TYPE => "Audio",
            *pipewire::keys::NODE_LATENCY => format!("{}/{RATE}", self.latency),
            "node.autoconnect" => "false",
            "adapter.auto-port-config" => "{ mode = dsp position = preserve }",
        };
        if let Some(group) = &self.group {
            properties.insert("node.group", group.as_str());
        }
        Ok(StreamRc::new(core, &self.name, properties)?)
    }

    /// Connects `stream`: 32-bit floats, interleaved, processed in the graph's own cycle.
    pub fn connect(&self, stream: &Stream, direction: Direction) -> anyhow::Result<()> {
        let mut info = AudioInfoRaw::new();
        info.set_format(AudioFormat::F32LE);
        info.set_rate(RATE);
        info.set_channels(self.channels);
        let mut position = [0; 64];
        for (channel, slot) in (0..self.channels).zip(&mut position) {
            *slot = AUX0 + channel;
        }
        info.set_position(position);
        let object = Object {
            type_: SpaTypes::ObjectParamFormat.as_raw(),
            id: ParamType::EnumFormat.as_raw(),
            properties: info.into(),
        };
        let (bytes, _) = PodSerializer::serialize(Cursor::new(Vec::new()), &Value::Object(object))?;
        let bytes = bytes.into_inner();
        let pod = Pod::from_bytes(&bytes).context("a serialised format is a pod")?;
        stream.connect(direction, None, StreamFlags::MAP_BUFFERS | StreamFlags::RT_PROCESS, &mut [pod])?;
        Ok(())
    }

    /// Octets of a frame.
    pub fn stride(&self) -> usize {
        self.channels as usize * size_of::<f32>()
    }
}

/// Follows the graph's position from cycle to cycle.
#[derive(Default)]
pub struct Position {
    next: Option<u64>,
}

impl Position {
    /// Jumps longer than this are a new position of the graph, not cycles that were missed.
    const LONGEST_MISS: u64 = 10 * RATE as u64;

    /// A cycle of `frames` frames begins at `ticks`; returns how many frames were missed before it.
    pub fn advance(&mut self, ticks: u64, frames: u64) -> u64 {
        let missed = self.next.map_or(0, |next| ticks.saturating_sub(next));
        self.next = Some(ticks + frames);
        if missed <= Self::LONGEST_MISS { missed } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missed_cycles_are_told_from_jumps() {
        let mut position = Position::default();
        assert_eq!(position.advance(1_000_000, 64), 0);
        assert_eq!(position.advance(1_000_064, 64), 0);
        assert_eq!(position.advance(1_000_256, 128), 128);
        assert_eq!(position.advance(1_000_384, 128), 0);
        assert_eq!(position.advance(500, 128), 0, "backwards");
        assert_eq!(position.advance(90_000_000_000, 128), 0, "another epoch");
    }
}
