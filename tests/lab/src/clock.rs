use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use wireloom_clock_page::{Line, LineState, Reader, Source, raw_now};

use crate::host::Host;
use crate::process::Process;
use crate::products::Products;
use crate::wait;

/// `wireloom-clock` on a host of the studio.
#[derive(Debug)]
pub struct Clock {
    process: Process,
    page: PathBuf,
    domain: u8,
}

impl Clock {
    /// Starts a follower of `domain` that never leads.
    pub fn follower(host: &Host, products: &Products, domain: u8) -> anyhow::Result<Self> {
        Self::start(host, products, domain, "lead = \"never\"\n")
    }

    /// Starts a clock that always takes part in the election and runs `ppm` fast against this machine's oscillator.
    pub fn leader(
        host: &Host,
        products: &Products,
        domain: u8,
        priority1: u8,
        ppm: f64,
    ) -> anyhow::Result<Self> {
        let settings = format!(
            "lead = \"always\"\npriority1 = {priority1}\nsources = [ \"ptp\", \"free\" ]\n\
             log-announce-interval = 0\n\n[free]\nfrequency-offset-ppm = {ppm:?}\n"
        );
        Self::start(host, products, domain, &settings)
    }

    fn start(host: &Host, products: &Products, domain: u8, settings: &str) -> anyhow::Result<Self> {
        let file = host.directory().join("clock.conf");
        std::fs::write(&file, format!("domain = {domain}\ninterfaces = [ \"eth0\" ]\n{settings}"))?;
        let mut command = host.command(products.program("wireloom-clock"));
        command.arg("--config").arg(&file).arg("--state").arg(host.directory().join("clock-state.json"));
        let process = host.start("wireloom-clock", command)?;
        Ok(Self { process, page: host.file("/run/wireloom/clock"), domain })
    }

    /// The page that it publishes.
    pub fn page(&self) -> anyhow::Result<Reader> {
        Reader::open(&self.page).context("opening the clock page")
    }

    /// Its line of the network's time, as it is now.
    pub fn line(&self) -> anyhow::Result<Option<Line>> {
        Ok(self.page()?.line(Source::PtpV2(self.domain)))
    }

    /// Waits until its line of the network's time is in `state`.
    pub fn wait_for(&mut self, state: LineState, limit: Duration) -> anyhow::Result<Line> {
        let mut last = None;
        let found = wait::until(&format!("{state:?} of the clock"), limit, || {
            self.process.is_alive()?;
            last = self.line().ok().flatten();
            Ok(last.filter(|line| line.state == state))
        });
        found.with_context(|| format!("its line is {last:?}; it said:\n{}", self.process.log()))
    }

    /// The process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// How far the times of two hosts are apart, one value per 50 ms, in nanoseconds: what `follower` reads minus what
/// `reference` says at the same moment of the oscillator that all hosts of a studio share.
pub fn differences(
    values: usize,
    mut follower: impl FnMut() -> anyhow::Result<Line>,
    mut reference: impl FnMut(i64) -> anyhow::Result<i64>,
) -> anyhow::Result<Vec<i64>> {
    let mut differences = Vec::with_capacity(values);
    while differences.len() < values {
        let raw = raw_now();
        differences.push(follower()?.at(raw).as_nanos() - reference(raw)?);
        std::thread::sleep(Duration::from_millis(50));
    }
    differences.sort_unstable();
    Ok(differences)
}
