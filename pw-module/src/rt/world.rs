//! All that the data loop owns besides the nodes themselves.

use wireloom_clock_page::{Reader, monotonic_now, monotonic_raw_pair, realtime_raw_pair};
use wireloom_units::Rate;

use super::cycles::{Action, Cycles};
use super::{ClockStatus, GraphClock, Pacer};
use crate::ffi::{ClockArea, Inbox, Position, TimerFd};

/// The rate that is counted while the graph has not said one.
const DEFAULT_FRAMES: u32 = 1024;

/// The clock, the driver's place, the pacer and memory for packets.
pub(crate) struct World {
    clock: GraphClock,
    cycles: Cycles,
    driver_timer: TimerFd,
    driver_id: u32,
    pacer: Pacer,
    inbox: Inbox,
    arrivals: ArrivalMap,
    /// Start of the cycle of another driver for which the clock was looked after.
    followed: u64,
    /// Node cycles until the panic that a test asked for; 0: none.
    panic_in: u64,
}

/// Turns the kernel's packet timestamps into positions of the running cycle's clock.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ArrivalMap {
    cycle: (u32, u64),
    realtime: i64,
    index: u64,
    samples_per_ns: f64,
}

impl ArrivalMap {
    /// The sample of the graph that was current when the kernel took the packet at `realtime`.
    pub(crate) fn index_at(&self, realtime: i64) -> wireloom_units::MediaIndex {
        let samples = (realtime - self.realtime) as f64 * self.samples_per_ns;
        wireloom_units::MediaIndex(self.index).offset_by(samples as i64)
    }
}

impl World {
    /// A world whose clock runs free.
    pub(crate) fn new(clock: GraphClock, driver_timer: TimerFd, pacer: Pacer) -> Self {
        Self {
            clock,
            cycles: Cycles::default(),
            driver_timer,
            driver_id: u32::MAX,
            pacer,
            inbox: Inbox::new(),
            arrivals: ArrivalMap::default(),
            followed: 0,
            panic_in: 0,
        }
    }

    pub(crate) fn driver_timer(&self) -> &TimerFd {
        &self.driver_timer
    }

    pub(crate) fn pacer_timer(&self) -> &TimerFd {
        self.pacer.timer()
    }

    /// Panics in the `cycle`th node cycle from now on.
    pub(crate) fn panic_in(&mut self, cycle: u64) {
        self.panic_in = cycle;
    }

    /// Counts a node's cycle, and panics if it is the one.
    pub(crate) fn count_cycle(&mut self) {
        if self.panic_in > 0 {
            self.panic_in -= 1;
            assert!(self.panic_in > 0, "the panic that a test asked for");
        }
    }

    /// The node id of our driver, by which nodes see who drives them.
    pub(crate) fn set_driver_id(&mut self, id: u32) {
        self.driver_id = id;
    }

    /// Exchanges the clock page; returns the old one, to be dropped on the main loop.
    pub(crate) fn set_page(&mut self, page: Option<Reader>) -> Option<Reader> {
        self.clock.set_page(page)
    }

    /// Takes the page away for a look at it on the main loop; the clock goes on with the line it has.
    pub(crate) fn take_page(&mut self) -> Option<Reader> {
        self.clock.set_page(None)
    }

    /// What the clock is now.
    pub(crate) fn clock_status(&self) -> ClockStatus {
        self.clock.status(self.cycles.overruns())
    }

    pub(crate) fn pacer(&mut self) -> &mut Pacer {
        &mut self.pacer
    }

    /// Inbox and arrival map together, for a node that drains its sockets.
    pub(super) fn receiving(&mut self, position: &Position) -> (&mut Inbox, ArrivalMap) {
        if self.arrivals.cycle != (position.clock_id, position.index) {
            let real = realtime_raw_pair();
            let mono = monotonic_raw_pair();
            // What both clocks read now, and with that what CLOCK_REALTIME read when the cycle was to start.
            let realtime_minus_monotonic = real.offset() - mono.offset();
            let rate_diff = if position.rate_diff > 0.0 { position.rate_diff } else { 1.0 };
            self.arrivals = ArrivalMap {
                cycle: (position.clock_id, position.index),
                realtime: position.nsec.cast_signed() + realtime_minus_monotonic,
                index: position.index,
                samples_per_ns: f64::from(position.rate) * rate_diff / 1e9,
            };
        }
        (&mut self.inbox, self.arrivals)
    }

