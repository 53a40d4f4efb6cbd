//! The C boundary: every call into the kernel or libc that the standard library does not offer.
//!
//! Thin on purpose: what the bytes mean is decided in safe code elsewhere. Nothing here can set a clock.

#![allow(unsafe_code)]

use std::ffi::CStr;
use std::io;
use std::mem::{self, MaybeUninit};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

/// Sizes of the buffer for control messages: five time stamps and an error need less than half of it.
pub const CONTROL_BYTES: usize = 512;

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// What one `recvmsg` brought.
#[derive(Debug, Clone, Copy)]
pub struct Message {
    /// Octets written into the caller's buffer.
    pub length: usize,
    /// The sender, when it has an IPv4 address.
    pub from: Option<SocketAddrV4>,
    /// Octets written into the caller's buffer of control messages.
    pub control_length: usize,
}

/// Receives one datagram, or with `error_queue` one entry of the socket's error queue, without waiting.
pub fn receive(
    socket: impl AsFd,
    error_queue: bool,
    buffer: &mut [u8],
    control: &mut [u8],
) -> io::Result<Message> {
    let mut from = MaybeUninit::<libc::sockaddr_in>::zeroed();
    let mut vector = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: msghdr is plain data for which zeros are valid (sys/socket.h).
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_name = from.as_mut_ptr().cast();
    header.msg_namelen = mem::size_of::<libc::sockaddr_in>() as libc::socklen_t;
    header.msg_iov = &raw mut vector;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = control.len() as _;
    let flags = libc::MSG_DONTWAIT | if error_queue { libc::MSG_ERRQUEUE } else { 0 };
    // SAFETY: every pointer in `header` is to a live buffer of the length given beside it (recvmsg(2)).
    let length = unsafe { libc::recvmsg(socket.as_fd().as_raw_fd(), &raw mut header, flags) };
    let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: zeroed above, and any bytes are a valid sockaddr_in.
    let from = unsafe { from.assume_init() };
    let is_ipv4 = header.msg_namelen as usize == mem::size_of::<libc::sockaddr_in>()
        && i32::from(from.sin_family) == libc::AF_INET;
    let address = Ipv4Addr::from(u32::from_be(from.sin_addr.s_addr));
    Ok(Message {
        length,
        from: is_ipv4.then(|| SocketAddrV4::new(address, u16::from_be(from.sin_port))),
        control_length: (header.msg_controllen as usize).min(control.len()),
    })
}

/// Sets a socket option whose value is an int.
pub fn set_option(socket: impl AsFd, level: i32, name: i32, value: i32) -> io::Result<()> {
    // SAFETY: the value is an int that lives for the call, and its size is given (setsockopt(2)).
    check(unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            mem::size_of::<i32>() as libc::socklen_t,
        )
    })?;
    Ok(())
}

/// The user that made the other end of a UNIX socket, and all of its groups.
pub fn peer_credentials(socket: impl AsFd) -> io::Result<(u32, Vec<u32>)> {
    let fd = socket.as_fd().as_raw_fd();
    let mut credentials = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
    let mut length = mem::size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the buffer is a ucred and its size is given (unix(7), SO_PEERCRED).
    check(unsafe {
        libc::getsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut credentials).cast(),
            &raw mut length,
        )
    })?;
    let mut groups = vec![0_u32; 256];
    let mut length = mem::size_of_val(groups.as_slice()) as libc::socklen_t;
    // SAFETY: the buffer has room for as many gid_t as its length in bytes says (unix(7), SO_PEERGROUPS).
    let found = check(unsafe {
        libc::getsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_PEERGROUPS,
            groups.as_mut_ptr().cast(),
            &raw mut length,
        )
    });
    groups.truncate(if found.is_ok() { length as usize / mem::size_of::<u32>() } else { 0 });
    groups.push(credentials.gid);
    Ok((credentials.uid, groups))
}

/// The user that this process acts as.
pub fn effective_user() -> u32 {
    // SAFETY: geteuid has no arguments and cannot fail (geteuid(2)).
    unsafe { libc::geteuid() }
}

/// The number of the group `name`; `None` when there is no such group.
pub fn group_number(name: &CStr) -> Option<u32> {
    let mut buffer = vec![0_u8; 16 * 1024];
    let mut group = MaybeUninit::<libc::group>::uninit();
    let mut found = ptr::null_mut();
    // SAFETY: all pointers are to live buffers, `buffer` has the length given (getgrnam_r(3)).
    let result = unsafe {
        libc::getgrnam_r(
            name.as_ptr(),
            group.as_mut_ptr(),
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            &raw mut found,
        )
    };
    if result != 0 || found.is_null() {
        return None;
    }
    // SAFETY: `found` is not null, so `group` was filled in (getgrnam_r(3)).
    Some(unsafe { group.assume_init() }.gr_gid)
}

