//! From exchanges of timestamps to a line (`ptp` sections 5 to 8). Knows no protocol and steers no clock.
//!
//! Nothing is steered, so there is no control loop: phase and rate of the leader against base B are estimated once a
//! window from the least delayed messages, and the published line follows the estimate without its jumps.

mod kalman;
mod model;
mod noise;
mod output;
mod sample;
mod window;

use core::fmt;

use wireloom_units::TaiTime;

use crate::line::ClockState;
use model::{Model, seconds_between};
use noise::Noise;
use output::Output;
use sample::Sample;
use window::{Measurement, NEEDED_SYNCS, Window};

const SECOND: i64 = 1_000_000_000;
/// An error up to this is slewed away; beyond it the time steps (ns).
const STEP: f64 = 1e6;
/// Exchanges further than this from the prediction are refused while LOCKED (ns).
const FAR: f64 = 1e7;
/// Windows in a row that are off by more than [`STEP`] before the leader is believed to have jumped.
const JUMP_WINDOWS: u8 = 4;
/// Innovations beyond this many standard deviations, squared, are skipped.
const GATE: f64 = 25.0;
/// Skips in a row after which the filter rather than the measurement is doubted.
const ESCAPE: u8 = 8;
/// Unexplained errors in a row on one side after which the filter is doubted, too.
const UNEXPLAINED: u8 = 3;
/// Short windows that acquire a leader: the more, the better the frequency that the filter starts with.
const ACQUIRING_WINDOWS: u8 = 3;
/// Calm windows in a row before LOCKED.
const CALM_WINDOWS: u8 = 8;
/// The most that the frequency may move a second for a window to be calm, in parts per billion; while it is being
/// learned, what three standard deviations allow.
const CALM_PPB: f64 = 500.0;
/// Wild windows in a row before LOCKED is lost.
const WILD_WINDOWS: u8 = 3;
/// Limits of the output's slewing, in parts per billion.
const SLEW: f64 = 50_000.0;
const SLEW_LOCKED: f64 = 10_000.0;
/// HOLDOVER ends when the error bound passes this (ns) …
const LOST_BOUND: u64 = 250_000;
/// … or after this time.
const LOST_AFTER: i64 = 120 * SECOND;
/// The error bound before the path delay is known (ns).
const UNKNOWN_DELAY_BOUND: u64 = 1_000_000;
/// No crystal is further off than this, in parts per billion.
const MOST_PPB: f64 = 500_000.0;
/// How much faster than the random walk a held-over frequency may drift, in ns/s².
const DRIFT: f64 = 1.7;

/// What the estimator needs to know of its clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Process noise of the oscillator's frequency, in ns²/s³.
    pub process_noise: f64,
    /// σ below which the clock may be LOCKED, in nanoseconds.
    pub lock_threshold: f64,
}

/// Why an exchange was not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Received not later than the previous one.
    ReceiptNotRising,
    /// Sent not later than the previous one.
    OriginNotRising,
    /// Further than 10 ms from the prediction while LOCKED.
    Outlier,
    /// Nothing to compare with yet.
    TooEarly,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReceiptNotRising => "received not later than the previous Sync",
            Self::OriginNotRising => "sent not later than the previous Sync",
            Self::Outlier => "more than 10 ms from the prediction",
            Self::TooEarly => "no Sync came before",
        })
    }
}

impl core::error::Error for Refusal {}

/// Counts of windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WindowCounts {
    /// Used.
    pub used: u64,
    /// Skipped by the gate.
    pub gated: u64,
    /// With too few Syncs.
    pub empty: u64,
}

/// The published mapping: what [`crate::Line`] says, without its leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// Changes exactly when the time jumps.
    pub generation: u32,
    /// b0, in nanoseconds of base B.
    pub base: i64,
    /// The network's time at `base`.
    pub time: TaiTime,
    /// Distance of the rate from 1, in units of 2^-40.
    pub rate: i64,
    /// The error that is not exceeded with high probability, in nanoseconds; `u64::MAX` when it cannot be told.
    pub error_bound_ns: u64,
}

