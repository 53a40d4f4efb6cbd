//! Reading PTP hardware clocks. They are read, never set.

use std::fs::File;
use std::io;

use wireloom_clock_page::{ClockPair, raw_now, realtime_raw_pair};

use crate::sys;

#[cfg(test)]
pub mod simulated;

/// A hardware clock that can be compared with CLOCK_MONOTONIC_RAW.
pub trait Phc {
    /// Reads both clocks as nearly at the same moment as the hardware allows.
    fn read(&mut self) -> io::Result<ClockPair>;
}

/// /dev/ptpN by the best method that its driver has.
#[derive(Debug)]
pub struct KernelPhc {
    device: File,
    method: Method,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    /// The hardware captures both clocks at once.
    Precise,
    /// The driver reads the system clock close around the register.
    Extended,
    /// System calls around a system call.
    Plain,
}

impl KernelPhc {
    /// Opens /dev/ptp`number` for reading.
    pub fn open(number: u8) -> io::Result<Self> {
        let device = File::open(format!("/dev/ptp{number}"))?;
        Ok(Self { device, method: Method::Precise })
    }

    fn read_by(&self, method: Method) -> io::Result<ClockPair> {
        match method {
            Method::Precise => {
                let (clock, raw) = sys::precise_offset(&self.device)?;
                Ok(ClockPair { clock, raw, span_ns: 0 })
            }
            Method::Extended => {
                let triples = sys::extended_offsets(&self.device)?;
                best_triple(&triples, realtime_raw_pair()).ok_or_else(|| io::Error::other("no usable sample"))
            }
            Method::Plain => {
                let clock_id = sys::clock_of(&self.device);
                let mut best: Option<ClockPair> = None;
                for _ in 0..10 {
                    let before = raw_now();
                    let clock = sys::read_clock(clock_id)?;
                    let span = raw_now().saturating_sub(before).max(0);
                    let pair = ClockPair { clock, raw: before + span / 2, span_ns: span.cast_unsigned() };
                    if best.is_none_or(|other| pair.span_ns < other.span_ns) {
                        best = Some(pair);
                    }
                }
                best.ok_or_else(|| io::Error::other("no usable sample"))
            }
        }
    }
}

impl Phc for KernelPhc {
    fn read(&mut self) -> io::Result<ClockPair> {
        for (method, next) in [(Method::Precise, Method::Extended), (Method::Extended, Method::Plain)] {
            if self.method == method {
                match self.read_by(method) {
                    Ok(pair) => return Ok(pair),
                    Err(_) => self.method = next, // this driver or kernel does not have it
                }
            }
        }
        self.read_by(Method::Plain)
    }
}

/// The tightest of (CLOCK_REALTIME, device, CLOCK_REALTIME), brought to CLOCK_MONOTONIC_RAW by `now`.
fn best_triple(triples: &[[i64; 3]], now: ClockPair) -> Option<ClockPair> {
    let spans = triples.iter().filter_map(|[before, device, after]| {
        let span = u64::try_from(after.checked_sub(*before)?).ok()?;
        Some(ClockPair {
            clock: *device,
            raw: before.saturating_add((span / 2).cast_signed()).saturating_sub(now.offset()),
            span_ns: span.saturating_add(now.span_ns),
        })
    });
    spans.min_by_key(|pair| pair.span_ns)
}

/// Whether an interface's packets are stamped by its own clock or by the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stamping {
    /// By the kernel, in CLOCK_REALTIME.
    Software(WhySoftware),
    /// By the interface, in the time of this PHC.
    Hardware(u8),
}

/// Why an interface's own stamps are not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhySoftware {
    /// The settings say so.
    Unwanted,
    /// The interface has no clock, or does not stamp PTP in both directions.
    Unable,
    /// Stamping is off, and switching it on was refused: it needs CAP_NET_ADMIN.
    NotPermitted,
}

impl WhySoftware {
    /// The reason as a sentence's end.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Unwanted => "hardware-timestamps is off",
            Self::Unable => "the interface does not stamp PTP packets in hardware",
            Self::NotPermitted => {
                "the interface's stamping is off and switching it on needs CAP_NET_ADMIN (see wireloom-clock(8))"
            }
        }
    }
}

/// What an interface's driver says about hardware stamps.
pub trait StampingDriver {
    /// What it can do.
    fn abilities(&self, interface: &str) -> io::Result<sys::StampingAbilities>;
    /// What it does.
    fn config(&self, interface: &str) -> io::Result<sys::StampingConfig>;
    /// Changes what it does.
    fn set_config(&self, interface: &str, config: sys::StampingConfig) -> io::Result<sys::StampingConfig>;
}

const TX_HARDWARE_RX_HARDWARE_RAW: u32 = 1 | 4 | 0x40;
const FILTER_ALL: i32 = 1;
const FILTER_PTP_V2_L4: i32 = 6;
const FILTER_PTP_V2: i32 = 12;
/// What to ask for, the narrowest first: stamping everything costs some cards packets.
const FILTERS: [i32; 3] = [FILTER_PTP_V2, FILTER_PTP_V2_L4, FILTER_ALL];

