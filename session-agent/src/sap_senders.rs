//! The sockets that our own announcements leave by, one for each address of this computer.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};
use tracing::{debug, warn};
use wireloom_sdp::Outgoing;

use crate::sap_sockets::{ANNOUNCE_TO, PORT};

/// So many addresses are announced from at a time; a computer that moved from network to network closes the old ones.
const MAX_SENDERS: usize = 8;

/// Sends announcements; what goes wrong is tried again with the next one.
#[derive(Default)]
pub struct SapSenders(BTreeMap<Ipv4Addr, UdpSocket>);

impl SapSenders {
    /// Sends `announcement` from the address that it names.
    pub fn send(&mut self, announcement: &Outgoing) {
        let IpAddr::V4(address) = announcement.origin else { return };
        let socket = match self.0.get(&address) {
            Some(socket) => socket,
            None => match open(address) {
                Ok(socket) => {
                    if self.0.len() >= MAX_SENDERS {
                        self.0.pop_first();
                    }
                    self.0.entry(address).or_insert(socket)
                }
                Err(error) => return warn!("cannot announce from {address}: {error}"),
            },
        };
        if let Err(error) = socket.send_to(&announcement.bytes, SocketAddr::from((ANNOUNCE_TO, PORT))) {
            debug!("announcing from {address}: {error}");
            self.0.remove(&address); // opened anew next time
        }
    }
}

fn open(address: Ipv4Addr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::V4(SocketAddrV4::new(address, 0)).into())?;
    socket.set_multicast_if_v4(&address)?;
    socket.set_multicast_ttl_v4(255)?; // RFC 2974 §3
    socket.set_multicast_loop_v4(true)?; // other programs of this computer listen too
    Ok(socket.into())
}
