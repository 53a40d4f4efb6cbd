use alloc::{format, string::String};

use wireloom_units::ClockIdentity;

use crate::warning::Finding;

/// The clock that a sender says its media clock follows (`ts-refclk`, RFC 7273 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefClk {
    /// A grandmaster; identity and domain are `None` when not said or not usable.
    Ptp {
        /// Which PTP.
        version: PtpVersion,
        /// Grandmaster identity; none when absent, masked or a placeholder.
        identity: Option<ClockIdentity>,
        /// PTP domain, from here or from `clock-domain`; none when not said.
        domain: Option<u8>,
        /// The identity had six octets: FF-FE was put into its middle, FF-FF may be meant as well.
        widened: bool,
    },
    /// Any PTP grandmaster traceable to TAI.
    PtpTraceable,
    /// GPS, Galileo, GLONASS, or an NTP or private clock that is called traceable.
    Traceable,
    /// The sender's own clock, named by its MAC address.
    LocalMac([u8; 6]),
    /// A clock that nobody else has: `local`, `private`, an NTP server.
    Free,
    /// A form that is not known.
    Unknown,
}

/// The protocol of a PTP reference clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PtpVersion {
    /// IEEE 1588-2002.
    V1,
    /// IEEE 1588-2008 or -2019.
    V2,
    /// IEEE 802.1AS.
    Gptp,
}

/// The clock that drives us, for comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OurClock {
    /// Identity of our grandmaster.
    pub grandmaster: ClockIdentity,
    /// Our PTP domain.
    pub domain: u8,
    /// Our grandmaster says `timeTraceable`.
    pub time_traceable: bool,
}

/// How a sender's clock relates to ours, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Relation {
    /// Same grandmaster and domain: timestamps are believed.
    Same,
    /// Probably the same: timestamps are believed once packets confirm them.
    AssumedSame,
    /// Nothing can be said; packets decide.
    Unknown,
    /// Same domain, other grandmaster: often a description older than a change of master.
    OtherMaster,
    /// Another PTP domain: resample.
    OtherDomain,
    /// The sender's own clock: resample.
    FreeRunning,
}

/// Compares an announced clock with ours (AES67 §8.2).
pub fn compare(announced: &RefClk, ours: &OurClock) -> Relation {
    let traceable = |otherwise| if ours.time_traceable { Relation::Same } else { otherwise };
    match *announced {
        RefClk::PtpTraceable => traceable(Relation::AssumedSame),
        RefClk::Traceable if ours.time_traceable => Relation::AssumedSame,
        RefClk::Traceable | RefClk::LocalMac(_) | RefClk::Free => Relation::FreeRunning,
        RefClk::Unknown
        | RefClk::Ptp { version: PtpVersion::V1, .. }
        | RefClk::Ptp { identity: None, .. } => Relation::Unknown,
        RefClk::Ptp { version, identity: Some(identity), domain, widened } => {
            let same =
                identity == ours.grandmaster || widened && other_widening(identity) == ours.grandmaster;
            match version {
                PtpVersion::Gptp if same => Relation::Same,
                PtpVersion::Gptp => Relation::OtherMaster,
                _ if domain.unwrap_or(0) != ours.domain => Relation::OtherDomain,
                _ if same => Relation::Same,
                _ => Relation::OtherMaster,
            }
        }
    }
}

impl RefClk {
    /// Reads a `ts-refclk` value; `clock_domain` is used when it names no domain itself.
    pub fn parse(value: &str, clock_domain: Option<u8>) -> Self {
        Self::parse_noting(value, clock_domain).0
    }

