use std::sync::Arc;

use super::Fault;
use zbus::OwnedObjectPath;

use super::object_path;
use crate::request::{Ask, Core};
use crate::view::DeviceView;

/// Serves `org.wireloom.Wireloom1.Device`.
pub struct Device {
    pub view: Arc<DeviceView>,
    pub core: Core,
}

#[zbus::interface(name = "org.wireloom.Wireloom1.Device", introspection_docs = false)]
impl Device {
    #[zbus(out_args("json"))]
    fn describe(&self) -> String {
        super::describe(&*self.view)
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn id(&self) -> &str {
        &self.view.id
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn protocol(&self) -> &str {
        self.view.protocol
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn local(&self) -> bool {
        self.view.local
    }

    #[zbus(property)]
    fn name(&self) -> &str {
        &self.view.name
    }

    #[zbus(property)]
    fn alias(&self) -> &str {
        &self.view.alias
    }

    #[zbus(property)]
    async fn set_alias(&mut self, alias: String) -> Result<(), Fault> {
        let id = self.view.id.clone();
        let answer = self.core.ask(Ask::SetDeviceAlias { id, alias }).await?;
        Arc::make_mut(&mut self.view).alias = answer.into_iter().next().unwrap_or_default();
        Ok(())
    }

    #[zbus(property)]
    fn address(&self) -> &str {
        &self.view.address
    }

    #[zbus(property)]
    fn streams(&self) -> Vec<OwnedObjectPath> {
        self.view.streams.iter().map(|id| object_path("stream", id)).collect()
    }
}
