use std::net::Ipv4Addr;

use anyhow::{Context, ensure};
use wireloom_wanted::Encoding;

use crate::comparison::Comparison;
use crate::peers::{RtpStream, gstreamer};
use crate::products::Products;
use crate::recording::Recording;
use crate::studio::Studio;
use crate::wait::{self, SOON};

/// Enough to cross a few stalls of the machine.
const FRAMES: usize = 96_000;

/// What GStreamer sends GStreamer receives, by multicast and unicast: sender, network and comparison tell the truth.
pub fn run(studio: &mut Studio, _: &Products) -> anyhow::Result<String> {
    let (a, b) = (studio.host("a")?, studio.host("b")?);
    let mut samples = 0;
    for (number, channels, encoding, address) in [
        (1, 2, Encoding::L24, Ipv4Addr::new(239, 69, 1, 1)),
        (2, 8, Encoding::L24, Ipv4Addr::new(239, 69, 1, 2)),
        (3, 2, Encoding::L16, b.address()),
    ] {
        let stream = RtpStream { address, encoding, ..RtpStream::standard(number, channels) };
        let file = b.directory().join(format!("{number}.raw"));
        let mut receiver = gstreamer::receiver(&b, &stream, &file)?;
        let mut sender = gstreamer::sender(&a, &stream)?;
        let bytes = FRAMES * channels * stream.bits() as usize / 8;
        wait::until(&format!("{FRAMES} frames of stream {number}"), 3 * SOON, || {
            receiver.is_alive()?;
            sender.is_alive()?;
            Ok(std::fs::metadata(&file).is_ok_and(|file| file.len() >= bytes as u64).then_some(()))
        })?;
        drop((receiver, sender));
        let recording = Recording::from_network_bytes(&std::fs::read(&file)?, stream.bits(), channels);
        let found =
            Comparison::new(&stream.code(), &recording).context("the signal is not in the recording")?;
        // Only a receiver that started late may miss something, and only at the beginning.
        ensure!(found.is_exact() && found.lead_in == 0, "stream {number}: {found}");
        samples += found.matched;
    }
    Ok(format!("{samples} samples"))
}
