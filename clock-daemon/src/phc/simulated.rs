//! A network card for tests.

use std::cell::Cell;
use std::io;

use wireloom_clock_page::ClockPair;

use super::{Phc, StampingDriver};
use crate::sys;

/// A network card with a clock that is some ppm off and is read with some delay.
#[derive(Debug, Clone)]
pub struct SimulatedCard {
    pub abilities: sys::StampingAbilities,
    pub config: Cell<sys::StampingConfig>,
    pub may_set: bool,
    /// CLOCK_MONOTONIC_RAW of the last reading; the next one is a second later.
    pub raw: i64,
    pub ppm: i64,
}

/// A card as /dev/ptp2 that nobody has read yet.
pub fn card() -> SimulatedCard {
    SimulatedCard {
        abilities: sys::StampingAbilities {
            so_timestamping: 0x5f,
            phc: 2,
            tx_types: 3,
            rx_filters: 1 << 12 | 3,
        },
        config: Cell::new(sys::StampingConfig { flags: 0, tx_type: 0, rx_filter: 0 }),
        may_set: true,
        raw: 0,
        ppm: -17,
    }
}

impl SimulatedCard {
    /// What the card's clock reads at `raw`: a thousand seconds ahead at first, then `ppm` faster.
    pub fn time_at(&self, raw: i64) -> i64 {
        let gained = i128::from(raw) * i128::from(self.ppm) / 1_000_000;
        1_000 * 1_000_000_000 + raw + gained as i64
    }
}

impl Phc for SimulatedCard {
    fn read(&mut self) -> io::Result<ClockPair> {
        self.raw += 1_000_000_000;
        Ok(ClockPair { clock: self.time_at(self.raw), raw: self.raw, span_ns: 900 })
    }
}

impl StampingDriver for SimulatedCard {
    fn abilities(&self, _: &str) -> io::Result<sys::StampingAbilities> {
        Ok(self.abilities)
    }

    fn config(&self, _: &str) -> io::Result<sys::StampingConfig> {
        Ok(self.config.get())
    }

    fn set_config(&self, _: &str, config: sys::StampingConfig) -> io::Result<sys::StampingConfig> {
        if !self.may_set {
            return Err(io::Error::from(io::ErrorKind::PermissionDenied));
        }
        self.config.set(config);
        Ok(config)
    }
}
