//! Links of the graph: what the registry says of them, and making and removing them.

use std::collections::BTreeSet;

use pipewire::core::CoreRc;
use pipewire::link::Link;
use pipewire::properties::properties;
use pipewire::proxy::ProxyT as _;
use pipewire::registry::{GlobalObject, RegistryRc};
use pipewire::spa::utils::dict::DictRef;
use pipewire::types::ObjectType;
use tracing::debug;

use crate::model::{GraphObject, LinkOp};

/// Links that we make are kept in hand until they are seen or refused; more than these are not.
const MAX_IN_HAND: usize = 1024;

/// Links of one connection.
#[derive(Default)]
pub struct Links {
    /// Made, not seen yet: output port, input port. The proxy reports what PipeWire says of it.
    in_hand: Vec<(u32, u32, Link)>,
    /// Registry ids of links.
    seen: BTreeSet<u32>,
    /// The round trip after the removal of a link.
    sync: Option<i32>,
}

impl Links {
    /// Does what the core wants.
    pub fn carry_out(&mut self, op: &LinkOp, core: &CoreRc, registry: &RegistryRc) {
        match op {
            LinkOp::Make { output_node, output_port, input_node, input_port } => {
                // It stays when we go: the wish for it is kept apart.
                let properties = properties! {
                    *pipewire::keys::LINK_OUTPUT_NODE => output_node.to_string(),
                    *pipewire::keys::LINK_OUTPUT_PORT => output_port.to_string(),
                    *pipewire::keys::LINK_INPUT_NODE => input_node.to_string(),
                    *pipewire::keys::LINK_INPUT_PORT => input_port.to_string(),
                    *pipewire::keys::OBJECT_LINGER => "1",
                };
                match core.create_object::<Link>("link-factory", &properties) {
                    Ok(link) if self.in_hand.len() < MAX_IN_HAND => {
                        self.in_hand.push((*output_port, *input_port, link));
                    }
                    Ok(_) => {}
                    Err(error) => debug!("cannot ask for a link: {error}"),
                }
            }
            LinkOp::Destroy { link } => drop(registry.destroy_global(*link)),
        }
    }

    /// A link is in the registry.
    pub fn appeared(&mut self, object: &GraphObject) {
        let GraphObject::Link { id, output, input, .. } = object else { return };
        self.seen.insert(*id);
        self.in_hand.retain(|(from, to, _)| (from, to) != (output, input));
    }

    /// Something left the registry. After a link, the rest of what went with it is awaited.
    pub fn removed(&mut self, id: u32, core: &CoreRc) {
        if self.seen.remove(&id) {
            self.sync = core.sync(0).ok().map(|seq| seq.seq());
        }
    }

    /// Whether this answers the round trip after the last removal.
    pub fn is_synced(&mut self, seq: i32) -> bool {
        self.sync.take_if(|sync| *sync == seq).is_some()
    }

    /// The ports of the link whose proxy `id` reports an error.
    pub fn fail(&mut self, id: u32) -> Option<(u32, u32)> {
        let position = self.in_hand.iter().position(|(.., link)| link.upcast_ref().id() == id)?;
        let (output, input, _) = self.in_hand.swap_remove(position);
        Some((output, input))
    }
}

/// What the registry says of a node, port or link; `None` when it lacks what it should have.
pub fn describe(global: &GlobalObject<&DictRef>) -> Option<GraphObject> {
    let properties = global.props?;
    let number = |key: &str| properties.get(key)?.parse::<u32>().ok();
    let id = global.id;
    match global.type_ {
        ObjectType::Node => {
            let name = properties.get("node.name")?.to_owned();
            let class = properties.get("media.class").unwrap_or_default().to_owned();
            Some(GraphObject::Node { id, name, class })
        }
        ObjectType::Port => {
            let format = properties.get("format.dsp").unwrap_or_default();
            Some(GraphObject::Port {
                id,
                node: number("node.id")?,
                output: properties.get("port.direction")? == "out",
                index: number("port.id")?,
                audio: format.contains("audio"),
            })
        }
        ObjectType::Link => Some(GraphObject::Link {
            id,
            output: number("link.output.port")?,
            input: number("link.input.port")?,
            is_virtual: properties.get("wireloom.direct").is_some_and(|value| value == "true"),
        }),
        _ => None,
    }
}
