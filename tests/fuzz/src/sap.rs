//! Targets of `wireloom-sdp`: SAP packets, and a listener in a hostile network.

use std::{collections::BTreeSet, net::IpAddr};

use wireloom_sdp::{SapEvent, SapListener, SapPacket, StreamId, Via, read};
use wireloom_units::Nanos;

/// Reads a packet; what was read, written again, reads the same.
pub fn packet(bytes: &[u8]) {
    let Ok(packet) = SapPacket::parse(bytes) else { return };
    assert!(packet.payload.len() <= 16 * 1024 || packet.payload.len() <= bytes.len());
    assert_eq!(SapPacket::parse(&packet.emit()), Ok(packet.clone()));
    if let Ok(parsed) = read(&packet.payload) {
        assert!(!parsed.streams.is_empty());
    }
}

/// A listener that hears the packet, and pieces and changes of it, from several hosts while time passes.
///
/// Whatever comes, what the events say is what the listener holds.
pub fn listener(bytes: &[u8]) {
    let mut listener = SapListener::new();
    let mut present: BTreeSet<StreamId> = BTreeSet::new();
    let mut unreadable: BTreeSet<StreamId> = BTreeSet::new();
    let mut now = Nanos::ZERO;
    let mut heard = bytes.to_vec();
    for (step, &octet) in bytes.iter().take(64).enumerate() {
        let from = IpAddr::from([192, 0, 2, octet % 3]);
        let via = Via { interface: u32::from(octet >> 7), group: None };
        match octet % 8 {
            0 => heard.truncate(usize::from(octet) * 4),
            1 => heard.first_mut().map_or((), |first| *first ^= 4),
            2 => heard.get_mut(3).map_or((), |hash| *hash ^= octet),
            3 => heard.get_mut(usize::from(octet)).map_or((), |there| *there = there.wrapping_add(1)),
            4 => listener.handle_interface(now, 1, octet & 64 == 0),
            5 => present.iter().next().copied().map_or((), |id| listener.handle_use(id, octet & 64 == 0)),
            6 => listener.handle_wall_clock(now, u64::from(octet) << 32),
            _ => heard = bytes.to_vec(),
        }
        let _ = listener.handle_datagram_via(now, from, via, &heard);
        now = now.plus(Nanos::from_secs(u64::from(octet) * step as u64));
        if listener.poll_timeout().is_some_and(|at| at <= now) {
            listener.handle_timeout(now);
        }
        while let Some(event) = listener.poll_event() {
            match event {
                SapEvent::Found(id) => assert!(present.insert(id)),
                SapEvent::Unreadable(id) => drop(unreadable.insert(id)),
                SapEvent::Gone(id, _) => assert!(present.remove(&id) | unreadable.remove(&id)),
                SapEvent::Overflow => panic!("events are polled after every step"),
                _ => {}
            }
        }
        assert!(listener.streams().map(|heard| heard.id).eq(present.iter().copied()));
        assert!(listener.unreadable().map(|it| it.id).collect::<BTreeSet<_>>() == unreadable);
    }
}

#[cfg(test)]
mod fuzzed {
    use crate::mutate::drive;

    #[test]
    fn sap_packets() {
        drive("sap", super::packet);
    }

    #[test]
    fn sap_listeners() {
        drive("sap", super::listener);
    }
}
