//! One RTSP server that describes sessions: connected as long as anybody needs it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, sleep_until, timeout};
use tracing::debug;
use wireloom_ravenna::{ClientEvent, Location, Reconnect, RtspClient};
use wireloom_units::Nanos;

use super::pace;
use crate::time::Clock;

/// A connection is made, and octets are taken, within this time, or never.
const PATIENCE: Duration = Duration::from_secs(10);
/// What is wanted anew is asked for after this.
const AFTER_CHANGE: Duration = Duration::from_millis(200);
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
        session: Option<String>,
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

/// Follows the sessions that `wanted` names, from after `wait`, until nobody sends any more.
pub async fn follow(
    clock: Clock,
    server: SocketAddr,
    wanted: watch::Receiver<Wanted>,
    reports: mpsc::Sender<Report>,
    wait: Duration,
) {
    let needed = still_needed(wanted.clone());
    tokio::select! {
        () = needed => {} // whatever was under way is given up
        () = async {
            sleep(wait).await;
            attend(clock, server, wanted, reports).await;
        } => {}
    }
}

/// Ends when nobody sends any more.
async fn still_needed(mut wanted: watch::Receiver<Wanted>) {
    while wanted.changed().await.is_ok() {}
}

async fn attend(
    clock: Clock,
    server: SocketAddr,
    wanted: watch::Receiver<Wanted>,
    reports: mpsc::Sender<Report>,
) {
    let mut follower = Follower { clock, server, wanted, reports, reconnect: Reconnect::default() };
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
        let wanted = follower.wanted.borrow().clone();
        let wait = follower.reconnect.handle_end(now, begun, wanted.keys().map(String::as_str));
        if follower.reconnect.poll_gone(now)
            && follower.reports.send(Report::Silent { server }).await.is_err()
        {
            return;
        }
        tokio::select! {
            () = sleep(Duration::from_nanos(wait.0)) => {}
            changed = follower.wanted.changed() => {
                if changed.is_err() {
                    return;
                }
                sleep(AFTER_CHANGE).await; // who changes names all the time makes us connect no faster
            }
        }
    }
}

struct Follower {
    clock: Clock,
    server: SocketAddr,
    wanted: watch::Receiver<Wanted>,
    reports: mpsc::Sender<Report>,
    reconnect: Reconnect,
}

impl Follower {
    /// Talks over one connection. An error says why it ended.
    async fn converse(&mut self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<(), String> {
        let mut client = RtspClient::new(&self.server.to_string());
        let mut buffer = [0; 4096];
        let mut pace = pace();
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
                        pace.take(length).await;
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
        self.reconnect.handle_wanted(|name| wanted.contains_key(name));
        let mut names: Vec<_> = wanted.iter().filter(|(name, _)| !asked.contains(*name)).collect();
        names.sort_by_key(|(name, _)| self.reconnect.described(name));
        for (name, path) in names {
            let _ = match path {
                Some(path) => client.describe_path(now, name, path),
                None => client.describe(now, name),
            }; // what finds no room is asked for in the next connection
        }
    }

    /// Sends and reports what the client has to say.
    async fn tell(
        &mut self,
        client: &mut RtspClient,
        stream: &mut (impl AsyncWrite + Unpin),
    ) -> Result<(), String> {
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
                    self.reconnect.handle_described(self.clock.now().mono, &name);
                    Report::Described { server, session: name, text: body }
                }
                ClientEvent::Announced { name, body, .. } => {
                    Report::Announced { server, session: name, text: body }
                }
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
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use socket2::{Domain, Socket, Type};
    use tokio::task::yield_now;
    use tokio::time::Instant;

    use super::super::{OCTETS, PAUSE};
    use super::*;

    fn one_session() -> (watch::Sender<Wanted>, watch::Receiver<Wanted>) {
        watch::channel(Wanted::from([("Drums".to_owned(), None)]))
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_under_way_is_given_up_when_nobody_needs_it() {
        // Nobody accepts, and the queue is full: who connects now waits.
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a port");
        listener.listen(0).expect("listens");
        let address = listener.local_addr().expect("bound").as_socket().expect("IPv4");
        let _first = std::net::TcpStream::connect(address).expect("has room");
        let (wanted, receiver) = one_session();
        let (reports, _reported) = mpsc::channel(1);
        let following = tokio::spawn(follow(Clock::start(), address, receiver, reports, Duration::ZERO));
        for _ in 0..1000 {
            yield_now().await;
        }
        assert!(!following.is_finished(), "it connects");
        let begun = Instant::now();
        drop(wanted);
        following.await.expect("no panic");
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_sends_without_end_is_read_at_a_bounded_pace() {
        let (mut server, stream) = tokio::io::duplex(64 * 1024);
        let (_wanted, wanted) = one_session();
        let (reports, _reported) = mpsc::channel(1);
        let server_address = SocketAddr::from(([192, 0, 2, 1], 554));
        let reconnect = Reconnect::default();
        let clock = Clock::start();
        let mut follower = Follower { clock, server: server_address, wanted, reports, reconnect };
        tokio::spawn(async move { follower.converse(stream).await });
        let begun = Instant::now();
        for _ in 0..116 {
            // Interleaved data, of which nothing is ever made.
            server.write_all(&[&b"$\x01\x0f\xfc"[..], &[0; OCTETS - 4]].concat()).await.expect("is read");
        }
        // Sixteen are under way, one is being read.
        assert!(begun.elapsed() >= 99 * PAUSE, "in {:?}", begun.elapsed());
    }
}
