//! RAVENNA: sessions that DNS-SD names and RTSP describes, and our own published the same way. Devices of
//! OpenAudioTools that DNS-SD names are found beside them, by the same responder.
//!
//! Tasks of their own, which hear by a [`Plan`] what the core wants and tell it by [`Event`]s what they found.

mod client;
mod discovery;
mod hub;
mod server;
mod starts;

use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::model::InterfaceFacts;
use crate::pace::Pace;
use crate::time::Clock;

/// Octets of one connection, either way, after which its reader rests: a description of a minute's news.
const OCTETS: usize = 4096;
const PAUSE: Duration = Duration::from_millis(20);

/// What the core wants of RAVENNA. Without interfaces nothing is heard, sent or open.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// Where sessions are looked for.
    pub interfaces: Vec<InterfaceFacts>,
    /// Where our own sessions are published: the interface that they leave by, and its address.
    pub publish: Option<(InterfaceFacts, Ipv4Addr)>,
    /// TCP port of our RTSP server.
    pub port: u16,
    /// Our sessions; none while they are not announced.
    pub own: Vec<Own>,
}

/// A session of this computer.
#[derive(Debug, Clone, PartialEq)]
pub struct Own {
    /// Our number for it, the same as long as it lives.
    pub id: u32,
    pub name: String,
    pub sdp: Arc<str>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// What the session with this DNS-SD instance name is, as its server says.
    Described { session: String, server: IpAddr, text: Vec<u8> },
    /// A server says that one of its sessions changed: the one that its description says, or else `session`, if it names
    /// one.
    Announced { session: Option<String>, server: IpAddr, text: Vec<u8> },
    /// The session was withdrawn, its server does not know it, or it has not answered for long.
    Lost { session: String },
    /// A device of OAT can be controlled there. `name` is what DNS-SD calls the service, `host` where it says that it
    /// is.
    Control { name: String, host: String, address: SocketAddrV4 },
    /// It was withdrawn.
    ControlLost { name: String },
    /// Why our own sessions cannot be offered; empty when they can.
    Trouble(String),
}

/// The running tasks.
pub struct Ravenna {
    plan: watch::Sender<Plan>,
    hub: JoinHandle<()>,
}

const fn pace() -> Pace {
    Pace::new(OCTETS, PAUSE)
}

/// Starts the tasks. Call inside a runtime.
pub fn start(clock: Clock, events: mpsc::Sender<Event>) -> Ravenna {
    let (plan, plans) = watch::channel(Plan::default());
    Ravenna { plan, hub: tokio::spawn(hub::run(clock, plans, events)) }
}

impl Ravenna {
    /// Makes `plan` what is wanted.
    pub fn follow(&self, plan: Plan) {
        self.plan.send_if_modified(|known| {
            let differs = *known != plan;
            *known = plan;
            differs
        });
    }

    /// Withdraws our sessions and ends, within a second.
    pub async fn stop(self) {
        drop(self.plan);
        let _ = tokio::time::timeout(Duration::from_secs(1), self.hub).await;
    }
}
