use alloc::string::String;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{Reason, warning::Finding};

/// A `c=` line, read (RFC 4566 §5.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Connection {
    pub(crate) address: IpAddr,
    pub(crate) ttl: Option<u8>,
}

impl Connection {
    /// Reads `IN IP4 <address>[/ttl[/n]]` or `IN IP6 <address>[/n]`; only numeric addresses.
    pub(crate) fn parse(value: &str, mut note: impl FnMut(Finding)) -> Result<Self, Reason> {
        let mut fields = value.split_whitespace().peekable();
        fields.next_if(|field| field.eq_ignore_ascii_case("IN"));
        let family = fields.next_if(|field| is_family(field));
        let mut text = String::new();
        for field in fields {
            // Blanks may stand beside a slash; without one, what follows the address is not a part of it.
            if !text.is_empty() && !text.ends_with('/') && !field.starts_with('/') {
                note(Finding::Address);
                break;
            }
            text.push_str(field);
        }
        let mut parts = text.split('/');
        let address = parse_ip(parts.next().unwrap_or_default(), &mut note)?;
        if family.is_some_and(|family| family.eq_ignore_ascii_case("IP4") != address.is_ipv4()) {
            return Err(Reason::IpVersion);
        }
        let ttl = if address.is_ipv4() { parts.next() } else { None };
        let ttl = ttl.filter(|text| !text.is_empty()).and_then(|text| {
            let ttl = text.parse().ok();
            if ttl.is_none() {
                note(Finding::Ttl);
            }
            ttl
        });
        if parts.next().is_some_and(|count| count != "1" && !count.is_empty()) {
            note(Finding::Layers);
        }
        Ok(Self { address, ttl })
    }
}

fn is_family(field: &str) -> bool {
    field.eq_ignore_ascii_case("IP4") || field.eq_ignore_ascii_case("IP6")
}

/// A numeric address; a zone (`%eth0`) is dropped, zero-padded octets are decimal.
pub(crate) fn parse_ip(text: &str, mut note: impl FnMut(Finding)) -> Result<IpAddr, Reason> {
    if text.is_empty() {
        return Err(Reason::NoAddress);
    }
    let text = text.split_once('%').map_or(text, |(address, _zone)| address);
    let text = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let mut octets = [0; 4];
    let mut fields = text.split('.');
    for octet in &mut octets {
        let field = fields.next().filter(|field| field.bytes().all(|digit| digit.is_ascii_digit()));
        *octet = field.and_then(|field| field.parse().ok()).ok_or(Reason::NotNumeric)?;
    }
    if fields.next().is_some() {
        return Err(Reason::NotNumeric);
    }
    note(Finding::LeadingZeros);
    Ok(Ipv4Addr::from(octets).into())
}

/// Refuses destinations that no stream can have.
///
/// Link-local control groups (224.0.0.0/24) are refused but for 224.0.0.56, the default of PulseAudio and PipeWire.
pub(crate) fn check_destination(
    address: IpAddr,
    loopback: bool,
    note: impl FnOnce(Finding),
) -> Result<(), Reason> {
    let unusable = match address {
        IpAddr::V4(PULSE_GROUP) => {
            note(Finding::LinkLocalGroup);
            false
        }
        IpAddr::V4(v4) => {
            let [first, second, third, _] = v4.octets();
            first == 0
                || first >= 240
                || (first, second, third) == (224, 0, 0)
                || v4.is_loopback() && !loopback
        }
        IpAddr::V6(v6) => is_unusable_v6(v6) || v6.is_loopback() && !loopback,
    };
    if unusable { Err(Reason::UnusableAddress(address)) } else { Ok(()) }
}

/// Unspecified, of node scope, or one of the well-known groups with small numbers (RFC 4291 §2.7.1).
fn is_unusable_v6(address: Ipv6Addr) -> bool {
    let [head, middle @ .., tail] = address.segments();
    let well_known = head & 0xfff0 == 0xff00 && middle == [0; 6] && tail < 0x100;
    address.is_unspecified() || well_known || matches!(head & 0xff0f, 0xff00 | 0xff01)
}

