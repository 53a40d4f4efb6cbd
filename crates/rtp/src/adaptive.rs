use wireloom_units::{MediaIndex, MediaTime, Rate, Samples};

/// How a [`Steering`] is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SteeringConfig {
    /// Sample rate of the stream.
    pub stream_rate: Rate,
    /// Sample rate of the graph that reads it.
    pub graph_rate: Rate,
    /// How far behind the earliest arrivals the stream is read, in its own samples: at least a cycle, a packet and
    /// the jitter.
    pub latency: Samples,
}

/// What to do in one graph cycle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// First frame of the stream to be read now.
    pub at: MediaIndex,
    /// Frames of the stream to consume for one frame of the graph.
    pub ratio: f64,
    /// The position was set anew: reset the resampler and fade in.
    pub jumped: bool,
}

/// Steers a resampler that plays a stream of another clock: estimates the sender's clock from arrivals and keeps
/// the reading position a constant latency behind it.
///
/// A packet can be late but not early, so the earliest arrival of each quarter second is what says where the
/// sender's clock is; a second-order filter follows these through position and rate. The reading position is drawn
/// to the line by a slow change of the ratio, never by more than [`Steering::MAX_PULL`], and jumps only when it is
/// too far off to ever be drawn back in time, or so near to the sender that frames are asked for before they come.
/// Holds no samples and no clock; nothing allocates.
///
/// A sender may also slip: leave frames out, or send some twice, while its timestamps go on (PipeWire's rtp-sink does
/// when its graph misses a cycle). The line then moves in a step, which says little about the rate; only steps that
/// come again and again do.
///
/// A cycle: feed every packet that [`crate::Placement::is_heard`] (and call [`Steering::handle_restart`] first at
/// [`crate::Placement::Restart`]), give [`Steering::offset`] to the timeline, take a [`Steering::poll_step`], let the
/// resampler read from the timeline at `at` what it needs at `ratio`, report that as [`Steering::consumed`], and
/// [`Steering::starved`] if some of it was not there.
#[derive(Debug, Clone)]
pub struct Steering {
    config: SteeringConfig,
    anchor: Option<Anchor>,
}

#[derive(Debug, Clone)]
struct Anchor {
    /// Timestamp minus media index.
    offset: u32,
    /// Media index from which positions are counted.
    origin: MediaIndex,
    line: Line,
    round: Round,
    /// Next frame to be read, counted from the origin; absent before the first step.
    position: Option<f64>,
    /// The ratio of the last step.
    ratio: f64,
    /// Frames were asked for that had not come.
    starved: bool,
}

/// Where the sender's clock is: the end of a packet that comes without delay, against the graph's clock.
#[derive(Debug, Clone)]
struct Line {
    /// The graph's index at which `y` holds.
    x: MediaIndex,
    /// The sender's position there, counted from the origin.
    y: f64,
    /// Samples of the stream to a sample of the graph.
    slope: f64,
    /// Rounds taken in; the filter is wide at first.
    rounds: u32,
    /// Rounds in a row that lay far off the line.
    strays: u32,
    /// When the line was last moved in a step, and how far.
    moved: (MediaIndex, f64),
}

/// A span of arrivals.
#[derive(Debug, Clone)]
struct Round {
    start: MediaIndex,
    /// Largest distance of a packet's end from the line, positive is earlier; absent while no packet came.
    earliest: Option<f64>,
}

/// A quarter of a second: long enough to hold an undelayed packet, short enough to follow 100 ppm.
const ROUNDS_A_SECOND: u32 = 4;
/// Rounds after which the filter is at its narrowest: 20 s.
const NARROWEST: u32 = 80;
/// The rate of a clock that anyone sells is within a tenth of this of nominal; a sender that slips again and again needs
/// the rest: 96 frames a second. It is under four hundredths of a semitone.
const MAX_DRIFT: f64 = 2e-3;
/// Seconds in which the position closes a distance to the line.
const PULL_SECONDS: f64 = 5.0;
/// Seconds over which the ratio changes.
const EASE_SECONDS: f64 = 0.25;
/// Rounds at the beginning in which a packet burst or a slip must not be taken for a rate.
const WARY: u32 = 16;
/// Rounds that the rate is supposed to have been right before the first.
const PRIOR: u32 = 3;
/// Rounds after which one that lies far off the line is doubted.
const TRUSTED: u32 = 4;
/// Rounds in a row that must lie off the line before the line is moved there.
const STRAYS: u32 = 4;
/// How much of what a step of the line and the one before agree on is taken for the rate, over the time between them.
const STEP_SHARE: f64 = 1.0 / 4.0;

impl Steering {
    /// The most that the ratio departs from the sender's estimated rate to draw the position in: 0.05 %, under
    /// one hundredth of a semitone.
    pub const MAX_PULL: f64 = 5e-4;

