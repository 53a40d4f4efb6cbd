//! Media sockets: opened on the main loop, read and written on the data loop without waiting.

use std::ffi::{CString, c_int, c_void};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use wireloom_wanted::Leg;

use super::source_filter;

/// Datagrams that one system call takes.
pub(crate) const BATCH: usize = 32;
/// The longest datagram that is read; jumbo frames carry up to 8960 octets of payload (ST 2110-10 MAXUDP).
const DATAGRAM_BYTES: usize = 9216;
/// Room for one timestamp control message.
const CONTROL_BYTES: usize = 64;
/// `SO_PRIORITY` of media, which the kernel's queues and 802.1p map to "voice" (`aes67` 3.8).
const PRIORITY: c_int = 6;

/// Why a media socket could not be made.
#[derive(Debug)]
pub(crate) enum JoinError {
    /// There is no interface of that name now.
    NoInterface(String),
    /// The kernel refused a step.
    Refused(&'static str, io::Error),
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoInterface(name) => write!(f, "there is no network interface {name}"),
            Self::Refused(step, error) => write!(f, "{step}: {error}"),
        }
    }
}

/// One UDP socket of one leg.
pub(crate) struct MediaSocket {
    fd: OwnedFd,
    leg: Leg,
    interface: u32,
    source_specific: bool,
}

impl MediaSocket {
    /// Opens a receiving socket for `leg` that can hold `queue_bytes`, and joins its group.
    pub(crate) fn receive(leg: &Leg, queue_bytes: usize, source_specific: bool) -> Result<Self, JoinError> {
        let interface = interface_index(leg.interface.as_deref())?;
        let mut socket = Self { fd: udp(leg.address)?, leg: leg.clone(), interface, source_specific };
        socket.set(libc::SOL_SOCKET, libc::SO_REUSEADDR, &1_i32, "SO_REUSEADDR")?;
        socket.set(
            libc::SOL_SOCKET,
            libc::SO_RCVBUF,
            &c_int::try_from(queue_bytes).unwrap_or(c_int::MAX),
            "SO_RCVBUF",
        )?;
        socket.set(libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, &1_i32, "SO_TIMESTAMPNS")?;
        if leg.address.is_ipv4() {
            socket.set(libc::IPPROTO_IP, libc::IP_MULTICAST_ALL, &0_i32, "IP_MULTICAST_ALL")?;
        }
        let program = source_filter::program(leg);
        if !program.is_empty() {
            socket.filter(&program)?;
        }
        // Binding to the address keeps datagrams to other groups and addresses of this port out. An address that is
        // not this computer's (it changed since) can still be waited for on all of them.
        if socket.bind(SocketAddr::new(leg.address, leg.port)).is_err() {
            socket.bind(SocketAddr::new(unspecified(leg.address), leg.port))?;
        }
        if leg.address.is_multicast()
            && let Err(error) = socket.membership(true)
        {
            if !socket.is_source_specific() {
                return Err(error);
            }
            // The filter keeps other senders out all the same.
            socket.source_specific = false;
            socket.membership(true)?;
        }
        Ok(socket)
    }