    /// [`RefClk::parse`] and what is odd about the value.
    pub(crate) fn parse_noting(value: &str, clock_domain: Option<u8>) -> (Self, Option<Finding>) {
        let clock = Self::parse_form(value, clock_domain);
        let finding = match clock {
            Self::Unknown => Some(Finding::ReferenceClock),
            Self::Ptp { widened: true, .. } => Some(Finding::ShortClockIdentity),
            Self::Ptp { version: PtpVersion::V2, identity: None, .. } => {
                let named = value.split_once(':').map_or("", |(_, rest)| rest).trim();
                match octets::<8>(split_domain(named).0) {
                    Some(_) => Some(Finding::PlaceholderClock),
                    None if named.is_empty() => None, // the version alone is a form of its own
                    None => Some(Finding::ReferenceClock),
                }
            }
            Self::Free if value.trim_start().to_ascii_lowercase().starts_with("localmac") => {
                Some(Finding::ReferenceClock)
            }
            _ => None,
        };
        (clock, finding)
    }

    fn parse_form(value: &str, clock_domain: Option<u8>) -> Self {
        let lower = value.trim().to_ascii_lowercase();
        let (name, argument) = lower.split_once('=').unwrap_or((&lower, ""));
        match (name.trim(), argument.trim()) {
            ("ptp", argument) => parse_ptp(argument, clock_domain),
            ("localmac", mac) => octets(mac).map_or(Self::Free, Self::LocalMac),
            ("gps" | "gal" | "glonass" | "galileo", _) => Self::Traceable,
            ("ntp", argument) if argument.trim_matches('/') == "traceable" => Self::Traceable,
            ("private:traceable", _) => Self::Traceable,
            ("ntp" | "local" | "private", _) => Self::Free,
            _ => Self::Unknown,
        }
    }

    /// The attribute value for an announcement, in the spelling that string-comparing peers expect.
    pub(crate) fn to_text(self) -> String {
        match self {
            Self::Ptp { version, identity, domain, .. } => {
                let version = match version {
                    PtpVersion::V1 => "IEEE1588-2002",
                    PtpVersion::V2 => "IEEE1588-2008",
                    PtpVersion::Gptp => "IEEE802.1AS-2011",
                };
                match (identity, domain) {
                    (Some(identity), Some(domain)) => format!("ptp={version}:{identity}:{domain}"),
                    (Some(identity), None) => format!("ptp={version}:{identity}"),
                    (None, _) => format!("ptp={version}"),
                }
            }
            Self::PtpTraceable => "ptp=IEEE1588-2008:traceable".into(),
            Self::Traceable => "gps".into(),
            Self::LocalMac([a, b, c, d, e, f]) => {
                format!("localmac={a:02X}-{b:02X}-{c:02X}-{d:02X}-{e:02X}-{f:02X}")
            }
            Self::Free | Self::Unknown => "local".into(),
        }
    }
}

/// What follows `ptp=`, in lower case.
fn parse_ptp(argument: &str, clock_domain: Option<u8>) -> RefClk {
    if argument == "traceable" {
        return RefClk::PtpTraceable;
    }
    let (name, rest) = argument.split_once(':').unwrap_or((argument, ""));
    let version = match name.trim() {
        "ieee1588-2002" => PtpVersion::V1,
        "ieee1588-2008" | "ieee1588-2019" => PtpVersion::V2,
        name if name.starts_with("ieee802.1as") => PtpVersion::Gptp,
        _ => return RefClk::Unknown,
    };
    let rest = rest.trim();
    if rest.starts_with("traceable") {
        return RefClk::PtpTraceable;
    }
    let (identity, domain) = split_domain(rest);
    let domain = parse_domain(domain).or(clock_domain);
    let (identity, widened) = match (octets(identity), octets(identity)) {
        (Some(identity), _) => (Some(ClockIdentity(identity)), false),
        (None, Some(mac)) => (Some(ClockIdentity::from_mac(mac)), true),
        (None, None) => (None, false),
    };
    let identity = identity.filter(|&identity| !is_placeholder(identity));
    RefClk::Ptp { version, identity, domain, widened: widened && identity.is_some() }
}

/// Splits after the identity: at the first colon or blank when its octets have dashes (or nothing) between them,
/// else after the eighth octet, or the sixth when there are not eight.
fn split_domain(text: &str) -> (&str, &str) {
    let head = text.split_once([':', ' ']).unwrap_or((text, ""));
    if head.0.len() > 2 {
        return head;
    }
    let fields = text.split([':', ' ']).take_while(|field| is_octet(field)).count();
    let count = if fields >= 8 { 8 } else { 6 };
    let end = count * 3 - 1;
    match (text.get(..end), text.get(end..)) {
        (Some(identity), Some(rest)) if fields >= count => (identity, rest.trim_start_matches([':', ' '])),
        _ => head,
    }
}

