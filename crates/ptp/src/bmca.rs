//! Which of two clocks is better, and what that makes of a port (IEEE 1588-2008 §9.3).

use wireloom_units::ClockIdentity;

use crate::v2::{ClockQuality, PortIdentity};

/// What the comparison looks at: a grandmaster, the way to it, and which port of ours heard it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataSet {
    /// grandmasterPriority1.
    pub priority1: u8,
    /// grandmasterClockQuality.
    pub quality: ClockQuality,
    /// grandmasterPriority2.
    pub priority2: u8,
    /// grandmasterIdentity.
    pub grandmaster: ClockIdentity,
    /// Boundary clocks between the grandmaster and the sender.
    pub steps_removed: u16,
    /// Who announced it.
    pub sender: PortIdentity,
    /// Which port of ours heard it.
    pub receiver: PortIdentity,
}

/// How the first of two data sets stands to the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// The first is better.
    Better,
    /// Both have the same grandmaster; the first's path is shorter or comes first.
    BetterByTopology,
    /// The second's path is shorter or comes first.
    WorseByTopology,
    /// The second is better.
    Worse,
    /// Sender and receiver are the same port: a message of our own (error-1).
    Own,
    /// The same message twice (error-2).
    Same,
}

impl Comparison {
    /// Whether the first is better, by itself or by topology.
    pub const fn is_better(self) -> bool {
        matches!(self, Self::Better | Self::BetterByTopology)
    }

    const fn mirrored(self) -> Self {
        match self {
            Self::Better => Self::Worse,
            Self::BetterByTopology => Self::WorseByTopology,
            Self::WorseByTopology => Self::BetterByTopology,
            Self::Worse => Self::Better,
            Self::Own | Self::Same => self,
        }
    }
}

impl DataSet {
    /// Compares `self` with `other`. Lower values win. Source: IEEE 1588-2008 figures 27 and 28.
    pub fn compare(&self, other: &Self) -> Comparison {
        if self.grandmaster == other.grandmaster {
            return self.compare_paths(other);
        }
        if self.rank() < other.rank() { Comparison::Better } else { Comparison::Worse }
    }

    fn rank(&self) -> (u8, ClockQuality, u8, ClockIdentity) {
        (self.priority1, self.quality, self.priority2, self.grandmaster)
    }

    fn compare_paths(&self, other: &Self) -> Comparison {
        match i32::from(self.steps_removed) - i32::from(other.steps_removed) {
            ..=-2 => Comparison::Better,
            -1 => other.longer_path().mirrored(),
            0 => self.compare_ends(other),
            1 => self.longer_path(),
            2.. => Comparison::Worse,
        }
    }

    /// One step further away than the other: it depends on which side of us the sender is.
    fn longer_path(&self) -> Comparison {
        match self.receiver.cmp(&self.sender) {
            core::cmp::Ordering::Less => Comparison::Worse,
            core::cmp::Ordering::Equal => Comparison::Own,
            core::cmp::Ordering::Greater => Comparison::WorseByTopology,
        }
    }

    fn compare_ends(&self, other: &Self) -> Comparison {
        match self.sender.cmp(&other.sender).then(self.receiver.port.cmp(&other.receiver.port)) {
            core::cmp::Ordering::Less => Comparison::BetterByTopology,
            core::cmp::Ordering::Equal => Comparison::Same,
            core::cmp::Ordering::Greater => Comparison::WorseByTopology,
        }
    }
}

/// What the state decision algorithm recommends for a port (IEEE 1588-2008 figure 26).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Decision {
    /// Nothing was heard yet.
    Listening,
    /// Leads, because this clock is the best (M1, M2).
    Master,
    /// Leads on behalf of the grandmaster that another port follows (M3).
    BoundaryMaster,
    /// Silent, because this clock serves no better one but is not the best here (P1).
    Passive1,
    /// Silent, because another path to the same grandmaster is better (P2).
    Passive2,
    /// Follows (S1).
    Slave,
}

