//! Both ends of a subscription, without a network between them: who says what, when, and how often.

use std::net::{Ipv4Addr, SocketAddrV4};

use wireloom_oat::{
    Admission, Message, Offered, Op, Reason, SenderConfig, SenderEvent, Subscription, SubscriptionConfig,
    SubscriptionEvent, SubscriptionSender, SubscriptionState, Why,
};
use wireloom_units::{Channels, Nanos, Samples, Ssrc};

const PORT: u16 = 50_000;

fn ms(millis: u64) -> Nanos {
    Nanos::from_millis(millis)
}

fn host(number: u8, port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, number), port)
}

fn stream(number: u32, channels: u16) -> Offered {
    Offered {
        stream: number,
        port: PORT + u16::try_from(number).expect("small") - 1,
        ssrc: Ssrc(0xa3f2_0000 + number),
        samples_per_packet: Samples(if channels > 10 { 16 } else { 48 }),
        channels: Channels::new(channels).expect("in range"),
        payload_type: 97,
        admission: Admission::Everybody,
    }
}

fn sender(streams: &[Offered]) -> SubscriptionSender {
    let mut sender = SubscriptionSender::new(&SenderConfig::new(*b"sixteen octets!!"));
    streams.iter().for_each(|stream| sender.offer(*stream).expect("there is room"));
    sender
}

fn wish(port: u16) -> SubscriptionConfig {
    SubscriptionConfig { sender: host(1, PORT), stream: 0, port, flags: 0, lease_s: 0, transaction: 7 }
}

/// Carries messages both ways until neither says anything; counts what passed.
fn talk(
    now: Nanos,
    sender: &mut SubscriptionSender,
    from: SocketAddrV4,
    receiver: &mut Subscription,
) -> usize {
    let mut passed = 0;
    while let Some((to, bytes)) = receiver.poll_transmit() {
        passed += 1;
        if let Ok(Some(answer)) = sender.handle_datagram(now, to.port(), from, &bytes) {
            receiver.handle_datagram(now, to, &answer).expect("a message");
        }
        assert!(passed < 20, "they talk for ever");
    }
    passed
}

#[test]
fn a_lease_is_granted_renewed_and_given_back() {
    let mut sender = sender(&[stream(1, 2)]);
    let from = host(9, 40_000);
    let mut receiver = Subscription::new(ms(0), wish(50_064));
    assert_eq!(talk(ms(0), &mut sender, from, &mut receiver), 2, "asked, and asked with the cookie");
    assert_eq!(receiver.state(), SubscriptionState::Active);
    let granted = SubscriptionEvent::Granted {
        ssrc: Ssrc(0xa3f2_0001),
        samples_per_packet: Samples(48),
        channels: Channels::new(2),
        payload_type: 97,
    };
    assert_eq!(receiver.poll_event(), Some(granted));
    let Some(SenderEvent::Started(subscriber)) = sender.poll_event() else { panic!("nothing began") };
    assert_eq!((subscriber.stream, subscriber.to), (1, host(9, 50_064)));

    // Ten minutes of renewals, over nine changes of the cookie's epoch.
    let mut now = ms(0);
    let mut passed = 0;
    while now < ms(600_000) {
        now = receiver.poll_timeout().expect("it is renewed");
        receiver.handle_timeout(now);
        passed += talk(now, &mut sender, from, &mut receiver);
        assert_eq!(receiver.state(), SubscriptionState::Active);
    }
    assert!((60..100).contains(&passed), "{passed} messages");
    assert_eq!(sender.poll_event(), None, "the flow never stopped or doubled");
    assert_eq!(receiver.poll_event(), None, "a renewal is no news");

    receiver.handle_end(now);
    let mut farewells = 0;
    while let Some(due) = receiver.poll_timeout() {
        farewells += talk(due, &mut sender, from, &mut receiver);
        receiver.handle_timeout(due);
    }
    farewells += talk(now, &mut sender, from, &mut receiver);
    assert_eq!((farewells, receiver.state()), (3, SubscriptionState::Ended));
    let stopped = sender.poll_event();
    assert!(
        matches!(stopped, Some(SenderEvent::Stopped(end, Why::Unsubscribed)) if end.to == subscriber.to),
        "{stopped:?}"
    );
    assert_eq!(sender.poll_event(), None);
}

