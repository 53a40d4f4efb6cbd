//! Saved state: what the user made and what must be the same after a restart. Written whole, never in place.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::JoinHandle;

use serde::{Deserialize, Serialize};
use tracing::{debug, error};

use crate::request::Flavour;
use crate::stamp::Stamped;

/// A state file larger than this is not ours.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// Content of `$XDG_STATE_HOME/wireloom/state.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Saved {
    pub schema: u32,
    /// What the user changed; absent ones come from the configuration.
    pub settings: SavedSettings,
    /// Streams by stable id: everything that was ever seen and is not forgotten yet.
    pub streams: Stamped<BTreeMap<String, SavedStream>>,
    /// Aliases of devices by stable id.
    pub devices: Stamped<BTreeMap<String, String>>,
    /// Descriptions that the user added, by a number that only orders them.
    pub added: Vec<String>,
    /// Transmit streams of this computer.
    pub own: Vec<SavedOwn>,
    /// What this computer sends to receivers that it feeds, by the id of the receiver.
    #[serde(skip_serializing_if = "is_empty")]
    pub slots: Stamped<BTreeMap<String, SavedOwn>>,
    /// Routes that are wished, or withdrawn and not taken back yet, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub wishes: Vec<SavedWish>,
    /// Presets by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub presets: BTreeMap<String, SavedPreset>,
    /// What was wished when the oldest checkpoint was made that nobody has confirmed yet, as output and input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unconfirmed: Option<Vec<[(String, u16); 2]>>,
    /// Nodes that wishes need, by the id of their stream: shown offline until their device is heard again.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub remembered: BTreeMap<String, wireloom_wanted::Node>,
}

fn is_empty<T>(map: &Stamped<BTreeMap<String, T>>) -> bool {
    map.is_empty()
}

/// Routes between roles.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SavedPreset {
    /// Who had which role.
    pub roles: BTreeMap<String, String>,
    /// The ends are roles.
    pub routes: Vec<SavedWish>,
}

/// A route of one channel. An end is what the route engine calls the device, and a channel from 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedWish {
    pub output: (String, u16),
    pub input: (String, u16),
    /// Nobody wants it any more; it has to be taken back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub withdrawn: bool,
    /// A withdrawn one that the receiver no longer plays.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cleared: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SavedSettings {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_interfaces: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_limit: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub show: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_frames: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address_pool: Option<String>,
}

/// What is kept of a stream while it is away.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SavedStream {
    /// Every identity that it was announced with (a device that moved has several), newest last.
    pub keys: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub alias: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub pinned: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub show: String,
    /// Session id and name, by which a device that moved is found again; empty when too common.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mark: String,
    /// Days since 1970 of the last day on which it was heard; decides who is forgotten first.
    pub day: u32,
}

/// A transmit stream of this computer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavedOwn {
    pub id: String,
    pub name: String,
    pub labels: Vec<String>,
    pub address: Ipv4Addr,
    pub port: u16,
    pub encoding: wireloom_wanted::Encoding,
    pub rate: u32,
    pub packet_frames: u32,
    pub payload_type: u8,
    pub ttl: u8,
    pub dscp: u8,
    #[serde(default)]
    pub flavour: Flavour,
    /// The network interface that it leaves by; `None`: the first in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    pub ssrc: u32,
    /// `o=` session id, the same for the life of the stream.
    pub session_id: u64,
    /// `o=` version that was announced last.
    pub version: u64,
    /// A fingerprint of what was announced with that version, or of what the receiver was told.
    #[serde(default)]
    pub announced: u64,
}

impl SavedOwn {
    /// Its number in subscriptions of OAT, never 0.
    pub fn oat_number(&self) -> u32 {
        u32::try_from(self.session_id).unwrap_or(u32::MAX) // made of 32 bits
    }
}

