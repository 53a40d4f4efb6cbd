//! Who asks for the members of multicast groups, so that switches that snoop know where to send them.
//!
//! The kernel remembers queriers of IGMP 1 and 2 for whoever asks; one of IGMP 3 can only be heard, with a raw socket.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use super::Finding;
use super::root::Root;

/// `IPPROTO_IGMP` (netinet/in.h).
const IGMP: i32 = 2;
/// Type of a membership query (RFC 3376 section 4).
const QUERY: u8 = 0x11;
/// A querier that keeps to RFC 3376 was heard by then: it asks every 125 s (section 8.2).
const CERTAIN: Duration = Duration::from_secs(130);

/// What came of listening.
#[derive(Debug, Clone)]
pub enum Listening {
    /// Nobody asked for it.
    Not,
    /// Why it is not possible.
    Refused(String),
    /// For how long, and the first query heard on each interface.
    Done(Duration, BTreeMap<String, Query>),
}

/// A membership query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query {
    /// Who asks; unspecified for a switch without an address.
    from: Ipv4Addr,
    /// Of IGMP.
    version: u8,
}

/// Listens on `interfaces` until a query was heard on each, at most for `time`. Sends nothing.
pub fn listen(interfaces: &[&str], time: Duration) -> Listening {
    let sockets: io::Result<Vec<_>> =
        interfaces.iter().map(|name| Ok(((*name).to_owned(), open(name)?))).collect();
    let sockets = match sockets {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Listening::Refused("only root may listen for IGMP".to_owned());
        }
        Err(error) => return Listening::Refused(error.to_string()),
        Ok(sockets) => sockets,
    };
    let end = Instant::now() + time;
    let threads: Vec<_> = sockets
        .into_iter()
        .map(|(name, socket)| thread::spawn(move || Some((name, first(&socket, end)?))))
        .collect();
    Listening::Done(time, threads.into_iter().filter_map(|thread| thread.join().ok().flatten()).collect())
}

fn open(interface: &str) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(IGMP)))?;
    socket.bind_device(Some(interface.as_bytes()))?;
    Ok(socket)
}

