use alloc::{
    borrow::ToOwned,
    collections::{BTreeMap, BTreeSet, VecDeque},
    string::String,
    vec::Vec,
};
use core::net::IpAddr;

use wireloom_units::Nanos;

use crate::{Message, Reader, Resource, RtspError, Start, reader::MAX_KEPT, uri::by_name};

/// Describes our own sessions to everybody who asks, and again when they change. Owns no socket and no clock.
///
/// Answers OPTIONS, DESCRIBE, GET_PARAMETER and TEARDOWN (RFC 2326 §10); there is no SETUP and no PLAY in RAVENNA.
/// Every connection that described a session gets its changed description by ANNOUNCE (§10.3). At most 64 connections,
/// 16 of one host; when there are as many, the host that holds most makes room for who holds fewer. One that leaves a
/// request unfinished for 10 s, or describes nothing for 120 s, is closed.
#[derive(Debug)]
pub struct RtspServer {
    authority: String,
    sessions: BTreeMap<u32, Session>,
    connections: BTreeMap<ConnectionId, Connection>,
    next: u64,
    outgoing: VecDeque<Output>,
}

/// A session that the server describes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Our number for it, `/by-id/NUMBER`.
    pub id: u32,
    /// Its instance name, `/by-name/NAME`.
    pub name: String,
    /// Its description.
    pub sdp: String,
}

/// Names a connection as long as the server lives; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// What to do with a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send these octets.
    Send(ConnectionId, Vec<u8>),
    /// Close it, after what was to be sent; nothing more will be asked of it.
    Close(ConnectionId),
}

#[derive(Debug)]
struct Connection {
    peer: IpAddr,
    reader: Reader,
    described: BTreeSet<u32>,
    /// Last octets received.
    last: Nanos,
    /// Since when a request is unfinished.
    unfinished: Option<Nanos>,
    next_cseq: u32,
}

impl RtspServer {
    /// A server that its clients reach at `authority`, "address:port".
    pub fn new(authority: &str) -> Self {
        Self {
            authority: authority.to_owned(),
            sessions: BTreeMap::new(),
            connections: BTreeMap::new(),
            next: 0,
            outgoing: VecDeque::new(),
        }
    }

    /// Describes exactly `sessions` from now on; who described one that changed is told.
    pub fn handle_sessions(&mut self, sessions: impl IntoIterator<Item = Session>) {
        let new: BTreeMap<u32, Session> = sessions.into_iter().map(|session| (session.id, session)).collect();
        let old = core::mem::replace(&mut self.sessions, new);
        let changed = self
            .sessions
            .values()
            .filter(|session| old.get(&session.id).is_some_and(|old| old.sdp != session.sdp));
        for session in changed {
            let uri = by_name(&self.authority, &session.name);
            for (&id, connection) in &mut self.connections {
                if connection.described.contains(&session.id) {
                    let announce = Message::request("ANNOUNCE", &uri)
                        .with("CSeq", connection.next_cseq)
                        .with("Connection", "Keep-Alive")
                        .with_body(SDP, session.sdp.as_bytes());
                    connection.next_cseq = connection.next_cseq.wrapping_add(1);
                    self.outgoing.push_back(Output::Send(id, announce.emit()));
                }
            }
        }
        for connection in self.connections.values_mut() {
            connection.described.retain(|id| self.sessions.contains_key(id));
        }
    }

    /// A client connected; `None` when there are too many: close it at once.
    pub fn handle_open(&mut self, now: Nanos, peer: IpAddr) -> Option<ConnectionId> {
        let of_peer = self.connections.values().filter(|connection| connection.peer == peer).count();
        if of_peer >= MAX_OF_PEER {
            return None;
        }
        if self.connections.len() >= MAX_CONNECTIONS {
            let spare = self.find_spare(of_peer)?;
            self.close(spare);
        }
        self.next += 1;
        let id = ConnectionId(self.next);
        let (reader, described) = (Reader::new(), BTreeSet::new());
        let connection = Connection { peer, reader, described, last: now, unfinished: None, next_cseq: 1 };
        self.connections.insert(id, connection);
        Some(id)
    }

