use core::fmt;

use wireloom_units::{Channels, Rate};

use crate::{Reason, warning::Finding};

/// Sample formats that are carried (RFC 3190, RFC 3551, ST 2110-31).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the names are the standard's
pub enum Encoding {
    L16,
    L24,
    L32,
    AM824,
}

impl Encoding {
    /// The name in `rtpmap`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::L16 => "L16",
            Self::L24 => "L24",
            Self::L32 => "L32",
            Self::AM824 => "AM824",
        }
    }

    /// Octets of one sample of one channel.
    pub const fn bytes(self) -> u32 {
        match self {
            Self::L16 => 2,
            Self::L24 => 3,
            Self::L32 | Self::AM824 => 4,
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::L16, Self::L24, Self::L32, Self::AM824]
            .into_iter()
            .find(|encoding| encoding.as_str().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a payload type stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Format {
    pub(crate) encoding: Encoding,
    pub(crate) rate: Rate,
    pub(crate) channels: Channels,
}

/// Splits an `rtpmap` value into payload type and `<encoding>/<rate>[/<channels>]`.
pub(crate) fn split_map(value: &str) -> Option<(u8, &str)> {
    let (payload_type, map) = value.split_once(|c: char| c.is_whitespace())?;
    Some((payload_type.parse().ok().filter(|&number| number < 128)?, map.trim()))
}

impl Format {
    /// Reads what `rtpmap` says of a payload type: `<encoding>/<rate>[/<channels>]` (RFC 4566 §6).
    ///
    /// Without a count it is 1 channel, but of a static type that is described as RFC 3551 has it, what that says.
    pub(crate) fn parse(payload_type: u8, map: &str, mut note: impl FnMut(Finding)) -> Result<Self, Reason> {
        let mut fields = map.split('/').map(str::trim);
        let encoding = fields.next().and_then(Encoding::from_name).ok_or(Reason::NoCodec)?;
        let hz = fields.next().and_then(|hz| hz.parse().ok()).ok_or(Reason::Rate)?;
        let rate = Rate::from_hz(hz).filter(|_| is_carried(hz)).ok_or(Reason::Rate)?;
        let channels = match fields.next().filter(|count| !count.is_empty()) {
            None => {
                let meant = Self::of_static(payload_type)
                    .filter(|meant| (meant.encoding, meant.rate) == (encoding, rate))
                    .map(|meant| meant.channels)
                    .filter(|channels| channels.count() > 1);
                note(meant.map_or(Finding::ChannelCountMissing, |channels| {
                    Finding::ChannelCountOfType(channels.count())
                }));
                meant.or(Channels::new(1))
            }
            Some(count) => count.parse().ok().and_then(Channels::new),
        };
        let channels = channels.ok_or(Reason::ChannelCount)?;
        if encoding == Encoding::AM824 && channels.count() % 2 == 1 {
            note(Finding::OddAm824(channels.count()));
        }
        if !NOMINAL.contains(&hz) {
            note(Finding::PulledRate(hz));
        }
        Ok(Self { encoding, rate, channels })
    }

    /// The formats of payload types 10 and 11, which need no `rtpmap` (RFC 3551 §6).
    ///
    /// Not for a type that one names: that says what the sender means by it.
    pub(crate) const fn of_static(payload_type: u8) -> Option<Self> {
        let count = match payload_type {
            10 => 2,
            11 => 1,
            _ => return None,
        };
        match Channels::new(count) {
            Some(channels) => Some(Self { encoding: Encoding::L16, rate: Rate::HZ_44100, channels }),
            None => None,
        }
    }
}

/// A nominal rate, or one pulled up or down by 1000/1001.
fn is_carried(hz: u32) -> bool {
    NOMINAL.iter().any(|&nominal| {
        let near = |exact: u32| hz == exact || hz == exact + 1;
        hz == nominal || near(nominal * 1000 / 1001) || near((u64::from(nominal) * 1001 / 1000) as u32)
    })
}

const NOMINAL: [u32; 8] = [44_100, 48_000, 88_200, 96_000, 176_400, 192_000, 352_800, 384_000];

/// An `m=audio` line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MediaLine<'a> {
    pub(crate) port: u16,
    pub(crate) has_range: bool,
    payload_types: &'a str,
}

/// What can be wrong with an `m=` line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotPlayable {
    /// Not audio: no concern of ours.
    OtherMedia,
    /// Fields are missing: as if the section were not there.
    Malformed,
    /// Read, and refused.
    Refused(Reason),
}

