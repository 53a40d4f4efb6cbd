//! RAVENNA sessions and announcements together.

use std::net::IpAddr;

use wireloom_wanted::Protocol;

use super::{Bench, sdp};
use crate::ravenna::Event;
use crate::request::{Ask, Flavour, NewStream};
use crate::store::Saved;

impl Bench {
    fn describe(&mut self, session: &str, host: u8, text: &str) {
        let server = IpAddr::from([192, 0, 2, host]);
        let event = Event::Described { session: session.into(), server, text: text.as_bytes().to_vec() };
        self.model.handle_ravenna(self.now, event);
        self.settle();
    }

    fn push(&mut self, host: u8, text: &str) {
        let server = IpAddr::from([192, 0, 2, host]);
        self.push_of(None, server, text);
    }

    fn push_of(&mut self, session: Option<&str>, server: IpAddr, text: &str) {
        let (session, text) = (session.map(str::to_owned), text.as_bytes().to_vec());
        self.model.handle_ravenna(self.now, Event::Announced { session, server, text });
        self.settle();
    }

    fn lose(&mut self, session: &str) {
        self.model.handle_ravenna(self.now, Event::Lost { session: session.into() });
        self.settle();
    }

    /// Longer than anything is remembered that nobody announces.
    fn pass_hours(&mut self) {
        (0..8).for_each(|_| self.pass(1800));
    }

    /// Name and ways of every stream.
    fn found(&mut self) -> Vec<(String, Vec<&'static str>)> {
        let world = self.model.refresh_world(self.now);
        world.streams.values().map(|stream| (stream.name.clone(), stream.found_by.clone())).collect()
    }
}

fn version(text: &str, version: u32) -> String {
    text.replacen(" 1 IN", &format!(" {version} IN"), 1)
}

#[test]
fn a_stream_found_both_ways_is_one() {
    for sap_first in [true, false] {
        let mut bench = Bench::new(Saved::default());
        bench.connect();
        let text = sdp(4711, 21, "Desk", 1);
        let ways: [&dyn Fn(&mut Bench); 2] =
            [&|bench| bench.hear(&text), &|bench| bench.describe("Studio Desk", 21, &text)];
        let order = if sap_first { [0, 1] } else { [1, 0] };
        order.iter().for_each(|way| ways[*way](&mut bench));
        assert_eq!(bench.found(), [("Desk".to_owned(), vec!["sap", "dns-sd"])]);
        let nodes = bench.nodes();
        let [(_, node)] = &nodes[..] else { panic!("one node, not {nodes:?}") };
        // The protocol that it was found by first stays.
        assert_eq!(node.protocol, if sap_first { Protocol::Aes67 } else { Protocol::Ravenna });
        assert_eq!(node.legs[0].interface.as_deref(), Some("eth0"));
        let world = bench.model.refresh_world(bench.now);
        assert_eq!(world.streams.values().next().expect("one").heard_on, ["eth0"]);
        // Without announcements it lives by its session; without that it goes at once.
        bench.pass_hours();
        assert_eq!(bench.found(), [("Desk".to_owned(), vec!["dns-sd"])]);
        bench.lose("Studio Desk");
        assert_eq!(bench.found(), []);
        assert!(bench.object.is_empty());
    }
}

#[test]
fn an_announced_stream_outlives_its_session() {
    let mut bench = Bench::new(Saved::default());
    bench.connect();
    let text = sdp(4711, 21, "Desk", 1);
    bench.describe("Studio Desk", 21, &text);
    bench.hear(&text);
    bench.lose("Studio Desk");
    assert_eq!(bench.found(), [("Desk".to_owned(), vec!["sap"])]);
    bench.pass_hours();
    assert_eq!(bench.found(), []);
}

#[test]
fn the_newest_version_counts_and_of_equal_ones_the_described() {
    let mut bench = Bench::new(Saved::default());
    bench.connect();
    let text = |number: u32, name: &str| version(&sdp(4711, 21, name, 1), number);
    let name = |bench: &mut Bench| bench.found().remove(0).0;
    bench.hear(&text(1, "announced 1"));
    bench.describe("S", 21, &text(1, "described 1"));
    assert_eq!(name(&mut bench), "described 1");
    bench.hear(&text(1, "announced 1 again"));
    assert_eq!(name(&mut bench), "described 1");
    bench.hear(&text(3, "announced 3"));
    assert_eq!(name(&mut bench), "announced 3");
    bench.describe("S", 21, &text(2, "described 2"));
    assert_eq!(name(&mut bench), "announced 3");
    bench.push(21, &text(4, "described 4"));
    assert_eq!(name(&mut bench), "described 4");
    assert_eq!(bench.nodes().len(), 1);
}

