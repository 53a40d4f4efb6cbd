//! The masters heard on one port, from their Announce messages (IEEE 1588-2008 §9.3.2.4).

use wireloom_units::ClockIdentity;

use crate::bmca::DataSet;
use crate::random::Random;
use crate::v2::{Announce, ClockQuality, Flags, Header, PortIdentity};

/// Records on one port; more masters than this are an attack or a mistake.
const MAX_RECORDS: usize = 16;
/// Announce intervals in which two messages make a master eligible.
const QUALIFICATION: i64 = 4;
/// Intervals that a header may claim, as log2 of seconds.
const LOG_INTERVALS: core::ops::RangeInclusive<i8> = -7..=4;
const SECOND: i64 = 1_000_000_000;

/// 2^`log` seconds in nanoseconds; `log` is held inside −10 to 10.
pub(crate) const fn interval_of(log: i8) -> i64 {
    let log = if log < -10 {
        -10
    } else if log > 10 {
        10
    } else {
        log
    };
    if log < 0 { SECOND >> -log } else { SECOND << log }
}

/// How often somebody sends: what the header claims, unless the messages come more slowly.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cadence {
    claimed: i64,
    last: i64,
    gaps: [i64; 2],
}

impl Cadence {
    /// Begins with a message at `now` whose header claims `log`; `usual` is what is assumed if it claims nothing.
    pub(crate) fn new(now: i64, log: i8, usual: i8) -> Self {
        Self { claimed: Self::claim(log, usual), last: now, gaps: [0; 2] }
    }

    pub(crate) fn heard(&mut self, now: i64, log: i8, usual: i8) {
        self.claimed = Self::claim(log, usual);
        self.gaps = [now.saturating_sub(self.last).max(0), self.gaps[0]];
        self.last = now;
    }

    /// The interval in nanoseconds. One lost message does not change it, a lying header does not hide it.
    pub(crate) fn interval(&self) -> i64 {
        let observed = self.gaps[0].min(self.gaps[1]);
        // A tenth of slack: messages that come as claimed jitter around the claim.
        if observed > self.claimed + self.claimed / 10 { observed.min(64 * SECOND) } else { self.claimed }
    }

    /// As [`Cadence::interval`], and shorter where messages come faster than claimed.
    pub(crate) fn pace(&self) -> i64 {
        let slower = self.gaps[0].max(self.gaps[1]);
        let known = self.gaps.iter().all(|&gap| gap > 0);
        if known && slower < self.claimed / 2 { slower } else { self.interval() }
    }

    pub(crate) const fn last(&self) -> i64 {
        self.last
    }

    fn claim(log: i8, usual: i8) -> i64 {
        interval_of(if LOG_INTERVALS.contains(&log) { log } else { usual })
    }
}

/// What an Announce says that is worth keeping: small, for there are many.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Description {
    pub(crate) grandmaster: ClockIdentity,
    pub(crate) quality: ClockQuality,
    pub(crate) steps_removed: u16,
    pub(crate) utc_offset: i16,
    pub(crate) flags: Flags,
    pub(crate) priority1: u8,
    pub(crate) priority2: u8,
    pub(crate) time_source: u8,
}

impl Description {
    const fn of(header: &Header, announce: &Announce) -> Self {
        let &Announce { grandmaster, quality, steps_removed, utc_offset, .. } = announce;
        let &Announce { priority1, priority2, time_source, .. } = announce;
        let flags = header.flags;
        Self { grandmaster, quality, steps_removed, utc_offset, flags, priority1, priority2, time_source }
    }
}

/// What one master said last.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record {
    pub(crate) sender: PortIdentity,
    pub(crate) said: Description,
    cadence: Cadence,
    qualified: bool,
    expires: i64,
}

impl Record {
    pub(crate) const fn data_set(&self, receiver: PortIdentity) -> DataSet {
        let Description { priority1, quality, priority2, grandmaster, steps_removed, .. } = self.said;
        DataSet { priority1, quality, priority2, grandmaster, steps_removed, sender: self.sender, receiver }
    }

