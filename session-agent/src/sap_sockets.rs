//! The sockets of announcements (`aes67` 1.2): what is heard goes to the core as it came.

use std::collections::BTreeSet;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::socket::sockopt::{Ipv4PacketInfo, Ipv6RecvPacketInfo};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockRef, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::mpsc::Sender;
use tracing::{debug, warn};
use wireloom_sdp::Via;

use crate::model::InterfaceFacts;

/// UDP port of announcements.
pub const PORT: u16 = 9875;
/// Where our own announcements go.
pub const ANNOUNCE_TO: Ipv4Addr = Ipv4Addr::new(239, 255, 255, 255);

const GROUPS_V4: [Ipv4Addr; 4] = [
    ANNOUNCE_TO,
    Ipv4Addr::new(224, 2, 127, 254),
    Ipv4Addr::new(239, 195, 255, 255), // of an organisation
    Ipv4Addr::new(224, 0, 0, 56),      // PipeWire's default
];
const GROUPS_V6: [Ipv6Addr; 4] = [group_v6(0xff02), group_v6(0xff05), group_v6(0xff08), group_v6(0xff0e)];
/// A port that another program keeps to itself is tried again so often.
const TRY_AGAIN: Duration = Duration::from_secs(10);
/// Said to the user.
const PORT_TAKEN: &str = "Announced streams are not heard: another program keeps UDP port 9875 to itself \
                          (wireloom doctor says which).";
const NO_SOCKET: &str = "Announced streams are not heard: no socket can be opened for them; trying again.";
/// The largest UDP datagram; longer SAP packets do not exist.
const MAX_DATAGRAM: usize = 65_535;

const fn group_v6(scope: u16) -> Ipv6Addr {
    Ipv6Addr::new(scope, 0, 0, 0, 0, 0, 2, 0x7ffe)
}

/// One datagram as it came.
#[derive(Debug)]
pub struct Datagram {
    pub from: IpAddr,
    pub via: Via,
    pub bytes: Vec<u8>,
}

/// All sockets, and on which interfaces they are members.
pub struct SapSockets {
    sockets: Vec<(Option<Ipv4Addr>, Arc<UdpSocket>)>,
    /// Groups of IPv4 whose socket could not be opened yet, and why.
    missing: Vec<Ipv4Addr>,
    trouble: Option<&'static str>,
    /// When those are tried again.
    next_try: Instant,
    /// Where what is heard goes; `None` hears nothing.
    datagrams: Option<Sender<Datagram>>,
    joined: BTreeSet<u32>,
}

impl SapSockets {
    /// Opens the sockets and starts to read them. Without IPv6 it goes on with IPv4; what cannot be opened because another
    /// program keeps the port to itself is tried again by [`SapSockets::join`]. Call inside a runtime.
    pub fn open(datagrams: &Sender<Datagram>) -> Self {
        let mut all = Self {
            sockets: Vec::new(),
            missing: GROUPS_V4.to_vec(),
            trouble: None,
            next_try: Instant::now(),
            datagrams: Some(datagrams.clone()),
            joined: BTreeSet::new(),
        };
        match open_v6().and_then(|socket| UdpSocket::from_std(socket.into())) {
            Ok(socket) => all.add(None, socket),
            Err(error) => debug!("announcements over IPv6 are not heard: {error}"),
        }
        all.open_missing();
        all
    }

    /// Hears nothing.
    #[cfg(test)]
    pub fn none() -> Self {
        Self {
            sockets: Vec::new(),
            missing: Vec::new(),
            trouble: None,
            next_try: Instant::now(),
            datagrams: None,
            joined: BTreeSet::new(),
        }
    }

