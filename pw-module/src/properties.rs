//! Properties of nodes and ports: how they look in patchbays, mixers and `pw-dump`.

use wireloom_wanted::{Direction, Mode, Node, Protocol, Show, State};

use crate::ffi::{Dictionary, NO_ROUTE};

/// All our nodes share it, and with it one driver.
pub(crate) const GROUP: &str = "wireloom.network";
/// Above sound cards and JACK tunnels, below the dummy driver of PipeWire 1.2 and later.
const DRIVER_PRIORITY: &str = "100000";
/// Below anything that a session manager could prefer.
const SESSION_PRIORITY: &str = "-100";

/// Name of a protocol as properties spell it.
fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Aes67 => "aes67",
        Protocol::Ravenna => "ravenna",
        Protocol::Dante => "dante",
        Protocol::Oat => "oat",
        Protocol::Nmos => "nmos",
    }
}

/// Name of a state as properties spell it.
pub(crate) fn state(state: State) -> &'static str {
    match state {
        State::Idle => "idle",
        State::Waiting => "waiting",
        State::Running => "running",
        State::Silent => "silent",
        State::Offline => "offline",
        State::Error => "error",
    }
}

/// Name of a read mode as properties spell it.
pub(crate) fn mode(mode: Option<Mode>) -> &'static str {
    match mode {
        None => "",
        Some(Mode::Locked) => "locked",
        Some(Mode::Learned) => "learned",
        Some(Mode::Adaptive) => "adaptive",
    }
}

/// SPA describes at most so many channels as one device (`SPA_AUDIO_MAX_CHANNELS`).
const MAX_DEVICE_CHANNELS: usize = 64;

/// Whether a node is also a device of the desktop. A stream with more channels than a device can have is not.
pub(crate) fn is_device(node: &Node) -> bool {
    node.show == Show::Desktop && node.channels.len() <= MAX_DEVICE_CHANNELS
}

/// Properties of the driver node.
pub(crate) fn driver(loop_name: Option<&str>) -> Dictionary {
    let mut props = Dictionary::default();
    props.set("node.name", "wireloom.clock");
    props.set("node.description", "Network audio clock");
    props.set("node.driver", "true");
    props.set("node.group", GROUP);
    props.set("priority.driver", DRIVER_PRIORITY);
    props.set("clock.name", GROUP);
    props.set("node.virtual", "false");
    if let Some(name) = loop_name {
        props.set("node.loop.name", name);
    }
    props
}

/// `node.name` of the node `id`.
pub(crate) fn node_name(id: &str) -> String {
    format!("wireloom.{id}")
}

/// Properties of the Device object of `device`, as the agent tells of it, or else after one of its nodes. Without a
/// `media.class`: it is no sound card, and session managers and mixers leave it alone.
pub(crate) fn device(device: &str, told: Option<&wireloom_wanted::Device>, of: &Node) -> Dictionary {
    let mut props = Dictionary::default();
    props.set("device.name", &format!("wireloom.{}", plain(device)));
    props.set("device.api", protocol(of.protocol));
    props.set("device.bus", "network");
    props.set("device.icon-name", "network-wired");
    props.set("object.path", &format!("wireloom:{}", plain(device)));
    props.set("wireloom.device", &plain(device));
    let fallback = if of.text.nick.is_empty() { &of.text.description } else { &of.text.nick };
    let none = wireloom_wanted::Device::default();
    let told = told.unwrap_or(&none);
    let description = if told.description.is_empty() { fallback } else { &told.description };
    props.set("device.description", &plain(description));
    props.set("device.nick", &plain(if told.nick.is_empty() { fallback } else { &told.nick }));
    for (key, value) in [
        ("device.vendor.name", &told.vendor),
        ("device.product.name", &told.product),
        ("device.serial", &told.serial),
        ("wireloom.firmware", &told.firmware),
        ("wireloom.address", &told.address),
        ("wireloom.status", &told.status),
    ] {
        props.set(key, &plain(value));
    }
    props
}

/// Properties of the node `id`, which belongs to the Device object with the global id `device`.
pub(crate) fn node(id: &str, node: &Node, device: Option<u32>, loop_name: Option<&str>) -> Dictionary {
    let receive = node.direction == Direction::Receive;
    let mut props = texts(node);
    props.set("node.name", &node_name(id));
    props.set("node.group", GROUP);
    props.set("node.network", "true");
    props.set("node.virtual", "false");
    props.set("media.type", "Audio");
    props.set("media.category", if receive { "Capture" } else { "Playback" });
    props.set("device.icon-name", if receive { "audio-input-microphone" } else { "audio-card" });
    props.set("device.api", protocol(node.protocol));
    props.set("object.path", &format!("wireloom:{id}"));
    props.set("priority.session", SESSION_PRIORITY);
    props.set("audio.channels", &node.channels.len().to_string());
    let positions: Vec<String> = (0..node.channels.len()).map(|n| format!("AUX{n}")).collect();
    props.set("audio.position", &format!("[ {} ]", positions.join(" ")));
    props.set("node.channel-names", &serde_json::to_string(&node.channels).unwrap_or_default());
    // A third of the class: the graph is asked for a quantum that fits, and never forced (DESIGN 6).
    props.set("node.latency", &format!("{}/{}", (node.latency / 3).max(1), node.media.rate));
    if is_device(node) {
        props.set("media.class", if receive { "Audio/Source" } else { "Audio/Sink" });
    }
    props.set("wireloom.protocol", protocol(node.protocol));
    props.set("wireloom.direction", if receive { "receive" } else { "transmit" });
    props.set("wireloom.remote", if node.remote { "true" } else { "false" });
    props.set("wireloom.state", state(State::Idle));
    props.set("wireloom.mode", mode(None));
    if let Some(leg) = node.legs.first() {
        let key = if receive { "rtp.source" } else { "rtp.destination" };
        props.set(&format!("{key}.ip"), &leg.address.to_string());
        props.set(&format!("{key}.port"), &leg.port.to_string());
    }
    props.set("rtp.framecount", &node.media.samples_per_packet.to_string());
    props.set("rtp.payload", &node.media.payload_type.to_string());
    props.set("rtp.mime", &format!("audio/{:?}", node.media.encoding));
    if let Some(device) = device {
        props.set("device.id", &device.to_string());
    }
    if let Some(name) = loop_name {
        props.set("node.loop.name", name);
    }
    props
}

