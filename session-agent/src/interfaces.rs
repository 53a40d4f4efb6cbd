//! Network interfaces as the kernel has them, and a bell that rings when they change.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsRawFd;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::{InterfaceFlags, if_nametoindex};
use nix::sys::socket::{
    AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, SockaddrStorage, bind, socket,
};
use tokio::net::UnixDatagram;

use crate::model::InterfaceFacts;

/// More interfaces than this are not looked at.
const MAX_INTERFACES: usize = 64;

/// Every interface with its addresses, by name.
pub fn read() -> io::Result<Vec<InterfaceFacts>> {
    let mut interfaces: BTreeMap<String, InterfaceFacts> = BTreeMap::new();
    for entry in getifaddrs()? {
        if !interfaces.contains_key(&entry.interface_name) && interfaces.len() >= MAX_INTERFACES {
            continue;
        }
        let facts = interfaces.entry(entry.interface_name.clone()).or_default();
        facts.name = entry.interface_name;
        facts.up = entry.flags.contains(InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING);
        facts.loopback = entry.flags.contains(InterfaceFlags::IFF_LOOPBACK);
        facts.multicast = entry.flags.contains(InterfaceFlags::IFF_MULTICAST);
        let Some(address) = entry.address else { continue };
        if let Some(link) = address.as_link_addr() {
            facts.mac = link.addr().filter(|mac| *mac != [0; 6]);
        } else if let Some(ip) = ip_of(&address) {
            facts.addresses.push((ip, entry.netmask.as_ref().and_then(ip_of).map_or(0, prefix_length)));
        }
    }
    for facts in interfaces.values_mut() {
        facts.index = if_nametoindex(facts.name.as_str()).unwrap_or(0);
    }
    Ok(interfaces.into_values().filter(|facts| facts.index != 0).collect())
}

fn ip_of(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
}

fn prefix_length(mask: IpAddr) -> u8 {
    let ones = match mask {
        IpAddr::V4(mask) => u32::from(mask).leading_ones(),
        IpAddr::V6(mask) => u128::from(mask).leading_ones(),
    };
    u8::try_from(ones).unwrap_or(128)
}

/// Rings when links or addresses change (rtnetlink).
pub struct Bell(UnixDatagram);

impl Bell {
    pub fn new() -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)?;
        // RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR (linux/rtnetlink.h)
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 0x1 | 0x10 | 0x100))?;
        // Only waited on and received from, which a netlink socket does as a Unix one does.
        Ok(Self(UnixDatagram::from_std(fd.into())?))
    }

    /// Waits for a change. What changed is not read: the interfaces are read anew.
    pub async fn rung(&self) -> io::Result<()> {
        let mut buffer = [0; 8192];
        match self.0.recv(&mut buffer).await {
            Err(error) if error.raw_os_error() != Some(nix::libc::ENOBUFS) => return Err(error),
            _ => {} // too many changes at once is a change as well
        }
        while self.0.try_recv(&mut buffer).is_ok() {}
        Ok(())
    }
}
