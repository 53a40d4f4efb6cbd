//! The two nodes that the module is asked for.

use std::net::Ipv4Addr;

use anyhow::Context;
use wireloom_wanted::{ClockRelation, Direction, Encoding, Key, Leg, Media, Node, NodeText, Protocol, Show};

use crate::Arguments;

/// Ids of the nodes; the agent cares for those only whose ids it made.
pub const SENT: &str = "selftest.rx";
pub const RECEIVED: &str = "selftest.tx";
/// From the block that IANA leaves to the user of a network; not the usual port, so that it disturbs nobody.
const GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 77, 77);
const PORT: u16 = 5018;
/// A packet holds at most so many octets of samples, to fit into a frame of Ethernet.
const PAYLOAD: u32 = 1440;
/// A packet and a cycle must fit into the latency.
const MIN_LATENCY: u32 = 96;

/// Keys and values for the metadata object.
pub fn wanted(arguments: &Arguments) -> anyhow::Result<Vec<(String, String)>> {
    let nodes = [(SENT, Direction::Transmit), (RECEIVED, Direction::Receive)];
    nodes
        .into_iter()
        .map(|(id, direction)| {
            let node = node(arguments, direction);
            node.check().context("this cannot be sent")?;
            Ok((Key::Node(id.to_owned()).to_string(), serde_json::to_string(&node)?))
        })
        .collect()
}

fn node(arguments: &Arguments, direction: Direction) -> Node {
    let fit = PAYLOAD / (arguments.channels * 3);
    let millisecond = arguments.rate / 1000;
    Node {
        direction,
        protocol: Protocol::Aes67,
        text: NodeText {
            description: "Wireloom self-test".to_owned(),
            nick: "Self-test".to_owned(),
            name: "Wireloom self-test".to_owned(),
        },
        device: String::new(),
        channels: (1..=arguments.channels).map(|channel| channel.to_string()).collect(),
        media: Media {
            encoding: Encoding::L24,
            rate: arguments.rate,
            samples_per_packet: millisecond.min(fit).max(1),
            payload_type: 97,
            offset: Some(0),
            ssrc: None,
        },
        legs: vec![Leg {
            interface: Some(arguments.interface.clone()),
            ttl: Some(1),
            ..Leg::to(GROUP.into(), PORT)
        }],
        // Sender and receiver are one computer: whatever drives the graph, it is one clock.
        clock: ClockRelation::Same,
        // A node asks the graph for a third of its class as the quantum.
        latency: (3 * arguments.quantum).max(MIN_LATENCY),
        show: Show::Patchbay,
        chosen: false,
        announced: false,
        dscp: 34,
        offline: false,
        remote: direction == Direction::Receive,
        direct: Vec::new(),
        keepalive: None,
        copies: None,
    }
}