    /// Opens a sending socket for `leg`, connected to its destination.
    pub(crate) fn transmit(leg: &Leg, dscp: u8, queue_bytes: usize) -> Result<Self, JoinError> {
        let interface = interface_index(leg.interface.as_deref())?;
        let socket = Self { fd: udp(leg.address)?, leg: leg.clone(), interface, source_specific: false };
        socket.set(libc::SOL_SOCKET, libc::SO_REUSEADDR, &1_i32, "SO_REUSEADDR")?;
        socket.set(
            libc::SOL_SOCKET,
            libc::SO_SNDBUF,
            &c_int::try_from(queue_bytes).unwrap_or(c_int::MAX),
            "SO_SNDBUF",
        )?;
        let tos = c_int::from(dscp) << 2;
        let ttl = c_int::from(leg.ttl.unwrap_or(32));
        if leg.address.is_ipv4() {
            socket.set(libc::IPPROTO_IP, libc::IP_TOS, &tos, "IP_TOS")?;
            socket.set(libc::IPPROTO_IP, libc::IP_MULTICAST_TTL, &ttl, "IP_MULTICAST_TTL")?;
            socket.set(libc::IPPROTO_IP, libc::IP_MULTICAST_LOOP, &1_i32, "IP_MULTICAST_LOOP")?;
            socket.set(libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, &libc::IP_PMTUDISC_DO, "IP_MTU_DISCOVER")?;
            if interface != 0 {
                let mreqn = mreqn(Ipv4Addr::UNSPECIFIED, interface);
                socket.set(libc::IPPROTO_IP, libc::IP_MULTICAST_IF, &mreqn, "IP_MULTICAST_IF")?;
            }
        } else {
            socket.set(libc::IPPROTO_IPV6, libc::IPV6_TCLASS, &tos, "IPV6_TCLASS")?;
            socket.set(libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_HOPS, &ttl, "IPV6_MULTICAST_HOPS")?;
            if interface != 0 {
                socket.set(libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_IF, &interface, "IPV6_MULTICAST_IF")?;
            }
        }
        // Not every kernel lets an ordinary user do this; media goes out all the same.
        let _ = socket.set(libc::SOL_SOCKET, libc::SO_PRIORITY, &PRIORITY, "SO_PRIORITY");
        // Receivers are known that drop packets whose source port differs from the destination port (`aes67` 3.1).
        socket.bind(SocketAddr::new(unspecified(leg.address), leg.port))?;
        socket.connect(SocketAddr::new(leg.address, leg.port))?;
        Ok(socket)
    }

