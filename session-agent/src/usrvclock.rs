//! Serves the clock to programs that know the usrvclock protocol, as Inferno does.
//!
//! A client binds a datagram socket to a path of its own and sends anything to ours; from then on it gets the line that
//! counts, 40 octets, at once and whenever the line changes (`dante` section 7.3). Nothing here reads what it sends.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::{debug, info, warn};
use wireloom_clock_page::{Line, raw_now};

/// Clients want news of the clock to be recent, also when the line stays.
const AGAIN: Duration = Duration::from_secs(1);
/// A path that is taken is tried again so often.
const RETRY: Duration = Duration::from_secs(10);
/// So many clients are served; the one that asked longest ago makes room.
const MAX_CLIENTS: usize = 64;
/// Of CLOCK_MONOTONIC_RAW, the base of every line.
const CLOCK_ID: i64 = 4;
/// Bits behind the binary point of [`Line::rate`].
const RATE_UNIT: f64 = (1_u64 << wireloom_clock_page::RATE_BITS) as f64;

/// What there is to serve.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// This agent is the one that acts on this computer.
    pub active: bool,
    /// The line that counts; the last one when the clock service is gone.
    pub line: Option<Line>,
}

impl Facts {
    /// Takes what is so now; answers whether anything changed.
    pub fn follow(&mut self, now: Self) -> bool {
        let line = now.line.or(self.line);
        let changed = (self.active, self.line) != (now.active, line);
        *self = Self { active: now.active, line };
        changed
    }
}

/// Serves at `path` whatever it is told last, until the sender is gone. Call inside a runtime.
pub fn start(path: PathBuf) -> watch::Sender<Facts> {
    let (sender, mut facts) = watch::channel(Facts::default());
    tokio::spawn(async move {
        let mut said = None;
        while facts.wait_for(|facts| facts.active).await.is_ok() {
            match Server::bind(&path) {
                Ok(mut server) => {
                    info!("serving the clock at {}", path.display());
                    said = None;
                    match server.run(&mut facts).await {
                        Ok(()) if facts.has_changed().is_err() => return,
                        Ok(()) => continue,
                        Err(error) => warn!("{} is not served any more: {error}", path.display()),
                    }
                }
                Err(error) => {
                    let text = format!("the clock cannot be served at {}: {error}", path.display());
                    if said.as_ref() != Some(&text) {
                        warn!("{text}");
                    }
                    said = Some(text);
                }
            }
            sleep(RETRY).await;
        }
    });
    sender
}

/// One bound socket; its file goes with it.
struct Server {
    path: PathBuf,
    socket: UnixDatagram,
    file: (u64, u64),
    /// Those that asked, the last one last.
    clients: Vec<PathBuf>,
}

impl Server {
    fn bind(path: &Path) -> io::Result<Self> {
        clear(path)?;
        let socket = UnixDatagram::bind(path)?;
        socket.set_nonblocking(true)?;
        // Whoever may use this computer may know what time it is.
        fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
        let file = identity(path)?;
        Ok(Self { path: path.to_owned(), socket, file, clients: Vec::new() })
    }

    /// Serves while this agent acts. An error says that the path is ours no longer.
    async fn run(&mut self, facts: &mut watch::Receiver<Facts>) -> io::Result<()> {
        let incoming = tokio::net::UnixDatagram::from_std(self.socket.try_clone()?)?;
        let mut again = interval(AGAIN);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ignored = [0; 64];
        loop {
            tokio::select! {
                asked = incoming.recv_from(&mut ignored) => {
                    let (_, from) = asked?;
                    let Some(client) = from.as_pathname() else { continue }; // it cannot be answered
                    self.remember(client);
                    let frame = frame(facts.borrow().line.as_ref(), raw_now());
                    self.send(&frame);
                    continue;
                }
                changed = facts.changed() => {
                    if changed.is_err() || !facts.borrow_and_update().active {
                        return Ok(());
                    }
                }
                _ = again.tick() => {
                    if identity(&self.path).ok() != Some(self.file) {
                        return Err(io::Error::other("another program took the path"));
                    }
                }
            }
            let frame = frame(facts.borrow().line.as_ref(), raw_now());
            self.clients.retain(|client| tell(&self.socket, client, &frame));
        }
    }

    /// Tells the client that asked last.
    fn send(&mut self, frame: &[u8]) {
        if self.clients.last().is_some_and(|client| !tell(&self.socket, client, frame)) {
            self.clients.pop();
        }
    }

