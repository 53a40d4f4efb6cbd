use std::net::{Ipv4Addr, SocketAddrV4};

use wireloom_oat::{Message, Op, Subscription, SubscriptionConfig, SubscriptionState};
use wireloom_units::Nanos;
use wireloom_wanted::{Copies, Direction, Node, Protocol};

use super::Bench;
use crate::request::{Ask, Flavour, NewStream, Refused};
use crate::store::Saved;

const OURS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
const ASKER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 77), 40_000);

fn new(channels: u32) -> NewStream {
    NewStream {
        name: "Drums — all".into(),
        channels,
        address: None,
        port: Flavour::Oat.port(),
        labels: None,
        encoding: "L24".into(),
        rate: 48_000,
        packet_frames: None,
        ttl: 32,
        dscp: 34,
        flavour: Flavour::Oat,
        interface: None,
        dry_run: false,
    }
}

fn receiver(bench: &Bench, stream: u32, port: u16) -> Subscription {
    let sender = SocketAddrV4::new(OURS, 50_000);
    let config = SubscriptionConfig { sender, stream, port, flags: 0, lease_s: 5, transaction: 3 };
    Subscription::new(bench.now.mono, config)
}

impl Bench {
    fn create(&mut self, channels: u32) -> String {
        let ids = self.model.handle_ask(self.now, Ask::Create(new(channels))).expect("can be made");
        self.settle();
        ids[0].clone()
    }

    /// Carries messages both ways; answers how often the set of receivers changed.
    fn serve(&mut self, receiver: &mut Subscription) -> usize {
        let mut changes = 0;
        while let Some((to, bytes)) = receiver.poll_transmit() {
            let (answer, changed) = self.model.handle_question(self.now, to.port(), ASKER, &bytes);
            changes += usize::from(changed);
            if let Some(answer) = answer {
                receiver.handle_datagram(self.now.mono, to, &answer).expect("a message");
            }
        }
        self.settle();
        changes
    }

    fn copies(&self) -> Vec<SocketAddrV4> {
        let [(_, node)] = &self.nodes()[..] else { panic!("not one node: {:?}", self.nodes()) };
        node.copies.clone().expect("it is sent to who asks").to
    }
}

#[test]
fn an_offered_stream_is_announced_as_the_page_of_oat_says_and_nothing_is_sent() {
    let mut bench = Bench::new(Saved::default());
    bench.model.handle_computer_name("Control room".into());
    bench.connect();
    bench.create(2);
    let [(_, node)] = &bench.nodes()[..] else { panic!("one node") };
    let Node { direction, protocol, legs, copies, .. } = node;
    assert_eq!((*direction, *protocol, legs.len()), (Direction::Transmit, Protocol::Oat, 0));
    assert_eq!(copies, &Some(Copies { port: 50_000, to: Vec::new() }));
    assert_eq!(bench.model.offer_sockets(), [SocketAddrV4::new(OURS, 50_000)]);
    assert!(bench.model.ravenna_plan().own.is_empty(), "RAVENNA cannot ask for it");

    let world = bench.model.refresh_world(bench.now);
    let sdp = world.streams.values().next().expect("an object").sdp.clone();
    let host = wireloom_oat::is_host_name;
    let user = sdp.lines().find_map(|line| line.strip_prefix("o=")?.split(' ').next()).expect("an origin");
    assert!(host(user), "{user}");
    for line in [
        "s=Control room — Drums - all",
        "c=IN IP4 192.0.2.10",
        "m=audio 50000 RTP/AVP 97",
        "a=rtpmap:97 L24/48000/2",
        "a=ptime:1",
        "a=framecount:48",
        "a=recvonly",
        "a=mediaclk:direct=0",
    ] {
        assert!(sdp.lines().any(|other| other == line), "{line} is not in\n{sdp}");
    }
    let read = wireloom_sdp::read(sdp.as_bytes()).expect("reads");
    let stream = &read.streams[0];
    let ask = crate::oat::ask(stream, OURS.into()).expect("receivers ask for it");
    assert_eq!((ask.sender, ask.stream), (SocketAddrV4::new(OURS, 50_000), read_number(&sdp)));
    assert!(ask.stream != 0 && stream.legs[0].sources.is_empty());
}

fn read_number(sdp: &str) -> u32 {
    let offer = sdp.lines().find_map(|line| line.strip_prefix("a=x-oat:")).expect("an offer");
    let offer: wireloom_oat::Offer = offer.parse().expect("well-formed");
    assert!(offer.subscription && offer.control_port.is_none());
    offer.stream
}

