//! The client against servers as real units are.

use wireloom_ravenna::{ClientEvent, Failure, Location, Message, Reader, RtspClient, Start};
use wireloom_units::Nanos;

const SDP: &[u8] = b"v=0\r\no=- 1 1 IN IP4 192.0.2.31\r\n";

fn at(seconds: u64) -> Nanos {
    Nanos::from_secs(seconds)
}

fn sent(client: &mut RtspClient) -> Vec<Message> {
    let mut reader = Reader::new();
    while let Some(bytes) = client.poll_transmit() {
        reader.handle_bytes(&bytes).expect("ours parse");
    }
    std::iter::from_fn(|| reader.poll_message()).collect()
}

fn events(client: &mut RtspClient) -> Vec<ClientEvent> {
    std::iter::from_fn(|| client.poll_event()).collect()
}

fn line(message: &Message) -> String {
    match &message.start {
        Start::Request { method, uri, .. } => format!("{method} {uri}"),
        Start::Response { status, .. } => status.to_string(),
    }
}

fn asked(client: &mut RtspClient) -> Vec<String> {
    sent(client).iter().map(line).collect()
}

/// Answers request `cseq` with the description.
fn ok(cseq: u32) -> Vec<u8> {
    Message::response(200).with("CSeq", cseq).with_body("application/sdp", SDP).emit()
}

fn described(name: &str) -> ClientEvent {
    ClientEvent::Described { name: name.to_owned(), body: SDP.to_vec() }
}

#[test]
fn sessions_are_asked_for_one_after_the_other_and_again_every_minute() {
    let mut client = RtspClient::new("192.0.2.31:8854");
    assert!(client.describe(at(0), "Desk L: 1/2") && client.describe(at(0), "Mix"));
    assert_eq!(asked(&mut client), ["DESCRIBE rtsp://192.0.2.31:8854/by-name/Desk%20L%3A%201%2F2"]);
    client.handle_bytes(at(1), &ok(1));
    assert_eq!(events(&mut client), [described("Desk L: 1/2")]);
    assert_eq!(asked(&mut client), ["DESCRIBE rtsp://192.0.2.31:8854/by-name/Mix"]);
    client.handle_bytes(at(2), &ok(2));
    assert_eq!(events(&mut client), [described("Mix")]);
    // Quiet: a sign of life, then both again.
    assert_eq!(client.poll_timeout(), Some(at(31)));
    client.handle_timeout(at(31));
    assert_eq!(asked(&mut client), ["GET_PARAMETER rtsp://192.0.2.31:8854/by-name/Desk%20L%3A%201%2F2"]);
    client.handle_bytes(at(31), b"RTSP/1.0 200 OK\r\nCSeq: 3\r\n\r\n");
    assert_eq!(client.poll_timeout(), Some(at(61)));
    client.handle_timeout(at(61));
    assert_eq!(sent(&mut client).len(), 1);
    client.handle_bytes(at(61), &ok(4));
    client.handle_timeout(at(62));
    assert_eq!(asked(&mut client), ["DESCRIBE rtsp://192.0.2.31:8854/by-name/Mix"]);
}

