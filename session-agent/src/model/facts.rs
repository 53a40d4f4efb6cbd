//! Facts from outside, as plain values.

use std::net::IpAddr;

use wireloom_clock_page::Line;

/// A network interface as the kernel has it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct InterfaceFacts {
    pub name: String,
    pub index: u32,
    pub up: bool,
    pub loopback: bool,
    pub multicast: bool,
    /// Address and prefix length.
    pub addresses: Vec<(IpAddr, u8)>,
    pub mac: Option<[u8; 6]>,
    /// Joining its groups failed.
    pub join_failed: bool,
}

impl InterfaceFacts {
    /// Its first IPv4 address.
    pub fn ipv4(&self) -> Option<std::net::Ipv4Addr> {
        self.addresses.iter().find_map(|(address, _)| match address {
            IpAddr::V4(address) => Some(*address),
            IpAddr::V6(_) => None,
        })
    }

    /// Whether `address` is in one of its networks.
    pub fn reaches(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|(own, bits)| match (own, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                same_prefix(u128::from(u32::from(*own)) << 96, u128::from(u32::from(other)) << 96, *bits)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => same_prefix(u128::from(*own), u128::from(other), *bits),
            _ => false,
        })
    }
}

fn same_prefix(a: u128, b: u128, bits: u8) -> bool {
    bits > 0 && (a ^ b).leading_zeros() >= u32::from(bits)
}

/// What the clock page says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ClockFacts {
    /// The page is there.
    pub present: bool,
    /// Its writer lives.
    pub alive: bool,
    pub lines: Vec<Line>,
    /// What the service says of itself, or why it cannot be asked.
    pub service: String,
    /// Domains whose grandmaster is traceable to TAI.
    pub traceable_domains: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reach_is_decided_by_the_prefix() {
        let address = |text: &str| text.parse::<IpAddr>().expect("valid");
        let facts = InterfaceFacts {
            addresses: vec![(address("192.0.2.10"), 24), (address("2001:db8::1"), 64)],
            ..InterfaceFacts::default()
        };
        assert!(facts.reaches(address("192.0.2.99")) && facts.reaches(address("2001:db8::9")));
        assert!(!facts.reaches(address("192.0.3.1")) && !facts.reaches(address("2001:db9::1")));
    }
}