    /// Opens a socket that sends from `port` to many. It hears nothing: whatever comes to the port is for the agent,
    /// whose socket has an address, or for nobody.
    pub(crate) fn copies(port: u16, dscp: u8, queue_bytes: usize) -> Result<Self, JoinError> {
        let leg = Leg::to(Ipv4Addr::UNSPECIFIED.into(), port);
        let socket = Self { fd: udp(leg.address)?, leg, interface: 0, source_specific: false };
        let size = c_int::try_from(queue_bytes).unwrap_or(c_int::MAX);
        let tos = c_int::from(dscp) << 2;
        socket.filter(&source_filter::nothing())?;
        socket.set(libc::SOL_SOCKET, libc::SO_REUSEADDR, &1_i32, "SO_REUSEADDR")?;
        socket.set(libc::SOL_SOCKET, libc::SO_SNDBUF, &size, "SO_SNDBUF")?;
        socket.set(libc::IPPROTO_IP, libc::IP_TOS, &tos, "IP_TOS")?;
        socket.set(libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, &libc::IP_PMTUDISC_DO, "IP_MTU_DISCOVER")?;
        let _ = socket.set(libc::SOL_SOCKET, libc::SO_PRIORITY, &PRIORITY, "SO_PRIORITY"); // as in `transmit`
        socket.bind(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port))?;
        Ok(socket)
    }

    pub(super) fn descriptor(&self) -> c_int {
        self.fd.as_raw_fd()
    }

    /// Its own address, which the kernel chose when it was connected.
    pub(super) fn local_address(&self) -> io::Result<SocketAddr> {
        std::net::UdpSocket::from(self.fd.try_clone()?).local_addr()
    }

    /// The index of the interface that it was told to use; 0: none.
    pub(super) fn interface(&self) -> u32 {
        self.interface
    }

    /// A second handle of the same socket, by which the main loop repairs memberships.
    pub(crate) fn try_clone(&self) -> Result<Self, JoinError> {
        let fd = self.fd.try_clone().map_err(|error| JoinError::Refused("duplicating a socket", error))?;
        Ok(Self { fd, leg: self.leg.clone(), ..*self })
    }

    /// Leaves the group and joins it again, for switches that forgot us, and for interfaces that were taken away and came
    /// back as others. With `any_source` the new membership is no longer source-specific.
    pub(crate) fn rejoin(&mut self, any_source: bool) -> Result<(), JoinError> {
        if !self.leg.address.is_multicast() {
            return Ok(());
        }
        let _ = self.membership(false);
        self.interface = interface_index(self.leg.interface.as_deref())?;
        if any_source {
            self.source_specific = false;
        }
        self.membership(true)
    }

    /// Sends one datagram from this socket to `to`. Main loop only.
    pub(crate) fn send_to(&self, bytes: &[u8], to: SocketAddr) -> io::Result<()> {
        let (storage, length) = storage(to);
        // SAFETY: a live descriptor, octets and an address of the stated lengths.
        let sent = unsafe {
            libc::sendto(
                self.fd.as_raw_fd(),
                bytes.as_ptr().cast(),
                bytes.len(),
                libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
                (&raw const storage).cast(),
                length,
            )
        };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Whether the membership names its source.
    pub(crate) fn is_source_specific(&self) -> bool {
        self.source_specific && self.leg.source.is_some()
    }

    fn membership(&self, join: bool) -> Result<(), JoinError> {
        let (asm, ssm) = if join {
            (libc::IP_ADD_MEMBERSHIP, MCAST_JOIN_SOURCE_GROUP)
        } else {
            (libc::IP_DROP_MEMBERSHIP, MCAST_LEAVE_SOURCE_GROUP)
        };
        let step = if join { "joining the multicast group" } else { "leaving the multicast group" };
        match (self.leg.address, self.leg.source) {
            (IpAddr::V4(group), Some(IpAddr::V4(source))) if self.source_specific => {
                let request = GroupSource {
                    interface: self.interface,
                    group: storage(SocketAddr::new(group.into(), 0)).0,
                    source: storage(SocketAddr::new(source.into(), 0)).0,
                };
                self.set(libc::IPPROTO_IP, ssm, &request, step)
            }
            (IpAddr::V4(group), _) => self.set(libc::IPPROTO_IP, asm, &mreqn(group, self.interface), step),
            (IpAddr::V6(group), _) => {
                let request = libc::ipv6_mreq {
                    ipv6mr_multiaddr: libc::in6_addr { s6_addr: group.octets() },
                    ipv6mr_interface: self.interface,
                };
                let option = if join { libc::IPV6_ADD_MEMBERSHIP } else { libc::IPV6_DROP_MEMBERSHIP };
                self.set(libc::IPPROTO_IPV6, option, &request, step)
            }
        }
    }

    /// Lets the kernel decide by `program` which datagrams come through (classic BPF).
    fn filter(&self, program: &[libc::sock_filter]) -> Result<(), JoinError> {
        let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_ptr().cast_mut() };
        self.set(libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program, "SO_ATTACH_FILTER")
    }

    fn set<T>(&self, level: c_int, name: c_int, value: &T, step: &'static str) -> Result<(), JoinError> {
        let size = size_of::<T>() as libc::socklen_t;
        // SAFETY: a live descriptor; `value` is as long as said, and of the type that the option takes.
        let res = unsafe {
            libc::setsockopt(
                self.fd.as_raw_fd(),
                level,
                name,
                std::ptr::from_ref(value).cast::<c_void>(),
                size,
            )
        };
        if res < 0 { Err(JoinError::Refused(step, io::Error::last_os_error())) } else { Ok(()) }
    }

    fn bind(&self, address: SocketAddr) -> Result<(), JoinError> {
        let (storage, length) = storage(address);
        // SAFETY: a live descriptor and a valid address of that length.
        let res = unsafe { libc::bind(self.fd.as_raw_fd(), (&raw const storage).cast(), length) };
        if res < 0 { Err(JoinError::Refused("binding the port", io::Error::last_os_error())) } else { Ok(()) }
    }

    fn connect(&self, address: SocketAddr) -> Result<(), JoinError> {
        let (storage, length) = storage(address);
        // SAFETY: as in `bind`.
        let res = unsafe { libc::connect(self.fd.as_raw_fd(), (&raw const storage).cast(), length) };
        if res < 0 {
            Err(JoinError::Refused("reaching the destination", io::Error::last_os_error()))
        } else {
            Ok(())
        }
    }
}

