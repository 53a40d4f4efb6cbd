//! One HTTP request to a device, bounded in time and octets. Redirections are not followed.

use std::fmt;
use std::net::SocketAddrV4;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use wireloom_oat::control::{Call, MAX_ANSWER};

/// A device that takes longer does not answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// Octets that are read of one connection: a longest answer with its head, however it is cut into pieces.
const MOST: u64 = 2 * MAX_ANSWER as u64;

/// Why there is no answer.
#[derive(Debug)]
pub enum CallError {
    /// It cannot be reached, or hung up.
    Connection(std::io::Error),
    /// What it says is not HTTP.
    Http(hyper::Error),
    /// The request cannot be written: a device gave an odd name to something.
    Request(hyper::http::Error),
    /// Its answer is too long, or broke off.
    Body(Box<dyn std::error::Error + Send + Sync>),
    /// It took too long.
    Late,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection(error) => write!(f, "it cannot be reached: {error}"),
            Self::Http(error) => write!(f, "it does not speak HTTP: {error}"),
            Self::Request(error) => write!(f, "it cannot be asked: {error}"),
            Self::Body(error) => write!(f, "its answer cannot be read: {error}"),
            Self::Late => write!(f, "it did not answer within {PATIENCE:?}"),
        }
    }
}

impl std::error::Error for CallError {}

/// Asks the device at `address`; gives status and body, at most [`MAX_ANSWER`] octets of it.
pub async fn call(address: SocketAddrV4, call: &Call) -> Result<(u16, Bytes), CallError> {
    tokio::time::timeout(PATIENCE, exchange(address, call)).await.map_err(|_| CallError::Late)?
}

async fn exchange(address: SocketAddrV4, call: &Call) -> Result<(u16, Bytes), CallError> {
    let stream = TcpStream::connect(address).await.map_err(CallError::Connection)?;
    let (reading, writing) = stream.into_split();
    let stream = TokioIo::new(tokio::io::join(reading.take(MOST), writing));
    // Small devices write their heads by hand; what of them makes no sense is left out.
    let mut builder = http1::Builder::new();
    builder
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        .ignore_invalid_headers_in_responses(true);
    let (mut sender, connection) = builder.handshake(stream).await.map_err(CallError::Http)?;
    let mut request =
        hyper::Request::builder().method(call.method).uri(&call.path).header(HOST, address.to_string());
    if !call.body.is_empty() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    let request = request.body(Full::new(Bytes::from(call.body.clone()))).map_err(CallError::Request)?;
    let answer = async move {
        let response = sender.send_request(request).await.map_err(CallError::Http)?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await.map_err(CallError::Body)?;
        Ok((status, body.to_bytes()))
    };
    // The connection does its work only while it is waited for; it ends with the answer.
    tokio::pin!(answer);
    tokio::select! {
        result = &mut answer => result,
        result = connection => {
            result.map_err(CallError::Http)?;
            answer.await
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{SocketAddr, TcpListener};

    use super::*;
    use wireloom_oat::control::{AnswerError, Request, read_device};

    /// Asks a device that says `answer` to whatever it is asked, again and again if `endless`, and hangs up.
    fn asked(answer: &'static [u8], endless: bool) -> Result<(u16, Bytes), CallError> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let Ok(SocketAddr::V4(address)) = listener.local_addr() else { panic!("IPv4") };
        let device = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("asked");
            let read = stream.read(&mut [0; 4096]).expect("a request");
            assert!(read > 0);
            // The agent hangs up on who talks too much.
            while stream.write_all(answer).is_ok() && endless {}
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let result = runtime.block_on(call(address, &Request::Device.call()));
        device.join().expect("the device ends");
        result
    }

    #[test]
    fn an_answer_is_read_whole() {
        let (status, body) = asked(
            b"HTTP/1.1 200 OK\r\nContent-Length: 26\r\n\r\n{\"id\":\"a\",\"name\":\"Desk\"}\r\n",
            false,
        )
        .expect("sound");
        assert_eq!(read_device(status, &body).expect("a device").name, "Desk");
    }

    #[test]
    fn answers_of_small_devices_are_read() {
        for answer in [
            &b"HTTP/1.1 200 OK\r\ncontent-LENGTH : 24\r\nX-Long: a\r\n b\r\nnonsense\r\n\r\n{\"id\":\"a\",\"name\":\"Desk\"}"[..],
            b"HTTP/1.0 200\nServer:\n\n{\"id\":\"a\",\"name\":\"Desk\"}",
            b"HTTP/1.1 200 OK\r\nTRANSFER-encoding: Chunked\r\n\r\n8;x=y\r\n{\"id\":\"a\r\n10\r\n\",\"name\":\"Desk\"}\r\n0\r\nA: b\r\n\r\n",
        ] {
            let (status, body) = asked(answer, false).expect("sound");
            assert_eq!(read_device(status, &body).expect("a device").name, "Desk");
        }
    }

    #[test]
    fn hostile_answers_end_in_words_and_in_bounded_memory() {
        for (answer, endless) in [
            (&b"SSH-2.0-OpenSSH_9.2\r\n"[..], false),
            (b"", false),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", false),
            (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", false),
            (b"HTTP/1.1 200 OK\r\nX: ", true),
            (b"\0\0\0\0", true),
        ] {
            let error = asked(answer, endless).expect_err("nothing to be read");
            assert!(!error.to_string().is_empty());
        }
        let endless =
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[";
        assert!(matches!(asked(endless, true), Err(CallError::Body(_))), "a body without an end");
        let never_begins = asked(b"HTTP/1.1 100 Continue\r\n\r\n", true);
        assert!(matches!(never_begins, Err(CallError::Http(_))), "{never_begins:?}");
    }

    #[test]
    fn a_redirection_is_an_answer_like_any_other() {
        let answer = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
        let (status, body) = asked(answer, false).expect("an answer");
        assert_eq!(read_device(status, &body), Err(AnswerError::Status(302)));
    }
}
