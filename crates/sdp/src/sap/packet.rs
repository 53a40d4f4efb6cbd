use alloc::{borrow::Cow, vec::Vec};
use core::{fmt, net::IpAddr};

use miniz_oxide::inflate::decompress_to_vec_zlib_with_limit;

/// One SAP datagram, checked (RFC 2974 §3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SapPacket<'a> {
    /// Withdraws the announcement instead of making it (`T`).
    pub delete: bool,
    /// Of the ancestor protocol, version 0; otherwise read like version 1.
    pub is_version_0: bool,
    /// Message id hash; 0 says nothing. Never enough alone: some senders use one for all sessions.
    pub hash: u16,
    /// Address of the announcer as it says; a proxy's datagrams come from elsewhere.
    pub origin: IpAddr,
    /// The description, without NUL at its end. A deletion may have only an `o=` line, or nothing.
    pub payload: Cow<'a, [u8]>,
}

/// Why a SAP datagram changed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SapError {
    /// Fewer octets than the header announces.
    Short {
        /// Octets that the header needs.
        needed: usize,
        /// Octets received.
        got: usize,
    },
    /// Version above 1.
    Version(u8),
    /// Encrypted.
    Encrypted,
    /// Not a zlib stream, or one of more than 16 KiB or 64 times its size.
    Compressed,
    /// A payload that is not `application/sdp`.
    PayloadType,
    /// A deletion by another host than the one that announced, or news of a session whose owner speaks for itself.
    Forged,
    /// A deletion of nothing known, or of one that cannot be told from others.
    UnknownDeletion,
    /// The source sends more than 50 packets a second, or all together announce more than 256 new entries a second.
    TooFast,
    /// The source has 256 entries, or there are 1024 and all are in use.
    Full,
}

impl core::error::Error for SapError {}

impl fmt::Display for SapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { needed, got } => write!(f, "SAP packet needs {needed} octets, has {got}"),
            Self::Version(version) => write!(f, "SAP version {version}, expected 0 or 1"),
            Self::Encrypted => f.write_str("SAP packet is encrypted"),
            Self::Compressed => f.write_str("SAP payload is not a zlib stream of reasonable size"),
            Self::PayloadType => f.write_str("SAP payload is not application/sdp"),
            Self::Forged => f.write_str("it says of a session what only the host that announces it may say"),
            Self::UnknownDeletion => f.write_str("deletion of an announcement that is not known"),
            Self::TooFast => f.write_str("announcements come too fast"),
            Self::Full => f.write_str("no room for another announcement"),
        }
    }
}

impl<'a> SapPacket<'a> {
    /// Checks header and payload type and unpacks the payload; nothing after this can fail.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, SapError> {
        let short = |needed| SapError::Short { needed, got: bytes.len() };
        let (&[flags, auth_words, hash_high, hash_low], rest) =
            bytes.split_first_chunk::<4>().ok_or(short(4))?;
        let version = flags >> 5;
        if version > 1 {
            return Err(SapError::Version(version));
        }
        let auth = 4 * usize::from(auth_words);
        let (origin, rest): (IpAddr, _) = if flags & IPV6 == 0 {
            let (octets, rest) = rest.split_first_chunk::<4>().ok_or(short(8 + auth))?;
            ((*octets).into(), rest)
        } else {
            let (octets, rest) = rest.split_first_chunk::<16>().ok_or(short(20 + auth))?;
            ((*octets).into(), rest)
        };
        let body = rest.get(auth..).ok_or(short(bytes.len() - rest.len() + auth))?;
        if flags & ENCRYPTED != 0 {
            return Err(SapError::Encrypted);
        }
        let delete = flags & DELETE != 0;
        let payload = if flags & COMPRESSED == 0 {
            Cow::Borrowed(find_description(body, delete)?)
        } else {
            // The payload type belongs inside (RFC 2974 §6), and may be found before it.
            let body = inflate(body)
                .or_else(|| inflate(split_type(body).filter(|&(is_sdp, _)| is_sdp)?.1))
                .ok_or(SapError::Compressed)?;
            Cow::Owned(find_description(&body, delete)?.to_vec())
        };
        let hash = u16::from_be_bytes([hash_high, hash_low]);
        Ok(Self { delete, is_version_0: version == 0, hash, origin, payload })
    }

    /// Writes the datagram: version as given, no authentication, payload type named, nothing compressed.
    pub fn emit(&self) -> Vec<u8> {
        let mut flags = if self.is_version_0 { 0 } else { VERSION_1 };
        if self.delete {
            flags |= DELETE;
        }
        let mut bytes = Vec::with_capacity(20 + PAYLOAD_TYPE.len() + 1 + self.payload.len());
        bytes.extend_from_slice(&[flags, 0]);
        bytes.extend_from_slice(&self.hash.to_be_bytes());
        match self.origin {
            IpAddr::V4(origin) => bytes.extend_from_slice(&origin.octets()),
            IpAddr::V6(origin) => {
                bytes.extend_from_slice(&origin.octets());
                if let Some(flags) = bytes.first_mut() {
                    *flags |= IPV6;
                }
            }
        }
        bytes.extend_from_slice(PAYLOAD_TYPE);
        bytes.push(0);
        bytes.extend_from_slice(&self.payload);
        bytes
    }
}

/// CRC-16/CCITT-FALSE over the description, with 0 made 1: the message id hash we announce with.
pub fn message_hash(description: &[u8]) -> u16 {
    let crc =
        description.iter().fold(0xffff_u16, |crc, &octet| {
            (0..8).fold(crc ^ u16::from(octet) << 8, |crc, _| {
                if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 }
            })
        });
    crc.max(1)
}

