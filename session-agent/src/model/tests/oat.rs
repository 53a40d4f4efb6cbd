//! Streams of OpenAudioTools: named, asked for, given back, offline by their own rule.

use std::net::{Ipv4Addr, SocketAddrV4};

use wireloom_oat::{Admission, Message, Offered, Op, SenderConfig, SubscriptionSender};
use wireloom_units::{Channels, Samples, Ssrc};
use wireloom_wanted::Protocol;

use super::*;

const OURS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
const SENDER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 21), 50_000);

/// As on the networking page of OAT, at this address.
fn page(host: u8) -> String {
    format!(
        "v=0\r\no=syntee-a3f2 1 1 IN IP4 192.0.2.{host}\r\ns=Bass Synth — Out 1-2\r\nc=IN IP4 192.0.2.{host}\r\n\
         t=0 0\r\nm=audio 50000 RTP/AVP 97\r\na=rtpmap:97 L24/48000/2\r\na=ptime:1\r\n\
         a=ts-refclk:ptp=IEEE1588-2008\r\na=mediaclk:direct=0\r\n"
    )
}

fn sender() -> SubscriptionSender {
    let mut sender = SubscriptionSender::new(&SenderConfig::new([1; 16]));
    let offered = Offered {
        stream: 1,
        port: 50_000,
        ssrc: Ssrc(1),
        samples_per_packet: Samples(48),
        channels: Channels::new(2).expect("in range"),
        payload_type: 97,
        admission: Admission::Everybody,
    };
    sender.offer(offered).expect("there is room");
    sender
}

