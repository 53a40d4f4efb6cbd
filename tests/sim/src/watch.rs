use wireloom_ptp::{ClockState, Line};

/// What all lines that a clock published had to hold: continuous, and no faster in changing their rate than allowed.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Watch {
    /// The largest jump inside a generation, in nanoseconds.
    pub jump_ns: i64,
    /// The largest change of rate inside a generation, in parts per billion.
    pub rate_change_ppb: f64,
    /// The same between two lines that were both LOCKED.
    pub locked_rate_change_ppb: f64,
    /// Generations.
    pub generations: u32,
    last: Option<Line>,
}

impl Watch {
    pub(crate) fn see(&mut self, line: Line) {
        if let Some(last) = self.last.filter(|last| last.generation == line.generation) {
            self.jump_ns = self.jump_ns.max(line.time.since(last.at(line.base)).abs());
            let change = (line.rate - last.rate).abs() as f64 / 1_099.511_627_776;
            self.rate_change_ppb = self.rate_change_ppb.max(change);
            if line.state == ClockState::Locked && last.state == ClockState::Locked {
                self.locked_rate_change_ppb = self.locked_rate_change_ppb.max(change);
            }
        } else {
            self.generations += 1;
        }
        self.last = Some(line);
    }

    /// Panics with `what` unless everything held.
    pub fn assert_held(&self, what: &str) {
        assert_eq!(self.jump_ns, 0, "{what}: time jumped inside a generation");
        assert!(self.rate_change_ppb <= 50_001.0, "{what}: rate changed by {} ppb", self.rate_change_ppb);
        let locked = self.locked_rate_change_ppb;
        assert!(locked <= 10_001.0, "{what}: rate changed by {locked} ppb while LOCKED");
    }
}
