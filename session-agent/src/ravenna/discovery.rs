//! DNS-SD by the crate mdns-sd, which shares port 5353 with a running Avahi.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use mdns_sd::{DaemonEvent, IfKind, Receiver, ResolvedService, ServiceDaemon, ServiceEvent, ServiceInfo};
use tracing::{debug, warn};
use wireloom_ravenna::{DEVICE_TYPE, InstanceName, RTSP_TYPE, SESSION_TYPE, instance_of, instance_on_wire};

/// More records than this in the cache are a flood: real studios have some hundreds of sessions.
const MAX_RECORDS: i64 = 16_384;
/// Without so many answers in a row the crate has no time to tell: it does nothing but read what it is sent.
const MISSES: u8 = 3;
/// An answer is waited for so long.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where devices of OAT are found whose inputs can be told what to play.
const PAGE_TYPE: &str = "_http._tcp.local.";

/// What is found.
#[derive(Debug)]
pub enum Found {
    /// A session, where its server may be, and its port.
    Session(InstanceName, Vec<IpAddr>, u16),
    Gone(InstanceName),
    /// The control interface of a device of OAT: full name of the service, its host, where that may be, and its port.
    Control(String, String, Vec<IpAddr>, u16),
    /// A service of that type went; whether it was a device of OAT nobody remembers here.
    ControlGone(String),
    /// One of our names was taken: what it was, and what it is.
    Renamed(InstanceName, InstanceName),
    /// The service ended, or had to be ended.
    Ended,
}

/// What is published of this computer.
#[derive(Debug, Clone, PartialEq)]
pub struct Published {
    pub interface: String,
    pub address: Ipv4Addr,
    pub port: u16,
}

/// One running responder and browser, with its own thread.
pub struct Discovery {
    daemon: ServiceDaemon,
    sessions: Receiver<ServiceEvent>,
    /// Everything that has a web page, devices of OAT among them.
    pages: Receiver<ServiceEvent>,
    changes: Receiver<DaemonEvent>,
    /// Nobody reads it: it is there for what its questions do.
    _renewals: Option<Receiver<ServiceEvent>>,
    interfaces: BTreeSet<String>,
    /// What is registered: type and name, and how.
    registered: BTreeMap<(&'static str, InstanceName), Published>,
    host: String,
    flood: Flood,
}

/// Tells a flood by what the crate holds, or that it has no time to say.
#[derive(Debug, Default)]
struct Flood {
    misses: u8,
}

impl Flood {
    const fn judge(&mut self, records: Option<i64>) -> bool {
        match records {
            Some(records) => {
                self.misses = 0;
                records > MAX_RECORDS
            }
            None => {
                self.misses = self.misses.saturating_add(1);
                self.misses >= MISSES
            }
        }
    }
}

impl Discovery {
    /// Starts to look for sessions on `interfaces` and nowhere else. `host` names this computer.
    pub fn start(interfaces: BTreeSet<String>, host: &str) -> Result<Self, mdns_sd::Error> {
        let daemon = ServiceDaemon::new()?;
        daemon.disable_interface(IfKind::All)?;
        daemon.enable_interface(kinds(&interfaces))?;
        let changes = daemon.monitor()?;
        let sessions = daemon.browse(SESSION_TYPE)?;
        let pages = daemon.browse(PAGE_TYPE)?;
        let host = host.chars().take(40).map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let (registered, _renewals, flood) = (BTreeMap::new(), None, Flood::default());
        Ok(Self { daemon, sessions, pages, changes, _renewals, interfaces, registered, host, flood })
    }

    /// Makes `interfaces` the ones in use.
    pub fn use_interfaces(&mut self, interfaces: BTreeSet<String>) -> Result<(), mdns_sd::Error> {
        let old: BTreeSet<String> = self.interfaces.difference(&interfaces).cloned().collect();
        let new: BTreeSet<String> = interfaces.difference(&self.interfaces).cloned().collect();
        if !old.is_empty() {
            self.daemon.disable_interface(kinds(&old))?;
        }
        if !new.is_empty() {
            self.daemon.enable_interface(kinds(&new))?;
        }
        self.interfaces = interfaces;
        Ok(())
    }

    /// Asks for all sessions again. To be called more often than every two minutes as long as there is a session that
    /// [`needs_renewal`]: what is known of it expires then.
    pub fn renew(&mut self) -> Result<(), mdns_sd::Error> {
        self._renewals = Some(self.daemon.browse(RTSP_TYPE)?);
        Ok(())
    }

    /// Makes `sessions`, and the node `device` that they belong to, what is published; nothing without `how`.
    pub fn publish(
        &mut self,
        device: Option<&InstanceName>,
        sessions: &[InstanceName],
        how: Option<&Published>,
    ) -> Result<(), mdns_sd::Error> {
        let names = sessions.iter().map(|name| (SESSION_TYPE, name.clone()));
        let device = device.map(|name| (DEVICE_TYPE, name.clone())).filter(|_| !sessions.is_empty());
        let wanted: BTreeMap<_, _> = match how {
            Some(how) => names.chain(device).map(|name| (name, how.clone())).collect(),
            None => BTreeMap::new(),
        };
        for ((kind, name), how) in &self.registered {
            if wanted.get(&(*kind, name.clone())) != Some(how) {
                debug!("withdrawing \"{name}\" from DNS-SD");
                self.daemon.unregister(&full_name(name))?; // its answer says only that it was done
            }
        }
        for ((kind, name), how) in &wanted {
            if self.registered.get(&(*kind, name.clone())) != Some(how) {
                debug!("publishing \"{name}\" by DNS-SD on {}", how.interface);
                let address = IpAddr::V4(how.address);
                let mut info = ServiceInfo::new(
                    kind,
                    name.as_str(),
                    &self.host_of(name),
                    address,
                    how.port,
                    None::<HashMap<String, String>>,
                )?;
                info.set_interfaces(vec![IfKind::Name(how.interface.clone())]);
                self.daemon.register(info)?;
            }
        }
        self.registered = wanted;
        Ok(())
    }

