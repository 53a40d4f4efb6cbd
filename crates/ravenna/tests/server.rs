//! The server against clients, well-behaved and not, and against our own client.

use wireloom_ravenna::{
    ClientEvent, ConnectionId, Message, Output, Reader, RtspClient, RtspServer, Session, Start,
};
use wireloom_units::Nanos;

fn at(seconds: u64) -> Nanos {
    Nanos::from_secs(seconds)
}

fn session(id: u32, name: &str, version: u32) -> Session {
    let sdp = format!("v=0\r\no=- {id} {version} IN IP4 192.0.2.1\r\ns={name}\r\n");
    Session { id, name: name.to_owned(), sdp }
}

fn server() -> RtspServer {
    let mut server = RtspServer::new("192.0.2.1:8854");
    server.handle_sessions([session(7, "Drums: 1/2", 1), session(9, "Über", 1)]);
    server
}

fn open(server: &mut RtspServer) -> ConnectionId {
    server.handle_open(at(0), [192, 0, 2, 9].into()).expect("has room")
}

/// What the server sends to `id`, read; `None` at the end when it closed the connection.
fn output(server: &mut RtspServer, id: ConnectionId) -> Vec<Option<Message>> {
    let mut reader = Reader::new();
    let mut found = Vec::new();
    while let Some(output) = server.poll_output() {
        match output {
            Output::Send(to, bytes) => {
                assert_eq!(to, id);
                reader.handle_bytes(&bytes).expect("ours parse");
                found.extend(std::iter::from_fn(|| reader.poll_message()).map(Some));
            }
            Output::Close(to) => {
                assert_eq!(to, id);
                found.push(None);
            }
        }
    }
    found
}

fn status(message: &Message) -> u16 {
    match message.start {
        Start::Response { status, .. } => status,
        Start::Request { .. } => 0,
    }
}

fn ask(server: &mut RtspServer, id: ConnectionId, request: Message) -> Message {
    server.handle_bytes(at(1), id, &request.with("CSeq", 5).emit());
    match &output(server, id)[..] {
        [Some(answer)] => {
            assert_eq!(answer.cseq(), Some(5));
            answer.clone()
        }
        other => panic!("one answer, not {other:?}"),
    }
}

#[test]
fn every_request_has_its_answer() {
    let mut server = server();
    let id = open(&mut server);
    for (method, uri, header, expected) in [
        ("OPTIONS", "*", None, 200),
        ("DESCRIBE", "rtsp://192.0.2.1:8854/by-name/Drums%3A%201%2F2", None, 200),
        (
            "DESCRIBE",
            "rtsp://192.0.2.1/by-name/%C3%9Cber/",
            Some(("Accept", "text/plain, Application/SDP;q=1")),
            200,
        ),
        ("DESCRIBE", "/by-id/9", Some(("accept", "*/*")), 200),
        ("DESCRIBE", "rtsp://192.0.2.1/by-id/8", None, 404),
        ("DESCRIBE", "rtsp://192.0.2.1/by-name/Drums", None, 404),
        ("DESCRIBE", "rtsp://192.0.2.1/", None, 404),
        ("DESCRIBE", "rtsp://192.0.2.1/by-id/x", None, 400),
        ("DESCRIBE", "", None, 400),
        ("DESCRIBE", "rtsp://192.0.2.1/by-id/9", Some(("Accept", "text/html")), 406),
        ("DESCRIBE", "rtsp://192.0.2.1/by-id/9", Some(("Require", "implicit-play")), 551),
        ("GET_PARAMETER", "*", None, 200),
        ("TEARDOWN", "rtsp://192.0.2.1/by-id/9", None, 200),
        ("TEARDOWN", "rtsp://192.0.2.1/by-id/1", None, 404),
        ("TEARDOWN", "rtsp://192.0.2.1/by-id/9", Some(("Session", "1")), 454),
        ("PLAY", "rtsp://192.0.2.1/by-id/9", Some(("Session", "1")), 454),
        ("SETUP", "rtsp://192.0.2.1/by-id/9/0", None, 405),
        ("PLAY", "rtsp://192.0.2.1/by-id/9", None, 405),
        ("ANNOUNCE", "rtsp://192.0.2.1/by-id/9", None, 405),
        ("BREW", "*", None, 501),
    ] {
        let request = Message::request(method, uri);
        let request = header.map_or(request.clone(), |(name, value)| request.with(name, value));
        let answer = ask(&mut server, id, request);
        assert_eq!(status(&answer), expected, "{method} {uri} {header:?}");
        if method == "DESCRIBE" {
            assert_eq!(answer.header("Content-Type").is_some(), expected == 200);
            assert_eq!(!answer.body.is_empty(), expected == 200);
        }
        if matches!(method, "OPTIONS" | "BREW") {
            assert_eq!(answer.header("Public"), Some("DESCRIBE, OPTIONS, GET_PARAMETER, TEARDOWN"));
        }
    }
    let other_version = b"DESCRIBE /by-id/9 RTSP/2.0\r\nCSeq: 5\r\n\r\n";
    server.handle_bytes(at(1), id, other_version);
    assert_eq!(output(&mut server, id).iter().flatten().map(status).collect::<Vec<_>>(), [505]);
}

