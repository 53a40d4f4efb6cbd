//! One RTSP server that describes sessions: connected as long as anybody needs it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, sleep_until, timeout};
use tracing::debug;
use wireloom_ravenna::{Backoff, ClientEvent, Location, RtspClient};
use wireloom_units::Nanos;

use crate::time::Clock;

/// A connection is made, and octets are taken, within this time, or never.
const PATIENCE: Duration = Duration::from_secs(10);
/// A server that has not described anything for so long while it fails has left.
const GIVE_UP: Nanos = Nanos::from_secs(60);
/// Descriptions are asked for so often from a server that does not keep connections.
const REFRESH: Nanos = Nanos::from_secs(60);
/// Descriptions of one server are taken at this pace: nothing real changes faster.
const PACE: Duration = Duration::from_millis(20);

/// Sessions by instance name, with the path that a redirection said.
pub type Wanted = BTreeMap<String, Option<String>>;

/// What a server said.
#[derive(Debug)]
pub enum Report {
    Described {
        server: SocketAddr,
        session: String,
        text: Vec<u8>,
    },
    Announced {
        server: SocketAddr,
        text: Vec<u8>,
    },
    Moved {
        server: SocketAddr,
        session: String,
        location: Location,
    },
    /// It does not know the session.
    Unknown {
        server: SocketAddr,
        session: String,
    },
    /// It has not answered for long.
    Silent {
        server: SocketAddr,
    },
}

/// Follows the sessions that `wanted` names until nobody sends any more.
pub async fn follow(
    clock: Clock,
    server: SocketAddr,
    wanted: watch::Receiver<Wanted>,
    reports: mpsc::Sender<Report>,
) {
    let mut follower = Follower { clock, server, wanted, reports, described: BTreeMap::new(), failing: None };
    let mut backoff = Backoff::default();
    loop {
        let begun = follower.clock.now().mono;
        let result = match timeout(PATIENCE, TcpStream::connect(server)).await {
            Ok(Ok(stream)) => follower.converse(stream).await,
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("it does not answer".to_owned()),
        };
        let why = match result {
            Ok(()) => return, // nobody needs it
            Err(why) => why,
        };
        let now = follower.clock.now().mono;
        debug!("RTSP server {server}: {why}");
        let progress = follower.described.values().any(|at| *at >= begun);
        let wait = if progress {
            backoff.succeeded();
            // Some close after every answer: what is left is asked at once, everything again after a while.
            follower.next_due(now).max(Nanos::from_millis(100)).min(follower.patience(now, begun))
        } else {
            backoff.failed()
        };
        if follower.fail(now).await.is_err() {
            return;
        }
        let again = sleep(Duration::from_nanos(wait.0));
        tokio::select! {
            () = again => {}
            changed = follower.wanted.changed() => if changed.is_err() { return },
        }
    }
}

struct Follower {
    clock: Clock,
    server: SocketAddr,
    wanted: watch::Receiver<Wanted>,
    reports: mpsc::Sender<Report>,
    /// When each session was described last.
    described: BTreeMap<String, Nanos>,
    /// Since when nothing was described.
    failing: Option<Nanos>,
}

impl Follower {
    /// Talks over one connection. An error says why it ended.
    async fn converse(&mut self, mut stream: TcpStream) -> Result<(), String> {
        let mut client = RtspClient::new(&self.server.to_string());
        let mut buffer = [0; 4096];
        self.ask(&mut client);
        loop {
            self.tell(&mut client, &mut stream).await?;
            let due = client.poll_timeout().unwrap_or(Nanos(u64::MAX / 4));
            tokio::select! {
                received = stream.read(&mut buffer) => match received.map_err(|error| error.to_string())? {
                    0 => client.handle_end(self.clock.now().mono),
                    length => {
                        let bytes = buffer.get(..length).unwrap_or_default();
                        client.handle_bytes(self.clock.now().mono, bytes);
                    }
                },
                changed = self.wanted.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    self.ask(&mut client);
                }
                () = sleep_until(self.clock.instant(due)) => client.handle_timeout(self.clock.now().mono),
            }
        }
    }

    /// Asks for what is wanted and not asked for, longest unknown first; forgets what is not wanted.
    fn ask(&mut self, client: &mut RtspClient) {
        let now = self.clock.now().mono;
        let wanted = self.wanted.borrow_and_update().clone();
        let asked: BTreeSet<String> = client.names().map(str::to_owned).collect();
        for gone in asked.iter().filter(|name| !wanted.contains_key(*name)) {
            client.forget(now, gone);
        }
        self.described.retain(|name, _| wanted.contains_key(name));
        let mut names: Vec<_> = wanted.iter().filter(|(name, _)| !asked.contains(*name)).collect();
        names.sort_by_key(|(name, _)| self.described.get(*name));
        for (name, path) in names {
            let _ = match path {
                Some(path) => client.describe_path(now, name, path),
                None => client.describe(now, name),
            }; // what finds no room is asked for in the next connection
        }
    }

    /// Sends and reports what the client has to say.
    async fn tell(&mut self, client: &mut RtspClient, stream: &mut TcpStream) -> Result<(), String> {
        while let Some(bytes) = client.poll_transmit() {
            match timeout(PATIENCE, stream.write_all(&bytes)).await {
                Ok(sent) => sent.map_err(|error| error.to_string())?,
                Err(_) => return Err("it takes nothing".to_owned()),
            }
        }
        let server = self.server;
        while let Some(event) = client.poll_event() {
            let report = match event {
                ClientEvent::Described { name, body } => {
                    self.described.insert(name.clone(), self.clock.now().mono);
                    self.failing = None;
                    Report::Described { server, session: name, text: body }
                }
                ClientEvent::Announced { body, .. } => Report::Announced { server, text: body },
                ClientEvent::Moved { name, location } => Report::Moved { server, session: name, location },
                ClientEvent::Refused { name, status: 404 | 410 | 454 } => {
                    Report::Unknown { server, session: name }
                }
                ClientEvent::Refused { name, status } => {
                    debug!("RTSP server {server} answers {status} when asked for {name:?}");
                    continue;
                }
                ClientEvent::Failed(failure) => return Err(failure.to_string()),
            };
            self.reports.send(report).await.map_err(|_| "nobody listens".to_owned())?;
            sleep(PACE).await;
        }
        Ok(())
    }

    /// Notes a failure, and says once when there was nothing else for long.
    async fn fail(&mut self, now: Nanos) -> Result<(), mpsc::error::SendError<Report>> {
        let since = *self.failing.get_or_insert(now);
        if now.since(since) >= GIVE_UP && !self.described.is_empty() {
            self.described.clear();
            return self.reports.send(Report::Silent { server: self.server }).await;
        }
        Ok(())
    }

    /// How long until a session is due to be described.
    fn next_due(&self, now: Nanos) -> Nanos {
        let wanted = self.wanted.borrow();
        let due = wanted.keys().map(|name| match self.described.get(name) {
            Some(at) => Nanos(at.plus(REFRESH).0.saturating_sub(now.0)),
            None => Nanos::ZERO,
        });
        due.min().unwrap_or(REFRESH)
    }

    /// How long to wait at most after a connection that began at `begun`: one that lived for long was cut, not ended
    /// by habit, and its server may have been restarted.
    fn patience(&self, now: Nanos, begun: Nanos) -> Nanos {
        if now.since(begun) > Nanos::from_secs(5) { Nanos::from_secs(1) } else { REFRESH }
    }
}
