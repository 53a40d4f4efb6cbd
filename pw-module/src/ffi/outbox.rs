//! Packets on their way out: collected until all that are due are there, then handed to the kernel socket by socket.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use wireloom_wanted::Leg;

use super::socket::{JoinError, MediaSocket, storage};

/// Packets that one system call gives.
const ROOM: usize = 64;
/// The longest packet that is sent: what fits into an Ethernet frame.
const PACKET_BYTES: usize = 1500;
/// Streams that leave by one socket. More would save little, and what the kernel lets one socket have under way
/// (`net.core.wmem_max`) must hold 20 ms of packets of each.
const SHARERS: usize = 8;

/// An address as the kernel takes it.
pub(crate) struct Address {
    storage: libc::sockaddr_storage,
    length: libc::socklen_t,
}

impl Address {
    pub(crate) fn new(to: SocketAddr) -> Self {
        let (storage, length) = storage(to);
        Self { storage, length }
    }
}

/// Where one leg of a stream goes: the socket, which streams may share, and the address, unless it is connected to it.
pub(crate) struct Destination {
    socket: Arc<MediaSocket>,
    address: Option<Address>,
}

impl Destination {
    /// What the outbox sends to.
    pub(crate) fn target(&self) -> Target<'_> {
        Target { socket: &self.socket, address: self.address.as_ref() }
    }
}

/// A socket, and whom it sends to; without an address, to whom it is connected to.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    pub socket: &'a MediaSocket,
    pub address: Option<&'a Address>,
}

/// The sockets by which streams leave: streams to multicast groups that take the same way share one.
#[derive(Default)]
pub(crate) struct Senders(RefCell<Vec<(Way, Weak<MediaSocket>)>>);

/// All in which the packets of two streams to multicast groups must not differ to leave by one socket.
#[derive(Debug, PartialEq, Eq)]
struct Way {
    local: SocketAddr,
    interface: u32,
    dscp: u8,
    ttl: Option<u8>,
}

impl Senders {
    /// Finds or opens the socket for `leg`. `queue_bytes` is what the kernel should be able to hold of one stream.
    pub(crate) fn destination(
        &self,
        leg: &Leg,
        dscp: u8,
        queue_bytes: usize,
    ) -> Result<Destination, JoinError> {
        // Opened in any case: only the kernel knows by which of its addresses the leg is reached now.
        let socket = Arc::new(MediaSocket::transmit(leg, dscp, queue_bytes.saturating_mul(SHARERS))?);
        // What a unicast destination answers (that nobody listens there) must trouble no other stream.
        let own = Destination { socket: Arc::clone(&socket), address: None };
        let Some(local) = socket.local_address().ok().filter(|_| leg.address.is_multicast()) else {
            return Ok(own);
        };
        let way = Way { local, interface: socket.interface(), dscp, ttl: leg.ttl };
        let mut known = self.0.borrow_mut();
        known.retain(|(_, socket)| socket.strong_count() > 0);
        let has_room = |socket: &Arc<MediaSocket>| Arc::strong_count(socket) <= SHARERS; // one is `socket` itself
        let mut alike = known.iter().filter(|(other, _)| *other == way);
        if let Some(socket) = alike.find_map(|(_, socket)| socket.upgrade().filter(has_room)) {
            let address = Some(Address::new(SocketAddr::new(leg.address, leg.port)));
            return Ok(Destination { socket, address });
        }
        known.push((way, Arc::downgrade(&socket)));
        Ok(own)
    }
}

/// Packets that are due, collected for few system calls. Each belongs to an owner, who knows where it goes.
pub(crate) struct Outbox {
    data: Vec<[u8; PACKET_BYTES]>,
    packets: Vec<Packet>,
    vectors: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
    /// Which packet each header stands for.
    numbers: [usize; ROOM],
}

/// One packet that waits.
#[derive(Debug, Clone, Copy)]
struct Packet {
    owner: usize,
    sent: bool,
}

// SAFETY: the pointers inside point into the vectors of the same value, which never move or grow, or, during `send`
// only, to addresses that are borrowed for so long.
unsafe impl Send for Outbox {}