#[test]
fn a_changed_name_or_clock_leaves_the_media_of_a_node_as_it_is() {
    let mut bench = Bench::new(Saved::default());
    bench.connect();
    let text = sdp(4711, 21, "Desk", 1);
    bench.describe("Studio Desk", 21, &text);
    let key = bench.nodes()[0].0.to_owned();
    let before = bench.nodes()[0].1.clone();
    bench.state(&key, 2, "running");
    let clock = "a=ts-refclk:ptp=IEEE1588-2008:00-1D-C1-FF-FE-12-00-A4:0\r\n";
    bench.push(21, &(version(&text, 2).replace("s=Desk", "s=Table") + clock));
    let nodes = bench.nodes();
    let [(same, after)] = &nodes[..] else { panic!("one node, not {nodes:?}") };
    assert_eq!((*same, &after.media, &after.legs), (&*key, &before.media, &before.legs));
    assert_eq!(after.text.name, "Table");
    // Another group is another address of the same node.
    let moved = version(&text, 3).replace("239.69.1.1", "239.69.1.9");
    bench.push(21, &moved);
    let nodes = bench.nodes();
    assert_eq!((nodes.len(), nodes[0].0, nodes[0].1.legs[0].address), (1, &*key, [239, 69, 1, 9].into()));
    // Its device leaves: what is linked stays, and is taken up again when it is back.
    bench.state(&key, 2, "silent");
    bench.lose("Studio Desk");
    assert!(bench.nodes()[0].1.offline);
    bench.describe("Studio Desk", 21, &moved);
    assert!(!bench.nodes()[0].1.offline);
}

#[test]
fn streams_with_one_origin_are_told_apart_when_pushed() {
    let mut bench = Bench::new(Saved::default());
    bench.connect();
    let text = |name: &str, group: u8| sdp(1, 61, name, group);
    bench.describe("xNode 1", 61, &text("Mic", 1));
    bench.describe("xNode 2", 61, &text("Line", 2));
    assert_eq!(bench.nodes().len(), 2);
    bench.push(61, &text("Line", 2).replace("ptime:1", "ptime:0.25"));
    let mut frames: Vec<_> = bench.nodes().iter().map(|(_, node)| node.media.samples_per_packet).collect();
    frames.sort();
    assert_eq!(frames, [12, 48]);
    // What no session is known of changes nothing.
    bench.push(61, &sdp(9, 61, "Other", 3));
    bench.push(62, &text("Line", 2));
    assert_eq!(bench.nodes().len(), 2);
}

#[test]
fn a_push_that_names_its_session_is_of_it_whatever_its_origin_says() {
    let mut bench = Bench::new(Saved::default());
    bench.connect();
    bench.describe("Studio Desk", 21, &sdp(4711, 21, "Desk", 1));
    let key = bench.nodes()[0].0.to_owned();
    // The unit made a new session of the same stream.
    let server = IpAddr::from([192, 0, 2, 21]);
    let again = sdp(4799, 21, "Desk", 7);
    bench.push_of(Some("Studio Desk"), [192, 0, 2, 66].into(), &again);
    bench.push_of(Some("Studio Table"), server, &again);
    assert_eq!(bench.nodes()[0].1.legs[0].address, IpAddr::from([239, 69, 1, 1]), "of nobody who may say so");
    bench.push_of(Some("Studio Desk"), server, &again);
    let nodes = bench.nodes();
    assert_eq!((nodes.len(), nodes[0].0, nodes[0].1.legs[0].address), (1, &*key, [239, 69, 1, 7].into()));
}

#[test]
fn a_description_that_ends_as_a_c_string_is_a_string_of_the_bus() {
    let mut bench = Bench::new(Saved::default());
    bench.connect();
    bench.describe("Studio Desk", 21, &(sdp(4711, 21, "Desk", 1) + "\0"));
    bench.describe("Studio Codec", 22, &(sdp(4712, 22, "Codec", 2).replace("L24", "opus") + "\0"));
    let world = bench.model.refresh_world(bench.now);
    assert_eq!(world.streams.len(), 2);
    for stream in world.streams.values() {
        assert!(stream.sdp.ends_with('\n'), "{:?}", stream.sdp);
    }
}

