use std::io::{ErrorKind, Write};
use std::time::Duration;

use anyhow::ensure;
use wireloom_clock_page::raw_now;

/// Writes the packets of `packet` frames that `bytes` makes, by their first frame, until nobody reads.
pub fn run(bytes: impl Fn(u64) -> Vec<u8>, packet: usize, ppm: f64) -> anyhow::Result<()> {
    ensure!((1..=4800).contains(&packet), "a packet has 1 to 4800 frames, not {packet}");
    ensure!(ppm.abs() < 1000.0, "a clock that is {ppm} ppm off is none");
    let frame_ns = 1e9 / 48_000.0 / (1.0 + ppm * 1e-6);
    let mut output = std::io::stdout().lock();
    let start = raw_now();
    let mut frame = 0;
    loop {
        let written = output.write_all(&bytes(frame)).and_then(|()| output.flush());
        match written {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            other => other?,
        }
        frame += packet as u64;
        let due = start + (frame as f64 * frame_ns) as i64;
        std::thread::sleep(Duration::from_nanos(u64::try_from(due - raw_now()).unwrap_or(0)));
    }
}
