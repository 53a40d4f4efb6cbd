use core::fmt;

/// A number of audio channels, 1 to 128.
///
/// ```compile_fail
/// use wireloom_units::{Channels, Samples};
/// let _: Samples = Channels::new(2).unwrap();
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Channels(u16);

impl Channels {
    /// The most channels that one stream may have here; `aes67` streams carry up to 120 (L16, 6 frames).
    pub const MAX: u16 = 128;

    /// `count` channels; `None` for 0 or more than 128.
    pub const fn new(count: u16) -> Option<Self> {
        if count == 0 || count > Self::MAX { None } else { Some(Self(count)) }
    }

    /// How many.
    pub const fn count(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ch", self.0)
    }
}

/// The synchronisation source of an RTP stream (RFC 3550 §5.1). Changes when a sender restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ssrc(pub u32);

impl fmt::Display for Ssrc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// The eight octets that name a PTP clock (IEEE 1588-2008 §7.5.2.2), ordered as BMCA compares them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ClockIdentity(pub [u8; 8]);

impl ClockIdentity {
    /// The identity of the clock with MAC address `mac`: FF-FE between its halves, no bit flipped.
    pub const fn from_mac(mac: [u8; 6]) -> Self {
        let [a, b, c, d, e, f] = mac;
        Self([a, b, c, 0xff, 0xfe, d, e, f])
    }
}

impl fmt::Display for ClockIdentity {
    /// Upper-case hexadecimal octets with dashes, as SDP spells them (RFC 7273 §4.3).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, octet) in self.0.iter().enumerate() {
            if position > 0 {
                f.write_str("-")?;
            }
            write!(f, "{octet:02X}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn identity_from_mac_reads_as_in_sdp() {
        let identity = ClockIdentity::from_mac([0x02, 0, 0, 0, 0, 1]);
        assert_eq!(identity.to_string(), "02-00-00-FF-FE-00-00-01");
    }

    #[test]
    fn channel_counts_outside_the_range_are_refused() {
        assert_eq!(Channels::new(0), None);
        assert_eq!(Channels::new(129), None);
        assert_eq!(Channels::new(64).map(Channels::count), Some(64));
    }
}
