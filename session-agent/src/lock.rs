//! One agent of this computer is active on the network: the one that holds the lock.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use tracing::debug;

/// The lock, held or wanted.
pub struct ActiveLock {
    path: PathBuf,
    held: Option<Flock<File>>,
}

impl ActiveLock {
    /// Where the lock is: `path` when given, else `/run/wireloom` where it can be opened, else the user's runtime
    /// directory.
    pub fn new(path: Option<PathBuf>) -> Self {
        let path = path.unwrap_or_else(|| {
            let shared = Path::new("/run/wireloom/agent.lock");
            if open(shared).is_ok() { shared.to_owned() } else { runtime_directory().join("agent.lock") }
        });
        Self { path, held: None }
    }

    /// Takes the lock if nobody has it; answers whether this agent holds it. Call again from time to time.
    pub fn hold(&mut self) -> bool {
        if self.held.is_some() {
            return true;
        }
        if let Some(parent) = self.path.parent() {
            let _ = fs::create_dir_all(parent); // if it fails, opening says why
        }
        let file = match open(&self.path) {
            Ok(file) => file,
            Err(error) => {
                // Without a place for the lock there is nobody to be apart from.
                debug!("{}: {error}", self.path.display());
                return true;
            }
        };
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => self.held = Some(lock),
            Err((_, error)) => debug!("{}: {error}", self.path.display()),
        }
        self.held.is_some()
    }
}

/// Opens what is there, made at boot or by another login, for reading: that is enough for a lock, and a file that
/// another account made need not be writable. Makes the file only where there is none.
fn open(path: &Path) -> io::Result<File> {
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
        }
        result => result,
    }
}

fn runtime_directory() -> PathBuf {
    std::env::var_os("XDG_RUNTIME_DIR").map_or_else(std::env::temp_dir, PathBuf::from).join("wireloom")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_lock_made_by_another_account_is_respected() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("agent.lock");
        fs::write(&path, "").expect("can be written");
        // As an ordinary account finds the lock and its directory: not its own, not writable.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).expect("ours");
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o555)).expect("ours");
        let (mut first, mut second) = (ActiveLock::new(Some(path.clone())), ActiveLock::new(Some(path)));
        assert!(first.hold());
        assert!(!second.hold());
        assert!(first.hold(), "it stays held");
        drop(first);
        assert!(second.hold());
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("ours");
    }
}
