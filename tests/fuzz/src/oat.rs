//! Targets of `wireloom-oat`: messages, a sender in a hostile network, what devices answer, names and offers.

use std::net::{Ipv4Addr, SocketAddrV4};

use wireloom_oat::control::{MAX_BODY, Reply, Request, read_device, read_input, read_streams};
use wireloom_oat::{
    Admission, Message, Offer, Offered, SenderConfig, Subscription, SubscriptionConfig, SubscriptionSender,
    channel_labels, clean_device_name, session_name, split_session_name,
};
use wireloom_units::{Channels, Nanos, Samples, Ssrc};

/// Reads a message; what was read, written again, reads the same.
pub fn message(bytes: &[u8]) {
    if let Ok(message) = Message::parse(bytes) {
        assert_eq!(Message::parse(&message.emit()), Ok(message));
    }
}

/// Both ends of a subscription that hear the message, and changes of it, from several hosts while time passes.
///
/// Whatever comes, a sender's answer is no longer than the question, its table is bounded, and a receiver that is
/// talked to does not talk for ever.
pub fn exchange(bytes: &[u8]) {
    let mut sender = SubscriptionSender::new(&SenderConfig::new([3; 16]));
    let config = SubscriptionConfig {
        sender: SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 50_000),
        stream: 0,
        port: 50_064,
        flags: 0,
        lease_s: 5,
        transaction: 0x0102_0303,
    };
    let mut now = Nanos::ZERO;
    let mut receiver = Subscription::new(now, config);
    let mut heard = bytes.to_vec();
    let mut sent = 0;
    for (step, &octet) in bytes.iter().take(64).enumerate() {
        let from = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, octet % 4), u16::from(octet) << 4);
        match octet % 8 {
            0 => heard.truncate(usize::from(octet)),
            1 => heard.get_mut(5).map_or((), |op| *op = octet >> 5),
            2 => heard.get_mut(usize::from(octet)).map_or((), |there| *there = there.wrapping_add(1)),
            3 => drop(sender.offer(Offered {
                stream: u32::from(octet >> 4),
                port: 50_000,
                ssrc: Ssrc(1),
                samples_per_packet: Samples(u32::from(octet)),
                channels: Channels::new(u16::from(octet >> 2)).unwrap_or(Channels::new(2).expect("2")),
                payload_type: octet,
                admission: Admission::Everybody,
            })),
            4 => receiver.handle_stalled(now),
            5 => sender.handle_unreachable(from),
            _ => heard = bytes.to_vec(),
        }
        if let Ok(Some(answer)) = sender.handle_datagram(now, 50_000, from, &heard) {
            assert!(answer.len() <= heard.len());
            heard = answer.to_vec();
        }
        let _ = receiver.handle_datagram(now, config.sender, &heard);
        while receiver.poll_transmit().is_some() {
            sent += 1;
        }
        now = now.plus(Nanos::from_millis(u64::from(octet) * step as u64));
        receiver.handle_timeout(now);
        assert!((0..16).map(|stream| sender.subscribers(stream).count()).sum::<usize>() <= 8);
    }
    assert!(sent <= 4 * 64 + 2, "{sent} datagrams");
}

/// Requests and answers of the control interface: the first line is method and path, the rest is the body.
pub fn control(bytes: &[u8]) {
    let split = bytes.iter().position(|&octet| octet == b'\n').unwrap_or(0);
    let (line, body) = bytes.split_at(split);
    let line = String::from_utf8_lossy(line);
    let (method, path) = line.split_once(' ').unwrap_or(("PUT", "/oat/v1/inputs/a/source"));
    match Request::parse(method, path, None, None, body) {
        Ok(request) => {
            let call = request.call();
            if call.body.len() <= MAX_BODY {
                let again = Request::parse(call.method, &call.path, None, None, call.body.as_bytes());
                assert_eq!(again, Ok(request));
            }
        }
        Err(fault) => assert!(Reply::from(fault).status >= 400),
    }
    if let Ok(device) = read_device(200, bytes) {
        assert!(device.name.chars().count() <= 128 && !device.name.chars().any(char::is_control));
    }
    if let Ok(streams) = read_streams(200, bytes) {
        assert!(streams.len() <= 128);
        assert!(streams.iter().all(|stream| stream.labels.len() <= usize::from(stream.channels)));
    }
    let _ = read_input(200, bytes);
}

/// Names and offers, as strangers write them.
pub fn names(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let name = split_session_name(&text);
    if let Some(device) = name.device {
        let joined = session_name(device, name.stream);
        assert!(split_session_name(&joined).device.is_some());
    }
    assert_eq!(channel_labels(name.stream, 8).len(), 8);
    assert!(clean_device_name(&text).is_none_or(|name| name.len() <= 64));
    if let Ok(offer) = text.parse::<Offer>() {
        assert_eq!(offer.to_string().parse(), Ok(offer));
    }
}

#[cfg(test)]
mod fuzzed {
    use crate::mutate::drive;

    #[test]
    fn subscription_messages() {
        drive("oat", super::message);
    }

    #[test]
    fn subscription_exchanges() {
        drive("oat", super::exchange);
    }

    #[test]
    fn control_requests_and_answers() {
        drive("oat", super::control);
    }

    #[test]
    fn names_and_offers() {
        drive("oat", super::names);
    }
}
