//! The messages of the proposal, octet by octet.

use wireloom_oat::{Message, MessageError, Op, Reason};
use wireloom_units::Ssrc;

fn vector(name: &str) -> Vec<u8> {
    let path = format!("{}/../../tests/vectors/oat/{name}.hex", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let digits: Vec<u8> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(str::bytes)
        .filter(u8::is_ascii_hexdigit)
        .collect();
    let octet =
        |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("two digits");
    digits.chunks(2).map(octet).collect()
}

const COOKIE: u64 = 0x1122_3344_5566_7788;
const ASKED: Message =
    Message { transaction: 0x0102_0304, lease_s: 30, port: 50_064, ..Message::new(Op::Subscribe) };

#[test]
fn the_messages_of_the_proposal_are_read_and_written() {
    let challenge = Message { transaction: ASKED.transaction, cookie: COOKIE, ..Message::new(Op::Challenge) };
    let ack = Message {
        op: Op::Ack,
        cookie: COOKIE,
        ssrc: Ssrc(0xa3f2_0001),
        samples_per_packet: 48,
        channels: 2,
        payload_type: 97,
        ..ASKED
    };
    let nak =
        Message { transaction: ASKED.transaction, reason: Reason::NoSlot.to_wire(), ..Message::new(Op::Nak) };
    let end =
        Message { transaction: 0x0102_0305, cookie: COOKIE, port: 50_064, ..Message::new(Op::Unsubscribe) };
    for (name, message) in [
        ("v1-subscribe-first", ASKED),
        ("v2-challenge", challenge),
        ("v3-subscribe-again", Message { cookie: COOKIE, ..ASKED }),
        ("v4-ack", ack),
        ("v5-nak-no-slot", nak),
        ("v6-unsubscribe", end),
    ] {
        assert_eq!(Message::parse(&vector(name)), Ok(message), "{name}");
        assert_eq!(message.emit().as_slice(), vector(name), "{name}");
    }
}

#[test]
fn what_is_no_message_is_refused_in_words() {
    let good = vector("v1-subscribe-first");
    for length in 0..good.len() {
        assert_eq!(Message::parse(&good[..length]), Err(MessageError::Length(length)));
    }
    assert_eq!(Message::parse(&[good.as_slice(), &[0]].concat()), Err(MessageError::Length(49)));
    let changed = |at: usize, octet: u8| {
        let mut bytes = good.clone();
        bytes[at] = octet;
        Message::parse(&bytes).expect_err("changed").to_string()
    };
    assert_eq!(changed(0, 0x80), "no subscription message: it does not begin with OATS");
    assert_eq!(changed(4, 2), "subscription message of version 2, not 1");
    assert_eq!(changed(5, 9), "subscription message of unknown operation 9");
    let mut tail = good.clone();
    tail[47] = 0xff;
    assert_eq!(Message::parse(&tail), Ok(ASKED), "what a later version puts at the end does not hurt");
}

#[test]
fn reasons_keep_their_numbers() {
    for number in 0..=300 {
        assert_eq!(Reason::from_wire(number).to_wire(), number);
        assert!(!Reason::from_wire(number).to_string().is_empty());
    }
}
