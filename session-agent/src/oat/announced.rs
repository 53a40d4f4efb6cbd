//! What the description of a stream says of its device and of how it is had.

use std::net::{IpAddr, SocketAddrV4};

use wireloom_oat::{Form, Offer};
use wireloom_sdp::{Delivery, Encoding, Stream};
use wireloom_units::Rate;

/// How a stream is had that is sent to who asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// Its sender, and the port that is asked.
    pub sender: SocketAddrV4,
    /// Number of the stream there.
    pub stream: u32,
}

/// How `stream`, announced by `source`, is asked for; `None` when it is not one of that kind.
pub fn ask(stream: &Stream, source: IpAddr) -> Option<Ask> {
    let leg = stream.legs.first()?;
    let sender: Vec<IpAddr> = stream.origin.ip().into_iter().chain([source]).collect();
    if let Delivery::SipOffer(_) = stream.delivery {
        return None;
    }
    match wireloom_oat::form(leg.address, &sender, &[]) {
        Form::Subscribe(IpAddr::V4(address)) => {
            let offer = stream.vendor.oat.parse::<Offer>().unwrap_or_default();
            Some(Ask { sender: SocketAddrV4::new(address, leg.port), stream: offer.stream })
        }
        _ => None,
    }
}

/// Whether `stream` is of a device of OAT: it says so, or its origin is named as they are.
pub fn is_oat(stream: &Stream) -> bool {
    !stream.vendor.oat.is_empty() || wireloom_oat::is_host_name(&stream.origin.user)
}

/// The device of an OAT stream, by a key that stays when its address changes.
pub fn device_key(stream: &Stream) -> Option<String> {
    let user = &stream.origin.user;
    wireloom_oat::is_host_name(user).then(|| oat_device(user))
}

/// The same of the device with the host name `host`, without its domain.
pub fn oat_device(host: &str) -> String {
    format!("oat\t{host}")
}

/// A label for each channel, where the description has none.
pub fn labels(stream: &Stream) -> Vec<String> {
    let name = wireloom_oat::split_session_name(&stream.name);
    wireloom_oat::channel_labels(name.stream, stream.channels.count())
}

/// The language in which an input of a device of OAT with `channels` channels is told to play a stream by itself.
pub fn token(channels: usize) -> String {
    format!("oat-ctl:{channels}")
}

/// The languages in which devices can be told to play `stream`: those of OAT take L24 at 48 kHz in packets that are no
/// longer than theirs, of as many channels as the input has.
pub fn tokens(stream: &Stream) -> Vec<String> {
    let plain = stream.encoding == Encoding::L24 && stream.rate == Rate::HZ_48000 && !stream.clock_deviates;
    let fits = wireloom_oat::check_packet(stream.channels, stream.samples_per_packet).is_ok();
    if plain && fits { vec![token(usize::from(stream.channels.count()))] } else { Vec::new() }
}