    /// A steering that waits for its first packet.
    pub const fn new(config: SteeringConfig) -> Self {
        Self { config, anchor: None }
    }

    /// Forgets the sender: the next packet is the first of another one.
    pub fn restart(&mut self) {
        self.anchor = None;
    }

    /// The sender's count goes on elsewhere, with the packet at `time` that will be fed next. Forgets the sender, unless
    /// that is about where it was expected: then it has only slipped.
    pub fn handle_restart(&mut self, now: MediaIndex, time: MediaTime, frames: Samples) {
        let far = self.far();
        self.anchor.take_if(|anchor| anchor.earliness(now, time, frames).abs() > far);
    }

    /// Goes on, at the graph's index `now`, with a stream whose packets are placed by `offset` already and of which `at`
    /// is the next frame to be read. The first packet decides whether the offset is the sender's.
    pub fn take_over(&mut self, now: MediaIndex, offset: u32, at: MediaIndex) {
        let nominal = self.nominal();
        let y = f64::from(self.config.latency.0);
        self.anchor = Some(Anchor {
            offset,
            origin: at,
            line: Line { x: now, y, slope: nominal, rounds: 1, strays: 0, moved: (now, 0.0) },
            round: Round { start: now, earliest: None },
            position: Some(0.0),
            ratio: nominal,
            starved: false,
        });
    }

    /// Changes the latency; the position is drawn there, or jumps when it is far.
    pub fn set_latency(&mut self, latency: Samples) {
        self.config.latency = latency;
    }

    /// The offset that places the stream's packets, once the first has come: for [`crate::Timeline::set_offset`].
    pub fn offset(&self) -> Option<u32> {
        self.anchor.as_ref().map(|anchor| anchor.offset)
    }

    /// The sender's media index at the graph's index `now`: what a timeline in this mode wants as its `now`.
    ///
    /// Before the first packet it is `now` itself.
    pub fn index_at(&self, now: MediaIndex) -> MediaIndex {
        self.anchor.as_ref().map_or(now, |anchor| anchor.index(anchor.line.at(now)))
    }

    /// The sender's rate against the graph's, as a ratio of samples; absent before the first packet.
    pub fn rate(&self) -> Option<f64> {
        self.anchor.as_ref().map(|anchor| anchor.line.slope)
    }

    /// Takes in a packet of `frames` frames with timestamp `time` that arrived at the graph's index `now`.
    pub fn handle_packet(&mut self, now: MediaIndex, time: MediaTime, frames: Samples) {
        let (nominal, far) = (self.nominal(), self.far());
        // The first packet after a take-over.
        self.anchor.take_if(|anchor| {
            anchor.round.earliest.is_none() && anchor.earliness(now, time, frames).abs() > far
        });
        let Some(anchor) = &mut self.anchor else {
            // Its last sample is now: the earliest that is possible.
            let origin = now.offset_by(-i64::from(frames.0));
            self.anchor = Some(Anchor {
                offset: time.to_wire().wrapping_sub(origin.0 as u32),
                origin,
                line: Line {
                    x: now,
                    y: f64::from(frames.0),
                    slope: nominal,
                    rounds: 0,
                    strays: 0,
                    moved: (now, 0.0),
                },
                round: Round { start: now, earliest: Some(0.0) },
                position: None,
                ratio: nominal,
                starved: false,
            });
            return;
        };
        let length = i64::from(self.config.graph_rate.hz() / ROUNDS_A_SECOND);
        let elapsed = now.since(anchor.round.start);
        if elapsed >= length || elapsed < -length {
            let earliest = anchor.round.earliest.take();
            anchor.round.start = now;
            if earliest.is_some_and(|earliest| earliest.abs() > far) || elapsed < -length {
                // A whole round lies elsewhere: the sender's time has jumped, or the graph's.
                self.anchor = None;
                return self.handle_packet(now, time, frames);
            }
            if let Some(earliest) = earliest {
                anchor.line.follow(now, earliest, nominal, self.config.stream_rate);
            }
        }
        let mut early = anchor.earliness(now, time, frames);
        if anchor.line.rounds == 0 && early > 0.0 {
            // The packet that began was late: the first of a burst, or held up.
            anchor.line.y += early;
            early = 0.0;
        }
        anchor.round.earliest = Some(anchor.round.earliest.map_or(early, |earliest| earliest.max(early)));
    }

