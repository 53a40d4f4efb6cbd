//! Who is asked, and who never is.

use std::net::{IpAddr, SocketAddr};

use tokio::sync::mpsc;
use wireloom_ravenna::{InstanceName, Location};

use super::{Hub, MAX_SERVERS, MAX_SESSIONS};
use crate::model::InterfaceFacts;
use crate::ravenna::client::Report;
use crate::ravenna::discovery::{Found, Published};
use crate::ravenna::{Event, Own, Plan};
use crate::time::Clock;

fn hub() -> (Hub, mpsc::Receiver<Event>, mpsc::Receiver<Report>) {
    let (events, heard) = mpsc::channel(4096);
    let (reports, reported) = mpsc::channel(64);
    let mut hub = Hub::new(Clock::start(), events, reports, "studio".to_owned());
    let facts = InterfaceFacts {
        name: "eth0".into(),
        index: 2,
        addresses: vec![([192, 0, 2, 10].into(), 24), ("fe80::1".parse().expect("valid"), 64)],
        ..InterfaceFacts::default()
    };
    hub.plan = Plan { interfaces: vec![facts], port: 8854, ..Plan::default() };
    (hub, heard, reported)
}

fn name(text: &str) -> InstanceName {
    InstanceName::new(text).expect("a label")
}

async fn find(hub: &mut Hub, text: &str, addresses: &[&str], port: u16) -> Option<SocketAddr> {
    let addresses: Vec<IpAddr> = addresses.iter().map(|it| it.parse().expect("valid")).collect();
    assert!(hub.take_found(Found::Session(name(text), addresses, port)).await.is_ok());
    hub.sessions.get(&name(text)).map(|(server, _)| *server)
}

fn inside<F: Future<Output = ()>>(test: F) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(test);
}

#[test]
fn only_hosts_of_the_networks_in_use_are_asked() {
    inside(async {
        let (mut hub, mut heard, _reports) = hub();
        for (text, addresses) in
            [("far", &["203.0.113.9"][..]), ("self", &["127.0.0.1", "::1"]), ("none", &[])]
        {
            assert_eq!(find(&mut hub, text, addresses, 8554).await, None, "{text}");
        }
        let near = find(&mut hub, "near", &["203.0.113.9", "fe80::9", "192.0.2.31"], 8554).await;
        assert_eq!(near, Some("192.0.2.31:8554".parse().expect("valid")));
        // A redirection leads no farther.
        let moved = |to: [u8; 4]| Report::Moved {
            server: "192.0.2.31:8554".parse().expect("valid"),
            session: "near".into(),
            location: Location { address: to.into(), port: 22, path: "/x".into() },
        };
        assert!(hub.take_report(moved([203, 0, 113, 9])).await.is_ok());
        assert_eq!(hub.sessions[&name("near")].0.to_string(), "192.0.2.31:8554");
        assert!(hub.take_report(moved([192, 0, 2, 32])).await.is_ok());
        assert_eq!(
            hub.sessions[&name("near")],
            ("192.0.2.32:22".parse().expect("valid"), Some("/x".to_owned()))
        );
        // What the server before says late is of no interest any more.
        let late = Report::Described {
            server: "192.0.2.31:8554".parse().expect("valid"),
            session: "near".into(),
            text: b"v=0".to_vec(),
        };
        assert!(hub.take_report(late).await.is_ok() && heard.try_recv().is_err());
        // Its name goes: so does it.
        assert!(hub.take_found(Found::Gone(name("near"))).await.is_ok());
        assert_eq!(heard.try_recv(), Ok(Event::Lost { session: "near".into() }));
        assert!(hub.servers.is_empty() && hub.sessions.is_empty());
    });
}

#[test]
fn our_own_sessions_are_not_asked_for() {
    inside(async {
        let (mut hub, _heard, _reports) = hub();
        hub.plan.own =
            ["Drums", "Drums"].map(|name| Own { id: 1, name: name.into(), sdp: "v=0".into() }).to_vec();
        let names: Vec<_> = hub.names().into_iter().map(|(name, _)| name.as_str().to_owned()).collect();
        assert_eq!(names, ["studio Drums", "studio Drums (2)"]);
        let published = Published { interface: "eth0".into(), address: [192, 0, 2, 10].into(), port: 8854 };
        hub.own = Some((published, tokio::sync::watch::channel(Vec::new()).0));
        assert_eq!(find(&mut hub, "any name", &["192.0.2.10"], 8854).await, None);
        assert_eq!(find(&mut hub, "studio Drums", &["192.0.2.10"], 9000).await, None);
        assert!(hub.take_found(Found::Renamed(name("studio Drums"), name("studio Drums (3)"))).await.is_ok());
        assert_eq!(find(&mut hub, "studio Drums (3)", &["192.0.2.10"], 9000).await, None);
        // Another program of this computer, and another computer with our name.
        assert!(find(&mut hub, "Daemon 1", &["192.0.2.10"], 8554).await.is_some());
        assert!(find(&mut hub, "studio Drums", &["192.0.2.77"], 8854).await.is_some());
    });
}

