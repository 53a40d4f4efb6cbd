use wireloom_units::Nanos;

/// Whether a stream is there, as far as its announcements tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Presence {
    /// Announced as usual, or heard.
    Present,
    /// An announcement is overdue, or its host said goodbye.
    Suspect,
    /// Gone.
    Offline,
}

/// Follows the announcements of one stream: suspect after one and a half of its intervals without any, offline after
/// three and a half (a proposal of this project; OAT gives no figures). Audio that arrives outweighs silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Liveness {
    interval: Nanos,
    announced: Nanos,
    heard: Option<Nanos>,
    goodbye: bool,
    deleted: bool,
}

impl Liveness {
    /// Of a stream that is announced for the first time.
    pub const fn new(now: Nanos) -> Self {
        Self { interval: NORMAL, announced: now, heard: None, goodbye: false, deleted: false }
    }

    /// It was announced again.
    pub fn handle_announcement(&mut self, now: Nanos) {
        let since = now.since(self.announced);
        // The quick repetitions at the start say nothing of the interval, and neither does a return.
        if since >= SHORTEST && since <= AWAY {
            let observed = since.min(LONGEST);
            self.interval = Nanos((self.interval.0 / 4 * 3 + observed.0 / 4).clamp(SHORTEST.0, LONGEST.0));
        }
        (self.announced, self.goodbye, self.deleted) = (now, false, false);
    }

    /// Its announcement was deleted.
    pub fn handle_deletion(&mut self) {
        self.deleted = true;
    }

    /// Its host said that it goes (mDNS).
    pub fn handle_goodbye(&mut self) {
        self.goodbye = true;
    }

    /// Its audio arrives.
    pub fn handle_audio(&mut self, now: Nanos) {
        self.heard = Some(now);
    }

    /// How it is at `now`.
    pub fn presence(&self, now: Nanos) -> Presence {
        let silent = now.since(self.announced);
        let audible = self.heard.is_some_and(|heard| now.since(heard) < STALLED);
        if self.deleted {
            Presence::Offline
        } else if audible {
            Presence::Present
        } else if silent >= self.offline_after() {
            Presence::Offline
        } else if self.goodbye || silent >= self.suspect_after() {
            Presence::Suspect
        } else {
            Presence::Present
        }
    }

    /// When [`Liveness::presence`] may say something else although nothing happens; `None` when it is offline.
    pub fn poll_timeout(&self, now: Nanos) -> Option<Nanos> {
        let audio = self.heard.map(|heard| heard.plus(STALLED));
        let dues = [
            Some(self.announced.plus(self.suspect_after())),
            Some(self.announced.plus(self.offline_after())),
            audio,
        ];
        let next = dues.into_iter().flatten().filter(|due| *due > now).min();
        next.filter(|_| !self.deleted)
    }

    fn suspect_after(&self) -> Nanos {
        Nanos(self.interval.0 / 2 * 3)
    }

    fn offline_after(&self) -> Nanos {
        Nanos(self.interval.0 / 2 * 7)
    }
}

const NORMAL: Nanos = Nanos::from_secs(30);
const SHORTEST: Nanos = Nanos::from_secs(5);
const LONGEST: Nanos = Nanos::from_secs(60);
/// Who was silent for longer was away.
const AWAY: Nanos = Nanos(LONGEST.0 / 2 * 7);
/// Without a packet for so long, audio has stopped.
const STALLED: Nanos = Nanos::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Nanos {
        Nanos::from_secs(seconds)
    }

    #[test]
    fn silence_is_suspect_at_45_s_and_offline_at_105_s() {
        let stream = Liveness::new(at(0));
        for (second, presence) in [
            (44, Presence::Present),
            (45, Presence::Suspect),
            (104, Presence::Suspect),
            (105, Presence::Offline),
        ] {
            assert_eq!(stream.presence(at(second)), presence, "after {second} s");
        }
        assert_eq!(stream.poll_timeout(at(0)), Some(at(45)));
        assert_eq!(stream.poll_timeout(at(45)), Some(at(105)));
        assert_eq!(stream.poll_timeout(at(105)), None);
    }

    #[test]
    fn the_interval_is_that_of_the_sender_within_bounds() {
        let mut stream = Liveness::new(at(0));
        (1..=40).for_each(|count| stream.handle_announcement(at(count * 10)));
        assert_eq!(stream.presence(at(414)), Presence::Present);
        assert_eq!(stream.presence(at(416)), Presence::Suspect);
        assert_eq!(stream.presence(at(436)), Presence::Offline);
        (1..=100).for_each(|count| stream.handle_announcement(at(500).plus(Nanos::from_millis(count))));
        assert_eq!(stream.presence(at(507)), Presence::Present, "a burst says nothing");
    }

    #[test]
    fn a_sender_that_speaks_seldom_is_waited_for_as_long_as_the_longest_interval_asks() {
        let mut stream = Liveness::new(at(0));
        (1..=40).for_each(|count| stream.handle_announcement(at(count * 80)));
        assert_eq!(stream.presence(at(40 * 80 + 79)), Presence::Present, "60 s and a half");
        assert_eq!(stream.presence(at(40 * 80 + 91)), Presence::Suspect);
        // Away for an hour, and back: that is no interval.
        let mut stream = Liveness::new(at(0));
        stream.handle_announcement(at(3600));
        assert_eq!(stream.presence(at(3645)), Presence::Suspect);
    }

    #[test]
    fn deletion_is_at_once_and_goodbye_is_a_suspicion_and_audio_is_evidence() {
        let mut stream = Liveness::new(at(0));
        stream.handle_goodbye();
        assert_eq!(stream.presence(at(1)), Presence::Suspect);
        stream.handle_announcement(at(2));
        assert_eq!(stream.presence(at(2)), Presence::Present);
        stream.handle_audio(at(500));
        assert_eq!(stream.presence(at(500)), Presence::Present);
        assert_eq!(stream.presence(at(501)), Presence::Offline);
        stream.handle_announcement(at(502));
        stream.handle_deletion();
        assert_eq!(stream.presence(at(502)), Presence::Offline);
    }
}
