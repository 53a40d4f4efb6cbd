//! Who is asked for what: between DNS-SD, the RTSP servers that it names, our own server, and the core.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, info, warn};
use wireloom_ravenna::{InstanceName, Session};

use super::client::{self, Report, Wanted};
use super::discovery::{Discovery, Found, Published, needs_renewal};
use super::starts::Starts;
use super::{Event, Plan, server};
use crate::time::Clock;

/// Sessions that are followed, of all servers together.
const MAX_SESSIONS: usize = 1024;
/// Servers that are connected to.
const MAX_SERVERS: usize = 128;
/// Devices of OAT that are known at a time.
const MAX_CONTROLS: usize = 128;
/// A session is redirected so often before it is described: servers that send us to each other are let be.
const MAX_MOVES: u8 = 3;
/// What failed is tried again so often.
const CHECK: Duration = Duration::from_secs(10);
/// Floods are looked for so often: what they fill is memory.
const FLOOD_LOOK: Duration = Duration::from_secs(1);
/// Said to the user.
const FLOODED: &str = "somebody floods the network with DNS-SD records";
/// After a flood DNS-SD rests for so many checks.
const REST: u32 = 6;
/// Every so many checks, sessions are asked for again that would be forgotten otherwise.
const RENEW_EVERY: u32 = 4;

/// Runs until nobody plans any more; what was published is withdrawn then.
pub async fn run(clock: Clock, mut plans: watch::Receiver<Plan>, events: mpsc::Sender<Event>) {
    let (report_sender, mut reports) = mpsc::channel(64);
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default();
    let mut hub = Hub::new(clock, events, report_sender, host);
    let mut check = interval(CHECK);
    let mut look = interval(FLOOD_LOOK);
    check.set_missed_tick_behavior(MissedTickBehavior::Delay);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let going_on = tokio::select! {
            changed = plans.changed() => match changed {
                Ok(()) => {
                    hub.plan = plans.borrow_and_update().clone();
                    hub.settle().await
                }
                Err(_) => break,
            },
            found = next(hub.discovery.as_ref()) => hub.take_found(found).await,
            Some(report) = reports.recv() => hub.take_report(report).await,
            () = ended(hub.ending.as_mut()) => {
                hub.ending = None; // the next check starts another
                Ok(())
            }
            _ = look.tick() => hub.look_for_flood().await,
            _ = check.tick() => hub.check().await,
        };
        if going_on.is_err() {
            break; // the core ended
        }
    }
    if let Some(discovery) = hub.discovery.take() {
        discovery.stop().await;
    }
}

async fn next(discovery: Option<&Discovery>) -> Found {
    match discovery {
        Some(discovery) => discovery.next().await,
        None => std::future::pending().await,
    }
}

async fn ended(ending: Option<&mut JoinHandle<()>>) {
    match ending {
        Some(task) => drop(task.await),
        None => std::future::pending().await,
    }
}

/// The core takes no more events.
struct CoreEnded;

struct Hub {
    clock: Clock,
    events: mpsc::Sender<Event>,
    reports: mpsc::Sender<Report>,
    host: String,
    plan: Plan,
    discovery: Option<Discovery>,
    /// The one before, which a flood may keep from ending: there are never more of them.
    ending: Option<JoinHandle<()>>,
    /// Checks for which DNS-SD rests.
    rest: u32,
    checks: u32,
    /// Every session that DNS-SD names, with who describes it; and the path there that a redirection said.
    sessions: BTreeMap<InstanceName, (SocketAddr, Option<String>)>,
    servers: BTreeMap<SocketAddr, watch::Sender<Wanted>>,
    starts: Starts,
    /// Redirections of a session since it was described.
    moves: BTreeMap<InstanceName, u8>,
    /// Devices of OAT, by the full name of their service.
    controls: BTreeMap<String, SocketAddrV4>,
    /// Our own server: where it listens, and what it describes.
    own: Option<(Published, watch::Sender<Vec<Session>>)>,
    /// Names of ours that were taken, and what they became.
    renamed: BTreeMap<InstanceName, InstanceName>,
    trouble: String,
}

impl Hub {
    fn new(clock: Clock, events: mpsc::Sender<Event>, reports: mpsc::Sender<Report>, host: String) -> Self {
        Self {
            clock,
            events,
            reports,
            host,
            plan: Plan::default(),
            discovery: None,
            ending: None,
            rest: 0,
            checks: 0,
            sessions: BTreeMap::new(),
            servers: BTreeMap::new(),
            starts: Starts::default(),
            moves: BTreeMap::new(),
            controls: BTreeMap::new(),
            own: None,
            renamed: BTreeMap::new(),
            trouble: String::new(),
        }
    }

