//! Stable ids: the same after a restart, and after a device moved.

use wireloom_sdp::{Stream, StreamKey};

/// FNV-1a, 64 bits: stable over versions and machines, which std's hasher is not.
pub fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The id of a stream with identity `key`, `attempt` 0 first; others only when two identities share a hash.
pub fn stream_id(key: &str, attempt: u32) -> String {
    let text = if attempt == 0 { key.to_owned() } else { format!("{key}\u{0}{attempt}") };
    format!("s-{:016x}", hash(&text))
}

/// The id of whatever has the identity `key` and no second of that hash.
pub fn stable_id(key: &str) -> String {
    stream_id(key, 0)
}

/// The id of the device at `address`.
pub fn device_id(address: &str) -> String {
    format!("d-{:016x}", hash(&format!("device {address}")))
}

/// The identity of a stream of a device of OAT: host name, session, port and name. The address is no part of it, so
/// that the stream is the same when its device gets another; the name is, because sessions of one device may all be
/// called 1.
pub fn oat_key(stream: &Stream) -> String {
    let port = stream.legs.first().map_or(0, |leg| leg.port);
    let name = wireloom_oat::split_session_name(&stream.raw_name).stream;
    bounded(format!("{OAT}{}\t{}\t{port}\t{name}", stream.origin.user, stream.origin.session_id))
}

/// The identity of `stream` as text. Fields are separated by a character that none of them holds.
pub fn key_text(key: &StreamKey) -> String {
    let StreamKey { user, session_id, origin, address, port } = key;
    bounded(format!("{user}\t{session_id}\t{origin}\t{address}\t{port}"))
}

/// The identity of a RAVENNA session that cannot be read: what DNS-SD calls it, and where it is.
pub fn session_key(session: &str, server: std::net::IpAddr) -> String {
    bounded(format!("session\t{server}\t{session}"))
}

/// An identity but for its session: who starts again may make another session of the same stream.
#[derive(Debug, Clone, Copy)]
pub struct ButForSession<'a> {
    before: &'a str,
    after: &'a str,
}

impl<'a> ButForSession<'a> {
    /// `None` when the identity has no session.
    pub fn new(key: &'a str) -> Option<Self> {
        let ends: Vec<usize> = key.match_indices('\t').map(|(at, _)| at).collect();
        let [first, second, third, _] = ends[..] else { return None };
        let (from, to) = if key.starts_with(OAT) { (second, third) } else { (first, second) };
        Some(Self { before: key.get(..=from)?, after: key.get(to..)? })
    }

    /// Whether `key` differs in the session at most.
    pub fn is(&self, key: &str) -> bool {
        let session = key.strip_suffix(self.after).and_then(|rest| rest.strip_prefix(self.before));
        session.is_some_and(|session| !session.contains('\t'))
    }
}

/// Session id and name of `stream`, by which a device that moved to another address is found again; `None` when
/// the session id is too short to be anybody's own (AES67 `aes67` 2.7).
pub fn moving_mark(stream: &Stream) -> Option<String> {
    let id = &stream.origin.session_id;
    (id.len() > 3 && !stream.raw_name.trim().is_empty())
        .then(|| bounded(format!("{id}\t{}", stream.raw_name)))
}

/// `text`, or its hash when it is long: thousands of these are saved, and strangers choose them.
fn bounded(text: String) -> String {
    if text.len() <= MAX_TEXT { text } else { format!("long\t{:016x}", hash(&text)) }
}

const MAX_TEXT: usize = 160; // real ones have 30 to 100
/// Identities of streams of devices of OAT begin so.
const OAT: &str = "oat\t";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_compared_but_for_their_session() {
        for (one, other, same) in [
            ("oat\tsyntee-a3f2\t1\t50000\tOut", "oat\tsyntee-a3f2\t39\t50000\tOut", true),
            ("oat\tsyntee-a3f2\t1\t50000\tOut", "oat\tsyntee-a3f2\t1\t50001\tOut", false),
            ("oat\tsyntee-a3f2\t1\t50000\tOut", "oat\tsyntee-a3f3\t1\t50000\tOut", false),
            ("-\t1\t192.0.2.1\t239.69.1.1\t5004", "-\t2\t192.0.2.1\t239.69.1.1\t5004", true),
            ("-\t1\t192.0.2.1\t239.69.1.1\t5004", "-\t1\t192.0.2.2\t239.69.1.1\t5004", false),
            ("oat\ta\tb\tc\td", "a\tx\tb\tc\td", false),
            ("session\t192.0.2.1\tDesk", "session\t192.0.2.1\tDesk", false),
            ("long\t00", "long\t00", false),
        ] {
            let is_same = |a, b| ButForSession::new(a).is_some_and(|a: ButForSession<'_>| a.is(b));
            assert_eq!(is_same(one, other), same, "{one} and {other}");
            assert_eq!(is_same(other, one), same, "{other} and {one}");
        }
    }
}
