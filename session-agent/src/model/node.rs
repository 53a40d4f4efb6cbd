//! From a description to the node that it becomes.

use wireloom_sdp::{Delivery, Stream};
use wireloom_wanted::{
    ClockRelation, Direction, Encoding, Keepalive, Leg, Media, Node, NodeText, Protocol, Show,
};

use super::{InterfaceFacts, identity};

/// The protocol that a description betrays.
pub fn protocol(stream: &Stream) -> Protocol {
    if stream.vendor.keywds.eq_ignore_ascii_case("dante") {
        Protocol::Dante
    } else if crate::oat::is_oat(stream) {
        Protocol::Oat
    } else {
        Protocol::Aes67
    }
}

/// The node of an announced or added stream; an error says in words why there can be none. `asked` is how it comes
/// when its sender has to be asked for it.
pub fn of_stream(
    stream: &Stream,
    address: &str,
    heard_on: Option<&InterfaceFacts>,
    interfaces: &[InterfaceFacts],
    asked: Option<(Leg, Keepalive)>,
) -> Result<Node, String> {
    if let Delivery::SipOffer(_) = stream.delivery {
        return Err("It is offered by SIP, which this version cannot do.".to_owned());
    }
    if let (Delivery::Unicast, None, Some(leg)) = (stream.delivery, &asked, stream.legs.first()) {
        let ours = |facts: &InterfaceFacts| facts.addresses.iter().any(|(own, _)| *own == leg.address);
        if !interfaces.iter().any(ours) {
            return Err(format!("It is in use by {}, the one host that it is sent to.", leg.address));
        }
    }
    let channels = usize::from(stream.channels.count());
    let unnamed = match protocol(stream) {
        Protocol::Oat => crate::oat::labels(stream),
        _ => (1..=channels).map(|number| number.to_string()).collect(),
    };
    let label = |index: usize| {
        let label = stream.labels.get(index).map(|label| label.trim()).filter(|label| !label.is_empty());
        label.or(unnamed.get(index).map(String::as_str)).unwrap_or_default().to_owned()
    };
    let (asked_leg, keepalive) = asked.unzip();
    let node = Node {
        direction: Direction::Receive,
        protocol: protocol(stream),
        text: NodeText { description: String::new(), nick: String::new(), name: stream.name.clone() },
        device: identity::device_id(address),
        channels: (0..channels).map(label).collect(),
        media: Media {
            encoding: encoding(stream.encoding),
            rate: stream.rate.hz(),
            samples_per_packet: stream.samples_per_packet.0,
            payload_type: stream.payload_type,
            offset: stream.media_clock.offset(),
            ssrc: stream.ssrc.map(|ssrc| ssrc.0),
        },
        legs: match asked_leg {
            Some(leg) => vec![leg],
            None => stream.legs.iter().take(4).map(|leg| leg_of(leg, heard_on, interfaces)).collect(),
        },
        clock: ClockRelation::Unknown,
        latency: 144,
        show: Show::Patchbay,
        chosen: false,
        announced: false,
        dscp: 34,
        offline: false,
        remote: true,
        direct: crate::oat::tokens(stream),
        keepalive,
        copies: None,
    };
    node.check().map_err(|why| format!("It cannot be played: {why}."))?;
    Ok(node)
}

/// A leg with the interface in whose network its sender is; else where it was announced; else none.
fn leg_of(leg: &wireloom_sdp::Leg, heard_on: Option<&InterfaceFacts>, interfaces: &[InterfaceFacts]) -> Leg {
    let near = leg.near.and_then(|near| interfaces.iter().find(|facts| facts.reaches(near)));
    Leg {
        // The module lets one sender through; of several named ones any may be the one that sends.
        source: match *leg.sources {
            [only] => Some(only),
            _ => None,
        },
        excluded: leg.excluded.iter().copied().take(Leg::MAX_EXCLUDED).collect(),
        interface: near.or(heard_on).map(|facts| facts.name.clone()),
        ..Leg::to(leg.address, leg.port)
    }
}

/// At most 24 characters, as `node.nick` wants.
pub fn nick(text: &str) -> String {
    text.chars().take(24).collect::<String>().trim_end().to_owned()
}

pub fn encoding(encoding: wireloom_sdp::Encoding) -> Encoding {
    match encoding {
        wireloom_sdp::Encoding::L16 => Encoding::L16,
        wireloom_sdp::Encoding::L24 => Encoding::L24,
        wireloom_sdp::Encoding::L32 => Encoding::L32,
        wireloom_sdp::Encoding::AM824 => Encoding::AM824,
    }
}

pub fn sdp_encoding(encoding: Encoding) -> wireloom_sdp::Encoding {
    match encoding {
        Encoding::L16 => wireloom_sdp::Encoding::L16,
        Encoding::L24 => wireloom_sdp::Encoding::L24,
        Encoding::L32 => wireloom_sdp::Encoding::L32,
        Encoding::AM824 => wireloom_sdp::Encoding::AM824,
    }
}

pub fn encoding_word(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::L16 => "L16",
        Encoding::L24 => "L24",
        Encoding::L32 => "L32",
        Encoding::AM824 => "AM824",
    }
}
