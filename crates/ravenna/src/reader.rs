use alloc::{collections::VecDeque, vec::Vec};

use crate::{Message, RtspError, Start};

/// Cuts the octets of one connection into messages, however they arrive.
///
/// Takes lines that end in LF alone, empty lines between messages, bodies in pieces, and skips interleaved binary data
/// (RFC 2326 §10.12). A body whose length is not said lasts until the connection ends; [`Reader::handle_end`] gives it.
/// Holds at most 8 KiB of header. Of a body of more than 8 KiB it gives the first 8193 octets, so that who reads them
/// sees that there were more, and skips the others; one of more than 1 MiB is an error. After an error it reads nothing
/// more.
#[derive(Debug, Default)]
pub struct Reader {
    state: State,
    head: Vec<u8>,
    messages: VecDeque<Message>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Head,
    /// So many octets are missing.
    Body(Message, usize),
    /// So many octets came.
    UntilEnd(Message, usize),
    /// Interleaved data: its four octets of header, then so many to skip.
    SkipHead,
    Skip(usize),
    Broken(RtspError),
}

impl Reader {
    /// At the beginning of a connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what was received. Errors: what follows cannot be understood; messages before it can still be polled.
    pub fn handle_bytes(&mut self, mut bytes: &[u8]) -> Result<(), RtspError> {
        while !bytes.is_empty() {
            bytes = match self.step(bytes) {
                Ok(rest) => rest,
                Err(error) => {
                    (self.state, self.head) = (State::Broken(error), Vec::new());
                    return Err(error);
                }
            };
        }
        Ok(())
    }

    /// The connection ended, or nothing more is expected: gives the message whose body had no length.
    pub fn handle_end(&mut self) -> Option<Message> {
        match core::mem::take(&mut self.state) {
            State::UntilEnd(message, _) => Some(message),
            other => {
                self.state = other;
                None
            }
        }
    }

    /// The next complete message.
    pub fn poll_message(&mut self) -> Option<Message> {
        self.messages.pop_front()
    }

    /// Whether a message has begun and not ended.
    pub fn is_inside(&self) -> bool {
        !matches!(self.state, State::Head) || !self.head.is_empty()
    }

    /// Takes some of `bytes`; gives the rest.
    fn step<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], RtspError> {
        match &mut self.state {
            State::Broken(error) => Err(*error),
            State::Head => self.take_head(bytes),
            State::Body(message, missing) => {
                let (taken, rest) = bytes.split_at_checked(*missing).unwrap_or((bytes, &[]));
                keep(message, taken);
                *missing -= taken.len();
                if *missing == 0
                    && let State::Body(message, _) = core::mem::take(&mut self.state)
                {
                    self.messages.push_back(message);
                }
                Ok(rest)
            }
            State::UntilEnd(message, length) => {
                *length = length.saturating_add(bytes.len());
                if *length > MAX_BODY {
                    return Err(RtspError::BodyTooLong);
                }
                keep(message, bytes);
                Ok(&[])
            }
            State::SkipHead => {
                let wanted = 4 - self.head.len();
                let (taken, rest) = bytes.split_at_checked(wanted).unwrap_or((bytes, &[]));
                self.head.extend_from_slice(taken);
                if let [_, _, high, low] = *self.head {
                    self.head.clear();
                    self.state = match u16::from_be_bytes([high, low]) {
                        0 => State::Head,
                        length => State::Skip(length.into()),
                    };
                }
                Ok(rest)
            }
            State::Skip(missing) => {
                let (taken, rest) = bytes.split_at_checked(*missing).unwrap_or((bytes, &[]));
                *missing -= taken.len();
                if *missing == 0 {
                    self.state = State::Head;
                }
                Ok(rest)
            }
        }
    }

    fn take_head<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], RtspError> {
        let mut rest = bytes;
        while let Some((&octet, after)) = rest.split_first() {
            if self.head.is_empty() && octet == b'$' {
                self.state = State::SkipHead;
                return Ok(rest);
            }
            rest = after;
            if self.head.is_empty() && matches!(octet, b'\r' | b'\n' | b' ' | 0) {
                continue; // between messages
            }
            self.head.push(octet);
            if self.head.ends_with(b"\n\n") || self.head.ends_with(b"\n\r\n") {
                let head = core::mem::take(&mut self.head);
                self.begin_body(Message::parse_head(&head)?)?;
                return Ok(rest);
            }
            if self.head.len() > MAX_HEAD {
                return Err(RtspError::HeadTooLong);
            }
        }
        Ok(rest)
    }

    fn begin_body(&mut self, message: Message) -> Result<(), RtspError> {
        let has_type = message.header("Content-Type").is_some();
        match message.header("Content-Length").map(str::parse::<usize>) {
            Some(Err(_)) => return Err(RtspError::ContentLength),
            Some(Ok(length)) if length > MAX_BODY => return Err(RtspError::BodyTooLong),
            Some(Ok(length)) if length > 0 => self.state = State::Body(message, length),
            // RFC 2326 §4.4 says that there is no body then; some units send one all the same.
            None if has_type && matches!(message.start, Start::Response { status: 200, .. }) => {
                self.state = State::UntilEnd(message, 0);
            }
            _ => self.messages.push_back(message),
        }
        Ok(())
    }
}

