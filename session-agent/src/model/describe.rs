//! The description of an own stream (`aes67` 2.9).

use std::net::Ipv4Addr;

use wireloom_sdp::{Description, Flavour, Leg, MediaClock, RefClk, WriteError, write};
use wireloom_units::{Channels, Rate, Samples};

use super::node::sdp_encoding;
use crate::store::SavedOwn;

/// The text that is announced for `own` with `version`, sent from `address`, on the clock `refclk`.
///
/// Errors: what the format cannot say; [`super::Model`] refuses such streams before they exist.
pub fn own(own: &SavedOwn, version: u64, address: Ipv4Addr, refclk: RefClk) -> Result<String, WriteError> {
    let channels = u16::try_from(own.labels.len()).ok().and_then(Channels::new);
    let description = Description {
        user: "-".to_owned(),
        session_id: own.session_id,
        version,
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
    };
    write(&description, if own.dante { Flavour::DanteFriendly } else { Flavour::Neutral })
}