/// Reads the state at `path`. A file that cannot be understood is moved aside as `*.bad-<time>` and reported.
pub fn load(path: &Path, wall_us: u64) -> (Saved, Option<String>) {
    let why = match read(path) {
        Ok(saved) => return (saved, None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return (Saved::default(), None),
        Err(error) => error,
    };
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".bad-{}", wall_us / 1_000_000));
    let aside = PathBuf::from(aside);
    let then = match fs::rename(path, &aside) {
        Ok(()) => format!("moved to {}", aside.display()),
        Err(error) => format!("and cannot be moved aside: {error}"),
    };
    (Saved::default(), Some(format!("saved state {} cannot be read ({why}), {then}", path.display())))
}

fn read(path: &Path) -> io::Result<Saved> {
    let mut text = String::new();
    File::open(path)?.take(MAX_BYTES).read_to_string(&mut text)?;
    let saved: Saved = serde_json::from_str(&text)?;
    if saved.schema > 1 {
        return Err(io::Error::other(format!("it has schema {}, this version knows 1", saved.schema)));
    }
    Ok(saved)
}

/// Writes states from a thread of its own: a slow disk must not hold up who hands them over. In order; of several that
/// wait only the newest is written. What was handed over is on the disk when this is dropped.
#[derive(Debug)]
pub struct StateWriter {
    queue: Option<mpsc::Sender<Saved>>,
    thread: Option<JoinHandle<()>>,
}

impl StateWriter {
    /// Starts the thread, which writes to `path`.
    pub fn start(path: PathBuf) -> io::Result<Self> {
        let (queue, states) = mpsc::channel::<Saved>();
        let thread = std::thread::Builder::new().name("state".to_owned()).spawn(move || {
            while let Ok(first) = states.recv() {
                let newest = states.try_iter().last().unwrap_or(first);
                match save(&path, &newest) {
                    Ok(()) => debug!("state saved"),
                    Err(error) => error!("cannot save the state to {}: {error}", path.display()),
                }
            }
        })?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Hands over a state to be written.
    pub fn write(&self, saved: Saved) {
        if let Some(queue) = &self.queue {
            let _ = queue.send(saved); // the thread ends after us
        }
    }
}

impl Drop for StateWriter {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Writes the state to a temporary name beside `path`, syncs, renames.
fn save(path: &Path, saved: &Saved) -> io::Result<()> {
    let directory = path.parent().ok_or_else(|| io::Error::other("the state file has no directory"))?;
    fs::create_dir_all(directory)?;
    let temporary = path.with_extension("json.new");
    let mut file = File::create(&temporary)?;
    file.write_all(serde_json::to_string_pretty(saved)?.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_corrupt_file_is_moved_aside_and_reported() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("state.json");
        assert_eq!(load(&path, 7_000_000), (Saved::default(), None));
        for text in ["{\"schema\": 1, \"streams\": 3}", "{", "", "{\"schema\": 2}", "\u{0}"] {
            fs::write(&path, text).expect("can be written");
            let (saved, why) = load(&path, 7_000_000);
            assert_eq!(saved, Saved::default());
            assert!(why.expect("reported").contains("state.json.bad-7"), "{text:?}");
            assert_eq!(
                fs::read_to_string(directory.path().join("state.json.bad-7")).expect("is there"),
                text
            );
            assert!(!path.exists());
        }
    }

    #[test]
    fn what_is_saved_is_read_back() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("deep/state.json");
        let mut saved = Saved { schema: 1, ..Saved::default() };
        saved
            .streams
            .insert("s-1".to_owned(), SavedStream { alias: "Drums".to_owned(), ..Default::default() });
        saved.settings.node_limit = Some(9);
        save(&path, &saved).expect("can be saved");
        assert_eq!(load(&path, 0), (saved, None));
    }

    #[test]
    fn the_newest_of_many_states_is_on_the_disk_in_the_end() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("state.json");
        let state = |limit| {
            let mut saved = Saved { schema: 1, ..Saved::default() };
            saved.settings.node_limit = Some(limit);
            saved
        };
        let writer = StateWriter::start(path.clone()).expect("a thread");
        (0..1000).for_each(|limit| writer.write(state(limit)));
        drop(writer);
        assert_eq!(load(&path, 0), (state(999), None));
    }
}
