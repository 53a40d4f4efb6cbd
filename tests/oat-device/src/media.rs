//! UDP sockets for media: never waited for.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::ops::RangeInclusive;

use anyhow::Context;
use socket2::{Domain, Protocol, Socket, Type};

/// The longest datagram that is read.
const DATAGRAM_BYTES: usize = 9216;

/// A socket at the first free port of `ports`.
pub fn bind(address: Ipv4Addr, ports: RangeInclusive<u16>) -> anyhow::Result<UdpSocket> {
    let free = ports.clone().find_map(|port| UdpSocket::bind((address, port)).ok());
    let socket = free.with_context(|| format!("no free port in {ports:?}"))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// A socket that hears `group`.
pub fn join(address: Ipv4Addr, group: SocketAddrV4) -> anyhow::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::V4(group).into())?;
    socket.join_multicast_v4(group.ip(), &address)?;
    Ok(socket.into())
}

/// Hands every datagram that has arrived to `take`.
pub fn drain(socket: &UdpSocket, mut take: impl FnMut(SocketAddrV4, &[u8])) {
    let mut buffer = [0; DATAGRAM_BYTES];
    while let Ok((length, from)) = socket.recv_from(&mut buffer) {
        if let SocketAddr::V4(from) = from {
            take(from, &buffer[..length]);
        }
    }
}
