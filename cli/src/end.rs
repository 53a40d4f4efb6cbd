//! Ends of routes as users write them: a name, perhaps with channels.

use wireloom_dbus::Snapshot;

use crate::client;
use crate::failure::Failure;

/// An end of a route.
#[derive(Debug, PartialEq)]
pub struct End {
    /// What the agent is told: the id of a stream, or the name of a node.
    pub name: String,
    /// Its `node.name`.
    pub node: String,
    /// Channels, counted from 1; all when empty.
    pub channels: Vec<u32>,
}

impl End {
    /// Reads "NAME" or "NAME/CHANNELS"; what names no stream is the name of a node of this computer.
    pub fn parse(snapshot: &Snapshot, text: &str) -> Result<Self, Failure> {
        match client::stream(snapshot, text) {
            Ok(stream) => return Ok(Self::of(&stream.id, &stream.node_name, Vec::new())),
            Err(Failure::NotFound(_)) => {}
            Err(several) => return Err(several),
        }
        let (name, channels) = match text.rsplit_once('/').map(|(name, list)| (name, channels(list))) {
            Some((name, Some(channels))) => (name, channels),
            _ => (text, Vec::new()),
        };
        match client::stream(snapshot, name) {
            Ok(stream) => Ok(Self::of(&stream.id, &stream.node_name, channels)),
            Err(Failure::NotFound(_)) => Ok(Self::of(name, name, channels)),
            Err(several) => Err(several),
        }
    }

    fn of(name: &str, node: &str, channels: Vec<u32>) -> Self {
        Self { name: name.to_owned(), node: node.to_owned(), channels }
    }
}

/// "1-2,5" as a list; `None` when it is no such list.
fn channels(text: &str) -> Option<Vec<u32>> {
    let mut list = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.parse::<u32>().ok()?, last.parse::<u32>().ok()?);
        if first == 0 || last < first || last - first >= 1024 {
            return None;
        }
        list.extend(first..=last);
    }
    Some(list)
}

/// Reads "FROM:TO".
pub fn pair(text: &str) -> Result<(u32, u32), String> {
    let numbers = text.split_once(':').and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
    match numbers {
        Some((from @ 1.., to @ 1..)) => Ok((from, to)),
        _ => Err("two channels are written as FROM:TO, counted from 1".to_owned()),
    }
}

/// The pairs that two ends and a map mean; empty for all channels in order.
pub fn pairs(source: &End, sink: &End, map: &[(u32, u32)]) -> Result<Vec<(u32, u32)>, Failure> {
    let usage = |text: String| Err(Failure::Usage(text));
    match (source.channels.as_slice(), sink.channels.as_slice()) {
        ([], []) => Ok(map.to_vec()),
        _ if !map.is_empty() => {
            usage("channels are given with the names or with --map, not with both".to_owned())
        }
        (from, []) => Ok(from.iter().copied().zip(1..).collect()),
        ([], to) => Ok((1..).zip(to.iter().copied()).collect()),
        (from, to) if from.len() == to.len() => Ok(from.iter().copied().zip(to.iter().copied()).collect()),
        (from, to) => usage(format!("{} channels do not go into {}", from.len(), to.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wireloom_dbus::StreamInfo;

    #[test]
    fn names_and_channels_are_told_apart() {
        let named = |id: &str, name: &str| StreamInfo {
            id: id.into(),
            alias: name.into(),
            name: name.into(),
            node_name: format!("wireloom.{id}.tx"),
            ..StreamInfo::default()
        };
        let streams = vec![named("s-1", "Bass Synth"), named("s-2", "Take 4/7")];
        let snapshot = Snapshot { streams, ..Snapshot::default() };
        for (text, name, channels) in [
            ("Bass Synth", "s-1", vec![]),
            ("bass synth/1-2,4", "s-1", vec![1, 2, 4]),
            ("Take 4/7", "s-2", vec![]),
            ("Take 4/7/3", "s-2", vec![3]),
            ("ardour/2", "ardour", vec![2]),
            ("alsa_output.usb/x", "alsa_output.usb/x", vec![]),
            ("Bass Synth/0", "Bass Synth/0", vec![]),
        ] {
            let end = End::parse(&snapshot, text).expect("is read");
            assert_eq!((end.name.as_str(), end.channels), (name, channels), "{text}");
        }
    }

    #[test]
    fn channels_of_both_ends_become_pairs() {
        let end = |channels: &[u32]| End::of("x", "x", channels.to_vec());
        let go = |from: &[u32], to: &[u32], map: &[(u32, u32)]| pairs(&end(from), &end(to), map);
        assert_eq!(go(&[], &[], &[(1, 17)]).expect("fits"), [(1, 17)]);
        assert_eq!(go(&[3, 4], &[], &[]).expect("fits"), [(3, 1), (4, 2)]);
        assert_eq!(go(&[], &[7, 8], &[]).expect("fits"), [(1, 7), (2, 8)]);
        assert_eq!(go(&[1, 2], &[8, 7], &[]).expect("fits"), [(1, 8), (2, 7)]);
        assert_eq!(go(&[1], &[1, 2], &[]).expect_err("does not").code(), 2);
        assert_eq!(go(&[1], &[], &[(1, 1)]).expect_err("does not").code(), 2);
        assert_eq!((pair("1:17"), pair("0:1").is_err(), pair("1-2").is_err()), (Ok((1, 17)), true, true));
    }
}
