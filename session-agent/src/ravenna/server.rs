//! Our RTSP server: sockets around [`RtspServer`].

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, sleep_until, timeout};
use tracing::{debug, trace};
use wireloom_ravenna::{ConnectionId, Output, RtspServer, Session};
use wireloom_units::Nanos;

use crate::time::Clock;

/// A client that takes nothing for so long is cut off.
const PATIENCE: Duration = Duration::from_secs(10);
/// Answers that may wait for a slow client.
const MAX_WAITING: usize = 64;

/// Binds the port. Errors: it is taken, or the address is no longer ours.
pub async fn bind(address: Ipv4Addr, port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((address, port)).await
}

/// Describes `sessions` to everybody who connects, until nobody sends them any more.
pub async fn serve(clock: Clock, listener: TcpListener, mut sessions: watch::Receiver<Vec<Session>>) {
    let authority = listener.local_addr().map(|address| address.to_string()).unwrap_or_default();
    let mut server = RtspServer::new(&authority);
    let mut writers: BTreeMap<ConnectionId, mpsc::Sender<Vec<u8>>> = BTreeMap::new();
    let (sender, mut received) = mpsc::channel::<(ConnectionId, Option<Vec<u8>>)>(256);
    server.handle_sessions(sessions.borrow_and_update().clone());
    loop {
        let due = server.poll_timeout().unwrap_or(Nanos(u64::MAX / 4));
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => match server.handle_open(clock.now().mono, peer.ip()) {
                    Some(id) => {
                        let (writer, to_write) = mpsc::channel(MAX_WAITING);
                        writers.insert(id, writer);
                        tokio::spawn(converse(id, stream, to_write, sender.clone()));
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
                    writers.remove(&id);
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
                    if writers.get(&id).is_some_and(|writer| writer.try_send(bytes).is_err()) {
                        server.handle_close(id);
                        writers.remove(&id);
                    }
                }
                Output::Close(id) => drop(writers.remove(&id)),
            }
        }
    }
}

/// Reads from and writes to one client, until it leaves or its writer is dropped.
async fn converse(
    id: ConnectionId,
    mut stream: TcpStream,
    mut to_write: mpsc::Receiver<Vec<u8>>,
    received: mpsc::Sender<(ConnectionId, Option<Vec<u8>>)>,
) {
    let peer = stream.peer_addr().unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0)));
    let mut buffer = [0; 4096];
    loop {
        tokio::select! {
            read = stream.read(&mut buffer) => match read {
                Ok(length @ 1..) => {
                    let bytes = buffer.get(..length).unwrap_or_default().to_vec();
                    if received.send((id, Some(bytes))).await.is_err() {
                        return;
                    }
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
    trace!("RTSP client {peer} left");
    let _ = received.send((id, None)).await; // a server that ended knows
}
