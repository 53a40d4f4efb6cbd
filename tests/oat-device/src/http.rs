//! The control interface's HTTP: hyper speaks it, the device's loop answers.

use std::sync::mpsc::SyncSender;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HOST, ORIGIN};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use wireloom_oat::control::{Code, Fault, MAX_BODY, Reply, Request};

/// A controller that is not heard for so long is let go.
const PATIENCE: Duration = Duration::from_secs(10);

/// A request that waits for the device's loop.
pub struct Pending {
    pub request: Request,
    pub reply: oneshot::Sender<Reply>,
}

/// Serves connections for ever. Errors: the listener cannot be used.
pub async fn serve(listener: std::net::TcpListener, requests: SyncSender<Pending>) -> std::io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let requests = requests.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, requests.clone()));
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(16 * 1024);
            // A connection that breaks is the controller's loss.
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    request: hyper::Request<Incoming>,
    requests: SyncSender<Pending>,
) -> Result<hyper::Response<Full<Bytes>>, hyper::http::Error> {
    let reply = match read(request).await {
        Ok(request) => {
            let (reply, answered) = oneshot::channel();
            let busy = || Reply::from(Fault::new(Code::Busy, "the device is busy"));
            match requests.try_send(Pending { request, reply }) {
                Ok(()) => answered.await.unwrap_or_else(|_| busy()),
                Err(_) => busy(),
            }
        }
        Err(fault) => fault.into(),
    };
    let mut response = hyper::Response::builder().status(reply.status);
    if !reply.content_type.is_empty() {
        response = response.header(CONTENT_TYPE, reply.content_type);
    }
    response.body(Full::new(reply.body.into()))
}

async fn read(request: hyper::Request<Incoming>) -> Result<Request, Fault> {
    let (parts, body) = request.into_parts();
    let body = tokio::time::timeout(PATIENCE, Limited::new(body, MAX_BODY + 1).collect()).await;
    let body = match body {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => return Err(Fault::new(Code::Format, "the body is too long, or broke off")),
        Err(_) => return Err(Fault::new(Code::Format, "the body did not come")),
    };
    let header = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
    // A header that is no text is not a header that is absent.
    let origin = parts.headers.contains_key(ORIGIN).then(|| header(ORIGIN).unwrap_or_default());
    Request::parse(parts.method.as_str(), parts.uri.path(), origin, header(HOST), &body)
}
