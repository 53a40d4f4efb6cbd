use alloc::{
    borrow::ToOwned,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt::Write as _;

use crate::RtspError;

/// One RTSP message (RFC 2326 §4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its first line.
    pub start: Start,
    /// Header fields in order, names as received.
    pub headers: Vec<(String, String)>,
    /// The body; empty when there is none.
    pub body: Vec<u8>,
}

/// The first line of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// RFC 2326 §6.1.
    Request {
        /// As received; methods are written in capitals.
        method: String,
        /// As received; empty when the peer left it out.
        uri: String,
        /// Major version of the protocol; 1 is ours.
        major: u8,
    },
    /// RFC 2326 §7.1.
    Response {
        /// Three digits.
        status: u16,
        /// For people.
        reason: String,
    },
}

impl Message {
    /// A request without headers and body.
    pub fn request(method: &str, uri: &str) -> Self {
        let start = Start::Request { method: method.to_owned(), uri: uri.to_owned(), major: 1 };
        Self { start, headers: Vec::new(), body: Vec::new() }
    }

    /// A response without headers and body; the reason is the one of RFC 2326 §7.1.1.
    pub fn response(status: u16) -> Self {
        let start = Start::Response { status, reason: reason(status).to_owned() };
        Self { start, headers: Vec::new(), body: Vec::new() }
    }

    /// Adds a header field.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    /// Sets the body, and the header fields that say what it is.
    #[must_use]
    pub fn with_body(self, content_type: &str, body: &[u8]) -> Self {
        let message = self.with("Content-Type", content_type).with("Content-Length", body.len());
        Self { body: body.to_vec(), ..message }
    }

    /// The first header field called `name`, in whatever case (RFC 2326 §4.2).
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The sequence number, when there is a sane one (RFC 2326 §12.17).
    pub fn cseq(&self) -> Option<u32> {
        self.header("CSeq")?.parse().ok()
    }

    /// Writes the message. Line breaks in texts become blanks, so that no text can add a header field.
    pub fn emit(&self) -> Vec<u8> {
        let mut text = String::new();
        let _ = match &self.start {
            Start::Request { method, uri, major } => {
                write!(text, "{} {} RTSP/{major}.0\r\n", clean(method), clean(uri))
            }
            Start::Response { status, reason } => write!(text, "RTSP/1.0 {status:03} {}\r\n", clean(reason)),
        }; // a String takes everything
        for (name, value) in &self.headers {
            let _ = write!(text, "{}: {}\r\n", clean(name), clean(value));
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Reads everything before the body: first line and header fields, ended by CRLF or LF, without the empty line.
    pub(crate) fn parse_head(head: &[u8]) -> Result<Self, RtspError> {
        let text = decode(head);
        let mut lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
        let start = parse_start(lines.next().unwrap_or_default().trim())?;
        let mut headers: Vec<(String, String)> = Vec::new();
        for line in lines.filter(|line| !line.is_empty()) {
            if line.starts_with([' ', '\t']) {
                // RFC 2326 §4.2: a field goes on in the next line.
                if let Some((_, value)) = headers.last_mut() {
                    value.push(' ');
                    value.push_str(line.trim());
                }
                continue;
            }
            let Some((name, value)) = line.split_once(':') else { continue };
            if name.trim().is_empty() || !name.trim().bytes().all(|octet| octet.is_ascii_graphic()) {
                continue; // no token (RFC 2326 §15.1)
            }
            if headers.len() >= MAX_HEADERS {
                return Err(RtspError::TooManyHeaders);
            }
            headers.push((name.trim().to_owned(), value.trim().to_owned()));
        }
        Ok(Self { start, headers, body: Vec::new() })
    }
}

fn parse_start(line: &str) -> Result<Start, RtspError> {
    if let Some(rest) = line.strip_prefix("RTSP/") {
        let (_, rest) = rest.split_once(' ').ok_or(RtspError::StartLine)?;
        let (status, reason) = rest.trim_start().split_once(' ').unwrap_or((rest.trim(), ""));
        let status = status.parse().ok().filter(|status| (100..1000).contains(status));
        let reason = reason.trim().to_owned();
        return status.map(|status| Start::Response { status, reason }).ok_or(RtspError::StartLine);
    }
    let (method, rest) = line.split_once(' ').ok_or(RtspError::StartLine)?;
    let (uri, version) = rest.rsplit_once(' ').ok_or(RtspError::StartLine)?;
    let major = version.strip_prefix("RTSP/").and_then(|version| version.split('.').next()?.parse().ok());
    let is_method =
        (1..=32).contains(&method.len()) && method.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_');
    match major {
        Some(major) if is_method => {
            Ok(Start::Request { method: method.to_owned(), uri: uri.trim().to_owned(), major })
        }
        _ => Err(RtspError::StartLine),
    }
}

/// UTF-8; Latin-1 when it is not that.
fn decode(bytes: &[u8]) -> String {
    match core::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().copied().map(char::from).collect(),
    }
}

fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        451 => "Parameter Not Understood",
        454 => "Session Not Found",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "RTSP Version Not Supported",
        551 => "Option Not Supported",
        _ => "Other",
    }
}

const MAX_HEADERS: usize = 64; // real ones have five

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_lines_are_told_apart() {
        let request = |method: &str, uri: &str, major| {
            Ok(Start::Request { method: method.to_owned(), uri: uri.to_owned(), major })
        };
        for (line, start) in [
            ("DESCRIBE rtsp://h/x RTSP/1.0", request("DESCRIBE", "rtsp://h/x", 1)),
            ("ANNOUNCE  RTSP/1.0", request("ANNOUNCE", "", 1)),
            ("OPTIONS * RTSP/2.0", request("OPTIONS", "*", 2)),
            ("DESCRIBE rtsp://h/a b RTSP/1.0", request("DESCRIBE", "rtsp://h/a b", 1)),
            ("RTSP/1.0 200 OK", Ok(Start::Response { status: 200, reason: "OK".to_owned() })),
            ("RTSP/1.0 404", Ok(Start::Response { status: 404, reason: String::new() })),
            ("RTSP/1.0 20 OK", Err(RtspError::StartLine)),
            ("RTSP/1.0", Err(RtspError::StartLine)),
            ("GET / HTTP/1.1", Err(RtspError::StartLine)),
            ("GET/ RTSP/1.0", Err(RtspError::StartLine)),
            ("", Err(RtspError::StartLine)),
        ] {
            assert_eq!(parse_start(line), start, "{line}");
        }
    }

    #[test]
    fn no_text_adds_a_header_field() {
        let message = Message::request("DESCRIBE", "x\r\nEvil: 1").with("A", "b\r\nEvil: 2");
        let text = String::from_utf8(message.emit()).expect("text");
        assert_eq!(text, "DESCRIBE x  Evil: 1 RTSP/1.0\r\nA: b  Evil: 2\r\n\r\n");
    }

    #[test]
    fn fields_are_found_in_any_case_and_over_two_lines() {
        let message =
            Message::parse_head(b"RTSP/1.0 200 OK\ncseq:7\nX-Long: one\n two\nbroken\n").expect("a head");
        assert_eq!((message.cseq(), message.header("x-long")), (Some(7), Some("one two")));
    }
}