    /// Why announcements are not heard, if they are not.
    pub const fn trouble(&self) -> Option<&'static str> {
        self.trouble
    }

    fn add(&mut self, group: Option<Ipv4Addr>, socket: UdpSocket) {
        let socket = Arc::new(socket);
        if let Some(datagrams) = &self.datagrams {
            tokio::spawn(read(socket.clone(), group, datagrams.clone()));
        }
        self.sockets.push((group, socket));
    }

    fn open_missing(&mut self) {
        if self.missing.is_empty() || Instant::now() < self.next_try {
            return;
        }
        self.next_try = Instant::now() + TRY_AGAIN;
        self.trouble = None;
        for group in std::mem::take(&mut self.missing) {
            match open_v4(group).and_then(|socket| UdpSocket::from_std(socket.into())) {
                Ok(socket) => {
                    self.leave_all(); // so that it is joined with the others
                    self.add(Some(group), socket);
                }
                Err(error) => {
                    debug!("no socket for announcements to {group}: {error}");
                    let is_taken = error.kind() == io::ErrorKind::AddrInUse;
                    self.trouble = Some(if is_taken { PORT_TAKEN } else { NO_SOCKET });
                    self.missing.push(group);
                }
            }
        }
    }

    /// Makes `interfaces` the ones on which announcements are heard; answers those where joining failed.
    pub fn join(&mut self, interfaces: &[InterfaceFacts]) -> BTreeSet<u32> {
        self.open_missing();
        let wanted: BTreeSet<u32> = interfaces.iter().map(|facts| facts.index).collect();
        for index in self.joined.difference(&wanted).copied().collect::<Vec<_>>() {
            self.leave(index);
        }
        let mut failed = BTreeSet::new();
        for facts in interfaces.iter().filter(|facts| !self.joined.contains(&facts.index)) {
            match self.join_one(facts) {
                Ok(()) => debug!("listening for announcements on {}", facts.name),
                Err(error) => {
                    warn!("cannot listen for announcements on {}: {error}", facts.name);
                    failed.insert(facts.index);
                }
            }
        }
        self.joined = wanted.difference(&failed).copied().collect();
        failed
    }

    /// Leaves everywhere, so that the next `join` makes switches notice.
    pub fn leave_all(&mut self) {
        for index in std::mem::take(&mut self.joined) {
            self.leave(index);
        }
    }

    /// An interface is a member when every IPv4 group could be joined, or, without IPv4, one of IPv6.
    fn join_one(&self, facts: &InterfaceFacts) -> io::Result<()> {
        let by = InterfaceIndexOrAddress::Index(facts.index);
        let (v4, v6) = (
            facts.addresses.iter().any(|(address, _)| address.is_ipv4()),
            facts.addresses.iter().any(|(address, _)| address.is_ipv6()),
        );
        for (group, socket) in &self.sockets {
            match group {
                Some(group) if v4 => member(SockRef::from(&**socket).join_multicast_v4_n(group, &by))?,
                Some(_) => {}
                None if v6 => {
                    for group in &GROUPS_V6 {
                        match member(SockRef::from(&**socket).join_multicast_v6(group, facts.index)) {
                            Err(error) if !v4 => return Err(error),
                            _ => {}
                        }
                    }
                }
                None => {}
            }
        }
        Ok(())
    }

    fn leave(&self, index: u32) {
        let by = InterfaceIndexOrAddress::Index(index);
        for (group, socket) in &self.sockets {
            let socket = SockRef::from(&**socket);
            // An interface that is gone has left by itself.
            match group {
                Some(group) => drop(socket.leave_multicast_v4_n(group, &by)),
                None => GROUPS_V6.iter().for_each(|group| drop(socket.leave_multicast_v6(group, index))),
            }
        }
    }
}

/// Being a member already is as good.
fn member(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.raw_os_error() == Some(nix::libc::EADDRINUSE) => Ok(()),
        other => other,
    }
}

fn open_v4(group: Ipv4Addr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.set_multicast_all_v4(false)?;
    socket.set_recv_buffer_size(1 << 20)?; // the kernel gives what it allows
    setsockopt(&socket, Ipv4PacketInfo, &true)?;
    socket.bind(&SocketAddr::V4(SocketAddrV4::new(group, PORT)).into())?;
    Ok(socket)
}

fn open_v6() -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_only_v6(true)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.set_multicast_all_v6(false)?;
    setsockopt(&socket, Ipv6RecvPacketInfo, &true)?;
    socket.bind(&SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, PORT, 0, 0)).into())?;
    Ok(socket)
}

/// Reads until the core is gone. While the core is busy the kernel's queue fills and then drops: that bounds us.
async fn read(socket: Arc<UdpSocket>, bound: Option<Ipv4Addr>, datagrams: Sender<Datagram>) {
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        match socket.async_io(Interest::READABLE, || receive(socket.as_raw_fd(), &mut buffer, bound)).await {
            Ok(Some(datagram)) => {
                if datagrams.send(datagram).await.is_err() {
                    return;
                }
            }
            Ok(None) => {}
            Err(error) => {
                debug!("announcement socket: {error}");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

fn receive(
    fd: std::os::fd::RawFd,
    buffer: &mut [u8],
    bound: Option<Ipv4Addr>,
) -> io::Result<Option<Datagram>> {
    let mut control = nix::cmsg_space!(nix::libc::in6_pktinfo, nix::libc::in_pktinfo);
    let mut parts = [IoSliceMut::new(buffer)];
    let received = recvmsg::<SockaddrStorage>(fd, &mut parts, Some(&mut control), MsgFlags::MSG_DONTWAIT)?;
    let mut via = Via { interface: 0, group: bound.map(IpAddr::V4) };
    for message in received.cmsgs()? {
        match message {
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                via.interface = u32::try_from(info.ipi_ifindex).unwrap_or(0);
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => {
                let group = Ipv6Addr::from(info.ipi6_addr.s6_addr);
                if !group.is_multicast() {
                    return Ok(None); // sent to this host alone: not an announcement
                }
                (via.interface, via.group) = (info.ipi6_ifindex, Some(IpAddr::V6(group)));
            }
            _ => {}
        }
    }
    let from = received.address.and_then(|address| {
        let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
    });
    let length = received.bytes;
    let Some(from) = from else { return Ok(None) };
    Ok(Some(Datagram { from, via, bytes: buffer.get(..length).unwrap_or_default().to_vec() }))
}
