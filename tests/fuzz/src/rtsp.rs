//! Targets of `wireloom-ravenna`: messages, a client of a hostile server, a server of hostile clients.

use wireloom_ravenna::{
    ClientEvent, InstanceName, Location, Output, Reader, Resource, RtspClient, RtspServer, Session,
    instance_of, instance_on_wire,
};
use wireloom_units::Nanos;

/// Reads a conversation, whole and in two pieces; what was read, written again, reads the same.
pub fn messages(bytes: &[u8]) {
    let (whole, halves) = (read(&[bytes]), bytes.split_at(bytes.len() / 2));
    assert_eq!(read(&[halves.0, halves.1]), whole);
    for message in whole {
        assert!(message.body.len() <= 8193 && message.headers.len() <= 64);
        // Written without control characters and with the length that it has.
        let emitted = message.emit();
        if let [again] = &read(&[&emitted])[..] {
            assert_eq!(again.headers.len(), message.headers.len());
        }
    }
    let text = String::from_utf8_lossy(bytes);
    for line in text.lines() {
        let _ =
            (Resource::from_uri(line), Location::parse(line), (instance_of(line), instance_on_wire(line)));
        if let Some(name) = InstanceName::of_session(line, &text) {
            assert!(name.as_str().len() <= 63);
        }
    }
}

fn read(pieces: &[&[u8]]) -> Vec<wireloom_ravenna::Message> {
    let mut reader = Reader::new();
    for piece in pieces {
        if reader.handle_bytes(piece).is_err() {
            break;
        }
    }
    let mut messages: Vec<_> = std::iter::from_fn(|| reader.poll_message()).collect();
    messages.extend(reader.handle_end());
    messages
}

/// A client whose server sends the octets in pieces while time passes and sessions come and go.
pub fn client(bytes: &[u8]) {
    let mut client = RtspClient::new("192.0.2.31:8854");
    let mut now = Nanos::ZERO;
    let mut failed = false;
    client.describe(now, "A");
    for piece in bytes.chunks(97).take(64) {
        match piece.first().map_or(0, |octet| octet % 8) {
            0 => client.forget(now, "A"),
            1 => drop(client.describe(now, "B")),
            2 => drop(client.describe_path(now, "C", "/by-id/3")),
            3 => client.handle_timeout(now),
            _ => {}
        }
        client.handle_bytes(now, piece);
        now = now.plus(Nanos::from_secs(u64::from(piece.len() as u8 % 16)));
        while let Some(sent) = client.poll_transmit() {
            assert!(Reader::new().handle_bytes(&sent).is_ok());
        }
        while let Some(event) = client.poll_event() {
            match event {
                ClientEvent::Failed(_) => assert!(!std::mem::replace(&mut failed, true), "fails once"),
                ClientEvent::Described { body, .. } | ClientEvent::Announced { body, .. } => {
                    assert!(!body.is_empty() && body.len() <= 8193);
                }
                _ => {}
            }
        }
    }
    client.handle_end(now);
    assert_eq!(client.poll_timeout(), None);
}

/// A server that gets the octets in pieces over two connections; a connection that is closed stays closed.
pub fn server(bytes: &[u8]) {
    let mut server = RtspServer::new("192.0.2.1:8854");
    let session = |version: u8| Session { id: 0, name: "Mixer_611465_2100".into(), sdp: version.to_string() };
    server.handle_sessions([session(0)]);
    let mut now = Nanos::ZERO;
    let open = |server: &mut RtspServer| server.handle_open(now, [192, 0, 2, 9].into()).expect("has room");
    let connections = [open(&mut server), open(&mut server)];
    let mut closed = Vec::new();
    for (at, piece) in bytes.chunks(61).take(64).enumerate() {
        server.handle_bytes(now, connections[at % 2], piece);
        if let [octet @ 0..=31, ..] = piece {
            server.handle_sessions([session(*octet)]);
            server.handle_timeout(now);
        }
        now = now.plus(Nanos::from_secs(piece.len() as u64 % 8));
        while let Some(output) = server.poll_output() {
            match output {
                Output::Send(id, sent) => {
                    assert!(!closed.contains(&id) && Reader::new().handle_bytes(&sent).is_ok());
                }
                Output::Close(id) => closed.push(id),
            }
        }
    }
    assert!(closed.len() <= 2);
}

#[cfg(test)]
mod fuzzed {
    use crate::mutate::drive;

    #[test]
    fn rtsp_messages() {
        drive("rtsp", super::messages);
    }

    #[test]
    fn rtsp_clients() {
        drive("rtsp", super::client);
    }

    #[test]
    fn rtsp_servers() {
        drive("rtsp", super::server);
    }
}
