use alloc::{borrow::ToOwned, collections::VecDeque, string::String, vec::Vec};
use core::fmt;

use wireloom_units::Nanos;

use crate::{
    Location, Message, Reader, Resource, RtspError, Start,
    uri::{MAX_URL, SCHEME, by_name},
};

/// One connection to an RTSP server that describes sessions; the connection stays open, because changes come over it.
/// Owns no socket and no clock.
///
/// Asks for one description at a time, for each again every 60 s, and says every 30 s that it is still there
/// (RFC 2326 §10.8). What the server pushes by ANNOUNCE (§10.3) is answered and handed on. A server that does not
/// answer within 10 s is given up: make a new client for the next connection. Holds at most 256 sessions.
#[derive(Debug)]
pub struct RtspClient {
    authority: String,
    sessions: Vec<Asked>,
    reader: Reader,
    waiting: Option<Waiting>,
    next_cseq: u32,
    /// When to say that we are there.
    keep_alive_at: Nanos,
    keep_alive_by: &'static str,
    requests: VecDeque<Message>,
    outgoing: VecDeque<Vec<u8>>,
    events: VecDeque<ClientEvent>,
    failed: bool,
}

/// What the server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientEvent {
    /// The description of a session that was asked for.
    Described {
        /// Which.
        name: String,
        /// As received; of more than 8 KiB the first 8193 octets.
        body: Vec<u8>,
    },
    /// A changed description, of which session its `o=` line says first: the URL is often empty or another one.
    Announced {
        /// The session that the URL names, where it is one that was asked for.
        name: Option<String>,
        /// The URL.
        uri: String,
        /// As received; of more than 8 KiB the first 8193 octets.
        body: Vec<u8>,
    },
    /// The server does not describe the session; it is asked again after 60 s.
    Refused {
        /// Which.
        name: String,
        /// Status code: 404 when it does not know it.
        status: u16,
    },
    /// The session is described by another server; it is no longer asked for here.
    Moved {
        /// Which.
        name: String,
        /// Where.
        location: Location,
    },
    /// Close the connection.
    Failed(Failure),
}

/// Why a connection is of no more use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// No answer within 10 s.
    Silent,
    /// What came is not RTSP.
    Broken(RtspError),
    /// The server closed it.
    Closed,
}

impl core::error::Error for Failure {}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent => f.write_str("the RTSP server does not answer"),
            Self::Broken(error) => error.fmt(f),
            Self::Closed => f.write_str("the RTSP server closed the connection"),
        }
    }
}

#[derive(Debug)]
struct Asked {
    name: String,
    uri: String,
    /// What the server calls it in its answers (Content-Base), and so perhaps when it pushes it.
    base: Option<String>,
    /// When to ask for it next.
    due: Nanos,
    redirections: u8,
}

#[derive(Debug)]
struct Waiting {
    cseq: u32,
    until: Nanos,
    /// The session that was asked for; none for other requests.
    name: Option<String>,
}

impl RtspClient {
    /// A connection to the server at `authority`, "address:port".
    pub fn new(authority: &str) -> Self {
        Self {
            authority: authority.to_owned(),
            sessions: Vec::new(),
            reader: Reader::new(),
            waiting: None,
            next_cseq: 1,
            keep_alive_at: Nanos::ZERO,
            keep_alive_by: "GET_PARAMETER",
            requests: VecDeque::new(),
            outgoing: VecDeque::new(),
            events: VecDeque::new(),
            failed: false,
        }
    }

    /// Asks for the session with this instance name, now or as soon as the server answered what it was asked before;
    /// one that is asked for already is asked for again. False when there is no room.
    pub fn describe(&mut self, now: Nanos, name: &str) -> bool {
        self.describe_at(now, name, by_name(&self.authority, name))
    }

    /// The same by another path of this server, to which a redirection led.
    pub fn describe_path(&mut self, now: Nanos, name: &str, path: &str) -> bool {
        self.describe_at(now, name, [SCHEME, &self.authority, path].concat())
    }

    /// Nobody needs the session any more: says so to the server (RFC 2326 §10.7).
    pub fn forget(&mut self, now: Nanos, name: &str) {
        let Some(at) = self.sessions.iter().position(|asked| asked.name == name) else { return };
        let asked = self.sessions.swap_remove(at);
        if self.requests.len() < MAX_SESSIONS {
            self.requests.push_back(Message::request("TEARDOWN", &asked.uri));
        }
        self.ask_next(now);
    }