#[test]
fn odd_answers_of_real_units_are_understood() {
    for (what, bytes) in [
        ("no CSeq", [b"RTSP/1.0 200 OK\r\ncontent-length: 32\r\n\r\n", SDP].concat()),
        ("a bare OK first", [&b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n"[..], &ok(1)].concat()),
        ("an old answer first", [ok(77), ok(1)].concat()),
        ("100 first", [&b"RTSP/1.0 100 Continue\r\nCSeq: 1\r\n\r\n"[..], &ok(1)].concat()),
        ("LF only", [&b"\n\nRTSP/1.0 200 OK\ncseq: 1\ncontent-length:32\n\n"[..], SDP].concat()),
    ] {
        let mut client = RtspClient::new("192.0.2.31:554");
        client.describe(at(0), "A");
        client.handle_bytes(at(0), &bytes);
        assert_eq!(events(&mut client), [described("A")], "{what}");
    }
}

#[test]
fn a_body_without_length_ends_with_the_connection_or_with_patience() {
    let head = b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Type: application/sdp\r\n\r\n";
    let begin = || {
        let mut client = RtspClient::new("192.0.2.31:554");
        client.describe(at(0), "A");
        client.handle_bytes(at(0), &[&head[..], SDP].concat());
        assert_eq!(events(&mut client), []);
        client
    };
    let mut client = begin();
    client.handle_end(at(1));
    assert_eq!(events(&mut client), [described("A"), ClientEvent::Failed(Failure::Closed)]);
    let mut client = begin();
    client.handle_timeout(at(10));
    assert_eq!(events(&mut client), [described("A")]);
}

#[test]
fn pushed_descriptions_are_answered_and_handed_on() {
    let mut client = RtspClient::new("192.0.2.31:554");
    client.describe(at(0), "A");
    client.handle_bytes(at(0), &ok(1));
    sent(&mut client);
    events(&mut client);
    let push = Message::request("ANNOUNCE", "").with("CSeq", 17).with_body("application/sdp", SDP);
    client.handle_bytes(at(1), &push.emit());
    client.handle_bytes(at(1), &Message::request("ANNOUNCE", "x").with_body("application/sdp", SDP).emit());
    client.handle_bytes(
        at(1),
        b"GET_PARAMETER * RTSP/1.0\r\nCSeq: 18\r\n\r\nPLAY * RTSP/1.0\r\nCSeq: 19\r\n\r\n",
    );
    let announced =
        |uri: &str| ClientEvent::Announced { name: None, uri: uri.to_owned(), body: SDP.to_vec() };
    assert_eq!(events(&mut client), [announced(""), announced("x")]);
    let answers: Vec<_> = sent(&mut client).iter().map(|it| (line(it), it.cseq())).collect();
    let expected = [("200", Some(17)), ("200", None), ("200", Some(18)), ("501", Some(19))];
    assert_eq!(answers, expected.map(|(status, cseq)| (status.to_owned(), cseq)));
}

#[test]
fn a_push_names_its_session_by_name_or_as_the_server_called_it() {
    let mut client = RtspClient::new("192.0.2.31:554");
    client.describe(at(0), "A: 1");
    client.describe(at(0), "B");
    let answer =
        Message::response(200).with("CSeq", 1).with("Content-Base", "rtsp://mixer.local:554/by-id/7/");
    client.handle_bytes(at(0), &answer.with_body("application/sdp", SDP).emit());
    client.handle_bytes(at(0), &ok(2));
    events(&mut client);
    for (uri, session) in [
        ("rtsp://192.0.2.31:554/by-name/A%3a%201", Some("A: 1")),
        ("/by-name/B/", Some("B")),
        ("rtsp://192.0.2.31/by-id/7", Some("A: 1")),
        ("rtsp://192.0.2.31:554/by-id/8", None),
        ("rtsp://192.0.2.31:554/by-name/C", None),
        ("rtsp://192.0.2.31:554/", None),
        ("", None),
    ] {
        client
            .handle_bytes(at(1), &Message::request("ANNOUNCE", uri).with_body("application/sdp", SDP).emit());
        let name = session.map(str::to_owned);
        let announced = ClientEvent::Announced { name, uri: uri.to_owned(), body: SDP.to_vec() };
        assert_eq!(events(&mut client), [announced], "{uri}");
    }
}

#[test]
fn a_session_is_asked_for_by_the_same_url_whatever_the_answer_calls_it() {
    let url = "rtsp://192.0.2.31:554/by-name/A";
    let mut client = RtspClient::new("192.0.2.31:554");
    client.describe(at(0), "A");
    assert_eq!(asked(&mut client), [format!("DESCRIBE {url}")]);
    let answer = Message::response(200).with("CSeq", 1).with("Content-Base", format!("{url}/"));
    client.handle_bytes(at(0), &answer.with_body("application/sdp", SDP).emit());
    assert_eq!(events(&mut client), [described("A")]);
    client.handle_timeout(at(30));
    assert_eq!(asked(&mut client), [format!("GET_PARAMETER {url}")]);
    client.handle_bytes(at(30), b"RTSP/1.0 200 OK\r\nCSeq: 2\r\n\r\n");
    client.handle_timeout(at(60));
    assert_eq!(asked(&mut client), [format!("DESCRIBE {url}")]);
    // Where a redirection led, it is asked for from then on.
    let redirected = "rtsp://192.0.2.31:554/by-id/7";
    let answer = Message::response(302).with("CSeq", 3).with("Location", redirected);
    client.handle_bytes(at(60), &answer.emit());
    assert_eq!(asked(&mut client), [format!("DESCRIBE {redirected}")]);
    let answer = Message::response(200).with("CSeq", 4).with("Content-Base", url);
    client.handle_bytes(at(60), &answer.with_body("application/sdp", SDP).emit());
    client.handle_timeout(at(90));
    assert_eq!(asked(&mut client), [format!("GET_PARAMETER {redirected}")]);
}

#[test]
fn redirections_between_descriptions_do_not_add_up() {
    let mut client = RtspClient::new("192.0.2.31:554");
    client.describe(at(0), "A");
    for minute in 0..10_u32 {
        let url = format!("rtsp://192.0.2.31:554/by-id/{minute}");
        let answer = Message::response(302).with("CSeq", 2 * minute + 1).with("Location", url);
        client.handle_bytes(at(60 * u64::from(minute)), &answer.emit());
        client.handle_bytes(at(60 * u64::from(minute)), &ok(2 * minute + 2));
        assert_eq!(events(&mut client), [described("A")], "minute {minute}");
        client.handle_timeout(at(60 * u64::from(minute + 1)));
    }
}

#[test]
fn a_description_that_is_too_long_concerns_its_own_session_only() {
    let mut client = RtspClient::new("192.0.2.31:554");
    assert!(client.describe(at(0), "Long") && client.describe(at(0), "B"));
    let long = [SDP, &b"a=x\r\n".repeat(4000)].concat();
    let answer = |cseq: u32| Message::response(200).with("CSeq", cseq).with_body("application/sdp", &long);
    client.handle_bytes(at(0), &[answer(1).emit(), ok(2)].concat());
    let cut = || long[..8193].to_vec();
    assert_eq!(
        events(&mut client),
        [ClientEvent::Described { name: "Long".to_owned(), body: cut() }, described("B")]
    );
    let push = Message::request("ANNOUNCE", "x").with("CSeq", 1).with_body("application/sdp", &long);
    client.handle_bytes(at(1), &push.emit());
    assert_eq!(
        events(&mut client),
        [ClientEvent::Announced { name: None, uri: "x".to_owned(), body: cut() }]
    );
}

#[test]
fn redirections_are_followed_here_and_told_elsewhere_but_never_for_ever() {
    let answer =
        |cseq: u32, url: &str| Message::response(302).with("CSeq", cseq).with("Location", url).emit();
    let mut client = RtspClient::new("192.0.2.31:554");
    client.describe(at(0), "A");
    assert_eq!(asked(&mut client), ["DESCRIBE rtsp://192.0.2.31:554/by-name/A"]);
    for cseq in 1..=3 {
        let url = format!("rtsp://192.0.2.31/by-id/{cseq}");
        client.handle_bytes(at(0), &answer(cseq, &url));
        assert_eq!(asked(&mut client), [format!("DESCRIBE {url}")]);
    }
    client.handle_bytes(at(0), &answer(4, "rtsp://192.0.2.31/by-id/4"));
    assert_eq!(events(&mut client), [ClientEvent::Refused { name: "A".to_owned(), status: 302 }]);
    let mut client = RtspClient::new("192.0.2.31:554");
    client.describe(at(0), "A");
    client.handle_bytes(at(0), &answer(1, "rtsp://192.0.2.9:8554/x"));
    let location = Location { address: [192, 0, 2, 9].into(), port: 8554, path: "/x".to_owned() };
    assert_eq!(events(&mut client), [ClientEvent::Moved { name: "A".to_owned(), location }]);
    assert!(!client.is_needed());
    // A host name is not resolved.
    let mut client = RtspClient::new("192.0.2.31:554");
    client.describe(at(0), "A");
    client.handle_bytes(at(0), &answer(1, "rtsp://other.example/x"));
    assert_eq!(events(&mut client), [ClientEvent::Refused { name: "A".to_owned(), status: 302 }]);
}

#[test]
fn silence_garbage_and_the_end_fail_once() {
    let begin = || {
        let mut client = RtspClient::new("192.0.2.31:554");
        client.describe(at(0), "A");
        client
    };
    let mut client = begin();
    assert_eq!(client.poll_timeout(), Some(at(10)));
    client.handle_timeout(at(10));
    client.handle_end(at(11));
    assert_eq!(events(&mut client), [ClientEvent::Failed(Failure::Silent)]);
    assert_eq!(client.poll_timeout(), None);
    let mut client = begin();
    client.handle_bytes(at(0), b"\xff\xff\r\n\r\n");
    assert!(matches!(events(&mut client)[..], [ClientEvent::Failed(Failure::Broken(_))]));
    let mut client = begin();
    client.handle_end(at(0));
    assert_eq!(events(&mut client), [ClientEvent::Failed(Failure::Closed)]);
}

#[test]
fn refused_sessions_wait_and_forgotten_ones_are_torn_down() {
    let mut client = RtspClient::new("192.0.2.31:554");
    client.describe(at(0), "A");
    client.handle_bytes(at(0), b"RTSP/1.0 404 Not Found\r\nCSeq: 1\r\n\r\n");
    assert_eq!(events(&mut client), [ClientEvent::Refused { name: "A".to_owned(), status: 404 }]);
    sent(&mut client);
    client.forget(at(1), "A");
    assert_eq!(asked(&mut client), ["TEARDOWN rtsp://192.0.2.31:554/by-name/A"]);
    assert!(!client.is_needed());
    // The keep-alive falls back to a method that every server knows.
    client.handle_bytes(at(1), b"RTSP/1.0 405 Method Not Allowed\r\nCSeq: 2\r\n\r\n");
    client.describe(at(1), "B");
    client.handle_bytes(at(1), &ok(3));
    sent(&mut client);
    client.handle_timeout(at(31));
    assert_eq!(asked(&mut client), ["OPTIONS rtsp://192.0.2.31:554/by-name/B"]);
}

#[test]
fn the_number_of_sessions_is_bounded() {
    let mut client = RtspClient::new("192.0.2.31:554");
    let taken = (0..1000).filter(|n| client.describe(at(0), &n.to_string())).count();
    assert_eq!(taken, 256);
    let flood = Message::request("OPTIONS", "*").emit().repeat(10_000);
    client.handle_bytes(at(0), &flood);
    assert!(sent(&mut client).len() <= 257);
}