#[test]
fn who_described_a_session_is_told_when_it_changes_and_nobody_else() {
    let mut server = server();
    let id = open(&mut server);
    assert_eq!(status(&ask(&mut server, id, Message::request("DESCRIBE", "/by-id/7"))), 200);
    let other = open(&mut server);
    assert_eq!(status(&ask(&mut server, other, Message::request("OPTIONS", "*"))), 200);
    server.handle_sessions([session(7, "Drums: 1/2", 2), session(9, "Über", 2)]);
    let [Some(push)] = &output(&mut server, id)[..] else { panic!("one message") };
    let Start::Request { method, uri, .. } = &push.start else { panic!("a request") };
    assert_eq!((&**method, &**uri), ("ANNOUNCE", "rtsp://192.0.2.1:8854/by-name/Drums%3A%201%2F2"));
    assert_eq!(push.body, session(7, "Drums: 1/2", 2).sdp.as_bytes());
    // Its answer needs no answer; the same again is no change; what is torn down is no longer told.
    server.handle_bytes(at(2), id, b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n");
    server.handle_sessions([session(7, "Drums: 1/2", 2)]);
    assert_eq!(server.poll_output(), None);
    assert_eq!(status(&ask(&mut server, id, Message::request("TEARDOWN", "/by-id/7"))), 200);
    server.handle_sessions([session(7, "Drums: 1/2", 3)]);
    assert_eq!(server.poll_output(), None);
}

#[test]
fn connections_are_counted_and_idle_ones_closed() {
    let mut server = server();
    let of_one = (0..100).filter_map(|_| server.handle_open(at(0), [192, 0, 2, 9].into())).count();
    assert_eq!(of_one, 16);
    let all = (0..200).filter_map(|n| server.handle_open(at(0), [192, 0, 3, n].into())).count();
    assert_eq!(all, 63, "48 beside the sixteen, of which all but one make room");
    assert_eq!(std::iter::from_fn(|| server.poll_output()).count(), 15);
    // All idle ones go after two minutes, and make room.
    assert_eq!(server.poll_timeout(), Some(at(120)));
    server.handle_timeout(at(120));
    assert_eq!(std::iter::from_fn(|| server.poll_output()).count(), 64);
    let id = open(&mut server);
    // One that described something may be silent; one that never ends its request may not.
    ask(&mut server, id, Message::request("DESCRIBE", "/by-id/7"));
    assert_eq!(server.poll_timeout(), None);
    server.handle_bytes(at(200), id, b"OPTIONS * RT");
    server.handle_bytes(at(209), id, b"S");
    assert_eq!(server.poll_timeout(), Some(at(210)));
    server.handle_timeout(at(210));
    assert_eq!(server.poll_output(), Some(Output::Close(id)));
    server.handle_bytes(at(210), id, b"P/1.0\r\n\r\n");
    assert_eq!(server.poll_output(), None);
}

#[test]
fn garbage_is_answered_once_and_closed() {
    let long = Message::request("OPTIONS", "*").with_body("text/plain", &b"x".repeat(9000));
    for bytes in [b"x".repeat(9000), [long.emit(), long.emit()].concat()] {
        let mut server = server();
        let id = open(&mut server);
        server.handle_bytes(at(0), id, &bytes);
        let found = output(&mut server, id);
        assert!(matches!(&found[..], [Some(answer), None] if status(answer) == 400), "{found:?}");
    }
}

#[test]
fn our_client_follows_our_server() {
    let mut server = server();
    let id = open(&mut server);
    let mut client = RtspClient::new("192.0.2.1:8854");
    client.describe(at(0), "Drums: 1/2");
    client.describe(at(0), "Über");
    let mut events = Vec::new();
    let exchange = |server: &mut RtspServer, client: &mut RtspClient| {
        loop {
            let mut moved = false;
            while let Some(bytes) = client.poll_transmit() {
                server.handle_bytes(at(1), id, &bytes);
                moved = true;
            }
            while let Some(Output::Send(_, bytes)) = server.poll_output() {
                client.handle_bytes(at(1), &bytes);
                moved = true;
            }
            if !moved {
                break;
            }
        }
        std::iter::from_fn(|| client.poll_event()).collect::<Vec<_>>()
    };
    events.extend(exchange(&mut server, &mut client));
    server.handle_sessions([session(7, "Drums: 1/2", 2), session(9, "Über", 1)]);
    events.extend(exchange(&mut server, &mut client));
    let bodies: Vec<_> = events
        .iter()
        .map(|event| match event {
            ClientEvent::Described { body, .. } | ClientEvent::Announced { body, .. } => body.as_slice(),
            other => panic!("not {other:?}"),
        })
        .collect();
    let expected = [session(7, "Drums: 1/2", 1), session(9, "Über", 1), session(7, "Drums: 1/2", 2)];
    assert_eq!(bodies, expected.iter().map(|session| session.sdp.as_bytes()).collect::<Vec<_>>());
}

#[test]
fn who_holds_most_connections_makes_room_for_who_holds_fewer() {
    let mut server = RtspServer::new("192.0.2.1:8854");
    server.handle_sessions([session(7, "Drums", 1)]);
    let hoarders: Vec<_> = (0..64)
        .map(|number| server.handle_open(at(number), [192, 0, 2, 100 + number as u8 % 4].into()))
        .map(|id| id.expect("has room"))
        .collect();
    for id in &hoarders {
        // Who described something may be silent for ever.
        server.handle_bytes(at(100), *id, &Message::request("DESCRIBE", "/by-id/7").emit());
    }
    while server.poll_output().is_some() {}
    assert!(server.handle_open(at(200), [192, 0, 2, 9].into()).is_some());
    assert_eq!(server.poll_output(), Some(Output::Close(hoarders[0])), "the one that was silent longest");
    let more = (0..100).filter(|_| server.handle_open(at(200), [192, 0, 2, 9].into()).is_some()).count();
    assert_eq!(more, 11, "no more than the others: nobody takes from who has as little");
    assert_eq!(std::iter::from_fn(|| server.poll_output()).count(), 11);
    for host in 100..104 {
        assert_eq!(server.handle_open(at(200), [192, 0, 2, host].into()), None, "and nothing is taken back");
    }
}
