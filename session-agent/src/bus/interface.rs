use std::sync::Arc;

use crate::view::InterfaceView;

/// Serves `org.wireloom.Wireloom1.Interface`.
pub struct Interface {
    pub view: Arc<InterfaceView>,
}

#[zbus::interface(name = "org.wireloom.Wireloom1.Interface", introspection_docs = false)]
impl Interface {
    #[zbus(out_args("json"))]
    fn describe(&self) -> String {
        super::describe(&*self.view)
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn id(&self) -> &str {
        &self.view.name
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn name(&self) -> &str {
        &self.view.name
    }

    #[zbus(property)]
    fn index(&self) -> u32 {
        self.view.index
    }

    #[zbus(property)]
    fn state(&self) -> &str {
        self.view.state
    }

    #[zbus(property)]
    fn state_reason(&self) -> &str {
        self.view.state_reason
    }

    #[zbus(property)]
    fn used(&self) -> bool {
        self.view.used
    }

    #[zbus(property)]
    fn addresses(&self) -> Vec<String> {
        self.view.addresses.clone()
    }

    #[zbus(property)]
    fn hardware_address(&self) -> &str {
        &self.view.hardware_address
    }

    #[zbus(property(emits_changed_signal = "false"))]
    fn announcements_received(&self) -> u64 {
        self.view.announcements_received
    }

    #[zbus(property)]
    fn ravenna(&self) -> bool {
        self.view.ravenna
    }

    #[zbus(property)]
    fn sessions_found(&self) -> u32 {
        self.view.sessions_found
    }
}