#[test]
fn who_is_not_renewed_is_dropped_at_the_end_of_the_lease() {
    let mut sender = sender(&[stream(1, 2)]);
    let mut receiver = Subscription::new(ms(0), SubscriptionConfig { lease_s: 5, ..wish(50_064) });
    talk(ms(0), &mut sender, host(9, 40_000), &mut receiver);
    assert_eq!(sender.poll_timeout(), Some(ms(5_000)));
    sender.handle_timeout(ms(4_999));
    assert_eq!(sender.subscribers(1).count(), 1);
    sender.handle_timeout(ms(5_000));
    assert_eq!(sender.subscribers(1).count(), 0);
    assert_eq!(sender.poll_timeout(), None);
}

#[test]
fn the_fifth_receiver_of_a_stream_finds_no_slot_until_one_leaves() {
    let mut sender = sender(&[stream(1, 2)]);
    let mut receivers: Vec<_> = (0..5).map(|port| Subscription::new(ms(0), wish(50_064 + port))).collect();
    for (number, receiver) in receivers.iter_mut().enumerate() {
        talk(ms(0), &mut sender, host(number as u8 + 10, 40_000), receiver);
    }
    let states: Vec<_> = receivers.iter().map(Subscription::state).collect();
    assert_eq!(states[..4], [SubscriptionState::Active; 4]);
    assert_eq!(states[4], SubscriptionState::Refused(Reason::NoSlot));
    assert_eq!(receivers[4].poll_event(), Some(SubscriptionEvent::Refused(Reason::NoSlot)));

    sender.handle_unreachable(host(10, 50_064));
    let due = receivers[4].poll_timeout().expect("it asks again");
    assert_eq!(due, ms(10_000));
    receivers[4].handle_timeout(due);
    talk(due, &mut sender, host(14, 40_000), &mut receivers[4]);
    assert_eq!(receivers[4].state(), SubscriptionState::Active);
}

#[test]
fn the_port_of_the_sender_is_never_oversubscribed() {
    let mut sender = SubscriptionSender::new(&SenderConfig { per_stream: 8, ..SenderConfig::new([1; 16]) });
    sender.offer(stream(1, 16)).expect("sixteen channels of a third of a millisecond fit");
    let mut states = Vec::new();
    for number in 0..5 {
        let mut receiver = Subscription::new(ms(0), wish(50_064));
        talk(ms(0), &mut sender, host(10 + number, 40_000), &mut receiver);
        states.push(receiver.state());
    }
    assert_eq!(states[..3], [SubscriptionState::Active; 3], "three times 20.3 of 70 Mbit/s");
    assert_eq!(states[3..], [SubscriptionState::Refused(Reason::NoBandwidth); 2]);
}

#[test]
fn packets_that_would_be_fragmented_cannot_be_offered() {
    let mut sender = sender(&[]);
    let refused = sender.offer(Offered { samples_per_packet: Samples(48), ..stream(1, 16) });
    assert_eq!(
        refused.expect_err("2304 octets").to_string(),
        "a packet of 2304 payload octets is longer than 1440"
    );
    assert!(sender.offer(stream(1, 16)).is_ok());
    assert!(sender.offer(Offered { stream: 0, ..stream(1, 2) }).is_err());
}

