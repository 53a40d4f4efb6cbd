use alloc::{string::String, vec::Vec};
use core::net::IpAddr;

use crate::address::parse_ip;

/// Who made a description and which version it is (`o=`, RFC 4566 §5.2).
///
/// Ids are text: real ones have leading zeros, 17 digits, or are not unique.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    /// User or host name, often `-`; may hold single blanks, no other white space.
    pub user: String,
    /// Session id as written.
    pub session_id: String,
    /// Session version as written.
    pub version: String,
    /// Address as written; may be a host name.
    pub address: String,
}

impl Origin {
    /// Reads from the right, so that a user name with blanks survives. `None` with fewer than four fields.
    pub(crate) fn parse(value: &str) -> Option<Self> {
        let mut fields = value.split_whitespace().rev().peekable();
        let address = fields.next()?;
        fields.next_if(|field| field.eq_ignore_ascii_case("IP4") || field.eq_ignore_ascii_case("IP6"));
        fields.next_if(|field| field.eq_ignore_ascii_case("IN"));
        let version = fields.next()?;
        let session_id = fields.next()?;
        let used = session_id.as_ptr().addr() - value.as_ptr().addr();
        let user = value.get(..used).unwrap_or_default().split_whitespace();
        Some(Self {
            user: user.collect::<Vec<_>>().join(" "),
            session_id: session_id.into(),
            version: version.into(),
            address: address.into(),
        })
    }

    /// Whether all six fields are there.
    pub(crate) fn is_complete(value: &str) -> bool {
        let mut fields = value.split_whitespace().rev().skip(1);
        let family = fields.next().is_some_and(|field| field == "IP4" || field == "IP6");
        family && fields.next() == Some("IN") && fields.count() >= 3
    }

    /// The address when it is numeric; zero-padded octets are decimal, and a TTL is none of it.
    pub fn ip(&self) -> Option<IpAddr> {
        let address = self.address.split_once('/').map_or(&*self.address, |(address, _ttl)| address);
        parse_ip(address, |_| ()).ok()
    }

    /// Whether this is a later version of the same description than `other`; `None` when not numeric.
    pub fn is_newer_than(&self, other: &Self) -> Option<bool> {
        let [ours, theirs] = [&self.version, &other.version].map(|version| version.parse::<u64>().ok());
        Some(ours? > theirs?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_names_with_blanks_and_missing_ones_survive() {
        let origin = Origin::parse("Card 0102 23 IN IP4 192.0.2.81").expect("six fields");
        assert_eq!((&*origin.user, &*origin.session_id, &*origin.version), ("Card", "0102", "23"));
        let origin = Origin::parse("My\t Desk 3 4 IN IP4 desk.local").expect("seven fields");
        assert_eq!((&*origin.user, &*origin.address, origin.ip()), ("My Desk", "desk.local", None));
        let origin = Origin::parse("3 4 IN IP6 2001:db8::1").expect("no user");
        assert_eq!((&*origin.user, &*origin.session_id), ("", "3"));
        assert_eq!(Origin::parse("x"), None);
        assert!(!Origin::is_complete("3 4 IN IP6 2001:db8::1"));
        assert!(Origin::is_complete("- 3 4 IN IP6 2001:db8::1"));
    }

    #[test]
    fn addresses_are_read_as_destinations_are() {
        let ip = |text: &str| Origin { address: text.into(), ..Origin::default() }.ip();
        for text in ["192.0.2.10", "192.000.002.010", "192.0.2.10/32"] {
            assert_eq!(ip(text), Some(IpAddr::from([192, 0, 2, 10])), "{text}");
        }
        for text in ["", "desk.local", "192.0.2", "/32"] {
            assert_eq!(ip(text), None, "{text}");
        }
    }

    #[test]
    fn versions_compare_as_numbers() {
        let version = |text: &str| Origin { version: text.into(), ..Origin::default() };
        assert_eq!(version("10").is_newer_than(&version("9")), Some(true));
        assert_eq!(version("9").is_newer_than(&version("9")), Some(false));
        assert_eq!(version("x").is_newer_than(&version("9")), None);
    }
}