/// Memory for datagrams that arrive. One serves all sockets of the data loop.
pub(crate) struct Inbox {
    data: Vec<[u8; DATAGRAM_BYTES]>,
    control: Vec<[u64; CONTROL_BYTES / 8]>,
    vectors: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
    count: usize,
}

// SAFETY: the pointers inside point into the boxes and vectors of the same value, which never move or grow.
unsafe impl Send for Inbox {}

/// One datagram that arrived.
pub(crate) struct Arrival<'a> {
    /// Its octets.
    pub bytes: &'a [u8],
    /// When the kernel got it, CLOCK_REALTIME nanoseconds, if it said so.
    pub realtime: Option<i64>,
}

impl Inbox {
    pub(crate) fn new() -> Self {
        let mut this = Self {
            data: vec![[0; DATAGRAM_BYTES]; BATCH],
            control: vec![[0; CONTROL_BYTES / 8]; BATCH],
            vectors: Vec::with_capacity(BATCH),
            headers: Vec::with_capacity(BATCH),
            count: 0,
        };
        for buffer in &mut this.data {
            this.vectors.push(libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: DATAGRAM_BYTES });
        }
        for (vector, control) in this.vectors.iter_mut().zip(&mut this.control) {
            // SAFETY: all-zero is a valid header; the fields that matter are set below.
            let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = control.as_mut_ptr().cast();
            this.headers.push(header);
        }
        this
    }

    /// Takes up to [`BATCH`] datagrams that wait at `socket`, without waiting. Returns how many there were.
    pub(crate) fn fill(&mut self, socket: &MediaSocket) -> usize {
        for header in &mut self.headers {
            header.msg_hdr.msg_controllen = CONTROL_BYTES as _;
        }
        // SAFETY: every header points to buffers of the stated lengths in `self`, which outlive the call.
        let count = unsafe {
            libc::recvmmsg(
                socket.fd.as_raw_fd(),
                self.headers.as_mut_ptr(),
                BATCH as _,
                libc::MSG_DONTWAIT as _,
                std::ptr::null_mut(),
            )
        };
        self.count = usize::try_from(count).unwrap_or(0);
        self.count
    }

    /// The datagrams of the last [`Inbox::fill`], in the order of arrival.
    pub(crate) fn arrivals(&self) -> impl Iterator<Item = Arrival<'_>> {
        self.headers.iter().zip(&self.data).take(self.count).map(|(header, data)| Arrival {
            bytes: data.get(..header.msg_len as usize).unwrap_or_default(),
            realtime: timestamp(&header.msg_hdr),
        })
    }
}

/// The kernel's timestamp among the control messages of `header` (SO_TIMESTAMPNS, socket(7)).
fn timestamp(header: &libc::msghdr) -> Option<i64> {
    // SAFETY: the header and its control buffer are as `recvmmsg` left them.
    let first = unsafe { libc::CMSG_FIRSTHDR(header) };
    if first.is_null() {
        return None;
    }
    // SAFETY: CMSG_FIRSTHDR gives a whole message header or null.
    let (level, kind) = unsafe { ((*first).cmsg_level, (*first).cmsg_type) };
    if level != libc::SOL_SOCKET || kind != libc::SCM_TIMESTAMPNS {
        return None;
    }
    // SAFETY: a SCM_TIMESTAMPNS message carries one timespec; its data may be unaligned.
    let time = unsafe { libc::CMSG_DATA(first).cast::<libc::timespec>().read_unaligned() };
    Some(time.tv_sec * 1_000_000_000 + time.tv_nsec)
}