    /// Names of the sessions that are asked for.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.sessions.iter().map(|asked| asked.name.as_str())
    }

    /// Whether any session is asked for.
    pub fn is_needed(&self) -> bool {
        !self.sessions.is_empty()
    }

    /// Takes what was received.
    pub fn handle_bytes(&mut self, now: Nanos, bytes: &[u8]) {
        let result = self.reader.handle_bytes(bytes);
        while let Some(message) = self.reader.poll_message() {
            self.handle_message(now, message);
        }
        if let Err(error) = result {
            self.fail(Failure::Broken(error));
        }
    }

    /// The server closed the connection.
    pub fn handle_end(&mut self, now: Nanos) {
        if let Some(message) = self.reader.handle_end() {
            self.handle_message(now, message);
        }
        self.fail(Failure::Closed);
    }

    /// Call when `poll_timeout` has passed.
    pub fn handle_timeout(&mut self, now: Nanos) {
        if self.waiting.as_ref().is_some_and(|waiting| waiting.until <= now) {
            // A body without length may be all that will come.
            match self.reader.handle_end() {
                Some(message) => self.handle_message(now, message),
                None => return self.fail(Failure::Silent),
            }
        }
        self.ask_next(now);
    }

    /// The next octets to send. Drain until `None` after every other call.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.outgoing.pop_front()
    }

    /// What happened, oldest first. Drain until `None` after every other call.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        self.events.pop_front()
    }

    /// When to call `handle_timeout` next.
    pub fn poll_timeout(&self) -> Option<Nanos> {
        if self.failed {
            return None;
        }
        if let Some(waiting) = &self.waiting {
            return Some(waiting.until);
        }
        let due = self.sessions.iter().map(|asked| asked.due);
        due.chain(self.is_needed().then_some(self.keep_alive_at)).min()
    }

    fn describe_at(&mut self, now: Nanos, name: &str, uri: String) -> bool {
        if let Some(asked) = self.sessions.iter_mut().find(|asked| asked.name == name) {
            asked.due = now;
        } else if self.sessions.len() < MAX_SESSIONS {
            let name = name.to_owned();
            self.sessions.push(Asked { name, uri, base: None, due: now, redirections: 0 });
        } else {
            return false;
        }
        self.ask_next(now);
        true
    }

    /// Sends what is due if nothing is waited for.
    fn ask_next(&mut self, now: Nanos) {
        if self.failed || self.waiting.is_some() {
            return;
        }
        if let Some(request) = self.requests.pop_front() {
            return self.send(now, request, None);
        }
        let due = self.sessions.iter().filter(|asked| asked.due <= now).min_by_key(|asked| asked.due);
        if let Some(asked) = due {
            let request = Message::request("DESCRIBE", &asked.uri).with("Accept", SDP);
            let name = asked.name.clone();
            self.send(now, request, Some(name));
        } else if self.keep_alive_at <= now
            && let Some(asked) = self.sessions.first()
        {
            let request = Message::request(self.keep_alive_by, &asked.uri);
            self.send(now, request, None);
        }
    }

    fn send(&mut self, now: Nanos, request: Message, name: Option<String>) {
        let cseq = self.next_cseq;
        self.next_cseq = self.next_cseq.wrapping_add(1);
        self.waiting = Some(Waiting { cseq, until: now.plus(PATIENCE), name });
        self.keep_alive_at = now.plus(KEEP_ALIVE);
        self.outgoing.push_back(request.with("CSeq", cseq).with("User-Agent", "Wireloom").emit());
    }

    fn handle_message(&mut self, now: Nanos, message: Message) {
        match &message.start {
            Start::Request { method, uri, .. } => {
                let (method, uri) = (method.clone(), uri.clone());
                self.handle_request(&method, uri, message);
            }
            Start::Response { status, .. } => self.handle_response(now, *status, message),
        }
    }

    /// What the server asks: only that we take a description, or say that we are there.
    fn handle_request(&mut self, method: &str, uri: String, message: Message) {
        let status = match method {
            "ANNOUNCE" | "GET_PARAMETER" | "SET_PARAMETER" | "OPTIONS" => 200,
            _ => 501,
        };
        let answer = Message::response(status);
        let answer = match method {
            "OPTIONS" => answer.with("Public", "OPTIONS, ANNOUNCE, GET_PARAMETER"),
            _ => answer,
        };
        let answer = match message.header("CSeq").filter(|cseq| cseq.len() <= 32) {
            Some(cseq) => answer.with("CSeq", cseq),
            None => answer,
        };
        if self.outgoing.len() < MAX_SESSIONS {
            self.outgoing.push_back(answer.emit());
        }
        if method == "ANNOUNCE" && !message.body.is_empty() {
            let name =
                self.sessions.iter().find(|asked| asked.is_called(&uri)).map(|asked| asked.name.clone());
            self.push(ClientEvent::Announced { name, uri, body: message.body });
        }
    }

    fn handle_response(&mut self, now: Nanos, status: u16, message: Message) {
        let Some(waiting) = &self.waiting else { return };
        if message.header("CSeq").is_some() && message.cseq() != Some(waiting.cseq) || status < 200 {
            return; // of something given up, or "go on" (RFC 2326 §11.1)
        }
        let Some(name) = waiting.name.clone() else {
            if matches!(status, 405 | 501) && self.keep_alive_by != "OPTIONS" {
                self.keep_alive_by = "OPTIONS";
            }
            self.waiting = None;
            return self.ask_next(now);
        };
        if status == 200 && message.body.is_empty() {
            return; // some units say OK first and describe then
        }
        self.waiting = None;
        let Some(at) = self.sessions.iter().position(|asked| asked.name == name) else {
            return self.ask_next(now); // forgotten meanwhile
        };
        let location = message.header("Location").filter(|_| matches!(status, 301..=303 | 305));
        match (status, location) {
            (200, _) => {
                let base = message.header("Content-Base").filter(|base| base.len() <= MAX_URL);
                self.described(now, at, base.map(str::to_owned));
                self.push(ClientEvent::Described { name, body: message.body });
            }
            (_, Some(url)) => self.redirected(now, at, url, status),
            _ => {
                self.put_off(now, at);
                self.push(ClientEvent::Refused { name, status });
            }
        }
        self.ask_next(now);
    }

    fn described(&mut self, now: Nanos, at: usize, base: Option<String>) {
        self.put_off(now, at);
        // Content-Base is for what the description refers to (RFC 2326 §12.11): the session keeps its URL.
        if let Some(asked) = self.sessions.get_mut(at) {
            (asked.redirections, asked.base) = (0, base);
        }
    }

    fn redirected(&mut self, now: Nanos, at: usize, url: &str, status: u16) {
        let here = Location::parse(&[SCHEME, &self.authority].concat());
        let location = Location::parse(url);
        let Some(asked) = self.sessions.get_mut(at) else { return };
        match (location, here) {
            (Some(location), Some(here))
                if (location.address, location.port) == (here.address, here.port)
                    && asked.redirections < MAX_REDIRECTIONS =>
            {
                asked.redirections += 1;
                asked.uri = url.to_owned();
                asked.due = now;
            }
            (Some(location), Some(here))
                if (location.address, location.port) != (here.address, here.port) =>
            {
                let name = self.sessions.swap_remove(at).name;
                self.push(ClientEvent::Moved { name, location });
            }
            _ => {
                let name = asked.name.clone();
                self.put_off(now, at);
                self.push(ClientEvent::Refused { name, status });
            }
        }
    }

    fn put_off(&mut self, now: Nanos, at: usize) {
        if let Some(asked) = self.sessions.get_mut(at) {
            asked.due = now.plus(REFRESH);
        }
    }

    fn push(&mut self, event: ClientEvent) {
        if self.events.len() < 2 * MAX_SESSIONS {
            self.events.push_back(event);
        }
    }

    fn fail(&mut self, failure: Failure) {
        if !self.failed {
            (self.failed, self.waiting) = (true, None);
            self.events.push_back(ClientEvent::Failed(failure));
        }
    }
}

impl Asked {
    /// Whether `uri` names the session, by its name or as the server calls it.
    fn is_called(&self, uri: &str) -> bool {
        let named = match Resource::from_uri(uri) {
            None | Some(Resource::Other) => return false,
            Some(named) => named,
        };
        let by_name = matches!(&named, Resource::ByName(name) if name.trim_end_matches('/') == self.name);
        let urls = [Some(&self.uri), self.base.as_ref()].into_iter().flatten();
        by_name || urls.into_iter().any(|url| Resource::from_uri(url).as_ref() == Some(&named))
    }
}

const SDP: &str = "application/sdp";
const MAX_SESSIONS: usize = 256; // a 128-flow device twice
const MAX_REDIRECTIONS: u8 = 3;
const PATIENCE: Nanos = Nanos::from_secs(10);
const KEEP_ALIVE: Nanos = Nanos::from_secs(30);
const REFRESH: Nanos = Nanos::from_secs(60); // for servers that do not push