/// Skips the payload type, which is optional, and drops NUL at the end. One of no letters is as good as none.
fn find_description(body: &[u8], delete: bool) -> Result<&[u8], SapError> {
    let is_nothing = |octet: &u8| *octet == 0 || octet.is_ascii_whitespace();
    let begin = body.iter().position(|octet| !is_nothing(octet)).unwrap_or(body.len());
    let body = body.get(begin..).unwrap_or_default();
    let trimmed = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii_start();
    let begins =
        |text: &[u8]| text.starts_with(b"v=") || delete && (text.starts_with(b"o=") || text.is_empty());
    if begins(trimmed) {
        return Ok(without_nul(trimmed));
    }
    if let Some((is_sdp, rest)) = split_type(body) {
        return if is_sdp { Ok(without_nul(rest)) } else { Err(SapError::PayloadType) };
    }
    let head = body.get(..MAX_TYPE).unwrap_or(body);
    let is_start = |pair: &[u8]| pair == b"v=" || delete && pair == b"o=";
    let start = head.windows(2).position(is_start).ok_or(SapError::PayloadType)?;
    Ok(without_nul(body.get(start..).unwrap_or_default()))
}

/// Whether the payload type is that of a description, and what follows it; `None` when no NUL ends one.
fn split_type(body: &[u8]) -> Option<(bool, &[u8])> {
    let end = body.iter().take(MAX_TYPE).position(|&octet| octet == 0)?;
    let (name, rest) = body.split_at_checked(end)?;
    let name = name.split(|&octet| octet == b';').next()?.trim_ascii();
    Some((name.eq_ignore_ascii_case(PAYLOAD_TYPE), rest.get(1..)?))
}

/// A zlib stream (RFC 1950), what follows it ignored; `None` for anything else, and for one that swells too much.
fn inflate(body: &[u8]) -> Option<Vec<u8>> {
    let limit = MAX_INFLATED.min(body.len().saturating_mul(MAX_RATIO));
    decompress_to_vec_zlib_with_limit(body, limit).ok()
}

fn without_nul(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|&octet| octet != 0).map_or(0, |last| last + 1);
    text.get(..end).unwrap_or_default()
}

const VERSION_1: u8 = 0x20;
const IPV6: u8 = 0x10;
const DELETE: u8 = 0x04;
const ENCRYPTED: u8 = 0x02;
const COMPRESSED: u8 = 0x01;
const PAYLOAD_TYPE: &[u8] = b"application/sdp";
const MAX_TYPE: usize = 64; // a MIME type with parameters
const MAX_INFLATED: usize = 16 * 1024; // twice the description that is read at all
const MAX_RATIO: usize = 64; // text packs to a third; a bomb to a thousandth

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_ccitt_false() {
        assert_eq!(message_hash(b"123456789"), 0x29b1);
    }

    #[test]
    fn payload_types_are_skipped_or_refused() {
        for (body, found) in [
            (&b"application/sdp\0v=0\r\n\0\0"[..], Ok(&b"v=0\r\n"[..])),
            (b"Application/SDP; charset=utf-8\0v=0", Ok(b"v=0")),
            (b"\xef\xbb\xbf \nv=0", Ok(b"v=0")),
            (b"junk v=0", Ok(b"v=0")),
            (b"\0v=0\r\n", Ok(b"v=0\r\n")),
            (b" \0\0\xef\xbb\xbfv=0", Ok(b"v=0")),
            (b"\0text/plain\0v=0", Err(SapError::PayloadType)),
            (b"\0\0", Err(SapError::PayloadType)),
            (b"text/plain\0v=0", Err(SapError::PayloadType)),
            (b"junk", Err(SapError::PayloadType)),
            (b"", Err(SapError::PayloadType)),
        ] {
            assert_eq!(find_description(body, false), found, "{body:?}");
        }
        for nothing in [&b""[..], b"\0", b"\0\0"] {
            assert_eq!(find_description(nothing, true), Ok(&b""[..]));
        }
        assert_eq!(find_description(b"o=- 1 1 IN IP4 192.0.2.1", true), Ok(&b"o=- 1 1 IN IP4 192.0.2.1"[..]));
        let unended = b"application/sdpo=- 1 1 IN IP4 192.0.2.1";
        assert_eq!(find_description(unended, true), Ok(&b"o=- 1 1 IN IP4 192.0.2.1"[..]));
        assert_eq!(find_description(unended, false), Err(SapError::PayloadType));
    }

    fn compressed(outside: &[u8], inside: &[u8]) -> Vec<u8> {
        let packed = miniz_oxide::deflate::compress_to_vec_zlib(inside, 9);
        [&[0x21, 0, 0, 0, 192, 0, 2, 1], outside, &packed].concat()
    }

    #[test]
    fn the_payload_type_may_stay_outside_of_what_is_compressed() {
        let text = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\n";
        for outside in [&b""[..], b"application/sdp\0", b"APPLICATION/SDP;x\0"] {
            let bytes = compressed(outside, text);
            assert_eq!(SapPacket::parse(&bytes).map(|packet| packet.payload.to_vec()), Ok(text.to_vec()));
        }
        assert_eq!(SapPacket::parse(&compressed(b"text/plain\0", text)), Err(SapError::Compressed));
    }

    #[test]
    fn a_bomb_is_refused() {
        for outside in [&b""[..], b"application/sdp\0"] {
            let bytes = compressed(outside, &[b'v'; 100_000]);
            assert_eq!(SapPacket::parse(&bytes), Err(SapError::Compressed));
        }
    }
}
