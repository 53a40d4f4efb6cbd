use wireloom_units::{MediaIndex, Rate};

/// Which payload type is taken (`aes67` 3.1).
pub(crate) struct PayloadTypes {
    pub wanted: u8,
    /// Another type, and since when it alone has come.
    other: Option<(u8, MediaIndex)>,
}

impl PayloadTypes {
    pub const fn new(wanted: u8) -> Self {
        Self { wanted, other: None }
    }

    pub fn admit(&mut self, now: MediaIndex, payload_type: u8, rate: Rate) -> bool {
        if payload_type == self.wanted {
            self.other = None;
            return true;
        }
        let since = match self.other {
            Some((other, since)) if other == payload_type && since <= now => since,
            _ => now,
        };
        self.other = Some((payload_type, since));
        if now.since(since) < i64::from(rate.hz()) {
            return false;
        }
        self.wanted = payload_type;
        self.other = None;
        true
    }
}