#[test]
fn refusals_say_why() {
    let mut sender = sender(&[
        stream(1, 2),
        Offered { admission: Admission::MulticastOnly, ..stream(2, 2) },
        Offered { admission: Admission::Nobody, ..stream(3, 2) },
    ]);
    for (stream, reason) in [(2, Reason::MulticastOnly), (3, Reason::Policy), (99, Reason::UnknownStream)] {
        let mut receiver = Subscription::new(ms(0), SubscriptionConfig { stream, ..wish(50_064) });
        talk(ms(0), &mut sender, host(9, 40_000), &mut receiver);
        assert_eq!(receiver.state(), SubscriptionState::Refused(reason));
    }
    let mut newer = Message { transaction: 5, ..Message::new(Op::Subscribe) }.emit();
    newer[4] = 2;
    let answer =
        sender.handle_datagram(ms(5_000), PORT, host(9, 40_000), &newer).expect("ours").expect("answered");
    let answer = Message::parse(&answer).expect("a message");
    assert_eq!(
        (answer.op, answer.transaction, Reason::from_wire(answer.reason)),
        (Op::Nak, 5, Reason::Version)
    );
}

#[test]
fn the_stream_of_the_port_and_its_number_are_one_flow() {
    let mut sender = sender(&[stream(1, 2), stream(2, 2)]);
    let from = host(9, 40_000);
    for stream in [0, 1, 0] {
        let mut receiver = Subscription::new(ms(0), SubscriptionConfig { stream, ..wish(50_064) });
        talk(ms(0), &mut sender, from, &mut receiver);
        assert_eq!(receiver.state(), SubscriptionState::Active);
    }
    assert_eq!((sender.subscribers(1).count(), sender.subscribers(2).count()), (1, 0));
}

#[test]
fn a_stranger_gets_one_answer_no_longer_than_the_question_and_leaves_no_trace() {
    let mut sender = sender(&[stream(1, 2)]);
    let asked = Message { port: 50_064, ..Message::new(Op::Subscribe) };
    let mut answers = 0;
    for count in 0..1000_u32 {
        let question = Message { transaction: count, cookie: u64::from(count % 2), ..asked }.emit();
        let answer = sender.handle_datagram(ms(u64::from(count) / 100), PORT, host(66, 40_000), &question);
        if let Some(answer) = answer.expect("a message") {
            assert!(answer.len() <= question.len());
            answers += 1;
        }
    }
    assert_eq!(answers, 10, "in a second, to one address");
    assert_eq!((sender.subscribers(1).count(), sender.poll_event()), (0, None));

    // From ever other addresses: a hundred in a second in all.
    let mut answers = 0;
    for number in 0..2000_u32 {
        let from = SocketAddrV4::new(Ipv4Addr::from(0x0a00_0000 + number), 40_000);
        answers += sender.handle_datagram(ms(5_000), PORT, from, &asked.emit()).expect("ours").iter().count();
    }
    assert_eq!(answers, 100);
}

#[test]
fn nobody_but_the_receiver_ends_a_flow_and_no_answer_is_answered() {
    let mut sender = sender(&[stream(1, 2)]);
    let mut receiver = Subscription::new(ms(0), wish(50_064));
    talk(ms(0), &mut sender, host(9, 40_000), &mut receiver);
    let end = Message { port: 50_064, cookie: 12345, ..Message::new(Op::Unsubscribe) };
    for cookie in [0, 12345] {
        let answer = sender.handle_datagram(ms(1), PORT, host(9, 40_000), &Message { cookie, ..end }.emit());
        assert_eq!(answer, Ok(None));
    }
    assert_eq!(sender.subscribers(1).count(), 1);
    assert_eq!(
        sender.handle_datagram(ms(1), PORT, host(9, 50_064), &wireloom_oat::OPEN_WAY),
        Err(wireloom_oat::MessageError::Op(0)),
    );
    for op in [Op::Ack, Op::Nak, Op::Challenge] {
        assert_eq!(sender.handle_datagram(ms(1), PORT, host(8, 1), &Message::new(op).emit()), Ok(None));
    }
    for from in [
        host(9, 0),
        SocketAddrV4::new(Ipv4Addr::BROADCAST, 9),
        SocketAddrV4::new(Ipv4Addr::new(239, 1, 1, 1), 9),
    ] {
        let asked = Message::new(Op::Subscribe).emit();
        assert_eq!(sender.handle_datagram(ms(1), PORT, from, &asked), Ok(None), "{from}");
    }
}

