use alloc::{collections::BTreeSet, string::String, vec::Vec};
use core::fmt;

use serde::de::DeserializeOwned;

use super::{Device, Fault, InputStatus, MAX_ANSWER, Side, Stream};

/// Why an answer of a device cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AnswerError {
    /// The device refused.
    Refused(Fault),
    /// Another status than a success, without a reason.
    Status(u16),
    /// Longer than anything that makes sense.
    TooLong(usize),
    /// No JSON of the right form.
    Form {
        /// Line of the first mistake.
        line: usize,
        /// Column of it.
        column: usize,
    },
}

impl core::error::Error for AnswerError {}

impl fmt::Display for AnswerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(fault) if fault.detail.is_empty() => {
                write!(f, "the device refuses ({:?})", fault.error)
            }
            Self::Refused(fault) => write!(f, "the device refuses: {}", shortened(&fault.detail)),
            Self::Status(status) => write!(f, "the device answers with status {status}"),
            Self::TooLong(octets) => {
                write!(f, "the device answers with {octets} octets, more than {MAX_ANSWER}")
            }
            Self::Form { line, column } => {
                write!(f, "the device's answer is not understood (line {line}, column {column})")
            }
        }
    }
}

/// Reads the answer to `GET /device`; what is too long to be kept is cut.
pub fn read_device(status: u16, body: &[u8]) -> Result<Device, AnswerError> {
    let mut device: Device = read(status, body)?;
    for text in [&mut device.id, &mut device.name, &mut device.model, &mut device.host] {
        *text = shortened(text);
    }
    device.address.truncate(MAX_LIST);
    device.roles.truncate(MAX_LIST);
    Ok(device)
}

/// Reads the answer to `GET /streams`: at most 128, none with a channel count that makes no sense, none twice, none that
/// is not understood.
pub fn read_streams(status: u16, body: &[u8]) -> Result<Vec<Stream>, AnswerError> {
    let listed: Vec<serde_json::Value> = read(status, body)?;
    let mut streams: Vec<Stream> =
        listed.into_iter().filter_map(|stream| serde_json::from_value(stream).ok()).collect();
    streams.retain(|stream| {
        (1..=128).contains(&stream.channels) && !stream.id.is_empty() && stream.id.len() <= MAX_ID
    });
    let mut seen = BTreeSet::new();
    streams.retain(|stream| seen.insert((stream.direction == Side::Rx, stream.id.clone())));
    streams.truncate(MAX_STREAMS);
    for stream in &mut streams {
        stream.name = shortened(&stream.name);
        stream.labels.truncate(usize::from(stream.channels));
        stream.labels.iter_mut().for_each(|label| *label = shortened(label));
    }
    Ok(streams)
}

/// Reads the answer to `GET /inputs/{id}`.
pub fn read_input(status: u16, body: &[u8]) -> Result<InputStatus, AnswerError> {
    let mut input: InputStatus = read(status, body)?;
    input.error = shortened(&input.error);
    Ok(input)
}

/// Reads the answer to a request that changes something.
pub fn read_done(status: u16, body: &[u8]) -> Result<(), AnswerError> {
    if (200..300).contains(&status) { Ok(()) } else { read::<()>(status, body) }
}

fn read<T: DeserializeOwned>(status: u16, body: &[u8]) -> Result<T, AnswerError> {
    if body.len() > MAX_ANSWER {
        return Err(AnswerError::TooLong(body.len()));
    }
    if !(200..300).contains(&status) {
        return Err(serde_json::from_slice(body).map_or(AnswerError::Status(status), AnswerError::Refused));
    }
    serde_json::from_slice(body)
        .map_err(|error| AnswerError::Form { line: error.line(), column: error.column() })
}

/// Without control characters, at most 128 characters.
fn shortened(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(128).collect()
}

const MAX_LIST: usize = 16;
const MAX_STREAMS: usize = 128;
const MAX_ID: usize = 192;

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{format, string::ToString};

    #[test]
    fn refusals_are_told_in_the_devices_words() {
        let refused = read_device(409, br#"{"error":"busy","detail":"recording\u001b"}"#).expect_err("409");
        assert_eq!(refused.to_string(), "the device refuses: recording");
        assert_eq!(
            read_device(500, b"oops").expect_err("500").to_string(),
            "the device answers with status 500"
        );
        assert_eq!(read_done(204, b""), Ok(()));
        assert_eq!(read_done(404, b"").expect_err("404"), AnswerError::Status(404));
        let odd = read_streams(200, b"{}").expect_err("no list");
        assert!(odd.to_string().starts_with("the device's answer is not understood"), "{odd}");
        let long = [b' '; MAX_ANSWER + 1];
        assert_eq!(read_input(200, &long), Err(AnswerError::TooLong(MAX_ANSWER + 1)));
    }

    #[test]
    fn strange_streams_are_left_out_and_long_texts_cut() {
        let stream = |id: &str, channels: u32, name: &str| {
            format!(
                r#"{{"id":"{id}","name":"{name}","direction":"rx","channels":{channels},"labels":["a","b","c"]}}"#
            )
        };
        let text = format!(
            r#"[{{"id":"m/midi/0","name":"Keys","direction":"midi","channels":"all"}},7,{},{},{}]"#,
            stream("m/rx/1", 2, &"n".repeat(500)),
            stream("m/rx/2", 0, "none"),
            stream(&"i".repeat(500), 2, "long")
        );
        let streams = read_streams(200, text.as_bytes()).expect("a list");
        assert_eq!(streams.len(), 1);
        assert_eq!((streams[0].name.len(), streams[0].labels.len()), (128, 2));
    }

    #[test]
    fn an_input_is_listed_once() {
        let stream = |id: &str, name: &str, side: &str| {
            format!(r#"{{"id":"{id}","name":"{name}","direction":"{side}","channels":2}}"#)
        };
        let text = format!(
            "[{},{},{},{}]",
            stream("1", "In", "rx"),
            stream("1", "Out", "tx"),
            stream("1", "Other", "rx"),
            stream("2", "In 2", "rx")
        );
        let streams = read_streams(200, text.as_bytes()).expect("a list");
        let names: Vec<_> = streams.iter().map(|stream| &*stream.name).collect();
        assert_eq!(names, ["In", "Out", "In 2"]);
    }
}
