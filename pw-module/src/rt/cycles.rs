//! When the driver starts a cycle (pure: time is an argument).

use wireloom_units::{MediaIndex, Samples};

use super::GraphClock;
use crate::ffi::Cycle;

/// A cycle that has not ended is waited for this long, or eight cycles; then the next one is started all the same
/// and whoever hangs loses it. Shorter would punish a client for a moment in which the whole computer stood still.
const PATIENCE_NS: i64 = 20_000_000;
/// Lateness up to which every cycle is still run. The kernel keeps packets for at least this long, so that nothing
/// is lost; beyond it the count jumps ahead.
const REPLAY_NS: i64 = 150_000_000;

/// The driver's place on the time line.
#[derive(Debug, Default)]
pub(super) struct Cycles {
    /// First sample of the next cycle; `None` when it must be found anew.
    next: Option<MediaIndex>,
    running: bool,
    in_cycle: bool,
    /// Since when the next cycle has been waiting for the last.
    deferred_since: Option<i64>,
    pending: bool,
    discontinuity: bool,
    skipped: u64,
    overruns: u32,
}

/// What to do when the timer fired.
#[derive(Debug, PartialEq)]
pub(super) enum Action {
    /// Nothing now; the timer is to fire at this time of CLOCK_MONOTONIC.
    Wait(i64),
    /// Start this cycle.
    Start(Cycle),
}

impl Cycles {
    /// Begins to run: returns when the first cycle starts.
    pub(super) fn start(&mut self, now: i64, frames: u32, clock: &GraphClock) -> i64 {
        self.running = true;
        self.in_cycle = false;
        self.pending = false;
        self.deferred_since = None;
        self.anchor(now, frames, clock)
    }

    pub(super) fn stop(&mut self) {
        self.running = false;
        self.next = None;
    }

    pub(super) fn is_running(&self) -> bool {
        self.running
    }

    /// Cycles that were started although the one before had not ended: somebody hung.
    pub(super) fn overruns(&self) -> u32 {
        self.overruns
    }

    /// Chooses the next multiple of `frames` on the media clock, so that all hosts cut cycles at the same samples.
    fn anchor(&mut self, now: i64, frames: u32, clock: &GraphClock) -> i64 {
        let next = clock.index_at(now).next_multiple_of(Samples(frames));
        self.next = Some(next);
        self.discontinuity = true;
        clock.monotonic_of(next)
    }

    /// The timer fired at `now`. `jumped`: the clock's count did; `frames`: length of the coming cycle.
    pub(super) fn timer(&mut self, now: i64, frames: u32, jumped: bool, clock: &GraphClock) -> Action {
        let period = clock.rate().nanos_of(u64::from(frames)).cast_signed();
        let since = *self.deferred_since.get_or_insert(now);
        if self.in_cycle && now - since < PATIENCE_NS.max(8 * period) {
            // The last cycle still runs: starting another would overwrite it in the middle.
            self.pending = true;
            return Action::Wait(now + period);
        }
        if self.in_cycle {
            self.overruns = self.overruns.wrapping_add(1);
        }
        self.deferred_since = None;
        let Some(next) = self.next.filter(|_| !jumped) else {
            return Action::Wait(self.anchor(now, frames, clock));
        };
        let start = clock.monotonic_of(next);
        if now < start {
            return Action::Wait(start);
        }
        if now - start > REPLAY_NS.max(4 * period) {
            let due = self.anchor(now, frames, clock);
            self.skipped = self.next.map_or(0, |n| u64::try_from(n.since(next)).unwrap_or(0));
            return Action::Wait(due);
        }
        self.pending = false;
        self.in_cycle = true;
        Action::Start(Cycle {
            index: next.0,
            frames,
            rate: clock.rate().hz(),
            nsec: start.max(0).cast_unsigned(),
            next_nsec: clock.monotonic_of(next.plus(Samples(frames))).max(0).cast_unsigned(),
            rate_diff: clock.rate_diff(),
            discontinuity: std::mem::take(&mut self.discontinuity),
            skipped: std::mem::take(&mut self.skipped),
        })
    }

    /// The cycle has been started with `frames` samples (or, `!accepted`, PipeWire would not have it). Returns when
    /// the timer is to fire for the next one.
    pub(super) fn started(&mut self, accepted: bool, frames: u32, clock: &GraphClock) -> Option<i64> {
        if !accepted {
            self.in_cycle = false;
        }
        let next = self.next?.plus(Samples(frames));
        self.next = Some(next);
        Some(clock.monotonic_of(next))
    }