impl<'a> MediaLine<'a> {
    /// Reads `audio <port>[/n] RTP/AVP <payload types>` (RFC 4566 §5.14).
    pub(crate) fn parse(value: &'a str) -> Result<Self, NotPlayable> {
        let (media, rest) = next_field(value);
        if !media.eq_ignore_ascii_case("audio") {
            return Err(NotPlayable::OtherMedia);
        }
        let (port, rest) = next_field(rest);
        let (transport, payload_types) = next_field(rest);
        if transport.is_empty() {
            return Err(NotPlayable::Malformed);
        }
        let (port, has_range) = match port.split_once('/') {
            None => (port, false),
            Some((port, count)) => (port, count != "1"),
        };
        if port.is_empty() || !port.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(NotPlayable::Malformed);
        }
        let plain = ["RTP/AVP", "RTP/AVPF", "UDP/RTP/AVP", "RTP/AVP/UDP"];
        if !plain.iter().any(|name| name.eq_ignore_ascii_case(transport)) {
            return Err(NotPlayable::Refused(Reason::Transport));
        }
        let port = port.parse().ok().filter(|&port| port != 0);
        let port = port.ok_or(NotPlayable::Refused(Reason::Port))?;
        Ok(Self { port, has_range, payload_types })
    }

    /// The payload types in order; what is no payload type is left out.
    pub(crate) fn payload_types(self) -> impl Iterator<Item = u8> {
        let numbers = self.payload_types.split_whitespace().filter_map(|text| text.parse().ok());
        numbers.filter(|&number| number < 128)
    }
}

fn next_field(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    text.split_once(|c: char| c.is_whitespace()).unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn maps_are_read_or_refused() {
        let parse = |map| {
            let format = Format::parse(97, map, |_| ());
            format.map(|f| (f.encoding.as_str(), f.rate.hz(), f.channels.count()))
        };
        for (map, result) in [
            ("L24/48000/8", Ok(("L24", 48_000, 8))),
            ("l16/44100", Ok(("L16", 44_100, 1))),
            ("am824/48000/16", Ok(("AM824", 48_000, 16))),
            ("L32/ 96000 /2/x", Ok(("L32", 96_000, 2))),
            ("L24/47952/2", Ok(("L24", 47_952, 2))),
            ("L24/48048/2", Ok(("L24", 48_048, 2))),
            ("L24/0/2", Err(Reason::Rate)),
            ("L24/32000/2", Err(Reason::Rate)),
            ("L24/4294967297/2", Err(Reason::Rate)),
            ("L24", Err(Reason::Rate)),
            ("L24/48000/0", Err(Reason::ChannelCount)),
            ("L24/48000/129", Err(Reason::ChannelCount)),
            ("L24/48000/100000", Err(Reason::ChannelCount)),
            ("L24/48000/x", Err(Reason::ChannelCount)),
            ("L20/48000/2", Err(Reason::NoCodec)),
            ("opus/48000/2", Err(Reason::NoCodec)),
            ("", Err(Reason::NoCodec)),
        ] {
            assert_eq!(parse(map), result, "{map}");
        }
    }

    #[test]
    fn a_missing_count_is_one_or_that_of_the_static_type() {
        for (payload_type, map, count, finding) in [
            (97, "L16/44100", 1, Finding::ChannelCountMissing),
            (10, "L16/44100", 2, Finding::ChannelCountOfType(2)),
            (10, "l16/44100/", 2, Finding::ChannelCountOfType(2)),
            (11, "L16/44100", 1, Finding::ChannelCountMissing),
            // Something else than the type stands for.
            (10, "L16/48000", 1, Finding::ChannelCountMissing),
            (10, "L24/44100", 1, Finding::ChannelCountMissing),
        ] {
            let mut notes = Vec::new();
            let format = Format::parse(payload_type, map, |finding| notes.push(finding)).expect(map);
            assert_eq!((format.channels.count(), &*notes), (count, &[finding][..]), "{payload_type} {map}");
        }
    }

    #[test]
    fn media_lines_are_read_or_refused() {
        let parse = |value| {
            MediaLine::parse(value).map(|m| (m.port, m.has_range, m.payload_types().collect::<Vec<_>>()))
        };
        assert_eq!(parse("audio 5004 RTP/AVP 97 0 x 128 98"), Ok((5004, false, [97, 0, 98].into())));
        assert_eq!(parse("AUDIO  6004/2 rtp/avpf 10"), Ok((6004, true, [10].into())));
        assert_eq!(parse("audio 5004/1 RTP/AVP"), Ok((5004, false, [].into())));
        assert_eq!(parse("video 5004 RTP/AVP 97"), Err(NotPlayable::OtherMedia));
        for value in ["audio 5004", "audio", "audio x RTP/AVP 97", "audio -1 RTP/AVP 97"] {
            assert_eq!(parse(value), Err(NotPlayable::Malformed), "{value}");
        }
        for (value, reason) in [
            ("audio 0 RTP/AVP 97", Reason::Port),
            ("audio 99999 RTP/AVP 97", Reason::Port),
            ("audio 5004 RTP/SAVP 97", Reason::Transport),
            ("audio 5004 udp 97", Reason::Transport),
        ] {
            assert_eq!(parse(value), Err(NotPlayable::Refused(reason)), "{value}");
        }
    }
}