#[test]
fn floods_of_names_are_bounded() {
    inside(async {
        let (mut hub, _heard, _reports) = hub();
        for number in 0..3000_u32 {
            let host = format!("192.0.2.{}", 100 + number % 20);
            find(&mut hub, &format!("flood {number}"), &[&host], 8554).await;
        }
        assert_eq!((hub.sessions.len(), hub.servers.len()), (MAX_SESSIONS, 20));
        let (mut hub, _heard, _reports) = self::hub();
        for number in 0..1000_u16 {
            find(&mut hub, &format!("flood {number}"), &["192.0.2.100"], 1000 + number).await;
        }
        assert_eq!((hub.sessions.len(), hub.servers.len()), (MAX_SERVERS, MAX_SERVERS));
    });
}

#[test]
fn devices_of_oat_are_those_of_the_networks_in_use_and_never_too_many() {
    inside(async {
        let (mut hub, mut heard, _reports) = hub();
        let service = |number: usize| format!("MixTEE {number}._http._tcp.local.");
        let found = |number: usize, addresses: &[&str]| {
            let addresses = addresses.iter().map(|it| it.parse().expect("valid")).collect();
            Found::Control(service(number), "mixtee-01b7.local.".into(), addresses, 80)
        };
        for addresses in [&["203.0.113.9"][..], &["127.0.0.1"], &["192.0.2.10"], &["fe80::9"], &[]] {
            assert!(hub.take_found(found(1, addresses)).await.is_ok());
            assert!(heard.try_recv().is_err(), "{addresses:?} is no device near us");
        }
        for addresses in [&["203.0.113.9", "192.0.2.31"][..], &["192.0.2.30", "192.0.2.31"]] {
            assert!(hub.take_found(found(1, addresses)).await.is_ok());
        }
        let address = "192.0.2.31:80".parse().expect("valid");
        let host = "mixtee-01b7.local.".to_owned();
        assert_eq!(heard.try_recv(), Ok(Event::Control { name: service(1), host, address }));
        assert!(heard.try_recv().is_err(), "once is enough");
        // A page that is none of OAT's goes, then the device itself.
        for number in [7, 1] {
            assert!(hub.take_found(Found::ControlGone(service(number))).await.is_ok());
        }
        assert_eq!(heard.try_recv(), Ok(Event::ControlLost { name: service(1) }));
        assert!(heard.try_recv().is_err());
        for number in 0..1000 {
            assert!(hub.take_found(found(number, &["192.0.2.31"])).await.is_ok());
        }
        assert_eq!(hub.controls.len(), super::MAX_CONTROLS);
        hub.plan.interfaces.clear();
        assert!(hub.settle().await.is_ok());
        assert!(hub.controls.is_empty(), "no network is in use any more");
    });
}

#[test]
fn servers_that_send_us_to_each_other_are_let_be() {
    inside(async {
        let (mut hub, _heard, _reports) = hub();
        find(&mut hub, "loop", &["192.0.2.31"], 8554).await;
        let current = |hub: &Hub| hub.sessions[&name("loop")].0;
        let moved = |hub: &Hub| {
            let other = if current(hub).port() == 8554 { 8555 } else { 8554 };
            let location = Location { address: [192, 0, 2, 31].into(), port: other, path: "/x".into() };
            Report::Moved { server: current(hub), session: "loop".into(), location }
        };
        let follow = async |hub: &mut Hub| {
            let mut moves = 0;
            for _ in 0..100 {
                let (before, report) = (current(hub), moved(hub));
                assert!(hub.take_report(report).await.is_ok());
                moves += usize::from(current(hub) != before);
            }
            moves
        };
        assert_eq!(follow(&mut hub).await, 3);
        let described =
            Report::Described { server: current(&hub), session: "loop".into(), text: b"v=0".to_vec() };
        assert!(hub.take_report(described).await.is_ok());
        assert_eq!(follow(&mut hub).await, 3, "it was described: a new search");
        assert!(hub.take_found(Found::Gone(name("loop"))).await.is_ok());
        assert!(hub.moves.is_empty());
    });
}

#[test]
fn what_a_flood_costs_is_said() {
    inside(async {
        let (mut hub, mut heard, _reports) = hub();
        let facts =
            InterfaceFacts { addresses: vec![([127, 0, 0, 1].into(), 8)], ..InterfaceFacts::default() };
        let own = Own { id: 1, name: "Drums".into(), sdp: "v=0".into() };
        hub.plan = Plan { publish: Some((facts, [127, 0, 0, 1].into())), own: vec![own], ..Plan::default() };
        hub.rest = super::REST;
        assert!(hub.settle().await.is_ok());
        let Ok(Event::Trouble(why)) = heard.try_recv() else { panic!("nothing is said") };
        assert!(why.contains(super::FLOODED), "{why}");
        for _ in 0..super::REST {
            assert!(hub.check().await.is_ok());
        }
        assert_eq!(heard.try_recv(), Ok(Event::Trouble(String::new())));
    });
}
