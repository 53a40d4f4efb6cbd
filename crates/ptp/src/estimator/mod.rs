//! From exchanges of timestamps to a line (`ptp` sections 5 to 8). Knows no protocol and steers no clock.
//!
//! Nothing is steered, so there is no control loop: phase and rate of the leader against base B are estimated once a
//! window from the least delayed messages, and the published line follows the estimate without its jumps.

mod acquire;
mod kalman;
mod model;
mod noise;
mod output;
mod publish;
mod refine;
mod report;
mod sample;
mod window;

use wireloom_units::TaiTime;

use crate::line::ClockState;
use acquire::JUMP_WINDOWS;
use model::Model;
use noise::Noise;
use output::Output;
pub use report::{Published, Refusal, Settings, WindowCounts};
use sample::Sample;
use window::{NEEDED_SYNCS, Window};

const SECOND: i64 = 1_000_000_000;
/// An error up to this is slewed away; beyond it the time steps (ns).
const STEP: f64 = 1e6;
/// Exchanges further than this from the prediction are refused (ns): either it is wrong, and the time has to step, or
/// they are.
const FAR: f64 = 1e7;
/// The limit of the output's slewing, in parts per billion.
const SLEW: f64 = 50_000.0;

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
    far_delays: u8,
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
            far_delays: 0,
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

    /// Leads from `now` on: continues the mapping, or begins one that reads `time` at base time `base`. Says whether it
    /// continues.
    pub fn lead(&mut self, now: i64, base: i64, time: TaiTime) -> bool {
        (self.progress, self.candidate, self.model) = (Progress::Idle, None, None);
        (self.window_end, self.locked_since) = (None, None);
        self.state = ClockState::Leader;
        let continues = self.output.is_some() && !self.must_step;
        match &mut self.output {
            Some(output) if continues => output.steer(now, 0.0, self.frequency, SLEW, 0.0),
            before => *before = Some(Output::step(*before, base, time, 0.0)),
        }
        self.must_step = false;
        self.error_bound_ns = 0;
        continues
    }

    /// Takes note that base B stood still: no instant before `now` can be compared with one after it.
    ///
    /// A leader begins a new generation that reads `time` at `base`; a follower acquires its leader again.
    pub fn resume(&mut self, now: i64, base: i64, time: TaiTime) {
        self.must_step = self.output.is_some();
        (self.model, self.last_sync) = (None, None);
        self.error_bound_ns = u64::MAX;
        match self.progress {
            _ if self.state == ClockState::Leader => _ = self.lead(now, base, time),
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
        if self.is_far(model.ahead_of(&sample)) {
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
        let far = self.is_far(-model.ahead_of(&sample));
        self.far_delays = if far { self.far_delays.saturating_add(1) } else { 0 };
        // A row of them is right, and what was taken for the path delay is wrong: the path changed unseen.
        if far && self.far_delays <= JUMP_WINDOWS {
            return Err(Refusal::Outlier);
        }
        self.window.add_delay(sample, model);
        Ok(())
    }

    /// Whether a message that took `delay` ns, if the prediction is right, tells nothing.
    ///
    /// One that seems to come from the future is wrong, or the prediction is; one that comes late is merely unlucky, as
    /// long as it is not known how late it may be.
    fn is_far(&self, delay: f64) -> bool {
        match self.measured_delay {
            Some(usual) if self.state == ClockState::Locked => (delay - usual).abs() > FAR,
            _ => delay < -FAR,
        }
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
                match self.progress {
                    // The message that it was guessed from was wrong, or the leader found its reference meanwhile.
                    Progress::Acquiring { .. } if jumped => self.start_over(),
                    _ if jumped => self.jump(now),
                    _ => {}
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
}