/// `0`, `domain-nmbr=0`, `domain=0`, `domain 0`.
fn parse_domain(text: &str) -> Option<u8> {
    let text = text.trim();
    let number = text.rsplit_once(['=', ' ', '\t']).map_or(text, |(_, number)| number);
    number.parse().ok()
}

/// Reads the domain of `clock-domain:PTPv2 <d>` or `ptp-domain:<d>`; other clock domains (`local=<n>`) are none of PTP.
pub(crate) fn parse_clock_domain(value: &str) -> Option<u8> {
    let is_ptp = value.get(..3).is_some_and(|name| name.eq_ignore_ascii_case("ptp"));
    let named = value.split_once(':').map_or(value, |(_, named)| named);
    if is_ptp { parse_domain(named) } else { value.trim().parse().ok() }
}

/// Exactly `N` hexadecimal octets, with dashes, colons, or nothing between them.
fn octets<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut digits = text.chars().filter(|c| !matches!(c, '-' | ':'));
    let mut octets = [0; N];
    for octet in &mut octets {
        let [high, low] = [digits.next()?.to_digit(16)?, digits.next()?.to_digit(16)?];
        *octet = u8::try_from(high * 16 + low).ok()?;
    }
    digits.next().is_none().then_some(octets)
}

fn is_octet(field: &str) -> bool {
    field.len() == 2 && field.bytes().all(|digit| digit.is_ascii_hexdigit())
}

/// What senders print that have no master: all zero, zero around FF-FE, all ones.
pub(crate) fn is_placeholder(identity: ClockIdentity) -> bool {
    matches!(identity.0, [0, 0, 0, 0, 0, 0, 0, 0] | [0, 0, 0, 0xff, 0xfe, 0, 0, 0])
        || identity.0 == [0xff; 8]
        || identity.0 == [0xff, 0xff, 0xff, 0xff, 0xfe, 0xff, 0xff, 0xff]
}

