//! The description of an own stream (`aes67` 2.9).

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use wireloom_sdp::RefClk;

use super::node::encoding_word;
use crate::store::SavedOwn;

/// The text that is announced for `own` with `version`, sent from `address`, on the clock `refclk`.
pub fn own(own: &SavedOwn, version: u64, address: Ipv4Addr, refclk: RefClk) -> String {
    let SavedOwn { session_id, name, address: group, ttl, port, payload_type, rate, .. } = own;
    let channels = own.labels.len();
    let ptime = f64::from(own.packet_frames) * 1000.0 / f64::from(own.rate);
    let mut text = format!(
        "v=0\r\no=- {session_id} {version} IN IP4 {address}\r\ns={name}\r\ni={channels} channels: {}\r\n\
         c=IN IP4 {group}/{ttl}\r\nt=0 0\r\n",
        own.labels.join(", ")
    );
    if own.dante {
        text.push_str("a=keywds:Dante\r\n");
    }
    let clock = match refclk {
        RefClk::Ptp { identity: Some(identity), domain, .. } => {
            format!("ptp=IEEE1588-2008:{identity}:{}", domain.unwrap_or(0))
        }
        RefClk::LocalMac([a, b, c, d, e, f]) => {
            format!("localmac={a:02X}-{b:02X}-{c:02X}-{d:02X}-{e:02X}-{f:02X}")
        }
        _ => "local".to_owned(),
    };
    let encoding = encoding_word(own.encoding);
    let _ = write!(
        text,
        "a=recvonly\r\nm=audio {port} RTP/AVP {payload_type}\r\n\
         a=rtpmap:{payload_type} {encoding}/{rate}/{channels}\r\na=ptime:{ptime}\r\n"
    );
    if !own.dante {
        let _ = write!(text, "a=source-filter: incl IN IP4 {group} {address}\r\n");
    }
    let _ = write!(text, "a=ts-refclk:{clock}\r\na=mediaclk:direct=0\r\n");
    text
}
