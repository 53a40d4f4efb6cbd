//! RAVENNA over real sockets: a device that DNS-SD names and RTSP describes, and one that only pretends.

mod world;

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use mdns_sd::{IfKind, ServiceDaemon, ServiceInfo};
use wireloom_ravenna::{ConnectionId, Output, RtspServer, SESSION_TYPE, Session};
use wireloom_units::Nanos;
use world::{Announcer, World, nodes};

/// An RTSP server that takes one connection after the other, on a port that the system chooses.
struct Device {
    port: u16,
    sessions: mpsc::Sender<Vec<Session>>,
}

impl Device {
    fn start(address: &str, sessions: Vec<Session>) -> Self {
        let listener = TcpListener::bind((address, 0)).expect("the address is ours");
        let port = listener.local_addr().expect("bound").port();
        let (sender, changes) = mpsc::channel();
        let authority = format!("{address}:{port}");
        std::thread::spawn(move || {
            let mut server = RtspServer::new(&authority);
            server.handle_sessions(sessions);
            while let Ok((stream, peer)) = listener.accept() {
                let id = server.handle_open(Nanos::ZERO, peer.ip()).expect("one at a time");
                converse(&mut server, id, stream, &changes);
                server.handle_close(id);
            }
        });
        Self { port, sessions: sender }
    }
}

fn converse(
    server: &mut RtspServer,
    id: ConnectionId,
    mut stream: TcpStream,
    changes: &mpsc::Receiver<Vec<Session>>,
) {
    stream.set_read_timeout(Some(Duration::from_millis(20))).expect("can be set");
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(length) => server.handle_bytes(Nanos::ZERO, id, &buffer[..length]),
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock) => {}
            Err(_) => return,
        }
        while let Ok(sessions) = changes.try_recv() {
            server.handle_sessions(sessions);
        }
        while let Some(output) = server.poll_output() {
            match output {
                Output::Send(_, bytes) => {
                    if stream.write_all(&bytes).is_err() {
                        return;
                    }
                }
                Output::Close(_) => return,
            }
        }
    }
}

/// Publishes `name` at 192.0.2.`host`, by a responder that is not the agent's.
fn publish(name: &str, host: u8, port: u16) -> ServiceDaemon {
    let daemon = ServiceDaemon::new().expect("a responder");
    daemon.disable_interface(IfKind::All).expect("taken");
    daemon.enable_interface("veth0").expect("taken");
    let address = format!("192.0.2.{host}");
    let service = ServiceInfo::new(
        SESSION_TYPE,
        name,
        &format!("device-{host}.local."),
        address.as_str(),
        port,
        None::<HashMap<String, String>>,
    );
    daemon.register(service.expect("sound")).expect("taken");
    daemon
}

/// With what DNS-SD and URLs escape each in their way.
const SESSION: &str = r"Stage v2.0 Mics: L\R 1/2";

fn session(sdp: String) -> Vec<Session> {
    vec![Session { id: 0, name: SESSION.to_owned(), sdp }]
}

#[test]
fn a_session_becomes_a_node_follows_what_is_pushed_and_goes_with_its_name() {
    world::run("a_session_becomes_a_node_follows_what_is_pushed_and_goes_with_its_name", async || {
        let mut world = World::new().await;
        world.start_pipewire(true).await;
        world.start_agent().await;
        let stranger = Announcer::new(21);
        let text = |version, name: &str| stranger.sdp(4711, version, name, "239.69.1.1");
        let device = Device::start("192.0.2.21", session(text(1, "Mics")));
        let responder = publish(SESSION, 21, device.port);
        let keys = world.until_metadata("the node", |keys| nodes(keys).len() == 1).await;
        let (key, node) = nodes(&keys).remove(0);
        assert_eq!(node.protocol, wireloom_wanted::Protocol::Ravenna);
        let seen = world.until_snapshot("the object", |seen| seen.streams.len() == 1).await;
        assert_eq!(
            (&seen.streams[0].found_by[..], &seen.streams[0].heard_on[..]),
            (&["dns-sd".to_owned()][..], &["veth0".to_owned()][..])
        );
        let interface = seen.interfaces.iter().find(|it| it.name == "veth0").expect("is there");
        assert_eq!((interface.ravenna, interface.sessions_found), (true, 1));

        // A new name is pushed: the same node with the same media.
        device.sessions.send(session(text(2, "Microphones"))).expect("the device runs");
        let renamed = |keys: &_| nodes(keys)[0].1.text.name == "Microphones";
        let keys = world.until_metadata("the new name", renamed).await;
        let (same, after) = nodes(&keys).remove(0);
        assert_eq!((same, after.media, after.legs), (key, node.media, node.legs));

        // The same stream is announced as well: still one.
        stranger.announce(&text(2, "Microphones"));
        let both = |seen: &wireloom_dbus::Snapshot| seen.streams[0].found_by == ["sap", "dns-sd"];
        let seen = world.until_snapshot("both ways", both).await;
        assert_eq!(seen.streams.len(), 1);
        stranger.delete(&text(2, "Microphones"));
        world.until_snapshot("one way", |seen| seen.streams[0].found_by == ["dns-sd"]).await;

        responder.shutdown().expect("ends").recv_async().await.expect("ended");
        world.until_metadata("no node", |keys| nodes(keys).is_empty()).await;
        world.until_snapshot("no object", |seen| seen.streams.is_empty()).await;
    });
}

