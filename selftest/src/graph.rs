//! Nodes, ports and the module's metadata object, as far as the test needs them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use pipewire::core::CoreRc;
use pipewire::link::Link;
use pipewire::metadata::{Metadata, MetadataListener};
use pipewire::properties::properties;
use pipewire::registry::{GlobalObject, Listener, RegistryRc};
use pipewire::spa::utils::dict::DictRef;
use pipewire::types::ObjectType;
use wireloom_wanted::{Key, METADATA_NAME, StateReport, VALUE_TYPE};

use crate::nodes::{RECEIVED, SENT};
use crate::settings::{self, Settings};
use crate::streams::{PLAYER, RECORDER};

/// What is known of the graph.
#[derive(Default)]
pub struct Graph {
    metadata: Option<(u32, Metadata, MetadataListener)>,
    settings: Rc<RefCell<Settings>>,
    _settings: Option<(Metadata, MetadataListener)>,
    gone: bool,
    asked: bool,
    nodes: BTreeMap<u32, String>,
    /// Port: its node, whether it is an output, its number there.
    ports: BTreeMap<u32, (u32, bool, u32)>,
    links: Vec<Link>,
    /// What the module says of our nodes.
    error: Rc<RefCell<String>>,
}

/// Follows the registry for as long as what is returned lives.
pub fn watch(graph: &Rc<RefCell<Graph>>, core: &CoreRc) -> anyhow::Result<(RegistryRc, Listener)> {
    let registry = core.get_registry_rc()?;
    let listener = registry
        .add_listener_local()
        .global({
            let (graph, registry) = (Rc::clone(graph), registry.downgrade());
            move |global| {
                let Some(registry) = registry.upgrade() else { return };
                graph.borrow_mut().learn(&registry, global);
            }
        })
        .global_remove({
            let graph = Rc::clone(graph);
            move |id| graph.borrow_mut().forget(id)
        })
        .register();
    Ok((registry, listener))
}

impl Graph {
    fn learn(&mut self, registry: &RegistryRc, global: &GlobalObject<&DictRef>) {
        let property = |key: &str| global.props.and_then(|properties| properties.get(key));
        let number = |key: &str| property(key).and_then(|text| text.parse::<u32>().ok());
        match global.type_ {
            ObjectType::Metadata if property("metadata.name") == Some(METADATA_NAME) => {
                let Ok(metadata) = registry.bind::<Metadata, _>(global) else { return };
                let error = Rc::clone(&self.error);
                let listener = metadata
                    .add_listener_local()
                    .property(move |_, key, _, value| {
                        hear(&error, key, value);
                        0
                    })
                    .register();
                self.metadata = Some((global.id, metadata, listener));
            }
            ObjectType::Metadata if property("metadata.name") == Some(settings::METADATA_NAME) => {
                let Ok(metadata) = registry.bind::<Metadata, _>(global) else { return };
                let settings = Rc::clone(&self.settings);
                let listener = metadata
                    .add_listener_local()
                    .property(move |_, key, _, value| {
                        Settings::hear(&settings, key, value);
                        0
                    })
                    .register();
                self._settings = Some((metadata, listener));
            }
            ObjectType::Node => {
                self.nodes.insert(global.id, property("node.name").unwrap_or_default().to_owned());
            }
            ObjectType::Port => {
                if let (Some(node), Some(port)) = (number("node.id"), number("port.id")) {
                    self.ports.insert(global.id, (node, property("port.direction") == Some("out"), port));
                }
            }
            _ => {}
        }
    }

    fn forget(&mut self, id: u32) {
        self.nodes.remove(&id);
        self.ports.remove(&id);
        self.gone |= self.metadata.as_ref().is_some_and(|(global, ..)| *global == id);
    }

    /// Whether the module went away.
    pub fn is_gone(&self) -> bool {
        self.gone
    }

    /// What the daemon says of the graph.
    pub fn settings(&self) -> Settings {
        self.settings.borrow().clone()
    }

    /// Asks the module for `nodes`, once it is there.
    pub fn want(&mut self, nodes: &[(String, String)]) {
        let Some((_, metadata, _)) = self.metadata.as_ref().filter(|_| !self.asked) else { return };
        for (key, value) in nodes {
            metadata.set_property(0, key, Some(VALUE_TYPE), Some(value));
        }
        self.asked = true;
    }

    /// Takes the nodes back.
    pub fn remove(&mut self) {
        self.links.clear();
        let Some((_, metadata, _)) = &self.metadata else { return };
        for id in [SENT, RECEIVED] {
            metadata.set_property(0, &Key::Node(id.to_owned()).to_string(), None, None);
        }
    }

    /// Links player and recorder to the nodes, once all are there. Errors: PipeWire makes no link.
    pub fn link(&mut self, core: &CoreRc, channels: usize) -> Result<(), pipewire::Error> {
        if !self.links.is_empty() {
            return Ok(());
        }
        let (sent, received) = (format!("wireloom.{SENT}"), format!("wireloom.{RECEIVED}"));
        let ends = [(PLAYER, true), (sent.as_str(), false), (received.as_str(), true), (RECORDER, false)];
        let ports = ends.map(|(name, output)| self.ports_of(name, output));
        if ports.iter().any(|ports| ports.len() != channels) {
            return Ok(());
        }
        let [player, sent, received, recorder] = ports;
        for (output, input) in player.into_iter().zip(sent).chain(received.into_iter().zip(recorder)) {
            let properties = properties! {
                "link.output.port" => output.to_string(),
                "link.input.port" => input.to_string(),
            };
            self.links.push(core.create_object::<Link>("link-factory", &properties)?);
        }
        Ok(())
    }

    /// Ports of the node called `name`, in order.
    fn ports_of(&self, name: &str, output: bool) -> Vec<u32> {
        let Some((node, _)) = self.nodes.iter().find(|(_, node)| *node == name) else { return Vec::new() };
        let mut ports: Vec<(u32, u32)> = self
            .ports
            .iter()
            .filter(|(_, (of, out, _))| of == node && *out == output)
            .map(|(id, (.., number))| (*number, *id))
            .collect();
        ports.sort_unstable();
        ports.into_iter().map(|(_, id)| id).collect()
    }

    /// Why nothing is heard, as far as it is known.
    pub fn trouble(&self) -> String {
        let error = self.error.borrow();
        if self.metadata.is_none() {
            "PipeWire runs without the Wireloom module (wireloom doctor)".to_owned()
        } else if self.links.is_empty() {
            format!("the module makes no nodes for the test; {error}")
        } else {
            format!("nothing of the signal is heard; {error}")
        }
    }
}

/// Keeps what the module says of our nodes.
fn hear(error: &RefCell<String>, key: Option<&str>, value: Option<&str>) {
    let ours = match key.and_then(Key::parse) {
        Some(Key::State(id)) => id == SENT || id == RECEIVED,
        _ => false,
    };
    let report = value.filter(|_| ours).and_then(|value| serde_json::from_str::<StateReport>(value).ok());
    if let Some(report) = report.filter(|report| !report.error.is_empty()) {
        *error.borrow_mut() = report.error;
    }
}
