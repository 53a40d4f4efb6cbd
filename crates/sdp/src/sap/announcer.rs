use alloc::{
    collections::{BTreeMap, VecDeque},
    string::String,
    vec::Vec,
};
use core::net::IpAddr;

use wireloom_units::Nanos;

use super::{SapPacket, message_hash};
use crate::{Description, Flavour, WriteError, write};

/// Announces our own streams (SAP, RFC 2974). Owns no socket and no clock.
///
/// A stream is announced at once when it is new or changed, again after 1 s and 3 s, then every 30 s, a tenth more
/// or less; with more than 200 streams as seldom as the RFC asks. Packets are at least 2 ms apart.
#[derive(Debug)]
pub struct SapAnnouncer {
    announced: BTreeMap<u64, Announced>,
    deletions: VecDeque<Deletion>,
    outgoing: VecDeque<Outgoing>,
    /// No packet leaves before this.
    free_at: Nanos,
    random: u64,
    to_pipewire: bool,
}

/// A datagram for every announcement group, from one and the same socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The caller's name for the stream.
    pub id: u64,
    /// Address of this host that the packet names: it must leave from there.
    pub origin: IpAddr,
    /// The datagram.
    pub bytes: Vec<u8>,
}

#[derive(Debug)]
struct Announced {
    description: Description,
    flavour: Flavour,
    text: String,
    due: Nanos,
    sent: u32,
}

#[derive(Debug)]
struct Deletion {
    due: Nanos,
    session: (IpAddr, u64),
    outgoing: Outgoing,
}

impl SapAnnouncer {
    /// Announces nothing yet. `seed` decides the jitter: another one on every host and at every start.
    pub const fn new(seed: u64) -> Self {
        Self {
            announced: BTreeMap::new(),
            deletions: VecDeque::new(),
            outgoing: VecDeque::new(),
            free_at: Nanos::ZERO,
            random: seed,
            to_pipewire: false,
        }
    }

    /// Announces a stream, or what it is now: `id` is the caller's name for it.
    ///
    /// A change gets a version above the last one; the same description again changes nothing. A new origin address
    /// or session id withdraws the old session. Gives the version announced. Errors: as [`write()`]; what was
    /// announced before stays.
    pub fn handle_change(
        &mut self,
        now: Nanos,
        id: u64,
        mut description: Description,
        flavour: Flavour,
    ) -> Result<u64, WriteError> {
        if let Some(known) = self.announced.get(&id) {
            let asked = description.version;
            description.version = known.description.version;
            if description == known.description && flavour == known.flavour && asked <= description.version {
                return Ok(description.version);
            }
            description.version = asked.max(known.description.version.saturating_add(1));
        }
        let text = write(&description, flavour)?;
        let session = |d: &Description| (d.origin, d.session_id, d.user.clone());
        let before =
            self.announced.get(&id).filter(|known| session(&known.description) != session(&description));
        if before.is_some() {
            self.handle_withdrawal(now, id);
        }
        // A deletion still to come would take away the session that is back.
        self.deletions.retain(|deletion| deletion.session != (description.origin, description.session_id));
        let version = description.version;
        self.announced.insert(id, Announced { description, flavour, text, due: now, sent: 0 });
        self.handle_timeout(now);
        Ok(version)
    }

    /// Withdraws a stream: three deletions, 20 to 50 ms apart. An unknown `id` changes nothing.
    pub fn handle_withdrawal(&mut self, now: Nanos, id: u64) {
        let Some(known) = self.announced.remove(&id) else { return };
        let origin_line = known.text.lines().nth(1).unwrap_or_default();
        let session = (known.description.origin, known.description.session_id);
        let short = alloc::format!("{origin_line}\r\n");
        let mut due = now;
        for _ in 0..DELETIONS {
            let whole = self.to_pipewire.then_some(&known.text);
            for payload in core::iter::once(&short).chain(whole) {
                let outgoing = packet(id, &known, payload, true);
                self.deletions.push_back(Deletion { due, session, outgoing });
            }
            due = due.plus(self.between(SHORTEST_PAUSE, LONGEST_PAUSE));
        }
        self.handle_timeout(now);
    }

