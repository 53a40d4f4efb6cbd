use wireloom_units::ClockIdentity;

use super::octets::{Putter, Taker};
use super::{Timestamp, WireError};

/// How good a clock says it is (IEEE 1588-2008 §7.6.2.4, .5, §7.6.3); lower is better in each field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClockQuality {
    /// 6 locked to a primary reference, 248 default, 255 slave-only.
    pub class: u8,
    /// 0x20 25 ns … 0x31 worse than 10 s, 0xfe unknown.
    pub accuracy: u8,
    /// offsetScaledLogVariance, 0xffff unknown.
    pub variance: u16,
}

/// What a master says of its grandmaster (IEEE 1588-2008 table 25).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announce {
    /// About when it was sent.
    pub origin: Timestamp,
    /// TAI − UTC in seconds, right if the header's flag says so.
    pub utc_offset: i16,
    /// A reserved octet, kept.
    pub reserved: u8,
    /// grandmasterPriority1.
    pub priority1: u8,
    /// grandmasterClockQuality.
    pub quality: ClockQuality,
    /// grandmasterPriority2.
    pub priority2: u8,
    /// grandmasterIdentity.
    pub grandmaster: ClockIdentity,
    /// Boundary clocks between the grandmaster and the sender.
    pub steps_removed: u16,
    /// 0x20 GNSS, 0x40 PTP, 0xa0 internal oscillator …
    pub time_source: u8,
}

impl Announce {
    pub(super) fn parse(octets: &mut Taker<'_>) -> Result<Self, WireError> {
        Ok(Self {
            origin: Timestamp::parse(octets)?,
            utc_offset: octets.u16()?.cast_signed(),
            reserved: octets.u8()?,
            priority1: octets.u8()?,
            quality: ClockQuality { class: octets.u8()?, accuracy: octets.u8()?, variance: octets.u16()? },
            priority2: octets.u8()?,
            grandmaster: ClockIdentity(octets.take()?),
            steps_removed: octets.u16()?,
            time_source: octets.u8()?,
        })
    }

    pub(super) fn emit(&self, octets: &mut Putter<'_>) {
        self.origin.emit(octets);
        octets.put(&self.utc_offset.to_be_bytes());
        octets.put(&[self.reserved, self.priority1, self.quality.class, self.quality.accuracy]);
        octets.put(&self.quality.variance.to_be_bytes());
        octets.put(&[self.priority2]);
        octets.put(&self.grandmaster.0);
        octets.put(&self.steps_removed.to_be_bytes());
        octets.put(&[self.time_source]);
    }
}
