//! This computer's clocks: what they read against CLOCK_MONOTONIC_RAW, and stamps brought to it.

use std::collections::BTreeMap;

use wireloom_clock_page::{ClockPair, Line, Source, raw_now, realtime_raw_pair};
use wireloom_units::TaiTime;

use crate::control_message::Stamps;
use crate::phc::{KernelPhc, Phc, Stamping};
use crate::stamps::StampConverter;
use crate::sys;
use crate::tracker::Tracker;

/// All clocks of this computer that matter here.
pub struct Clocks {
    /// Kernel stamps to CLOCK_MONOTONIC_RAW.
    pub converter: StampConverter,
    phcs: BTreeMap<u8, (Box<dyn Phc>, Tracker)>,
    system: Option<Tracker>,
    utc_offset: i16,
    suspended: i64,
}

impl Clocks {
    /// The clocks; the system's is followed when `follow_system`.
    pub fn new(utc_offset: i16, follow_system: bool) -> Self {
        Self {
            converter: StampConverter::default(),
            phcs: BTreeMap::new(),
            system: follow_system.then(|| Tracker::new(Source::System)),
            utc_offset,
            suspended: suspended_time(),
        }
    }

    /// Opens /dev/ptp`number`, unless it is open, and follows it from now on.
    pub fn follow_phc(&mut self, number: u8) {
        if self.phcs.contains_key(&number) {
            return;
        }
        match KernelPhc::open(number) {
            Ok(device) => self.follow(number, Box::new(device)),
            Err(error) => tracing::warn!(device = %format!("/dev/ptp{number}"), %error, "cannot read"),
        }
    }

    /// Follows `device` from now on, as /dev/ptp`number`.
    pub fn follow(&mut self, number: u8, device: Box<dyn Phc>) {
        self.phcs.insert(number, (device, Tracker::new(Source::Phc(number))));
    }

    /// Reads every clock that is followed; due once a second.
    pub fn read(&mut self) {
        for (number, (device, tracker)) in &mut self.phcs {
            match device.read() {
                Ok(reading) => tracker.handle_reading(reading),
                Err(error) => {
                    tracing::debug!(device = %format!("/dev/ptp{number}"), %error, "cannot be read now");
                    tracker.handle_loss();
                }
            }
        }
        let reading = self.system_tai().0;
        if let Some(tracker) = &mut self.system {
            tracker.handle_reading(reading);
        }
    }

    /// The lines of all clocks that are followed.
    pub fn lines(&self) -> impl Iterator<Item = &Line> {
        self.phcs.values().map(|(_, tracker)| tracker).chain(&self.system).filter_map(Tracker::line)
    }

    /// The system's TAI against CLOCK_MONOTONIC_RAW, and whether the kernel knows the offset from UTC.
    pub fn system_tai(&self) -> (ClockPair, bool) {
        // The first tries run into cold caches and page faults, worth tens of µs.
        let tries = std::iter::repeat_with(realtime_raw_pair).take(4);
        let pair = tries.min_by_key(|pair| pair.span_ns).unwrap_or_else(realtime_raw_pair);
        let known = kernel_utc_offset();
        let offset = known.unwrap_or(self.utc_offset);
        let clock = pair.clock.saturating_add(i64::from(offset) * 1_000_000_000);
        (ClockPair { clock, ..pair }, known.is_some())
    }

    /// When a message came or left, in CLOCK_MONOTONIC_RAW, by the stamps that were just read.
    pub fn moment(&mut self, stamping: Stamping, stamps: Stamps) -> Option<i64> {
        match stamping {
            Stamping::Software(_) => self.converter.convert(stamps.software?, realtime_raw_pair()),
            Stamping::Hardware(number) => {
                let line = self.phcs.get(&number)?.1.line()?;
                let raw = line.raw_of(TaiTime::from_nanos(stamps.hardware?));
                // A stamp of another second is one of before the card's clock was set.
                let age = raw_now().saturating_sub(raw);
                (-1_000_000..1_000_000_000).contains(&age).then_some(raw)
            }
        }
    }

