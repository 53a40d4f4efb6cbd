//! The application's side: one stream that plays the signal, one that hears it.

use std::io::Cursor;
use std::sync::Arc;

use anyhow::Context;
use pipewire::core::CoreRc;
use pipewire::properties::properties;
use pipewire::spa::param::ParamType;
use pipewire::spa::param::audio::{AudioFormat, AudioInfoRaw};
use pipewire::spa::pod::serialize::PodSerializer;
use pipewire::spa::pod::{Object, Pod, Value};
use pipewire::spa::utils::{Direction, SpaTypes};
use pipewire::stream::{Stream, StreamFlags, StreamListener, StreamRc};

use crate::Arguments;
use crate::measure::{Comparer, Measurement};
use crate::signal;

/// `node.name` of the two.
pub const PLAYER: &str = "wireloom-selftest.player";
pub const RECORDER: &str = "wireloom-selftest.recorder";
/// `SPA_AUDIO_CHANNEL_AUX0` (spa/param/audio/raw.h).
const AUX0: u32 = 0x1000;

/// Plays: every sample tells at which position of the graph it was played.
pub fn player(core: &CoreRc, arguments: &Arguments) -> anyhow::Result<(StreamRc, StreamListener<()>)> {
    let (channels, quantum) = (arguments.channels, arguments.quantum);
    let stream = stream(core, PLAYER, arguments)?;
    let listener = stream
        .add_local_listener::<()>()
        .process(move |stream, ()| {
            let Ok(time) = stream.time() else { return };
            give(stream, time.ticks(), channels, quantum);
        })
        .register()?;
    connect(&stream, Direction::Output, arguments)?;
    Ok((stream, listener))
}

fn give(stream: &Stream, position: u64, channels: u32, quantum: u32) {
    let stride = 4 * channels as usize;
    let Some(mut buffer) = stream.dequeue_buffer() else { return };
    let requested = usize::try_from(buffer.requested()).unwrap_or(0);
    let Some(data) = buffer.datas_mut().first_mut() else { return };
    let Some(bytes) = data.data() else { return };
    let wanted = if requested == 0 { quantum as usize } else { requested };
    let frames = wanted.min(bytes.len() / stride);
    for (at, bytes) in (position..).zip(bytes.chunks_exact_mut(stride).take(frames)) {
        let (words, _) = bytes.as_chunks_mut::<4>();
        for (channel, word) in (0..).zip(words) {
            *word = signal::sample(at, channel).to_le_bytes();
        }
    }
    let chunk = data.chunk_mut();
    *chunk.offset_mut() = 0;
    *chunk.stride_mut() = stride as i32;
    *chunk.size_mut() = (frames * stride) as u32;
}

/// Hears, and compares at once.
pub fn recorder(
    core: &CoreRc,
    arguments: &Arguments,
    measurement: &Arc<Measurement>,
) -> anyhow::Result<(StreamRc, StreamListener<Comparer>)> {
    let (channels, measurement) = (arguments.channels, Arc::clone(measurement));
    let stream = stream(core, RECORDER, arguments)?;
    let listener = stream
        .add_local_listener_with_user_data(Comparer::default())
        .process(move |stream, comparer| {
            let Ok(time) = stream.time() else { return };
            measurement.cycle(time.rate().denom);
            let Some(mut buffer) = stream.dequeue_buffer() else { return };
            let Some(data) = buffer.datas_mut().first_mut() else { return };
            let (offset, size) = (data.chunk().offset() as usize, data.chunk().size() as usize);
            let Some(bytes) = data.data().and_then(|bytes| bytes.get(offset..offset + size)) else { return };
            let (words, _) = bytes.as_chunks::<4>();
            let samples = words.iter().map(|word| f32::from_le_bytes(*word));
            comparer.take(time.ticks(), samples, channels, &measurement);
        })
        .register()?;
    connect(&stream, Direction::Input, arguments)?;
    Ok((stream, listener))
}

fn stream(core: &CoreRc, name: &str, arguments: &Arguments) -> anyhow::Result<StreamRc> {
    let properties = properties! {
        *pipewire::keys::NODE_NAME => name,
        *pipewire::keys::NODE_DESCRIPTION => "Wireloom self-test",
        *pipewire::keys::MEDIA_TYPE => "Audio",
        *pipewire::keys::NODE_LATENCY => format!("{}/{}", arguments.quantum, arguments.rate),
        "node.rate" => format!("1/{}", arguments.rate),
        "node.autoconnect" => "false",
        // Ports come from the stream itself, so no session manager is needed.
        "adapter.auto-port-config" => "{ mode = dsp position = preserve }",
    };
    Ok(StreamRc::new(core.clone(), name, properties)?)
}

/// 32-bit floats, interleaved, processed in the graph's own cycle.
fn connect(stream: &Stream, direction: Direction, arguments: &Arguments) -> anyhow::Result<()> {
    let mut info = AudioInfoRaw::new();
    info.set_format(AudioFormat::F32LE);
    info.set_rate(arguments.rate);
    info.set_channels(arguments.channels);
    let mut position = [0; 64];
    for (channel, slot) in (0..arguments.channels).zip(&mut position) {
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
