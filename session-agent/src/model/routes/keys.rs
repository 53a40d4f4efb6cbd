//! Device-to-device routes in the metadata object: `link.<id>` is read, `route.<id>` written.

use std::collections::BTreeMap;

use wireloom_route::{Answer, Pair, Port, RouteState};
use wireloom_wanted::{Link, LinkEnd, Route, RouteOrigin, pair_id};

use super::super::Model;
use super::devices::node_name;
use crate::time::Now;

fn end_of(port: &Port) -> LinkEnd {
    LinkEnd { node: node_name(&port.device).to_owned(), channel: u32::from(port.channel) }
}

/// The id under which agent and module know `pair`.
pub fn id_of(pair: &Pair) -> String {
    pair_id(&end_of(&pair.output), &end_of(&pair.input))
}

fn pair_of(link: &Link) -> Option<Pair> {
    let port = |end: &LinkEnd| Some(Port::new(end.node.as_str(), u16::try_from(end.channel).ok()?));
    Some(Pair::new(port(&link.output)?, port(&link.input)?))
}

impl Model {
    /// The module wrote, or deleted, the key of a virtual link.
    pub(in super::super) fn handle_link_key(&mut self, now: Now, id: &str, value: Option<&str>) {
        let link = value.and_then(|value| serde_json::from_str::<Link>(value).ok());
        let Some(link) = link.filter(|link| pair_id(&link.output, &link.input) == id) else {
            self.routes.drawn.remove(id); // says nothing about the wish
            return;
        };
        if self.routes.drawn.get(id) == Some(&link) {
            return;
        }
        let Some(pair) = pair_of(&link) else { return };
        let engine = &self.routes.engine;
        // At the start, before everything is read, what was withdrawn is not wished again by an old key.
        let old = !self.graph.settled && engine.is_withdrawn(&pair);
        // Whoever draws the link of a failed route again asks again.
        let again = self.routes.dismissed.contains(id);
        if link.want && (again || !engine.is_wished(&pair)) && !old {
            self.wish(now, pair);
        } else if !link.want {
            // The module takes links of failed routes away by itself; that withdraws nothing.
            let failed = engine.is_wished(&pair) && engine.route(pair.clone()).state == RouteState::Failed;
            if failed {
                self.routes.dismissed.insert(id.to_owned());
            } else {
                super::links::tell_withdrawal(&pair);
                self.routes.engine.withdraw(now.mono, &pair);
            }
        }
        self.routes.drawn.insert(id.to_owned(), link);
    }

    /// Writes the network's view of every device-to-device route, and deletes what is over.
    pub(super) fn write_routes(&mut self, now: Now) {
        let mut wanted = BTreeMap::new();
        for route in self.routes.engine.routes() {
            let direct = matches!(route.way, Answer::Direct { .. });
            let crossed = matches!(route.way, Answer::Impossible(wireloom_route::Obstacle::Crossed(_)));
            if !direct && !crossed {
                continue;
            }
            let id = id_of(&route.pair);
            if route.state != RouteState::Failed {
                self.routes.dismissed.remove(&id);
            } else if self.routes.dismissed.contains(&id) {
                continue;
            }
            let value = Route {
                output: end_of(&route.pair.output),
                input: end_of(&route.pair.input),
                origin: if route.wished { RouteOrigin::Graph } else { RouteOrigin::Network },
                state: state_of(route.state),
                error: route.text,
            };
            wanted.insert(format!("route.{id}"), value);
        }
        let stale: Vec<_> =
            self.graph.routes().filter(|key| !wanted.contains_key(*key)).map(str::to_owned).collect();
        for key in stale {
            self.graph.want(now, &key, None);
        }
        for (key, value) in wanted {
            let Ok(text) = serde_json::to_string(&value) else { continue };
            self.graph.want(now, &key, Some(&text));
        }
    }
}

pub fn state_of(state: RouteState) -> wireloom_wanted::RouteState {
    use wireloom_wanted::RouteState as Key;
    match state {
        RouteState::Receiving => Key::Receiving,
        RouteState::Degraded => Key::Degraded,
        RouteState::Connecting => Key::Connecting,
        RouteState::Pending => Key::Pending,
        RouteState::Offline => Key::Offline,
        RouteState::Failed => Key::Failed,
    }
}
