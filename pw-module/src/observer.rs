//! Finds out, once a second, what is odd about what a stream brings.

use std::time::{Duration, Instant};

use wireloom_wanted::{Finding, Heard, Stats};

use crate::rt::Notes;

/// Counters are compared over this time: the level of a stream is measured as often.
const EVERY: Duration = Duration::from_secs(1);
/// A finding stays so many looks after it was seen last, so that what comes and goes is not news every second.
const KEPT: u8 = 4;
/// Looks in a row without any level after which a stream is called silent.
const SILENT_LOOKS: u8 = 3;
/// One packet in so many may be late or early before it is worth a word.
const TOLERATED: u64 = 10;

/// Watches one receiving node. Lives on the main loop.
#[derive(Debug, Default)]
pub(crate) struct Observer {
    looked_at: Option<Instant>,
    before: Stats,
    /// Each finding with the looks that it will stay for.
    found: Vec<(Finding, u8)>,
    zero_looks: u8,
    last: Option<Heard>,
    told: Option<Heard>,
}

impl Observer {
    /// Looks at the counters if it is time to. `stats` counts from when the node exists.
    pub(crate) fn look(&mut self, now: Instant, stats: &Stats, notes: Notes, heard: Option<Heard>) {
        if self.looked_at.is_some_and(|at| now.duration_since(at) < EVERY) {
            return;
        }
        let first = self.looked_at.replace(now).is_none();
        let before = std::mem::replace(&mut self.before, stats.clone());
        if first {
            return;
        }
        self.compare(&before, stats);
        self.note(Finding::Contradicts, notes.format_contradicts);
        self.note(Finding::NotPcm, notes.not_pcm);
        self.note(Finding::Raised, notes.raised);
        // Senders exist whose packets differ in length: only what two looks agree on is told.
        if heard == self.last {
            self.told = heard;
        }
        self.last = heard;
    }

    /// What is odd, in the order of [`Finding`].
    pub(crate) fn findings(&self) -> Vec<Finding> {
        let mut findings: Vec<Finding> = self.found.iter().map(|(finding, _)| *finding).collect();
        findings.sort();
        findings
    }

    /// What the packets say about themselves.
    pub(crate) fn heard(&self) -> Option<Heard> {
        self.told
    }

    fn compare(&mut self, before: &Stats, now: &Stats) {
        let new = |count: fn(&Stats) -> u64| count(now).saturating_sub(count(before));
        let (late, early) = (new(|s| s.late), new(|s| s.early));
        let of_stream = new(|s| s.packets) + late + early;
        let duplicates = new(|s| s.duplicates);
        let none = of_stream + duplicates == 0;
        self.note(Finding::NotRtp, none && new(|s| s.not_rtp) > 0);
        self.note(Finding::BadPayloadType, none && new(|s| s.bad_payload_type) > 0);
        self.note(Finding::BadSize, none && new(|s| s.bad_size) > 0);
        self.note(Finding::Foreign, new(|s| s.foreign) > 0);
        self.note(Finding::Late, late > 0 && late * TOLERATED >= of_stream);
        self.note(Finding::Early, early > 0 && early * TOLERATED >= of_stream);
        let zero = now.peak == 0 && new(|s| s.packets) > 0 && new(|s| s.cycles) > 0;
        self.zero_looks = if zero { self.zero_looks.saturating_add(1) } else { 0 };
        self.found.retain(|(finding, _)| *finding != Finding::Zero); // ends with the first sound
        self.note(Finding::Zero, self.zero_looks >= SILENT_LOOKS);
    }

    fn note(&mut self, finding: Finding, seen: bool) {
        let known = self.found.iter_mut().find(|(known, _)| *known == finding);
        match (known, seen) {
            (Some((_, looks)), true) => *looks = KEPT,
            (Some((_, looks)), false) => *looks -= 1,
            (None, true) => self.found.push((finding, KEPT)),
            (None, false) => {}
        }
        self.found.retain(|(_, looks)| *looks > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bench {
        observer: Observer,
        now: Instant,
        stats: Stats,
    }

    impl Bench {
        fn new() -> Self {
            let mut bench =
                Self { observer: Observer::default(), now: Instant::now(), stats: Stats::default() };
            bench.second(|_| {});
            bench
        }

        fn second(&mut self, change: impl FnOnce(&mut Stats)) -> Vec<Finding> {
            self.now += EVERY;
            change(&mut self.stats);
            self.stats.cycles += 187;
            self.observer.look(self.now, &self.stats, Notes::default(), None);
            self.observer.findings()
        }
    }

    #[test]
    fn each_oddity_is_found_and_forgotten_in_time() {
        type Change = fn(&mut Stats);
        let oddities: [(Finding, Change); 6] = [
            (Finding::NotRtp, |s| s.not_rtp += 1000),
            (Finding::BadPayloadType, |s| s.bad_payload_type += 1000),
            (Finding::BadSize, |s| s.bad_size += 1000),
            (Finding::Foreign, |s| (s.packets, s.foreign) = (s.packets + 1000, s.foreign + 1)),
            (Finding::Late, |s| (s.packets, s.late) = (s.packets + 900, s.late + 100)),
            (Finding::Early, |s| s.early += 1000),
        ];
        for (finding, change) in oddities {
            let mut bench = Bench::new();
            bench.stats.peak = 1;
            assert_eq!(bench.second(|s| s.packets += 1000), []);
            assert_eq!(bench.second(change), [finding]);
            let good = |bench: &mut Bench| bench.second(|s| s.packets += 1000);
            let stays = (0..10).take_while(|_| good(&mut bench) == [finding]).count();
            assert_eq!(stays, usize::from(KEPT) - 1, "{finding:?}");
        }
    }

    #[test]
    fn a_few_late_packets_are_no_finding() {
        let mut bench = Bench::new();
        bench.stats.peak = 1;
        assert_eq!(bench.second(|s| (s.packets, s.late) = (999, 1)), []);
    }

    #[test]
    fn only_lasting_zeros_are_called_so_and_the_first_sound_ends_them() {
        let mut bench = Bench::new();
        for _ in 1..SILENT_LOOKS {
            assert_eq!(bench.second(|s| s.packets += 1000), []);
        }
        assert_eq!(bench.second(|s| s.packets += 1000), [Finding::Zero]);
        assert_eq!(bench.second(|s| (s.packets, s.peak) = (s.packets + 1000, 1)), []);
        bench.stats.peak = 0;
        for _ in 0..9 {
            assert_eq!(bench.second(|_| {}), [], "nothing came: that is another finding");
        }
    }

    #[test]
    fn packets_of_changing_length_are_no_news() {
        let mut bench = Bench::new();
        for frames in [44, 45, 44, 45] {
            bench.now += EVERY;
            let heard = Some(Heard { ssrc: 1, payload_type: 97, frames });
            bench.observer.look(bench.now, &bench.stats, Notes::default(), heard);
            assert_eq!(bench.observer.heard(), None);
        }
        let heard = Some(Heard { ssrc: 1, payload_type: 97, frames: 45 });
        bench.now += EVERY;
        bench.observer.look(bench.now, &bench.stats, Notes::default(), heard);
        assert_eq!(bench.observer.heard(), heard);
    }
}
