use anyhow::{Context, ensure};

use crate::comparison::Comparison;
use crate::pipewire::{PipeWire, PipeWireOptions};
use crate::products::Products;
use crate::signal::PositionCode;
use crate::studio::Studio;
use crate::wait::SOON;

/// Long enough for many cycles of any length.
const FRAMES: u64 = 48_000;

/// A file that one client plays arrives bit-exact in what another client records: daemon, links and recorder neither
/// scale nor resample.
pub fn run(studio: &mut Studio, _: &Products) -> anyhow::Result<String> {
    let host = studio.host("a")?;
    let mut graph = PipeWire::start(&host, &PipeWireOptions::default())?;
    let code = PositionCode::new(24, 2);
    let file = host.directory().join("signal.wav");
    std::fs::write(&file, wav(&code, 20 * FRAMES))?;
    let mut recorder = graph.recorder("recorder", 2, SOON)?;
    let arguments = [
        "--target",
        "0",
        "-P",
        "{ node.name = player adapter.auto-port-config = { mode = dsp position = preserve } }",
    ];
    let _player = host.spawn("pw-play", arguments.iter().map(AsRef::as_ref).chain([file.as_os_str()]))?;
    let player = graph.wait_for_node("player", 2, 0, SOON)?;
    graph.link(&player, &recorder.node.clone())?;
    recorder.record(FRAMES, |_| {})?;
    let found = Comparison::new(&code, &recorder.finish()?).context("the signal is not in the recording")?;
    // The daemon itself drops cycles on a machine that stalls; what it passes on is exact.
    ensure!(found.wrong == 0, "{found}");
    Ok(found.to_string())
}

/// A finished WAV file of 24-bit integers.
fn wav(code: &PositionCode, frames: u64) -> Vec<u8> {
    let channels = code.channels() as u16;
    let size = frames as u32 * u32::from(channels) * 3;
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((size + 36).to_le_bytes());
    bytes.extend(b"WAVEfmt \x10\0\0\0\x01\0");
    bytes.extend(channels.to_le_bytes());
    bytes.extend(48_000_u32.to_le_bytes());
    bytes.extend((48_000 * u32::from(channels) * 3).to_le_bytes());
    bytes.extend((channels * 3).to_le_bytes());
    bytes.extend(24_u16.to_le_bytes());
    bytes.extend(b"data");
    bytes.extend(size.to_le_bytes());
    for frame in 0..frames {
        for channel in 0..code.channels() {
            bytes.extend(&code.sample(frame, channel).to_le_bytes()[..3]);
        }
    }
    bytes
}
