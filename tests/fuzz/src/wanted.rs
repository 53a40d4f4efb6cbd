//! Targets of `wireloom-wanted`: values of the metadata object, which any client of PipeWire may write.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use wireloom_wanted::{Device, Key, Link, Node, Route, StateReport, Stats};

/// Reads a value as each of its kinds; what was read, written again, reads the same. A node that passes its check
/// stays within what the module makes room for.
pub fn values(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(node) = again::<Node>(text)
        && node.check().is_ok()
    {
        assert!(
            (1..=128).contains(&node.channels.len()) && node.legs.len() <= 4 && node.latency <= 2 * 768_000
        );
        let octets =
            node.media.encoding.bytes() * node.channels.len() * node.media.samples_per_packet as usize;
        assert!(octets > 0 && octets <= 8960, "{octets} octets a packet");
        assert!(node.keepalive.and_then(|it| it.octets()).is_none_or(|octets| octets.len() <= 1400));
    }
    again::<Device>(text);
    again::<Link>(text);
    again::<Route>(text);
    again::<StateReport>(text);
    again::<Stats>(text);
}

fn again<T: DeserializeOwned + Serialize + PartialEq + Debug>(text: &str) -> Option<T> {
    let value: T = serde_json::from_str(text).ok()?;
    let written = serde_json::to_string(&value).expect("what was read can be written");
    assert_eq!(serde_json::from_str::<T>(&written).expect("ours"), value);
    Some(value)
}

/// Reads a key, here every line; what was read, written again, is the same text.
pub fn keys(bytes: &[u8]) {
    for line in String::from_utf8_lossy(bytes).lines() {
        if let Some(key) = Key::parse(line) {
            assert_eq!(key.to_string(), line);
        }
    }
}

#[cfg(test)]
mod fuzzed {
    use super::*;
    use crate::mutate::drive_from;

    #[test]
    fn metadata_values() {
        let examples = [
            Node::EXAMPLE,
            Node::EXAMPLE_RECEIVER,
            Device::EXAMPLE,
            Link::EXAMPLE,
            Route::EXAMPLE,
            StateReport::EXAMPLE,
        ];
        let stats = serde_json::to_string(&Stats::default()).expect("counters");
        drive_from(&[&examples[..], &[&stats]].concat(), values);
    }

    #[test]
    fn metadata_keys() {
        drive_from(&["schema\nwatch\nnode.s-41c2a9f07be31d02.tx\nlink.7\nstats.s-1.rx\n"], keys);
    }
}
