use core::fmt;
use core::net::IpAddr;
use core::ops::Deref;

use crate::v2::{Message, WireError};

/// The longest message that an engine sends: an Announce.
pub const MAX_PACKET: usize = 64;

/// The octets of one message to send.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    octets: [u8; MAX_PACKET],
    length: usize,
}

impl Packet {
    pub(super) fn new(message: &Message<'_>) -> Result<Self, WireError> {
        let mut octets = [0; MAX_PACKET];
        let length = message.emit(&mut octets)?;
        Ok(Self { octets, length })
    }
}

impl Deref for Packet {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.octets.get(..self.length).unwrap_or_default()
    }
}

impl fmt::Debug for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

/// Names one sent event message, so that its transmit timestamp finds it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token(pub u32);

/// A message to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transmit {
    /// The port to send from.
    pub port: u16,
    /// To UDP 319 with a transmit timestamp fed back through [`crate::Engine::handle_sent`]; else to UDP 320.
    pub event: bool,
    /// The message.
    pub bytes: Packet,
    /// To be handed to [`crate::Engine::handle_sent`] with the timestamp of an event message.
    pub token: Token,
    /// Where to; `None` is the group 224.0.1.129.
    pub to: Option<IpAddr>,
}