impl Bench {
    fn linked(&mut self, node: &str, port: u16, links: u32, state: &str) {
        let value = format!(r#"{{"state": "{state}", "links": {links}, "port": {port}}}"#);
        self.event(GraphEvent::Property { key: Some(format!("state.{node}")), value: Some(value) });
        self.settle();
    }

    /// Carries messages both ways; answers what this computer said.
    fn talk(&mut self, sender: &mut SubscriptionSender) -> Vec<Message> {
        let mut said = Vec::new();
        while let Some(outgoing) = self.model.poll_subscription() {
            assert_eq!((outgoing.local, outgoing.to), (OURS, SENDER));
            said.push(Message::parse(&outgoing.bytes).expect("a message"));
            let from = SocketAddrV4::new(outgoing.local, 40_000);
            if let Ok(Some(answer)) =
                sender.handle_datagram(self.now.mono, SENDER.port(), from, &outgoing.bytes)
            {
                self.model.handle_subscription(self.now, outgoing.local, SENDER, &answer);
            }
        }
        said
    }

    fn only(&self) -> (String, Node) {
        let [(id, node)] = &self.nodes()[..] else { panic!("not one node: {:?}", self.nodes()) };
        ((*id).to_owned(), node.clone())
    }
}

#[test]
fn the_page_of_oat_is_a_device_with_a_stream_that_is_asked_for() {
    let mut bench = Bench::new(Saved::default());
    bench.connect();
    bench.hear(&page(21));
    let (_, node) = bench.only();
    assert_eq!((node.protocol, node.text.description.as_str()), (Protocol::Oat, "Bass Synth — Out 1-2"));
    assert_eq!(node.channels, ["Out 1", "Out 2"]);
    let leg = &node.legs[0];
    assert_eq!((leg.address, leg.source), (OURS.into(), Some((*SENDER.ip()).into())));
    assert!((50_064..=50_079).contains(&leg.port), "{}", leg.port);
    let keepalive = node.keepalive.as_ref().expect("firewalls are opened");
    assert_eq!((keepalive.to, keepalive.octets()), (SENDER.into(), Some(wireloom_oat::OPEN_WAY.to_vec())));
    let world = bench.model.refresh_world(bench.now);
    let device = world.devices.values().find(|device| device.id == node.device).expect("its device");
    assert_eq!(device.name, "Bass Synth");
}

#[test]
fn a_link_is_a_lease_and_its_end_gives_it_back() {
    let (mut bench, mut sender) = (Bench::new(Saved::default()), sender());
    bench.connect();
    bench.hear(&page(21));
    let (id, node) = bench.only();
    let port = node.legs[0].port;
    assert!(bench.talk(&mut sender).is_empty(), "nobody listens");
    bench.linked(&id, port, 2, "waiting");
    bench.talk(&mut sender);
    let to: Vec<_> = sender.subscribers(1).map(|copy| copy.to).collect();
    assert_eq!(to, [SocketAddrV4::new(OURS, port)]);
    // Announced and renewed for minutes.
    for _ in 0..30 {
        bench.pass(10);
        bench.hear(&page(21));
        bench.linked(&id, port, 2, "running");
        bench.talk(&mut sender);
        sender.handle_timeout(bench.now.mono);
        assert_eq!(sender.subscribers(1).count(), 1);
    }
    bench.linked(&id, 0, 0, "idle");
    let said = bench.talk(&mut sender);
    assert_eq!(said.iter().map(|message| message.op).collect::<Vec<_>>(), [Op::Unsubscribe]);
    assert_eq!(sender.subscribers(1).count(), 0);
    bench.pass(1);
    assert_eq!(bench.talk(&mut sender).len(), 1, "farewells that are due together are one");
}

#[test]
fn an_agent_that_starts_again_goes_on_with_the_lease_before_it_hears_an_announcement() {
    let (mut first, mut sender) = (Bench::new(Saved::default()), sender());
    first.connect();
    first.hear(&page(21));
    let (id, node) = first.only();
    let port = node.legs[0].port;
    first.linked(&id, port, 2, "waiting");
    first.talk(&mut sender);

    let mut next = Bench::new(Saved::default());
    next.object = first.object.clone();
    let state = format!(r#"{{"state": "running", "links": 2, "port": {port}}}"#);
    next.object.insert(format!("state.{id}"), state);
    next.connect();
    next.linked(&id, port, 2, "running");
    let said = next.talk(&mut sender);
    assert_eq!(said.iter().map(|message| message.op).collect::<Vec<_>>(), [Op::Subscribe; 2]);
    let to: Vec<_> = sender.subscribers(1).map(|copy| copy.to).collect();
    assert_eq!(to, [SocketAddrV4::new(OURS, port)], "the same flow, not another");
    next.hear(&page(21));
    assert!(next.talk(&mut sender).is_empty(), "the announcement changes nothing");
    assert_eq!(next.object.get(&format!("node.{id}")), first.object.get(&format!("node.{id}")));
}

#[test]
fn a_sender_that_does_not_answer_offered_a_subscription_or_not() {
    for (offer, text) in [
        ("", "Its sender offers no subscription"),
        ("a=x-oat:1 sid=1 sub=udp\r\n", "Its sender does not answer"),
    ] {
        let mut bench = Bench::new(Saved::default());
        bench.connect();
        bench.hear(&(page(21) + offer));
        let (id, node) = bench.only();
        bench.linked(&id, node.legs[0].port, 2, "waiting");
        bench.pass(8);
        let world = bench.model.refresh_world(bench.now);
        let condition = &world.streams.values().next().expect("is there").condition;
        assert!(condition.text.contains(text), "{condition:?}");
    }
}

#[test]
fn silence_is_stale_at_45_s_offline_at_105_s_and_the_return_is_the_same_node() {
    let mut bench = Bench::new(Saved::default());
    bench.connect();
    bench.hear(&page(21));
    let (id, _) = bench.only();
    bench.state(&id, 2, "silent");
    let origin = |bench: &mut Bench| {
        let world = bench.model.refresh_world(bench.now);
        world.streams.values().next().map(|stream| stream.origin)
    };
    bench.pass(44);
    assert_eq!(origin(&mut bench), Some("announced"));
    bench.pass(2);
    assert_eq!(origin(&mut bench), Some("stale"));
    bench.pass(58);
    assert!(!bench.only().1.offline);
    bench.pass(2);
    assert!(bench.only().1.offline, "linked: it stays, offline");
    bench.pass(1);
    bench.hear(&page(21));
    assert_eq!((bench.only().0, bench.only().1.offline), (id.clone(), false));
    assert_eq!(origin(&mut bench), Some("announced"));

    bench.state(&id, 0, "idle");
    for _ in 0..120 {
        bench.pass(1);
        bench.model.poll_save(bench.now);
        let due = bench.model.poll_timeout();
        assert!(due.is_none_or(|due| due > bench.now.mono), "{due:?} has passed");
    }
    assert!(bench.nodes().is_empty(), "nobody needs it");
    bench.hear(&page(21));
    assert_eq!(bench.only().0, id);
}

#[test]
fn another_address_is_the_same_stream_of_the_same_device() {
    let mut bench = Bench::new(Saved::default());
    bench.connect();
    bench.hear(&page(21));
    let (id, node) = bench.only();
    bench.hear(&page(77));
    let moved = bench.nodes().into_iter().find(|(other, _)| *other == id).expect("still there").1;
    assert_eq!(moved.device, node.device);
    assert_eq!(moved.legs[0].source, Some(IpAddr::from([192, 0, 2, 77])));
}

#[test]
fn a_device_that_starts_again_with_another_session_has_the_same_stream() {
    let mut bench = Bench::new(Saved::default());
    bench.connect();
    let boot = |host: u8, session: u32| page(host).replace(" 1 1 IN", &format!(" {session} {session} IN"));
    let origin = |bench: &mut Bench| {
        let world = bench.model.refresh_world(bench.now);
        world.streams.values().map(|stream| stream.origin).collect::<Vec<_>>()
    };
    bench.hear(&boot(21, 3_970_000_001));
    let (id, _) = bench.only();
    bench.state(&id, 2, "silent");
    // It was off for a moment: the session of before is not overdue yet, and never heard again.
    bench.pass(3);
    for _ in 0..20 {
        bench.hear(&boot(21, 3_970_000_060));
        assert_eq!((bench.only().0, origin(&mut bench)), (id.clone(), vec!["announced"]));
        bench.pass(10);
    }
    // Off for long, and back elsewhere.
    bench.pass(400);
    assert!(bench.only().1.offline);
    bench.hear(&boot(21, 3_970_000_500));
    assert_eq!((bench.only().0, bench.only().1.offline), (id.clone(), false));
    // One that has the same name at the same time is another.
    bench.hear_from(22, &boot(22, 3_970_000_600));
    bench.settle();
    assert_eq!(bench.nodes().len(), 2);
}

#[test]
fn two_devices_with_one_suffix_are_two() {
    let mut bench = Bench::new(Saved::default());
    bench.connect();
    bench.hear(&page(21));
    bench.hear(&page(22).replace("syntee-a3f2", "syntee-a3f2-2"));
    let nodes = bench.nodes();
    assert_eq!(nodes.len(), 2);
    assert_ne!(nodes[0].1.device, nodes[1].1.device);
    assert_ne!(nodes[0].1.legs[0].port, nodes[1].1.legs[0].port, "each has a port of its own");
}

#[test]
fn a_port_that_is_taken_is_given_up_for_another() {
    let mut bench = Bench::new(Saved::default());
    bench.connect();
    bench.hear(&page(21));
    let (id, node) = bench.only();
    let value = r#"{"state": "error", "links": 2, "error": "binding the port: Address already in use"}"#;
    bench.event(GraphEvent::Property { key: Some(format!("state.{id}")), value: Some(value.to_owned()) });
    bench.settle();
    assert_ne!(bench.only().1.legs[0].port, node.legs[0].port);
}

#[test]
fn a_device_that_sends_nothing_is_controlled_where_dns_sd_says_and_is_one_with_its_streams() {
    use crate::ravenna::Event;
    let mut bench = Bench::new(Saved::default());
    bench.connect();
    let control = |host: &str, last: u8| Event::Control {
        name: format!("{host}._http._tcp.local."),
        host: format!("{host}.local."),
        address: SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, last), 80),
    };
    let devices = |bench: &Bench| bench.model.oat_plan().devices.keys().cloned().collect::<Vec<_>>();
    bench.model.handle_ravenna(bench.now, control("mixtee-01b7", 31));
    bench.model.handle_ravenna(bench.now, control("studio-pc", 21));
    bench.settle();
    assert_eq!(devices(&bench), ["192.0.2.21", "oat\tmixtee-01b7"]);
    // A stream says whose address that is; the device stays the same one when the stream has gone.
    let offer = "a=x-oat:1 sid=1 sub=udp ctl=http:80\r\n";
    bench.hear(&(page(21) + offer));
    assert_eq!(devices(&bench), ["oat\tmixtee-01b7", "oat\tsyntee-a3f2"]);
    bench.pass(400);
    assert!(bench.nodes().is_empty(), "the stream has gone");
    assert_eq!(devices(&bench), ["oat\tmixtee-01b7", "oat\tsyntee-a3f2"]);
    bench
        .model
        .handle_ravenna(bench.now, Event::ControlLost { name: "mixtee-01b7._http._tcp.local.".into() });
    bench.settle();
    assert_eq!(devices(&bench), ["oat\tsyntee-a3f2"]);
    bench.model.handle_active(false);
    bench.settle();
    assert!(devices(&bench).is_empty(), "another session is active");
}

