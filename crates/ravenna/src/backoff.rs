use wireloom_units::Nanos;

/// How long to wait before the next attempt to connect: 1, 2, 4 and so on up to 60 seconds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Notes a failure; gives the time to wait.
    pub fn failed(&mut self) -> Nanos {
        let seconds = 1_u64.checked_shl(self.failures).unwrap_or(LONGEST).min(LONGEST);
        self.failures = self.failures.saturating_add(1).min(16);
        Nanos::from_secs(seconds)
    }

    /// Notes a success: the next failure waits a second again.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }
}

const LONGEST: u64 = 60; // a device that was switched on is found within a minute

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_minute_and_begin_anew() {
        let mut backoff = Backoff::default();
        let waits: [u64; 8] = core::array::from_fn(|_| backoff.failed().0 / 1_000_000_000);
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        (0..100).for_each(|_| assert_eq!(backoff.failed(), Nanos::from_secs(60)));
        backoff.succeeded();
        assert_eq!(backoff.failed(), Nanos::from_secs(1));
    }
}