    /// A PipeWire listener is about (see `SapListener::pipewire_seen`): deletions also repeat the description.
    pub fn handle_pipewire(&mut self, seen: bool) {
        self.to_pipewire = seen;
    }

    /// Call when `poll_timeout` has passed.
    pub fn handle_timeout(&mut self, now: Nanos) {
        while now >= self.free_at && self.outgoing.len() < MAX_OUTGOING {
            if !self.send_due(now) {
                return;
            }
            self.free_at = now.plus(SPACING);
        }
    }

    /// The next datagram to send. Drain until `None` after every `handle_*`.
    pub fn poll_transmit(&mut self) -> Option<Outgoing> {
        self.outgoing.pop_front()
    }

    /// When to call `handle_timeout` next.
    pub fn poll_timeout(&self) -> Option<Nanos> {
        let deletions = self.deletions.iter().map(|deletion| deletion.due);
        let next = self.announced.values().map(|known| known.due).chain(deletions).min()?;
        Some(Nanos(next.0.max(self.free_at.0)))
    }

    /// What is announced as `id`, with its version.
    pub fn announced(&self, id: u64) -> Option<&Description> {
        Some(&self.announced.get(&id)?.description)
    }

    /// Origin address and session id of everything announced, for `SapListener::set_own`.
    pub fn own(&self) -> impl Iterator<Item = (IpAddr, String)> {
        self.announced.values().map(|known| {
            let Description { origin, session_id, .. } = known.description;
            (origin, alloc::format!("{session_id}"))
        })
    }

    /// Puts out the packet that is due the longest; false when none is.
    fn send_due(&mut self, now: Nanos) -> bool {
        let deletion = self.deletions.iter().enumerate().min_by_key(|(_, deletion)| deletion.due);
        if let Some((at, _)) = deletion.filter(|(_, deletion)| deletion.due <= now) {
            self.outgoing.extend(self.deletions.remove(at).map(|deletion| deletion.outgoing));
            return true;
        }
        let next = self.announced.iter().min_by_key(|(_, known)| known.due);
        let Some(id) = next.filter(|(_, known)| known.due <= now).map(|(&id, _)| id) else { return false };
        let interval = self.interval();
        let repeat = self.between(Nanos(interval.0 - interval.0 / 10), interval.plus(Nanos(interval.0 / 10)));
        if let Some(known) = self.announced.get_mut(&id) {
            self.outgoing.push_back(packet(id, known, &known.text, false));
            known.sent = known.sent.saturating_add(1);
            known.due = now.plus(match known.sent {
                1 => Nanos::from_secs(1),
                2 => Nanos::from_secs(2),
                _ => repeat,
            });
        }
        true
    }

    /// 30 s; with many streams so that all announcements together stay below 4000 bit/s (RFC 2974 §3.1).
    fn interval(&self) -> Nanos {
        if self.announced.len() <= MANY {
            return Nanos::from_secs(30);
        }
        let octets: usize = self.announced.values().map(|known| known.text.len() + 24).sum();
        Nanos::from_secs((octets as u64 * 8 / 4000).max(300))
    }

    /// A span between the two, by the seeded sequence (SplitMix64).
    fn between(&mut self, low: Nanos, high: Nanos) -> Nanos {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        low.plus(Nanos(mixed % high.since(low).0.saturating_add(1)))
    }
}

fn packet(id: u64, known: &Announced, payload: &str, delete: bool) -> Outgoing {
    let origin = known.description.origin;
    let hash = message_hash(known.text.as_bytes());
    let packet = SapPacket { delete, is_version_0: false, hash, origin, payload: payload.as_bytes().into() };
    Outgoing { id, origin, bytes: packet.emit() }
}

const DELETIONS: usize = 3; // one loss must not leave a ghost
const SHORTEST_PAUSE: Nanos = Nanos::from_millis(20);
const LONGEST_PAUSE: Nanos = Nanos::from_millis(50);
const SPACING: Nanos = Nanos::from_millis(2); // 128 streams take a quarter of a second
const MANY: usize = 200;
const MAX_OUTGOING: usize = 64; // the caller drains after every call
