use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context, ensure};
use wireloom_wanted::Encoding;

use crate::comparison::Comparison;
use crate::host::Host;
use crate::peers::ptp4l::{self, Role};
use crate::peers::tshark::Capture;
use crate::peers::{RtpStream, ffmpeg, gstreamer};
use crate::process::Process;
use crate::products::Products;
use crate::studio::Studio;
use crate::wait::{self, SOON};

/// Enough to cross a few stalls of the machine.
const FRAMES: usize = 96_000;
/// Packets of one second.
const PACKETS: usize = 1000;

type Sender = fn(&Host, &RtpStream) -> anyhow::Result<Process>;
type Receiver = fn(&Host, &RtpStream, &Path) -> anyhow::Result<Process>;

/// What one peer sends the other receives, by multicast and unicast: senders, network and comparison tell the truth.
pub fn audio(studio: &mut Studio, _: &Products) -> anyhow::Result<String> {
    let (a, b) = (studio.host("a")?, studio.host("b")?);
    let mut samples = 0;
    let multicast = |number| Ipv4Addr::new(239, 69, 1, number);
    let runs: [(Sender, Receiver, usize, Encoding, Ipv4Addr); 7] = [
        (gstreamer::sender, gstreamer::receiver, 2, Encoding::L24, multicast(1)),
        (gstreamer::sender, ffmpeg::receiver, 8, Encoding::L24, multicast(2)),
        (gstreamer::sender, gstreamer::receiver, 2, Encoding::L16, b.address()),
        (gstreamer::sender, ffmpeg::receiver, 2, Encoding::L24, multicast(4)),
        (ffmpeg::sender, gstreamer::receiver, 2, Encoding::L24, multicast(5)),
        (gstreamer::sender, gstreamer::receiver, 2, Encoding::L32, multicast(6)),
        (gstreamer::sender, gstreamer::receiver, 2, Encoding::AM824, multicast(7)),
    ];
    for (number, (sender, receiver, channels, encoding, address)) in (1..).zip(runs) {
        let stream = RtpStream { address: address.into(), encoding, ..RtpStream::standard(number, channels) };
        samples += one_run(&a, &b, sender, receiver, &stream).with_context(|| format!("stream {number}"))?;
    }
    Ok(format!("{samples} samples"))
}

fn one_run(
    a: &Host,
    b: &Host,
    sender: Sender,
    receiver: Receiver,
    stream: &RtpStream,
) -> anyhow::Result<u64> {
    let file = b.directory().join("received.raw");
    let _ = std::fs::remove_file(&file);
    let mut receiver = receiver(b, stream, &file)?;
    let capture = Capture::start(b, stream, PACKETS)?;
    let mut sender = sender(a, stream)?;
    let bytes = FRAMES * stream.frame_bytes();
    wait::until(&format!("receiving {FRAMES} frames"), 3 * SOON, || {
        receiver.is_alive()?;
        sender.is_alive()?;
        Ok(std::fs::metadata(&file).is_ok_and(|file| file.len() >= bytes as u64).then_some(()))
    })?;
    drop((receiver, sender));
    for pair in capture.finish(SOON)?.windows(2) {
        let [first, second] = pair else { continue };
        let step = second.timestamp.wrapping_sub(first.timestamp);
        let expected = stream.payload_bytes();
        ensure!(
            step == stream.samples_per_packet
                && first.payload == expected
                && first.payload_type == stream.payload_type,
            "a packet of {expected} octets a timestamp step of {}, not {first:?} and {second:?}",
            stream.samples_per_packet,
        );
    }
    let recording = stream.recording(&std::fs::read(&file)?);
    let found = Comparison::new(&stream.code(), &recording).context("the signal is not in the recording")?;
    // Only a receiver that started late may miss something, and only at the beginning.
    ensure!(found.is_exact(FRAMES as u64) && found.lead_in == 0, "{found}");
    Ok(found.matched)
}

/// A ptp4l follower measures its offset from a ptp4l leader.
pub fn clock(studio: &mut Studio, _: &Products) -> anyhow::Result<String> {
    let (a, b) = (studio.host("a")?, studio.host("b")?);
    let mut leader = ptp4l::start(&a, 0, Role::Leader { priority: 100 })?;
    let mut follower = ptp4l::start(&b, 0, Role::Follower)?;
    leader.says("assuming the grand master role", SOON)?;
    // A free-running follower measures and never says that it locked.
    follower.says("selected best master clock 00005e.fffe.005301", SOON)?;
    follower.says("master offset", SOON)?;
    Ok("ptp4l follows ptp4l".to_owned())
}