#[test]
fn a_device_that_says_goodbye_is_suspect_at_once_and_trusted_when_it_is_heard() {
    use crate::ravenna::Event;
    let mut bench = Bench::new(Saved::default());
    bench.connect();
    let name = "SynTEE._http._tcp.local.".to_owned();
    let address = SocketAddrV4::new(*SENDER.ip(), 80);
    let control = Event::Control { name: name.clone(), host: "syntee-a3f2.local.".into(), address };
    bench.model.handle_ravenna(bench.now, control);
    bench.hear(&page(21));
    let origin = |bench: &mut Bench| {
        let world = bench.model.refresh_world(bench.now);
        world.streams.values().next().map(|stream| stream.origin)
    };
    bench.pass(1);
    bench.model.handle_ravenna(bench.now, Event::ControlLost { name });
    bench.settle();
    assert_eq!(origin(&mut bench), Some("stale"));
    bench.pass(1);
    bench.hear(&page(21));
    assert_eq!(origin(&mut bench), Some("announced"));
}

#[test]
fn streams_of_oat_have_room_for_the_bursts_of_their_senders() {
    let mut bench = Bench::new(Saved::default());
    bench.connect();
    bench.hear(&page(21));
    bench.hear_from(22, &sdp(4711, 22, "Stage", 1));
    let mut classes = |class: u32| {
        bench.model.handle_ask(bench.now, Ask::Set(Setting::LatencyFrames(class))).expect("in range");
        bench.settle();
        let of = |name: &str| {
            let nodes = bench.nodes();
            nodes.iter().find(|(_, node)| node.text.name.contains(name)).expect("has a node").1.latency
        };
        (of("Bass Synth"), of("Stage"))
    };
    assert_eq!(classes(144), (288, 144));
    assert_eq!(classes(48), (192, 48));
    assert_eq!(classes(200), (288, 200));
    assert_eq!(classes(960), (960, 960));
}

