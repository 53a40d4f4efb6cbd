//! The agent as a server of the usrvclock protocol, seen by a client that knows only the protocol.

mod world;

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use wireloom_clock_page::{Line, LineState, Source, Writer, raw_now};
use wireloom_units::{ClockIdentity, TaiTime};
use world::World;

/// A client as those of Inferno: a socket with a path, which says that it is there and reads what it is told.
struct Client {
    socket: UnixDatagram,
    server: std::path::PathBuf,
}

/// What a datagram says, as the protocol lays it out.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Overlay {
    valid: bool,
    clock_id: i64,
    last_sync: i64,
    shift: i64,
    freq_scale: f64,
}

impl Overlay {
    fn parse(octets: &[u8]) -> Self {
        assert_eq!((octets.len(), &octets[..2]), (40, &b"VC"[..]));
        let short = |at: usize| u16::from_ne_bytes(octets[at..at + 2].try_into().expect("two octets"));
        let long = |at: usize| octets[at..at + 8].try_into().expect("eight octets");
        assert_eq!((short(2), short(4)), (1, 0), "version");
        Self {
            valid: short(6) & 1 == 1,
            clock_id: i64::from_ne_bytes(long(8)),
            last_sync: i64::from_ne_bytes(long(16)),
            shift: i64::from_ne_bytes(long(24)),
            freq_scale: f64::from_ne_bytes(long(32)),
        }
    }

    fn at(&self, time: i64) -> i64 {
        let drift = (time - self.last_sync) as f64 * self.freq_scale;
        time + self.shift + drift.round() as i64
    }
}

impl Client {
    fn new(world: &World, name: &str) -> Self {
        let socket = UnixDatagram::bind(world.path(name)).expect("a path of its own");
        for set in [UnixDatagram::set_read_timeout, UnixDatagram::set_write_timeout] {
            set(&socket, Some(Duration::from_secs(20))).expect("can be set");
        }
        Self { socket, server: world.path("usrvclock") }
    }

    fn ask(&self) {
        self.socket.send_to(b"hello", &self.server).expect("the server takes it");
    }

    fn read(&self) -> Overlay {
        let mut octets = [0; 100];
        let length = self.socket.recv(&mut octets).expect("an answer");
        Overlay::parse(&octets[..length])
    }

    /// The first answer that is as `wanted`, without asking again.
    fn until(&self, what: &str, wanted: impl Fn(&Overlay) -> bool) -> Overlay {
        let mut answers = (0..100).map(|_| self.read());
        answers.find(wanted).unwrap_or_else(|| panic!("waited in vain for {what}"))
    }
}

/// A line that gains `ppm` and began at `seconds` of TAI.
fn line(seconds: i64, ppm: i64, generation: u32) -> Line {
    Line {
        source: Source::PtpV2(0),
        state: LineState::Locked,
        generation,
        base: raw_now(),
        time: TaiTime::from_nanos(seconds * 1_000_000_000),
        rate: (ppm << 40) / 1_000_000,
        error_bound_ns: 500,
        leader: ClockIdentity(world::LEADER),
    }
}

fn publish(path: &Path, line: &Line) -> Writer {
    let mut writer = Writer::create(path).expect("a page can be made");
    writer.publish(line).expect("the page has room");
    writer.beat(raw_now());
    writer
}

async fn serving() -> World {
    let mut world = World::new().await;
    let path = world.path("usrvclock");
    world.configure(&format!("usrvclock-export = true\nusrvclock-path = {path:?}"));
    world.start_agent().await;
    world::until("the socket", || path.exists()).await;
    world
}

#[test]
fn clients_of_usrvclock_have_the_time_of_the_page() {
    world::run("clients_of_usrvclock_have_the_time_of_the_page", async || {
        let mut world = serving().await;
        let [client, other] = ["first", "second"].map(|name| Client::new(&world, name));
        client.ask();
        assert!(!client.read().valid, "without a clock service there is no clock");

        let first = line(1_767_225_637, 80, 1);
        let mut writer = publish(&world.path("clock"), &first);
        let agrees = |told: &Overlay, line: &Line| {
            let times = [told.last_sync, told.last_sync + 1_000_000_000, told.last_sync + 60_000_000_000];
            told.clock_id == 4
                && times.iter().all(|time| (told.at(*time) - line.at(*time).as_nanos()).abs() <= 2)
        };
        let told = client.until("a clock", |told| told.valid);
        assert!(agrees(&told, &first), "{told:?} is not {first:?}");

        other.ask();
        assert!(agrees(&other.read(), &first));
        let second = line(1_767_999_999, -35, 2);
        writer.publish(&second).expect("the page has room");
        writer.beat(raw_now());
        for client in [&client, &other] {
            client.until("the other line, unasked", |told| agrees(told, &second));
        }

        // The heart stops: what was said last goes on, and is told as new.
        let before = client.read();
        world
            .until_snapshot("no clock service", |seen| {
                seen.clocks.iter().all(|clock| clock.state != "locked")
            })
            .await;
        while client.socket.set_nonblocking(true).is_ok() && client.socket.recv(&mut [0; 100]).is_ok() {}
        client.socket.set_nonblocking(false).expect("can be set");
        let after = client.read();
        assert!(after.last_sync > before.last_sync && agrees(&after, &second), "{after:?}");

        let path = world.path("usrvclock");
        world.stop_agent().await;
        assert!(!path.exists(), "the socket went with its server");
    });
}

#[test]
fn a_client_that_does_not_read_holds_up_nobody() {
    world::run("a_client_that_does_not_read_holds_up_nobody", async || {
        let world = serving().await;
        let _writer = publish(&world.path("clock"), &line(1_767_225_637, 0, 1));
        let [deaf, client, gone] = ["deaf", "client", "gone"].map(|name| Client::new(&world, name));
        for _ in 0..2000 {
            deaf.ask(); // more answers than any queue holds
        }
        gone.ask();
        drop(gone);
        for _ in 0..50 {
            client.ask();
        }
        client.until("a clock", |told| told.valid);
        let mut last = 0;
        for _ in 0..3 {
            // Told unasked, behind the deaf one and the one that is gone.
            let told = client.until("a later word", |told| told.last_sync > last + 900_000_000);
            last = told.last_sync;
        }
    });
}
