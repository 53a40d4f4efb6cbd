use alloc::vec::Vec;
use core::net::IpAddr;

use crate::{address::parse_ip, warning::Finding};

/// One `source-filter` line (RFC 4570).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SourceFilter {
    /// Listed sources are the only ones wanted, else the only ones not wanted.
    pub(crate) include: bool,
    /// Applies to this destination; to every one when `None` (`*`).
    pub(crate) destination: Option<IpAddr>,
    /// At most eight.
    pub(crate) sources: Vec<IpAddr>,
}

impl SourceFilter {
    /// Reads `incl|excl IN IP4|IP6|* <destination> <source>...`; `None` when nothing usable is in it.
    ///
    /// Sources that are no numeric addresses are left out: names are never resolved.
    pub(crate) fn parse(value: &str, mut note: impl FnMut(Finding)) -> Option<Self> {
        let mut fields = value.split_whitespace().peekable();
        let include = match fields.next()? {
            mode if mode.eq_ignore_ascii_case("incl") => true,
            mode if mode.eq_ignore_ascii_case("excl") => false,
            _ => return None,
        };
        fields.next_if(|field| field.eq_ignore_ascii_case("IN"))?;
        fields.next()?;
        let destination = match fields.next()? {
            "*" => None,
            text => Some(parse_ip(without_suffix(text), &mut note).ok()?),
        };
        let mut sources = Vec::new();
        for field in fields.by_ref().take(MAX_SOURCES) {
            match parse_ip(without_suffix(field), &mut note) {
                Ok(source) if !source.is_multicast() && !source.is_unspecified() => sources.push(source),
                _ => note(Finding::SourceFilter),
            }
        }
        if fields.next().is_some() {
            note(Finding::TooManySources);
        }
        (!sources.is_empty()).then_some(Self { include, destination, sources })
    }
}

fn without_suffix(text: &str) -> &str {
    text.split_once('/').map_or(text, |(address, _ttl)| address)
}

const MAX_SOURCES: usize = 8; // two legs of four network cards; more has never been seen

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read_or_ignored() {
        let parse = |value| SourceFilter::parse(value, |_| ());
        let ip = |text: &str| text.parse::<IpAddr>().expect("valid in this table");
        let filter = parse("incl IN IP4 239.1.1.1/32 192.0.2.1 192.0.2.2").expect("usable");
        assert!(filter.include && filter.destination == Some(ip("239.1.1.1")));
        assert_eq!(filter.sources, ["192.0.2.1", "192.0.2.2"].map(ip));
        let filter = parse("EXCL IN * * desk.local 2001:db8::1").expect("usable");
        assert!(!filter.include && filter.destination.is_none() && filter.sources == [ip("2001:db8::1")]);
        let mut notes = Vec::new();
        let nine = "excl IN IP4 * 192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.4 192.0.2.5 192.0.2.6 192.0.2.7 192.0.2.8 \
                    192.0.2.9";
        let filter = SourceFilter::parse(nine, |finding| notes.push(finding)).expect("usable");
        assert_eq!((filter.sources.len(), &*notes), (MAX_SOURCES, &[Finding::TooManySources][..]));
        for value in [
            "",
            "incl",
            "incl IN IP4",
            "incl IN IP4 239.1.1.1",
            "only IN IP4 * 192.0.2.1",
            "incl IN IP4 x 192.0.2.1",
        ] {
            assert_eq!(parse(value), None, "{value}");
        }
    }
}
