//! Round trips, whatever the fields; and what must hold after any sequence of messages.

use std::net::{Ipv4Addr, SocketAddrV4};

use proptest::prelude::*;
use wireloom_oat::control::{Request, Source};
use wireloom_oat::{
    Admission, Message, Offer, Offered, Op, SenderConfig, SubscriptionSender, clean_device_name,
    session_name, split_session_name,
};
use wireloom_units::{Channels, Nanos, Samples, Ssrc};

fn message() -> impl Strategy<Value = Message> {
    let op = prop_oneof![
        Just(Op::Subscribe),
        Just(Op::Unsubscribe),
        Just(Op::Ack),
        Just(Op::Nak),
        Just(Op::Challenge)
    ];
    let first = (op, any::<u16>(), any::<u32>(), any::<u32>(), any::<u64>(), any::<u16>());
    let second = (any::<u16>(), any::<u32>(), any::<u16>(), any::<u8>(), any::<u8>(), any::<u16>());
    (first, second).prop_map(|(first, second)| Message {
        op: first.0,
        flags: first.1,
        stream: first.2,
        transaction: first.3,
        cookie: first.4,
        lease_s: first.5,
        port: second.0,
        ssrc: Ssrc(second.1),
        samples_per_packet: second.2,
        channels: second.3,
        payload_type: second.4,
        reason: second.5,
    })
}