#[test]
fn an_unanswered_wish_is_repeated_five_times_and_tried_again_after_ten_seconds() {
    let mut receiver = Subscription::new(ms(0), wish(50_064));
    let mut left = Vec::new();
    let mut now = ms(0);
    while now < ms(40_000) {
        if receiver.poll_transmit().is_some() {
            left.push(now.0 / 1_000_000);
        }
        now = receiver.poll_timeout().expect("it goes on");
        receiver.handle_timeout(now);
    }
    assert_eq!(left[..6], [0, 250, 750, 1750, 3750, 15_750]);
    assert_eq!(left.len(), 15, "three series in forty seconds: {left:?}");
    assert_eq!(receiver.poll_event(), Some(SubscriptionEvent::Unreachable));
}

#[test]
fn a_sender_that_forgot_us_is_asked_again_when_the_audio_stops() {
    let mut first = sender(&[stream(1, 2)]);
    let from = host(9, 40_000);
    let mut receiver = Subscription::new(ms(0), wish(50_064));
    talk(ms(0), &mut first, from, &mut receiver);
    assert!(receiver.poll_event().is_some());

    let mut reborn = SubscriptionSender::new(&SenderConfig::new([9; 16]));
    reborn.offer(stream(1, 2)).expect("there is room");
    receiver.handle_stalled(ms(500));
    assert!(receiver.poll_transmit().is_none(), "not within a second of the grant");
    receiver.handle_stalled(ms(2_000));
    talk(ms(2_000), &mut reborn, from, &mut receiver);
    assert_eq!(receiver.state(), SubscriptionState::Active);
    assert!(matches!(receiver.poll_event(), Some(SubscriptionEvent::Granted { .. })));
    assert_eq!(reborn.subscribers(1).count(), 1);

    // A renewal finds it out too: the cookie is not taken, and the series begins anew.
    let mut third = SubscriptionSender::new(&SenderConfig::new([3; 16]));
    third.offer(stream(1, 2)).expect("there is room");
    let due = receiver.poll_timeout().expect("a renewal");
    receiver.handle_timeout(due);
    assert_eq!(talk(due, &mut third, from, &mut receiver), 3, "old cookie, none, new one");
    assert_eq!(third.subscribers(1).count(), 1);
}

#[test]
fn a_sender_that_never_settles_cannot_make_us_talk_for_ever() {
    for op in [Op::Challenge, Op::Nak] {
        let mut receiver = Subscription::new(ms(0), wish(50_064));
        let (mut now, mut sent, mut cookie) = (ms(0), 0, 1);
        while now < ms(10_000) {
            while let Some((to, bytes)) = receiver.poll_transmit() {
                sent += 1;
                cookie += 1;
                let asked = Message::parse(&bytes).expect("ours");
                let challenge = Message { op: Op::Challenge, cookie, ..asked };
                receiver.handle_datagram(now, to, &challenge.emit()).expect("a message");
                let reason = Reason::BadCookie.to_wire();
                let answer = Message { op, cookie: cookie + 1000, reason, ..asked };
                receiver.handle_datagram(now, to, &answer.emit()).expect("a message");
            }
            now = receiver.poll_timeout().expect("it goes on");
            receiver.handle_timeout(now);
        }
        assert!(sent <= 8, "{op:?}: {sent} datagrams in ten seconds");
    }
}

#[test]
fn answers_of_others_and_to_other_questions_change_nothing() {
    let mut receiver = Subscription::new(ms(0), SubscriptionConfig { stream: 4, ..wish(50_064) });
    let (to, question) = receiver.poll_transmit().expect("asked");
    let question = Message::parse(&question).expect("ours");
    let ack = Message { op: Op::Ack, cookie: 5, ..question };
    for (from, message) in [
        (host(2, PORT), Message { op: Op::Challenge, cookie: 5, ..question }),
        (host(1, PORT + 1), Message { op: Op::Challenge, cookie: 5, ..question }),
        (to, Message { op: Op::Challenge, cookie: 5, transaction: 99, ..question }),
        (to, Message { op: Op::Challenge, cookie: 5, stream: 99, ..question }),
        (to, ack),
        (to, Message { op: Op::Subscribe, ..question }),
    ] {
        receiver.handle_datagram(ms(1), from, &message.emit()).expect("a message");
        assert_eq!((receiver.state(), receiver.poll_transmit()), (SubscriptionState::Asking, None));
    }
}

