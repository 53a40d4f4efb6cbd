use wireloom_units::{MediaIndex, MediaTime, Ssrc};

use crate::MAX_LEGS;

/// The widest step of the sequence number that may be loss (RFC 3550 §A.1, MAX_DROPOUT).
const MAX_STEP: i32 = 3000;
/// Packets in a row that contradict the sender's own count before the size is blamed.
const MISFITS: u32 = 2;

/// What a packet says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub sequence: u16,
    pub time: MediaTime,
    pub frames: u32,
}

impl Mark {
    /// With the number of packets of this size that fit before its timestamp in place of the sequence number.
    fn counted_by_time(self) -> Self {
        Self { sequence: (self.time.to_wire() / self.frames.max(1)) as u16, ..self }
    }
}

/// What the sender's own count makes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// Belongs to the sender that is listened to.
    Continues,
    /// The first of a sender: `again` when there was another one, or this one had restarted.
    Begins { again: bool },
    /// Belongs to what a leg that lags behind still brings from before a restart.
    Echo,
    /// Contradicts the sender's count; `clear` when nothing has confirmed that count so far.
    Unconfirmed { clear: bool },
    /// Contradicts it time and again: timestamps move by other steps than the payload has frames.
    Misfit { clear: bool },
    /// Another sender.
    Foreign,
}

/// Decides which of the senders in a group is listened to and whether its packets agree with each other.
#[derive(Debug, Default)]
pub(crate) struct Listening {
    current: Option<Current>,
    /// Senders of ST 2022-7 copies that wrongly have an SSRC of their own.
    aliases: [Option<Ssrc>; MAX_LEGS],
}

#[derive(Debug)]
struct Current {
    ssrc: Ssrc,
    leg: usize,
    /// The latest packet that agreed.
    last: Mark,
    /// When the last packet came that bears its name.
    heard: MediaIndex,
    /// A second packet has agreed with the first.
    confirmed: bool,
    /// All packets had the same number of frames, so that any two can be compared exactly.
    uniform: bool,
    /// Most frames in a packet.
    most: u32,
    /// A packet that disagreed, and its leg: the next one may agree with it.
    suspect: Option<(usize, Mark)>,
    /// The last packet before a restart, while another leg may lag behind.
    before: Option<Mark>,
    contradictions: u32,
    /// The last packet was beside its time, and taken.
    slipped: bool,
    /// Its sequence number stands still, against RFC 3550 §5.1: its timestamps are counted in its place.
    stuck: bool,
}

impl Listening {
    pub fn ssrc(&self) -> Option<Ssrc> {
        self.current.as_ref().map(|current| current.ssrc)
    }

    /// The leg on which it was first heard; the first one before.
    pub fn leg(&self) -> usize {
        self.current.as_ref().map_or(0, |current| current.leg)
    }

    pub fn frames_per_packet(&self) -> Option<u32> {
        self.current.as_ref().map(|current| current.last.frames)
    }

    pub fn has_aliases(&self) -> bool {
        self.aliases.iter().any(Option::is_some)
    }

    /// The mark that a packet is judged by: its own sequence number, unless those of its sender stand still.
    pub fn mark(&self, ssrc: Ssrc, sequence: u16, time: MediaTime, frames: u32) -> Mark {
        let mark = Mark { sequence, time, frames };
        let is_heard = |current: &&Current| current.ssrc == ssrc || self.aliases.contains(&Some(ssrc));
        let stuck = self.current.as_ref().filter(is_heard).is_some_and(|current| current.stuck);
        if stuck { mark.counted_by_time() } else { mark }
    }

    /// Packets contradict their own timestamps: the payload has not the format that was described.
    pub fn contradicts(&self) -> bool {
        self.current.as_ref().is_some_and(|current| current.contradictions >= MISFITS)
    }