/// What [`poll`] waits for, and what it found.
pub type PollEntry = libc::pollfd;

/// An entry that waits for `events` (`libc::POLLIN` …) on `fd`.
pub fn poll_entry(fd: RawFd, events: i16) -> PollEntry {
    libc::pollfd { fd, events, revents: 0 }
}

/// Waits until an entry is ready or `timeout_ns` have passed; a signal ends the wait early.
pub fn poll(entries: &mut [PollEntry], timeout_ns: u64) -> io::Result<()> {
    let timeout = libc::timespec {
        tv_sec: (timeout_ns / 1_000_000_000).min(3600) as libc::time_t,
        tv_nsec: (timeout_ns % 1_000_000_000) as libc::c_long,
    };
    // SAFETY: the array and its length belong together, no signal mask is given (ppoll(2)).
    let result = unsafe {
        libc::ppoll(entries.as_mut_ptr(), entries.len() as libc::nfds_t, &raw const timeout, ptr::null())
    };
    match check(result) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
        other => other.map(drop),
    }
}

/// A descriptor that becomes readable when the process is told to end (SIGTERM, SIGINT, SIGHUP).
pub fn termination_signals() -> io::Result<OwnedFd> {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset fills in the whole set (sigsetops(3)).
    check(unsafe { libc::sigemptyset(set.as_mut_ptr()) })?;
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
        // SAFETY: the set was initialised above and the number is a signal's.
        check(unsafe { libc::sigaddset(set.as_mut_ptr(), signal) })?;
    }
    // SAFETY: an initialised set; the old mask is not wanted (sigprocmask(2)). One thread only runs here.
    check(unsafe { libc::sigprocmask(libc::SIG_BLOCK, set.as_ptr(), ptr::null_mut()) })?;
    // SAFETY: an initialised set; -1 asks for a new descriptor (signalfd(2)).
    let fd = check(unsafe { libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) })?;
    // SAFETY: new, and owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A netlink socket that becomes readable when a link or an IPv4 address changes.
pub fn network_changes() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: plain numbers (socket(2)).
    let fd = check(unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE) })?;
    // SAFETY: new, and owned by nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: sockaddr_nl is plain data for which zeros are valid (netlink(7)).
    let mut address: libc::sockaddr_nl = unsafe { mem::zeroed() };
    address.nl_family = libc::AF_NETLINK as libc::sa_family_t;
    address.nl_groups = (libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR) as u32;
    // SAFETY: a sockaddr_nl and its size (bind(2)).
    check(unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            mem::size_of::<libc::sockaddr_nl>() as libc::socklen_t,
        )
    })?;
    Ok(socket)
}

/// Reads one message and throws it away; an error when there is none.
pub fn discard(socket: impl AsFd) -> io::Result<()> {
    let mut buffer = [0_u8; 4096];
    // SAFETY: the buffer has the length given (recv(2)).
    let length = unsafe {
        libc::recv(socket.as_fd().as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), libc::MSG_DONTWAIT)
    };
    if length < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// One row of the kernel's list of interfaces: a name may come several times, once per address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceRow {
    /// The name.
    pub name: String,
    /// IFF_ flags (netdevice(7)).
    pub flags: u32,
    /// The IPv4 address of this row.
    pub ipv4: Option<Ipv4Addr>,
    /// The index and, for Ethernet, the MAC address of this row.
    pub link: Option<(u32, Option<[u8; 6]>)>,
}

/// All interfaces of this network namespace (getifaddrs(3)).
pub fn interface_rows() -> io::Result<Vec<InterfaceRow>> {
    let mut list = ptr::null_mut();
    // SAFETY: `list` receives the head of a list that freeifaddrs frees below.
    check(unsafe { libc::getifaddrs(&raw mut list) })?;
    let mut rows = Vec::new();
    let mut entry: *const libc::ifaddrs = list;
    // SAFETY: either null or an entry of the list, which lives until freeifaddrs (getifaddrs(3)).
    while let Some(row) = unsafe { entry.as_ref() } {
        entry = row.ifa_next;
        // SAFETY: ifa_name is a NUL-terminated string of the list (getifaddrs(3)).
        let name = unsafe { CStr::from_ptr(row.ifa_name) }.to_string_lossy().into_owned();
        let mut found = InterfaceRow { name, flags: row.ifa_flags, ipv4: None, link: None };
        // SAFETY: ifa_addr is null or a socket address whose first field is its family.
        let family = unsafe { row.ifa_addr.as_ref() }.map(|address| i32::from(address.sa_family));
        if family == Some(libc::AF_INET) {
            // SAFETY: family AF_INET says that this is a sockaddr_in (ip(7)).
            let address = unsafe { row.ifa_addr.cast::<libc::sockaddr_in>().read_unaligned() };
            found.ipv4 = Some(Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr)));
        } else if family == Some(libc::AF_PACKET) {
            // SAFETY: family AF_PACKET says that this is a sockaddr_ll (packet(7)).
            let address = unsafe { row.ifa_addr.cast::<libc::sockaddr_ll>().read_unaligned() };
            let mac = address.sll_addr.first_chunk::<6>().filter(|_| address.sll_halen == 6).copied();
            found.link = Some((u32::try_from(address.sll_ifindex).unwrap_or(0), mac));
        }
        rows.push(found);
    }
    // SAFETY: the list from above, freed once; nothing of it was kept.
    unsafe { libc::freeifaddrs(list) };
    Ok(rows)
}

