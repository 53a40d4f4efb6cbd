//! Our own announcements on the network: when each is sent, and by which socket.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use tracing::{debug, warn};
use wireloom_sdp::{SapPacket, message_hash};
use wireloom_units::Nanos;

use crate::model::Announce;
use crate::sap_sockets::{ANNOUNCE_TO, PORT, sender};

/// After a change: at once, and again after 1 s and 3 s (`aes67` 1.3).
const EARLY: [Nanos; 3] = [Nanos::ZERO, Nanos::from_secs(1), Nanos::from_secs(2)];
const PERIOD: Nanos = Nanos::from_secs(30);
/// A deletion is sent three times, so that one loss leaves no ghost.
const DELETIONS: u8 = 3;
const DELETION_GAP: Nanos = Nanos::from_millis(30);

/// What is announced, and what is being withdrawn.
#[derive(Default)]
pub struct Announcer {
    announced: BTreeMap<String, Announced>,
    deletions: VecDeque<Deletion>,
    sockets: BTreeMap<Ipv4Addr, UdpSocket>,
}

struct Announced {
    what: Announce,
    sent: usize,
    due: Nanos,
}

struct Deletion {
    what: Announce,
    left: u8,
    due: Nanos,
}

impl Announcer {
    /// Announces `what` from now on, instead of what had its id before.
    pub fn announce(&mut self, now: Nanos, what: Announce) {
        if let Some(before) = self.announced.remove(&what.id)
            && before.what.address != what.address
        {
            // Another origin is another session to its hearers: the old one must not stay as a ghost.
            self.deletions.push_back(Deletion { what: before.what, left: DELETIONS, due: now });
        }
        self.announced.insert(what.id.clone(), Announced { what, sent: 0, due: now });
    }

    /// Withdraws what was announced as `id`.
    pub fn withdraw(&mut self, now: Nanos, id: &str) {
        if let Some(before) = self.announced.remove(id) {
            self.deletions.push_back(Deletion { what: before.what, left: DELETIONS, due: now });
        }
    }

    /// When [`Announcer::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Nanos> {
        let announced = self.announced.values().map(|announced| announced.due);
        announced.chain(self.deletions.iter().map(|deletion| deletion.due)).min()
    }

    /// Sends what is due. `jitter` is a random number.
    pub fn handle_timeout(&mut self, now: Nanos, mut jitter: impl FnMut() -> u32) {
        for announced in self.announced.values_mut().filter(|announced| announced.due <= now) {
            send(&mut self.sockets, &announced.what, false);
            announced.sent += 1;
            let wait = EARLY.get(announced.sent).copied().unwrap_or_else(|| {
                let tenth = PERIOD.0 / 10;
                Nanos(PERIOD.0 - tenth + u64::from(jitter()) % (2 * tenth))
            });
            announced.due = now.plus(wait);
        }
        for deletion in self.deletions.iter_mut().filter(|deletion| deletion.due <= now) {
            send(&mut self.sockets, &deletion.what, true);
            (deletion.left, deletion.due) = (deletion.left - 1, now.plus(DELETION_GAP));
        }
        self.deletions.retain(|deletion| deletion.left > 0);
        let used = |address: &Ipv4Addr| {
            self.announced.values().any(|announced| announced.what.address == *address)
                || self.deletions.iter().any(|deletion| deletion.what.address == *address)
        };
        self.sockets.retain(|address, _| used(address));
    }
}

fn send(sockets: &mut BTreeMap<Ipv4Addr, UdpSocket>, what: &Announce, delete: bool) {
    let socket = match sockets.entry(what.address) {
        std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
        std::collections::btree_map::Entry::Vacant(entry) => match sender(what.address) {
            Ok(socket) => entry.insert(socket),
            Err(error) => return warn!("cannot announce from {}: {error}", what.address),
        },
    };
    let origin_line = what.sdp.lines().find(|line| line.starts_with("o=")).unwrap_or_default();
    let payload = if delete { format!("{origin_line}\r\n") } else { what.sdp.clone() };
    let packet = SapPacket {
        delete,
        is_version_0: false,
        hash: message_hash(what.sdp.as_bytes()),
        origin: IpAddr::V4(what.address),
        payload: payload.as_bytes().into(),
    };
    let to = SocketAddr::from((ANNOUNCE_TO, PORT));
    if let Err(error) = socket.send_to(&packet.emit(), to) {
        debug!("announcing {} from {}: {error}", what.id, what.address);
        sockets.remove(&what.address); // opened anew next time
    }
}
