//! Our RTSP server: sockets around [`RtspServer`].

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{sleep, sleep_until, timeout};
use tracing::{debug, trace};
use wireloom_ravenna::{ConnectionId, Output, RtspServer, Session};
use wireloom_units::Nanos;

use super::pace;
use crate::time::Clock;

/// A client that takes nothing for so long is cut off.
const PATIENCE: Duration = Duration::from_secs(10);
/// Answers that may wait for a slow client.
const MAX_WAITING: usize = 64;
/// Clients that may still take what was said to them before they were closed; more are cut off.
const MAX_LEAVING: usize = 8;

/// A client with its task.
struct Client {
    to_write: mpsc::Sender<Vec<u8>>,
    task: AbortHandle,
}

/// Binds the port. Errors: it is taken, or the address is no longer ours.
pub async fn bind(address: Ipv4Addr, port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((address, port)).await
}

/// Describes `sessions` to everybody who connects, until nobody sends them any more.
pub async fn serve(clock: Clock, listener: TcpListener, mut sessions: watch::Receiver<Vec<Session>>) {
    let authority = listener.local_addr().map(|address| address.to_string()).unwrap_or_default();
    let mut server = RtspServer::new(&authority);
    let mut clients: BTreeMap<ConnectionId, Client> = BTreeMap::new();
    let mut leaving: VecDeque<AbortHandle> = VecDeque::new();
    let (sender, mut received) = mpsc::channel::<(ConnectionId, Option<Vec<u8>>)>(256);
    server.handle_sessions(sessions.borrow_and_update().clone());
    loop {
        let due = server.poll_timeout().unwrap_or(Nanos(u64::MAX / 4));
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => match server.handle_open(clock.now().mono, peer.ip()) {
                    Some(id) => {
                        if let Err(error) = notice_its_end(&stream) {
                            debug!("RTSP client {peer}: {error}");
                        }
                        trace!("RTSP client {peer} is {id:?}");
                        let (to_write, writing) = mpsc::channel(MAX_WAITING);
                        let task = tokio::spawn(converse(id, stream, writing, sender.clone()));
                        clients.insert(id, Client { to_write, task: task.abort_handle() });
                    }
                    None => debug!("RTSP client {peer} is refused: there are too many"),
                },
                Err(error) => {
                    debug!("accepting an RTSP client: {error}");
                    sleep(Duration::from_millis(100)).await;
                }
            },
            Some((id, bytes)) = received.recv() => match bytes {
                Some(bytes) => server.handle_bytes(clock.now().mono, id, &bytes),
                None => {
                    server.handle_close(id);
                    clients.remove(&id);
                }
            },
            changed = sessions.changed() => {
                if changed.is_err() {
                    return;
                }
                server.handle_sessions(sessions.borrow_and_update().clone());
            }
            () = sleep_until(clock.instant(due)) => server.handle_timeout(clock.now().mono),
        }
        while let Some(output) = server.poll_output() {
            match output {
                Output::Send(id, bytes) => {
                    let is_full = |client: &Client| client.to_write.try_send(bytes).is_err();
                    if clients.get(&id).is_some_and(is_full)
                        && let Some(client) = clients.remove(&id)
                    {
                        server.handle_close(id);
                        client.task.abort(); // it asks and takes nothing
                    }
                }
                Output::Close(id) => {
                    leaving.extend(clients.remove(&id).map(|client| client.task));
                    if leaving.len() > MAX_LEAVING
                        && let Some(first) = leaving.pop_front()
                    {
                        first.abort();
                    }
                }
            }
        }
    }
}

