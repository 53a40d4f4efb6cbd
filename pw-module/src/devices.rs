//! Device objects: one for every network device that has a node.

use std::collections::BTreeMap;
use std::rc::Rc;

use wireloom_wanted::Node;

use crate::ffi::{self, Context, Level, MainEvent};
use crate::properties;

/// Device of the nodes that are devices of the desktop and of no network device: without one, a session manager could
/// make a node the default device that nobody chose.
const NO_DEVICE: &str = "none";

/// All Device objects, by the stable id of the device.
#[derive(Default)]
pub(crate) struct Devices {
    objects: BTreeMap<String, ffi::Device>,
    /// What the agent says of devices, with or without a node.
    told: BTreeMap<String, wireloom_wanted::Device>,
}

impl Devices {
    /// The global id of the Device that `node` belongs to; it is made if there is none. `None` for a node of no device.
    pub(crate) fn id_for(&mut self, node: &Node, context: &Context, changed: &Rc<MainEvent>) -> Option<u32> {
        let device = device_of(node)?;
        if self.objects.get(device).is_none_or(|object| object.id().is_none()) {
            let props = properties::device(device, self.told.get(device), node);
            match ffi::Device::new(context, props, Rc::clone(changed)) {
                Ok(object) => drop(self.objects.insert(device.to_owned(), object)),
                Err(code) => {
                    let error = std::io::Error::from_raw_os_error(-code);
                    ffi::log(Level::Warn, &format!("PipeWire refused the device {device}: {error}"));
                }
            }
        }
        self.objects.get(device).and_then(ffi::Device::id)
    }

    /// Has session managers look again whether `node` may become a default device. Call when its properties are told.
    pub(crate) fn choose_again(&self, node: &Node) {
        if let Some(object) = device_of(node).and_then(|device| self.objects.get(device)) {
            object.tell_routes();
        }
    }

    /// Takes over what the agent says of a device; `None`: nothing any more.
    pub(crate) fn tell<'a>(
        &mut self,
        device: &str,
        told: Option<wireloom_wanted::Device>,
        mut nodes: impl Iterator<Item = &'a Node>,
    ) {
        match told {
            Some(told) => drop(self.told.insert(device.to_owned(), told)),
            None => drop(self.told.remove(device)),
        }
        let node = nodes.find(|node| node.device == device);
        if let (Some(object), Some(node)) = (self.objects.get(device), node) {
            object.update_properties(&properties::device(device, self.told.get(device), node));
        }
    }

    /// Whether somebody has taken an object away that has nodes.
    pub(crate) fn miss_one(&self) -> bool {
        self.objects.values().any(|object| object.id().is_none())
    }

    /// Takes away the objects of devices that have no node any more.
    pub(crate) fn keep<'a>(&mut self, nodes: impl Iterator<Item = &'a Node> + Clone) {
        self.objects.retain(|device, _| nodes.clone().any(|node| device_of(node) == Some(device)));
    }

    /// Forgets what the agent said.
    pub(crate) fn clear(&mut self) {
        self.told.clear();
    }
}

/// The Device that `node` belongs to.
fn device_of(node: &Node) -> Option<&str> {
    match node.device.as_str() {
        "" => properties::is_device(node).then_some(NO_DEVICE),
        device => Some(device),
    }
}