#[derive(Debug, Clone, Copy)]
enum Progress {
    /// Nobody is followed.
    Idle,
    /// So many windows of a new leader have been measured, and whether with its path delay.
    Acquiring { measured: u8, delayed: bool },
    /// The model follows the leader.
    Following,
}

/// Estimates one leader's time.
#[derive(Debug, Clone)]
pub struct Estimator {
    settings: Settings,
    state: ClockState,
    progress: Progress,
    /// What is published follows this one …
    model: Option<Model>,
    /// … while a new leader is measured against this one.
    candidate: Option<Model>,
    /// The sample that the candidate was first guessed from.
    first_sync: Option<Sample>,
    output: Option<Output>,
    error_bound_ns: u64,
    window: Window,
    window_end: Option<i64>,
    window_length: i64,
    /// A few of these acquire a leader.
    shortest_window: i64,
    noise: Noise,
    held_delay: Option<f64>,
    measured_delay: Option<f64>,
    frequency: f64,
    same_side: i8,
    last_error: f64,
    last_sync: Option<(i64, TaiTime)>,
    must_step: bool,
    last_good: i64,
    acquiring_since: i64,
    locked_since: Option<i64>,
    skips: u8,
    calm: u8,
    wild: u8,
    jumps: u8,
    counts: WindowCounts,
}

impl Estimator {
    /// An estimator that follows nobody and publishes nothing.
    pub const fn new(settings: Settings) -> Self {
        Self {
            settings,
            state: ClockState::Listening,
            progress: Progress::Idle,
            model: None,
            candidate: None,
            first_sync: None,
            output: None,
            error_bound_ns: u64::MAX,
            window: Window::new(),
            window_end: None,
            window_length: SECOND,
            shortest_window: SECOND / 2,
            noise: Noise::new(),
            held_delay: None,
            measured_delay: None,
            frequency: 0.0,
            same_side: 0,
            last_error: 0.0,
            last_sync: None,
            must_step: false,
            last_good: 0,
            acquiring_since: 0,
            locked_since: None,
            skips: 0,
            calm: 0,
            wild: 0,
            jumps: 0,
            counts: WindowCounts { used: 0, gated: 0, empty: 0 },
        }
    }

    /// Follows a leader from `now` on.
    ///
    /// `same` says that it is the one that was followed last: then the model is simply continued. `known_delay` is the
    /// path delay in nanoseconds that is assumed until the first delay exchange.
    pub fn follow(&mut self, now: i64, same: bool, known_delay: Option<f64>) {
        self.last_sync = None;
        if same && self.model.is_some() && !self.must_step {
            self.progress = Progress::Following;
            self.window = Window::new();
            return;
        }
        self.noise = Noise::new();
        (self.held_delay, self.measured_delay) = (known_delay, None);
        self.acquire(now);
    }

    /// Follows nobody from `now` on: the mapping, if there is one, is held over.
    pub fn lose(&mut self, now: i64) {
        (self.progress, self.candidate) = (Progress::Idle, None);
        if self.output.is_none() {
            self.state = ClockState::Listening;
            self.window_end = None;
            return;
        }
        if self.model.is_none() {
            self.last_good = now; // it was our own time, or a step is due
        }
        // A clock that was good a moment ago is not yet held over: the same leader may be back at once.
        if !matches!(self.state, ClockState::Tracking | ClockState::Locked | ClockState::Lost) {
            self.state = ClockState::Holdover;
        }
        self.window_end.get_or_insert(now.saturating_add(self.window_length));
        self.publish(now);
    }