/// Adds to the body what of it there is room for.
fn keep(message: &mut Message, octets: &[u8]) {
    let room = MAX_KEPT.saturating_sub(message.body.len());
    message.body.extend_from_slice(octets.get(..room).unwrap_or(octets));
}

const MAX_HEAD: usize = 8192; // real ones have 200 octets
const MAX_BODY: usize = 1 << 20; // a description of all streams of a big router has 100 KiB
pub(crate) const MAX_KEPT: usize = 8193; // of a description 8192 are read

#[cfg(test)]
mod tests {
    use super::*;

    fn read(reader: &mut Reader, bytes: &[u8]) -> Vec<Vec<u8>> {
        reader.handle_bytes(bytes).expect("readable");
        core::iter::from_fn(|| reader.poll_message()).map(|message| message.body).collect()
    }

    #[test]
    fn a_body_without_length_ends_with_the_connection() {
        let mut reader = Reader::new();
        let head = b"RTSP/1.0 200 OK\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n";
        assert!(read(&mut reader, head).is_empty() && reader.is_inside());
        assert!(read(&mut reader, b"s=x\r\n").is_empty());
        assert_eq!(reader.handle_end().expect("ended").body, b"v=0\r\ns=x\r\n");
        assert_eq!((reader.handle_end(), reader.is_inside()), (None, false));
    }

    #[test]
    fn a_long_body_is_cut_and_what_follows_it_is_read() {
        for (length, kept) in [(8192, 8192), (8193, 8193), (8194, 8193), (1 << 20, 8193)] {
            let body = || (0..=250_u8).cycle().take(length);
            let mut bytes =
                alloc::format!("RTSP/1.0 200 OK\r\nContent-Length: {length}\r\n\r\n").into_bytes();
            bytes.extend(body());
            bytes.extend(b"RTSP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx");
            let cut: Vec<u8> = body().take(kept).collect();
            let mut reader = Reader::new();
            assert_eq!(read(&mut reader, &bytes), [&*cut, b"x"], "{length}");
            let pieces = bytes.chunks(1000).flat_map(|piece| read(&mut reader, piece));
            assert_eq!(pieces.collect::<Vec<_>>(), [&*cut, b"x"], "{length}");
        }
    }

    #[test]
    fn a_long_body_without_length_is_cut_and_an_endless_one_refused() {
        let mut reader = Reader::new();
        let head = b"RTSP/1.0 200 OK\r\nContent-Type: application/sdp\r\n\r\n";
        assert!(read(&mut reader, head).is_empty());
        for _ in 0..1024 {
            assert!(read(&mut reader, &[b'a'; 1024]).is_empty());
        }
        assert_eq!(reader.handle_bytes(b"a"), Err(RtspError::BodyTooLong));
        assert_eq!(reader.handle_end(), None);
        let mut reader = Reader::new();
        read(&mut reader, head);
        read(&mut reader, &[b'a'; 1 << 20]);
        assert_eq!(reader.handle_end().expect("ended").body, [b'a'; 8193]);
    }

    #[test]
    fn interleaved_data_is_skipped_also_in_pieces() {
        let mut reader = Reader::new();
        let mut bytes = b"$\x01\0\x05RTSP/$\0\0\0\r\nRTSP/1.0 200 OK\nContent-Length: 2\n\nab".to_vec();
        assert_eq!(read(&mut reader, &bytes), [b"ab"]);
        bytes.extend_from_within(..);
        let pieces = bytes.iter().flat_map(|octet| read(&mut reader, &[*octet]));
        assert_eq!(pieces.collect::<Vec<_>>(), [b"ab", b"ab"]);
    }

    #[test]
    fn what_is_too_long_or_senseless_ends_the_reading() {
        for (bytes, error) in [
            (&b"hello\r\n\r\n"[..], RtspError::StartLine),
            (b"RTSP/1.0 200 OK\r\nContent-Length: -1\r\n\r\n", RtspError::ContentLength),
            (b"RTSP/1.0 200 OK\r\nContent-Length: 1048577\r\n\r\n", RtspError::BodyTooLong),
            (&[b'a'; 8194], RtspError::HeadTooLong),
            (&[&b"X * RTSP/1.0\n"[..], &b"a:b\n".repeat(65), b"\n"].concat(), RtspError::TooManyHeaders),
        ] {
            let mut reader = Reader::new();
            assert_eq!(reader.handle_bytes(bytes), Err(error));
            assert_eq!(reader.handle_bytes(b"RTSP/1.0 200 OK\r\n\r\n"), Err(error));
            assert_eq!(reader.poll_message(), None);
        }
    }
}
