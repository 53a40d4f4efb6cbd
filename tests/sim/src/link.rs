use crate::{Random, True, ms, secs};

/// How long messages queue beyond the path's own delay. Figures in microseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pdv {
    /// Not at all.
    None,
    /// Host scheduling: half-normal 0.3, and 2 % exponential with mean 20.
    Host,
    /// Exponential with this mean; of the second part, outliers between the third and the fourth.
    Exponential(f64, f64, f64, f64),
    /// The second third of every minute uniform up to the first, else exponential with mean of the second.
    Bursts(f64, f64),
    /// Uniform up to the first; of the second part, nothing.
    Uniform(f64, f64),
    /// A switch port of 100 Mbit/s that other traffic of 1500-octet frames loads by this part (M/D/1).
    Queue(f64),
    /// Nothing before this many seconds, then this much.
    Step(i64, f64),
}

impl Pdv {
    fn draw(self, now: True, random: &mut Random) -> f64 {
        match self {
            Self::None => 0.0,
            Self::Host => {
                let scheduled = random.normal(0.3).abs();
                if random.chance(0.02) { scheduled + random.exponential(20.0) } else { scheduled }
            }
            Self::Exponential(_, part, low, high) if random.chance(part) => random.between(low, high),
            Self::Exponential(mean, ..) => random.exponential(mean),
            Self::Bursts(most, _) if now.rem_euclid(secs(60)) / secs(20) == 1 => random.between(0.0, most),
            Self::Bursts(_, mean) => random.exponential(mean),
            Self::Uniform(_, none) if random.chance(none) => 0.0,
            Self::Uniform(most, _) => random.between(0.0, most),
            Self::Queue(load) => {
                // Frames that are already there: the residual of one, and as many whole ones as arrived before.
                let frame = 123.0;
                let mut wait = 0.0;
                while random.chance(load) {
                    wait += if wait == 0.0 { random.between(0.0, frame) } else { frame };
                }
                wait
            }
            Self::Step(since, delay) => {
                if now >= secs(since) {
                    delay
                } else {
                    0.0
                }
            }
        }
    }
}

/// Which Delay_Resp get through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    /// None.
    Never,
    /// All.
    Always,
    /// Those of the first 0.2 s of every so many seconds.
    Every(i64),
}

impl Answers {
    const fn are_lost(self, now: True) -> bool {
        match self {
            Self::Never => true,
            Self::Always => false,
            Self::Every(seconds) => now.rem_euclid(secs(seconds)) > ms(200),
        }
    }
}

/// What the network between any two nodes does to messages.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Link {
    /// Delay of every message.
    pub delay: True,
    /// Queueing of Syncs.
    pub sync: Pdv,
    /// Queueing of delay requests.
    pub request: Pdv,
    /// How many messages are lost.
    pub loss: f64,
    /// How many come twice.
    pub duplication: f64,
    /// How many general messages come up to 200 ms late, behind later ones.
    pub reorder: f64,
    /// Whether Delay_Resp gets through: never, always, or only in the first 0.2 s of so many.
    pub answers: Answers,
}

impl Link {
    /// Two microseconds, nothing else.
    pub const QUIET: Self = Self {
        delay: crate::us(2),
        sync: Pdv::None,
        request: Pdv::None,
        loss: 0.0,
        duplication: 0.0,
        reorder: 0.0,
        answers: Answers::Always,
    };

    /// When copies of a message that leaves at `now` arrive.
    pub(crate) fn carry(&self, now: True, kind: u8, random: &mut Random) -> [Option<True>; 2] {
        let mut copy = |wanted: bool| {
            if !wanted || random.chance(self.loss) || (kind == 9 && self.answers.are_lost(now)) {
                return None;
            }
            let queued = match kind {
                0 => self.sync.draw(now, random),
                1 => self.request.draw(now, random),
                _ => random.exponential(5.0),
            };
            let reordered = kind >= 8 && random.chance(self.reorder);
            let late = if reordered { random.between(0.0, ms(200) as f64) } else { 0.0 };
            Some(now + self.delay + (queued * 1e6 + late) as True)
        };
        let first = copy(true);
        let again = random.chance(self.duplication);
        let mut second =
            |wanted: bool| wanted.then(|| now + self.delay + (random.exponential(20.0) * 1e6) as True);
        [first, second(again)]
    }
}