const PULSE_GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 56);

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn parse(value: &str) -> (Result<Connection, Reason>, Vec<Finding>) {
        let mut notes = Vec::new();
        (Connection::parse(value, |finding| notes.push(finding)), notes)
    }

    #[test]
    fn every_form_of_a_group_is_read() {
        for (text, address, ttl, notes) in [
            ("IN IP4 239.1.2.3/32", "239.1.2.3", Some(32), &[][..]),
            ("IN IP4 239.1.2.3", "239.1.2.3", None, &[]),
            ("IN IP4 239.1.2.3/0", "239.1.2.3", Some(0), &[]),
            ("in ip4 239.1.2.3 /255/1", "239.1.2.3", Some(255), &[]),
            ("IN IP4 239.1.2.3/32/4294967295", "239.1.2.3", Some(32), &[Finding::Layers]),
            ("IN IP4 239.1.2.3 / 32 / 1", "239.1.2.3", Some(32), &[]),
            ("IN IP4 239.1.2.3 32", "239.1.2.3", None, &[Finding::Address]),
            ("IN IP4 239.1.2.3/32 127", "239.1.2.3", Some(32), &[Finding::Address]),
            ("IN IP4 239.1.2.3/256", "239.1.2.3", None, &[Finding::Ttl]),
            ("IP4 239.001.002.003/1", "239.1.2.3", Some(1), &[Finding::LeadingZeros]),
            ("IN IP4 192.0.2.1/32", "192.0.2.1", Some(32), &[]),
            ("IN IP6 ff15::69:10a", "ff15::69:10a", None, &[]),
            ("IN IP6 ff15::69:10a/3", "ff15::69:10a", None, &[Finding::Layers]),
            ("IN IP6 fe80::1%eth0", "fe80::1", None, &[]),
        ] {
            let address = address.parse().expect("valid in this table");
            assert_eq!(parse(text), (Ok(Connection { address, ttl }), notes.to_vec()), "{text}");
        }
    }

    #[test]
    fn names_masks_and_mismatches_are_refused() {
        for (text, reason) in [
            ("IN IP4 desk.local", Reason::NotNumeric),
            ("IN IP4 239.x.x.x/32", Reason::NotNumeric),
            ("IN IP4 239.1.2.3.4", Reason::NotNumeric),
            ("IN IP4 239.1.2.999", Reason::NotNumeric),
            ("IN IP4 239.1..3", Reason::NotNumeric),
            ("IN IP4 239.1.2 3", Reason::NotNumeric),
            ("IN IP4", Reason::NoAddress),
            ("", Reason::NoAddress),
            ("IN IP6 239.1.2.3", Reason::IpVersion),
            ("IN IP4 ff15::1", Reason::IpVersion),
        ] {
            assert_eq!(parse(text).0, Err(reason), "{text}");
        }
    }

    #[test]
    fn destinations_that_carry_nothing_are_refused() {
        let check = |text: &str, loopback| {
            check_destination(text.parse().expect("valid in this table"), loopback, |_| ()).is_ok()
        };
        for text in
            ["0.0.0.0", "255.255.255.255", "224.0.0.1", "240.0.0.1", "::", "ff02::1", "ff01::5:5", "ff0e::2"]
        {
            assert!(!check(text, true), "{text}");
        }
        for text in ["127.0.0.1", "::1"] {
            assert!(!check(text, false) && check(text, true), "{text}");
        }
        for text in [
            "239.255.255.255",
            "224.0.1.1",
            "224.0.0.56",
            "192.0.2.1",
            "ff15::69:10a",
            "ff02::1:2",
            "fe80::1",
        ] {
            assert!(check(text, false), "{text}");
        }
    }
}