#[test]
fn strangers_change_no_stream_and_fill_no_memory() {
    let mut bench = Bench::new(Saved::default());
    bench.connect();
    let text = sdp(4711, 21, "Desk", 1);
    bench.describe("Studio Desk", 21, &text);
    bench.hear(&sdp(4712, 22, "Drums", 2));
    // Another host describes them, later and elsewhere.
    bench.describe("Forged", 66, &version(&text, 9).replace("239.69.1.1/", "239.69.6.6/"));
    bench.hear(&sdp(4712, 21, "Other", 3));
    let groups: Vec<_> = bench.nodes().iter().map(|(_, node)| node.legs[0].address.to_string()).collect();
    assert!(groups.contains(&"239.69.1.1".to_owned()), "{groups:?}");
    // What cannot be read is listed with its reason, as data; what is not audio is not.
    bench.describe("Camera", 31, "v=0\r\ns=Camera\r\nm=video 5000 RTP/AVP 96\r\n");
    bench.describe("Bro\u{202e}ken", 30, "v=0\r\nm=audio 5000\r\n");
    let world = bench.model.refresh_world(bench.now);
    let broken = world.streams.values().find(|stream| stream.hidden_reason == "unreadable");
    let broken = broken.expect("is listed");
    assert_eq!((broken.name.as_str(), broken.condition.state), ("Broken", "error"));
    assert!(world.streams.values().all(|stream| stream.name != "Camera"));
    // What was a camera's may become what cannot be read, and that is said.
    bench.describe("Camera", 31, "v=0\r\ns=Camera\r\nm=audio 5000\r\n");
    let world = bench.model.refresh_world(bench.now);
    assert!(
        world.streams.values().any(|stream| stream.name == "Camera" && stream.condition.state == "error")
    );
    bench.lose("Camera");
    bench.lose("Bro\u{202e}ken");
    // Garbage in place of a description changes nothing.
    bench.describe("Studio Desk", 21, "\u{0}");
    assert!(bench.found().iter().any(|(name, _)| name == "Desk"));
    for number in 0..5000_u32 {
        let host = u8::try_from(100 + number % 100).expect("small");
        let group = format!("239.70.{}.{}", number / 250, 1 + number % 250);
        let text = sdp(10_000 + number, host, "Flood", 1).replace("239.69.1.1", &group);
        bench.model.handle_ravenna(
            bench.now,
            Event::Described {
                session: format!("flood {number}"),
                server: [192, 0, 2, host].into(),
                text: text.into_bytes(),
            },
        );
    }
    bench.settle();
    assert!(bench.found().len() <= 1024 + 4, "{}", bench.found().len());
    assert!(bench.found().iter().any(|(name, _)| name == "Desk"));
}

#[test]
fn a_description_that_is_too_long_is_read_in_part_or_listed_as_that() {
    let mut bench = Bench::new(Saved::default());
    bench.connect();
    let more = format!("b=X-PAD:{}\r\n", "0".repeat(90)).repeat(90);
    bench.describe("Desk", 21, &format!("{}{more}", sdp(4711, 21, "Desk", 1))[..8193]);
    bench.describe("Router", 22, &format!("v=0\r\ns=Router\r\n{more}")[..8193]);
    let world = bench.model.refresh_world(bench.now);
    let stream = |name: &str| world.streams.values().find(|stream| stream.name == name).expect("is listed");
    assert_ne!(stream("Desk").hidden_reason, "unreadable");
    let router = stream("Router");
    assert_eq!((router.hidden_reason, router.condition.state), ("unreadable", "error"));
    assert!(router.condition.text.contains("too long"), "{}", router.condition.text);
}

#[test]
fn own_streams_are_offered_and_never_found() {
    let mut bench = Bench::new(Saved::default());
    bench.connect();
    let new = NewStream {
        name: "Drums".into(),
        channels: 2,
        address: None,
        port: 5004,
        labels: None,
        encoding: "L24".into(),
        rate: 48_000,
        packet_frames: None,
        ttl: 32,
        dscp: 34,
        flavour: Flavour::Ravenna,
        interface: None,
        dry_run: false,
    };
    bench.model.handle_ask(bench.now, Ask::Create(new)).expect("can be made");
    bench.settle();
    let plan = bench.model.ravenna_plan();
    let [own] = &plan.own[..] else { panic!("one session, not {plan:?}") };
    assert_eq!(
        (own.name.as_str(), plan.publish.as_ref().expect("a way out").1.octets()),
        ("Drums", [192, 0, 2, 10])
    );
    assert!(own.sdp.contains("s=Drums\r\n"));
    // As RAVENNA devices describe, without a domain while no grandmaster is followed.
    assert!(own.sdp.contains("a=sync-time:0\r\na=framecount:48\r\n") && !own.sdp.contains("clock-domain"));
    let text = own.sdp.to_string();
    bench.describe("computer Drums", 10, &text);
    bench.describe("a proxy's name", 77, &text);
    assert_eq!(bench.found().len(), 1);
    // Why it cannot be offered is said where it is looked for.
    bench.model.handle_ravenna(bench.now, Event::Trouble("not offered by RAVENNA: port taken".into()));
    let world = bench.model.refresh_world(bench.now);
    assert_eq!(world.streams.values().next().expect("own").warnings, ["not offered by RAVENNA: port taken"]);
}

#[test]
fn interfaces_are_looked_at_only_where_the_settings_allow() {
    let mut bench = Bench::new(Saved::default());
    assert_eq!(bench.model.ravenna_plan().interfaces.len(), 1);
    bench.model.settings.ravenna_interfaces = vec!["eth7".into()];
    let plan = bench.model.ravenna_plan();
    assert_eq!((plan.interfaces, plan.publish, plan.own), (vec![], None, vec![]));
    assert!(!bench.model.refresh_world(bench.now).interfaces["eth0"].ravenna);
    bench.model.settings.ravenna_interfaces = vec!["eth0".into()];
    assert_eq!(bench.model.ravenna_plan().interfaces.len(), 1);
    bench.model.settings.ravenna = false;
    assert!(bench.model.ravenna_plan().interfaces.is_empty());
    bench.model.settings.ravenna = true;
    bench.model.handle_active(false);
    assert!(bench.model.ravenna_plan().interfaces.is_empty(), "another session is active");
}