    /// Takes what was received.
    pub fn handle_bytes(&mut self, now: Nanos, id: ConnectionId, bytes: &[u8]) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.last = now;
        let mut result = connection.reader.handle_bytes(bytes);
        while let Some(message) = connection.reader.poll_message() {
            if message.body.len() >= MAX_KEPT {
                result = Err(RtspError::BodyTooLong); // no request needs that
                break;
            }
            // A response answers an ANNOUNCE of ours: there is nothing to do about it.
            if let Start::Request { method, uri, major } = &message.start {
                let sessions = Catalogue { authority: &self.authority, sessions: &self.sessions };
                let answer = sessions.answer(*major, method, uri, &message, &mut connection.described);
                let answer = match message.header("CSeq").filter(|cseq| cseq.len() <= MAX_CSEQ) {
                    Some(cseq) => answer.with("CSeq", cseq),
                    None => answer, // RFC 2326 §12.17 asks for one; some units forget it
                };
                self.outgoing.push_back(Output::Send(id, answer.with("Server", "Wireloom").emit()));
            }
        }
        match (result, connection.reader.is_inside()) {
            (Err(_), _) => {
                self.outgoing.push_back(Output::Send(id, Message::response(400).emit()));
                self.close(id);
            }
            (Ok(()), false) => connection.unfinished = None,
            (Ok(()), true) => connection.unfinished = connection.unfinished.or(Some(now)),
        }
    }

    /// The client closed its connection, or it broke.
    pub fn handle_close(&mut self, id: ConnectionId) {
        self.connections.remove(&id);
    }

    /// Call when `poll_timeout` has passed: closes connections that only take room.
    pub fn handle_timeout(&mut self, now: Nanos) {
        let is_over = |(_, connection): &(&ConnectionId, &Connection)| {
            connection.deadline().is_some_and(|deadline| deadline <= now)
        };
        let over: Vec<_> = self.connections.iter().filter(is_over).map(|(&id, _)| id).collect();
        over.into_iter().for_each(|id| self.close(id));
    }

    /// What to do next. Drain until `None` after every other call.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outgoing.pop_front()
    }

    /// When to call `handle_timeout` next.
    pub fn poll_timeout(&self) -> Option<Nanos> {
        self.connections.values().filter_map(Connection::deadline).min()
    }

    /// The longest silent connection of the host that holds most, if it holds so many more than the newcomer's
    /// `of_peer` that giving one up leaves it no worse off: hosts that share what there is take nothing from each other.
    fn find_spare(&self, of_peer: usize) -> Option<ConnectionId> {
        let mut held: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for connection in self.connections.values() {
            *held.entry(connection.peer).or_default() += 1;
        }
        let most = held.values().copied().max().filter(|most| *most >= of_peer + 2)?;
        let theirs = self.connections.iter().filter(|(_, it)| held.get(&it.peer) == Some(&most));
        theirs.min_by_key(|(_, it)| it.last).map(|(id, _)| *id)
    }

    fn close(&mut self, id: ConnectionId) {
        if self.connections.remove(&id).is_some() {
            self.outgoing.push_back(Output::Close(id));
        }
    }
}

impl Connection {
    fn deadline(&self) -> Option<Nanos> {
        let idle = self.described.is_empty().then(|| self.last.plus(IDLE));
        let unfinished = self.unfinished.map(|since| since.plus(UNFINISHED));
        [idle, unfinished].into_iter().flatten().min()
    }
}

/// What there is to describe.
struct Catalogue<'a> {
    authority: &'a str,
    sessions: &'a BTreeMap<u32, Session>,
}

impl Catalogue<'_> {
    fn answer(
        &self,
        major: u8,
        method: &str,
        uri: &str,
        message: &Message,
        described: &mut BTreeSet<u32>,
    ) -> Message {
        if major != 1 {
            return Message::response(505);
        }
        if let Some(option) = message.header("Require") {
            return Message::response(551).with("Unsupported", option.get(..64).unwrap_or(option));
        }
        match method {
            "OPTIONS" => Message::response(200).with("Public", METHODS),
            "DESCRIBE" => self.describe(uri, message, described),
            "GET_PARAMETER" if message.body.is_empty() => Message::response(200),
            "GET_PARAMETER" => Message::response(451),
            // Sessions in the sense of RFC 2326 §12.37 begin with SETUP: there are none.
            "TEARDOWN" | "PLAY" | "PAUSE" | "RECORD" if message.header("Session").is_some() => {
                Message::response(454)
            }
            "TEARDOWN" => match self.find(uri) {
                Ok(session) => {
                    described.remove(&session.id);
                    Message::response(200)
                }
                Err(status) => Message::response(status),
            },
            "SETUP" | "PLAY" | "PAUSE" | "RECORD" | "ANNOUNCE" | "SET_PARAMETER" | "REDIRECT" => {
                Message::response(405).with("Allow", METHODS)
            }
            _ => Message::response(501).with("Public", METHODS),
        }
    }

    fn describe(&self, uri: &str, message: &Message, described: &mut BTreeSet<u32>) -> Message {
        let session = match self.find(uri) {
            Ok(session) => session,
            Err(status) => return Message::response(status),
        };
        let takes = |accept: &str| {
            let kinds = accept.split(',').map(|kind| kind.split(';').next().unwrap_or_default().trim());
            kinds.into_iter().any(|kind| ["application/sdp", "application/*", "*/*"].contains(&kind))
        };
        if message.header("Accept").is_some_and(|accept| !takes(&accept.to_ascii_lowercase())) {
            return Message::response(406);
        }
        described.insert(session.id);
        Message::response(200)
            .with("Content-Base", by_name(self.authority, &session.name))
            .with_body(SDP, session.sdp.as_bytes())
    }

    /// The session of a URL; an error is the status code.
    fn find(&self, uri: &str) -> Result<&Session, u16> {
        let found = match Resource::from_uri(uri).ok_or(400_u16)? {
            Resource::ById(id) => self.sessions.get(&id),
            Resource::ByName(name) => {
                // Some clients add the slash of a directory.
                let is_it = |wanted: &str| self.sessions.values().find(|session| session.name == wanted);
                is_it(&name).or_else(|| is_it(name.strip_suffix('/')?))
            }
            Resource::Other => None,
        };
        found.ok_or(404)
    }
}

const SDP: &str = "application/sdp";
const METHODS: &str = "DESCRIBE, OPTIONS, GET_PARAMETER, TEARDOWN";
const MAX_CONNECTIONS: usize = 64;
const MAX_OF_PEER: usize = 16; // units open one for each of their inputs
const MAX_CSEQ: usize = 32;
const UNFINISHED: Nanos = Nanos::from_secs(10);
const IDLE: Nanos = Nanos::from_secs(120);
