//! From what the agent says of its objects to the events that are printed.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use wireloom_dbus::{ManagerInfo, RouteInfo, StreamInfo};
use zbus::OwnedVariant;

use crate::list::format_of;
use crate::route::title;

const AGENT: &str = "agent";
const APPEARED: &str = "appeared";
const CHANGED: &str = "changed";
const LEFT: &str = "left";
const CONNECTED: &str = "connected";
const ROUTE: &str = "route";
const REMOVED: &str = "removed";

/// What nobody would call a change: times, by whom it was heard, the description, which is told without its text, and
/// the checks, of which the state says what matters.
const QUIET: [&str; 6] = ["state_since", "last_heard", "heard_on", "found_by", "sdp_text", "checks"];

/// The properties of an interface of an object.
pub type Properties = HashMap<String, OwnedVariant>;

/// What one line tells.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Event {
    pub event: &'static str,
    pub id: String,
    pub name: String,
    pub state: String,
    pub text: String,
    /// Names of what is different, as in the documents of `list` and `routes`; of a change only.
    pub changed: Vec<String>,
}

/// What is watched; the agent comes before its streams, and these before routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Manager,
    Stream,
    Route,
}

impl Kind {
    fn of(interface: &str) -> Option<Self> {
        match interface.strip_prefix("org.wireloom.Wireloom1.")? {
            "Manager" => Some(Self::Manager),
            "Stream" => Some(Self::Stream),
            "Route" => Some(Self::Route),
            _ => None,
        }
    }
}

/// The objects as they were last heard of.
#[derive(Debug, Default)]
pub struct Objects(BTreeMap<(Kind, String), Properties>);

impl Objects {
    /// An object has these properties.
    pub fn insert(&mut self, path: String, interface: &str, properties: Properties) -> Option<Event> {
        let key = (Kind::of(interface)?, path);
        let before = self.0.get(&key);
        let event = event(&key, before, Some(&properties));
        self.0.insert(key, properties);
        event
    }

    /// An object has gone, or has this interface no longer.
    pub fn remove(&mut self, path: String, interface: &str) -> Option<Event> {
        let key = (Kind::of(interface)?, path);
        let before = self.0.remove(&key)?;
        event(&key, Some(&before), None)
    }

    /// Some properties of an object are different. What is told without its value is not looked at.
    pub fn update(&mut self, path: String, interface: &str, changed: Properties) -> Option<Event> {
        let key = (Kind::of(interface)?, path);
        let properties = self.0.get_mut(&key)?; // else it has left
        let before = shown(&key, properties);
        properties.extend(changed);
        difference(before, shown(&key, properties))
    }

    /// The agent has ended: nothing is known of it. What was known of its streams and routes stays, for the next one to
    /// be compared with.
    pub fn agent_left(&mut self) -> Option<Event> {
        let known = self.0.len();
        self.0.retain(|(kind, _), _| *kind != Kind::Manager);
        (self.0.len() < known).then(|| Event {
            event: AGENT,
            id: AGENT.to_owned(),
            name: AGENT.to_owned(),
            state: "gone".to_owned(),
            text: "The agent has ended.".to_owned(),
            changed: Vec::new(),
        })
    }

    /// These are all objects that there are.
    pub fn replace(&mut self, objects: Self) -> Vec<Event> {
        let new = objects.0.iter().map(|(key, properties)| event(key, self.0.get(key), Some(properties)));
        let gone = self.0.iter().filter(|(key, _)| !objects.0.contains_key(*key));
        let gone = gone.map(|(key, properties)| event(key, Some(properties), None));
        let events = new.chain(gone).flatten().collect();
        *self = objects;
        events
    }
}

/// What an object shows: the event that says so, and all that it is.
struct Shown {
    kind: Kind,
    event: Event,
    all: serde_json::Map<String, serde_json::Value>,
}