    /// Says where to read in the graph cycle of `frames` frames that begins at `now`; nothing before the first packet.
    pub fn poll_step(&mut self, now: MediaIndex, frames: Samples) -> Option<Step> {
        let nominal = self.nominal();
        let stream_hz = f64::from(self.config.stream_rate.hz());
        let latency = f64::from(self.config.latency.0);
        let anchor = self.anchor.as_mut()?;
        let target = anchor.line.at(now) - latency;
        // Closer than 50 ms is drawn in; that takes two minutes at most and nobody hears it. At the very beginning there
        // is little to be spoilt, and frames that have not come are worse than a jump.
        let behind = if anchor.line.rounds == 0 { stream_hz / 100.0 } else { stream_hz / 20.0 };
        let ahead = if anchor.starved { stream_hz / 2000.0 } else { stream_hz / 20.0 };
        anchor.starved = false;
        let near = anchor.position.filter(|position| (-ahead..=behind).contains(&(target - position)));
        let jumped = near.is_none();
        // The line cannot lie before the first index; a stream read that early is silence anyway.
        let position = near.unwrap_or_else(|| floor(target).max(-(anchor.origin.0 as f64)));
        let pull = (target - position) / (PULL_SECONDS * stream_hz);
        let wanted = anchor.line.slope + pull.clamp(-Self::MAX_PULL, Self::MAX_PULL) * nominal;
        let ease = f64::from(frames.0) / (EASE_SECONDS * f64::from(self.config.graph_rate.hz()));
        anchor.ratio += (wanted - anchor.ratio) * ease.min(1.0);
        anchor.position = Some(position);
        Some(Step { at: anchor.index(position), ratio: anchor.ratio, jumped })
    }

    /// Reports how many frames of the stream the resampler took since the last step.
    pub fn consumed(&mut self, frames: Samples) {
        if let Some(position) = self.anchor.as_mut().and_then(|anchor| anchor.position.as_mut()) {
            *position += f64::from(frames.0);
        }
    }

    /// Reports that some of the frames that the last step asked for were not there.
    pub fn starved(&mut self) {
        if let Some(anchor) = &mut self.anchor {
            anchor.starved = true;
        }
    }

    /// A tenth of a second: what lies further away is another count.
    fn far(&self) -> f64 {
        f64::from(self.config.stream_rate.hz()) / 10.0
    }

    fn nominal(&self) -> f64 {
        f64::from(self.config.stream_rate.hz()) / f64::from(self.config.graph_rate.hz())
    }
}

impl Anchor {
    fn index(&self, position: f64) -> MediaIndex {
        self.origin.offset_by(floor(position) as i64)
    }

    /// How much earlier than the line says a packet is that arrives at `now`.
    fn earliness(&self, now: MediaIndex, time: MediaTime, frames: Samples) -> f64 {
        let line = self.line.at(now);
        let index = self.index(line).nearest(time, self.offset);
        index.plus(frames).since(self.origin) as f64 - line
    }
}

impl Line {
    fn at(&self, x: MediaIndex) -> f64 {
        self.y + x.since(self.x) as f64 * self.slope
    }

    /// Takes in that the earliest packet of a round, which ends at `now`, was `early` samples before the line.
    fn follow(&mut self, now: MediaIndex, early: f64, nominal: f64, rate: Rate) {
        let elapsed = now.since(self.x) as f64;
        let second = f64::from(rate.hz()) / nominal;
        self.y = self.at(now);
        self.x = now;
        self.rounds += 1;
        // Half a millisecond: a clock cannot have moved so far, the path has.
        let stray = f64::from(rate.hz()) / 2000.0;
        if self.rounds > TRUSTED && early.abs() > stray {
            self.strays += 1;
            if self.strays >= STRAYS {
                self.strays = 0;
                self.y += early;
                let (before, step) = core::mem::replace(&mut self.moved, (now, early));
                let agreed = if (step > 0.0) == (early > 0.0) { step.abs().min(early.abs()) } else { 0.0 };
                let between = (now.since(before) as f64).max(second);
                self.turn(STEP_SHARE * agreed.copysign(early) / between, nominal);
            }
            return;
        }
        self.strays = 0;
        // The gains of a least-squares line through k points, held at the narrowest.
        let k = f64::from(self.rounds.min(NARROWEST));
        let norm = (k + 1.0) * (k + 2.0);
        self.y += early * (4.0 * k + 2.0) / norm;
        if self.rounds > 1 && elapsed > 0.0 {
            let k = k.max(f64::from(PRIOR));
            // A tenth of a millisecond is more than a clock makes up for in a round.
            let most = f64::from(rate.hz()) / 10_000.0;
            let early = if self.rounds <= WARY { early.clamp(-most, most) } else { early };
            let length = second / f64::from(ROUNDS_A_SECOND);
            self.turn(6.0 / ((k + 1.0) * (k + 2.0)) * early / elapsed.max(length), nominal);
        }
    }

    fn turn(&mut self, by: f64, nominal: f64) {
        self.slope = (self.slope + by).clamp(nominal * (1.0 - MAX_DRIFT), nominal * (1.0 + MAX_DRIFT));
    }
}

/// The largest integer that is not above `value` (`core` has no `floor`); exact below 2^53.
fn floor(value: f64) -> f64 {
    let whole = value as i64 as f64;
    if whole > value { whole - 1.0 } else { whole }
}