    /// The host name of one service. Avahi keeps the computer's own name for itself; and each service has another,
    /// because withdrawing a service withdraws the addresses of its host as well.
    fn host_of(&self, name: &InstanceName) -> String {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        format!("{}-{:08x}.local.", self.host.trim_matches('-'), hasher.finish() >> 32)
    }

    /// Waits for the next finding. Cancel safe.
    pub async fn next(&self) -> Found {
        loop {
            tokio::select! {
                event = self.sessions.recv_async() => match event {
                    Ok(event) => if let Some(found) = found(event) { return found },
                    Err(_) => return Found::Ended,
                },
                event = self.pages.recv_async() => match event {
                    Ok(event) => if let Some(found) = control(event) { return found },
                    Err(_) => return Found::Ended,
                },
                change = self.changes.recv_async() => match change {
                    Ok(DaemonEvent::NameChange(change)) => {
                        let names = (instance_of(&change.original), instance_of(&change.new_name));
                        if let (Some(old), Some(new)) = names {
                            return Found::Renamed(old, new);
                        }
                    }
                    Ok(DaemonEvent::Error(error)) => debug!("DNS-SD: {error}"),
                    Ok(_) => {}
                    Err(_) => return Found::Ended,
                },
            }
        }
    }

    /// Whether somebody floods the network with records: the crate keeps what it was sent.
    pub async fn is_flooded(&mut self) -> bool {
        let records = self.records().await;
        self.flood.judge(records)
    }

    /// How many records the crate holds; `None` when it does not say.
    async fn records(&self) -> Option<i64> {
        let metrics = self.daemon.get_metrics().ok()?;
        let metrics = tokio::time::timeout(PATIENCE, metrics.recv_async()).await.ok()?.ok()?;
        let cached = metrics.iter().filter(|(name, _)| name.starts_with("cached-"));
        Some(cached.map(|(_, count)| *count).sum())
    }

    /// Withdraws everything that was published and ends.
    pub async fn stop(self) {
        match self.daemon.shutdown() {
            Ok(ended) => {
                let _ = ended.recv_async().await;
            }
            Err(error) => warn!("DNS-SD does not end: {error}"),
        }
    }
}

/// Whether the crate asks for a session by a wrong name: it takes dots in names of others for the ends of labels. Only
/// answers to other questions renew what it knows of such a session.
pub fn needs_renewal(name: &InstanceName) -> bool {
    name.as_str().contains(['.', '\\'])
}

/// The crate escapes the names of its own services, and gives those of others as they came.
fn found(event: ServiceEvent) -> Option<Found> {
    match event {
        ServiceEvent::ServiceResolved(service) => {
            let name = instance_on_wire(&service.fullname)?;
            (service.port != 0).then(|| Found::Session(name, addresses(&service), service.port))
        }
        ServiceEvent::ServiceRemoved(_, full_name) => instance_on_wire(&full_name).map(Found::Gone),
        ServiceEvent::SearchStopped(_) => Some(Found::Ended),
        _ => None,
    }
}

/// What of the web pages is a device of OAT: its TXT record says that it speaks OAT-CTL/1, and where.
fn control(event: ServiceEvent) -> Option<Found> {
    match event {
        ServiceEvent::ServiceResolved(service) => {
            let says = |key: &str, value: &str| service.get_property_val_str(key) == Some(value);
            let speaks = says("oat", "1") && says("path", wireloom_oat::control::BASE) && service.port != 0;
            speaks.then(|| {
                let addresses = addresses(&service);
                Found::Control(service.fullname.clone(), service.host.clone(), addresses, service.port)
            })
        }
        ServiceEvent::ServiceRemoved(_, full_name) => Some(Found::ControlGone(full_name)),
        ServiceEvent::SearchStopped(_) => Some(Found::Ended),
        _ => None,
    }
}

fn addresses(service: &ResolvedService) -> Vec<IpAddr> {
    let addresses: BTreeSet<IpAddr> = service.addresses.iter().take(16).map(|it| it.to_ip_addr()).collect();
    addresses.into_iter().collect()
}

fn kinds(names: &BTreeSet<String>) -> Vec<IfKind> {
    names.iter().cloned().map(IfKind::Name).collect()
}

/// The full name, escaped as the crate escapes it.
fn full_name(name: &InstanceName) -> String {
    format!("{}.{RTSP_TYPE}", name.as_str().replace('\\', r"\\").replace('.', r"\."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_dot_goes_as_it_came() {
        for name in ["Mixer 2.0", r"Left\Right", "Stage Mics: 1/2"] {
            let removed = ServiceEvent::ServiceRemoved(SESSION_TYPE.into(), format!("{name}.{RTSP_TYPE}"));
            assert!(matches!(found(removed), Some(Found::Gone(gone)) if gone.as_str() == name), "{name}");
        }
    }

    #[test]
    fn who_holds_too_much_or_falls_silent_is_flooded() {
        let mut flood = Flood::default();
        let said: Vec<_> = [Some(1), None, None, Some(1), None, None, None, None, Some(MAX_RECORDS)]
            .map(|records| flood.judge(records))
            .to_vec();
        assert_eq!(said, [false, false, false, false, false, false, true, true, false]);
        assert!(flood.judge(Some(MAX_RECORDS + 1)));
    }
}