    fn update(
        &mut self,
        now: i64,
        header: &Header,
        announce: &Announce,
        habits: &Habits,
        random: &mut Random,
    ) {
        let before = self.cadence.last();
        self.cadence.heard(now, header.log_interval, habits.log_announce);
        self.said = Description::of(header, announce);
        let interval = self.cadence.interval();
        self.qualified |= now.saturating_sub(before) <= QUALIFICATION * interval;
        self.renew(now, habits, random);
    }

    /// A qualified master is given up after the announce receipt timeout, another after the qualification window.
    fn renew(&mut self, now: i64, habits: &Habits, random: &mut Random) {
        let interval = self.cadence.interval();
        let patience = if self.qualified {
            interval * i64::from(habits.receipt_timeout) + random.up_to(interval)
        } else {
            // Long enough to see through a header that claims too short an interval.
            QUALIFICATION * interval.max(interval_of(habits.log_announce))
        };
        self.expires = now.saturating_add(patience);
    }
}

/// What the configuration says about Announce messages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Habits {
    pub(crate) log_announce: i8,
    pub(crate) receipt_timeout: u8,
}

/// The masters heard on one port.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ForeignMasters {
    records: [Option<Record>; MAX_RECORDS],
}

impl ForeignMasters {
    pub(crate) const fn new() -> Self {
        Self { records: [None; MAX_RECORDS] }
    }

    /// Takes an Announce; says whether nobody had to be forgotten, or refused, for it.
    pub(crate) fn handle_announce(
        &mut self,
        now: i64,
        header: &Header,
        announce: &Announce,
        habits: &Habits,
        random: &mut Random,
    ) -> bool {
        if let Some(record) = self.records.iter_mut().flatten().find(|record| record.sender == header.source)
        {
            record.update(now, header, announce, habits, random);
            return true;
        }
        let mut record = Record {
            sender: header.source,
            said: Description::of(header, announce),
            cadence: Cadence::new(now, header.log_interval, habits.log_announce),
            qualified: false,
            expires: now,
        };
        record.renew(now, habits, random);
        if let Some(place) = self.records.iter_mut().find(|place| place.is_none()) {
            *place = Some(record);
            return true;
        }
        // A flood of strangers may push out strangers, never a master that has proven itself.
        let stranger = self
            .records
            .iter_mut()
            .filter(|place| place.is_some_and(|record| !record.qualified))
            .min_by_key(|place| place.map(|record| record.cadence.last()));
        if let Some(place) = stranger {
            *place = Some(record);
        } else if let Some(place) = self.worst_than(&record) {
            *place = Some(record);
        }
        false
    }

    fn worst_than(&mut self, newcomer: &Record) -> Option<&mut Option<Record>> {
        let receiver = PortIdentity::default();
        let worst = self.records.iter_mut().reduce(|worst, place| match (&worst, &place) {
            (Some(a), Some(b)) if b.data_set(receiver).compare(&a.data_set(receiver)).is_better() => worst,
            _ => place,
        })?;
        let better = worst
            .is_some_and(|worst| newcomer.data_set(receiver).compare(&worst.data_set(receiver)).is_better());
        better.then_some(worst)
    }

    /// Forgets who fell silent; says whether that was somebody who counted.
    pub(crate) fn expire(&mut self, now: i64) -> bool {
        let mut counted = false;
        for place in &mut self.records {
            if let Some(record) = place.filter(|record| record.expires <= now) {
                counted |= record.qualified;
                *place = None;
            }
        }
        counted
    }

    /// When somebody will be forgotten next.
    pub(crate) fn next_expiry(&self) -> Option<i64> {
        self.records.iter().flatten().map(|record| record.expires).min()
    }

    /// The best master that qualifies, as heard by `receiver`.
    pub(crate) fn best(&self, receiver: PortIdentity) -> Option<&Record> {
        let qualified = self.records.iter().flatten().filter(|record| record.qualified);
        qualified.reduce(|best, record| {
            if record.data_set(receiver).compare(&best.data_set(receiver)).is_better() {
                record
            } else {
                best
            }
        })
    }
}
