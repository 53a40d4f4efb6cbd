use core::fmt;

use wireloom_units::ClockIdentity;

/// A port of a clock: what sends and receives PTP messages (IEEE 1588-2008 §7.5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PortIdentity {
    /// The clock.
    pub clock: ClockIdentity,
    /// Its port, from 1; 0xffff means every port.
    pub port: u16,
}

impl fmt::Display for PortIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.clock, self.port)
    }
}

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
