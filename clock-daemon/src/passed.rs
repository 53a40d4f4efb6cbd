//! What the service manager gives: sockets (sd_listen_fds(3)) and a place to report to (sd_notify(3)).

use std::env;
use std::io;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process;
use std::time::Duration;

use socket2::Socket;

use crate::sys;

const FIRST_DESCRIPTOR: i32 = 3;
/// Two for each of eight interfaces.
const MAX_DESCRIPTORS: i32 = 16;

/// Sockets bound to ports 319 and 320 by the service manager, so that this process needs no capability.
///
/// A socket may be bound to one interface (`BindToDevice=`) or to none; then the first interface that needs it
/// takes it.
#[derive(Debug, Default)]
pub struct Passed {
    sockets: Vec<(u16, String, Socket)>,
}

impl Passed {
    /// Takes what was passed. Call once, first thing in `main`.
    pub fn take() -> Self {
        let number = |name| env::var(name).ok().and_then(|value| value.parse::<i32>().ok());
        if number("LISTEN_PID") != i32::try_from(process::id()).ok() {
            return Self::default();
        }
        let count = number("LISTEN_FDS").unwrap_or(0).clamp(0, MAX_DESCRIPTORS);
        let descriptors = (FIRST_DESCRIPTOR..FIRST_DESCRIPTOR + count).filter_map(sys::passed_descriptor);
        Self::of(descriptors)
    }

    fn of(descriptors: impl Iterator<Item = OwnedFd>) -> Self {
        let sockets = descriptors.map(Socket::from).filter_map(|socket| {
            let port = socket.local_addr().ok()?.as_socket_ipv4()?.port();
            let device = sys::bound_device(&socket).unwrap_or_default();
            Some((port, device, socket))
        });
        Self { sockets: sockets.collect() }
    }

    /// A duplicate of the socket for `port` on `interface`, if one was passed.
    pub fn socket(&self, port: u16, interface: &str) -> Option<io::Result<Socket>> {
        let of_port = || self.sockets.iter().filter(|(bound, ..)| *bound == port);
        let matching = of_port().find(|(_, device, _)| device == interface);
        // One that was bound to no device when passed may meanwhile be bound to this one, or to another.
        let free = || {
            of_port().filter(|(_, device, _)| device.is_empty()).find(|(.., socket)| {
                sys::bound_device(socket).is_ok_and(|now| now.is_empty() || now == interface)
            })
        };
        matching.or_else(free).map(|(.., socket)| socket.try_clone())
    }
}

/// Reports to the service manager; silent when there is none.
#[derive(Debug)]
pub struct Notifier {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// Connects to $NOTIFY_SOCKET.
    pub fn from_environment() -> Self {
        let microseconds = env::var("WATCHDOG_USEC").ok().and_then(|value| value.parse().ok());
        let connect = |path: String| -> io::Result<UnixDatagram> {
            let socket = UnixDatagram::unbound()?;
            socket.set_nonblocking(true)?;
            let address = match path.strip_prefix('@') {
                Some(name) => SocketAddr::from_abstract_name(name)?,
                None => SocketAddr::from_pathname(&path)?,
            };
            socket.connect_addr(&address)?;
            Ok(socket)
        };
        let socket = env::var("NOTIFY_SOCKET").ok().and_then(|path| {
            connect(path).inspect_err(|error| tracing::warn!(%error, "no way to the service manager")).ok()
        });
        Self { socket, watchdog: microseconds.map(Duration::from_micros) }
    }

    /// Whether the service manager wants a sign of life now and then.
    pub fn wants_watchdog(&self) -> bool {
        self.watchdog.is_some()
    }

    /// Sends `message`, such as `READY=1`.
    pub fn send(&self, message: &str) {
        if let Some(socket) = &self.socket {
            let _ = socket.send(message.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn passed_sockets_are_found_by_their_port() {
        let bound = UdpSocket::bind("127.0.0.1:0").expect("loopback");
        let port = bound.local_addr().expect("bound").port();
        let passed = Passed::of([OwnedFd::from(bound)].into_iter());
        assert!(passed.socket(port, "eth0").is_some_and(|socket| socket.is_ok()));
        assert!(passed.socket(port.wrapping_add(1), "eth0").is_none());
    }
}