// linux/in.h; the libc crate has them for some targets only.
const MCAST_JOIN_SOURCE_GROUP: c_int = 46;
const MCAST_LEAVE_SOURCE_GROUP: c_int = 47;

/// `struct group_source_req` (linux/in.h).
#[repr(C)]
struct GroupSource {
    interface: u32,
    group: libc::sockaddr_storage,
    source: libc::sockaddr_storage,
}

fn mreqn(group: Ipv4Addr, interface: u32) -> libc::ip_mreqn {
    libc::ip_mreqn {
        imr_multiaddr: libc::in_addr { s_addr: u32::from(group).to_be() },
        imr_address: libc::in_addr { s_addr: 0 },
        imr_ifindex: interface.cast_signed(),
    }
}

fn udp(address: IpAddr) -> Result<OwnedFd, JoinError> {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    // SAFETY: no pointers; the result is checked.
    let fd = unsafe { libc::socket(family, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, 0) };
    if fd < 0 {
        return Err(JoinError::Refused("opening a socket", io::Error::last_os_error()));
    }
    // SAFETY: a fresh descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn unspecified(like: IpAddr) -> IpAddr {
    if like.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { std::net::Ipv6Addr::UNSPECIFIED.into() }
}

fn interface_index(name: Option<&str>) -> Result<u32, JoinError> {
    let Some(name) = name else { return Ok(0) };
    let missing = || JoinError::NoInterface(name.to_owned());
    let text = CString::new(name).map_err(|_| missing())?;
    // SAFETY: a NUL-terminated name.
    let index = unsafe { libc::if_nametoindex(text.as_ptr()) };
    if index == 0 { Err(missing()) } else { Ok(index) }
}

