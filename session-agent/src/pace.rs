//! Slows down who sends more than any real peer does, so that a flood costs us little and others nothing.

use std::time::Duration;

use tokio::time::sleep;

/// How fast one reader takes what comes to it. What comes meanwhile waits with its sender, or is lost in the kernel.
#[derive(Debug)]
pub struct Pace {
    most: usize,
    rest: Duration,
    taken: usize,
}

impl Pace {
    /// After every `most` the reader rests so long.
    pub const fn new(most: usize, rest: Duration) -> Self {
        Self { most, rest, taken: 0 }
    }

    /// So much was taken. Ends when more may be.
    pub async fn take(&mut self, amount: usize) {
        self.taken += amount;
        if self.taken >= self.most {
            self.taken = 0;
            sleep(self.rest).await;
        }
    }
}
