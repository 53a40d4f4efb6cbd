//! The description of an own stream (`aes67` 2.9).

use std::net::Ipv4Addr;

use wireloom_sdp::{Description, Flavour, Leg, MediaClock, RefClk, WriteError};
use wireloom_units::{Channels, Rate, Samples};

use super::node::sdp_encoding;
use crate::request;
use crate::store::SavedOwn;

/// What is announced of `own` with its version, sent from `address`, on the clock `refclk`.
///
/// Errors: no channels, or too many; [`super::Model`] refuses such streams before they exist.
pub fn own(own: &SavedOwn, address: Ipv4Addr, refclk: RefClk) -> Result<Description, WriteError> {
    let channels = u16::try_from(own.labels.len()).ok().and_then(Channels::new);
    Ok(Description {
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
    })
}

/// Whose habits the announcement of `own` follows.
pub const fn flavour(own: &SavedOwn) -> Flavour {
    match own.flavour {
        request::Flavour::Aes67 => Flavour::Neutral,
        request::Flavour::Dante => Flavour::DanteFriendly,
        request::Flavour::Ravenna => Flavour::Ravenna,
        request::Flavour::St2110 => Flavour::St2110,
    }
}