impl Outbox {
    pub(crate) fn new() -> Self {
        let mut this = Self {
            data: vec![[0; PACKET_BYTES]; ROOM],
            packets: Vec::with_capacity(ROOM),
            vectors: Vec::with_capacity(ROOM),
            headers: Vec::with_capacity(ROOM),
            numbers: [0; ROOM],
        };
        for buffer in &mut this.data {
            this.vectors.push(libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: 0 });
            // SAFETY: all-zero is a valid header; the fields that matter are set before it is used.
            this.headers.push(unsafe { std::mem::zeroed() });
        }
        this
    }

    /// Whether no further packet fits.
    pub(crate) fn is_full(&self) -> bool {
        self.packets.len() == ROOM
    }

    /// Lets `write` fill the next packet of `owner`; it returns the packet's length, or `None` when there is none.
    pub(crate) fn push(&mut self, owner: usize, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> bool {
        let next = self.packets.len();
        let (Some(buffer), Some(vector)) = (self.data.get_mut(next), self.vectors.get_mut(next)) else {
            return false;
        };
        let Some(length) = write(buffer) else { return false };
        vector.iov_len = length.min(buffer.len());
        self.packets.push(Packet { owner, sent: false }); // there is room: `data` is no longer than its capacity
        true
    }

    /// Sends every packet to the `target` of its owner, without waiting: one system call for packets that follow each
    /// other and leave by one socket.
    pub(crate) fn send<'a>(&mut self, target: impl Fn(usize) -> Option<Target<'a>>) {
        let (mut count, mut socket) = (0, None::<&MediaSocket>);
        for number in 0..self.packets.len() {
            let Some(to) = self.packets.get(number).and_then(|packet| target(packet.owner)) else {
                continue;
            };
            if let Some(socket) = socket.filter(|socket| !std::ptr::eq(*socket, to.socket)) {
                self.give(socket, std::mem::take(&mut count));
            }
            socket = Some(to.socket);
            let (Some(header), Some(vector), Some(place)) =
                (self.headers.get_mut(count), self.vectors.get_mut(number), self.numbers.get_mut(count))
            else {
                continue;
            };
            *place = number;
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            let address = to.address.map(|to| (std::ptr::from_ref(&to.storage).cast_mut().cast(), to.length));
            (header.msg_hdr.msg_name, header.msg_hdr.msg_namelen) =
                address.unwrap_or((std::ptr::null_mut(), 0));
            count += 1;
        }
        if let Some(socket) = socket {
            self.give(socket, count);
        }
    }

    /// Gives the packets of the first `count` headers to `socket`. One that the kernel refuses stops no other, unless
    /// the socket has no room.
    fn give(&mut self, socket: &MediaSocket, count: usize) {
        let mut from = 0;
        while from < count {
            let Some(headers) = self.headers.get_mut(from..count) else { return };
            // SAFETY: the headers point to packets of the stated lengths in `self` and to addresses that the caller
            // has borrowed.
            let sent = unsafe {
                libc::sendmmsg(
                    socket.descriptor(),
                    headers.as_mut_ptr(),
                    headers.len() as _,
                    (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as _,
                )
            };
            if sent <= 0 && io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock {
                return;
            }
            let sent = usize::try_from(sent).unwrap_or(0);
            for number in self.numbers.iter().skip(from).take(sent) {
                if let Some(packet) = self.packets.get_mut(*number) {
                    packet.sent = true;
                }
            }
            from += sent.max(1);
        }
    }

    /// Forgets the packets; tells of each whose it was and whether the kernel took it for one leg at least.
    pub(crate) fn clear(&mut self) -> impl Iterator<Item = (usize, bool)> {
        self.packets.drain(..).map(|packet| (packet.owner, packet.sent))
    }
}

#[cfg(test)]
mod tests {
    use super::super::socket::{BATCH, Inbox};
    use super::*;
    use std::net::Ipv4Addr;

    /// A leg to the loopback address 127.0.0.`host`, and a port that was free a moment ago.
    fn leg(host: u8) -> Leg {
        let probe = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback");
        Leg::to(Ipv4Addr::new(127, 0, 0, host).into(), probe.local_addr().expect("bound").port())
    }

    fn group(last: u8, port: u16) -> Leg {
        Leg { interface: Some("lo".to_owned()), ..Leg::to(Ipv4Addr::new(239, 255, 79, last).into(), port) }
    }