    /// Leads from `now` on: continues the mapping, or begins one that reads `time` at base time `base`.
    pub fn lead(&mut self, now: i64, base: i64, time: TaiTime) {
        (self.progress, self.candidate, self.model) = (Progress::Idle, None, None);
        (self.window_end, self.locked_since) = (None, None);
        self.state = ClockState::Leader;
        match &mut self.output {
            Some(output) if !self.must_step => output.steer(now, 0.0, self.frequency, SLEW, 0.0),
            before => *before = Some(Output::step(*before, base, time, 0.0)),
        }
        self.must_step = false;
        self.error_bound_ns = 0;
    }

    /// Takes note that base B stood still: no instant before `now` can be compared with one after it.
    ///
    /// A leader begins a new generation that reads `time` at `base`; a follower acquires its leader again.
    pub fn resume(&mut self, now: i64, base: i64, time: TaiTime) {
        self.must_step = self.output.is_some();
        (self.model, self.last_sync) = (None, None);
        self.error_bound_ns = u64::MAX;
        match self.progress {
            _ if self.state == ClockState::Leader => self.lead(now, base, time),
            Progress::Idle => self.lose(now),
            _ => self.acquire(now),
        }
    }

    /// Makes windows long enough for a leader that sends a Sync every `interval` nanoseconds.
    pub fn expect_sync_interval(&mut self, interval: i64) {
        let needed = interval.saturating_add(interval / 3).saturating_mul(NEEDED_SYNCS.into());
        (self.shortest_window, self.window_length) = (needed.max(SECOND / 2), needed.max(SECOND));
    }

    /// Takes one Sync: sent at the leader's `origin` moved by `correction` nanoseconds, received at `received`.
    pub fn handle_sync(&mut self, origin: TaiTime, correction: f64, received: i64) -> Result<(), Refusal> {
        if let Some((last_received, last_origin)) = self.last_sync {
            if received <= last_received {
                return Err(Refusal::ReceiptNotRising);
            }
            // Remembered even when refused: a leader that restarted its epoch is refused once, not for ever.
            self.last_sync = Some((received, origin));
            if origin <= last_origin {
                return Err(Refusal::OriginNotRising);
            }
        }
        self.last_sync = Some((received, origin));
        let sample = Sample::new(origin, correction, received);
        self.guess(&sample);
        let model = match self.progress {
            Progress::Idle => return Err(Refusal::TooEarly),
            Progress::Acquiring { .. } => self.candidate.as_ref(),
            Progress::Following => self.model.as_ref(),
        };
        let model = model.ok_or(Refusal::TooEarly)?;
        if self.state == ClockState::Locked && model.ahead_of(&sample).abs() > FAR {
            self.window.add_far();
            return Err(Refusal::Outlier);
        }
        self.window.add_sync(sample, model);
        Ok(())
    }

    /// Takes one delay exchange: a request left at `sent` and arrived at the leader's `receipt`, moved by `correction`.
    pub fn handle_delay(&mut self, sent: i64, receipt: TaiTime, correction: f64) -> Result<(), Refusal> {
        let model = match self.progress {
            Progress::Following => self.model.as_ref(),
            _ => self.candidate.as_ref(),
        };
        let model = model.ok_or(Refusal::TooEarly)?;
        let sample = Sample::new(receipt, correction, sent);
        if self.state == ClockState::Locked && model.ahead_of(&sample).abs() > FAR {
            return Err(Refusal::Outlier);
        }
        self.window.add_delay(sample, model);
        Ok(())
    }

