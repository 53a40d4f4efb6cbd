use core::net::Ipv4Addr;

use wireloom_units::Nanos;

/// Bounds how often something is done for others: so many times a second for one address, so many for all.
#[derive(Debug)]
pub(super) struct Throttle {
    all: Window,
    sources: [Option<(Ipv4Addr, Window)>; SOURCES],
}

#[derive(Debug, Clone, Copy)]
struct Window {
    since: Nanos,
    count: u32,
}

impl Window {
    const fn new(now: Nanos) -> Self {
        Self { since: now, count: 0 }
    }

    fn renew(&mut self, now: Nanos) {
        if now.since(self.since) >= SECOND {
            *self = Self::new(now);
        }
    }
}

impl Throttle {
    pub(super) const fn new() -> Self {
        Self { all: Window::new(Nanos::ZERO), sources: [None; SOURCES] }
    }

    /// Whether it may be done for `source` now; counts it.
    pub(super) fn admits(&mut self, now: Nanos, source: Ipv4Addr) -> bool {
        self.all.renew(now);
        if self.all.count >= PER_SECOND {
            return false;
        }
        let Some(window) = self.window(now, source) else { return false };
        window.renew(now);
        if window.count >= PER_SECOND_AND_SOURCE {
            return false;
        }
        window.count += 1;
        self.all.count += 1;
        true
    }

    /// The window of `source`, in place of the one that is oldest when there is no room.
    fn window(&mut self, now: Nanos, source: Ipv4Addr) -> Option<&mut Window> {
        let known = self.sources.iter().position(|entry| entry.is_some_and(|(address, _)| address == source));
        let free = || {
            let age = |entry: &Option<(Ipv4Addr, Window)>| entry.map(|(_, window)| window.since);
            let oldest = self.sources.iter().enumerate().min_by_key(|(_, entry)| age(entry));
            oldest.map(|(index, _)| index)
        };
        let index = known.or_else(free)?;
        let entry = self.sources.get_mut(index)?;
        if known.is_none() {
            *entry = Some((source, Window::new(now)));
        }
        entry.as_mut().map(|(_, window)| window)
    }
}

const SECOND: Nanos = Nanos::from_secs(1);
const PER_SECOND: u32 = 100;
const PER_SECOND_AND_SOURCE: u32 = 10;
/// Sources told apart at a time; 32 × 24 octets. More of them in a second share what all may have.
const SOURCES: usize = 32;
