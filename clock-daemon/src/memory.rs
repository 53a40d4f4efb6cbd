//! What outlives the process: settings changed while it ran, and the path delay to each leader.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use wireloom_units::ClockIdentity;

use crate::settings::Changes;
use crate::settings_file::identity;

/// Leaders whose path delay is kept; the one that was followed longest ago is forgotten.
const MAX_LEADERS: usize = 32;
/// As many as an engine takes.
const LATEST: usize = 4;
/// A longer delay than this is not that of a network.
const MAX_DELAY_NS: u32 = 1_000_000_000;

/// The state file, and what it holds.
#[derive(Debug)]
pub struct Memory {
    path: PathBuf,
    content: Content,
    written: Option<Content>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Content {
    schema: u32,
    #[serde(default)]
    changes: Changes,
    /// The last one followed comes first.
    #[serde(default)]
    path_delays: Vec<PathDelay>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct PathDelay {
    leader: String,
    nanoseconds: u32,
}

impl Memory {
    /// Reads the file at `path`. One that is not understood is moved aside and reported, never fatal.
    pub fn load(path: &Path) -> Self {
        let fresh = || Content { schema: 1, ..Content::default() };
        let content = match fs::read(path) {
            Ok(bytes) => match serde_json::from_slice::<Content>(&bytes) {
                Ok(content) if content.schema == 1 => Some(content),
                Ok(content) => {
                    set_aside(path, &format!("schema {} instead of 1", content.schema));
                    None
                }
                Err(error) => {
                    set_aside(path, &error.to_string());
                    None
                }
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "cannot read what was remembered");
                None
            }
        };
        let mut loaded = content.clone().unwrap_or_else(fresh);
        loaded.path_delays.truncate(MAX_LEADERS);
        Self { path: path.to_owned(), content: loaded, written: content }
    }

    /// The settings that were changed while the daemon ran.
    pub const fn changes(&self) -> &Changes {
        &self.content.changes
    }

    /// Remembers `changes` instead of earlier ones, at once.
    pub fn remember_changes(&mut self, changes: Changes) -> io::Result<()> {
        self.content.changes = changes;
        self.save()
    }

    /// The path delay to `leader` when it was last followed, in nanoseconds.
    pub fn path_delay(&self, leader: ClockIdentity) -> Option<u32> {
        let name = leader.to_string();
        let known = self.content.path_delays.iter().find(|known| known.leader == name)?;
        Some(known.nanoseconds).filter(|nanoseconds| *nanoseconds <= MAX_DELAY_NS)
    }

    /// The leaders that were followed last, the latest at the end, with their path delays in nanoseconds.
    pub fn latest_path_delays(&self) -> impl Iterator<Item = (ClockIdentity, u32)> {
        let latest = self.content.path_delays.iter().take(LATEST).rev();
        latest.filter_map(|known| {
            let leader = identity(&known.leader)?;
            Some((leader, known.nanoseconds)).filter(|(_, nanoseconds)| *nanoseconds <= MAX_DELAY_NS)
        })
    }

    /// Remembers the path delay to the leader that is followed now; written with the next [`Memory::save`].
    pub fn remember_path_delay(&mut self, leader: ClockIdentity, nanoseconds: u32) {
        let leader = leader.to_string();
        self.content.path_delays.retain(|known| known.leader != leader);
        self.content.path_delays.insert(0, PathDelay { leader, nanoseconds });
        self.content.path_delays.truncate(MAX_LEADERS);
    }

    /// Writes the file, whole or not at all, when something differs from what it holds.
    pub fn save(&mut self) -> io::Result<()> {
        if self.written.as_ref() == Some(&self.content) {
            return Ok(());
        }
        if let Some(directory) = self.path.parent() {
            fs::create_dir_all(directory)?;
        }
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let temporary = self.path.with_file_name(name);
        let text = serde_json::to_vec_pretty(&self.content)?;
        let file = fs::File::create(&temporary)?;
        io::Write::write_all(&mut &file, &text)?;
        file.sync_all()?;
        fs::rename(&temporary, &self.path)?;
        self.written = Some(self.content.clone());
        Ok(())
    }
}

fn set_aside(path: &Path, why: &str) {
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".bad-{now}"));
    let aside = path.with_file_name(name);
    let moved = fs::rename(path, &aside);
    tracing::warn!(file = %path.display(), why, aside = %aside.display(), moved = moved.is_ok(), "what was remembered is not understood");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::LeadKind;

    fn leader(n: u8) -> ClockIdentity {
        ClockIdentity([0, 1, 2, 3, 4, 5, 6, n])
    }

    #[test]
    fn changes_and_delays_survive_a_restart() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("new/state.json");
        let mut memory = Memory::load(&path);
        assert_eq!(memory.changes(), &Changes::default());
        memory.remember_path_delay(leader(1), 1_300);
        memory.remember_path_delay(leader(2), 900);
        let changes = Changes { lead: Some(LeadKind::LastResort), domain: Some(4), ..Changes::default() };
        memory.remember_changes(changes.clone()).expect("writable");
        let memory = Memory::load(&path);
        assert_eq!(memory.changes(), &changes);
        assert_eq!(memory.path_delay(leader(1)), Some(1_300));
        assert_eq!(memory.path_delay(leader(3)), None);
        let latest: Vec<_> = memory.latest_path_delays().collect();
        assert_eq!(latest, [(leader(1), 1_300), (leader(2), 900)]);
    }

    #[test]
    fn the_number_of_leaders_is_bounded() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let mut memory = Memory::load(&directory.path().join("state.json"));
        for n in 0..=255 {
            memory.remember_path_delay(leader(n), u32::from(n));
            memory.remember_path_delay(leader(7), 70);
        }
        assert_eq!(memory.content.path_delays.len(), MAX_LEADERS);
        assert_eq!(memory.path_delay(leader(7)), Some(70));
        assert_eq!(memory.path_delay(leader(8)), None);
    }

    #[test]
    fn a_corrupt_file_is_moved_aside() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("state.json");
        for corrupt in ["", "{", "[]", "{\"schema\":2}", "{\"schema\":1,\"changes\":{\"lead\":\"x\"}}"] {
            fs::write(&path, corrupt).expect("written");
            let memory = Memory::load(&path);
            assert_eq!(memory.changes(), &Changes::default());
            assert!(!path.exists(), "{corrupt:?} is moved aside");
        }
    }
}