#[test]
fn what_is_sent_to_another_host_is_in_use_there_until_its_address_is_ours() {
    let mut bench = Bench::new(Saved::default());
    bench.connect();
    bench.hear(&sdp(4711, 21, "Stage", 1).replace("239.69.1.1/32", "192.0.2.99"));
    assert!(bench.nodes().is_empty());
    let world = bench.model.refresh_world(bench.now);
    let stream = world.streams.values().next().expect("an object");
    assert!(stream.condition.text.contains("in use by 192.0.2.99"), "{:?}", stream.condition);
    let facts = InterfaceFacts {
        name: "eth0".into(),
        index: 2,
        up: true,
        multicast: true,
        addresses: vec![(IpAddr::from([192, 0, 2, 99]), 24)],
        ..InterfaceFacts::default()
    };
    bench.model.handle_interfaces(bench.now, vec![facts]);
    bench.settle();
    assert_eq!(bench.nodes()[0].1.legs[0].address, IpAddr::from([192, 0, 2, 99]));
}

#[test]
fn who_claims_the_name_of_a_device_that_is_there_is_not_controlled_in_its_place() {
    use crate::ravenna::Event;
    let mut bench = Bench::new(Saved::default());
    bench.connect();
    let address = |last: u8| SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, last), 80);
    let claim = |service: &str, last| Event::Control {
        name: format!("{service}._http._tcp.local."),
        host: "mixtee-01b7.local.".into(),
        address: address(last),
    };
    let controlled = |bench: &Bench| bench.model.oat_plan().devices.values().copied().collect::<Vec<_>>();
    bench.model.handle_ravenna(bench.now, claim("MixTEE", 31));
    bench.settle();
    bench.model.handle_ravenna(bench.now, claim("Another", 66));
    bench.settle();
    assert_eq!(controlled(&bench), [address(31)]);
    // It moved; and then it went.
    bench.model.handle_ravenna(bench.now, claim("MixTEE", 32));
    bench.settle();
    assert_eq!(controlled(&bench).len(), 1);
    bench.model.handle_ravenna(bench.now, Event::ControlLost { name: "MixTEE._http._tcp.local.".into() });
    bench.settle();
    assert_eq!(controlled(&bench), [address(66)]);
}
