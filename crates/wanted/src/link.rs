use serde::{Deserialize, Serialize};

/// The network's view of a device-to-device route. Value of `route.<id>`; written by the agent.
///
/// `<id>` is the [`pair_id`] of the two ends; the module ignores a route with another one. As long as the key is
/// there and nobody destroyed the link ([`Link::want`]), the module shows a virtual link with this state. When the
/// agent deletes the key, the link goes.
///
/// ```
/// use wireloom_wanted::{Route, RouteState, pair_id};
/// let route: Route = serde_json::from_str(Route::EXAMPLE).unwrap();
/// assert_eq!(route.state, RouteState::Receiving);
/// assert_eq!(pair_id(&route.output, &route.input), "p-5bb9da357565cd7a");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Where the audio comes from.
    pub output: LinkEnd,
    /// Where it goes.
    pub input: LinkEnd,
    /// Who made it.
    pub origin: RouteOrigin,
    /// How it is.
    pub state: RouteState,
    /// Why it is not better, in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
}

impl Route {
    /// A complete example, parsed by a test.
    pub const EXAMPLE: &str = r#"{
        "output": {"node": "wireloom.s-41c2a9f07be31d02.tx", "channel": 0},
        "input": {"node": "wireloom.d-77aa03e1b6c2f500.rx", "channel": 1},
        "origin": "graph", "state": "receiving"
    }"#;
}

/// One end of a route or a virtual link: a channel of a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LinkEnd {
    /// `node.name`.
    pub node: String,
    /// Channel, counted from 0.
    pub channel: u32,
}

/// Who made a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RouteOrigin {
    /// A client of this graph drew it, or it is a wish of this computer.
    Graph,
    /// It was found on the network.
    Network,
}

/// How a route is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RouteState {
    /// Wished, nothing asked yet. Shown as a link that negotiates.
    Pending,
    /// The device has been asked. Shown as a link that negotiates.
    Connecting,
    /// Audio flows. Shown as an active link.
    Receiving,
    /// Asked and agreed, but no audio, or not all of it. Shown as a paused link.
    Degraded,
    /// A device is away; remembered. Shown as a paused link.
    Offline,
    /// Refused for good. A link of this computer shows the error for a second, then the module takes it away and
    /// writes `want` false; one that was found on the network is shown paused.
    Failed,
}

/// A virtual link as clients left it. Value of `link.<id>`; written by the module.
///
/// `<id>` is the [`pair_id`] of the two ends. The key appears when a client draws a link, with `want` true, and
/// becomes false when a client destroys it, also one that was found on the network and so had no key. False stays
/// until the agent has deleted `route.<id>`; then the key goes. A link that went because a node, a port, a program or
/// PipeWire went changes nothing here. No key says nothing: only `want` false withdraws a wish.
///
/// ```
/// let link: wireloom_wanted::Link = serde_json::from_str(wireloom_wanted::Link::EXAMPLE).unwrap();
/// assert!(link.want);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Where the audio comes from.
    pub output: LinkEnd,
    /// Where it goes.
    pub input: LinkEnd,
    /// Whether it is to exist.
    pub want: bool,
}

impl Link {
    /// A complete example, parsed by a test.
    pub const EXAMPLE: &str = r#"{
        "output": {"node": "wireloom.s-41c2a9f07be31d02.tx", "channel": 0},
        "input": {"node": "wireloom.d-77aa03e1b6c2f500.rx", "channel": 1},
        "want": true
    }"#;
}

/// The id under which agent and module keep the route or link from `output` to `input`: `p-` and the 64-bit FNV-1a of
/// both ends, in hexadecimal. Who knows the ends knows the id; so whoever comes first, both mean the same key.
pub fn pair_id(output: &LinkEnd, input: &LinkEnd) -> String {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let text = format!("{}\0{}\0{}\0{}", output.node, output.channel, input.node, input.channel);
    let hash = text.bytes().fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
    format!("p-{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_has_one_id_and_another_pair_another() {
        let end = |node: &str, channel| LinkEnd { node: node.to_owned(), channel };
        let id = pair_id(&end("a", 1), &end("b", 2));
        assert!(crate::stable_id_is_valid(&id), "{id}");
        assert_eq!(id, pair_id(&end("a", 1), &end("b", 2)));
        for other in [(end("b", 2), end("a", 1)), (end("a", 2), end("b", 1)), (end("a1", 1), end("b", 2))] {
            assert_ne!(id, pair_id(&other.0, &other.1));
        }
    }

    #[test]
    fn the_examples_survive_a_round_trip() {
        let route: Route = serde_json::from_str(Route::EXAMPLE).expect("valid");
        let link: Link = serde_json::from_str(Link::EXAMPLE).expect("valid");
        assert_eq!((&route.output, &route.input), (&link.output, &link.input));
        let text = serde_json::to_string(&route).expect("serialises");
        assert_eq!(serde_json::from_str::<Route>(&text).expect("parses"), route);
        let text = serde_json::to_string(&link).expect("serialises");
        assert_eq!(serde_json::from_str::<Link>(&text).expect("parses"), link);
    }
}