    fn remember(&mut self, client: &Path) {
        if let Some(known) = self.clients.iter().position(|known| known == client) {
            self.clients.remove(known);
        } else if self.clients.len() >= MAX_CLIENTS {
            self.clients.remove(0);
        }
        self.clients.push(client.to_owned());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if identity(&self.path).ok() == Some(self.file) {
            let _ = fs::remove_file(&self.path); // a socket that nobody serves is removed by the next one, too
        }
    }
}

/// Answers whether `client` is still there. One that does not read misses what is sent meanwhile.
///
/// Not through the runtime: it would take one full queue for a socket that cannot send.
fn tell(socket: &UnixDatagram, client: &Path, frame: &[u8]) -> bool {
    match socket.send_to(frame, client) {
        Ok(_) => true,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => true,
        Err(error) => {
            debug!("{} wants the clock no longer: {error}", client.display());
            false
        }
    }
}

/// Removes a socket that nobody serves; an error says why the path cannot be had.
fn clear(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(io::Error::other("it is a file of somebody else"));
        }
        Ok(_) => {}
    }
    match UnixDatagram::unbound()?.connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) => Err(error),
        Ok(()) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another program serves a clock there")),
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

/// What clients are told at `now`, in ns of CLOCK_MONOTONIC_RAW; that there is no valid clock without a line.
///
/// The line is told from `now` on, so that it reads the same everywhere and is never old.
fn frame(line: Option<&Line>, now: i64) -> [u8; 40] {
    match line {
        Some(line) => {
            let shift = line.at(now).as_nanos().saturating_sub(now);
            overlay(true, CLOCK_ID, now, shift, line.rate as f64 / RATE_UNIT)
        }
        None => overlay(false, CLOCK_ID, now, 0, 0.0),
    }
}

/// virtual(t) = t + shift + (t - last_sync) x freq_scale, in native byte order.
fn overlay(valid: bool, clock: i64, last_sync: i64, shift: i64, freq_scale: f64) -> [u8; 40] {
    let mut frame = [0; 40];
    frame[..2].copy_from_slice(b"VC");
    frame[2..4].copy_from_slice(&1_u16.to_ne_bytes()); // version 1.0
    frame[6..8].copy_from_slice(&u16::from(valid).to_ne_bytes());
    frame[8..16].copy_from_slice(&clock.to_ne_bytes());
    frame[16..24].copy_from_slice(&last_sync.to_ne_bytes());
    frame[24..32].copy_from_slice(&shift.to_ne_bytes());
    frame[32..].copy_from_slice(&freq_scale.to_ne_bytes());
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn the_frame_is_laid_out_as_documented() {
        let text = "5643010000000100010000000000000000943577000000000010a5d4e800000054e41071732ab93e"; // dante, G5
        let octets: Vec<u8> = (0..40)
            .map(|octet| u8::from_str_radix(&text[2 * octet..2 * octet + 2], 16).expect("two digits"))
            .collect();
        assert_eq!(overlay(true, 1, 2_000_000_000, 1_000_000_000_000, 1.5e-6)[..], octets);
    }

    #[test]
    fn no_more_clients_than_fit_are_remembered_and_none_twice() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let mut server = Server::bind(&directory.path().join("clock")).expect("free");
        for number in 0..2 * MAX_CLIENTS {
            server.remember(Path::new(&format!("/{number}")));
            server.remember(Path::new("/regular"));
        }
        assert_eq!(server.clients.len(), MAX_CLIENTS);
        assert_eq!(server.clients.iter().filter(|client| *client == Path::new("/regular")).count(), 1);
        assert!(!server.clients.contains(&PathBuf::from("/0")));
    }

    #[test]
    fn a_path_is_taken_from_nobody() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("clock");
        fs::write(&path, "a file").expect("can be written");
        assert!(Server::bind(&path).is_err_and(|error| error.to_string().contains("somebody else")));
        fs::remove_file(&path).expect("there");
        let other = UnixDatagram::bind(&path).expect("free");
        assert!(Server::bind(&path).is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse));
        drop(other);
        let server = Server::bind(&path).expect("nobody serves it");
        fs::remove_file(&path).expect("there");
        let _other = UnixDatagram::bind(&path).expect("free");
        drop(server);
        assert!(path.exists(), "what another program bound meanwhile stays");
    }
}
