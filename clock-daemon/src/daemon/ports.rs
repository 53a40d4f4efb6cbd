//! Interfaces that are wanted against those in use.

use std::path::Path;

use super::Daemon;
use crate::interfaces::{Interface, usable};
use crate::phc::Stamping;
use crate::port::Port;
use crate::settings::MAX_INTERFACES;
use crate::sys;

impl Daemon {
    /// Compares the interfaces that are wanted with those in use, and acts on the difference.
    pub(super) fn rescan(&mut self, now: i64) {
        let mut problems = Vec::new();
        let mut wanted = match sys::interface_rows() {
            Ok(rows) if self.settings.needs_network() => usable(&rows, &self.settings.interfaces),
            Ok(_) => Vec::new(),
            Err(error) => {
                tracing::warn!(%error, "cannot list the network interfaces");
                return;
            }
        };
        for name in &self.settings.interfaces {
            if self.settings.needs_network() && !wanted.iter().any(|interface| interface.name == *name) {
                problems.push(format!("{name}: no such interface, or it is down or has no IPv4 address"));
            }
        }
        for left_out in wanted.iter().skip(MAX_INTERFACES) {
            problems
                .push(format!("{}: not used, a clock can have {MAX_INTERFACES} interfaces", left_out.name));
        }
        wanted.truncate(MAX_INTERFACES);
        for index in 0..MAX_INTERFACES {
            let gone = self.port_mut(index).is_some_and(|port| !wanted.contains(&port.interface));
            if gone {
                self.close_port(now, index, &wanted);
            }
        }
        for interface in wanted {
            if self.ports.iter().flatten().any(|port| port.interface == interface) {
                continue;
            }
            if let Err(error) = self.open_port(now, &interface) {
                problems.push(format!("{}: {error:#}", interface.name));
            }
        }
        for problem in problems.iter().filter(|problem| !self.problems.contains(problem)) {
            tracing::warn!("{problem}");
        }
        self.problems = problems;
        self.drain_engine();
    }

    fn close_port(&mut self, now: i64, index: usize, wanted: &[Interface]) {
        let Some(port) = self.ports.get_mut(index).and_then(Option::take) else { return };
        // Another address or number of the same interface only needs other sockets, which come right after.
        let name = &port.interface.name;
        if !wanted.iter().any(|interface| interface.name == *name) {
            tracing::info!(interface = %name, "no longer used");
        }
        if let Some(ptp) = &mut self.ptp {
            ptp.disable_port(now, index as u16);
        }
    }

    fn open_port(&mut self, now: i64, interface: &Interface) -> anyhow::Result<()> {
        let Some(index) = self.ports.iter().position(Option::is_none) else { return Ok(()) };
        let port = Port::open(interface, &self.settings, &self.passed)?;
        let (stamps, why) = match port.stamping {
            Stamping::Hardware(number) => {
                self.clocks.follow_phc(number);
                ("hardware", "")
            }
            Stamping::Software(why) => ("software", why.words()),
        };
        tracing::info!(interface = %interface.name, address = %interface.address, stamps, why, "in use");
        if Path::new("/sys/class/net").join(&interface.name).join("wireless").exists() {
            let name = &interface.name;
            tracing::warn!(interface = %name, "Wi-Fi delays packets by milliseconds: expect no sample accuracy");
        }
        if let Some(slot) = self.ports.get_mut(index) {
            *slot = Some(port);
        }
        let constants = self.settings.constants_of(&interface.name);
        match &mut self.ptp {
            Some(ptp) => ptp.enable_port(now, index as u16, constants),
            None => self.rebuild_ptp(now),
        }
        Ok(())
    }
}