/// One thing that happens to a sender.
#[derive(Debug, Clone)]
enum Step {
    /// Somebody asks, with the cookie that they were given last or another one.
    Ask {
        who: u8,
        port: u8,
        stream: u32,
        honest: bool,
        lease_s: u16,
    },
    End {
        who: u8,
        port: u8,
        stream: u32,
    },
    Unreachable {
        who: u8,
        port: u8,
    },
    Wait {
        ms: u32,
    },
    Withdraw {
        stream: u32,
    },
    Offer {
        stream: u32,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let (who, port, stream) = (0..12_u8, 0..4_u8, 0..4_u32);
    prop_oneof![
        8 => (who.clone(), port.clone(), stream.clone(), any::<bool>(), any::<u16>())
            .prop_map(|(who, port, stream, honest, lease_s)| Step::Ask { who, port, stream, honest, lease_s }),
        2 => (who.clone(), port.clone(), stream.clone()).prop_map(|(who, port, stream)| Step::End { who, port, stream }),
        1 => (who, port).prop_map(|(who, port)| Step::Unreachable { who, port }),
        3 => (0..40_000_u32).prop_map(|ms| Step::Wait { ms }),
        1 => stream.clone().prop_map(|stream| Step::Withdraw { stream }),
        2 => stream.prop_map(|stream| Step::Offer { stream }),
    ]
}

fn offered(stream: u32) -> Offered {
    Offered {
        stream: stream + 1,
        port: 50_000 + stream as u16,
        ssrc: Ssrc(stream),
        samples_per_packet: Samples(48),
        channels: Channels::new(2).expect("in range"),
        payload_type: 97,
        admission: Admission::Everybody,
    }
}

proptest! {
    #[test]
    fn messages_survive(message in message()) {
        prop_assert_eq!(Message::parse(&message.emit()), Ok(message));
    }

    #[test]
    fn offers_survive(stream in any::<u32>(), subscription in any::<bool>(), port in proptest::option::of(1..u16::MAX)) {
        let offer = Offer { stream, subscription, control_port: port };
        prop_assert_eq!(offer.to_string().parse(), Ok(offer));
    }

    #[test]
    fn names_split_where_they_were_joined(device in "[^\\p{C}]{1,20}", stream in "[^\\p{C}]{1,20}") {
        let (device, stream) = (device.trim(), stream.trim());
        prop_assume!(!device.is_empty() && !stream.is_empty());
        let text = session_name(device, stream);
        let name = split_session_name(&text);
        let [device, stream] = [device, stream].map(|text| text.replace('\u{2014}', "-"));
        prop_assert_eq!((name.device, name.stream), (Some(device.trim()), stream.trim()));
    }

    #[test]
    fn names_that_are_set_are_bounded(text in any::<String>()) {
        let name = clean_device_name(&text).unwrap_or_default();
        prop_assert!(name.len() <= 64 && !name.chars().any(char::is_control));
    }

    #[test]
    fn requests_survive(id in "[a-z]{1,8}-[0-9a-f]{4}/(rx|tx)/.{1,16}", name in "[a-zA-Z0-9 é—]{1,20}", sdp in any::<String>()) {
        prop_assume!(sdp.len() < 1000 && !name.trim().is_empty());
        let source = Source::Described { sdp };
        for request in [
            Request::Device,
            Request::Streams,
            Request::Rename(name.trim().to_owned()),
            Request::Input(id.clone()),
            Request::Description(id.clone()),
            Request::Play { input: id.clone(), source },
            Request::Stop(id.clone()),
        ] {
            let call = request.call();
            let again = Request::parse(call.method, &call.path, None, Some("device"), call.body.as_bytes());
            prop_assert_eq!(again, Ok(request));
        }
    }

    #[test]
    fn no_sequence_of_messages_breaks_a_senders_bounds(steps in proptest::collection::vec(step(), 1..120)) {
        let config = SenderConfig { per_stream: 2, in_all: 5, ..SenderConfig::new([5; 16]) };
        let mut sender = SubscriptionSender::new(&config);
        let mut now = Nanos::from_secs(1);
        let mut cookies = std::collections::HashMap::new();
        let address = |who: u8| SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, who), 40_000);
        let receives = |port: u8| 50_064 + u16::from(port);
        for step in steps {
            match step {
                Step::Ask { who, port, stream, honest, lease_s } => {
                    let key = (who, port, stream);
                    let known: u64 = cookies.get(&key).copied().unwrap_or(0);
                    let cookie = if honest { known } else { known ^ 0xff };
                    let message = Message {
                        stream, cookie, lease_s, transaction: 1, port: receives(port), ..Message::new(Op::Subscribe)
                    };
                    let answer = sender.handle_datagram(now, 50_000, address(who), &message.emit());
                    if let Some(answer) = answer.expect("a message") {
                        let answer = Message::parse(&answer).expect("an answer is a message");
                        prop_assert_eq!(answer.transaction, 1);
                        match answer.op {
                            Op::Challenge => drop(cookies.insert(key, answer.cookie)),
                            Op::Ack => {
                                prop_assert!(honest && known != 0, "granted without the cookie");
                                prop_assert!((5..=120).contains(&answer.lease_s));
                            }
                            op => prop_assert_eq!(op, Op::Nak),
                        }
                    }
                }
                Step::End { who, port, stream } => {
                    let cookie = cookies.get(&(who, port, stream)).copied().unwrap_or(3);
                    let message = Message { stream, cookie, port: receives(port), ..Message::new(Op::Unsubscribe) };
                    prop_assert_eq!(sender.handle_datagram(now, 50_000, address(who), &message.emit()), Ok(None));
                }
                Step::Unreachable { who, port } => {
                    let to = SocketAddrV4::new(*address(who).ip(), receives(port));
                    sender.handle_unreachable(to);
                    prop_assert!((1..=4).all(|stream| sender.subscribers(stream).all(|known| known.to != to)));
                }
                Step::Wait { ms } => now = now.plus(Nanos::from_millis(u64::from(ms))),
                Step::Withdraw { stream } => sender.withdraw(stream + 1),
                Step::Offer { stream } => prop_assert_eq!(sender.offer(offered(stream)), Ok(())),
            }
            sender.handle_timeout(now);
            prop_assert!(sender.poll_timeout().is_none_or(|at| at > now));
            let of = |stream| sender.subscribers(stream).count();
            prop_assert!((1..=4).all(|stream| of(stream) <= 2) && (1..=4).map(of).sum::<usize>() <= 5);
            for stream in 1..=4 {
                let to: Vec<_> = sender.subscribers(stream).map(|known| known.to).collect();
                prop_assert!(to.iter().all(|one| to.iter().filter(|other| *other == one).count() == 1));
            }
        }
    }
}