/// The first query before `end`.
fn first(mut socket: &Socket, end: Instant) -> Option<Query> {
    let mut packet = [0; 2048];
    loop {
        let rest = end.checked_duration_since(Instant::now()).filter(|rest| !rest.is_zero())?;
        socket.set_read_timeout(Some(rest)).ok()?;
        match socket.read(&mut packet) {
            Ok(length) => {
                if let Some(query) = packet.get(..length).and_then(parse) {
                    return Some(query);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

/// The query in a packet of IPv4 (RFC 791 section 3.1); the versions are told apart as RFC 3376 section 7.1 does.
fn parse(packet: &[u8]) -> Option<Query> {
    let header = 4 * usize::from(packet.first()? & 0x0f);
    let from = <[u8; 4]>::try_from(packet.get(12..16)?).ok()?;
    let message = packet.get(header.max(20)..)?;
    let &[QUERY, response_time, ..] = message else { return None };
    let version = match (message.len(), response_time) {
        (8, 0) => 1,
        (8, _) => 2,
        (12.., _) => 3,
        _ => return None,
    };
    Some(Query { from: from.into(), version })
}

/// What is known of a querier that the interface `name` hears.
pub fn look(root: &Root, name: &str, listening: &Listening) -> Finding {
    if let Listening::Done(_, heard) = listening
        && let Some(Query { from, version }) = heard.get(name)
    {
        let who = if from.is_unspecified() { "without an address".to_owned() } else { format!("at {from}") };
        return Finding::ok("querier", format!("{name} hears a querier of IGMP {version} {who}."));
    }
    if root.number(&format!("sys/class/net/{name}/bridge/multicast_querier")) == Some(1) {
        return Finding::ok("querier", format!("The bridge {name} is an IGMP querier."));
    }
    // V1 or V2 while a querier of that version is heard; one of IGMP 3 leaves no trace here.
    let text = root.text("proc/net/igmp").unwrap_or_default();
    let line = text.lines().find(|line| line.split_whitespace().nth(1) == Some(name));
    let version = line.and_then(|line| line.split_whitespace().last()?.strip_prefix('V'));
    if let Some(version @ ("1" | "2")) = version {
        return Finding::ok("querier", format!("{name} heard a querier of IGMP {version} lately."));
    }
    let needed = "switches that snoop need one";
    let try_it = format!("wireloom doctor --listen {} (as root)", CERTAIN.as_secs());
    match listening {
        Listening::Done(time, _) if *time >= CERTAIN => Finding::warning(
            "querier",
            format!("{name} heard no IGMP querier in {} s; {needed}.", time.as_secs()),
        )
        .advise("switch on the IGMP querier of one switch, or IGMP snooping off in all"),
        Listening::Done(time, _) => Finding::unknown(
            "querier",
            format!("{name} heard no IGMP querier in {} s, but they ask every 125 s.", time.as_secs()),
        )
        .advise(try_it),
        Listening::Refused(why) => Finding::unknown(
            "querier",
            format!("Whether {name} hears an IGMP querier cannot be told: {why}; {needed}."),
        )
        .advise(try_it),
        Listening::Not => Finding::unknown(
            "querier",
            format!("Whether {name} hears an IGMP querier is told by listening only; {needed}."),
        )
        .advise(try_it),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet from 10.0.0.1 with the router alert option, as queries have it (RFC 3376 section 4).
    fn packet(message: &[u8]) -> Vec<u8> {
        let header = [0x46, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 10, 0, 0, 1, 224, 0, 0, 1, 0x94, 4, 0, 0];
        [header.as_slice(), message].concat()
    }

    #[test]
    fn queries_of_every_version_are_known_and_nothing_else() {
        let from = Ipv4Addr::new(10, 0, 0, 1);
        for (message, version) in [
            (&[0x11, 0, 0xee, 0xff, 0, 0, 0, 0][..], Some(1)),
            (&[0x11, 100, 0xee, 0x9b, 0, 0, 0, 0], Some(2)),
            (&[0x11, 100, 0xec, 0x1e, 0, 0, 0, 0, 2, 125, 0, 0], Some(3)),
            (&[0x22, 0, 0, 0, 0, 0, 0, 1, 4, 0, 0, 0], None),
            (&[0x16, 0, 0, 0, 239, 69, 1, 1], None),
            (&[0x11, 100, 0, 0], None),
            (&[], None),
        ] {
            let query = version.map(|version| Query { from, version });
            assert_eq!(parse(&packet(message)), query, "{message:?}");
        }
        assert_eq!((parse(&[]), parse(&packet(&[])[..17])), (None, None));
    }

    #[test]
    fn silence_means_something_after_long_enough() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = Root::new(folder.path());
        let heard = BTreeMap::from([("eth1".to_owned(), Query { from: Ipv4Addr::UNSPECIFIED, version: 3 })]);
        let done = |seconds| Listening::Done(Duration::from_secs(seconds), heard.clone());
        for (listening, name, verdict) in [
            (Listening::Not, "eth0", "unknown"),
            (Listening::Refused("it is".into()), "eth0", "unknown"),
            (done(5), "eth0", "unknown"),
            (done(130), "eth0", "warning"),
            (done(5), "eth1", "ok"),
        ] {
            let finding = look(&root, name, &listening);
            assert_eq!(finding.verdict, verdict, "{finding:?}");
            assert_eq!(finding.advice.is_empty(), verdict == "ok", "{finding:?}");
        }
        let file = folder.path().join("sys/class/net/br0/bridge");
        std::fs::create_dir_all(&file).expect("can be made");
        std::fs::write(file.join("multicast_querier"), "1\n").expect("can be written");
        assert_eq!(look(&root, "br0", &Listening::Not).verdict, "ok");
    }
}