fn shown((kind, _): &(Kind, String), properties: &Properties) -> Shown {
    let all = |info: serde_json::Result<serde_json::Value>| match info {
        Ok(serde_json::Value::Object(all)) => all,
        _ => serde_json::Map::new(),
    };
    let (event, all) = match kind {
        Kind::Manager => {
            let manager = ManagerInfo::from_properties(properties);
            let all = all(serde_json::to_value(&manager));
            let (id, name) = (AGENT.to_owned(), AGENT.to_owned());
            let (state, text) = (manager.state, manager.state_text);
            (Event { id, name, state, text, ..Event::default() }, all)
        }
        Kind::Stream => {
            let stream = StreamInfo::from_properties(properties);
            let text = match stream.state_text.as_str() {
                "" => format_of(&stream),
                text => text.to_owned(),
            };
            let all = all(serde_json::to_value(&stream));
            let (id, name, state) = (stream.id, stream.alias, stream.state);
            (Event { id, name, state, text, ..Event::default() }, all)
        }
        Kind::Route => {
            let route = RouteInfo::from_properties(properties);
            let all = all(serde_json::to_value(&route));
            let name = title(&route);
            let (id, state, text) = (route.id, route.state, route.state_text);
            (Event { id, name, state, text, ..Event::default() }, all)
        }
    };
    Shown { kind: *kind, event, all }
}

fn event(key: &(Kind, String), before: Option<&Properties>, after: Option<&Properties>) -> Option<Event> {
    let after = after.map(|properties| shown(key, properties));
    let before = before.map(|properties| shown(key, properties));
    match (before, after) {
        (Some(before), Some(after)) => difference(before, after),
        (None, Some(Shown { kind, event, .. })) => {
            let word = match kind {
                Kind::Manager => AGENT,
                Kind::Stream => APPEARED,
                Kind::Route => CONNECTED,
            };
            Some(Event { event: word, ..event })
        }
        (Some(Shown { kind, event, .. }), None) => {
            let word = match kind {
                Kind::Manager => return None, // told when its name goes
                Kind::Stream => LEFT,
                Kind::Route => REMOVED,
            };
            Some(Event { event: word, state: "gone".to_owned(), text: String::new(), ..event })
        }
        (None, None) => None,
    }
}

