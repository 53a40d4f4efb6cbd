//! The description of an own stream (`aes67` 2.9).

use std::net::Ipv4Addr;

use wireloom_oat::Offer;

use wireloom_sdp::{Description, Flavour, Leg, MediaClock, RefClk, WriteError};
use wireloom_units::{Channels, Rate, Samples};

use super::node::sdp_encoding;
use crate::request;
use crate::store::SavedOwn;

/// This computer, as its announcements name it.
#[derive(Debug, Clone, Default)]
pub struct Speaker {
    pub address: Option<Ipv4Addr>,
    pub mac: Option<[u8; 6]>,
    /// What its user calls it; may be empty.
    pub name: String,
}

impl Speaker {
    /// Its host name among devices of OAT, which does not follow its name.
    fn oat_host(&self) -> String {
        let address = self.address.unwrap_or(Ipv4Addr::UNSPECIFIED).octets();
        let [.., high, low] = self.mac.unwrap_or([0, 0, address[0], address[1], address[2], address[3]]);
        format!("wireloom-{high:02x}{low:02x}")
    }

    /// Its name among devices of OAT.
    fn oat_name(&self) -> String {
        let host = || wireloom_oat::default_device_name(&self.oat_host());
        wireloom_oat::clean_device_name(&self.name).unwrap_or_else(host)
    }
}

/// What is announced of `own` with its version by `speaker`, on the clock `refclk`.
///
/// Errors: no channels, or too many; [`super::Model`] refuses such streams before they exist.
pub fn own(own: &SavedOwn, speaker: &Speaker, refclk: RefClk) -> Result<Description, WriteError> {
    let channels = u16::try_from(own.labels.len()).ok().and_then(Channels::new);
    let address = speaker.address.unwrap_or(Ipv4Addr::UNSPECIFIED);
    let mut description = Description {
        user: "-".to_owned(),
        session_id: own.session_id,
        version: own.version,
        origin: address.into(),
        name: own.name.clone(),
        labels: own.labels.clone(),
        encoding: sdp_encoding(own.encoding),
        rate: Rate::from_hz(own.rate).unwrap_or(Rate::HZ_48000),
        channels: channels.ok_or(WriteError::Legs(0))?,
        payload_type: own.payload_type,
        samples_per_packet: Samples(own.packet_frames),
        legs: vec![Leg {
            address: own.address.into(),
            port: own.port,
            ttl: Some(own.ttl),
            sources: vec![address.into()],
            excluded: Vec::new(),
            near: None,
        }],
        refclk: Some(refclk),
        media_clock: MediaClock::Direct(0),
        paused: false,
        oat: String::new(),
    };
    if own.flavour == request::Flavour::Oat {
        // The sender's own address, which is asked at that port.
        let leg =
            Leg { address: address.into(), ttl: None, sources: Vec::new(), ..description.legs.remove(0) };
        let offer = Offer { stream: own.oat_number(), subscription: true, control_port: None };
        description.user = speaker.oat_host();
        description.name = wireloom_oat::session_name(&speaker.oat_name(), &own.name);
        description.legs = vec![leg];
        description.oat = offer.to_string();
    }
    Ok(description)
}

/// Whose habits the announcement of `own` follows.
pub const fn flavour(own: &SavedOwn) -> Flavour {
    match own.flavour {
        request::Flavour::Aes67 | request::Flavour::Oat => Flavour::Neutral,
        request::Flavour::Dante => Flavour::DanteFriendly,
        request::Flavour::Ravenna => Flavour::Ravenna,
        request::Flavour::St2110 => Flavour::St2110,
    }
}