/// The same MAC address with FF-FF in the middle.
fn other_widening(identity: ClockIdentity) -> ClockIdentity {
    let [a, b, c, _, _, d, e, f] = identity.0;
    ClockIdentity([a, b, c, 0xff, 0xff, d, e, f])
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRANDMASTER: ClockIdentity = ClockIdentity([0, 0x1d, 0xc1, 0xff, 0xfe, 0x12, 0, 0xa4]);

    fn ours(domain: u8, time_traceable: bool) -> OurClock {
        OurClock { grandmaster: GRANDMASTER, domain, time_traceable }
    }

    #[test]
    fn every_spelling_compares_as_meant() {
        for (text, relation) in [
            ("ptp=IEEE1588-2008:00-1D-C1-FF-FE-12-00-A4:0", Relation::Same),
            ("ptp=IEEE1588-2008:00-1d-c1-ff-fe-12-00-a4", Relation::Same),
            ("PTP = ieee1588-2008:00:1D:C1:FF:FE:12:00:A4:0", Relation::Same),
            ("ptp=IEEE1588-2008:00:1D:C1:FF:FE:12:00:A4", Relation::Same),
            ("ptp=IEEE1588-2008:001DC1FFFE1200A4:0", Relation::Same),
            ("ptp=IEEE1588-2008:00-1D-C1-FF-FE-12-00-A4:domain-nmbr=0", Relation::Same),
            ("ptp=IEEE1588-2008:00-1D-C1-FF-FE-12-00-A4 0", Relation::Same),
            ("ptp=IEEE1588-2019:00-1D-C1-FF-FE-12-00-A4:0", Relation::Same),
            ("ptp=IEEE1588-2008:00-1D-C1-12-00-A4:domain-nmbr=0", Relation::Same),
            ("ptp=IEEE1588-2008:00:1d:c1:12:00:a4:0", Relation::Same),
            ("ptp=IEEE802.1AS-2011:00-1D-C1-FF-FE-12-00-A4", Relation::Same),
            ("ptp=IEEE802.1AS-2011:00-1D-C1-FF-FE-12-00-A5", Relation::OtherMaster),
            ("ptp=IEEE1588-2008:00-1D-C1-FF-FE-12-00-A5:0", Relation::OtherMaster),
            ("ptp=IEEE1588-2008:00-1D-C1-FF-FE-12-00-A4:127", Relation::OtherDomain),
            ("ptp=IEEE1588-2008:00-1D-C1-FF-FE-12-00-A4:domain 127", Relation::OtherDomain),
            ("ptp=IEEE1588-2008:00-1D-C1-FF-FE-12-00-A4: domain-nmbr = 127", Relation::OtherDomain),
            ("ptp=IEEE1588-2008:traceable", Relation::AssumedSame),
            ("ptp=traceable", Relation::AssumedSame),
            ("ptp=IEEE1588-2008", Relation::Unknown),
            ("ptp=IEEE1588-2002:00-1D-C1-FF-FE-12-00-A4:0", Relation::Unknown),
            ("ptp=IEEE1588-2008:00-1D-C1-FF-FE-xx-xx-xx:0", Relation::Unknown),
            ("ptp=IEEE1588-2008:00-00-00-FF-FE-00-00-00:0", Relation::Unknown),
            ("ptp=IEEE1588-2008:FF-FF-FF-FF-FF-FF-FF-FF:0", Relation::Unknown),
            ("localmac=40-A3-6B-00-2B-D2", Relation::FreeRunning),
            ("localmac=", Relation::FreeRunning),
            ("ntp=192.0.2.1", Relation::FreeRunning),
            ("ntp=/traceable/", Relation::FreeRunning),
            ("gps", Relation::FreeRunning),
            ("private", Relation::FreeRunning),
            ("", Relation::Unknown),
            ("sundial", Relation::Unknown),
        ] {
            assert_eq!(compare(&RefClk::parse(text, None), &ours(0, false)), relation, "{text}");
        }
    }

    #[test]
    fn a_traceable_master_of_ours_changes_the_traceable_ones() {
        for (text, relation) in [
            ("ptp=IEEE1588-2008:traceable", Relation::Same),
            ("gps", Relation::AssumedSame),
            ("ntp=/traceable/", Relation::AssumedSame),
            ("private:traceable", Relation::AssumedSame),
            ("ntp=192.0.2.1", Relation::FreeRunning),
        ] {
            assert_eq!(compare(&RefClk::parse(text, None), &ours(0, true)), relation, "{text}");
        }
    }

    #[test]
    fn the_clock_domain_fills_in_and_both_widenings_match() {
        let text = "ptp=IEEE1588-2008:00-1D-C1-FF-FE-12-00-A4";
        assert_eq!(compare(&RefClk::parse(text, Some(5)), &ours(5, false)), Relation::Same);
        assert_eq!(compare(&RefClk::parse(text, Some(5)), &ours(0, false)), Relation::OtherDomain);
        let [a, b, c, _, _, d, e, f] = GRANDMASTER.0;
        let grandmaster = ClockIdentity([a, b, c, 0xff, 0xff, d, e, f]);
        let clock = RefClk::parse("ptp=IEEE1588-2008:00-1D-C1-12-00-A4:0", None);
        assert_eq!(compare(&clock, &OurClock { grandmaster, ..ours(0, false) }), Relation::Same);
        assert_eq!(parse_clock_domain("PTPv2 127"), Some(127));
        for text in ["PTPv2:127", "PTPv2=127", "PTPv2 domain = 127", "PTPv2\t127"] {
            assert_eq!(parse_clock_domain(text), Some(127), "{text}");
        }
        assert_eq!(parse_clock_domain("PTPv2"), None);
        assert_eq!(parse_clock_domain("5"), Some(5));
        assert_eq!(parse_clock_domain("local=0"), None);
    }
}
