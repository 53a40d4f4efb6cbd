//! `wireloom watch`: one line for every change.

mod changes;

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use wireloom_dbus::{BUS_NAME, ROOT_PATH};
use zbus::export::futures_core::Stream;
use zbus::names::{OwnedUniqueName, WellKnownName};
use zbus::{Connection, MatchRule, Message, MessageStream, OwnedObjectPath, fdo, message};

use crate::client;
use crate::failure::Failure;
use crate::output::Output;
use crate::watch::changes::{Event, Objects, Properties};

/// When an agent that has just come does not answer yet, it is asked again after this.
const AGAIN: Duration = Duration::from_millis(500);
const YEAR: u64 = 31_536_000;

#[derive(Debug, clap::Args)]
pub struct Watch {
    /// Stop after this many seconds
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=YEAR))]
    timeout: Option<u64>,
}

impl Watch {
    pub async fn run(self, output: &Output) -> Result<(), Failure> {
        let bus = client::connect().await?;
        let following = follow(&bus, output);
        match self.timeout.map(Duration::from_secs) {
            None => following.await,
            Some(limit) => tokio::time::timeout(limit, following).await.unwrap_or(Ok(())),
        }
    }
}

/// Prints what changes. The first question starts an agent; from then on only who has its name is asked, which starts
/// none.
async fn follow(bus: &Connection, output: &Output) -> Result<(), Failure> {
    let names = fdo::DBusProxy::new(bus).await?;
    let mut owners = names.receive_name_owner_changed_with_args(&[(0, BUS_NAME)]).await?;
    let rule = MatchRule::builder().msg_type(message::Type::Signal).sender(BUS_NAME);
    let rule = rule.path_namespace(ROOT_PATH).build()?;
    let mut signals = MessageStream::for_match_rule(rule, bus, None).await?;

    let name = WellKnownName::from_static_str(BUS_NAME)?;
    let first = match names.get_name_owner(name.clone().into()).await {
        Err(fdo::Error::NameHasNoOwner(_)) => {
            names.start_service_by_name(name.clone(), 0).await?;
            names.get_name_owner(name.into()).await?
        }
        owner => owner?,
    };
    let mut owner = Some(first);
    let mut reading: Option<Reading<'_>> = owner.clone().map(|owner| read(bus, owner, Duration::ZERO));
    let mut known = false;
    let mut objects = Objects::default();
    // Signals that come while everything is read: of some it is unknown whether what is read holds them.
    let mut early = Vec::new();
    loop {
        let events = tokio::select! {
            read_now = poll_fn(|context| poll_reading(&mut reading, context)) => match (read_now, &owner) {
                (Ok(mut now), _) => {
                    early.drain(..).for_each(|signal| drop(take(&mut now, &signal)));
                    (reading, known) = (None, true);
                    objects.replace(now)
                }
                (Err(error), _) if !known => return Err(error.into()),
                (Err(_), owner) => {
                    reading = owner.clone().map(|owner| read(bus, owner, AGAIN));
                    Vec::new()
                }
            },
            change = next(&mut owners) => {
                let change = change.ok_or_else(no_bus)?;
                let new: Option<OwnedUniqueName> = change.args()?.new_owner().as_ref().map(|name| name.to_owned().into());
                if new == owner {
                    continue;
                }
                owner = new;
                early.clear();
                reading = owner.clone().map(|owner| read(bus, owner, Duration::ZERO));
                objects.agent_left().into_iter().collect()
            }
            signal = next(&mut signals) => {
                let signal = signal.ok_or_else(no_bus)??;
                if signal.header().sender().map(|sender| sender.as_str()) != owner.as_ref().map(|name| name.as_str()) {
                    continue;
                }
                if reading.is_some() {
                    early.push(signal);
                    continue;
                }
                take(&mut objects, &signal)
            }
        };
        events.iter().try_for_each(|event| print(output, event))?;
    }
}

type Reading<'a> = Pin<Box<dyn Future<Output = zbus::Result<Objects>> + 'a>>;

/// Reads everything that the agent with this name of its own has: such a question starts nobody.
fn read(bus: &Connection, owner: OwnedUniqueName, after: Duration) -> Reading<'_> {
    Box::pin(async move {
        tokio::time::sleep(after).await;
        let mut objects = Objects::default();
        let (name, manager) = ("org.freedesktop.DBus.Properties", "org.wireloom.Wireloom1.Manager");
        let answer = bus.call_method(Some(&owner), ROOT_PATH, Some(name), "GetAll", &manager).await?;
        objects.insert(ROOT_PATH.to_owned(), manager, answer.body().deserialize()?);
        let name = "org.freedesktop.DBus.ObjectManager";
        let answer = bus.call_method(Some(&owner), ROOT_PATH, Some(name), "GetManagedObjects", &()).await?;
        let managed: fdo::ManagedObjects = answer.body().deserialize()?;
        for (path, interfaces) in managed {
            for (interface, properties) in interfaces {
                objects.insert(path.to_string(), interface.as_str(), properties);
            }
        }
        Ok(objects)
    })
}

fn poll_reading(reading: &mut Option<Reading<'_>>, context: &mut Context<'_>) -> Poll<zbus::Result<Objects>> {
    reading.as_mut().map_or(Poll::Pending, |reading| reading.as_mut().poll(context))
}

async fn next<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await
}

/// What a signal of the agent tells; one that cannot be read, or is about anything else, tells nothing.
fn take(objects: &mut Objects, signal: &Message) -> Vec<Event> {
    let (header, body) = (signal.header(), signal.body());
    match header.member().map_or("", |member| member.as_str()) {
        "InterfacesAdded" => {
            let added = body.deserialize::<(OwnedObjectPath, HashMap<String, Properties>)>();
            let Ok((path, interfaces)) = added else { return Vec::new() };
            let insert = |(interface, properties): (String, Properties)| {
                objects.insert(path.to_string(), &interface, properties)
            };
            interfaces.into_iter().filter_map(insert).collect()
        }
        "InterfacesRemoved" => {
            let Ok((path, interfaces)) = body.deserialize::<(OwnedObjectPath, Vec<String>)>() else {
                return Vec::new();
            };
            interfaces.iter().filter_map(|interface| objects.remove(path.to_string(), interface)).collect()
        }
        "PropertiesChanged" => {
            let changed = body.deserialize::<(String, Properties, Vec<String>)>();
            let (Ok((interface, changed, _)), Some(path)) = (changed, header.path()) else {
                return Vec::new();
            };
            objects.update(path.to_string(), &interface, changed).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

fn print(output: &Output, event: &Event) -> Result<(), Failure> {
    if output.json {
        let event = serde_json::to_value(event);
        return output.print_json(event.map_err(|error| Failure::Failed(format!("cannot print: {error}")))?);
    }
    let Event { event, name, state, text, changed, .. } = event;
    let changed = changed.iter().map(|name| name.replace('_', " "));
    let changed = changed.filter(|name| !name.starts_with("state")).collect::<Vec<_>>().join(", ");
    let changed = if changed.is_empty() { changed } else { format!(" ({changed})") };
    let line = format!("{event:<9} {name:<32} {} {text}", output.state(state));
    output.line(&format!("{}{changed}", line.trim_end()))
}

fn no_bus() -> Failure {
    Failure::NoAgent("the session bus has gone".to_owned())
}