    /// Every node has run. Returns when the timer is to fire, if it was put off.
    pub(super) fn ended(&mut self, clock: &GraphClock) -> Option<i64> {
        self.in_cycle = false;
        self.deferred_since = None;
        if std::mem::take(&mut self.pending) { self.next.map(|next| clock.monotonic_of(next)) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wireloom_clock_page::ClockPair;

    const MS: i64 = 1_000_000;

    fn clock() -> GraphClock {
        let pair = ClockPair { clock: 1_000 * MS, raw: 1_000 * MS, span_ns: 50 };
        GraphClock::new(pair, ClockPair { clock: 1_800_000_000_000 * MS, ..pair }, None)
    }

    fn started(action: Action) -> Cycle {
        match action {
            Action::Start(cycle) => cycle,
            Action::Wait(until) => panic!("waits until {until}"),
        }
    }

    #[test]
    fn cycles_follow_each_other_without_a_hole_whatever_the_quantum() {
        let (mut cycles, clock) = (Cycles::default(), clock());
        let mut at = cycles.start(1_000 * MS, 48, &clock);
        let mut expected = None;
        for n in 0..2_000_u32 {
            let frames = [48, 64, 256, 33][(n / 100) as usize % 4];
            let cycle = started(cycles.timer(at + 20_000, frames, false, &clock));
            assert_eq!(cycle.discontinuity, n == 0);
            assert_eq!(expected.unwrap_or(cycle.index), cycle.index);
            if n == 0 {
                assert_eq!(cycle.index % 48, 0, "aligned to the quantum at the start");
            }
            expected = Some(cycle.index + u64::from(frames));
            at = cycles.started(true, frames, &clock).expect("running");
            assert_eq!(cycles.ended(&clock), None);
        }
    }

    #[test]
    fn a_running_cycle_is_waited_for_and_a_hung_one_is_not() {
        let (mut cycles, clock) = (Cycles::default(), clock());
        let at = cycles.start(1_000 * MS, 48, &clock);
        started(cycles.timer(at, 48, false, &clock));
        let at = cycles.started(true, 48, &clock).expect("running");
        assert!(matches!(cycles.timer(at, 48, false, &clock), Action::Wait(_)));
        assert!(cycles.ended(&clock).is_some(), "the put-off start is made up for");
        started(cycles.timer(at + MS / 2, 48, false, &clock));
        let at = cycles.started(true, 48, &clock).expect("running");
        for waited in 0..20 {
            assert!(matches!(cycles.timer(at + waited * MS, 48, false, &clock), Action::Wait(_)));
        }
        assert_eq!(cycles.overruns(), 0);
        started(cycles.timer(at + 20 * MS, 48, false, &clock));
        assert_eq!(cycles.overruns(), 1);
    }

    #[test]
    fn a_short_stall_is_made_up_for_and_a_long_one_is_skipped() {
        let (mut cycles, clock) = (Cycles::default(), clock());
        let at = cycles.start(1_000 * MS, 48, &clock);
        let first = started(cycles.timer(at, 48, false, &clock));
        let mut at = cycles.started(true, 48, &clock).expect("running");
        cycles.ended(&clock);
        let late = at + 100 * MS;
        for n in 1..=100 {
            let cycle = started(cycles.timer(late, 48, false, &clock));
            assert_eq!((cycle.index, cycle.discontinuity), (first.index + n * 48, false));
            at = cycles.started(true, 48, &clock).expect("running");
            cycles.ended(&clock);
        }
        let late = at + 3_000 * MS;
        let Action::Wait(due) = cycles.timer(late, 48, false, &clock) else { panic!("must skip") };
        let cycle = started(cycles.timer(due, 48, false, &clock));
        assert!(cycle.discontinuity);
        assert!((143_900..144_200).contains(&cycle.skipped), "{}", cycle.skipped);
    }

    #[test]
    fn a_jump_of_the_clock_starts_anew_at_a_multiple_of_the_quantum() {
        let (mut cycles, clock) = (Cycles::default(), clock());
        let at = cycles.start(1_000 * MS, 256, &clock);
        started(cycles.timer(at, 256, false, &clock));
        let at = cycles.started(true, 256, &clock).expect("running");
        cycles.ended(&clock);
        let Action::Wait(due) = cycles.timer(at, 256, true, &clock) else {
            panic!("must find its place anew")
        };
        let cycle = started(cycles.timer(due, 256, false, &clock));
        assert!(cycle.discontinuity);
        assert_eq!(cycle.index % 256, 0);
    }
}
