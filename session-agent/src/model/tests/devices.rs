//! What PipeWire is told of devices, and for how long.

use wireloom_wanted::Device;

use super::{Bench, sdp};
use crate::request::Ask;
use crate::store::Saved;

fn devices(bench: &Bench) -> Vec<(String, Device)> {
    let keys = bench.object.iter().filter_map(|(key, value)| Some((key.strip_prefix("device.")?, value)));
    keys.map(|(id, value)| (id.to_owned(), serde_json::from_str(value).expect("a device"))).collect()
}

#[test]
fn a_device_has_one_key_as_long_as_one_of_its_nodes_is_there() {
    let mut bench = Bench::new(Saved::default());
    bench.connect();
    bench.hear(&sdp(4711, 21, "Stage box\u{202e} left and right : mics", 1));
    bench.hear(&sdp(4712, 21, "Stage box\u{202e} left and right : lines", 2));
    let [(id, device)] = &devices(&bench)[..] else { panic!("one device") };
    assert_eq!(
        (device.description.as_str(), device.nick.as_str()),
        ("Stage box left and right", "Stage box left and right")
    );
    assert_eq!(device.address, "192.0.2.21");
    assert!(bench.nodes().iter().all(|(_, node)| node.device == *id), "as its nodes name it");

    let alias = Ask::SetDeviceAlias { id: id.clone(), alias: "Monitor rack beside the drums".into() };
    bench.model.handle_ask(bench.now, alias).expect("is known");
    bench.settle();
    let device = devices(&bench).remove(0).1;
    assert_eq!(device.description, "Monitor rack beside the drums");
    assert_eq!(device.nick, "Monitor rack beside the");

    let streams: Vec<_> = bench.model.streams.keys().cloned().collect();
    for (id, left) in streams.into_iter().zip([1, 0]) {
        bench.model.handle_ask(bench.now, Ask::Remove { id, dry_run: false }).expect("is known");
        bench.settle();
        assert_eq!(devices(&bench).len(), left);
    }
}

#[test]
fn what_was_written_of_a_device_holds_until_it_is_heard_again() {
    let mut first = Bench::new(Saved::default());
    first.connect();
    first.hear(&sdp(4711, 21, "Stage box : mics", 1));
    let mut next = Bench::new(Saved::default());
    next.object = first.object.clone();
    next.connect();
    next.pass(10);
    assert_eq!((devices(&next), next.writes), (devices(&first), 0));
    next.hear(&sdp(4711, 21, "Drum box : mics", 1));
    assert_eq!(devices(&next)[0].1.description, "Drum box");
}
