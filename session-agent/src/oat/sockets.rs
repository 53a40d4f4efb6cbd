//! The sockets that subscriptions are asked from: one for each address of this computer, kept as long as it works,
//! because a sender knows who renews a lease by address and port.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::debug;

use super::Outgoing;

/// A datagram that came to the socket of `local`.
#[derive(Debug)]
pub struct Datagram {
    pub local: Ipv4Addr,
    pub from: SocketAddrV4,
    pub bytes: Vec<u8>,
}

/// All of them.
#[derive(Debug)]
pub struct Sockets {
    open: BTreeMap<Ipv4Addr, Open>,
    datagrams: mpsc::Sender<Datagram>,
}

#[derive(Debug)]
struct Open {
    /// Sends at once; the reader has a second handle.
    socket: std::net::UdpSocket,
    reader: JoinHandle<()>,
}

impl Sockets {
    /// None is open yet; what comes to them goes to `datagrams`.
    pub const fn new(datagrams: mpsc::Sender<Datagram>) -> Self {
        Self { open: BTreeMap::new(), datagrams }
    }

    /// Sends a question. One that cannot be sent is asked again anyway, then from a new socket.
    pub fn send(&mut self, outgoing: &Outgoing) {
        if let Err(error) = self.try_send(outgoing) {
            debug!("asking {} from {}: {error}", outgoing.to, outgoing.local);
            self.open.remove(&outgoing.local);
        }
    }

    fn try_send(&mut self, outgoing: &Outgoing) -> std::io::Result<()> {
        let local = outgoing.local;
        if !self.open.contains_key(&local) {
            let socket = std::net::UdpSocket::bind((local, 0))?;
            socket.set_nonblocking(true)?;
            let reading = UdpSocket::from_std(socket.try_clone()?)?;
            let reader = tokio::spawn(read(local, reading, self.datagrams.clone()));
            self.open.insert(local, Open { socket, reader });
        }
        if let Some(open) = self.open.get(&local) {
            open.socket.send_to(&outgoing.bytes, SocketAddr::V4(outgoing.to))?;
        }
        Ok(())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Passes on what comes. Longer datagrams than ours are cut, and refused for it; when the agent is busy they are lost.
async fn read(local: Ipv4Addr, socket: UdpSocket, datagrams: mpsc::Sender<Datagram>) {
    let mut buffer = [0; wireloom_oat::MESSAGE_BYTES + 1];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            // A host said that nobody listens; that does not concern the next one.
            tokio::task::yield_now().await;
            continue;
        };
        let SocketAddr::V4(from) = from else { continue };
        let bytes = buffer.get(..length).unwrap_or_default().to_vec();
        let _ = datagrams.try_send(Datagram { local, from, bytes });
    }
}