    /// Ends the window that is due, if one is.
    pub fn handle_timeout(&mut self, now: i64) {
        let Some(end) = self.window_end.filter(|&end| end <= now) else { return };
        let jumped = self.window.far() >= NEEDED_SYNCS;
        let held = self.held_delay.unwrap_or(0.0);
        let followed = match self.progress {
            Progress::Idle => None,
            Progress::Acquiring { .. } => self.candidate.as_ref(),
            Progress::Following => self.model.as_ref(),
        };
        let measurement = followed.and_then(|model| self.window.close(now, model, held));
        let models = [&mut self.model, &mut self.candidate];
        models.into_iter().flatten().for_each(|model| model.advance(now));
        match (measurement, self.progress) {
            (Some(measurement), Progress::Acquiring { measured, delayed }) => {
                self.acquire_by(now, &measurement, measured, delayed);
            }
            (Some(measurement), _) => self.refine(now, &measurement),
            (None, _) => {
                self.counts.empty += 1;
                if jumped {
                    self.jump(now);
                }
            }
        }
        // Windows keep their rhythm unless the caller slept through one.
        let acquiring = matches!(self.progress, Progress::Acquiring { .. }) && self.candidate.is_some();
        let length = if acquiring { self.shortest_window } else { self.window_length };
        let next = end.saturating_add(length);
        self.window_end = Some(if next > now { next } else { now.saturating_add(length) });
        self.publish(now);
    }

    /// When [`Estimator::handle_timeout`] is due.
    pub const fn poll_timeout(&self) -> Option<i64> {
        self.window_end
    }

    /// What the published mapping is worth.
    pub const fn state(&self) -> ClockState {
        self.state
    }

    /// The published mapping; `None` before the first.
    pub fn published(&self) -> Option<Published> {
        let Output { generation, base, time, rate } = self.output?;
        Some(Published { generation, base, time, rate, error_bound_ns: self.error_bound_ns })
    }

    /// Last measured error of the prediction, in nanoseconds.
    pub const fn last_error(&self) -> f64 {
        self.last_error
    }

    /// Standard deviation of the phase, in nanoseconds.
    pub fn sigma(&self) -> f64 {
        self.model.map_or(0.0, |model| model.belief.sigma_phase())
    }

    /// Estimated rate of the leader against base B, in parts per billion.
    pub const fn frequency_ppb(&self) -> f64 {
        self.frequency
    }

    /// Last measured path delay in nanoseconds; `None` before the first exchange with this leader.
    pub const fn path_delay(&self) -> Option<f64> {
        self.measured_delay
    }

    /// How far the estimate is ahead of the published line at `now`, in nanoseconds.
    pub fn output_offset(&self, now: i64) -> f64 {
        match (&self.output, &self.model) {
            (Some(output), Some(model)) => {
                let (whole, phase) = model.offset_at(now);
                output.behind(now, whole, phase)
            }
            _ => 0.0,
        }
    }

    /// How far the estimate is ahead of `time` at base time `now`, in nanoseconds; what simulations judge.
    pub fn estimate_ahead_of(&self, now: i64, time: TaiTime) -> Option<f64> {
        self.model.map(|model| model.ahead_of(&Sample::new(time, 0.0, now)))
    }

    /// Since when the clock is LOCKED, in nanoseconds of base B.
    pub const fn locked_since(&self) -> Option<i64> {
        self.locked_since
    }

    /// Counts of windows.
    pub const fn window_counts(&self) -> WindowCounts {
        self.counts
    }

    fn acquire(&mut self, now: i64) {
        (self.progress, self.candidate) = (Progress::Acquiring { measured: 0, delayed: false }, None);
        self.window = Window::new();
        self.acquiring_since = now;
        self.first_sync = None;
        self.state = ClockState::Acquiring;
        self.locked_since = None;
        (self.skips, self.calm, self.wild, self.jumps, self.same_side) = (0, 0, 0, 0, 0);
        // Without a mapping to hold over there is nothing to do until the first Sync.
        self.window_end = self.output.map(|_| now.saturating_add(self.window_length));
    }

