use super::Token;
use crate::config::PortConfig;
use crate::foreign::ForeignMasters;
use crate::status::PortState;

/// Sent Syncs that wait for their transmit timestamp.
const PENDING: usize = 4;

/// One interface.
#[derive(Debug, Clone)]
pub(super) struct Port {
    pub(super) constants: PortConfig,
    pub(super) state: PortState,
    pub(super) foreign: ForeignMasters,
    /// While LISTENING: when the announce receipt timeout passes. While PRE_MASTER: when leading may begin.
    pub(super) wait_until: i64,
    pub(super) next_announce: i64,
    pub(super) next_sync: i64,
    pub(super) announce_sequence: u16,
    pub(super) sync_sequence: u16,
    syncs: [Option<(Token, u16)>; PENDING],
    next_pending: usize,
}

impl Port {
    pub(super) const fn new() -> Self {
        Self {
            constants: PortConfig { ingress_latency_ns: 0, egress_latency_ns: 0, delay_asymmetry_ns: 0 },
            state: PortState::Disabled,
            foreign: ForeignMasters::new(),
            wait_until: 0,
            next_announce: 0,
            next_sync: 0,
            announce_sequence: 0,
            sync_sequence: 0,
            syncs: [None; PENDING],
            next_pending: 0,
        }
    }

    /// Forgets everything but its place in the rows of numbers that others have seen.
    pub(super) fn reset(&mut self) {
        let (announce_sequence, sync_sequence) = (self.announce_sequence, self.sync_sequence);
        *self = Self { announce_sequence, sync_sequence, ..Self::new() };
    }

    pub(super) fn is_enabled(&self) -> bool {
        self.state != PortState::Disabled
    }

    /// Remembers a Sync that is about to leave; says whether an older one never got its timestamp.
    pub(super) fn expect_sent(&mut self, token: Token, sequence: u16) -> bool {
        let Some(place) = self.syncs.get_mut(self.next_pending) else { return false };
        self.next_pending = (self.next_pending + 1) % PENDING;
        place.replace((token, sequence)).is_some()
    }

    /// The sequence number of the Sync that `token` names, once.
    pub(super) fn take_sent(&mut self, token: Token) -> Option<u16> {
        let place = self.syncs.iter_mut().find(|place| place.is_some_and(|(sent, _)| sent == token))?;
        place.take().map(|(_, sequence)| sequence)
    }

    /// When this port needs attention next.
    pub(super) fn next_timeout(&self) -> Option<i64> {
        let own = match self.state {
            PortState::Disabled => return None,
            PortState::Listening | PortState::PreMaster => Some(self.wait_until),
            PortState::Master => Some(self.next_announce.min(self.next_sync)),
            PortState::Passive | PortState::Uncalibrated | PortState::Slave => None,
        };
        own.into_iter().chain(self.foreign.next_expiry()).min()
    }
}