/// Lets the kernel find out when the other end is gone without a word: who described something may be silent for ever,
/// and a unit that is switched off and on again would find its own connections in its way.
fn notice_its_end(stream: &TcpStream) -> io::Result<()> {
    let (idle, pause) = (Duration::from_secs(30), Duration::from_secs(10));
    let keepalive = TcpKeepalive::new().with_time(idle).with_interval(pause).with_retries(3);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

/// Reads from and writes to one client, until it leaves or its writer is dropped.
async fn converse(
    id: ConnectionId,
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    mut to_write: mpsc::Receiver<Vec<u8>>,
    received: mpsc::Sender<(ConnectionId, Option<Vec<u8>>)>,
) {
    let mut buffer = [0; 4096];
    let mut pace = pace();
    loop {
        tokio::select! {
            read = stream.read(&mut buffer) => match read {
                Ok(length @ 1..) => {
                    let bytes = buffer.get(..length).unwrap_or_default().to_vec();
                    if received.send((id, Some(bytes))).await.is_err() {
                        return;
                    }
                    pace.take(length).await;
                }
                Ok(0) | Err(_) => break,
            },
            bytes = to_write.recv() => {
                let Some(bytes) = bytes else { break };
                if !matches!(timeout(PATIENCE, stream.write_all(&bytes)).await, Ok(Ok(()))) {
                    break;
                }
            }
        }
    }
    trace!("RTSP client {id:?} left");
    let _ = received.send((id, None)).await; // a server that ended knows
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::net::TcpSocket;
    use tokio::runtime::Handle;
    use tokio::task::yield_now;
    use tokio::time::Instant;

    use super::super::{OCTETS, PAUSE};
    use super::*;

    const DESCRIBE: &[u8] = b"DESCRIBE /by-id/7 RTSP/1.0\r\n\r\n";
    /// Connections that one host may have.
    const MOST_OF_ONE: usize = 16;

    /// A running server with one session of `length` octets; it ends with the sender.
    async fn server(length: usize) -> (SocketAddr, watch::Sender<Vec<Session>>) {
        let session = Session { id: 7, name: "Drums".into(), sdp: "x".repeat(length) };
        let (sessions, changes) = watch::channel(vec![session]);
        let listener = bind(Ipv4Addr::LOCALHOST, 0).await.expect("a port");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(serve(Clock::start(), listener, changes));
        (address, sessions)
    }

    /// The most tasks that clients keep alive who ask this, one after the other, and take no answer.
    async fn most_tasks(request: &[u8]) -> usize {
        let (address, _sessions) = server(64 * 1024).await;
        let tasks = || Handle::current().metrics().num_alive_tasks();
        let (before, mut most, mut clients) = (tasks(), 0, Vec::new());
        for _ in 0..64 {
            let socket = TcpSocket::new_v4().expect("a socket");
            socket.set_recv_buffer_size(4096).expect("can be set");
            let mut client = socket.connect(address).await.expect("the kernel accepts");
            let _ = client.write_all(request).await; // one that is refused takes nothing
            clients.push(client);
            for _ in 0..1000 {
                yield_now().await;
            }
            most = most.max(tasks() - before);
        }
        most
    }

    #[tokio::test]
    async fn who_asks_for_more_than_waits_is_cut_off() {
        let most = most_tasks(&DESCRIBE.repeat(200)).await;
        assert!(most <= MOST_OF_ONE + 1, "{most} tasks");
    }

    #[tokio::test]
    async fn who_takes_no_goodbye_is_cut_off_when_there_are_many() {
        let most = most_tasks(&[&DESCRIBE.repeat(60)[..], b"nonsense\r\n\r\n"].concat()).await;
        assert!(most <= MOST_OF_ONE + MAX_LEAVING + 1, "{most} tasks");
    }

    #[tokio::test]
    async fn a_client_that_vanishes_is_noticed() {
        let (address, _sessions) = server(100).await;
        let mut client = TcpStream::connect(address).await.expect("is there");
        client.write_all(b"OPTIONS * RTSP/1.0\r\n\r\n").await.expect("is taken");
        assert!(client.read(&mut [0; 512]).await.expect("is answered") > 0);
        let ours = client.local_addr().expect("bound").port();
        // proc_net_tcp(5): local and remote address; timer 02 is keepalive, 01 a packet that is not acknowledged.
        let ends = [address.port(), ours].map(|port| format!("0100007F:{port:04X}"));
        loop {
            let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux");
            let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
            let row = rows.into_iter().find(|row| row.get(1..3).is_some_and(|it| it == ends));
            let timer = row.as_ref().and_then(|row| row.get(5)?.get(..2)).expect("is connected");
            if timer != "01" {
                assert_eq!(timer, "02");
                return;
            }
            yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_sends_without_end_is_read_at_a_bounded_pace() {
        let (mut client, stream) = tokio::io::duplex(64 * 1024);
        let (_to_write, writing) = mpsc::channel(1);
        let (sender, mut received) = mpsc::channel(256);
        tokio::spawn(converse(ConnectionId(1), stream, writing, sender));
        tokio::spawn(async move { while client.write_all(&[b'\n'; 4096]).await.is_ok() {} });
        let (begun, mut octets) = (Instant::now(), 0);
        while octets < 100 * OCTETS {
            let (_, bytes) = received.recv().await.expect("it goes on");
            octets += bytes.expect("it goes on").len();
        }
        assert!(begun.elapsed() >= 99 * PAUSE, "{octets} octets in {:?}", begun.elapsed());
    }
}