/// What is different, if anybody would call it that.
fn difference(before: Shown, after: Shown) -> Option<Event> {
    let quiet = |name: &str| match after.kind {
        Kind::Manager => !matches!(name, "state" | "state_reason" | "state_text"),
        Kind::Stream | Kind::Route => QUIET.contains(&name),
    };
    let changed: Vec<String> = after
        .all
        .iter()
        .filter(|(name, value)| !quiet(name) && before.all.get(*name) != Some(*value))
        .map(|(name, _)| name.clone())
        .collect();
    if changed.is_empty() {
        return None;
    }
    let word = match after.kind {
        Kind::Manager => AGENT,
        Kind::Stream => CHANGED,
        Kind::Route => ROUTE,
    };
    Some(Event { event: word, changed, ..after.event })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every word that an event may have.
    const WORDS: [&str; 7] = [AGENT, APPEARED, CHANGED, LEFT, CONNECTED, ROUTE, REMOVED];
    const STREAM: &str = "org.wireloom.Wireloom1.Stream";
    const WAY: &str = "org.wireloom.Wireloom1.Route";
    const MANAGER: &str = "org.wireloom.Wireloom1.Manager";

    fn path(kind: &str) -> String {
        wireloom_dbus::path(kind, "1")
    }

    fn text(pairs: &[(&str, &str)]) -> Properties {
        let value = |text: &str| OwnedVariant::from(zbus::Str::from(text.to_owned()));
        pairs.iter().map(|(name, text)| ((*name).to_owned(), value(text))).collect()
    }

    fn stream() -> Properties {
        text(&[("Id", "s-1"), ("Alias", "Drums"), ("State", "idle"), ("Encoding", "L24")])
    }

    #[test]
    fn whatever_of_a_stream_is_different_is_named_and_times_are_not() {
        let mut objects = Objects::default();
        let event = objects.insert(path("stream"), STREAM, stream()).expect("it is new");
        assert_eq!((event.event, event.id.as_str(), event.name.as_str()), (APPEARED, "s-1", "Drums"));
        for (property, field) in
            [("Encoding", "encoding"), ("ReferenceClock", "reference_clock"), ("StateReason", "state_reason")]
        {
            let update = || text(&[(property, "other")]);
            let event = objects.update(path("stream"), STREAM, update()).expect("it is different");
            assert_eq!((event.event, event.changed), (CHANGED, vec![field.to_owned()]));
            assert_eq!(objects.update(path("stream"), STREAM, update()), None, "told twice");
        }
        let rate = Properties::from([("RateHz".to_owned(), OwnedVariant::from(96_000_u32))]);
        let event = objects.update(path("stream"), STREAM, rate).expect("it is different");
        assert_eq!(event.text, "0 ch other 96 kHz");
        let since = Properties::from([("StateSince".to_owned(), OwnedVariant::from(7_u64))]);
        assert_eq!(objects.update(path("stream"), STREAM, since), None);
        let event = objects.remove(path("stream"), STREAM).expect("it was there");
        assert_eq!((event.event, event.name.as_str(), event.state.as_str()), (LEFT, "Drums", "gone"));
        assert_eq!(objects.update(path("stream"), STREAM, stream()), None, "it is not there");
    }

    #[test]
    fn a_route_and_the_agent_have_words_of_their_own() {
        let mut objects = Objects::default();
        let route = text(&[("Id", "r-1"), ("SourceName", "a"), ("SinkName", "b"), ("State", "waiting")]);
        let event = objects.insert(path("route"), WAY, route).expect("it is new");
        assert_eq!((event.event, event.name.as_str()), (CONNECTED, "a -> b"));
        let event = objects.update(path("route"), WAY, text(&[("StateReason", "offline")]));
        assert_eq!(event.map(|event| event.event), Some(ROUTE));
        let event = objects.remove(path("route"), WAY);
        assert_eq!(event.map(|event| event.event), Some(REMOVED));
        let event = objects.insert(path("x"), MANAGER, text(&[("State", "running")])).expect("it is new");
        assert_eq!((event.event, event.id.as_str(), event.state.as_str()), (AGENT, "agent", "running"));
        assert_eq!(objects.update(path("x"), MANAGER, text(&[("Show", "auto")])), None);
        let event = objects.update(path("x"), MANAGER, text(&[("StateReason", "other-session")]));
        assert_eq!(event.map(|event| event.changed), Some(vec!["state_reason".to_owned()]));
        assert_eq!(objects.insert(path("y"), "org.example.Other", stream()), None);
    }

    #[test]
    fn an_agent_that_returns_tells_only_what_is_different() {
        let mut objects = Objects::default();
        objects.insert(path("x"), MANAGER, text(&[("State", "running")]));
        objects.insert(path("stream"), STREAM, stream());
        let left = objects.agent_left().map(|event| (event.event, event.state));
        assert_eq!(left, Some((AGENT, "gone".to_owned())));
        assert_eq!(objects.agent_left(), None, "told twice");
        let now = |stream: Option<Properties>| {
            let mut objects = Objects::default();
            objects.insert(path("x"), MANAGER, text(&[("State", "running")]));
            stream.map(|stream| objects.insert(path("stream"), STREAM, stream));
            objects
        };
        let words = |events: Vec<Event>| events.iter().map(|event| event.event).collect::<Vec<_>>();
        assert_eq!(words(objects.replace(now(Some(stream())))), [AGENT]);
        let other = [stream(), text(&[("Encoding", "L16")])].into_iter().flatten().collect();
        assert_eq!(words(objects.replace(now(Some(other)))), [CHANGED]);
        assert_eq!(words(objects.replace(now(None))), [LEFT]);
    }

    #[test]
    fn every_event_is_documented() {
        let manual = include_str!("../../../man/wireloom.1.scd");
        let (_, watch) = manual.split_once("\n*watch*\n").expect("the document of watch");
        let (watch, _) = watch.split_once("\n\n").expect("it ends");
        for word in WORDS {
            assert!(watch.contains(&format!("*{word}*")), "{word} is not in wireloom(1)");
        }
        let event = serde_json::to_value(Event::default()).expect("plain values");
        for field in event.as_object().expect("an object").keys() {
            let name = format!("_{field}_");
            assert!(watch.contains(&name), "{field} is not in wireloom(1)");
        }
    }
}
