//! One HTTP request to a device, bounded in time and octets. Redirections are not followed.

use std::fmt;
use std::net::SocketAddrV4;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use wireloom_oat::control::{Call, MAX_ANSWER};

/// A device that takes longer does not answer.
const PATIENCE: Duration = Duration::from_secs(3);

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
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(CallError::Http)?;
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
