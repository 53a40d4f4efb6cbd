//! One network interface: its two sockets and the time stamps of what they send and receive.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd, RawFd};

use anyhow::Context as _;
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockAddr, Socket, Type};
use wireloom_clock_page::raw_now;
use wireloom_ptp::Transmit;

use crate::control_message::{self, Stamps};
use crate::departures::{Departure, Departures, MAX_PENDING};
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
    departures: Departures,
    told_no_stamps: bool,
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
            departures: Departures::default(),
            told_no_stamps: false,
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
            if let Some(departure) = self.departures.handle_stamp(id, stamps) {
                return Some(departure);
            }
        }
        None
    }

    /// Gives up waiting, at `now`, for a stamp that is late: the departure is assumed. Call until `None`.
    pub fn give_up(&mut self, now: i64) -> Option<Departure> {
        let departure = self.departures.give_up(now)?;
        self.counters.transmit_stamp_missing = self.departures.missing;
        if self.departures.has_no_stamps() && !self.told_no_stamps {
            self.told_no_stamps = true;
            tracing::warn!(interface = %self.interface.name, "no transmit time stamps: accuracy suffers");
        }
        Some(departure)
    }

    /// When [`Port::give_up`] is due next.
    pub fn next_deadline(&self) -> Option<i64> {
        self.departures.next_deadline()
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
                self.departures.restart();
                let _ = self.request_stamps();
            }
            return None;
        }
        self.counters.sent += 1;
        if !message.event {
            return None;
        }
        self.departures.handle_sent(message.token, midpoint)
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