#[test]
fn servers_of_nonsense_are_borne_and_a_taken_port_is_said() {
    world::run("servers_of_nonsense_are_borne_and_a_taken_port_is_said", async || {
        let mut world = World::new().await;
        world.configure("rtsp-port = 9999\n");
        world.start_pipewire(true).await;
        let taken = TcpListener::bind(("192.0.2.10", 9999)).expect("is free");
        world.start_agent().await;
        let nonsense: [&'static [u8]; 4] = [
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"RTSP/1.0 200 OK\r\nContent-Length: 99999999\r\n\r\n",
            b"RTSP/1.0 302 Found\r\nCSeq: 1\r\nLocation: rtsp://203.0.113.1/x\r\n\r\n",
            b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 8\r\n\r\nv=0\r\ns=\x1b",
        ];
        let mut responders = Vec::new();
        for (number, bytes) in (0..).zip(nonsense) {
            let listener = TcpListener::bind(("192.0.2.22", 0)).expect("the address is ours");
            let port = listener.local_addr().expect("bound").port();
            std::thread::spawn(move || {
                while let Ok((mut stream, _)) = listener.accept() {
                    let _ = stream.read(&mut [0; 512]);
                    let _ = stream.write_all(bytes);
                }
            });
            responders.push(publish(&format!("Nonsense {number}"), 22, port));
        }
        // The one that can be read as far as it goes is listed, with its reason.
        let listed =
            |seen: &wireloom_dbus::Snapshot| seen.streams.iter().any(|it| it.hidden_reason == "unreadable");
        let seen = world.until_snapshot("what cannot be read", listed).await;
        assert!(seen.streams.iter().all(|stream| !stream.name.chars().any(char::is_control)));

        // Our own stream says why RAVENNA devices cannot have it, and gives itself when the port is free.
        world.manager().await.create_stream("Drums", 2, HashMap::new()).await.expect("creates");
        let own = |seen: &wireloom_dbus::Snapshot| seen.streams.iter().find(|it| it.origin == "own").cloned();
        let says = |seen: &wireloom_dbus::Snapshot| {
            own(seen).is_some_and(|own| own.warnings.iter().any(|why| why.contains("TCP port 9999")))
        };
        world.until_snapshot("that the port is taken", says).await;
        drop(taken);
        let seen = world.until_snapshot("that it is free", |seen| !says(seen)).await;
        let mut client = TcpStream::connect(("192.0.2.10", 9999)).expect("is served");
        client
            .write_all(b"DESCRIBE rtsp://192.0.2.10:9999/by-id/0 RTSP/1.0\r\nCSeq: 1\r\n\r\n")
            .expect("is taken");
        client.set_read_timeout(Some(Duration::from_secs(30))).expect("can be set");
        let mut answer = [0; 4096];
        let length = client.read(&mut answer).expect("is answered");
        assert!(answer[..length].starts_with(b"RTSP/1.0 404 "), "no session has the number 0");
        let version = own(&seen).expect("is there").sdp_text;
        let number =
            version.lines().find_map(|line| line.strip_prefix("o=- ")?.split(' ').next()).expect("o=");
        let request = format!("DESCRIBE rtsp://192.0.2.10:9999/by-id/{number} RTSP/1.0\r\nCSeq: 2\r\n\r\n");
        client.write_all(request.as_bytes()).expect("is taken");
        let length = client.read(&mut answer).expect("is answered");
        let text = String::from_utf8_lossy(&answer[..length]);
        assert!(text.ends_with(&version), "{text}\ninstead of\n{version}");
        assert_eq!(world.snapshot().await.streams.iter().filter(|it| it.origin == "own").count(), 1);
    });
}

#[test]
fn withdrawing_one_session_leaves_the_others() {
    world::run("withdrawing_one_session_leaves_the_others", async || {
        let mut world = World::new().await;
        world.start_agent().await;
        let browser = ServiceDaemon::new().expect("a browser");
        browser.disable_interface(IfKind::All).expect("taken");
        browser.enable_interface("veth0").expect("taken");
        let found = browser.browse(SESSION_TYPE).expect("browses");
        let mut paths = Vec::new();
        for name in ["Drums", "Keys"] {
            paths.push(world.manager().await.create_stream(name, 2, HashMap::new()).await.expect("creates"));
        }
        // A withdrawal takes the addresses of the session's host with it: no two share one.
        let hosts = std::cell::RefCell::new(std::collections::BTreeMap::new());
        let next = async || {
            let event = tokio::time::timeout(Duration::from_secs(40), found.recv_async()).await;
            match event.expect("in time").expect("the browser runs") {
                mdns_sd::ServiceEvent::ServiceResolved(service) => {
                    hosts.borrow_mut().insert(service.host.clone(), service.fullname.clone());
                    Some((service.fullname, true))
                }
                mdns_sd::ServiceEvent::ServiceRemoved(_, name) => Some((name, false)),
                _ => None,
            }
        };
        let is_of = |full_name: &str, name: &str| full_name.contains(&format!(" {name}._rtsp."));
        let mut there = std::collections::BTreeSet::new();
        while there.len() < 2 {
            match next().await {
                Some((name, true)) => drop(there.insert(name)),
                Some((name, false)) => panic!("{name} went"),
                None => {}
            }
        }
        assert_eq!(hosts.borrow().len(), 2, "{hosts:?}");
        let drums =
            wireloom_dbus::StreamProxy::builder(&world.connection).path(paths.remove(0)).build().await;
        drums.expect("a proxy").remove(HashMap::new()).await.expect("removes");
        loop {
            if let Some((name, false)) = next().await {
                assert!(is_of(&name, "Drums"), "{name} went as well");
                break;
            }
        }
        // What is said after that comes after what would have been said of the other.
        world.manager().await.create_stream("Bass", 2, HashMap::new()).await.expect("creates");
        loop {
            match next().await {
                Some((name, true)) if is_of(&name, "Bass") => break,
                Some((name, false)) => assert!(is_of(&name, "Drums"), "{name} went as well"),
                _ => {}
            }
        }
    });
}
