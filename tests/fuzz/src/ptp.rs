//! PTP: messages, and an engine in the middle of following a leader.

use std::net::{IpAddr, Ipv4Addr};

use wireloom_ptp::v2::Message;
use wireloom_ptp::{Config, Engine, PortConfig};
use wireloom_units::ClockIdentity;

/// What parses is written back to octets that parse to the same, and never runs past what was announced.
pub fn message(data: &[u8]) {
    let Ok(message) = Message::parse(data) else { return };
    let mut octets = vec![0; message.length()];
    let length = message.emit(&mut octets).expect("a parsed message is as long as it says");
    assert!(length <= data.len());
    assert_eq!(Message::parse(&octets), Ok(message));
    for tlv in message.tlvs.iter() {
        assert!(tlv.value.len() < length);
    }
}

/// An engine hears `data` on both sockets between a leader's messages: it stays bounded and its line stays whole.
///
/// The first octet chooses how much time passes between the messages.
pub fn engine(data: &[u8]) {
    let from = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let (pace, data) = data.split_first().unwrap_or((&0, &[]));
    let step = 1_000_000 << (pace % 12);
    let mut engine: Engine<2> = Engine::new(Config::follower(ClockIdentity([9; 8])), 1);
    engine.enable_port(0, 0, PortConfig::default());
    let mut now = 0_i64;
    for round in 0..24_u8 {
        now += step;
        match round % 4 {
            0 => engine.handle_general(now, 0, data, from),
            1 => engine.handle_event(now, 0, data, now, from),
            _ => {
                let changed: Vec<u8> = match data.len() {
                    // The same once more with another sequence number, as a sender would.
                    31.. => data
                        .iter()
                        .enumerate()
                        .map(|(at, octet)| if at == 31 { octet ^ round } else { *octet })
                        .collect(),
                    _ => data.to_vec(),
                };
                engine.handle_general(now, 0, &changed, from);
                engine.handle_event(now, 0, &changed, now, from);
            }
        }
        let mut sent = 0;
        while let Some(transmit) = engine.poll_transmit() {
            sent += 1;
            assert!(sent < 100 && !transmit.bytes.is_empty());
            if transmit.event {
                engine.handle_sent(now, transmit.port, transmit.token, now);
            }
        }
        while engine.poll_event().is_some() {}
        if let Some(line) = engine.line() {
            assert!(line.at(now) >= line.at(now - 1_000_000), "time runs backwards: {line:?}");
        }
        engine.handle_timeout(engine.poll_timeout().unwrap_or(now).min(now + step));
    }
    assert!(engine.status(now).sigma_ns.is_finite());
}

#[cfg(test)]
mod fuzzed {
    use crate::mutate::drive;

    #[test]
    fn messages_survive() {
        drive("ptp", super::message);
    }

    #[test]
    fn engine_survives() {
        drive("ptp", super::engine);
    }
}
