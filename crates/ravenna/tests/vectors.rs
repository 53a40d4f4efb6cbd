//! Every file of `tests/vectors/rtsp` against its `.expect`, whole and split at every octet.
//! `UPDATE_EXPECT=1` rewrites the expectations; what it writes is to be checked by eye.

use std::{fmt::Write as _, fs, path::PathBuf};

use wireloom_ravenna::{Message, Reader, RtspError, Start};

fn vectors() -> Vec<PathBuf> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/rtsp");
    let entries = fs::read_dir(directory).expect("the vectors are part of the source");
    let paths = entries.map(|entry| entry.expect("a readable directory").path());
    let mut files: Vec<_> = paths.filter(|path| path.extension().is_some_and(|e| e == "rtsp")).collect();
    files.sort();
    assert!(files.len() >= 14, "the conversations are there");
    files
}

fn read(pieces: &[&[u8]]) -> (Vec<Message>, Option<RtspError>) {
    let mut reader = Reader::new();
    let error = pieces.iter().find_map(|piece| reader.handle_bytes(piece).err());
    let mut messages: Vec<_> = std::iter::from_fn(|| reader.poll_message()).collect();
    messages.extend(reader.handle_end());
    (messages, error)
}

fn describe((messages, error): &(Vec<Message>, Option<RtspError>)) -> String {
    let mut text = String::new();
    for message in messages {
        let _ = match &message.start {
            Start::Request { method, uri, major } => writeln!(text, "request {method} {uri:?} {major}"),
            Start::Response { status, reason } => writeln!(text, "response {status} {reason}"),
        };
        for (name, value) in &message.headers {
            let _ = writeln!(text, "  {name}: {value}");
        }
        let _ = writeln!(text, "  body of {} octets", message.body.len());
    }
    if let Some(error) = error {
        let _ = writeln!(text, "error: {error}");
    }
    text
}

#[test]
fn every_conversation_is_read_as_expected() {
    for path in vectors() {
        let found = describe(&read(&[&fs::read(&path).expect("readable")]));
        let expect = path.with_extension("expect");
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            fs::write(&expect, &found).expect("writable");
        }
        assert_eq!(found, fs::read_to_string(&expect).unwrap_or_default(), "{}", path.display());
    }
}

#[test]
fn every_conversation_is_the_same_split_at_every_octet() {
    for path in vectors() {
        let bytes = fs::read(&path).expect("readable");
        let whole = read(&[&bytes]);
        for at in 0..bytes.len() {
            let (one, other) = bytes.split_at(at);
            assert_eq!(read(&[one, other]), whole, "{} split at {at}", path.display());
        }
        let octets: Vec<_> = bytes.chunks(1).collect();
        assert_eq!(read(&octets), whole, "{} octet by octet", path.display());
    }
}
