use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use wireloom_wanted::Encoding;

use crate::comparison::{Comparison, LEAD_IN, describe};
use crate::host::Host;
use crate::peers::tshark::{Capture, RtpFrame};
use crate::peers::{RtpStream, ffmpeg, gstreamer};
use crate::pipewire::PipeWireOptions;
use crate::process::Process;
use crate::products::Products;
use crate::scene;
use crate::studio::Studio;
use crate::timer::{BareTimer, STALL};
use crate::wait::{self, SOON};

/// Frames that are received; but for what comes before the signal they must be without any gap.
const FRAMES: usize = 140_000; // over a million samples of eight channels
/// Frames of the signal among these.
const LEAST: u64 = (FRAMES - LEAD_IN) as u64;
/// How often a machine that stalls may disturb a run.
const TRIES: usize = 5;
/// Packets that tshark decodes: a second.
const PACKETS: usize = 1000;

type Receiver = fn(&Host, &RtpStream, &Path) -> anyhow::Result<Process>;

/// What an application plays into a transmit node GStreamer and FFmpeg receive exactly; tshark reads every header.
pub fn run(studio: &mut Studio, products: &Products) -> anyhow::Result<String> {
    let (computer, stage) = (studio.host("computer")?, studio.host("stage")?);
    // GStreamer gives eight channels an order of its own.
    let receivers: [(Receiver, usize, Encoding); 6] = [
        (gstreamer::receiver, 2, Encoding::L24),
        (ffmpeg::receiver, 2, Encoding::L24),
        (ffmpeg::receiver, 8, Encoding::L24),
        (gstreamer::receiver, 2, Encoding::L16),
        (gstreamer::receiver, 2, Encoding::L32),
        (gstreamer::receiver, 2, Encoding::AM824),
    ];
    let mut remarks = Vec::new();
    for (number, (receiver, channels, encoding)) in (1..).zip(receivers) {
        let stream = RtpStream { encoding, ..RtpStream::standard(number, channels) };
        let id = format!("lab-{number}.rx");
        let nodes = BTreeMap::from([(id.clone(), scene::transmit_node(&stream, "Lab"))]);
        let mut graph = scene::start_module(&computer, products, &nodes, PipeWireOptions::default())?;
        let node = graph.wait_for_node(&format!("wireloom.{id}"), 0, channels, SOON)?;
        let (_player, player) = graph.player(products, "player", &stream.code())?;
        graph.link(&player, &node)?;
        let found = clean_run(&stage, &stream, receiver)
            .with_context(|| format!("{channels} channels of {encoding:?}"))?;
        remarks.push(format!("{} samples of {encoding:?} x {channels}", found.matched));
    }
    Ok(remarks.join(", "))
}

/// Receives until a run has no holes; one may have some when the machine stalled.
pub(super) fn clean_run(host: &Host, stream: &RtpStream, receiver: Receiver) -> anyhow::Result<Comparison> {
    for _ in 0..TRIES {
        let timer = BareTimer::start()?;
        let capture = Capture::start(host, stream, PACKETS)?;
        let found = receive(host, stream, receiver)?;
        let packets = capture.finish(SOON)?;
        // What never left is missing in the file without a trace, so that the code goes on further ahead.
        ensure!(found.wrong == 0 && found.slips.iter().all(|slip| slip.by > 0), "{found}");
        if found.is_exact(LEAST) {
            check_headers(&packets, stream)?;
            return Ok(found);
        }
        ensure!(
            timer.worst() > STALL,
            "a run that nothing disturbed for more than {:?}: {found}",
            timer.worst()
        );
    }
    bail!("the machine disturbed all of {TRIES} runs; there is nothing to judge by")
}

fn receive(host: &Host, stream: &RtpStream, receiver: Receiver) -> anyhow::Result<Comparison> {
    let file = host.directory().join("received.raw");
    let _ = std::fs::remove_file(&file);
    let mut receiver = receiver(host, stream, &file)?;
    let bytes = FRAMES * stream.frame_bytes();
    wait::until(&format!("receiving {FRAMES} frames"), 3 * SOON, || {
        receiver.is_alive()?;
        Ok(std::fs::metadata(&file).is_ok_and(|file| file.len() >= bytes as u64).then_some(()))
    })?;
    drop(receiver);
    let bytes = std::fs::read(&file)?;
    let (code, recording) = (stream.code(), stream.recording(&bytes));
    let found = Comparison::new(&code, &recording).with_context(|| describe(&code, &recording))?;
    if found.is_exact(LEAST) {
        stream.check_words(&bytes)?;
    }
    Ok(found)
}

/// Constant format and source, timestamps and sequence numbers without holes, marked as `aes67` asks.
fn check_headers(packets: &[RtpFrame], stream: &RtpStream) -> anyhow::Result<()> {
    let first = packets.first().context("tshark read no packet")?;
    let payload = stream.payload_bytes();
    ensure!(
        (first.payload_type, first.payload, first.ttl, first.dscp) == (stream.payload_type, payload, 32, 34),
        "a packet of {payload} octets, type {}, TTL 32, DSCP 34, not {first:?}",
        stream.payload_type,
    );
    for (packet, index) in packets.iter().zip(0_u32..) {
        let expected = RtpFrame {
            time: packet.time,
            sequence: first.sequence.wrapping_add(index as u16),
            timestamp: first.timestamp.wrapping_add(index * stream.samples_per_packet),
            ..first.clone()
        };
        ensure!(*packet == expected, "packet {index}: {expected:?}, not {packet:?}");
    }
    Ok(())
}