/// Decides how `interface` is stamped, and switches its stamping on if it is not and that is allowed.
///
/// A setting that already serves us is left alone: there is one per interface, shared by all programs.
pub fn choose_stamping(driver: &impl StampingDriver, interface: &str, wanted: bool) -> Stamping {
    if !wanted {
        return Stamping::Software(WhySoftware::Unwanted);
    }
    let Ok(abilities) = driver.abilities(interface) else { return Stamping::Software(WhySoftware::Unable) };
    let Ok(phc) = u8::try_from(abilities.phc) else { return Stamping::Software(WhySoftware::Unable) };
    let has = |bits: u32, bit: i32| bits >> bit & 1 == 1;
    if abilities.so_timestamping & TX_HARDWARE_RX_HARDWARE_RAW != TX_HARDWARE_RX_HARDWARE_RAW
        || !has(abilities.tx_types, 1)
    {
        return Stamping::Software(WhySoftware::Unable);
    }
    let serves = |config: sys::StampingConfig| config.tx_type == 1 && FILTERS.contains(&config.rx_filter);
    if driver.config(interface).is_ok_and(serves) {
        return Stamping::Hardware(phc);
    }
    let mut refusal = WhySoftware::Unable;
    for rx_filter in FILTERS.into_iter().filter(|filter| has(abilities.rx_filters, *filter)) {
        match driver.set_config(interface, sys::StampingConfig { flags: 0, tx_type: 1, rx_filter }) {
            Ok(config) if serves(config) => return Stamping::Hardware(phc),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                refusal = WhySoftware::NotPermitted;
            }
            _ => {}
        }
    }
    Stamping::Software(refusal)
}

/// The kernel's drivers, asked through any socket.
#[derive(Debug)]
pub struct KernelDriver<'a>(pub &'a socket2::Socket);

impl StampingDriver for KernelDriver<'_> {
    fn abilities(&self, interface: &str) -> io::Result<sys::StampingAbilities> {
        sys::stamping_abilities(self.0, interface)
    }

    fn config(&self, interface: &str) -> io::Result<sys::StampingConfig> {
        sys::stamping_config(self.0, interface)
    }

    fn set_config(&self, interface: &str, config: sys::StampingConfig) -> io::Result<sys::StampingConfig> {
        sys::set_stamping_config(self.0, interface, config)
    }
}

#[cfg(test)]
mod tests {
    use super::simulated::{SimulatedCard, card};
    use super::*;
    use crate::tracker::Tracker;
    use wireloom_clock_page::Source;

    #[test]
    fn hardware_stamps_come_back_to_the_base_through_the_cards_clock() {
        let mut card = card();
        let mut tracker = Tracker::new(Source::Phc(2));
        for _ in 0..10 {
            tracker.handle_reading(card.read().expect("simulated"));
        }
        // A packet arrives half a second after the last reading; the card stamps it in its own time.
        let arrival = card.raw + 500_000_000;
        let line = tracker.line().expect("fed");
        let found = line.raw_of(wireloom_units::TaiTime::from_nanos(card.time_at(arrival)));
        assert!((found - arrival).abs() <= 2, "{found} instead of {arrival}");
        assert_eq!(line.frequency().ppb(), -17_000);
    }

    #[test]
    fn stamping_is_switched_on_where_the_card_can() {
        let card = card();
        assert_eq!(choose_stamping(&card, "eth0", true), Stamping::Hardware(2));
        assert_eq!(card.config.get(), sys::StampingConfig { flags: 0, tx_type: 1, rx_filter: FILTER_PTP_V2 });
    }

    #[test]
    fn a_setting_of_another_program_that_serves_is_left_alone() {
        let card = SimulatedCard { may_set: false, ..card() };
        let theirs = sys::StampingConfig { flags: 0, tx_type: 1, rx_filter: FILTER_ALL };
        card.config.set(theirs);
        assert_eq!(choose_stamping(&card, "eth0", true), Stamping::Hardware(2));
        assert_eq!(card.config.get(), theirs);
    }

    #[test]
    fn without_clock_or_permission_the_kernel_stamps() {
        let refused = SimulatedCard { may_set: false, ..card() };
        let why = |card: &SimulatedCard, wanted| choose_stamping(card, "eth0", wanted);
        assert_eq!(why(&refused, true), Stamping::Software(WhySoftware::NotPermitted));
        assert_eq!(why(&card(), false), Stamping::Software(WhySoftware::Unwanted));
        let mut without = card();
        without.abilities.phc = -1;
        assert_eq!(why(&without, true), Stamping::Software(WhySoftware::Unable));
        let mut receive_only = card();
        receive_only.abilities.tx_types = 1;
        assert_eq!(why(&receive_only, true), Stamping::Software(WhySoftware::Unable));
    }

    #[test]
    fn the_tightest_triple_wins_and_broken_ones_are_left_out() {
        let now = ClockPair { clock: 1_000, raw: 100, span_ns: 10 };
        let triples = [[2_000, 7_000, 2_900], [3_000, 8_000, 3_100], [5_000, 9_000, 4_000]];
        let best = best_triple(&triples, now).expect("two are usable");
        assert_eq!(best, ClockPair { clock: 8_000, raw: 2_150, span_ns: 110 });
        assert_eq!(best_triple(&[[5, 0, 4]], now), None);
    }
}