    pub fn judge(&mut self, now: MediaIndex, leg: usize, ssrc: Ssrc, mark: Mark, silence: u64) -> Judgement {
        let Some(current) = &mut self.current else {
            return self.adopt(now, leg, ssrc, mark, false);
        };
        let silent = now.since(current.heard).unsigned_abs() > silence;
        if ssrc != current.ssrc && self.aliases.get(leg) != Some(&Some(ssrc)) {
            let is_copy = leg != current.leg && current.agrees(&current.last, &mark);
            if silent {
                return self.adopt(now, leg, ssrc, mark, true);
            }
            if !is_copy {
                return Judgement::Foreign;
            }
            if let Some(alias) = self.aliases.get_mut(leg) {
                *alias = Some(ssrc);
            }
        }
        current.heard = now;
        if current.agrees(&current.last, &mark) {
            current.agree(leg, mark);
            return Judgement::Continues;
        }
        if let Some((_, suspect)) = current.suspect.take_if(|(_, suspect)| agrees_exactly(suspect, &mark)) {
            current.slip(suspect, mark);
            return Judgement::Begins { again: true };
        }
        if let Some((_, suspect)) = current.suspect.take_if(|(_, suspect)| stands_still(suspect, &mark)) {
            current.stuck = true;
            current.slip(suspect.counted_by_time(), mark.counted_by_time());
            return Judgement::Begins { again: true };
        }
        if silent {
            return self.adopt(now, leg, ssrc, mark, true);
        }
        if current.before.is_some_and(|before| current.agrees(&before, &mark)) {
            return Judgement::Echo;
        }
        if current.slips(&mark) {
            current.slip(mark, mark);
            current.slipped = true;
            return Judgement::Begins { again: true };
        }
        current.suspect = Some((leg, mark));
        current.contradictions = current.contradictions.saturating_add(1);
        let clear = !current.confirmed;
        if current.contradictions < MISFITS {
            Judgement::Unconfirmed { clear }
        } else {
            Judgement::Misfit { clear }
        }
    }

    fn adopt(&mut self, now: MediaIndex, leg: usize, ssrc: Ssrc, mark: Mark, again: bool) -> Judgement {
        self.aliases = [None; MAX_LEGS];
        self.current = Some(Current {
            ssrc,
            leg,
            last: mark,
            heard: now,
            confirmed: false,
            uniform: true,
            most: mark.frames,
            suspect: None,
            before: None,
            contradictions: 0,
            slipped: false,
            stuck: false,
        });
        Judgement::Begins { again }
    }
}

impl Current {
    /// Whether `mark` can be of the same count as `from`: timestamps move as sequence numbers say.
    fn agrees(&self, from: &Mark, mark: &Mark) -> bool {
        let step = i32::from(mark.sequence.wrapping_sub(from.sequence).cast_signed());
        let time = i64::from(mark.time.since(from.time));
        let exact = self.uniform && mark.frames == self.most;
        match step {
            1 => time == i64::from(from.frames),
            -1 => time == -i64::from(mark.frames),
            0 => time == 0 && mark.frames == from.frames,
            _ if step.abs() > MAX_STEP => false,
            _ if exact => time == i64::from(step) * i64::from(self.most),
            _ => {
                let most = i64::from(step.abs()) * i64::from(self.most.max(mark.frames));
                time.signum() == i64::from(step.signum())
                    && (i64::from(step.abs())..=most).contains(&time.abs())
            }
        }
    }

    fn agree(&mut self, leg: usize, mark: Mark) {
        self.contradictions = 0;
        self.suspect.take_if(|(suspect, _)| *suspect == leg);
        let step = mark.sequence.wrapping_sub(self.last.sequence).cast_signed();
        self.confirmed |= step != 0;
        self.slipped &= step == 0;
        self.uniform &= mark.frames == self.most;
        self.most = self.most.max(mark.frames);
        if step > 0 {
            self.last = mark;
        }
    }

    /// Whether `mark` is the very next packet of a count that held so far, less than its length beside its time: the
    /// sender set its clock. Twice in a row would be another format.
    fn slips(&self, mark: &Mark) -> bool {
        let step = mark.sequence.wrapping_sub(self.last.sequence);
        let beside = i64::from(mark.time.since(self.last.time)) - i64::from(self.last.frames);
        let held = self.confirmed && self.uniform && !self.slipped && !self.stuck;
        held && step == 1 && mark.frames == self.most && beside.abs() < i64::from(mark.frames)
    }

    /// The count goes on elsewhere: two packets agree about it.
    fn slip(&mut self, suspect: Mark, mark: Mark) {
        self.before = Some(self.last);
        self.last = mark;
        self.confirmed = true;
        self.contradictions = 0;
        self.uniform = suspect.frames == mark.frames;
        self.most = suspect.frames.max(mark.frames);
    }
}

/// `mark` is the very next packet after `suspect`.
fn agrees_exactly(suspect: &Mark, mark: &Mark) -> bool {
    mark.sequence == suspect.sequence.wrapping_add(1)
        && i64::from(mark.time.since(suspect.time)) == i64::from(suspect.frames)
}

/// `mark` is the next packet after `suspect` by its timestamp, with the same sequence number.
fn stands_still(suspect: &Mark, mark: &Mark) -> bool {
    mark.sequence == suspect.sequence && i64::from(mark.time.since(suspect.time)) == i64::from(suspect.frames)
}