/// Decides for a port that heard `heard` at best, while all ports together heard `best`.
///
/// `own` is this clock's data; `waiting` says that the port is LISTENING and its announce receipt timeout has not
/// passed.
pub fn decide(own: &DataSet, heard: Option<&DataSet>, best: Option<&DataSet>, waiting: bool) -> Decision {
    if heard.is_none() && waiting {
        return Decision::Listening;
    }
    if own.quality.class <= 127 {
        return match heard {
            Some(heard) if !own.compare(heard).is_better() => Decision::Passive1,
            _ => Decision::Master,
        };
    }
    let Some(best) = best.filter(|best| !own.compare(best).is_better()) else { return Decision::Master };
    match heard {
        Some(heard) if heard == best => Decision::Slave,
        Some(heard) if best.compare(heard) == Comparison::BetterByTopology => Decision::Passive2,
        _ => Decision::BoundaryMaster,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn id(last: u8) -> ClockIdentity {
        ClockIdentity([0, 0, 0, 0, 0, 0, 0, last])
    }

    const fn port(clock: u8, number: u16) -> PortIdentity {
        PortIdentity { clock: id(clock), port: number }
    }

    /// Defaults of `aes67` 8.5, heard from the grandmaster itself by port 1 of clock 9.
    fn heard(grandmaster: u8) -> DataSet {
        DataSet {
            priority1: 128,
            quality: ClockQuality { class: 248, accuracy: 0xfe, variance: 0xffff },
            priority2: 128,
            grandmaster: id(grandmaster),
            steps_removed: 0,
            sender: port(grandmaster, 1),
            receiver: port(9, 1),
        }
    }

    fn class(class: u8, set: DataSet) -> DataSet {
        DataSet { quality: ClockQuality { class, ..set.quality }, ..set }
    }

    fn steps(steps_removed: u16, set: DataSet) -> DataSet {
        DataSet { steps_removed, ..set }
    }

    fn from(sender: u8, set: DataSet) -> DataSet {
        DataSet { sender: port(sender, 1), ..set }
    }

    #[test]
    fn the_table_of_comparisons_holds_both_ways() {
        let accuracy =
            |accuracy, set: DataSet| DataSet { quality: ClockQuality { accuracy, ..set.quality }, ..set };
        let variance =
            |variance, set: DataSet| DataSet { quality: ClockQuality { variance, ..set.quality }, ..set };
        let (a, b) = (heard(1), heard(2));
        use Comparison::{Better, BetterByTopology, Worse, WorseByTopology};
        let table = [
            ("B1", a, b, Better),
            ("B2", class(6, a), DataSet { priority1: 127, ..class(255, b) }, Worse),
            ("B3", class(6, heard(9)), b, Better),
            ("B4", accuracy(0x21, class(6, heard(9))), accuracy(0x22, class(6, b)), Better),
            ("B5", variance(0x4e5d, heard(9)), b, Better),
            ("B6", DataSet { priority2: 127, ..heard(9) }, b, Better),
            ("B7", steps(5, a), b, Better),
            ("B8", steps(3, a), steps(1, a), Worse),
            ("B9", from(20, steps(2, a)), steps(1, a), Worse),
            ("B10", from(5, steps(2, a)), steps(1, a), WorseByTopology),
            ("B11", from(5, steps(1, a)), from(6, steps(1, a)), BetterByTopology),
            ("B12", DataSet { receiver: port(9, 2), ..a }, a, WorseByTopology),
            ("own message", from(9, steps(2, a)), steps(1, a), Comparison::Own),
            ("same message", a, a, Comparison::Same),
        ];
        for (name, a, b, expected) in table {
            assert_eq!(a.compare(&b), expected, "{name}");
            assert_eq!(b.compare(&a), expected.mirrored(), "{name} mirrored");
        }
    }

    #[test]
    fn ports_get_the_states_of_the_decision_algorithm() {
        let own = DataSet { sender: port(9, 0), receiver: port(9, 0), ..heard(9) };
        let primary = class(6, own);
        let better = DataSet { priority1: 127, ..heard(1) };
        let worse = DataSet { priority1: 129, ..heard(1) };
        let far = from(6, steps(1, DataSet { receiver: port(9, 2), ..better }));
        let near = from(5, steps(1, better));
        for (name, own, on_port, best, waiting, expected) in [
            ("nothing yet", own, None, None, true, Decision::Listening),
            ("nothing at all", own, None, None, false, Decision::Master),
            ("M1", primary, Some(heard(1)), Some(heard(1)), true, Decision::Master),
            ("P1", primary, Some(class(6, better)), Some(class(6, better)), false, Decision::Passive1),
            ("P1 ignores others", primary, None, Some(class(6, better)), false, Decision::Master),
            ("M2", own, Some(worse), Some(worse), true, Decision::Master),
            ("S1", own, Some(better), Some(better), true, Decision::Slave),
            ("M3 without a record", own, None, Some(better), false, Decision::BoundaryMaster),
            ("M3 with a worse one", own, Some(worse), Some(better), false, Decision::BoundaryMaster),
            ("P2", own, Some(far), Some(near), false, Decision::Passive2),
        ] {
            assert_eq!(decide(&own, on_port.as_ref(), best.as_ref(), waiting), expected, "{name}");
        }
    }
}
