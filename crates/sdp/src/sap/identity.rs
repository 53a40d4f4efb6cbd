use crate::{Leg, Stream};

/// What differs between two descriptions of one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Nothing that a receiver sees.
    Nothing,
    /// Names, clock, offset or state: keep node and ports, and go on receiving.
    Description,
    /// Codec, rate, channels or addresses: receive anew, keep the node and its links.
    Media,
}

impl Change {
    /// Compares two descriptions.
    pub fn between(old: &Stream, new: &Stream) -> Self {
        let media =
            |s: &Stream| (s.encoding, s.rate, s.channels, s.payload_type, s.samples_per_packet, s.delivery);
        let with_origin_of_old = || Stream { origin: old.origin.clone(), ..new.clone() };
        // The TTL is the sender's business.
        let path = |leg: &Leg| (leg.address, leg.port, leg.near, leg.sources.clone(), leg.excluded.clone());
        if media(old) != media(new) || !old.legs.iter().map(path).eq(new.legs.iter().map(path)) {
            Self::Media
        } else if *old == with_origin_of_old() {
            Self::Nothing
        } else {
            Self::Description
        }
    }
}

/// A stream already known, for comparison with a new one.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a, Id> {
    /// The caller's name for it.
    pub id: Id,
    /// Its latest description.
    pub stream: &'a Stream,
    /// Nothing was heard of it for more than one announcement period.
    pub quiet: bool,
}

/// What a new description is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict<Id> {
    /// A known stream, described again.
    Same(Id, Change),
    /// A known stream that changed its group.
    OtherGroup(Id, Change),
    /// A known stream whose sender changed its address.
    Moved(Id, Change),
    /// A stream that was not known.
    New,
}

impl<Id: Copy> Verdict<Id> {
    /// The known stream, unless it is a new one.
    pub const fn id(&self) -> Option<Id> {
        match *self {
            Self::Same(id, _) | Self::OtherGroup(id, _) | Self::Moved(id, _) => Some(id),
            Self::New => None,
        }
    }
}

/// Tells which of the known streams `new` is.
///
/// The key decides (origin user, session id, origin address, first destination). Else a stream with the same
/// origin and name moved to another group, if its version grew or the known one fell quiet: some units give all
/// their streams one origin, and two that are both announced are two. Else a stream with the same name and
/// session id of more than three digits moved to another host, if the known one fell quiet.
pub fn judge<'a, Id: Copy>(known: impl Iterator<Item = Known<'a, Id>> + Clone, new: &Stream) -> Verdict<Id> {
    let find = |wanted: &dyn Fn(&Known<'a, Id>) -> bool| {
        known.clone().find(|known| wanted(known)).map(|known| (known.id, Change::between(known.stream, new)))
    };
    let has_key = |known: &Known<'a, Id>| known.stream.has_key_of(new);
    let changed_group = |known: &Known<'a, Id>| {
        known.stream.has_origin_of(new)
            && known.stream.raw_name == new.raw_name
            && (known.quiet || new.origin.is_newer_than(&known.stream.origin) == Some(true))
    };
    let changed_host = |known: &Known<'a, Id>| {
        let id = &new.origin.session_id;
        id.len() > SHORT_ID
            && *id == known.stream.origin.session_id
            && known.stream.raw_name == new.raw_name
            && known.quiet
    };
    if let Some((id, change)) = find(&has_key) {
        Verdict::Same(id, change)
    } else if let Some((id, change)) = find(&changed_group) {
        Verdict::OtherGroup(id, change)
    } else if let Some((id, change)) = find(&changed_host) {
        Verdict::Moved(id, change)
    } else {
        Verdict::New
    }
}

const SHORT_ID: usize = 3; // ids like `1` or `102` are counters that many units share

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{format, string::String};

    fn text(origin: &str, name: &str, group: &str, rest: &str) -> String {
        format!(
            "v=0\no={origin}\ns={name}\nc=IN IP4 {group}/32\nt=0 0\nm=audio 5004 RTP/AVP 97\n\
             a=rtpmap:97 L24/48000/2\na=ptime:1\n{rest}"
        )
    }

    fn stream(text: &str) -> Stream {
        crate::read(text.as_bytes()).expect("playable").streams.remove(0)
    }

    fn verdict(old: &str, quiet: bool, new: &str) -> Verdict<u8> {
        let old = stream(old);
        judge([Known { id: 7, stream: &old, quiet }].into_iter(), &stream(new))
    }

    #[test]
    fn the_key_decides_and_the_change_is_named() {
        let old = text("- 3976 1 IN IP4 192.0.2.1", "Desk", "239.1.1.1", "");
        let new = |rest: &str| text("- 3976 2 IN IP4 192.0.2.1", "Desk", "239.1.1.1", rest);
        assert_eq!(verdict(&old, false, &new("")), Verdict::Same(7, Change::Nothing));
        assert_eq!(verdict(&old, false, &new("i=2 channels: a, b\n")), Verdict::Same(7, Change::Description));
        let renamed = text("- 3976 2 IN IP4 192.0.2.1", "Table", "239.1.1.1", "");
        assert_eq!(verdict(&old, false, &renamed), Verdict::Same(7, Change::Description));
        let farther = new("").replace("/32", "/64");
        assert_eq!(verdict(&old, false, &farther), Verdict::Same(7, Change::Description));
        let wider = new("").replace("48000/2", "48000/8");
        assert_eq!(verdict(&old, false, &wider), Verdict::Same(7, Change::Media));
    }

    #[test]
    fn another_group_needs_a_new_version_or_silence() {
        let old = text("- 1 1 IN IP4 192.0.2.1", "Mic", "239.1.1.1", "");
        let twin = text("- 1 1 IN IP4 192.0.2.1", "Mic", "239.1.1.2", "");
        assert_eq!(verdict(&old, false, &twin), Verdict::New);
        assert_eq!(verdict(&old, true, &twin), Verdict::OtherGroup(7, Change::Media));
        let later = text("- 1 2 IN IP4 192.0.2.1", "Mic", "239.1.1.2", "");
        assert_eq!(verdict(&old, false, &later), Verdict::OtherGroup(7, Change::Media));
        let neighbour = text("- 1 2 IN IP4 192.0.2.1", "Line", "239.1.1.2", "");
        assert_eq!(verdict(&old, true, &neighbour), Verdict::New);
    }

    #[test]
    fn another_host_needs_a_long_id_and_silence() {
        let old = text("- 3976 1 IN IP4 192.0.2.1", "Desk", "239.1.1.1", "");
        let new = text("- 3976 1 IN IP4 192.0.2.9", "Desk", "239.1.1.1", "");
        assert_eq!(verdict(&old, false, &new), Verdict::New);
        assert!(matches!(verdict(&old, true, &new), Verdict::Moved(7, _)));
        let old = text("- 102 1 IN IP4 192.0.2.1", "Desk", "239.1.1.1", "");
        let new = text("- 102 1 IN IP4 192.0.2.9", "Desk", "239.1.1.1", "");
        assert_eq!(verdict(&old, true, &new), Verdict::New);
    }
}
