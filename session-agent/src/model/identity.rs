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
    bounded(format!("oat\t{}\t{}\t{port}\t{name}", stream.origin.user, stream.origin.session_id))
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
