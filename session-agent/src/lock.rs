//! One agent of this computer is active on the network: the one that holds the lock.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use tracing::debug;

/// The lock, held or wanted.
pub struct ActiveLock {
    path: PathBuf,
    held: Option<Flock<File>>,
}

impl ActiveLock {
    /// Where the lock is: `path` when given, else `/run/wireloom` if it can be written, else the user's runtime
    /// directory.
    pub fn new(path: Option<PathBuf>) -> Self {
        let path = path.unwrap_or_else(|| {
            let shared = Path::new("/run/wireloom/agent.lock");
            let open = OpenOptions::new().write(true).create(true).truncate(false).open(shared);
            if open.is_ok() { shared.to_owned() } else { runtime_directory().join("agent.lock") }
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
        let file = match OpenOptions::new().write(true).create(true).truncate(false).open(&self.path) {
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

fn runtime_directory() -> PathBuf {
    std::env::var_os("XDG_RUNTIME_DIR").map_or_else(std::env::temp_dir, PathBuf::from).join("wireloom")
}
