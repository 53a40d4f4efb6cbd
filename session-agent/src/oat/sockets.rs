//! The sockets that subscriptions are asked from: one for each address of this computer, kept as long as it works,
//! because a sender knows who renews a lease by address and port.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::debug;

use super::{Outgoing, pace};

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

/// Passes on what may be a message. When the agent is busy, answers are lost.
async fn read(local: Ipv4Addr, socket: UdpSocket, datagrams: mpsc::Sender<Datagram>) {
    let mut buffer = [0; wireloom_oat::MESSAGE_BYTES + 1];
    let mut pace = pace();
    loop {
        let received = socket.recv_from(&mut buffer).await;
        pace.take(1).await;
        // An error is a host that said that nobody listens; that does not concern the next one.
        let Ok((wireloom_oat::MESSAGE_BYTES, SocketAddr::V4(from))) = received else { continue };
        let bytes = buffer.get(..wireloom_oat::MESSAGE_BYTES).unwrap_or_default().to_vec();
        let _ = datagrams.try_send(Datagram { local, from, bytes });
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::super::{BURST, REST};
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_read_at_a_bounded_pace() {
        let local = Ipv4Addr::LOCALHOST;
        let socket = std::net::UdpSocket::bind((local, 0)).expect("a port");
        socket.set_nonblocking(true).expect("can be set");
        let to = socket.local_addr().expect("bound");
        let stranger = std::net::UdpSocket::bind((local, 0)).expect("a port");
        for _ in 0..4 * BURST {
            stranger.send_to(&[0; wireloom_oat::MESSAGE_BYTES], to).expect("is sent");
        }
        let (sender, mut heard) = mpsc::channel(4 * BURST);
        let begun = Instant::now();
        tokio::spawn(read(local, UdpSocket::from_std(socket).expect("a socket"), sender));
        for _ in 0..4 * BURST {
            heard.recv().await.expect("it goes on");
        }
        assert!(begun.elapsed() >= 4 * REST, "in {:?}", begun.elapsed());
    }
}
