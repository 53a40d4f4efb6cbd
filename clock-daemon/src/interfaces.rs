//! Which network interfaces there are, and which of them PTP uses.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use crate::sys::InterfaceRow;

/// An interface that can carry PTP over UDP: up, multicast, with an IPv4 address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its number.
    pub index: u32,
    /// Its first IPv4 address.
    pub address: Ipv4Addr,
    /// Its MAC address.
    pub mac: Option<[u8; 6]>,
}

/// The interfaces to use of `rows`: the `wanted` ones in that order, or when none is named all that can.
pub fn usable(rows: &[InterfaceRow], wanted: &[String]) -> Vec<Interface> {
    let mut found: BTreeMap<&str, Found> = BTreeMap::new();
    for row in rows {
        let entry = found.entry(&row.name).or_default();
        entry.flags = row.flags;
        if let Some((index, mac)) = row.link {
            (entry.index, entry.mac) = (Some(index), mac);
        }
        entry.address = entry.address.or(row.ipv4);
    }
    let interface = |name: &str| {
        let Found { flags, index, address, mac } = *found.get(name)?;
        let needed = (libc::IFF_UP | libc::IFF_RUNNING | libc::IFF_MULTICAST) as u32;
        (flags & needed == needed).then_some(())?;
        Some(Interface { name: name.to_owned(), index: index?, address: address?, mac })
    };
    if wanted.is_empty() {
        let unsuited = (libc::IFF_LOOPBACK | libc::IFF_POINTOPOINT) as u32;
        found
            .iter()
            .filter(|(_, row)| row.flags & unsuited == 0)
            .filter_map(|(name, _)| interface(name))
            .collect()
    } else {
        wanted.iter().filter_map(|name| interface(name)).collect()
    }
}

/// What the rows of one name say together.
#[derive(Debug, Clone, Copy, Default)]
struct Found {
    flags: u32,
    index: Option<u32>,
    address: Option<Ipv4Addr>,
    mac: Option<[u8; 6]>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const UP: u32 = (libc::IFF_UP | libc::IFF_RUNNING | libc::IFF_MULTICAST) as u32;

    fn rows() -> Vec<InterfaceRow> {
        let link = |name: &str, flags: u32, index: u32, mac: Option<[u8; 6]>| InterfaceRow {
            name: name.to_owned(),
            flags,
            ipv4: None,
            link: Some((index, mac)),
        };
        let address = |name: &str, flags: u32, last: u8| InterfaceRow {
            name: name.to_owned(),
            flags,
            ipv4: Some(Ipv4Addr::new(10, 0, 0, last)),
            link: None,
        };
        vec![
            link("lo", UP | libc::IFF_LOOPBACK as u32, 1, None),
            link("eth1", UP, 3, Some([0, 1, 2, 3, 4, 6])),
            link("eth0", UP, 2, Some([0, 1, 2, 3, 4, 5])),
            link("wlan0", UP & !(libc::IFF_RUNNING as u32), 4, Some([0, 1, 2, 3, 4, 7])),
            link("eth2", UP, 5, Some([0, 1, 2, 3, 4, 8])),
            link("tun0", UP | libc::IFF_POINTOPOINT as u32, 6, None),
            address("lo", UP | libc::IFF_LOOPBACK as u32, 1),
            address("eth0", UP, 2),
            address("eth0", UP, 9),
            address("eth1", UP, 3),
            address("wlan0", UP & !(libc::IFF_RUNNING as u32), 4),
            address("tun0", UP | libc::IFF_POINTOPOINT as u32, 6),
        ]
    }

    #[test]
    fn by_default_all_that_carry_multicast_and_have_an_address() {
        let found = usable(&rows(), &[]);
        assert_eq!(found.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["eth0", "eth1"]);
        assert_eq!(found[0].address, Ipv4Addr::new(10, 0, 0, 2));
        assert_eq!((found[0].index, found[0].mac), (2, Some([0, 1, 2, 3, 4, 5])));
    }

    #[test]
    fn named_ones_in_their_order_and_only_when_they_can() {
        let wanted = ["eth1", "eth2", "nosuch", "wlan0", "lo", "eth0"].map(str::to_owned);
        let found = usable(&rows(), &wanted);
        assert_eq!(found.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["eth1", "lo", "eth0"]);
    }
}