pub(super) fn storage(address: SocketAddr) -> (libc::sockaddr_storage, libc::socklen_t) {
    // SAFETY: all-zero is a valid storage.
    let mut storage: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
    let length = match address {
        SocketAddr::V4(v4) => {
            let value = libc::sockaddr_in {
                sin_family: libc::AF_INET as _,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from(*v4.ip()).to_be() },
                sin_zero: [0; 8],
            };
            // SAFETY: the storage is larger than and aligned for any socket address.
            unsafe { (&raw mut storage).cast::<libc::sockaddr_in>().write(value) };
            size_of::<libc::sockaddr_in>()
        }
        SocketAddr::V6(v6) => {
            let value = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as _,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: 0,
                sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                sin6_scope_id: v6.scope_id(),
            };
            // SAFETY: as above.
            unsafe { (&raw mut storage).cast::<libc::sockaddr_in6>().write(value) };
            size_of::<libc::sockaddr_in6>()
        }
    };
    (storage, length as libc::socklen_t)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ffi::outbox::{Address, Outbox, Target};

    /// A leg to the second loopback address, and a port that was free a moment ago.
    fn leg() -> Leg {
        let probe = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback");
        let port = probe.local_addr().expect("bound").port();
        Leg::to(Ipv4Addr::new(127, 0, 0, 2).into(), port)
    }

    #[test]
    fn copies_go_to_each_and_what_comes_to_their_port_is_the_agents() {
        let receivers = [2, 3].map(|host| {
            let socket = std::net::UdpSocket::bind((Ipv4Addr::new(127, 0, 0, host), 0)).expect("loopback");
            socket.set_read_timeout(Some(std::time::Duration::from_secs(5))).expect("set");
            socket
        });
        let port = leg().port;
        let sender = MediaSocket::copies(port, 34, 200_000).expect("opens");
        let agent = udp(Ipv4Addr::LOCALHOST.into()).expect("opens");
        let agent = MediaSocket { fd: agent, leg: leg(), interface: 0, source_specific: false };
        agent.set(libc::SOL_SOCKET, libc::SO_REUSEADDR, &1_i32, "SO_REUSEADDR").expect("set");
        agent.bind((Ipv4Addr::LOCALHOST, port).into()).expect("both have it");

        let mut outbox = Outbox::new();
        for receiver in &receivers {
            let std::net::SocketAddr::V4(to) = receiver.local_addr().expect("bound") else { panic!("IPv4") };
            assert!(outbox.push(0, |buffer| {
                buffer[..2].copy_from_slice(b"hi");
                Some(2)
            }));
            let to = Address::new(to.into());
            outbox.send(|_| Some(Target { socket: &sender, address: Some(&to) }));
            assert!(outbox.clear().all(|(_, sent)| sent));
            let mut buffer = [0; 9];
            let (length, from) = receiver.recv_from(&mut buffer).expect("arrives");
            assert_eq!((&buffer[..length], from.port()), (&b"hi"[..], port));
            receiver.send_to(b"renew", (Ipv4Addr::LOCALHOST, port)).expect("sent");
        }
        let mut inbox = Inbox::new();
        assert_eq!(inbox.fill(&agent), 2, "whoever asks is heard by the agent");
        drop(agent);
        receivers[0].send_to(b"renew", (Ipv4Addr::LOCALHOST, port)).expect("sent");
        assert_eq!(inbox.fill(&sender), 0, "without an agent nobody hears it");
        assert!(receivers[0].send_to(b"again", (Ipv4Addr::LOCALHOST, port)).is_ok(), "and nobody is told so");
    }

    #[test]
    fn the_kernel_drops_other_senders() {
        let mut leg = leg();
        leg.source = Some(Ipv4Addr::new(127, 0, 0, 9).into());
        assert_eq!(heard(&leg, &[8, 9, 10]), [9]);
        leg.excluded = vec![Ipv4Addr::new(127, 0, 0, 9).into()];
        assert!(heard(&leg, &[8, 9, 10]).is_empty(), "an exclusion stands above what is wanted");
    }

    #[test]
    fn the_kernel_drops_excluded_senders() {
        let mut leg = leg();
        leg.excluded = [3, 4, 5, 6, 7, 8, 9, 10].map(|host| Ipv4Addr::new(127, 0, 0, host).into()).to_vec();
        assert_eq!(leg.excluded.len(), Leg::MAX_EXCLUDED);
        assert_eq!(heard(&leg, &[1, 3, 4, 6, 9, 10, 11]), [1, 11]);
        let mut group = Leg::to(Ipv4Addr::new(239, 255, 77, 1).into(), leg.port);
        group.excluded = leg.excluded;
        group.interface = Some("lo".to_owned());
        assert_eq!(heard(&group, &[1, 3, 4, 6, 9, 10, 11]), [1, 11]);
    }

    /// Which of the senders 127.0.0.N a receiver of `leg` hears, each having sent its number once.
    fn heard(leg: &Leg, senders: &[u8]) -> Vec<u8> {
        let receiver = MediaSocket::receive(leg, 100_000, false).expect("opens");
        for host in senders {
            let bound = std::net::UdpSocket::bind((Ipv4Addr::new(127, 0, 0, *host), 0)).expect("loopback");
            let interface = interface_index(Some("lo")).expect("always there");
            let sender =
                MediaSocket { fd: bound.into(), leg: leg.clone(), interface, source_specific: false };
            let way = mreqn(Ipv4Addr::UNSPECIFIED, interface);
            sender.set(libc::IPPROTO_IP, libc::IP_MULTICAST_IF, &way, "IP_MULTICAST_IF").expect("set");
            sender.send_to(&[*host], (leg.address, leg.port).into()).expect("sent");
        }
        let mut inbox = Inbox::new();
        inbox.fill(&receiver);
        inbox.arrivals().flat_map(|arrival| arrival.bytes.to_vec()).collect()
    }

    #[test]
    fn an_interface_that_is_not_there_is_named() {
        let mut leg = leg();
        leg.interface = Some("no-such-if0".to_owned());
        let error = MediaSocket::receive(&leg, 1000, false).err().expect("refused");
        assert_eq!(error.to_string(), "there is no network interface no-such-if0");
    }
}
