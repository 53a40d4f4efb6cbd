//! Own streams of the flavour of OpenAudioTools: sent to who asks, as long as they renew it.

use std::collections::BTreeSet;
use std::net::SocketAddrV4;

use tracing::{debug, info};
use wireloom_oat::{
    Admission, MESSAGE_BYTES, Offered, SUBSCRIPTION_PORTS, SenderConfig, SenderEvent, SubscriptionSender,
};
use wireloom_units::{Channels, Nanos, Samples, Ssrc};
use wireloom_wanted::{Copies, Encoding, Node};

use super::Model;
use crate::request::{Flavour, NewStream, Refused};
use crate::store::SavedOwn;
use crate::time::Now;

/// As on the networking page of OAT.
pub const PAYLOAD_TYPE: u8 = 97;
/// The channels that a stream of OAT may have.
const CHANNELS: [usize; 3] = [2, 8, 16];
/// Receivers of all streams together; what they take of the port is bounded besides.
const MAX_RECEIVERS: usize = 64;

/// Who has which of our streams.
#[derive(Debug)]
pub struct Offers {
    sender: SubscriptionSender,
    /// Numbers of the streams that are offered.
    numbers: BTreeSet<u32>,
    /// Ports that somebody else has.
    taken: BTreeSet<u16>,
}

impl Offers {
    /// Offers nothing yet.
    pub fn new(random: &mut impl FnMut() -> u32) -> Self {
        let mut key = [0; 16];
        key.chunks_mut(4).for_each(|part| part.copy_from_slice(&random().to_be_bytes()));
        let config =
            SenderConfig { per_stream: Copies::MAX, in_all: MAX_RECEIVERS, ..SenderConfig::new(key) };
        Self { sender: SubscriptionSender::new(&config), numbers: BTreeSet::new(), taken: BTreeSet::new() }
    }
}

/// Frames of a packet of L24.
pub fn default_frames(channels: usize) -> u32 {
    let channels = u16::try_from(channels).ok().and_then(Channels::new);
    channels.map_or(1, |channels| wireloom_oat::default_frames(channels).0)
}

impl Model {
    /// Why OAT cannot carry `new`.
    pub(super) fn check_offer(
        &self,
        new: &NewStream,
        channels: usize,
        encoding: Encoding,
    ) -> Result<(), Refused> {
        let invalid = |text: String| Err(Refused::Invalid(text));
        if !CHANNELS.contains(&channels) {
            return invalid(format!("a stream of OAT has 2, 8 or 16 channels, not {channels}"));
        }
        if encoding != Encoding::L24 || new.rate != 48_000 {
            return invalid("a stream of OAT is L24 at 48000 Hz".to_owned());
        }
        if new.address.is_some() {
            return invalid("a stream of OAT is sent to who asks and has no group".to_owned());
        }
        Ok(())
    }

    /// The port of a new stream: `wished`, or a free one when that is 0.
    pub(super) fn offered_port(&self, wished: u16) -> Result<u16, Refused> {
        let used = |port: u16| self.offered_streams().any(|own| own.port == port);
        match wished {
            0 => {
                self.free_offer_port().ok_or_else(|| Refused::Limit("every port of OAT is in use".to_owned()))
            }
            port if used(port) => Err(Refused::Conflict(format!("port {port} is used by another stream"))),
            port => Ok(port),
        }
    }

    fn free_offer_port(&self) -> Option<u16> {
        let used: BTreeSet<u16> = self.offered_streams().map(|own| own.port).collect();
        SUBSCRIPTION_PORTS.into_iter().find(|port| !used.contains(port) && !self.offers.taken.contains(port))
    }

    fn offered_streams(&self) -> impl Iterator<Item = &SavedOwn> {
        self.saved.own.iter().filter(|own| own.flavour == Flavour::Oat)
    }

    /// Where questions for our streams are to be heard.
    pub fn offer_sockets(&self) -> Vec<SocketAddrV4> {
        let ways = if self.active { self.ways_out() } else { Vec::new() };
        let at = |own: &SavedOwn| {
            Self::way_of(&ways, own).map(|(_, address)| SocketAddrV4::new(*address, own.port))
        };
        self.offered_streams().filter_map(at).collect()
    }