/// What an interface can stamp in hardware (linux/ethtool.h, `struct ethtool_ts_info`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StampingAbilities {
    /// SOF_TIMESTAMPING_ bits.
    pub so_timestamping: u32,
    /// N of /dev/ptpN; negative when there is none.
    pub phc: i32,
    /// Bit n: hwtstamp_tx_types n.
    pub tx_types: u32,
    /// Bit n: hwtstamp_rx_filters n.
    pub rx_filters: u32,
}

/// What an interface stamps in hardware (linux/net_tstamp.h, `struct hwtstamp_config`).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StampingConfig {
    /// Always 0.
    pub flags: i32,
    /// 0 off, 1 on.
    pub tx_type: i32,
    /// 0 none, 1 all, 6 PTPv2 over UDP, 12 PTPv2 events …
    pub rx_filter: i32,
}

const ETHTOOL_GET_TS_INFO: u32 = 0x41;
const SIOCETHTOOL: libc::c_ulong = 0x8946;
const SIOCSHWTSTAMP: libc::c_ulong = 0x89b0;
const SIOCGHWTSTAMP: libc::c_ulong = 0x89b1;

/// Asks the driver of `interface` what it can stamp.
pub fn stamping_abilities(socket: impl AsFd, interface: &str) -> io::Result<StampingAbilities> {
    #[repr(C)]
    struct Info {
        command: u32,
        so_timestamping: u32,
        phc_index: i32,
        tx_types: u32,
        tx_reserved: [u32; 3],
        rx_filters: u32,
        rx_reserved: [u32; 3],
    }
    let mut info = Info {
        command: ETHTOOL_GET_TS_INFO,
        so_timestamping: 0,
        phc_index: -1,
        tx_types: 0,
        tx_reserved: [0; 3],
        rx_filters: 0,
        rx_reserved: [0; 3],
    };
    // SAFETY: `info` has the layout of ethtool_ts_info (linux/ethtool.h) and outlives the call.
    unsafe { interface_ioctl(socket.as_fd(), SIOCETHTOOL, interface, (&raw mut info).cast()) }?;
    Ok(StampingAbilities {
        so_timestamping: info.so_timestamping,
        phc: info.phc_index,
        tx_types: info.tx_types,
        rx_filters: info.rx_filters,
    })
}

/// Reads what `interface` stamps now.
pub fn stamping_config(socket: impl AsFd, interface: &str) -> io::Result<StampingConfig> {
    let mut config = StampingConfig { flags: 0, tx_type: 0, rx_filter: 0 };
    // SAFETY: `config` has the layout of hwtstamp_config (linux/net_tstamp.h) and outlives the call.
    unsafe { interface_ioctl(socket.as_fd(), SIOCGHWTSTAMP, interface, (&raw mut config).cast()) }?;
    Ok(config)
}

/// Asks `interface` to stamp; returns what it does. Needs CAP_NET_ADMIN.
pub fn set_stamping_config(
    socket: impl AsFd,
    interface: &str,
    mut config: StampingConfig,
) -> io::Result<StampingConfig> {
    // SAFETY: `config` has the layout of hwtstamp_config (linux/net_tstamp.h) and outlives the call.
    unsafe { interface_ioctl(socket.as_fd(), SIOCSHWTSTAMP, interface, (&raw mut config).cast()) }?;
    Ok(config)
}