/// The properties of a node that may change while it lives.
pub(crate) fn texts(node: &Node) -> Dictionary {
    let mut props = Dictionary::default();
    props.set("node.description", &plain(&node.text.description));
    props.set("node.nick", &plain(&node.text.nick));
    props.set("media.name", &plain(&node.text.name));
    props.set("wireloom.device", &plain(&node.device));
    props.set("wireloom.stream", &plain(&node.text.name));
    if is_device(node) {
        props.set("card.profile.device", &part_of_device(node).to_string());
    }
    props
}

/// Which part of its Device a node is: the one without a route, so that no session manager makes it the default, unless
/// the user chose it.
fn part_of_device(node: &Node) -> u32 {
    if node.chosen { NO_ROUTE + 1 } else { NO_ROUTE }
}

/// Properties of the node's ports, first channel first.
pub(crate) fn ports(node: &Node) -> Vec<Dictionary> {
    let nick = plain(if node.text.nick.is_empty() { &node.text.description } else { &node.text.nick });
    unique(&node.channels)
        .into_iter()
        .enumerate()
        .map(|(channel, label)| {
            let mut props = Dictionary::default();
            props.set("port.name", &label);
            props.set("port.alias", &format!("{nick}:{label}"));
            props.set("audio.channel", &format!("AUX{channel}"));
            props.set("format.dsp", "32 bit float mono audio");
            props.set("port.physical", "true");
            props.set("port.terminal", "true");
            props.set("port.group", "stream.0");
            props
        })
        .collect()
}

/// Labels as port names: none empty, no two alike.
fn unique(labels: &[String]) -> Vec<String> {
    let mut names: Vec<String> = Vec::with_capacity(labels.len());
    for (channel, label) in labels.iter().enumerate() {
        let label = plain(label);
        let base = if label.is_empty() { (channel + 1).to_string() } else { label };
        let mut name = base.clone();
        let mut next = 2;
        while names.contains(&name) {
            name = format!("{base} ({next})");
            next += 1;
        }
        names.push(name);
    }
    names
}

/// A last look at texts from elsewhere: the agent has sanitised them, but what reaches the graph is ours to answer
/// for. No control characters, no direction overrides, 128 characters at most.
fn plain(text: &str) -> String {
    let bad = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().filter(|c| !bad(*c)).take(128).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_names_are_unique_and_never_empty() {
        let labels = ["L", "L", "", "3", "\u{1b}[31mR", "L (2)"].map(str::to_owned);
        assert_eq!(unique(&labels), ["L", "L (2)", "3", "3 (2)", "[31mR", "L (2) (2)"]);
    }

    #[test]
    fn a_device_is_called_as_told_and_is_no_sound_card() {
        let of: Node = serde_json::from_str(Node::EXAMPLE).expect("example");
        let told = serde_json::from_str(wireloom_wanted::Device::EXAMPLE).expect("example");
        let props = device("d-1", Some(&told), &of);
        assert_eq!(props.get("device.description"), Some("Monitor rack"));
        assert_eq!(props.get("device.product.name"), Some("MR-2"));
        assert_eq!(props.get("media.class"), None);
        assert_eq!(device("d-1", None, &of).get("device.description"), Some("Stage box L"));
    }

    #[test]
    fn a_patchbay_node_has_no_class_and_a_desktop_node_has() {
        let mut wanted: Node = serde_json::from_str(Node::EXAMPLE).expect("example");
        assert_eq!(node("x.tx", &wanted, None, None).get("media.class"), None);
        wanted.show = Show::Desktop;
        assert_eq!(node("x.tx", &wanted, None, None).get("media.class"), Some("Audio/Source"));
        assert_eq!(node("x.tx", &wanted, None, None).get("node.latency"), Some("48/48000"));
    }

    #[test]
    fn a_device_of_the_desktop_may_be_the_default_only_when_it_was_chosen() {
        let mut wanted: Node = serde_json::from_str(Node::EXAMPLE).expect("example");
        assert_eq!(node("x.tx", &wanted, None, None).get("card.profile.device"), None);
        wanted.show = Show::Desktop;
        assert_eq!(node("x.tx", &wanted, None, None).get("card.profile.device"), Some("0"));
        wanted.chosen = true;
        assert_eq!(texts(&wanted).get("card.profile.device"), Some("1"));
    }
}
