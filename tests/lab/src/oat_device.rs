//! A simulated device of OpenAudioTools on a host of the studio: its process, and what it played.

use anyhow::{Context, bail, ensure};
use wireloom_wanted::Encoding;

use crate::comparison::{Comparison, LEAD_IN};
use crate::host::Host;
use crate::peers::RtpStream;
use crate::process::Process;
use crate::products::Products;
use crate::recording::Recording;
use crate::timer::{BareTimer, STALL};
use crate::wait::{self, SOON};

/// Octets of one frame that an input plays: two channels of 24 bits.
const FRAME: u64 = 6;

/// A running device.
pub struct OatDevice<'a> {
    host: &'a Host,
    /// Its process.
    pub process: Process,
}

impl<'a> OatDevice<'a> {
    /// Starts one that calls itself `name` on the network, with these ports. Errors: it does not get ready.
    pub fn start(
        host: &'a Host,
        products: &Products,
        name: &str,
        arguments: &[&str],
    ) -> anyhow::Result<Self> {
        let mut command = host.device_command(products.program("wireloom-oat-device"));
        command.args(["--address", &host.address().to_string(), "--host", name]);
        command.args(arguments).arg("--record").arg(host.directory());
        let mut process = host.start(name, command)?;
        process.says("ready", SOON)?;
        Ok(Self { host, process })
    }

    /// Plays so many frames, as in [`OatDevice::play`], until a run is exact. Errors: a run that is not although a bare
    /// timer beside it was in time; all of `tries` runs were disturbed.
    pub fn play_exactly(
        &mut self,
        input: &str,
        frames: u64,
        tries: usize,
        mut others: impl FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<Comparison> {
        for _ in 0..tries {
            let timer = BareTimer::start()?;
            let found = self.play(input, frames, |_| {}, &mut others)?;
            if found.is_exact(frames) {
                return Ok(found);
            }
            let worst = timer.worst();
            ensure!(worst > STALL, "a run in which a bare timer was {worst:?} late at most: {found}");
        }
        bail!("the machine disturbed all of {tries} runs; there is nothing to judge by")
    }

    /// Waits until the stereo input of this name has played so many frames more, besides a [`LEAD_IN`], and compares
    /// them with the standard signal. Where a program plays it in a PipeWire, a stall of the machine may make it wrong
    /// before it is sent, so only a run that nothing disturbed shows anything. Errors: it plays nothing, or not that
    /// signal, or it is not the input of two channels.
    pub fn play(
        &mut self,
        input: &str,
        frames: u64,
        progress: impl Fn(u64),
        mut others: impl FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<Comparison> {
        let file = self.host.directory().join(format!("{input}.l24"));
        let length = || std::fs::metadata(&file).map_or(0, |file| file.len());
        let start = length() / FRAME;
        let mut last = start;
        while last < start + frames + LEAD_IN as u64 {
            last = wait::until(&format!("{input} playing beyond frame {last}"), SOON, || {
                others()?;
                self.process.is_alive()?;
                let now = length() / FRAME;
                Ok((now > last).then_some(now))
            })?;
            progress((last - start).min(frames));
        }
        let bytes = std::fs::read(&file)?;
        let (start, end) = ((start * FRAME) as usize, (last * FRAME) as usize);
        let played = bytes.get(start..end).context("the file of what was played shrank")?;
        let recording = Recording::from_network_bytes(played, Encoding::L24, 2);
        Comparison::new(&RtpStream::standard(1, 2).code(), &recording)
            .context("the signal is not in what the device played")
    }
}