    /// Whether our driver started the cycle at `position`.
    pub(super) fn drives(&self, position: &Position) -> bool {
        position.clock_id == self.driver_id
    }

    /// PipeWire starts or pauses the driver.
    pub(crate) fn set_running(&mut self, running: bool, area: &mut ClockArea) {
        if running {
            self.drive(area);
        } else {
            self.cycles.stop();
            self.driver_timer.disarm();
        }
    }

    /// PipeWire changed one of the driver's areas: it may drive now, or follow another driver.
    pub(crate) fn clock_area_changed(&mut self, area: &mut ClockArea) {
        if area.id() != 0 {
            self.driver_id = area.id();
        }
        if self.cycles.is_running() {
            self.drive(area);
        }
    }

    fn drive(&mut self, area: &mut ClockArea) {
        if !area.is_driving() {
            // Somebody else drives: stay ready, start nothing.
            self.driver_timer.disarm();
            return;
        }
        let now = monotonic_raw_pair();
        self.clock.refresh(now);
        let (frames, _) = self.wanted(area);
        let at = self.cycles.start(now.clock, frames, &self.clock);
        self.driver_timer.arm(at);
    }

    /// The wanted cycle length, and whether the wanted rate is another than before.
    fn wanted(&mut self, area: &ClockArea) -> (u32, bool) {
        let (frames, hz) = area.wanted();
        let changed = Rate::from_hz(hz).is_some_and(|rate| self.clock.set_rate(rate));
        (if frames == 0 { DEFAULT_FRAMES } else { frames }, changed)
    }

    /// The driver's timer fired. Returns whether a cycle is to be started: `area` is filled then.
    pub(crate) fn start_cycle(&mut self, area: &mut ClockArea) -> bool {
        if !self.cycles.is_running() || !area.is_driving() {
            return false;
        }
        let now = monotonic_raw_pair();
        let jumped = self.clock.refresh(now);
        let (frames, rate_changed) = self.wanted(area);
        match self.cycles.timer(now.clock, frames, jumped || rate_changed, &self.clock) {
            Action::Wait(until) => {
                self.driver_timer.arm(until);
                false
            }
            Action::Start(cycle) => {
                area.write(&cycle);
                true
            }
        }
    }

    /// PipeWire has started the cycle, or refused to.
    pub(crate) fn cycle_started(&mut self, accepted: bool, area: &mut ClockArea) {
        if !self.cycles.is_running() {
            return; // paused meanwhile
        }
        let frames = match area.duration() {
            0 => DEFAULT_FRAMES,
            frames => frames,
        };
        if let Some(at) = self.cycles.started(accepted, frames, &self.clock) {
            self.driver_timer.arm(at);
        }
    }

    /// Every node has run: the driver may start the next cycle.
    pub(crate) fn end_of_cycle(&mut self) {
        if let Some(at) = self.cycles.ended(&self.clock) {
            self.driver_timer.arm(at);
        }
    }

    /// The clock, looked after by whoever needs it when another driver starts the cycle at `position`.
    pub(super) fn clock_for(&mut self, position: &Position) -> &GraphClock {
        if !self.drives(position) && self.followed != position.nsec {
            self.followed = position.nsec;
            self.clock.refresh(monotonic_raw_pair());
        }
        &self.clock
    }

    /// Takes in the samples that the stream at the pacer's place `slot` sends.
    pub(super) fn transmit(
        &mut self,
        slot: usize,
        at: wireloom_units::MediaIndex,
        frames: wireloom_units::Samples,
        input: &(impl wireloom_rtp::Planar + ?Sized),
    ) {
        self.pacer.write(slot, at, frames, input, &self.clock);
    }

    /// The pacer's timer fired: sends what is due, and sets the timer anew.
    pub(crate) fn send_due(&mut self) {
        let now = if self.cycles.is_running() {
            monotonic_now()
        } else {
            // Nobody else looks after the clock while the graph stands still.
            let now = monotonic_raw_pair();
            self.clock.refresh(now);
            now.clock
        };
        self.pacer.send_due(now, &self.clock);
    }
}
