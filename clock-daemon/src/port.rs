//! One network interface: its two sockets and the time stamps of what they send and receive.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd, RawFd};

use anyhow::Context as _;
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockAddr, Socket, Type};
use wireloom_clock_page::raw_now;
use wireloom_ptp::{Token, Transmit};

use crate::control_message::{self, Stamps};
use crate::interfaces::Interface;
use crate::passed::Passed;
use crate::phc::{KernelDriver, Stamping, choose_stamping};
use crate::settings::Settings;
use crate::sys;

/// The group of all PTP messages but peer delay (IEEE 1588-2008 annex D).
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 1, 129);
/// UDP port of messages that are time stamped.
pub const EVENT_PORT: u16 = 319;
/// UDP port of all others.
pub const GENERAL_PORT: u16 = 320;
/// The longest PTP message of any use here is 64 octets; what is longer is cut and then found malformed.
pub const BUFFER_BYTES: usize = 1536;
/// A transmit time stamp that has not come by then will not come (`ptp` section 12).
const STAMP_PATIENCE_NS: i64 = 100_000_000;
/// After this many stamps missing in a row, and none ever seen, the interface has none.
const MISSES_TO_GIVE_UP: u32 = 3;
/// Event messages waiting for their stamp; at 128 a second none waits longer than patience allows.
const MAX_PENDING: usize = 64;

/// What a port has counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct PortCounters {
    /// Datagrams received.
    pub received: u64,
    /// Event messages without a usable time stamp, thrown away.
    pub unstamped: u64,
    /// Messages sent.
    pub sent: u64,
    /// Messages that the kernel refused to send.
    pub send_failed: u64,
    /// Transmit time stamps that never came.
    pub transmit_stamp_missing: u64,
}

/// A received datagram; its octets are in the caller's buffer.
#[derive(Debug, Clone, Copy)]
pub struct Datagram {
    /// How many octets.
    pub length: usize,
    /// Who sent it.
    pub from: IpAddr,
    /// When the kernel and the card say that it came.
    pub stamps: Stamps,
}

/// When an event message left.
#[derive(Debug, Clone, Copy)]
pub enum Departure {
    /// By a time stamp.
    Stamped(Token, Stamps),
    /// In CLOCK_MONOTONIC_RAW, in the middle of the system call that sent it, for want of a stamp.
    Assumed(Token, i64),
}

#[derive(Debug)]
struct Pending {
    id: u32,
    token: Token,
    midpoint: i64,
    deadline: i64,
}

/// An interface in use.
#[derive(Debug)]
pub struct Port {
    /// The interface.
    pub interface: Interface,
    /// Who stamps its packets.
    pub stamping: Stamping,
    /// What was counted.
    pub counters: PortCounters,
    event: Socket,
    general: Socket,
    pending: VecDeque<Pending>,
    next_id: u32,
    misses: u32,
    stamps_seen: bool,
}

impl Port {
    /// Opens both sockets on `interface`, from what the service manager passed or anew.
    pub fn open(interface: &Interface, settings: &Settings, passed: &Passed) -> anyhow::Result<Self> {
        let event = open_socket(interface, EVENT_PORT, settings.dscp_event, settings.ttl, passed)?;
        let general = open_socket(interface, GENERAL_PORT, settings.dscp_general, settings.ttl, passed)?;
        let stamping = choose_stamping(&KernelDriver(&event), &interface.name, settings.hardware_timestamps);
        let port = Self {
            interface: interface.clone(),
            stamping,
            counters: PortCounters::default(),
            event,
            general,
            pending: VecDeque::new(),
            next_id: 0,
            misses: 0,
            stamps_seen: false,
        };
        port.request_stamps().with_context(|| format!("asking for time stamps on {}", interface.name))?;
        Ok(port)
    }

    /// The descriptors of the event and the general socket.
    pub fn descriptors(&self) -> [RawFd; 2] {
        [self.event.as_raw_fd(), self.general.as_raw_fd()]
    }

    /// Takes the next datagram, if one waits, from the event socket or the general one.
    pub fn receive(&mut self, event: bool, buffer: &mut [u8]) -> Option<Datagram> {
        let socket = if event { &self.event } else { &self.general };
        let mut control = [0; sys::CONTROL_BYTES];
        let message = sys::receive(socket, false, buffer, &mut control).ok()?;
        self.counters.received += 1;
        let stamps = control_message::stamps(control.get(..message.control_length).unwrap_or_default());
        let from = message.from.map_or(Ipv4Addr::UNSPECIFIED, |address| *address.ip());
        Some(Datagram { length: message.length, from: from.into(), stamps })
    }

    /// Takes the next transmit time stamp, if one waits; stamps that nobody waits for are thrown away.
    pub fn receive_departure(&mut self) -> Option<Departure> {
        // Bounded: no more stamps than messages that were sent.
        for _ in 0..2 * MAX_PENDING {
            let (mut buffer, mut control) = ([0; 256], [0; sys::CONTROL_BYTES]);
            let message = sys::receive(&self.event, true, &mut buffer, &mut control).ok()?;
            let control = control.get(..message.control_length).unwrap_or_default();
            let Some(id) = control_message::departure_id(control) else { continue };
            let stamps = control_message::stamps(control);
            let Some(position) = self.pending.iter().position(|sent| sent.id == id) else { continue };
            let Some(sent) = self.pending.remove(position) else { continue };
            self.misses = 0;
            self.stamps_seen = true;
            return Some(Departure::Stamped(sent.token, stamps));
        }
        None
    }