    fn fill(outbox: &mut Outbox, owner: usize, octet: u8) -> bool {
        outbox.push(owner, |buffer| {
            buffer[..2].copy_from_slice(&[octet, !octet]);
            Some(2)
        })
    }

    #[test]
    fn packets_arrive_in_order_and_with_kernel_time() {
        let leg = leg(2);
        let receiver = MediaSocket::receive(&leg, 200_000, false).expect("opens");
        let to = Senders::default().destination(&leg, 34, 200_000).expect("opens");
        let (mut outbox, mut inbox) = (Outbox::new(), Inbox::new());
        let mut n = 0;
        while fill(&mut outbox, 0, n) {
            n += 1;
        }
        assert!(outbox.is_full());
        outbox.send(|_| Some(to.target()));
        assert!(outbox.clear().all(|(owner, sent)| owner == 0 && sent));
        let mut expected = 0..n;
        for _ in 0..ROOM / BATCH {
            assert_eq!(inbox.fill(&receiver), BATCH);
            for (arrival, n) in inbox.arrivals().zip(expected.by_ref()) {
                assert_eq!(arrival.bytes, [n, !n]);
                assert!(arrival.realtime.is_some());
            }
        }
        assert_eq!(inbox.fill(&receiver), 0, "nothing is left, and nothing is waited for");
        receiver.send_to(b"alive", (leg.address, leg.port).into()).expect("sent");
        assert_eq!(inbox.fill(&receiver), 1);
    }

    #[test]
    fn streams_to_groups_share_sockets_and_reach_each_its_own() {
        let (senders, port) = (Senders::default(), leg(1).port);
        let legs: Vec<Leg> = (0..=SHARERS as u8).map(|n| group(n, port)).collect();
        let receivers: Vec<_> =
            legs.iter().map(|leg| MediaSocket::receive(leg, 100_000, false).expect("opens")).collect();
        let to: Vec<_> =
            legs.iter().map(|leg| senders.destination(leg, 34, 10_000).expect("opens")).collect();
        let shares = |n: usize| Arc::ptr_eq(&to[0].socket, &to[n].socket);
        assert!((0..SHARERS).all(shares));
        assert!(!shares(SHARERS), "one socket has room for {SHARERS}");
        let other = senders.destination(&Leg { ttl: Some(3), ..group(99, port) }, 34, 10_000).expect("opens");
        assert!(to.iter().all(|to| !Arc::ptr_eq(&to.socket, &other.socket)), "another time to live");

        let (mut outbox, mut inbox) = (Outbox::new(), Inbox::new());
        for n in 0..to.len() {
            assert!(fill(&mut outbox, n, n as u8));
        }
        outbox.send(|owner| to.get(owner).map(Destination::target));
        assert!(outbox.clear().all(|(_, sent)| sent));
        for (n, receiver) in (0_u8..).zip(&receivers) {
            assert_eq!(inbox.fill(receiver), 1, "stream {n}");
            assert_eq!(inbox.arrivals().next().map(|arrival| arrival.bytes.to_vec()), Some(vec![n, !n]));
        }
    }

    #[test]
    fn a_packet_that_is_refused_stops_no_other() {
        let (senders, port) = (Senders::default(), leg(1).port);
        let receiver = MediaSocket::receive(&group(1, port), 100_000, false).expect("opens");
        let good = senders.destination(&group(1, port), 34, 10_000).expect("opens");
        let mut bad = senders.destination(&group(2, port), 34, 10_000).expect("opens");
        assert!(Arc::ptr_eq(&good.socket, &bad.socket));
        bad.address = Some(Address::new((Ipv4Addr::BROADCAST, port).into())); // to ask for with SO_BROADCAST
        let (mut outbox, mut inbox) = (Outbox::new(), Inbox::new());
        for owner in [1, 0, 1, 1, 0] {
            assert!(fill(&mut outbox, owner, owner as u8));
        }
        outbox.send(|owner| [&good, &bad].get(owner).map(|to| to.target()));
        let sent: Vec<bool> = outbox.clear().map(|(_, sent)| sent).collect();
        assert_eq!(sent, [false, true, false, false, true]);
        assert_eq!(inbox.fill(&receiver), 2);
    }
}
