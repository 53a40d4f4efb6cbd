use alloc::{borrow::ToOwned, format, string::String, vec::Vec};
use core::{fmt::Write as _, net::IpAddr};

/// What a URL of a RAVENNA server names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// `/by-name/NAME`: a session by its DNS-SD instance name.
    ByName(String),
    /// `/by-id/NUMBER`: a session by its sender's own number.
    ById(u32),
    /// Nothing that a sender has: another path.
    Other,
}

impl Resource {
    /// Reads an `rtsp` URL or a bare path; `None` for what is no URL at all, or has broken escapes.
    pub fn from_uri(uri: &str) -> Option<Self> {
        let path = match uri.get(..SCHEME.len()) {
            Some(scheme) if scheme.eq_ignore_ascii_case(SCHEME) => {
                let rest = uri.get(SCHEME.len()..).unwrap_or_default();
                rest.find('/').and_then(|slash| rest.get(slash..)).unwrap_or("/")
            }
            _ if uri.starts_with('/') => uri,
            _ => return None,
        };
        if let Some(name) = path.strip_prefix("/by-name/") {
            return percent_decode(name).map(Self::ByName);
        }
        if let Some(number) = path.strip_prefix("/by-id/") {
            return number.trim_end_matches('/').parse().ok().map(Self::ById);
        }
        percent_decode(path).map(|_| Self::Other)
    }
}

/// Where a redirection leads (RFC 2326 §11.3). Only numeric addresses: names are not resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// Address of the server.
    pub address: IpAddr,
    /// Its port; 554 when the URL says none.
    pub port: u16,
    /// Path and all that follows it, beginning with a slash.
    pub path: String,
}

impl Location {
    /// Reads an absolute `rtsp` URL; `None` for any other, for host names, and for text that a URL cannot hold.
    pub fn parse(url: &str) -> Option<Self> {
        let scheme = url.get(..SCHEME.len())?;
        let rest = url.get(SCHEME.len()..).filter(|_| scheme.eq_ignore_ascii_case(SCHEME))?;
        if url.len() > MAX_URL || !url.bytes().all(|octet| octet.is_ascii_graphic()) {
            return None;
        }
        let (authority, path) = rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash));
        let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, after)) => (host, after.strip_prefix(':').or(after.is_empty().then_some("554"))?),
            None => authority.split_once(':').unwrap_or((authority, "554")),
        };
        let port = port.parse().ok().filter(|port| *port != 0)?;
        Some(Self { address: host.parse().ok()?, port, path: path.to_owned() })
    }
}

/// Escapes everything but letters, digits and `-._~` (RFC 3986 §2.3).
pub fn percent_encode(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, octet| {
        if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) {
            out.push(char::from(octet));
        } else {
            let _ = write!(out, "%{octet:02X}"); // a String takes everything
        }
        out
    })
}

/// Undoes percent escapes; `None` for broken ones, and for what is not UTF-8 then.
pub fn percent_decode(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&octet, after)) = rest.split_first() {
        rest = after;
        if octet == b'%' {
            let ([high, low], after) = rest.split_first_chunk()?;
            let digit = |octet: u8| char::from(octet).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            octets.push(digit(*high)? << 4 | digit(*low)?);
            rest = after;
        } else {
            octets.push(octet);
        }
    }
    String::from_utf8(octets).ok()
}

/// The URL of a session at `authority` (address and port).
pub(crate) fn by_name(authority: &str, name: &str) -> String {
    format!("{SCHEME}{authority}/by-name/{}", percent_encode(name))
}

pub(crate) const SCHEME: &str = "rtsp://";
/// Longer URLs are not followed.
pub(crate) const MAX_URL: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_sessions() {
        for (uri, resource) in [
            ("rtsp://192.0.2.1:8854/by-name/Desk%20L%3a%201", Some(Resource::ByName("Desk L: 1".into()))),
            ("RTSP://h/by-name/a/b", Some(Resource::ByName("a/b".into()))),
            ("/by-name/%C3%9Cber", Some(Resource::ByName("Über".into()))),
            ("rtsp://h/by-id/12/", Some(Resource::ById(12))),
            ("rtsp://h/by-id/x", None),
            ("rtsp://h/by-name/%F", None),
            ("rtsp://h/by-name/%ff", None),
            ("rtsp://h", Some(Resource::Other)),
            ("rtsp://h/", Some(Resource::Other)),
            ("http://h/by-id/1", None),
            ("*", None),
            ("", None),
        ] {
            assert_eq!(Resource::from_uri(uri), resource, "{uri}");
        }
    }

    #[test]
    fn redirections_lead_to_numbers_only() {
        let location = |url| Location::parse(url).map(|it| (format!("{}", it.address), it.port, it.path));
        for (url, found) in [
            ("rtsp://192.0.2.1:9010/x?y", Some(("192.0.2.1".into(), 9010, "/x?y".into()))),
            ("rtsp://192.0.2.1", Some(("192.0.2.1".into(), 554, "/".into()))),
            ("rtsp://[2001:db8::1]:8854/a", Some(("2001:db8::1".into(), 8854, "/a".into()))),
            ("rtsp://[2001:db8::1]/a", Some(("2001:db8::1".into(), 554, "/a".into()))),
            ("rtsp://device.local/a", None),
            ("rtsp://192.0.2.1:0/a", None),
            ("rtsp://192.0.2.1:99999/a", None),
            ("rtsp://192.0.2.1/a b", None),
            ("http://192.0.2.1/a", None),
            ("", None),
        ] {
            assert_eq!(location(url), found, "{url}");
        }
    }
}
