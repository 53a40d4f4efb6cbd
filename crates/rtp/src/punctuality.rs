use wireloom_units::{MediaIndex, Rate, Samples};

/// Spans of the stream in a row in which packets must have come too late.
const SPANS: usize = 5;
/// A span is this fraction of a second: 200 ms. What comes later than that stood still somewhere, and is no habit.
const SPANS_A_SECOND: u32 = 5;

/// Finds out that a sender's packets come too late again and again, and how much latency they need.
///
/// A sender that hands over a whole cycle of its graph at once is late with the first packet of each, by the same
/// amount for ever; a latency that does not cover it is a stutter for ever. A computer that stalls is late once: that
/// is worth a gap, but no change of latency. So packets must have been missed in each of five spans of 200 ms, and
/// the few that were later than all the others do not count.
#[derive(Debug, Clone, Copy)]
pub struct Punctuality {
    span: u32,
    follows: bool,
    /// Number of the span that packets are of now; absent before the first.
    current: Option<u64>,
    now: Span,
    /// The greatest delays of the spans before, in which packets were missed.
    delays: [u32; SPANS],
    run: usize,
}

/// What was seen in a span.
#[derive(Debug, Clone, Copy, Default)]
struct Span {
    delay: u32,
    missed: bool,
    punctual: bool,
}

impl Punctuality {
    /// For a stream of `rate`; `follows` when the reader goes after the earliest arrivals by itself: it mends a time
    /// in which all packets are late without more latency.
    pub const fn new(rate: Rate, follows: bool) -> Self {
        let now = Span { delay: 0, missed: false, punctual: false };
        Self { span: rate.hz() / SPANS_A_SECOND, follows, current: None, now, delays: [0; SPANS], run: 0 }
    }

    /// Takes in a packet whose first frame is `index`, which came `delay` frames after its last could have, and
    /// `margin` frames before its first was due: negative when frames of it were missed.
    ///
    /// Returns the delay that is to be endured, after a second in which packets were missed all the time; begins anew
    /// then.
    pub fn handle_packet(&mut self, index: MediaIndex, delay: i64, margin: i64) -> Option<Samples> {
        let span = index.0 / u64::from(self.span.max(1));
        let before = self.current.unwrap_or(span);
        let mut found = None;
        // One of the span before came after a later one: it counts for this.
        if span != before && span + 1 != before {
            found = self.end(span == before + 1);
        }
        if self.current.is_none() || span + 1 != before {
            self.current = Some(span);
        }
        if margin >= -i64::from(self.span) {
            self.now.missed |= margin < 0;
            self.now.punctual |= margin >= 0;
            self.now.delay = self.now.delay.max(u32::try_from(delay).unwrap_or(0));
        }
        found
    }

    /// Ends a span; `continues` when the next follows it.
    fn end(&mut self, continues: bool) -> Option<Samples> {
        let Span { delay, missed, punctual } = core::mem::take(&mut self.now);
        if let Some(place) = self.delays.get_mut(self.run) {
            *place = delay;
        }
        self.run = if missed && (punctual || !self.follows) { self.run + 1 } else { 0 };
        if self.run < SPANS {
            self.run = if continues { self.run } else { 0 };
            return None;
        }
        self.run = 0;
        self.delays.sort_unstable();
        let [.., middle, _, _] = self.delays;
        let usual = |delay: &u32| *delay <= 2 * middle;
        self.delays.iter().copied().rfind(usual).map(Samples)
    }
}
