//! The sockets at which others ask for our streams. The audio leaves by a socket of the module that has the same port
//! and no address, so that what comes to the port comes here.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, SocketAddrV4};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::debug;

use super::pace;

/// A datagram that came to one of them.
#[derive(Debug)]
pub struct Question {
    /// Where it came to.
    pub local: SocketAddrV4,
    pub from: SocketAddrV4,
    pub bytes: Vec<u8>,
}

/// All of them.
#[derive(Debug)]
pub struct Questions {
    open: BTreeMap<SocketAddrV4, Open>,
    heard: mpsc::Sender<Question>,
}

#[derive(Debug)]
struct Open {
    /// Answers at once; the reader has a second handle.
    socket: std::net::UdpSocket,
    reader: JoinHandle<()>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Questions {
    /// None is open yet; what comes to them goes to `heard`.
    pub const fn new(heard: mpsc::Sender<Question>) -> Self {
        Self { open: BTreeMap::new(), heard }
    }

    /// Opens what is `wanted` and closes the rest; answers the ports that somebody else has.
    pub fn follow(&mut self, wanted: &[SocketAddrV4]) -> Vec<u16> {
        self.open.retain(|local, _| wanted.contains(local));
        let mut taken = Vec::new();
        for local in wanted {
            if self.open.contains_key(local) {
                continue;
            }
            match self.open(*local) {
                Ok(open) => drop(self.open.insert(*local, open)),
                Err(error) => {
                    debug!("listening for questions at {local}: {error}");
                    if error.kind() == io::ErrorKind::AddrInUse {
                        taken.push(local.port());
                    }
                }
            }
        }
        taken
    }

    fn open(&self, local: SocketAddrV4) -> io::Result<Open> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_reuse_address(true)?; // the module has the port too
        socket.set_nonblocking(true)?;
        socket.bind(&SocketAddr::V4(local).into())?;
        let socket: std::net::UdpSocket = socket.into();
        let reading = UdpSocket::from_std(socket.try_clone()?)?;
        let reader = tokio::spawn(read(local, reading, self.heard.clone()));
        Ok(Open { socket, reader })
    }

    /// Sends an answer from where the question came to. One that is lost is asked for again.
    pub fn answer(&self, question: &Question, bytes: &[u8]) {
        if let Some(open) = self.open.get(&question.local)
            && let Err(error) = open.socket.send_to(bytes, SocketAddr::V4(question.from))
        {
            debug!("answering {}: {error}", question.from);
        }
    }
}

/// Passes on what may be a message. When the agent is busy, questions are lost.
async fn read(local: SocketAddrV4, socket: UdpSocket, heard: mpsc::Sender<Question>) {
    let mut buffer = [0; wireloom_oat::MESSAGE_BYTES + 1];
    let mut pace = pace();
    loop {
        let received = socket.recv_from(&mut buffer).await;
        pace.take(1).await;
        let Ok((wireloom_oat::MESSAGE_BYTES, SocketAddr::V4(from))) = received else { continue };
        let bytes = buffer.get(..wireloom_oat::MESSAGE_BYTES).unwrap_or_default().to_vec();
        let _ = heard.try_send(Question { local, from, bytes });
    }
}