    /// The first Sync of a leader gives a first guess of its phase; where Syncs are rare the second one corrects the
    /// frequency, lest it move the phase by more in a window than any queue.
    fn guess(&mut self, sample: &Sample) {
        let (mut frequency, process_noise) = (self.frequency, self.settings.process_noise);
        if !matches!(self.progress, Progress::Acquiring { .. }) {
            return;
        }
        match (&self.candidate, self.first_sync.take()) {
            (Some(_), Some(first)) if self.shortest_window > 2 * SECOND => {
                let seconds = seconds_between(first.at, sample.at);
                let drift = sample.phase_from(first.whole()) - first.phase_from(first.whole());
                if seconds > 0.5 {
                    frequency = (drift / seconds).clamp(-MOST_PPB, MOST_PPB);
                }
            }
            (Some(_), _) => return,
            (None, _) => self.first_sync = Some(*sample),
        }
        self.candidate = Some(Model::new(sample, frequency, process_noise));
        self.window = Window::new();
        self.window_end = Some(sample.at.saturating_add(self.shortest_window));
    }

    /// A few short windows give phase and frequency.
    fn acquire_by(&mut self, now: i64, measurement: &Measurement, measured: u8, delayed: bool) {
        let Some(model) = &mut self.candidate else { return };
        let has_delay = measurement.delay.is_some();
        // What came before the path delay was known is off by as much as it is.
        let measured = if has_delay == delayed { measured + 1 } else { 1 };
        let mut innovation = -measurement.error;
        if measured == 1 {
            // The guess may be far off, by a phase and not by a frequency: take it as measured.
            model.belief.forget();
            model.belief.phase += core::mem::take(&mut innovation);
        }
        let noise = self.noise.variance(None, measurement.spread);
        model.belief.update(innovation, seconds_between(measurement.at, now), noise);
        self.last_error = measurement.error;
        self.progress = Progress::Acquiring { measured, delayed: has_delay };
        if measured >= ACQUIRING_WINDOWS {
            self.acquired(now);
        }
    }

    /// The candidate becomes the model; decides whether the time steps.
    fn acquired(&mut self, now: i64) {
        let Some(model) = self.candidate.take() else { return };
        self.frequency = model.belief.frequency;
        self.model = Some(model);
        self.progress = Progress::Following;
        self.state = ClockState::Tracking;
        self.last_good = now;
        self.counts.used += 1;
        let far = self.output.is_none_or(|_| self.output_offset(now).abs() > STEP);
        if far || self.must_step {
            let (whole, phase) = model.offset_at(now);
            let time = TaiTime::from_nanos(now.saturating_add(whole).saturating_add(phase as i64));
            self.output = Some(Output::step(self.output, now, time, self.frequency));
            self.must_step = false;
        }
    }