#[test]
fn what_oat_cannot_carry_is_refused_in_words() {
    let mut bench = Bench::new(Saved::default());
    bench.connect();
    let mut refusal = |change: &dyn Fn(&mut NewStream)| {
        let mut wrong = new(2);
        change(&mut wrong);
        match bench.model.handle_ask(bench.now, Ask::Create(wrong)) {
            Err(Refused::Invalid(why) | Refused::Conflict(why)) => why,
            other => panic!("{other:?}"),
        }
    };
    assert!(refusal(&|new| new.channels = 4).contains("2, 8 or 16 channels"));
    assert!(refusal(&|new| new.rate = 96_000).contains("48000"));
    assert!(refusal(&|new| new.encoding = "L16".into()).contains("L24"));
    assert!(refusal(&|new| new.address = Some(Ipv4Addr::new(239, 69, 1, 1))).contains("no group"));
    let long = refusal(&|new| (new.channels, new.packet_frames) = (16, Some(48)));
    assert!(long.contains("2304"), "{long}");
    bench.create(16);
    let [(_, node)] = &bench.nodes()[..] else { panic!("one node") };
    assert_eq!(node.media.samples_per_packet, 16, "sixteen channels of a millisecond do not fit");
}

#[test]
fn who_asks_gets_a_copy_until_the_lease_ends() {
    let mut bench = Bench::new(Saved::default());
    bench.connect();
    bench.create(2);
    let mut asker = receiver(&bench, 0, 50_064);
    assert_eq!(bench.serve(&mut asker), 1);
    assert_eq!(asker.state(), SubscriptionState::Active);
    assert_eq!(bench.copies(), [SocketAddrV4::new(*ASKER.ip(), 50_064)]);
    for _ in 0..60 {
        bench.pass(1);
        asker.handle_timeout(bench.now.mono);
        assert_eq!(bench.serve(&mut asker), 0, "a renewal changes nothing");
        assert_eq!(bench.copies().len(), 1);
    }
    bench.pass(4);
    assert_eq!(bench.copies().len(), 1, "not yet");
    bench.pass(2);
    assert_eq!(bench.copies(), []);
}

#[test]
fn an_agent_that_starts_again_leaves_the_receivers_of_its_streams() {
    let mut first = Bench::new(Saved::default());
    first.connect();
    first.create(2);
    let mut asker = receiver(&first, 0, 50_064);
    first.serve(&mut asker);
    let saved = first.model.unsaved().expect("there is something to save");
    let before = first.object.iter().find(|(key, _)| key.starts_with("node.")).expect("a node");

    let mut next = Bench::new(saved);
    next.now = first.now;
    next.now.mono = next.now.mono.plus(Nanos::from_secs(4));
    next.object = first.object.clone();
    next.connect();
    assert_eq!(next.object.get(before.0), Some(before.1), "nothing is written");
    let mut said = Vec::new();
    for _ in 0..100 {
        next.pass(1);
        asker.handle_timeout(next.now.mono);
        said.push(next.serve(&mut asker));
        assert_eq!(next.copies(), [SocketAddrV4::new(*ASKER.ip(), 50_064)]);
    }
    assert_eq!(said.iter().sum::<usize>(), 0, "one flow from first to last");
    next.pass(6);
    assert_eq!(next.copies(), [], "and its lease is one as others are");
}

#[test]
fn a_taken_port_is_left_for_another_and_the_network_hears_of_it() {
    let mut bench = Bench::new(Saved::default());
    bench.connect();
    bench.create(2);
    bench.model.handle_port_taken(bench.now, 50_000);
    bench.settle();
    assert_eq!(bench.model.offer_sockets(), [SocketAddrV4::new(OURS, 50_001)]);
    let world = bench.model.refresh_world(bench.now);
    let stream = world.streams.values().next().expect("an object");
    assert!(stream.sdp.contains("m=audio 50001 RTP/AVP 97"), "{}", stream.sdp);
    assert_eq!(bench.nodes()[0].1.copies.as_ref().map(|copies| copies.port), Some(50_001));
    let hello = Message { port: 50_064, ..Message::new(Op::Subscribe) };
    let (answer, _) = bench.model.handle_question(bench.now, 50_001, ASKER, &hello.emit());
    assert_eq!(answer.map(|answer| Message::parse(&answer).expect("ours").op), Some(Op::Challenge));
}

#[test]
fn a_removed_stream_is_sent_to_nobody() {
    let mut bench = Bench::new(Saved::default());
    bench.connect();
    let id = bench.create(2);
    let mut asker = receiver(&bench, 0, 50_064);
    bench.serve(&mut asker);
    bench.model.handle_ask(bench.now, Ask::Remove { id, dry_run: false }).expect("is ours");
    bench.settle();
    assert!(bench.nodes().is_empty() && bench.model.offer_sockets().is_empty());
    bench.model.poll_save(bench.now);
    assert_eq!(
        bench.model.poll_timeout().filter(|due| *due <= bench.now.mono),
        None,
        "nothing is due for ever"
    );
}
