//! What holds for all messages, names and ways in which octets arrive.

use proptest::prelude::*;
use wireloom_ravenna::{
    InstanceName, MAX_INSTANCE, Message, Reader, Resource, instance_of, percent_decode, percent_encode,
};

/// A header field that is neither of those that say how long a body is.
fn field() -> impl Strategy<Value = (String, String)> {
    ("X-[A-Za-z-]{0,12}", "([!-~]([ -~]{0,30}[!-~])?)?")
}

fn message() -> impl Strategy<Value = Message> {
    let start = prop_oneof![
        ("[A-Z_]{1,12}", "[!-~]{0,40}").prop_map(|(method, uri)| Message::request(&method, &uri)),
        (100_u16..1000).prop_map(Message::response),
    ];
    let body = proptest::collection::vec(any::<u8>(), 0..200);
    (start, proptest::collection::vec(field(), 0..8), body).prop_map(|(mut message, headers, body)| {
        message.headers = headers;
        if body.is_empty() { message } else { message.with_body("application/sdp", &body) }
    })
}

proptest! {
    #[test]
    fn messages_survive_being_written_and_read_in_pieces(
        messages in proptest::collection::vec(message(), 1..4),
        sizes in proptest::collection::vec(1_usize..50, 1..10),
    ) {
        let bytes: Vec<u8> = messages.iter().flat_map(Message::emit).collect();
        let mut reader = Reader::new();
        let (mut rest, mut sizes) = (&bytes[..], sizes.iter().cycle());
        while !rest.is_empty() {
            let size = (*sizes.next().expect("cycles")).min(rest.len());
            let (piece, after) = rest.split_at(size);
            prop_assert_eq!(reader.handle_bytes(piece), Ok(()));
            rest = after;
        }
        let found: Vec<_> = std::iter::from_fn(|| reader.poll_message()).collect();
        prop_assert_eq!(found, messages);
        prop_assert!(!reader.is_inside());
    }

    #[test]
    fn escapes_are_undone(text in any::<String>()) {
        let escaped = percent_encode(&text);
        prop_assert!(escaped.bytes().all(|octet| octet.is_ascii_graphic()));
        prop_assert_eq!(percent_decode(&escaped), Some(text.clone()));
        let url = format!("rtsp://192.0.2.1:8854/by-name/{escaped}");
        prop_assert_eq!(Resource::from_uri(&url), Some(Resource::ByName(text)));
    }

    #[test]
    fn instance_names_are_labels(device in any::<String>(), stream in any::<String>(), number in any::<u32>()) {
        let Some(name) = InstanceName::of_session(&device, &stream) else { return Ok(()) };
        for name in [name.clone(), name.another(number)] {
            prop_assert!((1..=MAX_INSTANCE).contains(&name.as_str().len()));
            prop_assert!(!name.as_str().chars().any(char::is_control));
            let escaped = name.as_str().replace('\\', r"\\").replace('.', r"\.");
            prop_assert_eq!(instance_of(&format!("{escaped}._rtsp._tcp.local.")), Some(name));
        }
    }
}