/// Asks and answers until the subscription is granted, at `now`; gives the cookie that the sender took.
fn grant(now: Nanos, receiver: &mut Subscription, cookie: u64) {
    let (to, asked) = receiver.poll_transmit().expect("asked");
    let asked = Message::parse(&asked).expect("ours");
    receiver.handle_datagram(now, to, &Message { op: Op::Challenge, cookie, ..asked }.emit()).expect("ours");
    let (_, asked) = receiver.poll_transmit().expect("asked with the cookie");
    let ack = Message { op: Op::Ack, lease_s: 5, ..Message::parse(&asked).expect("ours") };
    receiver.handle_datagram(now, to, &ack.emit()).expect("ours");
    assert_eq!(receiver.state(), SubscriptionState::Active);
}

#[test]
fn a_refused_cookie_that_is_told_twice_is_refused_once() {
    let mut receiver = Subscription::new(ms(0), wish(50_064));
    grant(ms(0), &mut receiver, 5);
    assert!(matches!(receiver.poll_event(), Some(SubscriptionEvent::Granted { .. })));
    let due = receiver.poll_timeout().expect("a renewal");
    receiver.handle_timeout(due);
    // The answer is late: the renewal leaves twice, and is answered twice.
    let (to, first) = receiver.poll_transmit().expect("renewed");
    let due = receiver.poll_timeout().expect("repeated");
    receiver.handle_timeout(due);
    receiver.poll_transmit().expect("renewed again");
    let first = Message::parse(&first).expect("ours");
    let nak = Message { op: Op::Nak, reason: Reason::BadCookie.to_wire(), cookie: 0, ..first }.emit();
    receiver.handle_datagram(due, to, &nak).expect("a message");
    receiver.handle_datagram(due, to, &nak).expect("a message");
    assert_eq!(receiver.state(), SubscriptionState::Active, "it begins anew, and the flow goes on");
    grant(due, &mut receiver, 6);
    receiver.handle_datagram(due, to, &nak).expect("a message");
    assert_eq!((receiver.state(), receiver.poll_event()), (SubscriptionState::Active, None));
}

#[test]
fn who_is_asked_for_the_stream_of_its_port_may_say_its_number() {
    let mut receiver = Subscription::new(ms(0), wish(50_064));
    let (to, asked) = receiver.poll_transmit().expect("asked");
    let asked = Message { stream: 17, ..Message::parse(&asked).expect("ours") };
    receiver
        .handle_datagram(ms(1), to, &Message { op: Op::Challenge, cookie: 5, ..asked }.emit())
        .expect("ours");
    let (_, again) = receiver.poll_transmit().expect("asked with the cookie");
    let again = Message::parse(&again).expect("ours");
    assert_eq!((again.stream, again.cookie), (0, 5), "the cookie is of this very question");
    let ack = Message { op: Op::Ack, stream: 17, ..again };
    receiver.handle_datagram(ms(2), to, &ack.emit()).expect("ours");
    assert_eq!(receiver.state(), SubscriptionState::Active);
}

#[test]
fn an_answer_has_nothing_of_the_question_that_has_no_place_in_it() {
    let mut sender = sender(&[stream(1, 2)]);
    let from = host(9, 40_000);
    let odd = Message { flags: 3, reason: 9, channels: 77, port: 50_064, ..Message::new(Op::Subscribe) };
    let challenge = sender.handle_datagram(ms(0), PORT, from, &odd.emit()).expect("ours").expect("answered");
    let cookie = Message::parse(&challenge).expect("ours").cookie;
    let question = Message { cookie, ..odd }.emit();
    let ack = sender.handle_datagram(ms(0), PORT, from, &question).expect("ours").expect("granted");
    let ack = Message::parse(&ack).expect("ours");
    assert_eq!((ack.op, ack.flags, ack.reason, ack.channels), (Op::Ack, 0, 0, 2));
}