    async fn tell(&self, event: Event) -> Result<(), CoreEnded> {
        self.events.send(event).await.map_err(|_| CoreEnded)
    }

    /// Brings everything in line with the plan.
    async fn settle(&mut self) -> Result<(), CoreEnded> {
        let interfaces: BTreeSet<String> =
            self.plan.interfaces.iter().map(|facts| facts.name.clone()).collect();
        let result = match (&mut self.discovery, interfaces.is_empty()) {
            (None, false) if self.rest == 0 && self.ending.is_none() => {
                Discovery::start(interfaces, &self.host).map(|started| self.discovery = Some(started))
            }
            (Some(discovery), false) => discovery.use_interfaces(interfaces),
            _ => Ok(()),
        };
        if let Err(error) = result {
            warn!("DNS-SD: {error}; trying again");
            self.end_discovery().await?;
        }
        if self.plan.interfaces.is_empty() {
            self.end_discovery().await?;
        }
        // Servers that can no longer be reached directly are not asked any more.
        let unreachable = self.sessions.iter().filter(|(_, (server, _))| !self.reaches(server.ip()));
        for name in unreachable.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            self.lose(&name).await?;
        }
        let far = self.controls.iter().filter(|(_, address)| !self.reaches(IpAddr::V4(*address.ip())));
        for name in far.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            self.lose_control(&name).await?;
        }
        self.serve().await
    }

    /// Only hosts of the networks that are in use: what a stranger's record says leads nowhere else.
    fn reaches(&self, address: IpAddr) -> bool {
        !address.is_loopback() && self.plan.interfaces.iter().any(|facts| facts.reaches(address))
    }

    fn is_ours(&self, name: &InstanceName, server: SocketAddr) -> bool {
        let here = self
            .own
            .as_ref()
            .is_some_and(|(published, _)| server == SocketAddr::from((published.address, published.port)));
        here || self.names().iter().any(|(own, _)| self.renamed.get(own).unwrap_or(own) == name)
            && self
                .plan
                .interfaces
                .iter()
                .any(|facts| facts.addresses.iter().any(|(ip, _)| *ip == server.ip()))
    }

    async fn take_found(&mut self, found: Found) -> Result<(), CoreEnded> {
        match found {
            Found::Session(name, addresses, port) => {
                let reachable = addresses.into_iter().filter(|address| self.reaches(*address));
                // IPv4 first: the audio of RAVENNA devices is.
                let Some(address) = reachable.min_by_key(IpAddr::is_ipv6) else {
                    debug!("RAVENNA session \"{name}\" is in no network that is in use");
                    return Ok(());
                };
                let server = SocketAddr::new(address, port);
                if self.is_ours(&name, server) {
                    return Ok(());
                }
                self.ask(name, server, None).await
            }
            Found::Gone(name) => self.lose(&name).await,
            Found::Control(name, host, addresses, port) => {
                self.take_control(name, host, &addresses, port).await
            }
            Found::ControlGone(name) => self.lose_control(&name).await,
            Found::Renamed(old, new) => {
                if self.renamed.insert(old.clone(), new.clone()).as_ref() != Some(&new) {
                    info!("the RAVENNA name \"{old}\" is taken in this network: using \"{new}\"");
                }
                self.tell_own();
                Ok(())
            }
            Found::Ended => {
                warn!("DNS-SD ended; trying again");
                self.end_discovery().await
            }
        }
    }

    /// A device of OAT is where its record says, in a network that is in use; never this computer.
    async fn take_control(
        &mut self,
        name: String,
        host: String,
        addresses: &[IpAddr],
        port: u16,
    ) -> Result<(), CoreEnded> {
        let ours = |address: &IpAddr| {
            self.plan.interfaces.iter().any(|facts| facts.addresses.iter().any(|(own, _)| own == address))
        };
        let near = addresses.iter().filter(|address| self.reaches(**address) && !ours(address));
        let mut v4 = near.filter_map(|address| match address {
            IpAddr::V4(v4) => Some(SocketAddrV4::new(*v4, port)),
            IpAddr::V6(_) => None,
        });
        // One that has several keeps the one that it is known by.
        let known = self.controls.get(&name).copied();
        let Some(address) = v4.clone().find(|it| Some(*it) == known).or_else(|| v4.next()) else {
            return self.lose_control(&name).await;
        };
        if known == Some(address) {
            return Ok(());
        }
        if known.is_none() && self.controls.len() >= MAX_CONTROLS {
            debug!("the OAT device {name:?} is not followed: there are too many");
            return Ok(());
        }
        debug!("the OAT device {name:?} is controlled at {address}");
        self.controls.insert(name.clone(), address);
        self.tell(Event::Control { name, host, address }).await
    }

    async fn lose_control(&mut self, name: &str) -> Result<(), CoreEnded> {
        match self.controls.remove(name) {
            Some(_) => self.tell(Event::ControlLost { name: name.to_owned() }).await,
            None => Ok(()),
        }
    }

    async fn take_report(&mut self, report: Report) -> Result<(), CoreEnded> {
        let asked = |hub: &Self, server: SocketAddr, session: &str| {
            let name = InstanceName::new(session);
            name.filter(|name| hub.sessions.get(name).is_some_and(|(known, _)| *known == server))
        };
        match report {
            Report::Described { server, session, text } if asked(self, server, &session).is_some() => {
                self.moves.retain(|name, _| name.as_str() != session);
                self.tell(Event::Described { session, server: server.ip(), text }).await
            }
            Report::Announced { server, session, text } if self.servers.contains_key(&server) => {
                let session = session.filter(|session| asked(self, server, session).is_some());
                self.tell(Event::Announced { session, server: server.ip(), text }).await
            }
            Report::Moved { server, session, location } => {
                let to = SocketAddr::new(location.address, location.port);
                let Some(name) = asked(self, server, &session).filter(|_| self.reaches(to.ip())) else {
                    return Ok(());
                };
                let moves = self.moves.entry(name.clone()).or_default();
                if *moves >= MAX_MOVES {
                    debug!("RAVENNA session \"{name}\" is sent from server to server: it is let be");
                    return Ok(());
                }
                *moves = moves.saturating_add(1);
                self.ask(name, to, Some(location.path)).await
            }
            Report::Unknown { server, session } if asked(self, server, &session).is_some() => {
                self.tell(Event::Lost { session }).await // DNS-SD may still name it: it is asked for again
            }
            Report::Silent { server } => {
                let lost = self.sessions.iter().filter(|(_, (known, _))| *known == server);
                for name in lost.map(|(name, _)| name.as_str().to_owned()).collect::<Vec<_>>() {
                    self.tell(Event::Lost { session: name }).await?;
                }
                Ok(())
            }
            _ => Ok(()), // of a server that is no longer asked
        }
    }

    /// Lets `server` describe the session from now on.
    async fn ask(
        &mut self,
        name: InstanceName,
        server: SocketAddr,
        path: Option<String>,
    ) -> Result<(), CoreEnded> {
        let before = self.sessions.get(&name);
        if before
            .is_some_and(|(known, known_path)| *known == server && (path.is_none() || *known_path == path))
        {
            return Ok(());
        }
        let full = before.is_none() && self.sessions.len() >= MAX_SESSIONS;
        if full || !self.servers.contains_key(&server) && self.servers.len() >= MAX_SERVERS {
            debug!("RAVENNA session \"{name}\" is not followed: there are too many");
            return Ok(());
        }
        debug!("RAVENNA session \"{name}\" is described by {server}");
        self.sessions.insert(name, (server, path));
        self.tell_servers();
        Ok(())
    }

    async fn lose(&mut self, name: &InstanceName) -> Result<(), CoreEnded> {
        if self.sessions.remove(name).is_none() {
            return Ok(());
        }
        self.moves.remove(name);
        self.tell_servers();
        self.tell(Event::Lost { session: name.as_str().to_owned() }).await
    }

    /// Tells every server task what is wanted of its server; one of which nothing is wanted ends.
    fn tell_servers(&mut self) {
        let mut wanted: BTreeMap<SocketAddr, Wanted> = BTreeMap::new();
        for (name, (server, path)) in &self.sessions {
            wanted.entry(*server).or_default().insert(name.as_str().to_owned(), path.clone());
        }
        self.servers.retain(|server, _| wanted.contains_key(server));
        for (server, wanted) in wanted {
            match self.servers.get(&server) {
                Some(sender) => {
                    sender.send_if_modified(|known| std::mem::replace(known, wanted.clone()) != wanted);
                }
                None => {
                    let (sender, receiver) = watch::channel(wanted);
                    let wait = self.starts.next(self.clock.now().mono);
                    tokio::spawn(client::follow(self.clock, server, receiver, self.reports.clone(), wait));
                    self.servers.insert(server, sender);
                }
            }
        }
    }

    async fn end_discovery(&mut self) -> Result<(), CoreEnded> {
        if let Some(discovery) = self.discovery.take() {
            self.ending = Some(tokio::spawn(discovery.stop()));
        }
        for name in self.sessions.keys().cloned().collect::<Vec<_>>() {
            self.lose(&name).await?;
        }
        for name in self.controls.keys().cloned().collect::<Vec<_>>() {
            self.lose_control(&name).await?;
        }
        Ok(())
    }

    async fn look_for_flood(&mut self) -> Result<(), CoreEnded> {
        if let Some(discovery) = &mut self.discovery
            && discovery.is_flooded().await
        {
            warn!("{FLOODED}: RAVENNA rests for a minute");
            self.rest = REST;
            self.end_discovery().await?;
            self.settle().await?;
        }
        Ok(())
    }

    async fn check(&mut self) -> Result<(), CoreEnded> {
        self.rest = self.rest.saturating_sub(1);
        self.checks = self.checks.wrapping_add(1);
        if self.checks.is_multiple_of(RENEW_EVERY)
            && self.sessions.keys().any(needs_renewal)
            && let Some(discovery) = &mut self.discovery
            && let Err(error) = discovery.renew()
        {
            debug!("asking for RAVENNA sessions again: {error}");
        }
        if self.discovery.is_none() || !self.trouble.is_empty() { self.settle().await } else { Ok(()) }
    }

    /// Our sessions with the names that they would have if nobody else had them.
    fn names(&self) -> Vec<(InstanceName, &super::Own)> {
        let mut taken = BTreeSet::new();
        let mut names = Vec::new();
        for own in &self.plan.own {
            let Some(name) = InstanceName::of_session(&self.host, &own.name) else { continue };
            let others = (2..1000).map(|number| name.another(number));
            let free = std::iter::once(name.clone()).chain(others).find(|name| taken.insert(name.clone()));
            names.extend(free.map(|name| (name, own)));
        }
        names
    }

    /// Listens where the plan says, and publishes what is described there.
    async fn serve(&mut self) -> Result<(), CoreEnded> {
        let wanted =
            self.plan.publish.as_ref().filter(|_| !self.plan.own.is_empty()).map(|(facts, address)| {
                Published { interface: facts.name.clone(), address: *address, port: self.plan.port }
            });
        let rests = self.rest > 0 && wanted.is_some();
        let mut trouble = if rests { format!("not offered by RAVENNA: {FLOODED}") } else { String::new() };
        if self.own.as_ref().map(|(published, _)| published) != wanted.as_ref() {
            self.own = None; // its task ends, and the port is free
            tokio::task::yield_now().await;
        }
        if let (None, Some(published)) = (&self.own, &wanted) {
            match server::bind(published.address, published.port).await {
                Ok(listener) => {
                    let (sender, receiver) = watch::channel(Vec::new());
                    tokio::spawn(server::serve(self.clock, listener, receiver));
                    self.own = Some((published.clone(), sender));
                }
                Err(error) => {
                    trouble = format!("not offered by RAVENNA: TCP port {}: {error}", published.port);
                }
            }
        }
        self.tell_own();
        if trouble != self.trouble {
            if !trouble.is_empty() {
                warn!("own streams are {trouble}; trying again");
            }
            self.trouble.clone_from(&trouble);
            self.tell(Event::Trouble(trouble)).await?;
        }
        Ok(())
    }

    /// Tells our server and DNS-SD what we have.
    fn tell_own(&mut self) {
        let names: Vec<InstanceName> = self.names().into_iter().map(|(name, _)| name).collect();
        if let Some((_, sender)) = &self.own {
            let sessions: Vec<Session> = self
                .names()
                .into_iter()
                .map(|(name, own)| {
                    let name = self.renamed.get(&name).unwrap_or(&name).as_str().to_owned();
                    Session { id: own.id, name, sdp: own.sdp.to_string() }
                })
                .collect();
            sender.send_if_modified(|known| std::mem::replace(known, sessions.clone()) != sessions);
        }
        let device = InstanceName::of_session(&self.host, "");
        let how = self.own.as_ref().map(|(published, _)| published.clone());
        if let Some(discovery) = &mut self.discovery
            && let Err(error) = discovery.publish(device.as_ref(), &names, how.as_ref())
        {
            warn!("publishing by DNS-SD: {error}");
        }
    }
}