/// # Safety
/// `data` is what `request` wants behind `ifr_data`, valid for reading and writing.
unsafe fn interface_ioctl(
    socket: BorrowedFd<'_>,
    request: libc::c_ulong,
    interface: &str,
    data: *mut libc::c_char,
) -> io::Result<()> {
    // SAFETY: ifreq is plain data for which zeros are valid (net/if.h).
    let mut asked: libc::ifreq = unsafe { mem::zeroed() };
    if interface.len() >= asked.ifr_name.len() {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    for (to, from) in asked.ifr_name.iter_mut().zip(interface.bytes()) {
        *to = from as libc::c_char;
    }
    asked.ifr_ifru.ifru_data = data;
    // SAFETY: `asked` lives for the call, and the caller answers for `data`.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), request as _, &raw mut asked) })?;
    Ok(())
}

/// Nanoseconds of the kernel clock `clock`; an error when the kernel does not have it.
pub fn read_clock(clock: libc::clockid_t) -> io::Result<i64> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a writable timespec for the duration of the call (clock_gettime(2)).
    check(unsafe { libc::clock_gettime(clock, &raw mut time) })?;
    Ok(time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec))
}

/// The clock behind the descriptor of /dev/ptpN (clock_gettime(2), dynamic clocks).
pub fn clock_of(device: impl AsFd) -> libc::clockid_t {
    ((!device.as_fd().as_raw_fd()) << 3) | 3
}

/// `struct ptp_clock_time` (linux/ptp_clock.h).
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct PtpClockTime {
    seconds: i64,
    nanoseconds: u32,
    reserved: u32,
}

impl PtpClockTime {
    /// Nanoseconds since the clock's epoch.
    pub fn nanos(self) -> i64 {
        self.seconds.saturating_mul(1_000_000_000).saturating_add(i64::from(self.nanoseconds))
    }
}

/// `struct ptp_sys_offset_precise`: the device and CLOCK_MONOTONIC_RAW at the same moment, by hardware.
pub fn precise_offset(device: impl AsFd) -> io::Result<(i64, i64)> {
    #[repr(C)]
    #[derive(Default)]
    struct Precise {
        device: PtpClockTime,
        realtime: PtpClockTime,
        raw: PtpClockTime,
        reserved: [u32; 4],
    }
    const PTP_SYS_OFFSET_PRECISE: libc::c_ulong = 0xc040_3d08;
    let mut answer = Precise::default();
    // SAFETY: `answer` has the layout that the request's number says, 64 bytes (linux/ptp_clock.h).
    check(unsafe { libc::ioctl(device.as_fd().as_raw_fd(), PTP_SYS_OFFSET_PRECISE as _, &raw mut answer) })?;
    Ok((answer.device.nanos(), answer.raw.nanos()))
}

/// `struct ptp_sys_offset_extended`: ten triples (CLOCK_REALTIME before, device, CLOCK_REALTIME after).
pub fn extended_offsets(device: impl AsFd) -> io::Result<[[i64; 3]; 10]> {
    #[repr(C)]
    struct Extended {
        samples: u32,
        reserved: [u32; 3],
        times: [[PtpClockTime; 3]; 25],
    }
    const PTP_SYS_OFFSET_EXTENDED: libc::c_ulong = 0xc4c0_3d09;
    let mut answer = Extended { samples: 10, reserved: [0; 3], times: [[PtpClockTime::default(); 3]; 25] };
    // SAFETY: `answer` has the layout that the request's number says, 1216 bytes (linux/ptp_clock.h).
    check(unsafe { libc::ioctl(device.as_fd().as_raw_fd(), PTP_SYS_OFFSET_EXTENDED as _, &raw mut answer) })?;
    let mut triples = [[0; 3]; 10];
    for (triple, times) in triples.iter_mut().zip(answer.times) {
        *triple = times.map(PtpClockTime::nanos);
    }
    Ok(triples)
}

/// The device that a socket is bound to, empty when to none.
pub fn bound_device(socket: impl AsFd) -> io::Result<String> {
    let mut name = [0_u8; libc::IFNAMSIZ];
    let mut length = name.len() as libc::socklen_t;
    // SAFETY: the buffer has the length given (socket(7), SO_BINDTODEVICE).
    check(unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_BINDTODEVICE,
            name.as_mut_ptr().cast(),
            &raw mut length,
        )
    })?;
    let end = name.iter().position(|octet| *octet == 0).unwrap_or(name.len());
    Ok(String::from_utf8_lossy(name.get(..end).unwrap_or_default()).into_owned())
}

/// Takes ownership of descriptor `fd`, which the service manager passed to this process.
///
/// `None` when it is not open. Call once per descriptor, before anything else was opened.
pub fn passed_descriptor(fd: RawFd) -> Option<OwnedFd> {
    // SAFETY: F_SETFD on a number that is not open fails and changes nothing (fcntl(2)).
    check(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) }).ok()?;
    // SAFETY: open, and by the protocol of sd_listen_fds(3) nobody else in this process owns it.
    Some(unsafe { OwnedFd::from_raw_fd(fd) })
}
