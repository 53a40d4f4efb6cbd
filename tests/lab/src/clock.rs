use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use wireloom_clock_page::{Line, LineState, Reader, Source, raw_now};
use wireloom_units::ClockIdentity;

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
    /// When it was started, in nanoseconds of CLOCK_MONOTONIC_RAW.
    started: i64,
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
        Self::patient_leader(host, products, domain, priority1, ppm, 3)
    }

    /// The same; it misses `patience` announcements of a better leader, one a second, before it leads instead.
    pub fn patient_leader(
        host: &Host,
        products: &Products,
        domain: u8,
        priority1: u8,
        ppm: f64,
        patience: u8,
    ) -> anyhow::Result<Self> {
        let settings = format!(
            "lead = \"always\"\npriority1 = {priority1}\nsources = [ \"ptp\", \"free\" ]\n\
             log-announce-interval = 0\nannounce-receipt-timeout = {patience}\n\n\
             [free]\nfrequency-offset-ppm = {ppm:?}\n"
        );
        Self::start(host, products, domain, &settings)
    }

    fn start(host: &Host, products: &Products, domain: u8, settings: &str) -> anyhow::Result<Self> {
        let file = host.directory().join("clock.conf");
        std::fs::write(&file, format!("domain = {domain}\ninterfaces = [ \"eth0\" ]\n{settings}"))?;
        let mut command = host.command(products.program("wireloom-clock"));
        command.arg("--config").arg(&file).arg("--state").arg(host.directory().join("clock-state.json"));
        let started = raw_now();
        let process = host.start("wireloom-clock", command)?;
        Ok(Self { process, page: host.file("/run/wireloom/clock"), domain, started })
    }

    /// The page that it publishes.
    pub fn page(&self) -> anyhow::Result<Reader> {
        Reader::open(&self.page).context("opening the clock page")
    }

    /// Its line of the network's time, as it is now. What a service left that was killed before it is not its.
    pub fn line(&self) -> anyhow::Result<Option<Line>> {
        let page = self.page()?;
        let is_its_own = page.heartbeat().is_some_and(|beat| beat >= self.started);
        Ok(is_its_own.then(|| page.line(Source::PtpV2(self.domain))).flatten())
    }

    /// Waits until its line of the network's time is in `state`.
    pub fn wait_for(&mut self, state: LineState, limit: Duration) -> anyhow::Result<Line> {
        self.wait(&format!("{state:?} of the clock"), limit, |line| line.state == state)
    }

    /// Waits until it is locked to `leader`.
    pub fn wait_to_follow(&mut self, leader: ClockIdentity, limit: Duration) -> anyhow::Result<Line> {
        let fits = |line: &Line| line.state == LineState::Locked && line.leader == leader;
        self.wait(&format!("a clock locked to {leader}"), limit, fits)
    }

    fn wait(&mut self, what: &str, limit: Duration, fits: impl Fn(&Line) -> bool) -> anyhow::Result<Line> {
        let mut last = None;
        let found = wait::until(what, limit, || {
            self.process.is_alive()?;
            last = self.line().ok().flatten();
            Ok(last.filter(&fits))
        });
        found.with_context(|| format!("its line is {last:?}; it said:\n{}", self.process.log()))
    }

    /// Everything it said so far.
    pub fn log(&self) -> String {
        self.process.log()
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