    /// Gives up waiting, at `now`, for a stamp that is late: the departure is assumed.
    pub fn give_up(&mut self, now: i64) -> Option<Departure> {
        self.pending.front().filter(|sent| sent.deadline <= now)?;
        let late = self.pending.pop_front()?;
        self.counters.transmit_stamp_missing += 1;
        self.misses = self.misses.saturating_add(1);
        if self.misses == MISSES_TO_GIVE_UP && !self.stamps_seen {
            tracing::warn!(interface = %self.interface.name, "no transmit time stamps: accuracy suffers");
        }
        Some(Departure::Assumed(late.token, late.midpoint))
    }

    /// When [`Port::give_up`] is due next.
    pub fn next_deadline(&self) -> Option<i64> {
        self.pending.front().map(|sent| sent.deadline)
    }

    /// Sends a message. An event message's departure comes later, or now where there are no stamps.
    pub fn send(&mut self, message: &Transmit) -> Option<Departure> {
        let port = if message.event { EVENT_PORT } else { GENERAL_PORT };
        let to = match message.to {
            Some(IpAddr::V4(address)) => address,
            Some(IpAddr::V6(_)) | None => GROUP,
        };
        let socket = if message.event { &self.event } else { &self.general };
        let before = raw_now();
        let sent = socket.send_to(&message.bytes, &SocketAddrV4::new(to, port).into());
        let midpoint = before + (raw_now() - before) / 2;
        if let Err(error) = sent {
            tracing::debug!(interface = %self.interface.name, %error, "not sent");
            self.counters.send_failed += 1;
            if message.event {
                // Whether the kernel counted this one is not known: begin to count anew.
                self.pending.clear();
                self.next_id = 0;
                let _ = self.request_stamps();
            }
            return None;
        }
        self.counters.sent += 1;
        if !message.event {
            return None;
        }
        if self.pending.len() >= MAX_PENDING {
            self.pending.pop_front();
            self.counters.transmit_stamp_missing += 1;
        }
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        if self.misses >= MISSES_TO_GIVE_UP && !self.stamps_seen {
            return Some(Departure::Assumed(message.token, midpoint));
        }
        let deadline = midpoint + STAMP_PATIENCE_NS;
        self.pending.push_back(Pending { id, token: message.token, midpoint, deadline });
        None
    }

    /// Switches time stamps on; the kernel's numbering of sent messages begins at 0.
    fn request_stamps(&self) -> io::Result<()> {
        let software = libc::SOF_TIMESTAMPING_RX_SOFTWARE | libc::SOF_TIMESTAMPING_SOFTWARE;
        let who = match self.stamping {
            Stamping::Software(_) => software | libc::SOF_TIMESTAMPING_TX_SOFTWARE,
            Stamping::Hardware(_) => {
                libc::SOF_TIMESTAMPING_RX_HARDWARE
                    | libc::SOF_TIMESTAMPING_TX_HARDWARE
                    | libc::SOF_TIMESTAMPING_RAW_HARDWARE
            }
        };
        let flags = who | libc::SOF_TIMESTAMPING_OPT_ID | libc::SOF_TIMESTAMPING_OPT_TSONLY;
        sys::set_option(&self.event, libc::SOL_SOCKET, libc::SO_TIMESTAMPING, 0)?;
        sys::set_option(&self.event, libc::SOL_SOCKET, libc::SO_TIMESTAMPING, flags as i32)
    }
}

fn open_socket(
    interface: &Interface,
    port: u16,
    dscp: u8,
    ttl: u8,
    passed: &Passed,
) -> anyhow::Result<Socket> {
    let name = &interface.name;
    let socket = match passed.socket(port, name) {
        Some(socket) => socket.context("duplicating a socket that the service manager passed")?,
        None => {
            let socket = Socket::new(Domain::IPV4, Type::DGRAM.nonblocking(), Some(Protocol::UDP))
                .context("making a UDP socket")?;
            socket.set_reuse_address(true).context("sharing the port with other PTP programs")?;
            socket
                .bind(&SockAddr::from(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port)))
                .with_context(|| format!("binding UDP port {port}: needs CAP_NET_BIND_SERVICE"))?;
            socket
        }
    };
    if sys::bound_device(&socket).is_ok_and(|bound| bound != *name) {
        socket.bind_device(Some(name.as_bytes())).with_context(|| format!("binding to {name}"))?;
    }
    let group = InterfaceIndexOrAddress::Index(interface.index);
    match socket.join_multicast_v4_n(&GROUP, &group) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {} // a passed socket that has it already
        result => result.with_context(|| format!("joining {GROUP} on {name}"))?,
    }
    socket.set_multicast_all_v4(false).context("hearing only our own groups")?;
    socket.set_multicast_loop_v4(false).context("not hearing ourselves")?;
    socket.set_multicast_ttl_v4(u32::from(ttl)).context("setting the TTL")?;
    socket.set_ttl_v4(u32::from(ttl)).context("setting the TTL")?;
    socket.set_tos_v4(u32::from(dscp) << 2).context("setting the DSCP")?;
    socket.set_nonblocking(true).context("not waiting in a socket")?;
    Ok(socket)
}