    /// Lets one window's measurement into the model, unless the gate or a jump forbids it.
    fn refine(&mut self, now: i64, measurement: &Measurement) {
        let Some(model) = &mut self.model else { return };
        let (error, threshold) = (measurement.error, self.settings.lock_threshold);
        self.last_error = error;
        if error.abs() > STEP {
            self.calm = 0;
            return self.jump(now);
        }
        self.jumps = 0;
        if let Some(delay) = measurement.delay {
            self.measured_delay = Some(delay);
            // A frequency that is still wrong moves the two directions apart.
            if model.belief.sigma_frequency() < 1_000.0 {
                self.noise.add_delay(delay);
            }
            self.held_delay = self.noise.floor();
        }
        let age = seconds_between(measurement.at, now);
        let mut noise = self.noise.variance(measurement.delay, measurement.spread);
        self.noise.add_error(error);
        let belief = &mut model.belief;
        let (before, doubt) = (belief.frequency, belief.sigma_frequency());
        // Errors on one side that neither queueing nor the filter's doubts explain: the doubts are too small.
        let lucky = self.noise.least_variance(measurement.delay);
        let unexplained = error * error > 16.0 * lucky.max(belief.innovation_variance(age, lucky));
        let side = if error > 0.0 { 1 } else { -1 };
        self.same_side = match self.same_side {
            _ if !unexplained => 0,
            count if count.signum() == side => count.saturating_add(side),
            _ => side,
        };
        if self.same_side.unsigned_abs() >= UNEXPLAINED {
            let drift = error / (f64::from(UNEXPLAINED) * self.window_length as f64 * 1e-9);
            belief.inflate(error * error, drift * drift);
            noise = lucky;
            self.same_side = 0;
        }
        let gated = error * error > GATE * belief.innovation_variance(age, noise);
        if gated && self.skips < ESCAPE {
            self.skips += 1;
            self.counts.gated += 1;
        } else {
            if gated {
                // The frequency may be what is wrong: it had this long to move the phase so far.
                let drift = error / (f64::from(ESCAPE) * self.window_length as f64 * 1e-9);
                belief.inflate(error * error, (drift * drift).max(1e4));
            }
            self.skips = 0;
            self.counts.used += 1;
            belief.update(-error, age, noise);
        }
        self.frequency = belief.frequency;
        let sigma = belief.sigma_phase();
        let seconds = self.window_length as f64 * 1e-9;
        let calm = sigma < threshold
            && error.abs() < threshold.max(5.0 * sigma)
            && (belief.frequency - before).abs() < (CALM_PPB * seconds).max(3.0 * doubt);
        self.calm = if calm { self.calm.saturating_add(1) } else { 0 };
        self.wild = if error.abs() > 5.0 * threshold { self.wild.saturating_add(1) } else { 0 };
        self.last_good = now;
        match self.state {
            ClockState::Holdover | ClockState::Lost => {
                self.state = ClockState::Tracking;
                self.calm = u8::from(calm);
            }
            ClockState::Tracking if self.calm >= CALM_WINDOWS => {
                self.state = ClockState::Locked;
                self.locked_since = Some(now);
            }
            ClockState::Locked if self.wild >= WILD_WINDOWS => {
                self.state = ClockState::Tracking;
                self.locked_since = None;
                self.calm = 0;
            }
            _ => {}
        }
    }

    /// One more window far off: after four in a row the leader is acquired anew.
    fn jump(&mut self, now: i64) {
        self.jumps = self.jumps.saturating_add(1);
        if self.jumps >= JUMP_WINDOWS {
            self.acquire(now);
        }
    }

    /// Moves the output after the model, and the state after the time that passed.
    fn publish(&mut self, now: i64) {
        if self.state == ClockState::Leader || self.output.is_none() {
            return;
        }
        let silence = now.saturating_sub(self.last_good);
        let patience = self.window_length.max(SECOND).saturating_mul(3);
        let waited = match self.state {
            ClockState::Tracking | ClockState::Locked => silence,
            ClockState::Acquiring => now.saturating_sub(self.acquiring_since),
            _ => 0,
        };
        if waited > patience {
            self.state = ClockState::Holdover;
            self.locked_since = None;
        }
        let behind = self.output_offset(now);
        self.error_bound_ns = self.bound(behind, silence);
        if self.state == ClockState::Holdover && (self.error_bound_ns > LOST_BOUND || silence > LOST_AFTER) {
            self.state = ClockState::Lost;
        }
        if let Some(output) = &mut self.output {
            let slew = if self.state == ClockState::Locked { SLEW_LOCKED } else { SLEW };
            if self.model.is_some() {
                let patience = self.window_length as f64 * 2e-9;
                output.steer(now, behind, self.frequency, slew, patience);
            }
        }
    }

    fn bound(&self, behind: f64, silence: i64) -> u64 {
        let Some(model) = &self.model else { return u64::MAX };
        let seconds = silence.max(0) as f64 * 1e-9;
        let drift = if self.state == ClockState::Locked { 0.0 } else { DRIFT * seconds * seconds / 2.0 };
        let bound = (3.0 * model.belief.sigma_phase() + drift + behind.abs()) as u64;
        if self.held_delay.is_some() { bound } else { bound.max(UNKNOWN_DELAY_BOUND) }
    }
}