    /// Somebody else has `port`: the streams there move to another, while there is one.
    pub fn handle_port_taken(&mut self, now: Now, port: u16) {
        self.offers.taken.insert(port);
        let Some(free) = self.free_offer_port() else { return };
        let own = self.saved.own.iter_mut().find(|own| own.flavour == Flavour::Oat && own.port == port);
        if let Some(own) = own {
            info!("port {port} is taken: \"{}\" is offered at port {free}", own.name);
            own.port = free;
            self.save_within(now, Nanos::ZERO);
        }
    }

    /// A datagram came to the port of one of our streams. Answers what to send back, and whether receivers came or
    /// went.
    pub fn handle_question(
        &mut self,
        now: Now,
        port: u16,
        from: SocketAddrV4,
        bytes: &[u8],
    ) -> (Option<[u8; MESSAGE_BYTES]>, bool) {
        let answer = self.offers.sender.handle_datagram(now.mono, port, from, bytes);
        let answer = answer.unwrap_or_else(|error| {
            tracing::trace!("a question of {from}: {error}");
            None
        });
        (answer, self.tell_receivers())
    }

    /// Goes on with the receivers that an agent before us served.
    pub(super) fn adopt_copies(&mut self, now: Now, id: &str, found: &Node) {
        self.settle_offers(now);
        let number = self.offered_streams().find(|own| own.id == id).map(SavedOwn::oat_number);
        for to in found.copies.iter().flat_map(|copies| &copies.to) {
            if let Some(number) = number {
                self.offers.sender.adopt(now.mono, number, *to);
            }
        }
    }

    /// When [`Model::settle_offers`] is due.
    pub(super) fn offers_timeout(&self) -> Option<Nanos> {
        self.offers.sender.poll_timeout()
    }

    /// Offers what there is, ends leases, and tells the nodes who gets copies.
    pub(super) fn settle_offers(&mut self, now: Now) {
        let offers: Vec<_> = self.offered_streams().filter_map(offer).collect();
        let numbers: BTreeSet<u32> = offers.iter().map(|offer| offer.stream).collect();
        for gone in self.offers.numbers.difference(&numbers) {
            self.offers.sender.withdraw(*gone);
        }
        self.offers.numbers = numbers;
        for offered in offers {
            if let Err(why) = self.offers.sender.offer(offered) {
                debug!("stream {} cannot be offered: {why}", offered.stream);
            }
        }
        self.offers.sender.handle_timeout(now.mono);
        self.tell_receivers();
        let copies = |own: &SavedOwn| {
            let mut to: Vec<_> =
                self.offers.sender.subscribers(own.oat_number()).map(|receiver| receiver.to).collect();
            to.sort();
            (own.id.clone(), Copies { port: own.port, to })
        };
        let copies: Vec<_> = self.offered_streams().map(copies).collect();
        for (id, copies) in copies {
            if let Some(node) = self.streams.get_mut(&id).and_then(|stream| stream.node.as_mut()) {
                node.copies = Some(copies);
            }
        }
    }

    /// Says who came and went; answers whether anybody did.
    fn tell_receivers(&mut self) -> bool {
        let mut changed = false;
        while let Some(event) = self.offers.sender.poll_event() {
            changed = true;
            match event {
                SenderEvent::Started(receiver) => info!("OAT stream {} to {}", receiver.stream, receiver.to),
                SenderEvent::Stopped(receiver, why) => {
                    info!("OAT stream {} no more to {}: {why:?}", receiver.stream, receiver.to);
                }
            }
        }
        changed
    }
}

fn offer(own: &SavedOwn) -> Option<Offered> {
    let channels = u16::try_from(own.labels.len()).ok().and_then(Channels::new)?;
    Some(Offered {
        stream: own.oat_number(),
        port: own.port,
        ssrc: Ssrc(own.ssrc),
        samples_per_packet: Samples(own.packet_frames),
        channels,
        payload_type: own.payload_type,
        admission: Admission::Everybody,
    })
}
