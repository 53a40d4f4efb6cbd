//! What is let in: every datagram is used or counted in exactly one place.

use core::net::IpAddr;

use super::Engine;
use crate::v2::{Body, Flags, Message, WireError};

impl<const PORTS: usize> Engine<PORTS> {
    /// Checks a datagram (`aes67` 5.3) and hands it to its role; `received` is there for the event socket.
    pub(super) fn receive(&mut self, now: i64, port: u16, bytes: &[u8], received: Option<i64>, from: IpAddr) {
        let Some(Message { header, body, .. }) = self.admit(port, bytes) else { return };
        match (body, received) {
            (Body::Sync { origin }, Some(received)) => self.heard_sync(now, port, &header, origin, received),
            (Body::DelayReq { .. }, Some(received)) => self.heard_delay_req(port, &header, received, from),
            (Body::FollowUp { origin }, None) => self.heard_follow_up(now, port, &header, origin),
            (Body::DelayResp { receipt, requester }, None) => {
                self.heard_delay_resp(now, port, &header, receipt, requester);
            }
            (Body::Announce(announce), None) => self.heard_announce(now, port, &header, announce),
            (body, received) if body.kind().is_event() != received.is_some() => {
                self.counters.wrong_socket += 1
            }
            _ => self.counters.unhandled_type += 1,
        }
    }

    /// The message, if it is one for us.
    fn admit<'a>(&mut self, port: u16, bytes: &'a [u8]) -> Option<Message<'a>> {
        let enabled = self.ports.get(usize::from(port)).is_some_and(|port| port.is_enabled());
        let message = Message::parse(bytes);
        if let Ok(Message { header, body: Body::Announce(_), .. }) = &message
            && enabled
            && (header.major_sdo, header.minor_sdo) == (0, 0)
            && header.domain != self.config.domain
        {
            self.elsewhere = Some(header.domain);
        }
        let counters = &mut self.counters;
        let reason = match message {
            _ if !enabled => &mut counters.port_disabled,
            Err(WireError::Version(1)) => &mut counters.version1,
            Err(WireError::Version(_)) => &mut counters.other_version,
            Err(WireError::Type(_)) => &mut counters.unhandled_type,
            Err(_) => &mut counters.malformed,
            Ok(Message { header, .. }) if header.major_sdo != 0 || header.minor_sdo != 0 => {
                &mut counters.other_sdo
            }
            Ok(Message { header, .. }) if header.domain != self.config.domain => &mut counters.other_domain,
            Ok(Message { header, .. }) if header.source.clock == self.config.identity => &mut counters.own,
            // These two are heard only where that is configured (`ptp` section 8): no profile that is followed here does.
            Ok(Message { header, .. }) if header.flags.has(Flags::ALTERNATE_MASTER) => {
                &mut counters.alternate_master
            }
            Ok(Message { header, body, .. }) if header.flags.has(Flags::UNICAST) && sets_time(&body) => {
                &mut counters.unicast
            }
            Ok(message) => return Some(message),
        };
        *reason += 1;
        None
    }
}

/// Whether a leader tells its time by it. Delay exchanges go to one host also where that comes to all (hybrid mode):
/// a request asks for nothing but an answer, and an answer counts only for a request of ours.
const fn sets_time(body: &Body) -> bool {
    !matches!(body, Body::DelayReq { .. } | Body::DelayResp { .. })
}
