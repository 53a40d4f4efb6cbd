/// The longest stable id.
const MAX_ID_BYTES: usize = 64;

/// A key of the metadata object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    /// `schema`: the major version, written by the module.
    Schema,
    /// `watch`: present while somebody reads `stats.*`; written by the agent.
    Watch,
    /// `node.<id>`: what must exist; written by the agent, a [`crate::Node`].
    Node(String),
    /// `device.<id>`: what a network device is called; written by the agent, a [`crate::Device`].
    Device(String),
    /// `route.<id>`: the network's view of a device-to-device route; written by the agent, a [`crate::Route`].
    Route(String),
    /// `link.<id>`: a virtual link as clients left it; written by the module, a [`crate::Link`].
    Link(String),
    /// `state.<id>`: how a node is; written by the module, a [`crate::StateReport`].
    State(String),
    /// `stats.<id>`: counters, at most once a second and only while `watch` exists; a [`crate::Stats`].
    Stats(String),
}

impl Key {
    /// Reads a key; `None` when it is none of ours or its id is not a stable id.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "schema" => return Some(Self::Schema),
            "watch" => return Some(Self::Watch),
            _ => {}
        }
        let (kind, id) = text.split_once('.')?;
        if !stable_id_is_valid(id) {
            return None;
        }
        let id = id.to_owned();
        match kind {
            "node" => Some(Self::Node(id)),
            "device" => Some(Self::Device(id)),
            "route" => Some(Self::Route(id)),
            "link" => Some(Self::Link(id)),
            "state" => Some(Self::State(id)),
            "stats" => Some(Self::Stats(id)),
            _ => None,
        }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Schema => f.write_str("schema"),
            Self::Watch => f.write_str("watch"),
            Self::Node(id) => write!(f, "node.{id}"),
            Self::Device(id) => write!(f, "device.{id}"),
            Self::Route(id) => write!(f, "route.{id}"),
            Self::Link(id) => write!(f, "link.{id}"),
            Self::State(id) => write!(f, "state.{id}"),
            Self::Stats(id) => write!(f, "stats.{id}"),
        }
    }
}

/// Whether `id` may name a node: 1 to 64 bytes of `[A-Za-z0-9._-]`, ending in `.tx` or `.rx` for nodes by custom.
///
/// A node's id is its `node.name` without the leading `wireloom.`: `s-41c2a9f07be31d02.tx`.
pub fn stable_id_is_valid(id: &str) -> bool {
    (1..=MAX_ID_BYTES).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_round_trip_and_strange_ones_are_refused() {
        for text in [
            "schema",
            "watch",
            "node.s-1.tx",
            "device.d-1",
            "route.r1",
            "link.7",
            "state.s-1.tx",
            "stats.s-1.tx",
        ] {
            assert_eq!(Key::parse(text).expect("ours").to_string(), text);
        }
        for text in ["", "node", "node.", "node.a b", "node.\u{e9}", "other.x"] {
            assert_eq!(Key::parse(text), None, "{text:?}");
        }
    }
}