    /// Nanoseconds that the computer slept since the last call; CLOCK_MONOTONIC_RAW stood still meanwhile.
    pub fn slept(&mut self) -> Option<i64> {
        let now = suspended_time();
        let slept = now.saturating_sub(self.suspended);
        // Reading two clocks one after the other is good to a few µs, unless it is interrupted: then the
        // difference is gone the next time, because the sum is compared, not the change.
        if slept <= 1_000_000 {
            return None;
        }
        let again = suspended_time().saturating_sub(self.suspended);
        if again <= 1_000_000 {
            return None;
        }
        self.suspended = self.suspended.saturating_add(again);
        Some(again)
    }
}

/// How long the computer has slept since it was started, in nanoseconds.
fn suspended_time() -> i64 {
    // The order makes an interruption count as negative.
    let boot = sys::read_clock(libc::CLOCK_BOOTTIME).unwrap_or(0);
    boot.saturating_sub(sys::read_clock(libc::CLOCK_MONOTONIC).unwrap_or(boot))
}

/// TAI − UTC as the kernel knows it; `None` when nobody told the kernel.
fn kernel_utc_offset() -> Option<i16> {
    let tai = sys::read_clock(libc::CLOCK_TAI).ok()?;
    let realtime = sys::read_clock(libc::CLOCK_REALTIME).ok()?;
    let seconds = tai.saturating_sub(realtime).saturating_add(500_000_000).div_euclid(1_000_000_000);
    i16::try_from(seconds).ok().filter(|seconds| *seconds != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phc::WhySoftware;
    use crate::phc::simulated::{SimulatedCard, card};

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn software_stamps_of_this_moment_are_now() {
        let mut clocks = Clocks::new(37, true);
        let stamps = Stamps { software: Some(realtime_raw_pair().clock), hardware: None };
        let before = raw_now();
        let moment = clocks.moment(Stamping::Software(WhySoftware::Unwanted), stamps);
        // Interrupted for longer than a stamp may be old, there is none; else it lies within what has passed.
        if let Some(moment) = moment {
            assert!((before - 1_000_000_000..=raw_now()).contains(&moment));
        }
        assert_eq!(clocks.moment(Stamping::Hardware(0), stamps), None);
    }

    #[test]
    fn a_cards_stamp_is_the_moment_at_which_its_clock_read_so() {
        let card = SimulatedCard { raw: raw_now() - 8 * SECOND, ..card() };
        let mut clocks = Clocks::new(37, false);
        clocks.follow(2, Box::new(card.clone()));
        let stamped = |raw| Stamps { software: None, hardware: Some(card.time_at(raw)) };
        assert_eq!(clocks.moment(Stamping::Hardware(2), stamped(raw_now())), None, "not read yet");
        for _ in 0..8 {
            clocks.read();
        }
        // Once more when interrupted for longer than a stamp may be old.
        let found = (0..100).find_map(|_| {
            let arrival = raw_now() - 3_000_000;
            Some((arrival, clocks.moment(Stamping::Hardware(2), stamped(arrival))?))
        });
        let (arrival, moment) = found.expect("converted");
        assert!((moment - arrival).abs() <= 2, "{moment} instead of {arrival}");

        let mut refused =
            |number, stamps| assert_eq!(clocks.moment(Stamping::Hardware(number), stamps), None);
        refused(2, stamped(raw_now() - 2 * SECOND));
        refused(2, stamped(raw_now() + 3_600 * SECOND));
        refused(2, Stamps { software: Some(card.time_at(raw_now())), hardware: None });
        refused(3, stamped(raw_now()));
    }

    #[test]
    fn the_system_is_followed_as_tai() {
        let mut clocks = Clocks::new(37, true);
        clocks.read();
        let (pair, known) = clocks.system_tai();
        let line = clocks.lines().next().expect("the system's");
        let difference = line.at(pair.raw).as_nanos() - pair.clock;
        assert!(difference.abs() < 1_000_000_000, "{difference}");
        if !known {
            let utc = realtime_raw_pair();
            assert_eq!((pair.offset() - utc.offset() + 500_000_000).div_euclid(1_000_000_000), 37);
        }
        assert_eq!(Clocks::new(37, false).lines().count(), 0);
        assert_eq!(clocks.slept(), None, "this computer was not suspended during the test");
    }
}