#[test]
fn a_sender_that_starts_again_goes_on_with_the_receivers_of_before() {
    let mut first = sender(&[stream(1, 2)]);
    let from = host(9, 40_000);
    let mut receiver = Subscription::new(ms(0), wish(50_064));
    talk(ms(0), &mut first, from, &mut receiver);

    let config = SenderConfig { per_stream: 2, ..SenderConfig::new([9; 16]) };
    let mut second = SubscriptionSender::new(&config);
    second.adopt(ms(1), 1, host(9, 50_064));
    assert_eq!(second.subscribers(1).count(), 0, "nothing is offered yet");
    second.offer(stream(1, 2)).expect("there is room");
    for port in [50_064, 50_064, 50_065, 50_066] {
        second.adopt(ms(1), 1, host(9, port));
    }
    assert_eq!(second.subscribers(1).map(|it| it.to.port()).collect::<Vec<_>>(), [50_064, 50_065]);
    let goodbye = Message { port: 50_064, ..Message::new(Op::Unsubscribe) };
    assert_eq!(second.handle_datagram(ms(1), PORT, from, &goodbye.emit()), Ok(None));
    assert_eq!(second.subscribers(1).count(), 2, "without a cookie nobody ends what was adopted");
    // The next renewal is by a cookie that the second sender never gave; the flow goes on all the same.
    let mut now = ms(1);
    while now < ms(90_000) {
        now = receiver.poll_timeout().expect("it renews").max(now);
        receiver.handle_timeout(now);
        talk(now, &mut second, from, &mut receiver);
        assert_eq!(second.subscribers(1).next().map(|it| it.to), Some(host(9, 50_064)));
    }
    assert_eq!(second.subscribers(1).count(), 1, "the other one never came back");
    let events: Vec<_> = std::iter::from_fn(|| second.poll_event()).collect();
    assert!(
        matches!(
            events[..],
            [SenderEvent::Started(_), SenderEvent::Started(_), SenderEvent::Stopped(_, Why::Expired)]
        ),
        "{events:?}"
    );
}

#[test]
fn who_comes_and_goes_all_the_time_starts_no_more_than_ten_flows_a_second() {
    let mut sender = sender(&[stream(1, 2)]);
    let from = host(66, 40_000);
    let ask = Message { port: 50_064, ..Message::new(Op::Subscribe) };
    let answer = sender.handle_datagram(ms(0), PORT, from, &ask.emit()).expect("a message");
    let cookie = Message::parse(&answer.expect("a challenge")).expect("ours").cookie;
    let mut started = 0;
    for _ in 0..500 {
        for op in [Op::Subscribe, Op::Unsubscribe] {
            let message = Message { op, cookie, ..ask };
            sender.handle_datagram(ms(1), PORT, from, &message.emit()).expect("a message");
        }
        let events = std::iter::from_fn(|| sender.poll_event());
        started += events.filter(|event| matches!(event, SenderEvent::Started(_))).count();
    }
    assert_eq!(started, 10);
    // Renewing is no start, and others are not held up.
    let mut receiver = Subscription::new(ms(1), wish(50_064));
    talk(ms(1), &mut sender, host(9, 40_000), &mut receiver);
    assert_eq!(receiver.state(), SubscriptionState::Active);
    let subscribe = Message { cookie, ..ask }.emit();
    for _ in 0..100 {
        let answer = sender.handle_datagram(ms(1_001), PORT, from, &subscribe).expect("a message");
        assert_eq!(Message::parse(&answer.expect("granted")).expect("ours").op, Op::Ack);
    }
}
