//! The control socket: one JSON document a line, each answered by one line. README.md documents the schema.

use std::ffi::CStr;
use std::fs::{self, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::settings::Changes;
use crate::sys;

/// The version of the documents.
pub const SCHEMA: u32 = 1;
/// Members of this group may change settings.
const GROUP: &CStr = c"wireloom";
/// An agent, a command line, a monitor or two; more is a mistake or an attack.
const MAX_CLIENTS: usize = 16;
/// A client silent for this long makes room for a new one when there are too many.
const IDLE_NS: i64 = 10_000_000_000;
/// The longest request, with eight interface names, is a tenth of this.
const MAX_REQUEST_BYTES: usize = 8 * 1024;
/// Answers that a client may leave unread before it is closed.
const MAX_UNREAD_BYTES: usize = 256 * 1024;
/// Requests of one client that are answered before others get their turn.
const MAX_REQUESTS_A_TURN: usize = 8;

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub enum Request {
    /// The status of everything. Anyone may.
    Status,
    /// Changes settings, at once and for later runs.
    Set(Changes),
    /// Forgets what was changed and goes back to the settings file.
    Reset,
}

/// An answer that says why not.
pub fn refusal(why: &str) -> Value {
    json!({ "schema": SCHEMA, "ok": false, "error": why })
}

/// The server and its clients.
#[derive(Debug)]
pub struct Control {
    listener: UnixListener,
    path: PathBuf,
    inode: Option<u64>,
    group: Option<u32>,
    clients: Vec<Client>,
}

#[derive(Debug)]
struct Client {
    stream: UnixStream,
    may_change: bool,
    unparsed: Vec<u8>,
    unsent: Vec<u8>,
    last_heard: i64,
    done: bool,
}

impl Control {
    /// Serves at `path`. Fails when another daemon answers there; a socket that nobody serves is replaced.
    pub fn bind(path: &Path) -> anyhow::Result<Self> {
        if UnixStream::connect(path).is_ok() {
            bail!("another wireloom-clock serves {}", path.display());
        }
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.new", process::id()));
        let temporary = path.with_file_name(name);
        let _ = fs::remove_file(&temporary);
        let bound = UnixListener::bind(&temporary).and_then(|listener| {
            listener.set_nonblocking(true)?;
            // Anyone may ask; who may change things is decided by who they are.
            fs::set_permissions(&temporary, Permissions::from_mode(0o666))?;
            fs::rename(&temporary, path)?;
            Ok(listener)
        });
        let listener = bound.with_context(|| {
            let _ = fs::remove_file(&temporary);
            format!("making the control socket {}", path.display())
        })?;
        let inode = fs::metadata(path).map(|metadata| metadata.ino()).ok();
        let group = sys::group_number(GROUP);
        Ok(Self { listener, path: path.to_owned(), inode, group, clients: Vec::new() })
    }

    /// What to wait for: descriptors with their poll events.
    pub fn interests(&self) -> impl Iterator<Item = (RawFd, i16)> {
        let clients = self.clients.iter().map(|client| {
            let write = if client.unsent.is_empty() { 0 } else { libc::POLLOUT };
            (client.stream.as_raw_fd(), libc::POLLIN | write)
        });
        std::iter::once((self.listener.as_raw_fd(), libc::POLLIN)).chain(clients)
    }

    /// Whether requests wait that were read already.
    pub fn has_backlog(&self) -> bool {
        self.clients.iter().any(|client| client.unparsed.contains(&b'\n'))
    }

    /// Accepts, reads, answers with `answer` and writes whatever can be done without waiting.
    pub fn serve(&mut self, now: i64, mut answer: impl FnMut(Request) -> Value) {
        for client in &mut self.clients {
            client.read(now);
            client.answer(&mut answer);
            client.write();
        }
        self.clients.retain(|client| !client.done);
        // No more at a time than fit: whoever connects in a loop cannot hold this loop.
        for _ in 0..MAX_CLIENTS {
            let Ok((stream, _)) = self.listener.accept() else { break };
            self.admit(now, stream);
        }
    }

    fn admit(&mut self, now: i64, stream: UnixStream) {
        if stream.set_nonblocking(true).is_err() {
            return;
        }
        if self.clients.len() >= MAX_CLIENTS {
            let idlest = self.clients.iter().enumerate().min_by_key(|(_, client)| client.last_heard);
            match idlest {
                Some((index, client)) if now.saturating_sub(client.last_heard) >= IDLE_NS => {
                    self.clients.swap_remove(index);
                }
                _ => {
                    let _ =
                        writeln!(&stream, "{}", refusal("too many clients are connected, try again later"));
                    return;
                }
            }
        }
        let may_change = sys::peer_credentials(&stream).is_ok_and(|(user, groups)| {
            user == 0
                || user == sys::effective_user()
                || self.group.is_some_and(|group| groups.contains(&group))
        });
        self.clients.push(Client {
            stream,
            may_change,
            unparsed: Vec::new(),
            unsent: Vec::new(),
            last_heard: now,
            done: false,
        });
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // Only our own: a successor may have put its socket there already.
        if fs::metadata(&self.path).map(|metadata| metadata.ino()).ok() == self.inode {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Client {
    fn read(&mut self, now: i64) {
        let mut buffer = [0; 4096];
        while self.unparsed.len() <= MAX_REQUEST_BYTES {
            match self.stream.read(&mut buffer) {
                Ok(0) => {
                    self.done = true;
                    return;
                }
                Ok(length) => {
                    self.last_heard = now;
                    self.unparsed.extend(buffer.iter().take(length));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.done |= error.kind() != io::ErrorKind::WouldBlock;
                    return;
                }
            }
        }
    }

    fn answer(&mut self, answer: &mut impl FnMut(Request) -> Value) {
        for _ in 0..MAX_REQUESTS_A_TURN {
            let Some(end) = self.unparsed.iter().position(|octet| *octet == b'\n') else { break };
            let line: Vec<u8> = self.unparsed.drain(..=end).collect();
            if line.trim_ascii().is_empty() {
                continue;
            }
            let document = match parse(&line) {
                Ok(Request::Set(_) | Request::Reset) if !self.may_change => refusal(
                    "only root, the clock service's own user and members of the group wireloom may change settings",
                ),
                Ok(request) => answer(request),
                Err(error) => refusal(&error),
            };
            self.send(&document);
        }
        let has_line = self.unparsed.contains(&b'\n');
        if !has_line && self.unparsed.len() > MAX_REQUEST_BYTES {
            self.send(&refusal(&format!("a request is one line of at most {MAX_REQUEST_BYTES} bytes")));
            self.write();
            self.done = true;
        }
    }

    fn send(&mut self, document: &Value) {
        self.unsent.extend(document.to_string().as_bytes());
        self.unsent.push(b'\n');
        if self.unsent.len() > MAX_UNREAD_BYTES {
            self.done = true;
        }
    }

    fn write(&mut self) {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(length) => drop(self.unsent.drain(..length)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.done = true;
                    return;
                }
            }
        }
    }
}

fn parse(line: &[u8]) -> Result<Request, String> {
    serde_json::from_slice(line).map_err(|error| {
        // The position is within one line, which the client knows.
        let text = error.to_string();
        format!("not a request: {}", text.split(" at line ").next().unwrap_or(&text))
    })
}

/// A successful answer with the fields of `status`.
pub fn success(status: impl Serialize) -> Value {
    match serde_json::to_value(status) {
        Ok(status) => json!({ "schema": SCHEMA, "ok": true, "status": status }),
        Err(error) => refusal(&format!("the status cannot be told: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::LeadKind;
    use std::io::{BufRead as _, BufReader};

    fn server() -> (tempfile::TempDir, Control) {
        let directory = tempfile::tempdir().expect("temporary directory");
        let control = Control::bind(&directory.path().join("clock.sock")).expect("bound");
        (directory, control)
    }

    fn line(stream: &UnixStream) -> String {
        let mut text = String::new();
        BufReader::new(stream).read_line(&mut text).expect("answered");
        text
    }

    fn ask(control: &mut Control, stream: &UnixStream, request: &str) -> Value {
        let mut stream = stream;
        stream.write_all(request.as_bytes()).expect("sent");
        control.serve(0, |request| json!({ "asked": format!("{request:?}") }));
        control.serve(0, |request| json!({ "asked": format!("{request:?}") }));
        serde_json::from_str(&line(stream)).expect("an answer is JSON")
    }

    #[test]
    fn requests_are_read_as_documented() {
        assert_eq!(parse(b"{\"command\":\"status\"}\n"), Ok(Request::Status));
        let changes = Changes {
            interfaces: Some(vec!["eth0".to_owned()]),
            domain: Some(1),
            lead: Some(LeadKind::LastResort),
            preferred: Some(true),
            priority1: Some(100),
            priority2: Some(101),
        };
        let text = br#"{"command":"set","interfaces":["eth0"],"domain":1,"lead":"last-resort","preferred":true,"priority1":100,"priority2":101}"#;
        assert_eq!(parse(text), Ok(Request::Set(changes)));
        assert_eq!(parse(b"{\"command\":\"reset\"}"), Ok(Request::Reset));
    }

    #[test]
    fn bad_requests_are_answered_in_words() {
        let (_directory, mut control) = server();
        let stream = UnixStream::connect(&control.path).expect("served");
        for (request, expected) in [
            ("{\n", "not a request: EOF while parsing an object"),
            (
                "{\"command\":\"steer\"}\n",
                "not a request: unknown variant `steer`, expected one of `status`, `set`, `reset`",
            ),
            ("{\"command\":\"set\",\"colour\":1}\n", "not a request: unknown field `colour`"),
            (
                "{\"command\":\"set\",\"domain\":300}\n",
                "not a request: invalid value: integer `300`, expected u8",
            ),
            ("\u{7f}\n", "not a request: expected value"),
        ] {
            let answer = ask(&mut control, &stream, request);
            let error = answer["error"].as_str().unwrap_or_default();
            assert!(error.starts_with(expected), "{request:?}: {error}");
            assert_eq!(answer["ok"], false);
        }
        assert_eq!(ask(&mut control, &stream, "{\"command\":\"status\"}\n")["asked"], "Status");
    }

    #[test]
    fn who_may_not_change_is_told_so() {
        let (_directory, mut control) = server();
        let stream = UnixStream::connect(&control.path).expect("served");
        control.serve(0, |_| Value::Null);
        control.clients[0].may_change = false;
        let answer = ask(&mut control, &stream, "{\"command\":\"set\",\"domain\":1}\n");
        assert!(answer["error"].as_str().is_some_and(|error| error.contains("group wireloom")));
        assert_eq!(ask(&mut control, &stream, "{\"command\":\"status\"}\n")["asked"], "Status");
        control.clients[0].may_change = true;
        assert!(ask(&mut control, &stream, "{\"command\":\"reset\"}\n")["asked"].is_string());
    }

    #[test]
    fn clients_are_bounded_and_idle_ones_make_room() {
        let (_directory, mut control) = server();
        let streams: Vec<UnixStream> = (0..MAX_CLIENTS + 3)
            .map(|_| {
                let stream = UnixStream::connect(&control.path).expect("served");
                control.serve(0, |_| Value::Null);
                stream
            })
            .collect();
        assert_eq!(control.clients.len(), MAX_CLIENTS);
        let refused = streams.last().expect("made above");
        assert!(line(refused).contains("too many clients"));
        let late = UnixStream::connect(&control.path).expect("served");
        control.serve(IDLE_NS, |_| Value::Null);
        assert_eq!(control.clients.len(), MAX_CLIENTS);
        let mut sender = &late;
        sender.write_all(b"{\"command\":\"status\"}\n").expect("sent");
        control.serve(IDLE_NS, |_| json!("fine"));
        assert_eq!(line(&late), "\"fine\"\n");
    }

    #[test]
    fn a_client_that_never_reads_or_never_ends_its_line_is_closed() {
        let (_directory, mut control) = server();
        let mut deaf = UnixStream::connect(&control.path).expect("served");
        deaf.set_nonblocking(true).expect("possible");
        let mut rounds = 0;
        control.serve(0, |_| Value::Null);
        while !control.clients.is_empty() {
            let _ = deaf.write(b"{\"command\":\"status\"}\n");
            control.serve(0, |_| json!("x".repeat(10_000)));
            rounds += 1;
            assert!(rounds < 1000, "kept for ever");
        }
        let mut endless = UnixStream::connect(&control.path).expect("served");
        endless.set_nonblocking(true).expect("possible");
        control.serve(0, |_| Value::Null);
        while !control.clients.is_empty() {
            let _ = endless.write(&[b'x'; 1024]);
            control.serve(0, |_| Value::Null);
        }
        endless.set_nonblocking(false).expect("possible");
        assert!(line(&endless).contains("a request is one line"));
    }

    #[test]
    fn a_second_daemon_is_refused_and_a_dead_ones_socket_replaced() {
        let (directory, control) = server();
        let path = directory.path().join("clock.sock");
        let refused = Control::bind(&path).expect_err("served already");
        assert!(refused.to_string().contains("another wireloom-clock serves"));
        let mut dead = control;
        dead.inode = None; // as after SIGKILL: nobody removes the socket
        drop(dead);
        assert!(path.exists());
        let successor = Control::bind(&path).expect("replaced");
        drop(successor);
        assert!(!path.exists());
    }
}

#[cfg(test)]
mod fuzzed {
    use super::*;
    use crate::settings::Settings;

    /// Serves a client that sends these octets: every answer is one line of JSON, what waits is bounded, and
    /// settings that were taken are such that a file can hold them.
    fn conversation(bytes: &[u8]) {
        let (stream, mut peer) = UnixStream::pair().expect("a pair of sockets");
        stream.set_nonblocking(true).expect("set");
        peer.set_nonblocking(true).expect("set");
        let (unparsed, unsent) = (Vec::new(), Vec::new());
        let mut client = Client { stream, may_change: true, unparsed, unsent, last_heard: 0, done: false };
        let mut settings = Settings::default();
        let mut answers = Vec::new();
        let mut rest = bytes;
        while !client.done {
            match peer.write(rest) {
                Ok(length) => rest = &rest[length..],
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
            let waiting = client.unparsed.len();
            client.read(1);
            assert!(client.unparsed.len() <= MAX_REQUEST_BYTES + 4096);
            client.answer(&mut |request| {
                if let Request::Set(changes) = request
                    && settings.apply(&changes).is_ok()
                {
                    let mut read = Settings::default();
                    let text = settings.to_toml();
                    crate::settings_file::read(Path::new("clock.conf"), &text, &mut read)
                        .expect("our own file");
                    assert_eq!(read, settings);
                }
                json!({ "ok": true })
            });
            client.write();
            let _ = peer.read_to_end(&mut answers);
            if rest.is_empty() && client.unparsed.len() == waiting {
                break;
            }
        }
        for line in answers.split_inclusive(|octet| *octet == b'\n') {
            let answer: Value = serde_json::from_slice(line).expect("an answer is JSON");
            assert!(answer["ok"] == true || answer["error"].is_string());
        }
    }

    #[test]
    fn control_conversations() {
        let set = r#"{"command":"set","interfaces":["eth0"],"domain":1,"lead":"last-resort","preferred":true,"priority1":100,"priority2":101}"#;
        let all = format!("{{\"command\":\"status\"}}\n{set}\n{{\"command\":\"reset\"}}\n");
        wireloom_fuzz::mutate::drive_from(&[all.as_str(), &format!("{set}\n")], conversation);
    }
}
